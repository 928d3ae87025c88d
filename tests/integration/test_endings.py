"""
How the process ends when components fail, hang or leave something behind: with the right exit code, and in time.
"""

from __future__ import annotations

import signal
import time

import pytest

from tests.integration.parts import Stage

SLACK = 5.0  # seconds for what a busy machine adds

FAILING_SETUPS = {
    "an exception": """
        async def setup(self):
            raise ValueError("boom")
    """,
    "an exit with 0": """
        async def setup(self):
            sys.exit(0)
    """,
    "an interrupt of its own": """
        async def setup(self):
            raise KeyboardInterrupt
    """,
    "a cancellation of its own": """
        async def setup(self):
            asyncio.current_task().cancel()
            await asyncio.sleep(0)
    """,
    "a hang": """
        async def setup(self):
            await asyncio.Event().wait()
    """,
    "a hang that no cancellation ends": """
        async def setup(self):
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    pass
    """,
}
CRASHES = {
    "an exception": """
        async def run(self):
            raise ValueError("boom")
    """,
    "an exit with 0": """
        async def run(self):
            sys.exit(0)
    """,
    "an exit of a task of nobody": """
        async def setup(self):
            async def leave():
                raise SystemExit(0)
            self.__class__.task = asyncio.get_running_loop().create_task(leave())
    """,
    "a spawned task": """
        async def setup(self):
            async def fail():
                raise ValueError("boom")
            self.spawn(fail(), name="fails")
    """,
}
UNCLEAN_SHUTDOWNS = {
    "an exception": """
        async def shutdown(self):
            raise ValueError("boom")
    """,
    "an exit with 0": """
        async def shutdown(self):
            sys.exit(0)
    """,
    "a callback that fails": """
        async def setup(self):
            self.defer(self.fail)

        def fail(self):
            raise ValueError("boom")
    """,
    "a hang": """
        async def shutdown(self):
            await asyncio.Event().wait()
    """,
    "a hang that no cancellation ends": """
        async def shutdown(self):
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    pass
    """,
}
LEFT_BEHIND = {
    "a thread": """
        async def setup(self):
            threading.Thread(target=threading.Event().wait, name="forgotten").start()
    """,
    "a busy executor": """
        async def setup(self):
            asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
    """,
    "an open connection": """
        async def setup(self):
            import aiosqlite
            self.__class__.connection = await aiosqlite.connect("left.db")
    """,
    "an exit handler": """
        async def setup(self):
            import atexit
            atexit.register(threading.Event().wait)
    """,
}
BLOCKED_LOOPS = {
    "in Python": """
        async def shutdown(self):
            while True:
                time.sleep(3600)
    """,
    "in C with the interpreter lock held": """
        async def shutdown(self):
            sum(range(10**15))
    """,
}


@pytest.mark.parametrize("case", FAILING_SETUPS)
def test_a_set_up_that_fails_ends_with_4(stage: Stage, case: str) -> None:
    """
    Whatever keeps a component from being set up, what was up is shut down, and the exit code is 4.
    """
    stage.install(FAILING_SETUPS[case])
    stage.limit(setup=0.2, shutdown=0.2, stop=1.0)
    process = stage.run()
    assert process.code == 4, process
    assert "'part'" in process.stderr
    assert stage.witnessed() == "down"


@pytest.mark.parametrize("case", CRASHES)
def test_a_crash_ends_with_1(stage: Stage, case: str) -> None:
    """
    Whatever ends the work of a component abnormally, all is shut down in order, and the exit code is 1.
    """
    stage.install(CRASHES[case])
    process = stage.run()
    assert process.code == 1, process
    assert stage.witnessed() == "down"


