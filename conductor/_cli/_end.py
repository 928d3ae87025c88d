"""
The process around a command: standard streams that are there, and an end that nothing can hold up.

When a command is done, Python itself joins all threads and runs all exit handlers, however long these take.  A
thread of our own waits beside that, and leaves when the time is over.  `faulthandler` does so a second later if
nothing in Python runs any more.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from typing import NoReturn

import attrs

from .._report import ExitCode
from .._signals import arm_timed_exit, leave_at_once
from .._text import enumerate_names
from ._commands import commands
from ._output import drop_output, write_error, write_warning

SHORTEST = 1.0
"""
Seconds that threads and exit handlers get if the command leaves them no more.
"""


@attrs.define
class Process:
    """
    What a command leaves to be known when it is done; a command finds it as the root context's `obj`.

    Attributes:
        deadline: when the process must have ended, in seconds of the monotonic clock; None: soon.
        served: whether an application ran, so that what is left over is a failure.
    """

    deadline: float | None = None
    served: bool = False

    @property
    def seconds_left(self) -> float:
        """
        Seconds that threads and exit handlers get.
        """
        left = 0.0 if self.deadline is None else self.deadline - time.monotonic()
        return max(left, SHORTEST)


def main() -> NoReturn:
    """
    Run the command line of this process, and end it with the right exit code, come what may.
    """
    provide_streams()
    process = Process()
    try:
        code = _run(process)
    except KeyboardInterrupt:  # between two parts of the program
        code = 128 + signal.SIGINT
    _flush()
    _see_to_end(process, code)
    sys.exit(code)


def provide_streams() -> None:
    """
    Open standard streams that are closed, onto nothing.

    Otherwise the next file that is opened, a database perhaps, gets their number, and is written over by the first
    library that complains to number 2.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor < 2:
        descriptor = os.dup(descriptor)
    if descriptor > 2:
        os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal's encoding lacks is no reason to fail
            stream.reconfigure(errors="backslashreplace")


def _run(process: Process) -> int:
    try:
        commands.main(prog_name="conductor", obj=process)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        write_error(str(error.code))
    return 1


def _flush() -> None:
    """
    Write what the standard streams hold; Python would do so at the very end, and make a failure the exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            drop_output(stream)


def _see_to_end(process: Process, code: int) -> None:
    seconds = process.seconds_left
    arm_timed_exit(seconds)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    keeper = threading.Thread(target=_leave_after, args=(seconds, process.served, code), daemon=True)
    keeper.start()


def _leave_after(seconds: float, served: bool, code: int) -> None:
    time.sleep(seconds)
    others = {threading.main_thread(), threading.current_thread()}
    left = sorted(thread.name for thread in threading.enumerate() if not thread.daemon and thread not in others)
    what = f"still running: {enumerate_names(left)}" if left else "still running: an exit handler"
    if served:
        write_error(f"{what}; left without waiting any longer")
        leave_at_once(code or ExitCode.SHUTDOWN)
    write_warning(f"{what}; left without waiting any longer")
    leave_at_once(code)
