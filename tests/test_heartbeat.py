"""
Who blocks the event loop is named while it is blocked.

These tests block for as long as nothing is noticed; they end as soon as it is.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from conductor import Component
from conductor._diagnosis import Blockage
from conductor._heartbeat import Heartbeat
from conductor._plan import Plan
from conductor._runner import Runner
from conductor._step import Step

LIMIT = 0.05
LONG = 30.0


def nobody(task: asyncio.Task[Any]) -> str | None:
    """
    No task is any component's.
    """
    return None


class Noticed:
    """
    Keeps what is told, and lets somebody block until it is.
    """

    def __init__(self) -> None:
        self.told: list[Blockage] = []
        self._noticed = threading.Event()

    def __call__(self, blockage: Blockage) -> None:
        self.told.append(blockage)
        self._noticed.set()

    def block(self) -> None:
        """
        Block the thread until it is noticed.
        """
        assert self._noticed.wait(LONG), "nobody noticed"
        self._noticed.clear()


def threads() -> set[str]:
    """
    The names of all threads.
    """
    return {thread.name for thread in threading.enumerate()}


def test_a_component_that_blocks_is_named_with_its_stack() -> None:
    """
    While `run` blocks the loop, its component, its task and the line where it stands are told, once.
    """
    noticed = Noticed()

    class Blocking(Component):
        async def run(self) -> None:
            noticed.block()
            assert watches[0].blockage() is not None
            again.set()
            await asyncio.Event().wait()

    async def main() -> None:
        runner = Runner(Plan((Step("db", Blocking, phases=frozenset({"run"})),)))
        with Heartbeat(runner.owner_of, {}, LIMIT, noticed) as watch:
            watches.append(watch)
            await runner.setup()
            await again.wait()
        assert "conductor-heartbeat" not in threads()
        await runner.shutdown()

    again = asyncio.Event()
    watches: list[Heartbeat] = []
    asyncio.run(main())
    (told,) = noticed.told
    assert (told.component, told.task) == ("db", "db run")
    assert told.seconds >= LIMIT
    assert any(place.endswith("Blocking.run") and "test_heartbeat.py:" in place for place in told.stack)
    assert told.stack[-1].endswith("in Condition.wait")
    assert not any("Handle._run" in place or "/conductor/_" in place for place in told.stack)


def test_each_blockage_is_told_once() -> None:
    """
    The next blockage is told again, whether it lies in a task or in a callback.
    """
    noticed = Noticed()

    def block_and(go_on: Callable[[], object]) -> None:
        noticed.block()
        go_on()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with Heartbeat(nobody, {}, LIMIT, noticed) as watch:
            noticed.block()
            while watch.blockage() is not None:  # it has to see that the loop goes on
                await asyncio.sleep(0)
            again = asyncio.Event()
            loop.call_soon(block_and, again.set)
            await again.wait()

    asyncio.run(main())
    first, second = noticed.told
    assert str(first.task).startswith("Task-")
    assert second.task is None
    assert second.stack[0].endswith("block_and")


def test_whose_code_it_is_is_told_by_the_module_too() -> None:
    """
    A task that nobody knows is blamed on the component whose module the innermost frame is from.
    """
    noticed = Noticed()

    async def main() -> None:
        with Heartbeat(nobody, {"db": __name__, "mq": "somewhere"}, LIMIT, noticed):
            noticed.block()

    asyncio.run(main())
    assert [blockage.component for blockage in noticed.told] == ["db"]


def test_a_loop_that_answers_is_not_blocked() -> None:
    """
    Nothing is told while the loop does its work, and no thread is left.
    """
    noticed = Noticed()

    async def main() -> None:
        with Heartbeat(nobody, {}, LONG, noticed) as watch:
            assert "conductor-heartbeat" in threads()
            await asyncio.sleep(0)
            assert watch.blockage() is None

    asyncio.run(main())
    assert noticed.told == []
    assert "conductor-heartbeat" not in threads()
