"""
How an application and its components are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from conductor._health import KEPT, NOT_SET_UP, Checkup, ComponentHealth, Health
from conductor._plan import Plan
from conductor._runner import Runner
from conductor._settings import SettingValue
from conductor._step import Step
from conductor.lifecycle import State
from tests.virtual_time import run

Action = Callable[[], Awaitable[object]]


def make_step(name: str, *, health: Action | None = None, setup: Action | None = None, secret: str = "") -> Step:
    """
    A component whose phases are the given functions.
    """
    given = {phase: act for phase, act in {"health": health, "setup": setup}.items() if act is not None}
    methods = {phase: lambda self, act=act: act() for phase, act in given.items()}
    settings = (SettingValue("token", "token", secret, False, "a file", "str", "***", secret=True),) if secret else ()
    return Step(name, type(name, (), methods), phases=frozenset(given), settings=settings)


class Probe:
    """
    A `health` that counts how often it is called, and waits until it is told to go on.
    """

    def __init__(self, *, waits: bool = False) -> None:
        self.called = 0
        self.cancelled = 0
        self.go_on = asyncio.Event()
        if not waits:
            self.go_on.set()

    async def __call__(self) -> None:
        self.called += 1
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def up(*steps: Step, limit: float = 5.0) -> tuple[Runner, Checkup]:
    """
    A life that is up, and its checkup.
    """
    runner = Runner(Plan(steps))
    checkup = Checkup(runner, limit)
    await runner.setup()
    checkup.conductor_ready()
    return runner, checkup


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """
    The test, run on a virtual clock.
    """

    def call() -> None:
        run(test())

    call.__name__, call.__doc__ = test.__name__, test.__doc__
    return call


@in_loop
async def test_ready_if_all_are_ready_and_healthy() -> None:
    """
    All ready, nobody ill: ready; who has no `health` has no opinion.
    """
    runner, checkup = await up(make_step("db", health=Probe()), make_step("mq"))
    found = await checkup.health()
    assert (found.live, found.started, found.ready, found.reason) == (True, True, True, "ready")
    assert [(each.component, each.healthy) for each in found.components] == [("db", True), ("mq", None)]
    await runner.shutdown()


@pytest.mark.parametrize(
    "error", [RuntimeError("no link"), SystemExit(0), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()]
)
def test_whatever_a_probe_raises_makes_its_component_unhealthy(error: BaseException) -> None:
    """
    Any exception means unhealthy, says which, and goes no further.
    """

    async def fail() -> None:
        raise error

    async def main() -> None:
        runner, checkup = await up(make_step("db", health=fail), make_step("mq", health=Probe()))
        found = await checkup.health()
        db, mq = found.components
        assert (found.ready, found.reason) == (False, "'db' is unhealthy")
        assert (db.healthy, mq.healthy) == (False, True)
        assert str(db.error).startswith(type(error).__name__)
        assert runner.failures == ()
        await runner.shutdown()

    run(main())


@in_loop
async def test_secrets_in_an_error_are_masked() -> None:
    """
    What a probe says comes out without secrets, passwords and controls.
    """

    async def fail() -> None:
        raise RuntimeError("t0ken refused by postgres://me:sesame@host/db \x1b[2J")

    runner, checkup = await up(make_step("db", health=fail, secret="t0ken"))
    shown = str(await checkup.health())
    assert "unhealthy: RuntimeError: ******* refused" in shown
    assert "t0ken" not in shown
    assert "sesame" not in shown
    assert "\x1b" not in shown
    await runner.shutdown()


@in_loop
async def test_probes_run_concurrently_under_a_limit() -> None:
    """
    Three that hang take one limit together, and it is said where each hangs.
    """
    loop = asyncio.get_running_loop()
    runner, checkup = await up(*(make_step(name, health=Probe(waits=True)) for name in "abc"), limit=2.0)
    began = loop.time()
    found = await checkup.health()
    assert loop.time() - began == 2.0
    assert found.reason == "'a', 'b' and 'c' are unhealthy"
    errors = [str(each.error) for each in found.components]
    assert all("took longer than its limit of 2 s, suspended at " in error for error in errors)
    await runner.shutdown()


@in_loop
async def test_who_swallows_cancellation_holds_nobody_up_and_is_not_asked_again() -> None:
    """
    The answer comes when the limit is over, and a further probe begins only when the last one has ended.
    """
    freed, called = asyncio.Event(), []

    async def resist() -> None:
        called.append(1)
        while not freed.is_set():
            try:
                await freed.wait()
            except asyncio.CancelledError:
                continue

    loop = asyncio.get_running_loop()
    runner, checkup = await up(make_step("db", health=resist), limit=2.0)
    began = loop.time()
    assert "longer than its limit" in str(await checkup.health())
    assert loop.time() - began == 2.0
    await asyncio.sleep(60)
    assert "its last probe has not ended, suspended at" in str(await checkup.health())
    assert len(called) == 1
    freed.set()
    await asyncio.sleep(KEPT)
    assert (await checkup.health()).ready
    assert len(called) == 2
    await runner.shutdown()


@in_loop
async def test_callers_share_a_round_and_its_answer_is_kept_for_a_moment() -> None:
    """
    Twenty callers at once are one probe, and so is one a moment later; after that there is a new one.
    """
    probe = Probe(waits=True)
    runner, checkup = await up(make_step("db", health=probe))
    asked = [asyncio.create_task(checkup.health()) for _ in range(20)]
    await asyncio.sleep(1)
    asked[0].cancel()
    probe.go_on.set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(each, Health) and each.ready for each in found[1:])
    await checkup.health()
    assert probe.called == 1
    await asyncio.sleep(KEPT)
    await checkup.health()
    assert probe.called == 2
    await runner.shutdown()


@in_loop
async def test_not_ready_while_something_is_set_up() -> None:
    """
    During set-up it lives, has not started, and says who is not ready.
    """
    wait = asyncio.Event()
    runner = Runner(Plan((make_step("db", setup=wait.wait), make_step("mq", health=Probe()))))
    checkup = Checkup(runner, 5.0)
    setup = asyncio.create_task(runner.setup())
    await asyncio.sleep(0.1)
    found = await checkup.health()
    assert (found.live, found.started, found.ready, found.reason) == (True, False, False, "'db' is not ready")
    wait.set()
    await setup
    checkup.conductor_ready()
    assert (await checkup.health()).ready
    await runner.shutdown()


@in_loop
async def test_readiness_drops_first_when_the_stop_begins() -> None:
    """
    Who waits is answered at once, the probe under way is cancelled, and nobody is asked any more.
    """
    loop = asyncio.get_running_loop()
    probe = Probe(waits=True)
    runner, checkup = await up(make_step("db", health=probe))
    asked = asyncio.create_task(checkup.health())
    await asyncio.sleep(1)
    began = loop.time()
    checkup.conductor_stopping("received SIGTERM")
    found = await asked
    assert (found.ready, found.reason) == (False, "it shuts down: received SIGTERM")
    assert loop.time() == began
    await asyncio.sleep(0)
    assert probe.cancelled == 1
    assert not (await checkup.health()).ready
    assert probe.called == 1
    await runner.shutdown()


@in_loop
async def test_a_runner_that_stops_is_not_ready() -> None:
    """
    A stop that the runner knows of counts, also before anybody is told.
    """
    runner, checkup = await up(make_step("db", health=Probe()))
    runner.request_stop()
    assert (await checkup.health()).reason == "it shuts down"
    await runner.shutdown()
    assert [each.state for each in (await checkup.health()).components] == [State.DOWN]


@in_loop
async def test_a_component_that_cancels_every_task_loses_no_answer() -> None:
    """
    A probe that cancels whatever it finds is answered all the same, for those who were not cancelled.
    """
    answers: list[Health] = []

    async def cancel_all() -> None:
        for task in asyncio.all_tasks():
            if task.get_name() == "other health":
                task.cancel()

    runner, checkup = await up(make_step("db", health=cancel_all), make_step("other", health=Probe(waits=True)))
    checkup.ask(answers.append)
    await asyncio.sleep(1)
    assert [each.healthy for each in answers[0].components] == [True, False]
    await runner.shutdown()


@in_loop
async def test_the_end_answers_whoever_waits() -> None:
    """
    Nobody waits for an answer after the end, and probes under way are cancelled.
    """
    probe = Probe(waits=True)
    runner, checkup = await up(make_step("db", health=probe))
    asked = asyncio.create_task(checkup.health())
    await asyncio.sleep(1)
    checkup.end()
    assert not (await asked).ready
    await asyncio.sleep(0)
    assert probe.cancelled == 1
    await runner.shutdown()


def test_it_prints_well_and_as_plain_values() -> None:
    """
    One line for each component below one for all.
    """
    found = Health(
        live=True,
        started=True,
        ready=False,
        reason="'db' is unhealthy",
        components=(
            ComponentHealth("db", State.READY, False, "RuntimeError: no link"),
            ComponentHealth("mq", State.READY, True),
            ComponentHealth("web", State.READY),
        ),
    )
    assert str(found).splitlines() == [
        "not ready: 'db' is unhealthy",
        "  db: ready, unhealthy: RuntimeError: no link",
        "  mq: ready, healthy",
        "  web: ready",
    ]
    told = found.as_dict()
    assert told["components"][0] == {
        "component": "db",
        "state": "ready",
        "healthy": False,
        "error": "RuntimeError: no link",
    }
    assert str(NOT_SET_UP) == "not ready: it is not set up"
