"""
Requests to stop that come from outside: in place before the first component is imported, kept until the end.

Theory of operation.  Plain ``signal.signal`` handlers count the requests.  They run in the main thread between two
byte codes, so they work while components are being imported, while the event loop is busy in Python code, and when
there is no loop yet.

1. The first request asks for an orderly stop, and arms the timed exit: ``faulthandler`` ends the process from a
   thread of its own, which needs no interpreter lock, if the whole stop takes longer than its limit and one second.
2. The second one leaves what is left one second in all.
3. The third one ends the process at once.
4. A server that caught a signal and raises it again for others is not a further request: the frame that the signal
   interrupted is then the one that raised it.
5. Whoever puts another handler in our place is noticed, and ours is put back.
6. A forked child is not the application: there the signal does what it does by default.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any, Self

import attrs

from .lifecycle import StopRequested

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # there is no SIGHUP on Windows


@attrs.define(eq=False)
class Signals:
    """
    The requests to stop that this process got.

    Args:
        limit: seconds that the whole stop may take, for the timed exit; None arms none.

    Attributes:
        received: the signals that came, in order.
    """

    limit: float | None = None
    received: list[int] = attrs.field(factory=list, init=False)
    _listener: Callable[[int], None] | None = attrs.field(default=None, init=False)
    _importing: bool = attrs.field(default=False, init=False)
    _previous: dict[int, Any] = attrs.field(factory=dict, init=False)
    _process: int = attrs.field(factory=os.getpid, init=False)
    _handler: Callable[[int, types.FrameType | None], None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._handler = self._handle

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                previous = signal.getsignal(number)
                if number == getattr(signal, "SIGHUP", None) and previous is signal.SIG_IGN:
                    continue  # started by nohup
                self._previous[number] = previous
                signal.signal(number, self._handler)
        return self

    def __exit__(self, *error: object) -> None:
        for number, previous in self._previous.items():
            if signal.getsignal(number) is self._handler:
                signal.signal(number, previous if previous is not None else signal.SIG_DFL)
        self._previous.clear()

    @property
    def first(self) -> str | None:
        """
        The name of the first signal that came, or None.
        """
        return signal.Signals(self.received[0]).name if self.received else None

    def listen(self, listener: Callable[[int], None] | None) -> None:
        """
        Have a function called, within the handler, with the number of requests so far; it must not block.
        """
        self._listener = listener

    @contextlib.contextmanager
    def interrupting_imports(self) -> Iterator[None]:
        """
        Within this block a request raises :class:`StopRequested` where the main thread is.
        """
        self._importing = True
        try:
            if self.received:
                raise StopRequested(self.first)
            yield
        finally:
            self._importing = False

    def put_back(self) -> tuple[str, ...]:
        """
        Put our handlers back where somebody replaced them.

        Returns:
            One sentence for each that was replaced, naming the handler that was found.
        """
        if threading.current_thread() is not threading.main_thread():
            return ()
        found = []
        for number in self._previous:
            current = signal.getsignal(number)
            if current is not self._handler:
                signal.signal(number, self._handler)
                found.append(f"the handler of {signal.Signals(number).name} was replaced by {current!r}")
        return tuple(found)

    def _handle(self, number: int, frame: types.FrameType | None) -> None:
        if os.getpid() != self._process:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if self.received and _raises_signals(frame):
            return
        self.received.append(number)
        if len(self.received) == 1:
            arm_timed_exit(self.limit)
        elif len(self.received) > 2:
            leave_at_once(128 + number)
        if self._importing:
            raise StopRequested(self.first)
        if self._listener is not None:
            self._listener(len(self.received))


def _raises_signals(frame: types.FrameType | None) -> bool:
    """
    Whether the interrupted code is one that raises signals in its own process.
    """
    names = frame.f_code.co_names if frame is not None else ()
    return "raise_signal" in names or ("kill" in names and "getpid" in names)


def arm_timed_exit(limit: float | None) -> None:
    """
    Have the process end, and say where each thread was, one second after the limit.

    Args:
        limit: seconds from now; None does nothing.
    """
    if limit is not None:
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            faulthandler.dump_traceback_later(limit + 1.0, exit=True, file=2)


def disarm_timed_exit() -> None:
    """
    Let the process live on.
    """
    faulthandler.cancel_dump_traceback_later()


def leave_at_once(code: int) -> None:
    """
    End the process here and now, with nothing undone but what was written to the standard streams.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)
