"""
What components register is undone at their own turn, newest first, whatever happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import pytest

from conductor._component import Component
from conductor._plan import Plan
from conductor._runner import Runner
from conductor._settings import Limits
from conductor._step import Step
from conductor.exceptions import AbandonedError, LimitError, SetupError, ShutdownError, UsageError
from conductor.lifecycle import State
from tests.virtual_time import run

Act: TypeAlias = Callable[[Component], Awaitable[object]]


def make_runner(setup: Act, *, shutdown: float = 10.0, stop: float = 25.0, **phases: Act) -> Runner:
    """
    A runner of one component, `a`, with the given phases.
    """
    methods: dict[str, Any] = {"setup": setup, **phases}
    step = Step("a", type("A", (Component,), methods), phases=frozenset(methods), limits=Limits(shutdown=shutdown))
    return Runner(Plan((step,), stop=stop))


def live(setup: Act, **options: Any) -> None:
    """
    One whole life that must not fail.
    """

    async def main() -> None:
        runner = make_runner(setup, **options)
        assert await runner.setup()
        await asyncio.sleep(1)
        await runner.shutdown()
        assert runner.failures == ()
        assert len(asyncio.all_tasks()) == 1

    run(main())


@contextlib.asynccontextmanager
async def opened(log: list[str], name: str) -> AsyncIterator[str]:
    """
    Something asynchronous to be entered.
    """
    log.append(f"+{name}")
    yield name
    log.append(f"-{name}")


@contextlib.contextmanager
def opened_at_once(log: list[str], name: str) -> Iterator[str]:
    """
    Something synchronous to be entered.
    """
    log.append(f"+{name}")
    yield name
    log.append(f"-{name}")


async def work(log: list[str], name: str) -> None:
    """
    Wait until cancelled.
    """
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        log.append(f"-{name}")


async def resist() -> None:
    """
    Swallow cancellations for a hundred seconds.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + 100
    while loop.time() < end:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(end - loop.time())


def test_everything_is_undone_newest_first_after_shutdown() -> None:
    """
    Managers, callbacks and tasks are undone in the reverse order of their registration, whatever they are.
    """
    log: list[str] = []

    async def setup(self: Component) -> None:
        assert await self.enter(opened(log, "a")) == "a"
        self.defer(log.append, "-b")
        self.spawn(work(log, "c"))
        assert await self.enter(opened_at_once(log, "d")) == "d"
        self.defer(work_once, name="-e")

    async def work_once(*, name: str) -> None:
        await asyncio.sleep(1)
        log.append(name)

    async def shutdown(self: Component) -> None:
        log.append("shutdown")

    step = Step("a", type("A", (Component,), {"setup": setup, "shutdown": shutdown}), phases=frozenset(
        {"setup", "shutdown"}))  # fmt: skip

    async def main() -> None:
        runner = Runner(Plan((step,)))
        await runner.setup()
        await asyncio.sleep(1)
        await runner.shutdown()

    run(main())
    assert log == ["+a", "+d", "shutdown", "-e", "-d", "-c", "-b", "-a"]


@pytest.mark.parametrize("ending", ["fails", "hangs", "is stopped"])
def test_everything_is_undone_when_set_up_does_not_complete(ending: str) -> None:
    """
    Also when set-up fails, passes its limit or is cancelled.
    """
    log: list[str] = []

    async def setup(self: Component) -> None:
        await self.enter(opened(log, "a"))
        self.defer(log.append, "-b")
        self.spawn(work(log, "c"))
        await asyncio.sleep(1)
        if ending == "fails":
            raise RuntimeError("broken")
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        runner = make_runner(setup)
        if ending == "is stopped":
            asyncio.get_running_loop().call_later(2, runner.request_stop)
            assert await runner.setup() is False
        else:
            with pytest.raises(SetupError):
                await runner.setup()
        assert len(asyncio.all_tasks()) == 1

    run(main())
    assert log == ["+a", "-c", "-b", "-a"]


def test_a_manager_is_left_in_the_task_and_context_that_entered_it() -> None:
    """
    So managers that are bound to a task, and tokens of context variables, work.
    """
    variable = contextvars.ContextVar("variable", default="clean")
    tasks: list[asyncio.Task[Any] | None] = []

    @contextlib.asynccontextmanager
    async def bound() -> AsyncIterator[None]:
        tasks.append(asyncio.current_task())
        token = variable.set("bound")
        yield
        variable.reset(token)
        tasks.append(asyncio.current_task())

    async def setup(self: Component) -> None:
        for _ in range(2):
            await self.enter(bound())

    live(setup)
    assert len(tasks) == 4
    assert len(set(tasks)) == 1


