"""
Signals, whenever they come.
"""

from __future__ import annotations

import signal

import pytest

from tests.integration.parts import Stage

WAITING_IMPORT = """
    import sys, threading
    print("importing", file=sys.stderr, flush=True)
    {how}
"""
HANGING = """
    async def shutdown(self):
        await asyncio.Event().wait()
"""
STUBBORN = """
    async def shutdown(self):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            say("told to hurry")
            while True:
                time.sleep(3600)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_import_is_an_orderly_stop(stage: Stage, number: signal.Signals) -> None:
    """
    Who asks to stop while modules are imported is obeyed at once: exit code 0, and nothing was set up.
    """
    stage.install("pass", before=WAITING_IMPORT.format(how="threading.Event().wait()"))
    with stage.begin() as process:
        process.wait_for("importing")
        assert process.stop(number) == 0, process
    assert stage.witnessed() == "never up"
    assert "Traceback" not in process.stderr


def test_an_import_that_catches_everything_cannot_hide_a_signal(stage: Stage) -> None:
    """
    A module that swallows what interrupts its import is imported to its end, and then nothing is set up.
    """
    how = "try: threading.Event().wait()\n    except BaseException: pass"
    stage.install("pass", before=WAITING_IMPORT.format(how=how))
    with stage.begin() as process:
        process.wait_for("importing")
        assert process.stop() == 0, process
    assert stage.witnessed() == "never up"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_set_up_is_an_orderly_stop(stage: Stage, number: signal.Signals) -> None:
    """
    Who asks to stop while a component is being set up finds everything that was up down, and the exit code is 0.
    """
    stage.install(
        """
        async def setup(self):
            say("waiting")
            await asyncio.Event().wait()
        """
    )
    with stage.begin() as process:
        process.wait_for("waiting")
        assert process.stop(number) == 0, process
    assert stage.witnessed() == "down"
    assert "ready: 2" not in process.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_cuts_short_what_hangs(stage: Stage, number: signal.Signals) -> None:
    """
    A second signal leaves what hangs one second; what it needs is shut down still, and the exit code is 128 + n.
    """
    stage.install(HANGING)
    stage.limit(shutdown=500.0, stop=600.0)
    with stage.begin() as process:
        process.wait_for("ready: 2 components")
        process.send(signal.SIGINT)
        process.wait_for("shutting down")
        assert process.stop(number) == 128 + number, process
    assert "'part'" in process.stderr
    assert stage.witnessed() == "down"


def test_a_third_signal_ends_it_at_once(stage: Stage) -> None:
    """
    A third signal ends the process even if nothing in it listens any more.
    """
    stage.install(STUBBORN)
    stage.limit(shutdown=500.0, stop=600.0)
    with stage.begin() as process:
        process.wait_for("ready: 2 components")
        process.send(signal.SIGINT)
        process.wait_for("shutting down")
        process.send(signal.SIGTERM)
        process.wait_for("told to hurry")
        assert process.stop(signal.SIGHUP) == 128 + signal.SIGHUP, process
    assert not process.left_anything()


def test_a_signal_that_a_server_raises_again_is_no_second_one(stage: Stage) -> None:
    """
    A component that raises the signal once more while it shuts down does not spoil an orderly stop.
    """
    stage.install(
        """
        async def shutdown(self):
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(0)
        """
    )
    with stage.begin() as process:
        process.wait_for("ready: 2 components")
        assert process.stop() == 0, process
    assert stage.witnessed() == "down"


def test_a_handler_that_was_replaced_is_put_back(stage: Stage) -> None:
    """
    A component that takes the signal for itself is named in the log, and the next Ctrl-C stops the application.
    """
    stage.install(
        """
        async def run(self):
            signal.signal(signal.SIGINT, lambda number, frame: None)
            await asyncio.Event().wait()
        """
    )
    with stage.begin() as process:
        assert "SIGINT" in process.wait_for("was replaced")
        assert process.stop() == 0, process
    assert stage.witnessed() == "down"


def test_a_killed_application_leaves_nothing_that_keeps_the_next_one_from_running(stage: Stage) -> None:
    """
    After `kill -9` the next run is as good as the first.
    """
    stage.install("pass")
    with stage.begin() as process:
        process.wait_for("ready: 2 components")
        assert process.stop(signal.SIGKILL) == -signal.SIGKILL
    assert stage.witnessed() == "up"
    with stage.begin() as process:
        process.wait_for("ready: 2 components")
        assert process.stop() == 0
    assert stage.witnessed() == "down"
