"""
A loop whose clock is moved by waiting: hours pass in no time, always in the same way.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.BaseSelector):
    """
    Moves the clock on, instead of waiting.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = self._real.select(0)
        if not events:
            if timeout is None:
                raise AssertionError("everything waits for ever")
            self.now += max(0.0, timeout)
        return events

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    An event loop with a clock of its own, which begins at 1000 seconds.

    It raises AssertionError when nothing could ever happen any more.
    """

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """
    What a coroutine returns, run on a virtual clock; tasks that are left over are cancelled until they end.
    """
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        sweep(loop)
        loop.close()


def sweep(loop: asyncio.AbstractEventLoop, times: int = 10) -> None:
    """
    Cancel what is left in a loop, as often as it takes.
    """
    for _ in range(times):
        left = asyncio.all_tasks(loop)
        if not left:
            break
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
