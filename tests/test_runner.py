"""
How the runner sets up and shuts down, on a virtual clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import re
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest

from conductor._component import Component, Secret
from conductor._discovery import Origin
from conductor._plan import Plan
from conductor._runner import Runner
from conductor._settings import Limits, SettingValue
from conductor._step import Binding, Relation, Step
from conductor.exceptions import (
    AbandonedError,
    ComponentError,
    LimitError,
    RunError,
    SetupError,
    ShutdownError,
    UsageError,
)
from conductor.lifecycle import State, Transition
from tests.virtual_time import VirtualLoop, run, sweep

Action = Callable[[], Awaitable[object]]


@contextlib.contextmanager
def failing(kind: type[RunError], *texts: str) -> Iterator[None]:
    """
    Expect a group whose errors have these texts, in this order.
    """
    with pytest.raises(kind) as caught:
        yield
    for error, text in zip(caught.value.exceptions, texts, strict=True):
        assert re.search(text, str(error))


PHASES = ("setup", "shutdown", "run")


def make_step(
    name: str,
    *needs: str,
    limits: Limits | None = None,
    setup: Action | None = None,
    shutdown: Action | None = None,
    run: Action | None = None,
) -> Step:
    """
    A component whose phases are the given functions.
    """
    given = {"setup": setup, "shutdown": shutdown, "run": run}
    phases = {phase: act for phase, act in given.items() if act is not None}
    methods = {phase: lambda self, act=act: act() for phase, act in phases.items()}
    return Step(name, type(name, (), methods), needs=needs, phases=frozenset(phases), limits=limits or Limits())


def make_logged(
    log: list[str],
    name: str,
    *needs: str,
    pause: float = 0.0,
    setup: Action | None = None,
    run: Action | None = None,
) -> Step:
    """
    A component that notes when its set-up has ended, unless another one is given, and when its shutdown begins.
    """

    async def set_up() -> None:
        await asyncio.sleep(pause)
        log.append(f"+{name}")

    async def shutdown() -> None:
        log.append(f"-{name}")
        await asyncio.sleep(pause)

    return make_step(name, *needs, setup=setup or set_up, shutdown=shutdown, run=run)


def make_step_with(name: str, *phases: str, act: Action) -> Step:
    """
    A component that does the same in several phases, without needs.
    """
    given = {phase: act if phase in phases else None for phase in PHASES}
    return make_step(name, setup=given["setup"], shutdown=given["shutdown"], run=given["run"])


async def fail() -> None:
    """
    Raise.
    """
    raise RuntimeError("broken")


async def hang() -> None:
    """
    Wait for ever, and end when cancelled.
    """
    await asyncio.get_running_loop().create_future()


async def resist() -> None:
    """
    Wait for a thousand seconds, whoever cancels that.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + 1000
    while loop.time() < end:
        try:
            await asyncio.sleep(end - loop.time())
        except asyncio.CancelledError:
            if getattr(loop, "sweeping", False):
                raise


def live(*steps: Step, stop: float = 25.0, **options: Any) -> Runner:
    """
    A runner after one whole life that must not fail.
    """

    async def main() -> Runner:
        runner = Runner(Plan(steps, stop=stop), **options)
        assert await runner.setup()
        await runner.shutdown()
        return runner

    return run(main())


def test_components_that_do_not_need_each_other_are_set_up_together() -> None:
    """
    Set-up and shutdown take as long as the longest path through the graph, not as long as the levels.
    """
    log: list[str] = []
    steps = [
        make_logged(log, "slow", pause=5.0),
        make_logged(log, "quick", pause=1.0),
        make_logged(log, "after-quick", "quick", pause=3.0),
        make_logged(log, "top", "after-quick", "slow", pause=1.0),
    ]
    runner = live(*steps)
    assert log == ["+quick", "+after-quick", "+slow", "+top", "-top", "-after-quick", "-slow", "-quick"]
    assert runner.times["top"].setup_ended == 1006.0
    assert runner.times["quick"].shutdown_ended == 1011.0
    assert runner.times["slow"].shutdown_ended == 1012.0


