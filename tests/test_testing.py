"""
What helps to test components.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from conductor import Component
from conductor._settings import Limits
from conductor.exceptions import CrashError, LimitError, SetupError, ShutdownError
from conductor.testing import running


class Recorder(Component):
    """
    Writes down what happens to it.
    """

    size: int = 3
    fail: bool = False

    async def setup(self) -> None:
        self.events = ["setup"]
        self.defer(self.events.append, "deferred")
        await self.enter(self.borrow())
        self.task = self.spawn(asyncio.sleep(3600), name="napping")
        if self.fail:
            raise RuntimeError("no luck")

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[None]:
        """
        Something that is entered and left.
        """
        self.events.append("entered")
        yield
        self.events.append("left")

    async def shutdown(self) -> None:
        self.events.append("shutdown")


def test_a_component_built_by_hand_is_brought_up_and_down() -> None:
    """
    In the block it is up; afterwards it is shut down and what it registered is undone, newest first.
    """

    async def main() -> None:
        recorder = Recorder(size=5)
        async with running(recorder) as same:
            assert same is recorder
            assert recorder.events == ["setup", "entered"]
            assert not recorder.task.done()
        assert recorder.task.cancelled()
        assert recorder.events == ["setup", "entered", "shutdown", "left", "deferred"]

    asyncio.run(main())


def test_a_failed_setup_is_undone() -> None:
    """
    When set-up fails, there is no shutdown, but what was registered is undone.
    """

    async def main() -> None:
        recorder = Recorder(fail=True)
        with pytest.raises(SetupError) as caught:
            async with running(recorder):
                pytest.fail("the block was entered")
        assert "no luck" in str(caught.value)
        assert recorder.events == ["setup", "entered", "left", "deferred"]

    asyncio.run(main())


def test_a_crash_comes_out() -> None:
    """
    A component that crashes in the block fails the test, even if the test did not look.
    """

    class Crashing(Component):
        async def setup(self) -> None:
            self.crashed = asyncio.Event()

        async def run(self) -> None:
            self.crashed.set()
            raise RuntimeError("boom")

    async def main() -> None:
        with pytest.raises(CrashError) as caught:
            async with running(Crashing()) as crashing:
                await crashing.crashed.wait()
                await asyncio.sleep(0)
        assert "boom" in str(caught.value)

    asyncio.run(main())


def test_a_shutdown_that_fails_comes_out() -> None:
    """
    An error of shutdown fails the test.
    """

    class Clinging(Component):
        async def shutdown(self) -> None:
            raise RuntimeError("will not")

    async def main() -> None:
        with pytest.raises(ShutdownError):
            async with running(Clinging()):
                pass

    asyncio.run(main())


def test_limits_can_be_set() -> None:
    """
    A component that hangs is ended at its limit, and the error says where it stood.
    """

    class Hanging(Component):
        async def setup(self) -> None:
            await asyncio.get_running_loop().create_future()

    async def main() -> None:
        with pytest.raises(SetupError) as caught:
            async with running(Hanging(), limits=Limits(setup=0.01)):
                pytest.fail("the block was entered")
        (error,) = caught.value.exceptions
        assert isinstance(error, LimitError)
        assert "test_testing.py" in str(error)

    asyncio.run(main())


def test_the_logger_is_named_after_the_component() -> None:
    """
    Its log lines go to a logger of its own.
    """

    async def main() -> None:
        async with running(Recorder(), name="db") as recorder:
            assert recorder.logger.name == "conductor.components.db"
            assert repr(recorder).endswith("Recorder 'db'>")

    asyncio.run(main())
