"""
What can be asked about an application while it lives, and what it tells by itself when it hangs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from conductor import Component, Conductor, Secret, hookimpl
from conductor._diagnosis import Blockage, Diagnosis
from conductor._health import Health
from conductor._vitals import Vitals, diagnose
from conductor.exceptions import SetupError, ShutdownError

LONG = 30.0


class Listener:
    """
    Keeps what it is told of hangs, and in which thread.
    """

    def __init__(self) -> None:
        self.stuck: list[Diagnosis] = []
        self.blocked: list[Blockage] = []
        self.threads: list[str] = []
        self.noticed = threading.Event()

    @hookimpl
    def conductor_stuck(self, diagnosis: Diagnosis) -> None:
        """
        Keep it.
        """
        self.stuck.append(diagnosis)

    @hookimpl
    def conductor_blocked(self, blockage: Blockage) -> None:
        """
        Keep it, and let the one who blocks go on.
        """
        self.blocked.append(blockage)
        self.threads.append(threading.current_thread().name)
        self.noticed.set()


class Stuck(Component):
    """
    Never gets ready, with a task that has a secret in its name.
    """

    token: Secret[str] = Secret("t0ken")

    async def setup(self) -> None:
        """
        Wait for ever.
        """
        self.spawn(asyncio.Event().wait(), name=f"poll {self.token.get_secret_value()}")
        await asyncio.Event().wait()


class AlsoStuck(Component):
    """
    Never gets ready either.
    """

    async def setup(self) -> None:
        """
        Wait for ever.
        """
        await asyncio.Event().wait()


class Above(Component):
    """
    Waits for the others.
    """

    stuck: Stuck
    also: AlsoStuck


def test_a_passed_limit_of_setup_tells_who_waits_for_whom(caplog: pytest.LogCaptureFixture) -> None:
    """
    Once, although two have passed theirs; it is logged as a tree, without secrets.
    """
    listener = Listener()
    conductor = Conductor({"limits": {"setup": 0.05}, "components": {"Stuck": {"token": "t0ken"}}})
    conductor.hooks.register(listener)
    conductor.add(Above)
    with pytest.raises(SetupError), caplog.at_level(logging.WARNING, logger="conductor"):
        asyncio.run(conductor.setup())
    (told,) = listener.stuck
    by_name = {each.component: each for each in told.waiting}
    assert set(by_name["Above"].on) == {"Stuck", "AlsoStuck"}
    assert by_name["Stuck"].phase == "set-up"
    assert by_name["Stuck"].suspended[0].endswith("in Stuck.setup")
    assert by_name["Stuck"].tasks[0][0] == "poll *******"
    assert "a limit was passed" in caplog.text
    assert "└─ Stuck: sets up for" in caplog.text or "├─ Stuck: sets up for" in caplog.text
    assert "t0ken" not in caplog.text


def test_a_passed_limit_of_shutdown_tells_who_waits_for_whom() -> None:
    """
    During the stop, who is ready waits for those above it.
    """

    class Below(Component):
        pass

    class Hanging(Component):
        below: Below

        async def shutdown(self) -> None:
            await asyncio.Event().wait()

    async def main() -> None:
        await conductor.setup()
        await conductor.shutdown()

    listener = Listener()
    conductor = Conductor({"limits": {"shutdown": 0.05, "stop": 0.5}})
    conductor.hooks.register(listener)
    conductor.add(Hanging)
    with pytest.raises(ShutdownError):
        asyncio.run(main())
    (told,) = listener.stuck
    assert [(each.component, each.phase, each.on) for each in told.waiting] == [
        ("Below", None, ("Hanging",)),
        ("Hanging", "shutdown", ()),
    ]


def test_who_blocks_the_loop_is_named_while_it_does(caplog: pytest.LogCaptureFixture) -> None:
    """
    `serve` and `run` watch their loop: the hook is called in a thread of its own, and the log names the component.
    """
    listener = Listener()

    class Blocking(Component):
        async def setup(self) -> None:
            assert listener.noticed.wait(LONG)

    conductor = Conductor({"limits": {"blocked": 0.05}})
    conductor.hooks.register(listener)
    conductor.add(Blocking)
    with caplog.at_level(logging.WARNING, logger="conductor"):
        conductor.run(asyncio.sleep(0))
    assert [(each.component, each.task) for each in listener.blocked] == [("Blocking", "Blocking")]
    assert listener.threads == ["conductor-heartbeat"]
    assert "component 'Blocking' has blocked the event loop for" in caplog.text
    assert "Blocking.setup" in caplog.text
    assert "conductor-heartbeat" not in {thread.name for thread in threading.enumerate()}


def test_a_probe_that_blocks_is_named() -> None:
    """
    A `health` that blocks the loop is its component's.
    """
    listener = Listener()

    class Blocking(Component):
        async def health(self) -> None:
            assert listener.noticed.wait(LONG)

    async def work() -> Health:
        return await conductor.health()

    conductor = Conductor({"limits": {"blocked": 0.05}})
    conductor.hooks.register(listener)
    conductor.add(Blocking)
    assert conductor.run(work()).ready
    assert [(each.component, each.task) for each in listener.blocked] == [("Blocking", "Blocking health")]


def test_a_program_can_ask_for_its_health() -> None:
    """
    Not set up, ready, and not set up again: `health` answers each time.
    """

    class Ill(Component):
        async def health(self) -> None:
            if ill:
                raise RuntimeError("no link")

    async def main() -> None:
        assert str(await conductor.health()) == "not ready: it is not set up"
        async with conductor:
            assert (await conductor.health()).ready
        assert not (await conductor.health()).started
        ill.append(True)
        async with conductor:
            assert str(await conductor.health()) == (
                "not ready: 'Ill' is unhealthy\n  Ill: ready, unhealthy: RuntimeError: no link"
            )

    ill: list[bool] = []
    conductor = Conductor()
    conductor.add(Ill)
    asyncio.run(main())


def test_a_secret_that_no_source_has_given_is_masked() -> None:
    """
    Neither the error of a probe nor the name of a task shows a secret that the class itself has.
    """

    class Ill(Component):
        token: Secret[str] = Secret("inb0rn")

        async def setup(self) -> None:
            self.spawn(asyncio.Event().wait(), name=f"poll {self.token.get_secret_value()}")

        async def health(self) -> None:
            raise RuntimeError(self.token.get_secret_value())

    async def main() -> None:
        async with conductor:
            shown = str(await conductor.health())
            assert conductor._runner is not None
            shown += str(diagnose(conductor._runner))
        assert "RuntimeError: *******" in shown
        assert "task 'poll *******'" in shown
        assert "inb0rn" not in shown

    conductor = Conductor()
    conductor.add(Ill)
    asyncio.run(main())


def test_a_probe_that_hangs_cannot_hold_up_the_stop() -> None:
    """
    A probe under way when the stop begins is cancelled, and nothing of it is left.
    """
    cancelled: list[bool] = []

    class Hanging(Component):
        async def health(self) -> None:
            try:
                probing.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

    async def main() -> None:
        async with conductor:
            asked = asyncio.create_task(conductor.health())
            await probing.wait()
        assert (await asked).reason == "it shuts down: asked to"
        assert cancelled == [True]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    probing = asyncio.Event()
    conductor = Conductor()
    conductor.add(Hanging)
    asyncio.run(main())


def answer_of(vitals: Vitals, question: str) -> dict[str, Any]:
    """
    What is answered in a thread that is not the loop's.
    """
    answers: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: answers.append(vitals.answer(question)))
    thread.start()
    thread.join()
    return answers[0]


def make_vitals(conductor: Conductor) -> Vitals:
    """
    The vitals that `serve` would make.
    """
    return Vitals(conductor.hooks, 1e9)


def test_it_answers_before_there_is_a_loop() -> None:
    """
    While the plan is being made, the application lives, and is not ready.
    """
    told = answer_of(make_vitals(Conductor()), "ready")
    assert (told["pid"], told["directory"], told["phase"]) == (os.getpid(), os.getcwd(), "planning")
    assert (told["live"], told["ready"], told["reason"]) == (True, False, "it is being planned")


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """
    What a function returns in a thread, while the loop goes on.
    """
    return await asyncio.get_running_loop().run_in_executor(None, function, *args)


def test_it_answers_in_every_phase() -> None:
    """
    What it does and whether it is ready, from another thread, from set-up to the end.
    """
    told: dict[str, dict[str, Any]] = {}

    class Asking(Component):
        async def setup(self) -> None:
            told["set-up"] = await in_thread(answer_of, vitals, "ready")

        async def health(self) -> None:
            told["asked"] = {}

        async def shutdown(self) -> None:
            told["shutdown"] = await in_thread(answer_of, vitals, "ready")

    async def main() -> None:
        told["live"] = await in_thread(answer_of, vitals, "live")
        assert "asked" not in told
        told["up"] = await in_thread(answer_of, vitals, "ready")
        assert "asked" in told

    async def accompanied() -> None:
        runner = conductor._make_runner(print)
        assert conductor._checkup is not None

        async def life() -> None:
            await runner.setup()
            conductor.hooks.call("conductor_ready", plan=runner.plan, seconds=0.0)
            await main()
            await runner.shutdown()

        await vitals.accompany(conductor._checkup, life)

    conductor = Conductor()
    conductor.add(Asking)
    vitals = make_vitals(conductor)
    asyncio.run(accompanied())
    seen = {name: (each["phase"], each["live"], each["ready"]) for name, each in told.items() if each}
    assert seen == {
        "set-up": ("setting up", True, False),
        "live": ("up", True, True),
        "up": ("up", True, True),
        "shutdown": ("stopping", True, False),
    }


def test_a_blocked_loop_is_not_live_and_its_stack_is_told() -> None:
    """
    The answer comes although the loop is blocked, and says by whom.
    """

    class Blocking(Component):
        async def run(self) -> None:
            asker.start()
            assert answered.wait(LONG)
            blocked.set()

    answers: list[dict[str, Any]] = []
    answered = threading.Event()

    def ask() -> None:
        answers.append(vitals.answer("live"))
        answered.set()

    asker = threading.Thread(target=ask)
    listener = Listener()
    conductor = Conductor({"limits": {"blocked": 0.05}})
    conductor.hooks.register(listener)
    conductor.add(Blocking)

    async def main() -> None:
        runner = conductor._make_runner(print)
        assert conductor._checkup is not None
        await vitals.accompany(conductor._checkup, runner.setup)
        await blocked.wait()
        await runner.shutdown()

    blocked = asyncio.Event()
    vitals = Vitals(conductor.hooks, 0.05)
    asyncio.run(main())
    (told,) = answers
    assert (told["live"], told["ready"], told["reason"]) == (False, False, "the event loop does not answer")
    assert "component 'Blocking' has blocked the event loop for" in told["text"]
    assert told["diagnosis"]["blockage"]["component"] == "Blocking"