@pytest.mark.parametrize("case", UNCLEAN_SHUTDOWNS)
def test_an_unclean_shutdown_ends_with_5(stage: Stage, case: str) -> None:
    """
    Whatever goes wrong in the shutdown of one, what it needs is shut down all the same, and the exit code is 5.
    """
    stage.install(UNCLEAN_SHUTDOWNS[case])
    stage.limit(shutdown=0.2, stop=1.0)
    with stage.begin() as process:
        process.wait_for("ready: 2 components")
        began = time.monotonic()
        assert process.stop() == 5, process
        assert time.monotonic() - began < 1.0 + SLACK
    assert "'part'" in process.stderr
    assert stage.witnessed() == "down"
    assert not process.left_anything()


@pytest.mark.parametrize("case", LEFT_BEHIND)
def test_nothing_left_behind_holds_the_process(stage: Stage, case: str) -> None:
    """
    Threads, executors and exit handlers get the limit of the whole stop; then the process ends, and says so.
    """
    stage.install(LEFT_BEHIND[case])
    stage.limit(stop=0.5)
    with stage.begin() as process:
        process.wait_for("ready: 2 components")
        began = time.monotonic()
        assert process.stop() == 5, process
        assert time.monotonic() - began < 0.5 + 1.0 + SLACK
    assert "still " in process.stderr
    assert stage.witnessed() == "down"
    assert not process.left_anything()


@pytest.mark.parametrize("case", BLOCKED_LOOPS)
def test_a_blocked_loop_cannot_hold_the_process(stage: Stage, case: str) -> None:
    """
    If the event loop itself is blocked, the process ends one second after the limit and shows where it was.
    """
    stage.install(BLOCKED_LOOPS[case])
    stage.limit(stop=0.5)
    with stage.begin() as process:
        process.wait_for("ready: 2 components")
        began = time.monotonic()
        code = process.stop(signal.SIGTERM)
        assert time.monotonic() - began < 0.5 + 1.0 + SLACK
    assert code not in (0, None)
    assert 'part_part.py", line' in process.stderr
    assert not process.left_anything()


def test_an_import_that_exits_with_0_ends_with_3(stage: Stage) -> None:
    """
    A module that exits while it is imported makes the plan invalid; its distribution is named, nothing is set up.
    """
    stage.install("pass", before="raise SystemExit(0)")
    process = stage.run()
    assert process.code == 3
    assert "part 1.0" in process.stderr
    assert "SystemExit" in process.stderr
    assert stage.witnessed() == "never up"


def test_a_need_of_nothing_ends_with_3(stage: Stage) -> None:
    """
    All problems of an invalid plan are told together, and the exit code is 3.
    """
    stage.install("missing: Component\nasync def setup(self): ...")
    stage.install("def setup(self): ...", name="other")
    with stage.environment.begin(
        "run", "part", "other", directory=stage.directory, path=[stage.site.folder]
    ) as process:
        assert process.wait() == 3
    assert "missing" in process.stderr
    assert "'other'" in process.stderr
    assert stage.witnessed() == "never up"


@pytest.mark.parametrize(
    "arguments", [["--set", "part.colour=red"], ["--set", "part.size=big"], ["--no-such-option"], ["--config", "none"]]
)
def test_what_is_set_wrong_ends_with_2(stage: Stage, arguments: list[str]) -> None:
    """
    A setting that does not exist or does not fit, an option or a file that is not there: exit code 2, nothing set up.
    """
    stage.install("size: int = 1")
    process = stage.run(*arguments)
    assert process.code == 2, process
    assert stage.witnessed() == "never up"


def test_the_first_failure_decides(stage: Stage) -> None:
    """
    A crash that is followed by an unclean shutdown and a forgotten thread is still a crash.
    """
    stage.install(
        """
        async def run(self):
            threading.Thread(target=threading.Event().wait, name="forgotten").start()
            raise ValueError("boom")

        async def shutdown(self):
            raise ValueError("bang")
        """
    )
    stage.limit(stop=0.5)
    process = stage.run()
    assert process.code == 1
    assert process.stderr.index("boom") < process.stderr.index("bang")
    assert stage.witnessed() == "down"
