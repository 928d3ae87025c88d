"""
The engine: set components up concurrently and shut them down in reverse, whatever they do.

The engine is driven by events.  It counts, for each component, how many of its needs are not
ready yet, and how many of its dependents have not finished; a component is set up when the first count is zero,
and shut down when the second is.  Each event (a call into a component ended, a limit passed, somebody asked to
stop) is a plain callback of the loop: it moves one component on, puts whoever became free into a queue, and works
that queue off.  Nobody has to wait for it; the work goes on by itself.

Rules:

1. The engine never runs within a component's task or context, and a component never within the engine's
   (see :mod:`conductor._watch`).  What has nothing to await gets no task: it is built in a context of its own.
2. A component that is free is set up in the order of the plan, and shut down in the reverse of it.  No levels.
3. Construction is the first part of set-up.  A component is ready when both have come to their end, and nobody
   has asked to stop; then ``run`` begins.
4. The first failure of a set-up, the loss of a ready component meanwhile, a cancelled caller and a request to stop
   all take the same path: what has not begun is skipped, set-ups in flight are cancelled, everything is undone.
5. A component's turn to stop comes when all its dependents have finished: are down, failed, abandoned or skipped.
   It has these stages: its set-up (if that is in flight) or its ``run`` is cancelled and awaited; ``shutdown`` is
   called, once, if set-up came to its end; what it registered is undone, newest first.
6. All stages of a turn share ``limits.shutdown``.  When that is used up, each stage that is left still gets a
   grace, so that it is not skipped because another one hung.
7. The whole stop ends at its own limit, which a second request may bring forward.  A last part of it is kept back:
   when that begins, all that is still at work is over its limit, and what is left may use half of what remains,
   each in its turn, so that one that hangs leaves some to those below.  When the time is over, what is still at
   work is abandoned, and what was not begun is recorded as a failure.
8. Whatever happens, one stage that fails keeps nothing after it from happening.  Each failure is recorded once, in
   the order of occurrence.
"""

from __future__ import annotations

import asyncio
import contextvars
import enum
import heapq
import logging
from collections.abc import Callable
from typing import Any

import attrs

from ._budget import Budget
from ._failures import Failures
from ._node import Build, Node, gather_values, make_nodes
from ._plan import Plan
from ._scope import Deferred, Entered, LiveScope
from ._watch import Call, Watch, guard
from .exceptions import ComponentError
from .lifecycle import State, Transition, check_move

logger = logging.getLogger("conductor.runner")


class Stage(enum.Enum):
    """
    Where the whole life stands.
    """

    NEW = "new"
    SETTING_UP = "setting up"
    UP = "up"
    STOPPING = "stopping"
    OVER = "over"