def test_a_task_group_may_be_entered() -> None:
    """
    A group whose tasks end is left without an error.
    """
    log: list[str] = []

    async def setup(self: Component) -> None:
        group = await self.enter(asyncio.TaskGroup())
        tasks = [group.create_task(work(log, "a")), group.create_task(work(log, "b"))]
        self.defer(lambda: [task.cancel() for task in tasks])

    live(setup)
    assert sorted(log) == ["-a", "-b"]


def test_a_task_group_that_breaks_is_a_crash() -> None:
    """
    A failing child cancels the task that holds the group: the component has crashed, and leaving tells why.
    """

    async def fail() -> None:
        await asyncio.sleep(1)
        raise ValueError("child")

    async def setup(self: Component) -> None:
        group = await self.enter(asyncio.TaskGroup())
        group.create_task(fail())

    async def main() -> None:
        runner = make_runner(setup)
        await runner.setup()
        await asyncio.sleep(2)
        assert [error.phase for error in runner.failures] == ["task"]
        with pytest.raises(ShutdownError) as caught:
            await runner.shutdown()
        (error,) = caught.value.exceptions
        assert isinstance(error.__cause__, BaseExceptionGroup)
        assert str(error.__cause__.exceptions[0]) == "child"

    run(main())


def test_what_run_enters_is_left_too() -> None:
    """
    `enter` works from `run`, whose task has ended when it is left.
    """
    log: list[str] = []

    async def setup(self: Component) -> None: ...

    async def run_(self: Component) -> None:
        await self.enter(opened(log, "a"))

    live(setup, run=run_)
    assert log == ["+a", "-a"]


def test_one_that_fails_keeps_no_other_from_being_undone() -> None:
    """
    Each is guarded by itself, and each failure is reported.
    """
    log: list[str] = []

    def fail(kind: type[BaseException]) -> None:
        raise kind

    async def setup(self: Component) -> None:
        await self.enter(opened(log, "a"))
        self.defer(fail, SystemExit)
        self.defer(log.append, "-b")
        self.defer(fail, asyncio.CancelledError)

    async def main() -> None:
        runner = make_runner(setup)
        await runner.setup()
        with pytest.raises(ShutdownError) as caught:
            await runner.shutdown()
        assert [type(error.__cause__) for error in caught.value.exceptions] == [asyncio.CancelledError, SystemExit]
        assert {error.phase for error in runner.failures} == {"undo"}

    run(main())
    assert log == ["+a", "-b", "-a"]


def test_one_that_hangs_keeps_no_other_from_being_undone() -> None:
    """
    Callback, manager and task that swallow their cancellation are abandoned one by one, and the rest is undone.
    """
    log: list[str] = []

    @contextlib.asynccontextmanager
    async def stuck() -> AsyncIterator[None]:
        yield
        await resist()

    async def setup(self: Component) -> None:
        self.defer(log.append, "-a")
        await self.enter(opened(log, "b"))
        await self.enter(stuck())
        self.defer(resist)
        self.spawn(resist())

    async def main() -> None:
        runner = make_runner(setup, shutdown=2.0)
        await runner.setup()
        await asyncio.sleep(1)
        with pytest.raises(ShutdownError):
            await runner.shutdown()
        kinds = [(type(error), error.phase) for error in runner.failures]
        assert kinds == [(kind, phase) for phase in ("task", "undo", "undo") for kind in (LimitError, AbandonedError)]
        assert runner.states["a"] is State.ABANDONED
        await asyncio.sleep(200)

    run(main())
    assert log == ["+b", "-b", "-a"]


def test_a_spawned_task_that_raises_is_a_crash() -> None:
    """
    Nothing else happens by itself; whoever awaits the task gets the error too.
    """
    seen: list[BaseException] = []

    async def fail() -> None:
        await asyncio.sleep(1)
        raise RuntimeError("broken")

    async def setup(self: Component) -> None:
        task = self.spawn(fail())
        task.add_done_callback(lambda done: seen.append(done.exception()))

    async def main() -> None:
        runner = make_runner(setup)
        assert await runner.setup()
        await asyncio.sleep(2)
        states = [runner.states["a"]]
        await runner.shutdown()
        (error,) = runner.failures
        assert (error.phase, error.__cause__) == ("task", seen[0])
        assert [*states, runner.states["a"]] == [State.READY, State.FAILED]

    run(main())


