"""
Staying alive until asked to stop, whatever the components do.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable

import pytest

from conductor import Component, Conductor, hookimpl
from conductor.exceptions import CrashError, SetupError, ShutdownError

events: list[str] = []


@pytest.fixture(autouse=True)
def _no_events() -> None:
    events.clear()


class Quiet(Component):
    """
    Needed by the others; must always come down.
    """

    async def setup(self) -> None:
        events.append("up")

    async def shutdown(self) -> None:
        events.append("down")


def serve_with(*classes: type) -> Conductor:
    """
    A conductor with these components and a short limit for the whole stop.
    """
    conductor = Conductor(config={"limits": {"stop": 5.0}})
    for cls in classes:
        conductor.add(cls)
    return conductor


def send(number: int) -> None:
    """
    Send this process a signal from outside of it.
    """
    subprocess.run(["kill", f"-{int(number)}", str(os.getpid())], check=True)


def when_ready(function: Callable[[], object]) -> object:
    """
    A plugin that calls a function, in a thread of its own, when everything is up.
    """

    class Plugin:
        @hookimpl
        def conductor_ready(self) -> None:
            threading.Thread(target=function).start()

    return Plugin()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_an_orderly_stop(number: int) -> None:
    """
    The first signal shuts everything down, and that is no failure.
    """
    conductor = serve_with(Quiet)
    conductor.hooks.register(when_ready(lambda: send(number)))
    conductor.serve()
    assert events == ["up", "down"]
    assert conductor.report is not None
    assert (conductor.report.exit_code, conductor.report.reason) == (0, f"received {signal.Signals(number).name}")


def test_a_signal_ends_the_work() -> None:
    """
    A signal during ``run`` cancels the work and ends the program with exit code 0.
    """
    conductor = serve_with(Quiet)
    conductor.hooks.register(when_ready(lambda: send(signal.SIGTERM)))

    async def work() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(SystemExit) as caught:
        conductor.run(work())
    assert caught.value.code == 0
    assert events == ["up", "down"]


def test_a_signal_during_setup_undoes_it() -> None:
    """
    A signal during set-up takes the path of a failure, but is an orderly stop.
    """

    class Slow(Component):
        quiet: Quiet

        async def setup(self) -> None:
            threading.Thread(target=send, args=(signal.SIGTERM,)).start()
            await asyncio.get_running_loop().create_future()

    conductor = serve_with(Slow)
    conductor.serve()
    assert events == ["up", "down"]
    assert conductor.report is not None
    assert conductor.report.exit_code == 0


def test_a_second_signal_forces_the_end() -> None:
    """
    A second signal gives what is left one second in all; the exit code tells of the signal.
    """

    class Clinging(Component):
        async def shutdown(self) -> None:
            threading.Thread(target=send, args=(signal.SIGINT,)).start()
            await asyncio.get_running_loop().create_future()

    conductor = serve_with(Quiet, Clinging)
    conductor.hooks.register(when_ready(lambda: send(signal.SIGTERM)))
    with pytest.raises((ShutdownError, SystemExit)):
        conductor.serve()
    assert "down" in events
    assert conductor.report is not None
    assert conductor.report.exit_code == 128 + signal.SIGINT


def test_a_replaced_handler_is_noticed() -> None:
    """
    A component that puts its own signal handler over ours is told of, and the signal still reaches us.
    """
    noticed: list[str] = []

    class Greedy(Component):
        async def setup(self) -> None:
            signal.signal(signal.SIGTERM, lambda *_: None)

    class Listener:
        @hookimpl
        def conductor_noticed(self, message: str) -> None:
            noticed.append(message)
            threading.Thread(target=send, args=(signal.SIGTERM,)).start()

    conductor = serve_with(Quiet, Greedy)
    conductor.hooks.register(Listener())
    conductor.serve()
    assert len(noticed) == 1
    assert "SIGTERM" in noticed[0]
    assert "Greedy" in noticed[0]
    assert events == ["up", "down"]


def test_a_crash_is_told_with_its_cause() -> None:
    """
    A component that crashes while running stops the application in order, with exit code 1.
    """

    class Crashing(Component):
        quiet: Quiet

        async def run(self) -> None:
            raise RuntimeError("boom")

    conductor = serve_with(Crashing)
    with pytest.raises(CrashError) as caught:
        conductor.serve()
    assert "boom" in str(caught.value)
    assert isinstance(caught.value.exceptions[0].__cause__, RuntimeError)
    assert events == ["up", "down"]
    assert conductor.report is not None
    assert conductor.report.exit_code == 1


def test_a_run_that_ends_is_fine() -> None:
    """
    A component whose ``run`` comes to its end stays up.
    """

    class Brief(Component):
        quiet: Quiet

        async def run(self) -> None:
            events.append("ran")

    conductor = serve_with(Brief)

    async def work() -> None:
        while "ran" not in events:
            await asyncio.sleep(0)

    conductor.run(work())
    assert events == ["up", "ran", "down"]


def test_a_component_may_stop_the_loop() -> None:
    """
    ``loop.stop()`` from a component ends nothing: the application is carried to its end.
    """

    class Stopping(Component):
        async def setup(self) -> None:
            asyncio.get_running_loop().stop()

        async def shutdown(self) -> None:
            asyncio.get_running_loop().stop()

    async def work() -> str:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0)
        return "done"

    conductor = serve_with(Quiet, Stopping)
    assert conductor.run(work()) == "done"
    assert events == ["up", "down"]


def test_a_component_may_cancel_every_task() -> None:
    """
    A component that cancels every task that it finds ends the application, but in order, and not with exit code 0.
    """

    class Wild(Component):
        quiet: Quiet

        async def run(self) -> None:
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()

    conductor = serve_with(Wild)
    with pytest.raises(CrashError):
        conductor.serve()
    assert events == ["up", "down"]
    assert conductor.report is not None
    assert conductor.report.exit_code == 1


def test_a_task_that_nobody_owns_may_raise_system_exit() -> None:
    """
    ``SystemExit`` from a task that a component made by itself stops the application in order, with exit code 1.
    """

    class Loose(Component):
        quiet: Quiet

        async def setup(self) -> None:
            async def leave() -> None:
                raise SystemExit(0)

            self.task = asyncio.ensure_future(leave())

    conductor = serve_with(Loose)
    with pytest.raises(CrashError) as caught:
        conductor.serve()
    assert "SystemExit" in str(caught.value)
    assert events == ["up", "down"]


def test_a_failed_setup_is_told() -> None:
    """
    A failed set-up comes out of ``serve``, after everything is down again.
    """

    class Failing(Component):
        quiet: Quiet

        async def setup(self) -> None:
            raise SystemExit(0)

    conductor = serve_with(Failing)
    with pytest.raises(SetupError) as caught:
        conductor.serve()
    assert "SystemExit" in str(caught.value)
    assert events == ["up", "down"]
    assert conductor.report is not None
    assert conductor.report.exit_code == 4


def test_no_task_or_thread_is_left() -> None:
    """
    Afterwards there are no more threads than before, tasks that nobody owns are ended, and the loop is closed.
    """
    before = set(threading.enumerate())
    loops = []

    class Careless(Component):
        async def setup(self) -> None:
            loops.append(asyncio.get_running_loop())
            self.task = asyncio.ensure_future(asyncio.get_running_loop().create_future())
            await asyncio.get_running_loop().run_in_executor(None, events.append, "in a thread")

    conductor = serve_with(Careless)
    conductor.run(asyncio.sleep(0))
    assert loops[0].is_closed()
    assert set(threading.enumerate()) <= before


def run_script(source: str) -> subprocess.CompletedProcess[str]:
    """
    Run Python source in a process of its own.
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_busy_executor_is_told_and_does_not_hold_the_stop() -> None:
    """
    A thread of the default executor that does not end is named, and the stop is not clean.
    """
    done = run_script(
        """
        import asyncio, os, threading
        from conductor import Component, Conductor

        class Busy(Component):
            async def setup(self):
                asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)

        conductor = Conductor(config={"limits": {"stop": 0.2}})
        conductor.add(Busy)
        try:
            conductor.run(asyncio.sleep(0))
        except Exception as error:
            print(type(error).__name__, error, conductor.report.exit_code, flush=True)
        os._exit(0)
        """
    )
    assert done.stdout.startswith("ShutdownError")
    assert "executor is still busy" in done.stdout
    assert done.stdout.rstrip().endswith(" 5")


def test_two_applications_share_nothing() -> None:
    """
    Two conductors in one process, and one within the loop of another, do not know of each other.
    """
    inner_events: list[str] = []

    class Inner(Component):
        async def setup(self) -> None:
            inner_events.append("up")

        async def shutdown(self) -> None:
            inner_events.append("down")

    async def work() -> None:
        inner = Conductor()
        inner.add(Inner)
        async with inner:
            assert inner_events == ["up"]
        assert inner_events == ["up", "down"]
        assert events == ["up"]

    serve_with(Quiet).run(work())
    assert events == ["up", "down"]