def test_ready_components_begin_in_the_order_of_the_plan() -> None:
    """
    Those that are free together are set up in the order of the plan, and shut down in the reverse order.
    """
    log: list[str] = []
    live(*(make_logged(log, name) for name in "dacb"))
    assert log == ["+d", "+a", "+c", "+b", "-b", "-c", "-a", "-d"]


def test_the_constructor_gets_needs_and_given_settings() -> None:
    """
    Each binding arrives under its alias, as one, as a list, as a mapping or as None; order alone gives nothing.
    """

    class Holder:
        def __init__(self, **values: object) -> None:
            self.values = values

    bindings = (
        Binding("a", "a", Relation.NEEDS, "", ("one",)),
        Binding("_b", "b", Relation.ALL, "", ("one", "two"), many=list),
        Binding("c", "c", Relation.ALL, "", ("one", "two"), many=dict),
        Binding("d", "d", Relation.USES, "", ()),
        Binding("after", "after", Relation.AFTER, "", ("two",)),
        Binding("e", "e", Relation.USES, "", (), default=True),
    )
    given = SettingValue("_port", "port", 80, True, "test", "int", "80")
    default = SettingValue("host", "host", None, False, "default", "str", "")
    step = Step("holder", Holder, bindings=bindings, settings=(given, default), needs=("one", "two"))
    runner = live(make_step("one"), make_step("two"), step)
    one, two = runner.instances["one"], runner.instances["two"]
    holder = runner.instances["holder"]
    assert isinstance(holder, Holder)
    assert holder.values == {"a": one, "b": [one, two], "c": {"one": one, "two": two}, "d": None, "port": 80}


def test_a_component_knows_its_scope_before_its_constructor_runs() -> None:
    """
    The name for the logger is there in `__attrs_post_init__` already.
    """
    names: list[str] = []

    class Early(Component):
        def __attrs_post_init__(self) -> None:
            names.append(self.logger.name)

    live(Step("early-bird", Early))
    assert names == ["conductor.components.early-bird"]


def test_what_has_nothing_to_await_gets_no_task() -> None:
    """
    A component without phases is built without a task.
    """
    tasks: list[object] = []

    class Plain:
        def __init__(self) -> None:
            tasks.append(asyncio.current_task())

    live(Step("plain", Plain))
    assert tasks == [None]


@pytest.mark.parametrize("phases", [(), ("setup", "shutdown")])
def test_a_chain_of_ten_thousand_does_not_recurse(phases: Sequence[str]) -> None:
    """
    Depth is unlimited, also where every component completes at once.
    """

    async def nothing() -> None: ...

    first = make_step_with("c0", *phases, act=nothing)
    rest = (Step(f"c{n}", first.cls, needs=(f"c{n - 1}",), phases=first.phases) for n in range(1, 10_000))
    runner = live(first, *rest)
    assert set(runner.states.values()) == {State.DOWN}


def test_a_failed_set_up_undoes_what_was_ready() -> None:
    """
    What was ready is shut down in reverse order; what never began is skipped; the group holds the cause.
    """
    log: list[str] = []
    steps = (
        make_logged(log, "a"),
        make_logged(log, "b", "a"),
        make_logged(log, "c", "b", setup=fail),
        make_logged(log, "d", "c"),
    )

    async def main() -> None:
        runner = Runner(Plan(steps))
        with pytest.raises(SetupError) as caught:
            await runner.setup()
        assert log == ["+a", "+b", "-b", "-a"]
        assert list(runner.states.values()) == [State.DOWN, State.DOWN, State.FAILED, State.SKIPPED]
        (error,) = caught.value.exceptions
        assert str(error) == "component 'c' failed in set-up: RuntimeError: broken"
        assert isinstance(error.__cause__, RuntimeError)
        await runner.shutdown()

    run(main())


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, BaseException])
@pytest.mark.parametrize("phase", PHASES)
def test_no_exception_leaves_the_loop(kind: type[BaseException], phase: str) -> None:
    """
    Whatever a component raises becomes its failure.
    """

    async def act() -> None:
        raise kind

    async def main() -> None:
        runner = Runner(Plan((make_step_with("a", phase, act=act),)))
        with contextlib.suppress(SetupError, ShutdownError):
            await runner.setup()
            await asyncio.sleep(1)
            await runner.shutdown()
        (failure,) = runner.failures
        assert type(failure.__cause__) is kind
        assert (failure.component, failure.phase) == ("a", phase.replace("setup", "set-up"))

    run(main())


