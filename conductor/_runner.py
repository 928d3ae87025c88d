"""
One life of one plan, as something that can be awaited.

The :mod:`engine <conductor._engine>` does the work, in callbacks of the loop.  What is here waits for it:

1. ``setup`` ends when all is ready, or when all is down again; ``shutdown`` when all is down.
2. A cancelled caller is remembered, and told when the work is done, however often it is cancelled.  Only a
   component that waits for the end in a task of its own is told at once: the end waits for that task.
3. Whoever waits hears of the failures: ``setup`` of all if a failure was why it stopped, ``shutdown`` of those since
   the stop began, unless ``setup`` tells them.
4. No signal handler is touched, and any running loop will do, in any thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ._diagnosis import Waiting
from ._engine import Engine, Stage
from ._node import Build, Node, construct
from ._plan import Plan
from ._report import Times
from ._suspension import suspended
from .exceptions import ComponentError, RunError, SetupError, ShutdownError, UsageError
from .lifecycle import State, Transition


class Runner:
    """
    One life of one plan.

    Args:
        plan: what to run.
        build: makes the instance of a component, given its step, its values by name of the constructor's argument
            and its scope (None for one that cannot register anything); may raise anything.
        notify: called for each move of a component; what it raises is logged.
        on_crash: called when the `run` or a spawned task of a ready component failed, unless a stop was requested.
            Without it, that makes a set-up fail that is under way, and changes nothing later.
        on_overdue: called when a component has passed a limit, while everybody still stands where it stood.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        build: Build = construct,
        notify: Callable[[Transition], None] | None = None,
        on_crash: Callable[[ComponentError], None] | None = None,
        on_overdue: Callable[[ComponentError], None] | None = None,
    ) -> None:
        self.plan = plan
        self._waiters: list[asyncio.Future[None]] = []
        self._engine = Engine(plan, build, notify, on_crash, self._wake, on_overdue)

    @property
    def instances(self) -> Mapping[str, object]:
        """
        The components that were built, by name.
        """
        return MappingProxyType({n.step.name: n.instance for n in self._engine.nodes if n.instance is not None})

    @property
    def states(self) -> Mapping[str, State]:
        """
        The state of each component, by name, in the order of the plan.
        """
        return MappingProxyType({node.step.name: node.state for node in self._engine.nodes})

    @property
    def times(self) -> Mapping[str, Times]:
        """
        When each component was set up and shut down, by name, in the order of the plan.
        """
        return MappingProxyType({node.step.name: node.times for node in self._engine.nodes})

    @property
    def failures(self) -> tuple[ComponentError, ...]:
        """
        All failures so far, the first cause first.
        """
        return tuple(self._engine.failures.found)

    @property
    def stopping(self) -> bool:
        """
        Whether somebody asked to stop, or a failure did; also when all is down.
        """
        return self._engine.asked or self._engine.stage in (Stage.STOPPING, Stage.OVER)

    def waiting(self) -> tuple[Waiting, ...]:
        """
        Who is at work, and who waits for whom, in the order of the plan; nobody who is ready or has finished.
        """
        if self._engine.stage not in (Stage.SETTING_UP, Stage.STOPPING):
            return ()
        return tuple(found for node in self._engine.nodes if (found := self._describe(node)) is not None)

    def running(self) -> tuple[Waiting, ...]:
        """
        What the components that are ready do by themselves: their `run`, and the tasks that they spawned.
        """
        found = []
        for node in self._engine.nodes:
            run = node.run.task if node.run is not None and not node.run.over else None
            tasks = _spawned(node)
            if node.state is State.READY and (run is not None or tasks):
                seconds = self._engine.time() - (node.setup_ended or 0.0)
                places = suspended(run) if run is not None else ()
                found.append(Waiting(node.step.name, "run", seconds, places, tasks))
        return tuple(found)

    def owner_of(self, task: asyncio.Task[Any]) -> str | None:
        """
        The name of the component that a task works for; None if it is not one that the runner knows.
        """
        return next((call.owner.step.name for call in self._engine.calls() if call.task is task), None)

    async def setup(self) -> bool:
        """
        Set everything up.

        Returns:
            Whether all is ready; False: somebody asked to stop, and all is down again.

        Raises:
            SetupError: something failed, and all is down again.
            ShutdownError: somebody asked to stop, and that was not clean.
            asyncio.CancelledError: the caller was cancelled, and all is down again.
            UsageError: this life has begun before.
        """
        engine = self._engine
        if engine.stage is not Stage.NEW:
            raise UsageError("these components have been set up before\nhint: each life needs a runner of its own")
        engine.begin()
        cancelled = await self._wait(ready=True)
        if self._is_up():
            return True
        self._raise(self._outcome(), cancelled)
        return False

    async def shutdown(self, *, limit: float | None = None) -> None:
        """
        Shut everything down, whatever state it is in; all callers share one stop.

        Args:
            limit: seconds that the whole stop may take, by default the plan's; once it has begun, this can only
                bring the end forward.

        Raises:
            ShutdownError: something failed since the stop began, unless ``setup`` tells.
            asyncio.CancelledError: the caller was cancelled; all is down nevertheless.
        """
        engine = self._engine
        if limit is not None:
            engine.set_budget(limit, longer=True)
        engine.request_stop()
        if engine.stage is Stage.NEW:
            engine.begin()
        cancelled = await self._wait(ready=False)
        error = self._outcome()
        self._raise(None if isinstance(error, SetupError) else error, cancelled)

    def request_stop(self) -> None:
        """
        Begin to stop, in the next turn of the loop; call it in the loop, or before ``setup``.

        During set-up this takes the path of a failure, but nobody has failed: ``setup`` returns False.
        """
        self._engine.request_stop()

    def hurry(self, limit: float = 1.0) -> None:
        """
        Stop, and let what is left have only so many seconds in all, still in order.
        """
        self._engine.set_budget(limit)
        self._engine.request_stop()

    async def _wait(self, *, ready: bool) -> asyncio.CancelledError | None:
        """
        Wait until all is down, or ready if that is enough.

        Returns:
            The first cancellation of the caller, if there was one.
        """
        engine, cancelled = self._engine, None
        while engine.stage is not Stage.OVER and not (ready and self._is_up()):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError as error:
                cancelled = cancelled or error
                engine.request_stop()
                task = asyncio.current_task()
                if any(call.task is task for call in engine.calls()):
                    break
        return cancelled

    def _is_up(self) -> bool:
        return self._engine.stage is Stage.UP and not self._engine.asked

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _outcome(self) -> RunError | None:
        engine = self._engine
        if engine.cut_short and engine.failed_before:
            return SetupError("cannot set up", engine.failures.found)
        failures = engine.failures.found[engine.failed_before :]
        return ShutdownError("cannot shut down cleanly", failures) if failures else None

    def _raise(self, error: RunError | None, cancelled: asyncio.CancelledError | None) -> None:
        if cancelled is not None:
            raise cancelled from error
        if error is not None:
            raise error

    def _describe(self, node: Node) -> Waiting | None:
        spawned = _spawned(node)
        if node.call is not None and node.call.task is not None:
            seconds = self._engine.time() - node.call.began
            where = suspended(node.call.task)
            return Waiting(node.step.name, node.call.phase, seconds, where, spawned)
        if node.state is State.PENDING:
            on = tuple(need.step.name for need in node.needs if need.state is not State.READY)
            return Waiting(node.step.name, None, on=on)
        if node.state is State.READY and self._engine.stage is Stage.STOPPING:
            on = tuple(dependent.step.name for dependent in node.dependents if not dependent.state.final)
            return Waiting(node.step.name, None, tasks=spawned, on=on)
        return None


def _spawned(node: Node) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """
    Where each task stands that a component has spawned, by its name.
    """
    tasks = [] if node.scope is None else [call.task for call in node.scope.tasks() if call.task is not None]
    return tuple((task.get_name(), suspended(task)) for task in tasks)
