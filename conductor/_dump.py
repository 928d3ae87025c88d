"""
What the process writes to standard error when it is asked by SIGUSR1: who waits for whom, and where each thread is.

Rules:

1. The threads come first, and come always: ``faulthandler`` writes them without the interpreter, so that they come
   also while a component holds its lock.
2. The rest is written by a plain handler of Python's, in the main thread, between two byte codes.  So it comes while
   the event loop is blocked in Python, and as soon as it is not any more if it is blocked elsewhere.
3. It goes to the descriptor at once; whoever was interrupted may be in the middle of writing to the stream.
4. Who has a handler of SIGUSR1 keeps it, and one that is put in our place stays.
5. A forked child is not the application: there the signal does what it does by default.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import threading
import types
from collections.abc import Callable
from typing import Any, Self

import attrs

STDERR = 2


@attrs.define(eq=False)
class Dump:
    """
    Answers SIGUSR1 within a ``with`` block; does nothing outside the main thread.

    Args:
        describe: gives the text; called in the main thread, wherever that is just then.
    """

    describe: Callable[[], str]
    _process: int = attrs.field(factory=os.getpid, init=False)
    _handler: Callable[[int, types.FrameType | None], Any] | None = attrs.field(default=None, init=False)

    def __enter__(self) -> Self:
        number = getattr(signal, "SIGUSR1", None)  # there is none on Windows
        if number is None or threading.current_thread() is not threading.main_thread():
            return self
        if signal.getsignal(number) is signal.SIG_DFL:
            self._handler = self._handle
            signal.signal(number, self._handler)
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                faulthandler.register(number, file=STDERR, all_threads=True, chain=True)
        return self

    def __exit__(self, *error: object) -> None:
        if self._handler is not None:
            faulthandler.unregister(signal.SIGUSR1)
            if signal.getsignal(signal.SIGUSR1) is self._handler:
                signal.signal(signal.SIGUSR1, signal.SIG_DFL)
            self._handler = None

    def _handle(self, number: int, frame: types.FrameType | None) -> None:
        if os.getpid() != self._process:
            faulthandler.unregister(number)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        try:
            text = self.describe()
        except Exception as error:  # what is described may move meanwhile
            text = f"cannot tell who waits for whom: {type(error).__name__}"
        with contextlib.suppress(OSError):
            left = f"{text}\n".encode("utf-8", "backslashreplace")
            while left:
                left = left[os.write(STDERR, left) :]