@pytest.mark.parametrize("phases", [(), ("setup",)])
def test_a_constructor_that_exits_fails_the_set_up(phases: Sequence[str]) -> None:
    """
    Construction is part of set-up, with and without a `setup` method.
    """

    class Exits:
        def __init__(self) -> None:
            raise SystemExit(0)

    async def main() -> None:
        with failing(SetupError, "component 'a' failed in set-up: SystemExit: 0"):
            await Runner(Plan((Step("a", Exits, phases=frozenset(phases)),))).setup()

    run(main())


def test_a_failure_names_the_distribution_and_no_secret() -> None:
    """
    The text of what a component raised is shown without its own and other components' secrets.
    """

    async def leak() -> None:
        raise ConnectionError("login tea:s3cret at db://me:pw@host with k3y")

    secrets = (
        SettingValue("token", "token", Secret("s3cret"), False, "env", "", "", secret=True),
        SettingValue("keys", "keys", {"first": [Secret("k3y")]}, False, "env", "", "", secret=True),
    )
    step = make_step("a", setup=leak)
    step = Step("a", step.cls, Origin("acme-db", "1.2", "/x"), phases=step.phases, settings=secrets)

    async def main() -> None:
        with pytest.raises(SetupError) as caught:
            await Runner(Plan((step,))).setup()
        text = str(caught.value.exceptions[0])
        assert text.startswith("component 'a' (acme-db 1.2) failed in set-up: ConnectionError: login tea:")
        assert not any(secret in text for secret in ("s3cret", "k3y", "pw@"))

    run(main())


def test_a_set_up_over_its_limit_fails_and_tells_where_it_stood() -> None:
    """
    The limit's error has the file and line at which the component was suspended.
    """

    async def main() -> None:
        runner = Runner(Plan((make_step("a", setup=hang, limits=Limits(setup=2.0)),)))
        with failing(SetupError, r"set-up took longer than its limit of 2 s, suspended at .*test_runner.py"):
            await runner.setup()
        assert asyncio.get_running_loop().time() == 1002.0
        (error,) = runner.failures
        assert isinstance(error, LimitError)
        assert error.suspended[-1].endswith("in hang")

    run(main())


def test_a_set_up_that_swallows_its_cancellations_is_abandoned() -> None:
    """
    After the limit, the grace and a tenth of it the engine goes on; what comes later touches nobody.
    """
    log: list[str] = []

    async def main() -> None:
        stuck = make_step("b", "a", setup=resist, shutdown=fail, limits=Limits(setup=2.0))
        runner = Runner(Plan((make_logged(log, "a"), stuck)))
        with pytest.raises(SetupError) as caught:
            await runner.setup()
        assert asyncio.get_running_loop().time() == pytest.approx(1003.1)
        assert [type(error) for error in caught.value.exceptions] == [LimitError, AbandonedError]
        assert list(runner.states.values()) == [State.DOWN, State.ABANDONED]
        await asyncio.sleep(2000)
        assert runner.states["b"] is State.ABANDONED
        assert len(runner.failures) == 2
        assert len(asyncio.all_tasks()) == 1

    run(main())
    assert log == ["+a", "-a"]


