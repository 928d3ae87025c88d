"""
What the conformance suite is made of: rules, and a trial in which an implementation is held to them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import attrs

from conductor.testing import running

from .._contract import MessageQueue
from .._delivery import Delivery
from .._subscription import Subscription

T = TypeVar("T")


class QueueFactory(Protocol):
    """
    Makes a queue with the given settings; all that one factory makes keep their messages in one place.

    .. versionadded:: 0.1
    """

    def __call__(self, **settings: Any) -> MessageQueue: ...  # Any: settings of whatever type


@attrs.frozen
class Trial:
    """
    One implementation on trial.

    Args:
        make: makes its queues; each trial needs an empty place of its own.
        visibility: seconds of visibility time to test with; longer for an implementation behind a slow network.
        patience: seconds within which everything must happen that has to.

    .. versionadded:: 0.1
    """

    make: QueueFactory
    visibility: float = attrs.field(default=0.3, kw_only=True)
    patience: float = attrs.field(default=10.0, kw_only=True)

    def check(self, rule: Rule) -> None:
        """
        Hold the implementation to one rule.

        Raises:
            AssertionError: it breaks the rule; the text says how.
        """
        asyncio.run(rule(self))

    @contextlib.asynccontextmanager
    async def queue(self, **settings: Any) -> AsyncIterator[MessageQueue]:
        """
        A queue that is set up; retries come quickly unless the settings say otherwise.
        """
        settings = {"visibility": self.visibility, "max_attempts": 3, "backoff_first": 0.02} | settings
        async with running(self.make(**settings)) as queue:
            yield queue

    async def soon(self, awaitable: Awaitable[T], what: str) -> T:
        """
        What is awaited, which must come within the patience.
        """
        try:
            async with asyncio.timeout(self.patience):
                return await awaitable
        except TimeoutError:
            raise AssertionError(f"{what} did not happen within {self.patience:g} s") from None

    async def next(self, deliveries: Subscription) -> Delivery:
        """
        The next delivery of a subscription.
        """
        return await self.soon(anext(deliveries), f"the next delivery to {deliveries!r}")

    async def wait_for_next(self, deliveries: Subscription) -> asyncio.Future[Delivery]:
        """
        A task that waits for the next delivery, and has had the time to begin with it.
        """
        waiting = asyncio.ensure_future(anext(deliveries))
        for _ in range(10):
            await asyncio.sleep(0)
        return waiting

    async def take(self, deliveries: Subscription, count: int) -> list[bytes]:
        """
        The bodies of the next deliveries, each acknowledged.
        """
        bodies = []
        for _ in range(count):
            delivery = await self.next(deliveries)
            bodies.append(delivery.body)
            await delivery.ack()
        return bodies


Rule = Callable[[Trial], Coroutine[Any, Any, None]]
"""
Something that every queue must do; a coroutine function whose docstring says what.
"""


def expect(actual: object, wanted: object, what: str) -> None:
    """
    Raise if something is not what it must be.
    """
    if actual != wanted:
        raise AssertionError(f"{what}: expected {wanted!r}, got {actual!r}")


def expect_true(condition: bool, what: str) -> None:
    """
    Raise unless a condition holds.
    """
    if not condition:
        raise AssertionError(what)
