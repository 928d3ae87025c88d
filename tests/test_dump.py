"""
SIGUSR1, sent to real processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from conductor._dump import Dump

LONG = 60

APP = """
    import asyncio, os, sys, threading
    from conductor import Component, Conductor, Secret

    def tell(text):
        print(text, flush=True)

    def tell_soon(text):  # when whoever says so, and what it spawned, is suspended
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, tell, text)

    class Database(Component):
        token: Secret[str] = Secret("none")

        async def setup(self):
            self.spawn(self.poll(), name="poll " + self.token.get_secret_value())
            {setup}

        async def poll(self):
            await asyncio.Event().wait()

        async def run(self):
            {run}

    class Shop(Component):
        db: Database

    conductor = Conductor({{"components": {{"Database": {{"token": "t0ken"}}}}, "limits": {{"blocked": 0.05}}}})
    conductor.add(Shop)
    conductor.serve()
"""
WAIT = "await asyncio.Event().wait()"


class Process:
    """
    An application in a process of its own.
    """

    def __init__(self, folder: Path, *, setup: str = "pass", run: str = "pass") -> None:
        program = folder / "app.py"
        program.write_text(textwrap.dedent(APP).format(setup=setup, run=run))
        self.process = subprocess.Popen(
            [sys.executable, program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, text=True
        )

    def wait_for(self, text: str) -> str:
        """
        What it writes to standard error up to the line with a text in it.
        """
        assert self.process.stderr is not None
        written = ""
        for line in self.process.stderr:
            written += line
            if text in line:
                return written
        raise AssertionError(f"it ended without {text!r}: {written}")

    def wait_for_word(self) -> None:
        """
        Wait for a line on standard output.
        """
        assert self.process.stdout is not None
        assert self.process.stdout.readline()

    def end(self) -> None:
        """
        Ask it to stop, and expect that it does so in order.
        """
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=LONG)
        assert self.process.returncode == 0, errors


def test_a_set_up_that_hangs_is_shown(tmp_path: Path) -> None:
    """
    The threads, and the tree of who waits for whom, without secrets; the application goes on.
    """
    app = Process(tmp_path, setup=f"tell_soon('hangs'); {WAIT}")
    app.wait_for_word()
    app.process.send_signal(signal.SIGUSR1)
    written = app.wait_for("in Database.poll")
    assert "most recent call first" in written
    assert f"conductor, process {app.process.pid}, setting up\n" in written
    assert "Shop: waits for 'Database'\n└─ Database: sets up for " in written
    assert "task 'poll *******'" in written
    assert "t0ken" not in written
    app.end()


def test_what_runs_is_shown_when_all_is_up(tmp_path: Path) -> None:
    """
    Where the `run` of a ready component is suspended.
    """
    app = Process(tmp_path, run=f"tell_soon('runs'); {WAIT}")
    app.wait_for_word()
    app.process.send_signal(signal.SIGUSR1)
    written = app.wait_for("in Database.poll")
    assert "Database: runs for" in written
    assert "in Database.run\n" in written
    app.end()


def test_a_blocked_loop_is_shown(tmp_path: Path) -> None:
    """
    Who blocks it, while it is blocked; and the application goes on when it is not any more.
    """
    app = Process(tmp_path, run="tell('blocks'); sys.stdin.readline()")
    app.wait_for_word()
    app.wait_for("has blocked the event loop for")
    app.process.send_signal(signal.SIGUSR1)
    written = app.wait_for("Database: runs for")
    assert "component 'Database' has blocked the event loop for" in written
    assert "in Database.run" in written
    assert app.process.stdin is not None
    app.process.stdin.write("\n")
    app.process.stdin.flush()
    app.end()


def test_threads_are_shown_while_the_interpreter_lock_is_held(tmp_path: Path) -> None:
    """
    Also while the loop is blocked in C and no thread of Python's gets on.
    """
    held = "import ctypes; tell('holds'); ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(1), 1)"
    app = Process(tmp_path, run=held)
    app.wait_for_word()
    app.process.send_signal(signal.SIGUSR1)
    assert "in run" in app.wait_for("app.py")
    assert app.process.stdin is not None
    app.process.stdin.write("\n")
    app.process.stdin.flush()
    app.end()


def test_nothing_is_left_behind() -> None:
    """
    After the block, the signal does what it did before.
    """
    with Dump(lambda: "text"):
        assert signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_somebody_elses_handler_stays() -> None:
    """
    A program that has a handler of SIGUSR1 keeps it.
    """
    called: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: called.append(number))
    try:
        with Dump(lambda: "text"):
            signal.raise_signal(signal.SIGUSR1)
        assert called == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_outside_the_main_thread_nothing_happens() -> None:
    """
    Handlers belong to the main thread.
    """
    found = []

    def enter() -> None:
        with Dump(lambda: "text"):
            found.append(signal.getsignal(signal.SIGUSR1))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]


def test_what_cannot_be_told_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    """
    A description that fails does not raise where the main thread is.
    """

    def fail() -> str:
        raise RuntimeError("moved")

    with Dump(fail):
        signal.raise_signal(signal.SIGUSR1)
    assert "cannot tell who waits for whom: RuntimeError" in capfd.readouterr().err


def test_a_forked_child_is_ended_as_by_default() -> None:
    """
    In a child the signal does what it does to a process that has no handler.
    """
    with Dump(lambda: "text"):
        child = os.fork()
        if child == 0:
            signal.raise_signal(signal.SIGUSR1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGUSR1
