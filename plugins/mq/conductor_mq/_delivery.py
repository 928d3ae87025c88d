"""
One message in the hands of one consumer, and the ledger of all that the consumer holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Mapping

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

    _ledger: Ledger = attrs.field(alias="ledger")
    _held: Held = attrs.field(alias="held")

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
        return self._ledger.group

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

    @property
    def is_settled(self) -> bool:
        """
        Whether this consumer has settled the delivery.
        """
        return self._ledger.is_settled(self)

    async def ack(self) -> None:
        """
        Say that the message is handled; when this returns, it does not come back to this group.

        Raises:
            NotHeldError: the message is not held any more.
        """
        await self._ledger.settle(self, "ack", Verdict(action=Action.ACK))

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
        policy = self._ledger.policy
        await self._ledger.settle(
            self, "nack", policy.after_failure(self.attempt, delay=delay, error=describe_error(error))
        )

    async def reject(self, *, error: BaseException | str | None = None) -> None:
        """
        Say that no attempt can succeed: the message becomes a dead letter at once.

        Args:
            error: why, for the dead letter.

        Raises:
            NotHeldError: the message is not held any more.
        """
        text = describe_error(error) or "rejected by its consumer"
        await self._ledger.settle(self, "reject", Verdict(action=Action.DEAD, attempts=self.attempt, error=text))

    async def extend(self, seconds: float | None = None) -> None:
        """
        Hold the message longer.

        Args:
            seconds: how long from now; by default the queue's visibility time.

        Raises:
            NotHeldError: the message is not held any more.
        """
        seconds = self._ledger.policy.visibility if seconds is None else check_seconds("seconds", seconds)
        await self._ledger.extend(self, seconds)


@attrs.define(eq=False)
class Ledger:
    """
    What one consumer holds: the deliveries that are handed out to it, and until when.

    Attributes:
        group: the group that it consumes for.
        channel: the way to the broker.
        policy: how long a message is held, and what happens when it is not acknowledged.
    """

    group: str
    channel: Channel
    policy: RetryPolicy
    _deadlines: dict[Delivery, float] = attrs.field(init=False, factory=dict)
    _settled: weakref.WeakSet[Delivery] = attrs.field(init=False, factory=weakref.WeakSet)
    _changed: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _over: bool = attrs.field(init=False, default=False)

    @property
    def in_flight(self) -> int:
        """
        How many deliveries are handed out, not settled and not yet come back.
        """
        now = asyncio.get_running_loop().time()
        for delivery in [each for each, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[delivery]
        return len(self._deadlines)

    def hand_out(self, held: Held) -> Delivery:
        """
        A delivery of what was received.
        """
        delivery = Delivery(self, held)
        self._hold(delivery, self.policy.visibility)
        return delivery

    def is_settled(self, delivery: Delivery) -> bool:
        """
        Whether the delivery was settled by its holder.
        """
        return delivery in self._settled

    async def settle(self, delivery: Delivery, verb: str, verdict: Verdict) -> None:
        """
        Settle a delivery that is held.

        Raises:
            NotHeldError: it is not.
        """
        held = delivery in self._deadlines
        if not held or not await self.channel.settle(delivery._held, verdict):
            self._deadlines.pop(delivery, None)
            raise self._not_held(delivery, verb)
        self._settled.add(delivery)
        self._deadlines.pop(delivery, None)
        self.wake()

    async def extend(self, delivery: Delivery, seconds: float) -> None:
        """
        Hold a delivery longer.

        Raises:
            NotHeldError: it is not held any more.
        """
        if delivery not in self._deadlines or not await self.channel.extend(delivery._held, seconds):
            raise self._not_held(delivery, "extend")
        if delivery in self._deadlines:
            self._hold(delivery, seconds)

    async def give_back(self, error: Exception | None) -> None:
        """
        Settle all that is held, for good: as failed if there is an error, else it comes back at once.
        """
        self._over = True
        unsettled, self._deadlines = list(self._deadlines), {}
        self.wake()
        for delivery in unsettled:
            verdict = Verdict(action=Action.RETRY)
            if error is not None:
                verdict = self.policy.after_failure(delivery.attempt, delay=None, error=describe_error(error))
            await self.channel.settle(delivery._held, verdict)

    def wake(self) -> None:
        """
        Have those who wait for a change look again.
        """
        self._changed.set()

    async def wait_for_change(self) -> None:
        """
        Return when a delivery is settled, when the next one comes back by itself, or when woken.
        """
        self._changed.clear()
        deadline = min(self._deadlines.values(), default=None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._changed.wait()

    def _hold(self, delivery: Delivery, seconds: float) -> None:
        self._deadlines[delivery] = asyncio.get_running_loop().time() + seconds
        self.wake()

    def _not_held(self, delivery: Delivery, verb: str) -> NotHeldError:
        if delivery in self._settled:
            reason = "it is settled already"
        elif self._over:
            reason = "its subscription has ended, and the message was given back"
        else:
            reason = "its visibility time has passed, and the message has come back"
        topic = delivery.topic
        return NotHeldError(verb=verb, message=delivery.id, topic=topic, group=self.group, reason=reason)
