"""
A watch over the event loop from a thread of its own: who blocks it is named while that goes on.

Rules:

1. The thread asks the loop for a sign of life, waits, and asks again.  That costs the loop one callback each time.
2. If no sign comes within the limit, the stack of the loop's thread is taken and told, once for each blockage.
3. Whose code it is: the component that the running task works for; else the one that the innermost frame leads to.
4. A process that was halted as a whole, as by SIGSTOP, or whose interpreter lock was held, is no blocked loop: the
   thread has noticed that it was late itself, and begins anew.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from ._diagnosis import Blockage, find_blamed

OFTEN = 0.5
"""
Seconds between two signs of life, at most.
"""

LAST = 1.0
"""
Seconds that the thread gets to end.
"""

_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep


@attrs.define(eq=False)
class Heartbeat:
    """
    Watches the running loop of this thread within a ``with`` block.

    Args:
        owner_of: says which component a task works for, if any.
        modules: the module that the class of each component is from, by the component's name.
        limit: seconds after which the loop counts as blocked.
        on_blocked: told of a blockage, in the thread of the watch.
    """

    owner_of: Callable[[asyncio.Task[Any]], str | None]
    modules: Mapping[str, str]
    limit: float
    on_blocked: Callable[[Blockage], None]
    _loop: asyncio.AbstractEventLoop = attrs.field(init=False)
    _thread: int = attrs.field(init=False)
    _watcher: threading.Thread = attrs.field(init=False)
    _ended: threading.Event = attrs.field(factory=threading.Event, init=False)
    _asked: float = attrs.field(default=0.0, init=False)
    _answered: bool = attrs.field(default=True, init=False)

    def __enter__(self) -> Heartbeat:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._watcher = threading.Thread(target=self._run, name="conductor-heartbeat", daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._watcher.join(LAST)

    def blockage(self) -> Blockage | None:
        """
        What blocks the loop just now, from any thread; None if it has answered within the limit.
        """
        seconds = time.monotonic() - self._asked
        if self._answered or seconds < self.limit:
            return None
        return self.describe(seconds)

    def describe(self, seconds: float) -> Blockage:
        """
        Where the loop's thread stands, and whose code that is.

        Args:
            seconds: for how long the loop has not answered.
        """
        frame = sys._current_frames().get(self._thread)
        task = asyncio.current_task(self._loop)
        component = None if task is None else self.owner_of(task)
        if component is None:
            component = find_blamed(self.modules, _modules(frame))
        return Blockage(component, None if task is None else task.get_name(), seconds, stack_of(frame))

    def _run(self) -> None:
        pause = min(OFTEN, self.limit / 2)
        told = False
        woken = time.monotonic()
        while not self._ended.wait(pause):
            late, woken = time.monotonic() - woken > pause + max(pause, 0.5), time.monotonic()
            if self._answered:
                told = False
                if not self._ask():
                    return
            elif late:
                self._asked = woken
            elif not told and woken - self._asked >= self.limit:
                blockage = self.describe(woken - self._asked)
                if not self._answered:  # else it went on meanwhile, and the stack is that of something else
                    told = True
                    self.on_blocked(blockage)

    def _ask(self) -> bool:
        self._answered, self._asked = False, time.monotonic()
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def _answer(self) -> None:
        self._answered = True


def stack_of(frame: types.FrameType | None) -> tuple[str, ...]:
    """
    The frames of a thread as ``file:line in function``, innermost last, from where its event loop calls what it runs.
    """
    found: list[str] = []
    while frame is not None:
        code = frame.f_code
        if code.co_qualname == "Handle._run" and code.co_filename.endswith(f"asyncio{os.sep}events.py"):
            break
        if not code.co_filename.startswith(_OWN):
            found.append(f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}")
        frame = frame.f_back
    return tuple(reversed(found))


def _modules(frame: types.FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield str(frame.f_globals.get("__name__", ""))
        frame = frame.f_back