@attrs.define(eq=False)
class Engine:
    """
    What moves the components of one life.

    Attributes:
        plan: what runs.
        build: makes the instance of a component.
        notify: called for each move of a component.
        on_crash: called when the `run` or a spawned task of a ready component failed, unless a stop was requested.
        wake: called when all are ready, and when all have finished.
        on_overdue: called when a call has passed its limit, while everybody still stands where it stood.
        stage: where the whole life stands.
        asked: whether a stop was requested.
        cut_short: whether the stop began before all were ready.
        failed_before: how many failures there were when the stop began.
    """

    plan: Plan
    build: Build
    notify: Callable[[Transition], None] | None
    on_crash: Callable[[ComponentError], None] | None
    wake: Callable[[], None]
    on_overdue: Callable[[ComponentError], None] | None = None
    by_name: dict[str, Node] = attrs.field(init=False)
    nodes: tuple[Node, ...] = attrs.field(init=False)
    failures: Failures = attrs.field(init=False)
    stage: Stage = attrs.field(default=Stage.NEW, init=False)
    asked: bool = attrs.field(default=False, init=False)
    cut_short: bool = attrs.field(default=False, init=False)
    failed_before: int = attrs.field(default=0, init=False)
    _left: int = attrs.field(init=False)
    _queue: list[int] = attrs.field(factory=list, init=False)
    _budget: Budget = attrs.field(init=False)
    _end: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _context: contextvars.Context = attrs.field(init=False)
    _loop: asyncio.AbstractEventLoop = attrs.field(init=False)
    _watch: Watch[Node] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.by_name = make_nodes(self.plan.steps)
        self.nodes = tuple(self.by_name.values())
        self.failures = Failures(self.plan.steps)
        self._left = len(self.nodes)
        self._budget = Budget(self.plan.stop)

    # What can be asked of it

    def begin(self) -> None:
        """
        Set everything up in the running loop, from its next turn on; nothing if a stop was requested already.
        """
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._watch = Watch(self._loop, self._context, self._overdue, self._left_behind)
        self.stage = Stage.SETTING_UP
        self._soon(self._begin_stop if self.asked else self._begin)

    def request_stop(self) -> None:
        """
        Begin to stop, in the next turn of the loop; before anything has begun, when that is asked for.
        """
        if not self.asked:
            self.asked = True
            if self.stage is not Stage.NEW:
                self._soon(self._begin_stop)

    def set_budget(self, limit: float, *, longer: bool = False) -> None:
        """
        Let the whole stop take so many seconds from its beginning, or from now, if that ends it sooner.

        Args:
            limit: how many.
            longer: whether it may also end later; not once a stop was requested.
        """
        if self.stage is not Stage.STOPPING:
            self._budget.seconds = limit if longer and not self.asked else min(self._budget.seconds, limit)
        elif self._budget.shorten(limit, self._loop.time()):
            self._set_end()
            for node in self.nodes:
                if node.call is not None and node.call.deadline > self._budget.late:
                    self._watch.set_limit(node.call, limit, self._budget.late)

    def time(self) -> float:
        """
        Seconds on the clock of the loop.
        """
        return self._loop.time()

    def calls(self) -> list[Call[Node]]:
        """
        All calls that are at work.
        """
        return [call for node in self.nodes for call in self._calls(node)]

    # What is free begins

    def _soon(self, function: Callable[..., None], *args: Any) -> None:
        self._loop.call_soon(function, *args, context=self._context)

    def _begin(self) -> None:
        if self.stage is Stage.SETTING_UP:
            self._queue = [node.index for node in self.nodes if not node.missing]
            self._pump()

    def _pump(self) -> None:
        """
        Begin everything that is free; what ends at once frees more, without recursion.
        """
        while self._queue:
            node = self.nodes[abs(heapq.heappop(self._queue))]
            if self.stage is Stage.SETTING_UP:
                self._set_up(node)
            else:
                self._take_turn(node, State.SHUTTING_DOWN)
        if not self._left:
            if self.stage is Stage.SETTING_UP:
                self.stage, self._left = Stage.UP, len(self.nodes)
                self._watch.forget()
                self.wake()
            elif self.stage is Stage.STOPPING:
                self._finish()

    def _move(self, node: Node, state: State) -> None:
        before, node.state = node.state, state
        if self.notify is not None:
            check_move(node.step.name, before, state)
            failed = state in (State.UNDOING, State.FAILED, State.ABANDONED)
            _tell(self.notify, Transition(node.step.name, before, state, self.time(), node.failure if failed else None))

    # Set-up

    def _set_up(self, node: Node) -> None:
        self._move(node, State.SETTING_UP)
        now = node.setup_began = self._loop.time()
        call = node.call = Call(node, "set-up", self._set_up_ended, now)
        if hasattr(node.step.cls, "_conductor_scope"):
            node.scope = LiveScope(node.step.name, node, self, self._watch)
        if "setup" in node.step.phases:
            task = self._watch.begin(call, self._call_setup(call, node), name=node.step.name)
            limit = node.step.limits.setup
            self._watch.set_limit(call, limit, now + limit)
            if node.scope is not None:
                node.scope.task = task
        else:
            contextvars.copy_context().run(self._construct_only, call, node)
            self._after_set_up(call)

    async def _call_setup(self, call: Call[Node], node: Node) -> None:
        call.begun = True
        try:
            self._construct(node)
            await node.instance.setup()
        except BaseException as error:
            call.error = error
        if node.scope is not None and node.scope.holding:
            await node.scope.hold(call)

    def _construct_only(self, call: Call[Node], node: Node) -> None:
        try:
            self._construct(node)
        except BaseException as error:
            call.error = error
        call.over = True

    def _construct(self, node: Node) -> None:
        values = gather_values(node.step, lambda name: self.by_name[name].instance)
        node.instance = self.build(node.step, values, node.scope)

    def _set_up_ended(self, call: Call[Node]) -> None:
        self._after_set_up(call)
        self._pump()

    def _after_set_up(self, call: Call[Node]) -> None:
        node = call.owner
        node.call = None
        if node.scope is not None and (call.abandoned or not node.scope.holding):
            node.scope.release()
        if call.failure is not None:
            self.failures.add_raised(node, call.phase, call.failure)
        if call.completed:
            node.setup_ended = self._loop.time()
            node.owes_shutdown = "shutdown" in node.step.phases
            if self.stage is Stage.SETTING_UP:
                self._become_ready(node)
                return
        self._begin_stop()
        self._take_turn(node, State.SHUTTING_DOWN if call.completed else State.UNDOING)

    def _become_ready(self, node: Node) -> None:
        self._move(node, State.READY)
        self._left -= 1
        if "run" in node.step.phases:
            call = node.run = Call(node, "run", self.task_ended, self._loop.time(), node.instance, "run")
            self._watch.begin(call, guard(call), name=f"{node.step.name} run")
        for dependent in node.dependents:
            dependent.missing -= 1
            if not dependent.missing:
                heapq.heappush(self._queue, dependent.index)

    # Stop

    def _begin_stop(self) -> None:
        if self.stage not in (Stage.SETTING_UP, Stage.UP):
            return
        self.cut_short = self.stage is Stage.SETTING_UP
        self.failed_before = len(self.failures.found)
        self.stage, self._left, self.asked = Stage.STOPPING, len(self.nodes), True
        now = self._loop.time()
        self._budget.begin(now)
        self._set_end()
        self._queue.clear()
        for node in reversed(self.nodes):
            if node.state is State.PENDING:
                self._move(node, State.SKIPPED)
                self._release(node)
            elif node.state is State.SETTING_UP and node.call is not None:
                node.until = now + node.step.limits.shutdown
                if not node.call.strikes:
                    self._end_call(node, node.call)
            elif node.state is State.READY and not node.dependents:
                heapq.heappush(self._queue, -node.index)
        self._soon(self._pump)

    def _set_end(self) -> None:
        if self._end is not None:
            self._end.cancel()
        self._watch.end = self._budget.end
        self._end = self._loop.call_at(self._budget.end, self._give_up, context=self._context)

    def _take_turn(self, node: Node, state: State) -> None:
        now = node.shutdown_began = self._loop.time()
        node.until = node.until or now + node.step.limits.shutdown
        self._move(node, state)
        self._advance(node)

    def _advance(self, node: Node) -> None:
        """
        Begin the next stage of a component's turn to stop.
        """
        if node.run is not None and not node.run.over:
            self._end_call(node, node.run)
        elif node.owes_shutdown:
            node.owes_shutdown = False
            call = self._make_call(node, "shutdown", node.instance, "shutdown")
            self._watch.begin(call, guard(call), name=node.step.name)
        elif node.scope is None or (entry := node.scope.pop()) is None:
            self._close(node)
        elif isinstance(entry, Call):
            self._end_call(node, entry)
        else:
            self._undo(node, node.scope, entry)

    def _undo(self, node: Node, scope: LiveScope, entry: Entered | Deferred) -> None:
        call = self._make_call(node, "undo", entry, "undo")
        if not (isinstance(entry, Entered) and entry.kept and scope.hand_over(call, entry)):
            self._watch.begin(call, guard(call), name=node.step.name)

    def _make_call(self, node: Node, phase: str, target: object, method: str) -> Call[Node]:
        call = node.call = Call(node, phase, self._stage_ended, self._loop.time(), target, method)
        self._limit_stage(node, call)
        return call

    def _end_call(self, node: Node, call: Call[Node]) -> None:
        node.call = call
        call.cancel()
        self._limit_stage(node, call)

    def _limit_stage(self, node: Node, call: Call[Node]) -> None:
        self._watch.set_limit(call, *self._budget.allot(node.step.limits.shutdown, node.until, self._loop.time()))

    def _stage_ended(self, call: Call[Node]) -> None:
        if call.was_prevented:  # nothing has been called yet, and it must be, once
            call.over, call.error = False, None
            self._watch.begin(call, guard(call), name=call.owner.step.name)
            return
        if call.failure is not None:
            self.failures.add_raised(call.owner, call.phase, call.failure)
        self._go_on(call)

    def _go_on(self, call: Call[Node]) -> None:
        node = call.owner
        if node.call is not call:
            return
        node.call = None
        if call.abandoned and node.scope is not None and call.task is node.scope.task:
            node.scope.release()
        self._advance(node)
        self._pump()

    def _close(self, node: Node) -> None:
        if node.scope is not None:
            node.scope.close()
        node.shutdown_ended = self._loop.time()
        self._move(node, node.outcome())
        self._release(node)

    def _release(self, node: Node) -> None:
        """
        Count a component as finished for those that it needs.
        """
        self._left -= 1
        for need in node.needs:
            need.users -= 1
            if not need.users and need.state is State.READY:
                heapq.heappush(self._queue, -need.index)

    def _give_up(self) -> None:
        """
        The time is over: abandon what is at work, record what was not begun.
        """
        for node in reversed(self.nodes):
            if not node.state.final:
                self._desert(node)
        self._finish()

    def _desert(self, node: Node) -> None:
        at_work = node.call if node.call is not None and node.call.begun else None
        if at_work is not None:
            self.failures.add_abandoned(at_work)
        left = [call for call in self._calls(node) if call is not at_work]
        if left or node.owes_shutdown or not (node.scope is None or node.scope.empty):
            self.failures.add_not_shut_down(node, self._budget.seconds)
        for call in self._calls(node):
            self._watch.desert(call)
        if node.state in (State.READY, State.SETTING_UP):
            self._move(node, State.SHUTTING_DOWN if node.state is State.READY else State.UNDOING)
        self._close(node)

    def _calls(self, node: Node) -> list[Call[Node]]:
        found = [node.call] if node.call is not None else []
        if node.run is not None and node.run is not node.call and not node.run.over:
            found.append(node.run)
        return found if node.scope is None else found + node.scope.tasks()

    def _finish(self) -> None:
        self.stage = Stage.OVER
        self._queue.clear()
        if self._end is not None:
            self._end.cancel()
        self._watch.close()
        self.wake()

    # Failures

    def task_ended(self, call: Call[Node]) -> None:
        """
        Note that a `run` or a spawned task has ended, by itself or because it was its turn.
        """
        if call.failure is not None:
            self._crash(call.owner, call.phase, call.failure)
        self._go_on(call)

    def kept_task_cancelled(self, owner: Node, error: BaseException) -> None:
        """
        Note that the task in which a component has entered something was cancelled by that, or by a stranger.
        """
        self._soon(self._crash, owner, "task", error)

    def _crash(self, node: Node, phase: str, error: BaseException) -> None:
        failure = self.failures.add_raised(node, phase, error)
        if self.stage is Stage.STOPPING or (self.asked and node.state is State.READY):
            return
        if node.state is State.READY and self.on_crash is not None:
            _tell(self.on_crash, failure)
        elif self.stage is Stage.SETTING_UP:
            self._begin_stop()

    def _overdue(self, call: Call[Node]) -> None:
        failure = self.failures.add_overdue(call)
        if self.on_overdue is not None:
            _tell(self.on_overdue, failure)
        self._begin_stop()

    def _left_behind(self, call: Call[Node]) -> None:
        self.failures.add_abandoned(call)


def _tell(listener: Callable[[Any], None], news: object) -> None:
    try:
        listener(news)
    except BaseException:
        logger.exception("a listener failed")
