"""
One call into a component, and the watch over all of them.

Rules:

1. A component's coroutine runs in a task and a context of its own.  Whatever it raises, ``SystemExit`` and
   ``KeyboardInterrupt`` included, is caught inside that task: asyncio would re-raise these two out of the loop.
2. A call ends once: when its coroutine ends, when it is reported as ended by a task that lives on, or when it is
   abandoned.  Its owner hears of it in a callback of the loop, never within the component's task.
3. A call over its limit is cancelled, after a grace cancelled once more, and then abandoned: from there on
   nobody waits for it, and whatever it does is ignored.
4. One timer of the loop serves all limits.  A limit that was kept or moved stays in the heap and is skipped
   when its time comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
import math
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

import attrs

GRACE = 1.0
"""
Seconds between the cancellation of a call and the next one.
"""

LAST = 0.1
"""
The part of that grace which is left after the last cancellation.
"""

MOMENT = 0.001
"""
Seconds for a call that had no chance to begin before its limit passed.
"""

Owner = TypeVar("Owner")

_abandoned: set[asyncio.Task[Any]] = set()
# asyncio itself keeps tasks by weak references only


@attrs.define(eq=False)
class Call(Generic[Owner]):
    """
    One call into a component.

    Attributes:
        owner: whose call it is.
        phase: what it does, in the words of :class:`ComponentError`.
        ended: called once when it has ended or is abandoned.
        began: when, on the clock of the loop.
        target: what is called, for a call of a method.
        method: its name.
        limit: seconds that it has; what an error says.
        deadline: when these are over, on the clock of the loop.
        task: the task that it runs in.
        error: what it raised.
        begun: whether its task got to the component's code.
        asked: whether it was cancelled by us.
        strikes: how often it passed a deadline.
        over: whether it has ended or is abandoned.
        abandoned: whether it was left behind.
    """

    owner: Owner
    phase: str
    ended: Callable[[Call[Owner]], None]
    began: float = 0.0
    target: object = None
    method: str = ""
    limit: float = math.inf
    deadline: float = math.inf
    task: asyncio.Task[Any] | None = None
    error: BaseException | None = None
    begun: bool = False
    asked: bool = False
    strikes: int = 0
    over: bool = False
    abandoned: bool = False

    @property
    def failure(self) -> BaseException | None:
        """
        What it raised, if it is to blame for it: not for a cancellation by us, nor after it was abandoned.
        """
        if self.abandoned or (self.asked and isinstance(self.error, asyncio.CancelledError)):
            return None
        return self.error

    @property
    def completed(self) -> bool:
        """
        Whether it came to its own end without an error.
        """
        return self.over and self.error is None and not self.abandoned

    @property
    def was_prevented(self) -> bool:
        """
        Whether a stranger cancelled its task before the component's own code had begun.
        """
        return not self.asked and not self.begun

    def cancel(self) -> None:
        """
        Ask the task to end.
        """
        self.asked = True
        if self.task is not None:
            with contextlib.suppress(BaseException):  # it may wait for a future with a `cancel` of its own
                self.task.cancel()

    def settle(self, task: asyncio.Task[Any]) -> None:
        """
        Note that the task is done; this is its callback.
        """
        if not task.cancelled():
            task.exception()  # has been seen
        elif not self.begun:  # it was cancelled before it got to where errors are caught
            self.error = asyncio.CancelledError()
        self.report()

    def report(self) -> None:
        """
        Tell the owner that the call has ended, unless it knows.
        """
        if not self.over:
            self.over = True
            self.ended(self)


async def guard(call: Call[Any]) -> None:
    """
    Await the method that is called, and keep whatever looking it up, calling it and awaiting it raises.
    """
    call.begun = True
    try:
        await getattr(call.target, call.method)()
    except BaseException as error:
        call.error = error


async def calm_down() -> None:
    """
    Forget what cancellations of this task are still on their way, so that they do not hit what it does next.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        while task.uncancel():
            pass


@attrs.define(eq=False)
class Watch(Generic[Owner]):
    """
    Runs calls and sees that they end.

    Attributes:
        loop: the loop that they run in.
        context: the context of the owner's callbacks; each task gets a copy.
        overdue: told of a call that passed its deadline, while it still stands where it stood.
        left_behind: told of a call that was abandoned, before its ``ended`` is called.
        end: when no time at all is left, on the clock of the loop.
    """

    loop: asyncio.AbstractEventLoop
    context: contextvars.Context
    overdue: Callable[[Call[Owner]], None]
    left_behind: Callable[[Call[Owner]], None]
    end: float = math.inf
    _heap: list[tuple[float, int, Call[Owner]]] = attrs.field(factory=list, init=False)
    _pushed: int = attrs.field(default=0, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)

    def begin(self, call: Call[Owner], coro: Coroutine[Any, Any, object], *, name: str) -> asyncio.Task[Any]:
        """
        Run a coroutine as this call, from the next turn of the loop on.
        """
        # Made by hand: a factory of the application could run it at once, in the middle of our own work.
        task = call.task = asyncio.Task(coro, loop=self.loop, name=name)
        task.add_done_callback(call.settle, context=self.context)
        return task

    def set_limit(self, call: Call[Owner], limit: float, deadline: float) -> None:
        """
        Have a call cancelled if it is not over by then.

        Args:
            call: the call.
            limit: seconds that it has, as the error will say.
            deadline: when that is, on the clock of the loop.
        """
        call.limit = limit
        call.deadline = deadline
        self._pushed += 1
        heapq.heappush(self._heap, (deadline, self._pushed, call))
        if self._timer is None or deadline < self._timer.when():
            self._arm(deadline)

    def abandon(self, call: Call[Owner]) -> None:
        """
        Go on as if the call had ended.
        """
        self.desert(call)
        self.left_behind(call)
        call.ended(call)

    def desert(self, call: Call[Owner]) -> None:
        """
        Cancel a call and listen to it no longer, without a word to its owner.
        """
        call.over = call.abandoned = True
        if call.task is not None and not call.task.done():
            _abandoned.add(call.task)
            call.task.add_done_callback(_abandoned.discard)
        call.cancel()

    def forget(self) -> None:
        """
        Drop the limits of calls that are over; nothing if some are not.
        """
        if all(call.over for _, _, call in self._heap):
            self.close()

    def close(self) -> None:
        """
        Drop all limits.
        """
        self._heap.clear()
        self._disarm()

    def _arm(self, when: float) -> None:
        self._disarm()
        self._timer = self.loop.call_at(when, self._ring, context=self.context)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        now = self.loop.time()
        if self._timer is not None:  # the loop may come up to one tick of its clock too early
            now = max(now, self._timer.when())
            self._timer = None
        # From the end on, which may come with the first of these, the owner gives everything up.
        while self._heap and self._heap[0][0] <= now < self.end:
            deadline, _, call = heapq.heappop(self._heap)
            if not call.over and call.deadline == deadline:
                self._strike(call, now)
        if self._heap and self._timer is None and now < self.end:
            self._arm(self._heap[0][0])

    def _strike(self, call: Call[Owner], now: float) -> None:
        if not (call.begun or call.asked):  # somebody else has used up its time: let it begin at least
            self.set_limit(call, call.limit, now + MOMENT)
            return
        call.strikes += 1
        if call.strikes == 1:
            self.overdue(call)
        if call.strikes > 2:
            self.abandon(call)
            return
        call.cancel()
        grace = max(0.0, min(GRACE, (self.end - now) / 2))
        self.set_limit(call, call.limit, now + (grace if call.strikes == 1 else grace * LAST))
