"""
Makes what has to be there on the server: exchanges and queues of topics, groups and delays.

Theory of operation
-------------------

1. A topic has one direct exchange.  Messages with a key go through it as "keyed", the others as "plain"; each group
   has a queue for either.
2. A topic begins with one pair of queues that belongs to no group yet; what is published waits there.  The first
   group takes it over, so that nothing has to be moved.  Which one is first is decided by the server: each tries to
   declare an exchange that carries the name of the group in its ``alternate-exchange``, and a second declaration
   that says otherwise is refused.
3. A delay queue has one time to live for all its messages, so that they end in the order in which they came, and
   hands them on to the queue beside which it stands.
4. Everything is noted in the registry before it is made, as AMQP cannot list what there is.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import aiormq.exceptions
import attrs
from aiormq.abc import AbstractChannel

from ._link import Link
from ._names import KEYED, PLAIN, Lane, Names, delay_queue
from ._publisher import Publisher, refused

T = TypeVar("T")

# RabbitMQ 4 throws away what was returned 20 times, unless a queue says otherwise; looking through dead letters
# returns them.
QUORUM: Mapping[str, Any] = {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1}  # Any: an AMQP table


@attrs.define(eq=False)
class Topology:
    """
    What there is on the server.

    Attributes:
        link: the connection to declare it through.
        names: what it is called.
        publisher: notes it in the registry.
    """

    link: Link
    names: Names
    publisher: Publisher
    _made: dict[tuple[str, ...], asyncio.Future[Any]] = attrs.field(init=False, factory=dict)  # Any: of several types

    async def begin(self) -> None:
        """
        Make what is there for all topics.
        """
        async with self.link.passing_channel() as channel:
            await self._declare(channel, self.names.registry)
            await self._declare(channel, self.names.processes)
            await self._ask(channel.exchange_declare(self.names.census, exchange_type="fanout", durable=True))

    async def add_topic(self, topic: str) -> None:
        """
        Make a topic, unless it is there.
        """
        await self._once(("topic", topic), lambda: self._add_topic(topic))

    async def add_group(self, topic: str, group: str) -> Lane:
        """
        The queues of a group, made unless they are there.
        """
        await self.add_topic(topic)
        return await self._once(("group", topic, group), lambda: self._add_group(topic, group))

    async def add_group_again(self, topic: str, group: str) -> Lane:
        """
        The queues of a group, some of which somebody has deleted.
        """
        self.forget()
        return await self.add_group(topic, group)

    async def add_delay(self, topic: str, group: str, target: str, milliseconds: int) -> str:
        """
        The queue that delays what goes to another queue, made unless it is there.
        """
        name = delay_queue(target, milliseconds)
        return await self._once(("delay", name), lambda: self._add_delay(topic, group, target, milliseconds))

    def forget(self) -> None:
        """
        Look again what there is, next time.
        """
        self._made.clear()

    async def _once(self, what: tuple[str, ...], make: Callable[[], Awaitable[T]]) -> T:
        """
        What is made, by whoever comes first and for all who want it.
        """
        making = self._made.get(what)
        if making is None:
            making = self._made[what] = asyncio.ensure_future(make())
        try:
            made: T = await self.link.call(making)
        except Exception:
            if self._made.get(what) is making:
                del self._made[what]
            raise
        return made

    async def _add_topic(self, topic: str) -> None:
        lane = self.names.lane(topic, None)
        exchange = self.names.topic(topic)
        if not await self.exists(lane.keyed):
            await self._note(topic=topic)
        async with self.link.passing_channel() as channel:
            await self._ask(channel.exchange_declare(exchange, exchange_type="direct", durable=True))
            await self._add_lane(channel, lane, exchange)

    async def _add_group(self, topic: str, group: str) -> Lane:
        is_first = await self._claim_first(topic, group)
        lane = self.names.lane(topic, None if is_first else group)
        dead = self.names.dead(topic, group)
        if not await self.exists(dead):
            await self._note(topic=topic, group=group, first=is_first)
        async with self.link.passing_channel() as channel:
            await self._declare(channel, dead)
            await self._declare(channel, lane.journal, {"x-single-active-consumer": True})
            await self._add_lane(channel, lane, self.names.topic(topic))
        return lane

    async def _add_lane(self, channel: AbstractChannel, lane: Lane, exchange: str) -> None:
        await self._declare(channel, lane.plain)
        await self._declare(channel, lane.keyed, {"x-single-active-consumer": True})
        await self._ask(channel.queue_bind(lane.plain, exchange, routing_key=PLAIN))
        await self._ask(channel.queue_bind(lane.keyed, exchange, routing_key=KEYED))

    async def _add_delay(self, topic: str, group: str, target: str, milliseconds: int) -> str:
        name = delay_queue(target, milliseconds)
        if not await self.exists(name):
            await self._note(topic=topic, group=group, delay=name)
        arguments = {
            "x-message-ttl": milliseconds,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": target,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        async with self.link.passing_channel() as channel:
            await self._declare(channel, name, arguments)
        return name

    async def _claim_first(self, topic: str, group: str) -> bool:
        claim: dict[str, Any] = {"alternate-exchange": self.names.claim(group)}
        async with self.link.passing_channel() as channel:
            try:
                await self._ask(
                    channel.exchange_declare(
                        self.names.first(topic), exchange_type="fanout", durable=True, arguments=claim
                    )
                )
            except aiormq.exceptions.ChannelPreconditionFailed:
                return False
        return True

    async def exists(self, queue: str) -> bool:
        """
        Whether there is a queue.
        """
        return await self.count(queue) is not None

    async def count(self, queue: str) -> int | None:
        """
        How many messages lie in a queue; None if it is not there.
        """
        async with self.link.passing_channel() as channel:
            try:
                found = await self._ask(channel.queue_declare(queue, passive=True))
            except aiormq.exceptions.ChannelNotFoundEntity:
                return None
        return found.message_count or 0

    async def _note(self, **record: object) -> None:
        await self.publisher.publish("", self.names.registry, json.dumps(record).encode())

    async def _declare(self, channel: AbstractChannel, queue: str, arguments: Mapping[str, Any] | None = None) -> None:
        whole = {**QUORUM, **(arguments or {})}
        await self._ask(channel.queue_declare(queue, durable=True, arguments=whole))

    async def _ask(self, request: Awaitable[T]) -> T:
        try:
            return await self.link.call(request)
        except aiormq.exceptions.ChannelAccessRefused as error:
            raise refused(self.link, error) from None