def test_a_set_up_in_flight_is_undone_before_what_it_needs() -> None:
    """
    A cancelled set-up has time to clean up, and its needs wait for that.
    """
    log: list[str] = []

    async def clean_up() -> None:
        try:
            await hang()
        finally:
            await asyncio.sleep(2)
            log.append("cleaned")

    async def fail_later() -> None:
        await asyncio.sleep(1)
        raise RuntimeError("broken")

    async def main() -> None:
        steps = (make_logged(log, "a"), make_step("b", "a", setup=clean_up), make_step("c", setup=fail_later))
        runner = Runner(Plan(steps))
        with failing(SetupError, "component 'c' failed"):
            await runner.setup()
        assert log == ["+a", "cleaned", "-a"]
        assert runner.states["b"] is State.DOWN

    run(main())


def test_a_set_up_that_completes_after_the_stop_began_is_shut_down() -> None:
    """
    It swallowed its cancellation and came to its end, so its shutdown is due; it never was ready.
    """
    moves: list[Transition] = []
    log: list[str] = []

    async def swallow() -> None:
        try:
            await hang()
        except asyncio.CancelledError:
            await asyncio.sleep(1)

    async def main() -> None:
        runner = Runner(Plan((make_logged(log, "a", setup=swallow),)), notify=moves.append)
        asyncio.get_running_loop().call_later(1, runner.request_stop)
        assert await runner.setup() is False

    run(main())
    assert log == ["-a"]
    assert [move.after for move in moves] == [State.SETTING_UP, State.SHUTTING_DOWN, State.DOWN]


