"""
Requests to stop from outside.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from conductor._signals import Signals
from conductor.lifecycle import StopRequested


def send(number: int) -> None:
    """
    Send this process a signal from outside of it.
    """
    subprocess.run(["kill", f"-{int(number)}", str(os.getpid())], check=True)


def test_counts_requests() -> None:
    """
    Each signal counts as one request, and the listener is told how many there were.
    """
    told: list[int] = []
    with Signals() as signals:
        signals.listen(told.append)
        send(signal.SIGTERM)
        send(signal.SIGINT)
    assert told == [1, 2]
    assert signals.first == "SIGTERM"


def test_handlers_are_restored() -> None:
    """
    Afterwards the handlers are the ones from before.
    """
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with Signals():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_request_interrupts_an_import() -> None:
    """
    A request that comes while components are imported is raised where the import is.
    """
    with Signals() as signals, pytest.raises(StopRequested), signals.interrupting_imports():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signals.received == [signal.SIGTERM]


def test_request_before_imports_is_kept() -> None:
    """
    A request that came before the imports began keeps them from beginning.
    """
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(StopRequested), signals.interrupting_imports():
            pytest.fail("the imports began")


def test_signal_that_is_raised_again_does_not_count() -> None:
    """
    A server that caught a signal and raises it again for others has not made a second request.
    """
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    assert len(signals.received) == 1


def test_first_signal_counts_whoever_raises_it() -> None:
    """
    A program may ask itself to stop.
    """
    with Signals() as signals:
        signal.raise_signal(signal.SIGTERM)
    assert len(signals.received) == 1


def test_replaced_handler_is_put_back_and_named() -> None:
    """
    A handler that somebody put over ours is named, and ours is there again.
    """
    with Signals() as signals:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        (sentence,) = signals.put_back()
        assert "SIGTERM" in sentence
        assert "default_int_handler" in sentence
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == [signal.SIGTERM]
        assert signals.put_back() == ()


def test_hangup_that_is_ignored_stays_ignored() -> None:
    """
    Under ``nohup`` a hang-up is no request.
    """
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
        assert signals.received == []
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_install_nothing() -> None:
    """
    Outside the main thread there is nothing to install, and nothing fails.
    """
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def enter() -> None:
        with Signals() as signals:
            seen.extend([signal.getsignal(signal.SIGTERM), signals.put_back()])

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before, ()]


def run_script(source: str) -> subprocess.CompletedProcess[str]:
    """
    Run Python source in a process of its own.
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, timeout=60, check=False
    )


def test_third_request_leaves_at_once() -> None:
    """
    The third signal ends the process with 128 + n, whatever it is doing.
    """
    done = run_script(
        """
        import os, subprocess
        from conductor._signals import Signals
        with Signals():
            for _ in range(3):
                subprocess.run(["kill", "-2", str(os.getpid())])
            print("still here")
        """
    )
    assert done.returncode == 128 + signal.SIGINT
    assert "still here" not in done.stdout


def test_timed_exit_ends_a_process_that_holds_the_interpreter_lock() -> None:
    """
    A stop that takes longer than its limit is ended from outside the interpreter, which says where each thread was.
    """
    done = run_script(
        """
        import os, re, signal
        from conductor._signals import Signals
        with Signals(limit=0.0):
            os.kill(os.getpid(), signal.SIGTERM)
            re.match(r"(a+)+$", "a" * 64 + "b")  # hours in C, with the interpreter lock held
        """
    )
    assert done.returncode == 1
    assert "most recent call first" in done.stderr


def test_forked_child_does_what_it_does_by_default() -> None:
    """
    A signal to a forked child ends the child, and is no request to the application.
    """
    done = run_script(
        """
        import os, signal
        from conductor._signals import Signals
        with Signals() as signals:
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.write(writing, b"!")
                signal.pause()
                os._exit(7)
            os.read(reading, 1)
            os.kill(child, signal.SIGTERM)
            _, status = os.waitpid(child, 0)
            print(os.WTERMSIG(status), signals.received)
        """
    )
    assert done.stdout.split(maxsplit=1) == [str(int(signal.SIGTERM)), "[]\n"]
