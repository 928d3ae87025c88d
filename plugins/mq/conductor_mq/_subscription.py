"""
The consumer's side of a queue: a subscription gives deliveries, and each delivery is settled once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import attrs

from ._broker import Action, Channel, Held, Verdict
from ._message import check_seconds, describe_error
from ._retry import RetryPolicy
from .exceptions import NotHeldError


@attrs.define(eq=False, repr=False)
class Delivery:
    """
    One message, handed out to one consumer, which settles it by ``ack``, ``nack`` or ``reject``.

    A message that is not settled within the visibility time comes back and is handed out again.

    .. versionadded:: 0.1
    """

    _subscription: Subscription
    _held: Held
    _settled: bool = False

    def __repr__(self) -> str:
        return f"<Delivery '{self.id}' of {self.topic!r}, group {self.group!r}, attempt {self.attempt}>"

    @property
    def id(self) -> str:
        """
        The id of the message, as ``publish`` gave it.
        """
        return self._held.message.id

    @property
    def topic(self) -> str:
        """
        Where the message was published.
        """
        return self._held.message.topic

    @property
    def group(self) -> str:
        """
        The group that this delivery is for.
        """
        return self._subscription.group

    @property
    def body(self) -> bytes:
        """
        The content of the message.
        """
        return self._held.message.body

    @property
    def headers(self) -> Mapping[str, str]:
        """
        What the publisher said about the content.
        """
        return self._held.message.headers

    @property
    def key(self) -> str | None:
        """
        The key whose messages are handed out in order, if there is one.
        """
        return self._held.message.key

    @property
    def attempt(self) -> int:
        """
        How many times the message has been handed out in this group, this one included.
        """
        return self._held.attempt

    async def ack(self) -> None:
        """
        Say that the message is handled; when this returns, it does not come back to this group.

        Raises:
            NotHeldError: the message is not held any more.
        """
        await self._settle("ack", Verdict(action=Action.ACK))

    async def nack(self, *, delay: float | None = None, error: BaseException | str | None = None) -> None:
        """
        Say that the attempt failed: the message comes back later, or is dead after the last attempt.

        Args:
            delay: seconds until it comes back; by default the queue's backoff decides.
            error: why, for the dead letter.

        Raises:
            NotHeldError: the message is not held any more.
        """
        if delay is not None:
            check_seconds("delay", delay)
        policy = self._subscription._policy
        await self._settle("nack", policy.after_failure(self.attempt, delay=delay, error=describe_error(error)))

    async def reject(self, *, error: BaseException | str | None = None) -> None:
        """
        Say that no attempt can succeed: the message becomes a dead letter at once.

        Args:
            error: why, for the dead letter.

        Raises:
            NotHeldError: the message is not held any more.
        """
        text = describe_error(error) or "rejected by its consumer"
        await self._settle("reject", Verdict(action=Action.DEAD, attempts=self.attempt, error=text))

    async def extend(self, seconds: float | None = None) -> None:
        """
        Hold the message longer.

        Args:
            seconds: how long from now; by default the queue's visibility time.

        Raises:
            NotHeldError: the message is not held any more.
        """
        subscription = self._subscription
        seconds = subscription._policy.visibility if seconds is None else check_seconds("seconds", seconds)
        if self not in subscription._deadlines or not await subscription._channel.extend(self._held, seconds):
            raise self._not_held("extend")
        if self in subscription._deadlines:
            subscription._hold(self, seconds)

    async def _settle_once(self, error: Exception | None) -> None:
        """
        Settle by how the handler ended, unless it settled the delivery itself.
        """
        if self._settled:
            return
        await (self.ack() if error is None else self.nack(error=error))

    async def _settle(self, verb: str, verdict: Verdict) -> None:
        subscription = self._subscription
        held = self in subscription._deadlines
        if not held or not await subscription._channel.settle(self._held, verdict):
            subscription._forget(self)
            raise self._not_held(verb)
        self._settled = True
        subscription._forget(self)

    def _not_held(self, verb: str) -> NotHeldError:
        if self._settled:
            reason = "it is settled already"
        elif self._subscription._over:
            reason = "its subscription has ended, and the message was given back"
        else:
            reason = "its visibility time has passed, and the message has come back"
        return NotHeldError(verb=verb, message=self.id, topic=self.topic, group=self.group, reason=reason)


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
    _channel: Channel = attrs.field(kw_only=True)
    _policy: RetryPolicy = attrs.field(kw_only=True)
    _deadlines: dict[Delivery, float] = attrs.field(init=False, factory=dict)
    _settled: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _turn: asyncio.Lock = attrs.field(init=False, factory=asyncio.Lock)
    _receiving: asyncio.Task[Held] | None = attrs.field(init=False, default=None)
    _registered: bool = attrs.field(init=False, default=False)
    _draining: bool = attrs.field(init=False, default=False)
    _over: bool = attrs.field(init=False, default=False)

    def __repr__(self) -> str:
        return f"<Subscription to {self.topic!r}, group {self.group!r}>"

    @property
    def in_flight(self) -> int:
        """
        How many deliveries are handed out, not settled and not yet come back.
        """
        self._forget_expired()
        return len(self._deadlines)

    async def __aenter__(self) -> Self:
        async with self._turn:
            await self._register()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end(error if isinstance(error, Exception) else None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        async with self._turn:
            while not self._draining:
                await self._register()
                await self._wait_for_room()
                held = await self._receive()
                if held is None:
                    break
                if held.attempt <= self._policy.max_attempts:
                    return self._hand_out(held)
                await self._channel.settle(held, self._policy.after_silence(held.attempt - 1))
        raise StopAsyncIteration

    async def drain(self) -> None:
        """
        Hand out nothing new, and return when everything in flight is settled or has come back.

        The iterators end at once.  Put a limit around this if the handlers have none.
        """
        self._take_no_more()
        while self._deadlines:
            await self._wait_for_change()

    async def end(self) -> None:
        """
        Hand out nothing new, and give back what is unsettled; it comes back at once.
        """
        await self._end(None)

    async def _end(self, error: Exception | None) -> None:
        self._take_no_more()
        self._over = True
        unsettled, self._deadlines = list(self._deadlines), {}
        self._settled.set()
        for delivery in unsettled:
            verdict = Verdict(action=Action.RETRY)
            if error is not None:
                verdict = self._policy.after_failure(delivery.attempt, delay=None, error=describe_error(error))
            await self._channel.settle(delivery._held, verdict)
        await self._channel.leave()

    def _take_no_more(self) -> None:
        self._draining = True
        self._settled.set()
        if self._receiving is not None:
            self._receiving.cancel()

    async def _register(self) -> None:
        if not self._registered:
            await self._channel.register()
            self._registered = True

    async def _receive(self) -> Held | None:
        """
        What the channel receives, in a task of its own so that the subscription can end meanwhile.
        """
        if self._draining:
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
        if self._draining:
            await self._return(task)
            return None
        return task.result()

    async def _return(self, task: asyncio.Task[Held]) -> None:
        """
        Give back what was received too late for anybody to see it.
        """
        if not task.cancelled() and task.exception() is None:
            await self._channel.settle(task.result(), Verdict(action=Action.RETURN))

    def _hand_out(self, held: Held) -> Delivery:
        delivery = Delivery(self, held)
        self._hold(delivery, self._policy.visibility)
        return delivery

    def _hold(self, delivery: Delivery, seconds: float) -> None:
        self._deadlines[delivery] = asyncio.get_running_loop().time() + seconds
        self._settled.set()

    def _forget(self, delivery: Delivery) -> None:
        self._deadlines.pop(delivery, None)
        self._settled.set()

    def _forget_expired(self) -> None:
        now = asyncio.get_running_loop().time()
        for delivery in [each for each, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[delivery]

    async def _wait_for_room(self) -> None:
        while self.in_flight >= self.prefetch and not self._draining:
            await self._wait_for_change()

    async def _wait_for_change(self) -> None:
        """
        Return when a delivery is settled, or when the next one comes back by itself.
        """
        self._settled.clear()
        self._forget_expired()
        if self._deadlines:
            try:
                async with asyncio.timeout_at(min(self._deadlines.values())):
                    await self._settled.wait()
            except TimeoutError:
                self._forget_expired()
