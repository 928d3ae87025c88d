"""
The consumer's side of a queue: a subscription gives deliveries as they come.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import attrs

from ._broker import Action, Channel, Held, Verdict
from ._delivery import Delivery, Ledger


@attrs.define(eq=False, repr=False)
class Subscription:
    """
    An asynchronous iterator of deliveries; as a context manager it also ends at a certain point.

    The group is known to the queue from the entry of the context, or from the first delivery asked for.
    Several tasks may iterate over one subscription.  When the context is left in order, what is unsettled
    comes back at once; when it is left by an exception, that counts as a failure of what is unsettled.

    Attributes:
        topic: where the messages are published.
        group: the group that consumes them.
        prefetch: at most so many deliveries are unsettled at once; further ones are not handed out.

    .. versionadded:: 0.1
    """

    topic: str
    group: str
    prefetch: int = attrs.field(kw_only=True)
    _ledger: Ledger = attrs.field(kw_only=True, alias="ledger")
    _turn: asyncio.Lock = attrs.field(init=False, factory=asyncio.Lock)
    _receiving: asyncio.Task[Held] | None = attrs.field(init=False, default=None)
    _registered: bool = attrs.field(init=False, default=False)
    _draining: bool = attrs.field(init=False, default=False)

    def __repr__(self) -> str:
        return f"<Subscription to {self.topic!r}, group {self.group!r}>"

    @property
    def in_flight(self) -> int:
        """
        How many deliveries are handed out, not settled and not yet come back.
        """
        return self._ledger.in_flight

    async def __aenter__(self) -> Self:
        async with self._turn:
            await self._register()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.take_no_more()
        try:
            await self._ledger.give_back(error if isinstance(error, Exception) else None)
        finally:
            await self._channel.leave()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        async with self._turn:
            await self._register()
            while (held := await self._receive_next()) is not None:
                if held.attempt <= self._ledger.policy.max_attempts:
                    return self._ledger.hand_out(held)
                await self._channel.settle(held, self._ledger.policy.after_silence(held.attempt - 1))
        raise StopAsyncIteration

    async def drain(self) -> None:
        """
        Hand out nothing new, and return when everything in flight is settled or has come back.

        The iterators end at once.  Put a limit around this if the handlers have none.
        """
        self.take_no_more()
        while self.in_flight:
            await self._ledger.wait_for_change()

    async def end(self) -> None:
        """
        Hand out nothing new, and give back what is unsettled; it comes back at once.
        """
        await self.__aexit__(None, None, None)

    def take_no_more(self) -> None:
        """
        Hand out nothing new: the iterators end at once, and what is in flight can still be settled.
        """
        self._draining = True
        self._ledger.wake()
        if self._receiving is not None:
            self._receiving.cancel()

    @property
    def _channel(self) -> Channel:
        return self._ledger.channel

    def _has_ended(self) -> bool:
        return self._draining

    async def _register(self) -> None:
        if not self._registered and not self._draining:
            await self._channel.register()
            self._registered = True

    async def _receive_next(self) -> Held | None:
        """
        What the channel receives, in a task of its own so that the subscription can end meanwhile; None at the end.
        """
        await self._wait_for_room()
        if self._has_ended():
            return None
        task = self._receiving = asyncio.ensure_future(self._channel.receive())
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            await self._return(task)
            raise
        finally:
            self._receiving = None
        if self._has_ended():
            await self._return(task)
            return None
        return task.result()

    async def _return(self, task: asyncio.Task[Held]) -> None:
        """
        Give back what was received too late for anybody to see it.
        """
        if not task.cancelled() and task.exception() is None:
            await self._channel.settle(task.result(), Verdict(action=Action.RETURN))

    async def _wait_for_room(self) -> None:
        while self.in_flight >= self.prefetch and not self._draining:
            await self._ledger.wait_for_change()