def test_a_cancelled_caller_hears_of_it_when_all_is_undone() -> None:
    """
    However often the caller of `setup` is cancelled, the undo comes to its end, and the caller is told then.
    """
    log: list[str] = []

    async def main() -> None:
        runner = Runner(Plan((make_logged(log, "a", pause=2.0), make_step("b", "a", setup=hang))))
        task = asyncio.create_task(runner.setup())
        for delay in (3, 3.5, 4.5):
            asyncio.get_running_loop().call_later(delay, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.get_running_loop().time() == 1005.0
        assert log == ["+a", "-a"]
        assert runner.failures == ()

    run(main())


def test_a_cancelled_caller_of_shutdown_hears_of_it_when_all_is_down() -> None:
    """
    A cancelled `shutdown` is carried to its end, and raises then, with what failed as its cause.
    """

    async def main() -> None:
        async def slow() -> None:
            await asyncio.sleep(2)
            raise RuntimeError("broken")

        runner = Runner(Plan((make_step("a", shutdown=slow),)))
        await runner.setup()
        task = asyncio.create_task(runner.shutdown())
        asyncio.get_running_loop().call_later(1, task.cancel)
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert isinstance(caught.value.__cause__, ShutdownError)
        assert runner.states["a"] is State.FAILED

    run(main())


def test_a_timeout_around_setup_works_as_usual() -> None:
    """
    A caller's own `asyncio.timeout` gives TimeoutError, after the undo.
    """

    async def main() -> None:
        runner = Runner(Plan((make_step("a", setup=hang),)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await runner.setup()
        assert runner.states["a"] is State.DOWN

    run(main())


def test_concurrent_shutdowns_share_one_stop() -> None:
    """
    Every caller waits for the same stop, hears the same failures, and nothing is shut down twice.
    """
    log: list[str] = []

    async def main() -> None:
        runner = Runner(Plan((make_logged(log, "a"), make_step("b", shutdown=fail))))
        await runner.setup()
        results = await asyncio.gather(*(runner.shutdown() for _ in range(3)), return_exceptions=True)
        assert [str(result) for result in results] == [str(results[0])] * 3
        assert isinstance(results[0], ShutdownError)
        assert log == ["+a", "-a"]

    run(main())


def test_shutdown_before_set_up_skips_everything() -> None:
    """
    A life that never began ends clean, and cannot begin any more.
    """
    log: list[str] = []

    async def main() -> None:
        runner = Runner(Plan((make_logged(log, "a"),)))
        await runner.shutdown()
        await runner.shutdown()
        assert runner.states["a"] is State.SKIPPED
        with pytest.raises(UsageError, match="each life needs a runner of its own"):
            await runner.setup()

    run(main())
    assert log == []


def test_a_stop_that_was_requested_before_set_up_is_kept() -> None:
    """
    A signal that came too early makes `setup` return False with nothing begun.
    """
    log: list[str] = []

    async def main() -> None:
        runner = Runner(Plan((make_logged(log, "a"),)))
        runner.request_stop()
        assert await runner.setup() is False
        assert runner.states["a"] is State.SKIPPED

    run(main())
    assert log == []


def test_a_requested_stop_that_is_not_clean_raises() -> None:
    """
    A stop during set-up is no failure, but what fails while it is undone is.
    """

    async def main() -> None:
        runner = Runner(Plan((make_step("a", shutdown=fail), make_step("b", "a", setup=hang))))
        asyncio.get_running_loop().call_later(1, runner.request_stop)
        with failing(ShutdownError, "component 'a' failed in shutdown"):
            await runner.setup()

    run(main())


def test_a_stop_in_the_moment_of_readiness_is_not_lost() -> None:
    """
    `setup` does not return True when a stop was requested before it could.
    """

    async def main() -> None:
        made: list[Runner] = []

        def notify(move: Transition) -> None:
            if move.after is State.READY:
                made[0].request_stop()

        made.append(Runner(Plan((make_step("a"),)), notify=notify))
        assert await made[0].setup() is False
        assert made[0].states["a"] is State.DOWN

    run(main())


def test_an_error_in_one_keeps_none_below_from_stopping() -> None:
    """
    All failures of a shutdown are in the group, in the order in which they happened.
    """
    log: list[str] = []

    async def stray() -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        steps = (
            make_logged(log, "a"),
            make_step("b", "a", shutdown=fail),
            make_step("c", "b", shutdown=stray),
        )
        runner = Runner(Plan(steps))
        await runner.setup()
        with pytest.raises(ShutdownError) as caught:
            await runner.shutdown()
        assert [str(error.__cause__) for error in caught.value.exceptions] == ["", "broken"]
        assert list(runner.states.values()) == [State.DOWN, State.FAILED, State.FAILED]

    run(main())
    assert log == ["+a", "-a"]


def test_run_begins_when_ready_and_is_cancelled_before_shutdown() -> None:
    """
    `run` lives from readiness to its own turn, and `shutdown` is called after its end.
    """
    log: list[str] = []

    async def work() -> None:
        log.append("run")
        try:
            await hang()
        finally:
            await asyncio.sleep(1)
            log.append("ran")

    live(make_logged(log, "a", run=work), make_logged(log, "b", "a"))
    assert log == ["+a", "run", "+b", "-b", "ran", "-a"]


def test_a_crash_is_told_once_and_stops_nothing_by_itself() -> None:
    """
    The caller decides; the shutdown after it is clean, and the failure is kept.
    """
    crashes: list[ComponentError] = []

    async def main() -> None:
        runner = Runner(Plan((make_step("a", run=fail), make_step("b", run=hang))), on_crash=crashes.append)
        assert await runner.setup()
        await asyncio.sleep(1)
        assert [error.phase for error in crashes] == ["run"]
        assert set(runner.states.values()) == {State.READY}
        await runner.shutdown()
        assert list(runner.states.values()) == [State.FAILED, State.DOWN]
        assert runner.failures == tuple(crashes)

    run(main())


def test_a_crash_during_set_up_fails_it() -> None:
    """
    When nobody listens to crashes, the loss of a ready component undoes the set-up.
    """

    async def main() -> None:
        runner = Runner(Plan((make_step("a", run=fail), make_step("b", "a", setup=hang))))
        with failing(SetupError, "component 'a' failed in run: RuntimeError: broken"):
            await runner.setup()

    run(main())


def test_an_error_while_run_is_cancelled_is_a_failure_of_the_stop() -> None:
    """
    A cancellation by the runner is no failure; something else raised on it is, and is no crash.
    """
    crashes: list[ComponentError] = []

    async def grumble() -> None:
        try:
            await hang()
        except asyncio.CancelledError:
            raise RuntimeError("grumble") from None

    async def main() -> None:
        runner = Runner(Plan((make_step("a", run=grumble),)), on_crash=crashes.append)
        await runner.setup()
        await asyncio.sleep(1)
        with failing(ShutdownError, "component 'a' failed in run: RuntimeError: grumble"):
            await runner.shutdown()

    run(main())
    assert crashes == []


def test_shutdown_is_called_after_a_run_that_does_not_end() -> None:
    """
    A `run` that swallows its cancellation is abandoned, and its component is shut down nevertheless.
    """
    log: list[str] = []

    async def main() -> None:
        steps = (make_logged(log, "a"), make_logged(log, "b", "a", run=resist))
        runner = Runner(Plan(steps))
        await runner.setup()
        await asyncio.sleep(1)
        with pytest.raises(ShutdownError) as caught:
            await runner.shutdown()
        assert [(type(error), error.phase) for error in runner.failures] == [
            (LimitError, "run"),
            (AbandonedError, "run"),
        ]
        assert len(caught.value.exceptions) == 2
        assert list(runner.states.values()) == [State.DOWN, State.ABANDONED]
        assert asyncio.get_running_loop().time() == pytest.approx(1012.1)

    run(main())
    assert log == ["+a", "+b", "-b", "-a"]


def test_one_that_hangs_leaves_time_to_those_below() -> None:
    """
    Even if everything above uses up its time, each one below still gets its turn within the whole limit.
    """
    log: list[str] = []

    async def main() -> None:
        steps = [make_logged(log, "c0")]
        steps += [make_step(f"c{n}", f"c{n - 1}", shutdown=resist) for n in range(1, 8)]
        runner = Runner(Plan(tuple(steps)))
        await runner.setup()
        began = asyncio.get_running_loop().time()
        with pytest.raises(ShutdownError):
            await runner.shutdown()
        assert asyncio.get_running_loop().time() - began <= 25.0
        assert log == ["+c0", "-c0"]
        assert sum(isinstance(error, AbandonedError) for error in runner.failures) == 7

    run(main())


def test_what_was_not_begun_at_the_end_of_all_time_is_reported() -> None:
    """
    With no time at all, nothing is shut down in silence.
    """

    async def main() -> None:
        steps = (make_step("a", shutdown=hang), make_step("b", "a", run=hang), make_step("c"), make_step("d", "c"))
        runner = Runner(Plan(steps))
        await runner.setup()
        with pytest.raises(ShutdownError) as caught:
            await runner.shutdown(limit=0.0)
        assert {error.component for error in runner.failures} == {"a", "b"}
        assert any("it was not shut down completely, because the 0 s" in str(e) for e in caught.value.exceptions)
        assert list(runner.states.values()) == [State.ABANDONED, State.ABANDONED, State.DOWN, State.DOWN]

    run(main())


def test_hurry_gives_what_is_left_one_second_in_order() -> None:
    """
    A second request brings the end forward; those below still get their turn.
    """
    log: list[str] = []

    async def main() -> None:
        slow = make_step("b", "a", shutdown=hang)
        runner = Runner(Plan((make_logged(log, "a", pause=0.1), slow)))
        await runner.setup()
        asyncio.get_running_loop().call_later(2, runner.hurry)
        began = asyncio.get_running_loop().time()
        with failing(ShutdownError, "component 'b': shutdown took longer than its limit of 1 s"):
            await runner.shutdown()
        assert asyncio.get_running_loop().time() - began == pytest.approx(2.85)
        assert runner.states["a"] is State.DOWN

    run(main())
    assert log == ["+a", "-a"]


def test_a_shutdown_limit_is_for_the_whole_stop() -> None:
    """
    `shutdown(limit=…)` ends within it, and a longer one later does not extend it.
    """

    async def main() -> None:
        runner = Runner(Plan(tuple(make_step(f"c{n}", shutdown=resist) for n in range(3))))
        await runner.setup()
        began = asyncio.get_running_loop().time()
        first = asyncio.create_task(runner.shutdown(limit=3.0))
        await asyncio.sleep(1)
        with pytest.raises(ShutdownError):
            await runner.shutdown(limit=20.0)
        with pytest.raises(ShutdownError):
            await first
        assert asyncio.get_running_loop().time() - began <= 3.0

    run(main())


def test_every_move_is_told_and_a_listener_cannot_break_it(caplog: pytest.LogCaptureFixture) -> None:
    """
    What a listener raises is logged; the moves are those of the table, each with its time.
    """
    moves: list[Transition] = []

    def listen(move: Transition) -> None:
        moves.append(move)
        raise SystemExit(3)

    with caplog.at_level(logging.ERROR, "conductor"):
        live(make_step("a"), notify=listen)
    assert [move.after.value for move in moves] == ["setting-up", "ready", "shutting-down", "down"]
    assert {move.at for move in moves} == {1000.0}
    assert len(caplog.records) == 4


def test_context_variables_stay_with_each_call() -> None:
    """
    What set-up, constructor or `run` set is seen by no other component, and by no caller.
    """
    variable = contextvars.ContextVar("variable", default="clean")
    seen: list[str] = []

    async def spoil() -> None:
        seen.append(variable.get())
        variable.set("spoilt")

    class Spoils:
        def __init__(self) -> None:
            seen.append(variable.get())
            variable.set("spoilt")

    first = make_step("a", setup=spoil, shutdown=spoil, run=spoil)
    last = make_step("c", "b", setup=spoil, shutdown=spoil, run=spoil)
    live(first, Step("b", Spoils, needs=("a",)), last)
    assert set(seen) == {"clean"}
    assert variable.get() == "clean"


def test_a_component_that_cancels_every_task_robs_nobody_of_its_shutdown() -> None:
    """
    Calls that a stranger cancels before they have begun are made again.
    """
    log: list[str] = []

    async def cancel_all() -> None:
        for task in asyncio.all_tasks():
            task.cancel()

    async def main() -> None:
        runner = Runner(Plan((make_logged(log, "a"), make_logged(log, "b"), make_step("c", shutdown=cancel_all))))
        task = asyncio.create_task(runner.setup())
        assert await asyncio.shield(task)
        with pytest.raises(asyncio.CancelledError):
            await runner.shutdown()
        assert set(runner.states.values()) == {State.DOWN}

    loop = VirtualLoop()
    task = loop.create_task(main())
    loop.run_until_complete(task)
    sweep(loop)
    loop.close()
    assert sorted(log) == ["+a", "+b", "-a", "-b"]


def test_a_component_that_stops_the_loop_stops_only_the_loop() -> None:
    """
    When the loop is run again, the work goes on where it was.
    """

    async def stop() -> None:
        asyncio.get_running_loop().stop()

    loop = VirtualLoop()
    runner = Runner(Plan((make_step("a", setup=stop), make_step("b", "a"))))
    task = loop.create_task(runner.setup())
    loop.run_forever()
    assert not task.done()
    assert loop.run_until_complete(task)
    loop.run_until_complete(runner.shutdown())
    loop.close()


def test_a_component_may_wait_for_the_end_in_its_own_task() -> None:
    """
    `run` that awaits the shutdown does not keep it from ending.
    """
    made: list[Runner] = []

    async def end_all() -> None:
        await asyncio.sleep(1)
        await made[0].shutdown()

    async def main() -> None:
        made.append(Runner(Plan((make_step("a", run=end_all),))))
        await made[0].setup()
        await asyncio.sleep(1)
        await made[0].shutdown()
        assert asyncio.get_running_loop().time() == 1001.0
        assert made[0].failures == ()

    run(main())


def test_it_works_outside_the_main_thread() -> None:
    """
    Any running loop will do, and no signal handler is touched.
    """
    log: list[str] = []
    thread = threading.Thread(target=lambda: live(make_logged(log, "a")))
    thread.start()
    thread.join()
    assert log == ["+a", "-a"]


def test_waiting_tells_who_waits_for_whom_and_where() -> None:
    """
    Those at work have a phase, a time and a place; the others, what they wait for; the rest is left out.
    """

    class Spawner(Component):
        async def setup(self) -> None:
            self.spawn(hang(), name="worker")
            await hang()

    async def main() -> None:
        steps = (
            make_step("up"),
            Step("a", Spawner, phases=frozenset({"setup"})),
            make_step("b", "a", "up"),
        )
        runner = Runner(Plan(steps))
        assert runner.waiting() == ()
        task = asyncio.create_task(runner.setup())
        await asyncio.sleep(3)
        a, b = runner.waiting()
        assert (a.component, a.phase, a.seconds) == ("a", "set-up", 3.0)
        assert [place.rpartition(" in ")[2].rpartition(".")[2] for place in a.suspended] == ["setup", "hang"]
        ((name, places),) = a.tasks
        assert name == "worker"
        assert places[-1].endswith("in hang")
        assert (b.component, b.phase, b.on) == ("b", None, ("a",))
        runner.request_stop()
        assert await task is False
        assert runner.waiting() == ()

    run(main())


def test_waiting_tells_who_keeps_others_from_stopping() -> None:
    """
    During a stop, a ready component waits for its dependents.
    """

    async def main() -> None:
        runner = Runner(Plan((make_step("a", run=hang), make_step("b", "a", shutdown=hang))))
        await runner.setup()
        task = asyncio.create_task(runner.shutdown())
        await asyncio.sleep(1)
        a, b = runner.waiting()
        assert (a.component, a.phase, a.on) == ("a", None, ("b",))
        assert (b.component, b.phase, b.on) == ("b", "shutdown", ())
        with pytest.raises(ShutdownError):
            await task

    run(main())


def test_a_second_set_up_is_refused() -> None:
    """
    A runner is one life.
    """

    async def main() -> None:
        runner = Runner(Plan(()))
        assert await runner.setup()
        with pytest.raises(UsageError):
            await runner.setup()
        await runner.shutdown()

    run(main())


def test_hurry_never_extends_a_stop() -> None:
    """
    A plan that gives the stop less than a second keeps that.
    """

    async def main() -> None:
        runner = Runner(Plan((make_step("a", shutdown=hang),), stop=0.5))
        await runner.setup()
        runner.hurry(1.0)
        began = asyncio.get_running_loop().time()
        with pytest.raises(ShutdownError):
            await runner.shutdown()
        assert asyncio.get_running_loop().time() - began <= 0.5

    run(main())


def test_running_tells_what_ready_components_do() -> None:
    """
    Where `run` and the spawned tasks of ready components are suspended, and whose a task is.
    """

    class Worker(Component):
        async def setup(self) -> None:
            self.spawn(hang(), name="poll")

        async def run(self) -> None:
            await hang()

    async def main() -> None:
        idle, busy = make_step("idle"), Step("busy", Worker, phases=frozenset({"setup", "run"}))
        runner = Runner(Plan((idle, busy)))
        await runner.setup()
        await asyncio.sleep(3)
        assert runner.waiting() == ()
        (found,) = runner.running()
        assert (found.component, found.phase, found.seconds) == ("busy", "run", 3.0)
        assert found.suspended[-1].endswith("in hang")
        assert [name for name, _ in found.tasks] == ["poll"]
        owners = {task.get_name(): runner.owner_of(task) for task in asyncio.all_tasks()}
        assert (owners.pop("poll"), owners.pop("busy run")) == ("busy", "busy")
        assert set(owners.values()) == {None}
        await runner.shutdown()
        assert runner.running() == ()

    run(main())