def test_a_spawned_task_that_raises_during_set_up_fails_it() -> None:
    """
    Its component's set-up is cancelled; the task's error is the first cause.
    """

    async def fail() -> None:
        raise SystemExit(3)

    async def setup(self: Component) -> None:
        task = self.spawn(fail())
        with pytest.raises(RuntimeError, match="a spawned task raised SystemExit"):
            await task
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        runner = make_runner(setup)
        with pytest.raises(SetupError) as caught:
            await runner.setup()
        (error,) = caught.value.exceptions
        assert str(error) == "component 'a' failed in task: SystemExit: 3"

    run(main())


def test_a_spawned_task_may_be_cancelled_by_its_owner() -> None:
    """
    Before its first step or later, that is no failure, and nothing warns.
    """

    async def setup(self: Component) -> None:
        self.spawn(asyncio.sleep(100)).cancel()
        task = self.spawn(asyncio.sleep(100), name="late")
        assert task.get_name() == "late"
        await asyncio.sleep(1)
        task.cancel()

    live(setup)


def test_a_stray_cancellation_in_a_spawned_task_is_a_crash() -> None:
    """
    A CancelledError that nobody asked for does not pass as one.
    """

    async def stray() -> None:
        raise asyncio.CancelledError

    async def setup(self: Component) -> None:
        self.spawn(stray())

    async def main() -> None:
        runner = make_runner(setup)
        await runner.setup()
        await asyncio.sleep(1)
        assert [error.phase for error in runner.failures] == ["task"]
        await runner.shutdown()

    run(main())


def test_tasks_that_have_ended_are_forgotten() -> None:
    """
    A component that spawns for ever does not grow.
    """

    async def setup(self: Component) -> None:
        for _ in range(100):
            self.spawn(asyncio.sleep(0))
            await asyncio.sleep(0.1)
        scope: Any = self._conductor_scope
        assert scope.empty

    live(setup)


def test_nothing_can_be_registered_when_the_component_is_down() -> None:
    """
    The error says so, and the coroutine is closed without a warning.
    """
    made: list[Component] = []
    log: list[str] = []

    async def setup(self: Component) -> None:
        made.append(self)

    live(setup)

    async def main() -> None:
        for register in (
            lambda: made[0].defer(print),
            lambda: made[0].spawn(asyncio.sleep(0)),
        ):
            with pytest.raises(UsageError, match="component 'a' is down"):
                register()
        with pytest.raises(UsageError, match="component 'a' is down"):
            await made[0].enter(opened(log, "a"))

    asyncio.run(main())
    assert log == []


def test_what_is_entered_after_being_given_up_is_left_at_once() -> None:
    """
    An abandoned set-up cannot leave anything behind.
    """
    log: list[str] = []

    @contextlib.asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        await resist()
        log.append("+a")
        yield
        log.append("-a")

    async def setup(self: Component) -> None:
        with pytest.raises(UsageError):
            await self.enter(slow())

    async def main() -> None:
        runner = make_runner(setup)
        asyncio.get_running_loop().call_later(1, runner.request_stop)
        with pytest.raises(ShutdownError):
            await runner.setup()
        assert log == []
        await asyncio.sleep(200)
        assert len(asyncio.all_tasks()) == 1

    run(main())
    assert log == ["+a", "-a"]


@pytest.mark.parametrize("thing", [3, object()])
def test_only_managers_can_be_entered(thing: object) -> None:
    """
    Anything else is refused by its type.
    """

    async def setup(self: Any) -> None:
        with pytest.raises(TypeError, match="is not a context manager"):
            await self.enter(thing)
        with pytest.raises(TypeError, match="a coroutine was expected"):
            self.spawn(thing)

    live(setup)


def test_the_logger_is_named_after_the_component(caplog: pytest.LogCaptureFixture) -> None:
    """
    Its name is that of the component in the plan.
    """

    async def setup(self: Component) -> None:
        self.logger.warning("hello")

    with caplog.at_level(logging.WARNING):
        live(setup)
    assert [record.name for record in caplog.records] == ["conductor.components.a"]


def test_a_cancellation_left_over_from_set_up_hits_nothing_else() -> None:
    """
    A set-up that cancels its own task and ends before that could hit has ended; what it entered is safe.
    """
    log: list[str] = []

    async def setup(self: Component) -> None:
        await self.enter(opened(log, "a"))
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    live(setup)
    assert log == ["+a", "-a"]
