"""
The contract ``mq``: what every message queue does, whatever keeps the messages.

Delivery is *at least once*.  A message goes to each group of its topic; the consumers of one group share the
messages among them.  An implementation is a subclass that says, in :meth:`MessageQueue._make_broker`, what keeps
the messages; the rest is the same for all, and ``conductor_mq.testing`` holds it to that.
"""

from __future__ import annotations

import abc
import asyncio
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import attrs

from conductor import Component, setting

from ._broker import Broker
from ._delivery import Delivery, Ledger
from ._message import Backlog, DeadLetter, check_name, check_seconds, make_message
from ._retry import RetryPolicy
from ._subscription import Subscription
from .exceptions import InvalidMessageError, NotHeldError, QueueUnavailableError

DEFAULT_GROUP = "default"


class MessageQueue(Component, abc.ABC):
    """
    A durable message queue, the contract that components name as the type of a field.

    Attributes:
        visibility: seconds after which a message that is not acknowledged comes back.
        max_attempts: a message that was handed out so many times in vain becomes a dead letter.
        backoff_first: seconds between the first and the second attempt.
        backoff_factor: how much longer each further pause is.
        backoff_limit: seconds that no pause exceeds.

    .. versionadded:: 0.1
    """

    visibility: float = setting(
        default=30.0,
        help="seconds after which a message that is not acknowledged comes back",
        validator=attrs.validators.gt(0),
    )
    max_attempts: int = setting(
        default=5,
        help="attempts in vain after which a message becomes a dead letter",
        validator=attrs.validators.ge(1),
    )
    backoff_first: float = setting(
        default=1.0,
        help="seconds between the first and the second attempt",
        validator=attrs.validators.ge(0),
    )
    backoff_factor: float = setting(
        default=2.0,
        help="how much longer each further pause between attempts is",
        validator=attrs.validators.ge(1),
    )
    backoff_limit: float = setting(
        default=300.0,
        help="seconds that no pause between attempts exceeds",
        validator=attrs.validators.ge(0),
    )
    _broker: Broker | None = attrs.field(init=False, default=None)
    _subscriptions: weakref.WeakSet[Subscription] = attrs.field(init=False, factory=weakref.WeakSet)

    @abc.abstractmethod
    async def _make_broker(self) -> Broker:
        """
        What keeps the messages, ready for use; called once by each set-up.

        For implementations this method is a promise like any public one.  Its underscore keeps it out of the
        public face, so that a class that wraps a queue, or stands in for one, need not have it.

        What has to be undone is registered with ``self.enter`` or ``self.defer``.
        """

    async def setup(self) -> None:
        """
        Make the queue ready for use.
        """
        self._broker = await self._make_broker()

    async def shutdown(self) -> None:
        """
        End all subscriptions: nothing new is handed out, and what is unsettled comes back.
        """
        try:
            for subscription in list(self._subscriptions):
                await subscription.end()
        finally:
            self._broker = None

    async def health(self) -> None:
        """
        Raise if messages cannot be kept at present.
        """
        await self._require_broker().check()

    async def publish(
        self,
        topic: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        delay: float = 0.0,
    ) -> str:
        """
        The id of the message, which is durable when this returns.

        Args:
            topic: any text; nothing has to be declared beforehand.
            body: the content, up to 1 MiB.
            headers: text by name, for what describes the content.
            key: a group is handed the messages of one key in the order of publication: the next one comes when
                the one before is settled.  A message that is still delayed does not hold up the others.
            delay: seconds before which the message is not handed out.

        Raises:
            InvalidMessageError: the message is not one that a queue takes.
            QueueUnavailableError: the queue is not set up.
        """
        broker = self._require_broker()
        message = make_message(topic, body, headers, key)
        await broker.store(message, delay=check_seconds("delay", delay))
        return message.id

    def subscribe(self, topic: str, *, group: str = DEFAULT_GROUP, prefetch: int = 1) -> Subscription:
        """
        An asynchronous iterator of deliveries, to be used as a context manager.

        ::

            async with queue.subscribe("orders", group="pricing") as deliveries:
                async for delivery in deliveries:
                    await price(delivery.body)
                    await delivery.ack()

        Args:
            topic: where the messages are published.
            group: each group gets every message, and its consumers compete.  The first group of a topic gets
                what was published before there was one, a further group what is published from then on.
            prefetch: how many deliveries may be unsettled at once.

        Raises:
            QueueUnavailableError: the queue is not set up.
        """
        check_name("topic", topic)
        check_name("group", group)
        if isinstance(prefetch, bool) or not isinstance(prefetch, int) or prefetch < 1:
            raise InvalidMessageError(f"prefetch must be a whole number from 1, not {prefetch!r}")
        channel = self._require_broker().channel(topic, group, visibility=self.visibility, prefetch=prefetch)
        policy = RetryPolicy(
            visibility=self.visibility,
            max_attempts=self.max_attempts,
            first=self.backoff_first,
            factor=self.backoff_factor,
            limit=self.backoff_limit,
        )
        subscription = Subscription(topic, group, prefetch=prefetch, ledger=Ledger(group, channel, policy))
        self._subscriptions.add(subscription)
        return subscription

    async def consume(
        self,
        topic: str,
        handler: Callable[[Delivery], Awaitable[object]],
        *,
        group: str = DEFAULT_GROUP,
        concurrency: int = 1,
    ) -> None:
        """
        Handle each message of a topic, until cancelled; made to be the whole ``run`` of a component.

        A message is acknowledged when the handler returns, and comes back later when it raises, unless the
        handler settled it itself.  When this is cancelled, nothing new is taken and the handlers in flight
        go on to their end; cancelled once more, they are cancelled too, and their messages come back.

        Args:
            topic: where the messages are published.
            handler: a coroutine function, called with each delivery.
            group: the group to consume for.
            concurrency: how many messages are handled at once.
        """
        handling: set[asyncio.Task[None]] = set()
        failures: list[BaseException] = []
        async with self.subscribe(topic, group=group, prefetch=concurrency) as deliveries:

            def ended(task: asyncio.Task[None]) -> None:
                handling.discard(task)
                failure = None if task.cancelled() else task.exception()
                if failure is not None:  # the queue itself failed, or the handler raised what no handler may
                    failures.append(failure)
                    deliveries.take_no_more()

            try:
                async for delivery in deliveries:
                    task = asyncio.create_task(self._handle(handler, delivery))
                    handling.add(task)
                    task.add_done_callback(ended)
            finally:
                await _finish(handling)
        if failures:
            raise failures[0]

    async def dead_letters(self, topic: str, *, group: str = DEFAULT_GROUP, limit: int = 100) -> list[DeadLetter]:
        """
        The dead letters of a group, the oldest message first.

        Args:
            topic: where the messages were published.
            group: the group that could not handle them.
            limit: at most so many.
        """
        return await self._require_broker().dead_letters(topic, group, limit=limit)

    async def replay(self, topic: str, *, group: str = DEFAULT_GROUP, ids: Iterable[str] | None = None) -> int:
        """
        Hand dead letters out to their group again, from the first attempt on.

        Args:
            topic: where the messages were published.
            group: the group that could not handle them.
            ids: those messages only; by default all.

        Returns:
            How many.
        """
        chosen = None if ids is None else frozenset(ids)
        return await self._require_broker().replay(topic, group, ids=chosen)

    async def backlog(self) -> Sequence[Backlog]:
        """
        How much there is to do, one record for each topic and group, ordered by their names.
        """
        return await self._require_broker().backlog()

    def _require_broker(self) -> Broker:
        if self._broker is None:
            raise QueueUnavailableError(repr(self))
        return self._broker

    async def _handle(self, handler: Callable[[Delivery], Awaitable[object]], delivery: Delivery) -> None:
        """
        Call the handler and settle the delivery by what it did; a late end is logged, the message is back by then.
        """
        failure: Exception | None = None
        try:
            await handler(delivery)
        except Exception as error:
            self.logger.warning("handling of %r failed", delivery, exc_info=True)
            failure = error
        if delivery.is_settled:
            return
        try:
            await (delivery.ack() if failure is None else delivery.nack(error=failure))
        except NotHeldError as late:
            self.logger.warning("%s", late)


async def _finish(handling: set[asyncio.Task[None]]) -> None:
    """
    Wait for handlers to end; if that is cancelled, cancel them and wait for their end.
    """
    try:
        while handling:
            await asyncio.wait(handling)
    except asyncio.CancelledError:
        for task in handling:
            task.cancel()
        await asyncio.wait(handling)
        raise
