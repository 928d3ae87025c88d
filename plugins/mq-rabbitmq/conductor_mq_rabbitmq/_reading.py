"""
Reads all that lies in a queue, and puts it back as it was.

Theory of operation
-------------------

1. Whoever reads has a lock: a queue that belongs to one connection.  Two who read at once would each see a part.
2. As many messages are received as there are.  Those that are not taken out go back in their order.
3. The server works off what is put back after it has said so.  So the last message is published anew, through the
   same channel, and removed once that is confirmed: then all before it are back as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import aiormq.exceptions
import attrs
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from ._link import Link
from ._names import lock
from ._publisher import PERSISTENT

MOST = 60_000  # messages that one consumer can be given at once
PAUSE = 0.1  # seconds at most until the lock is tried again


@attrs.define(eq=False)
class Reading:
    """
    All that lies in a queue.

    Attributes:
        messages: the messages, in their order.
    """

    link: Link
    channel: AbstractChannel
    messages: list[DeliveredMessage]

    async def take_out(self, message: DeliveredMessage) -> None:
        """
        Remove a message from the queue.
        """
        self.messages.remove(message)
        await self.link.call(self.channel.basic_ack(tag_of(message)))

    async def put_back(self, queue: str) -> None:
        """
        Have the server take back what was not taken out, and wait until it has.
        """
        *others, last = self.messages
        if others:
            await self.link.call(self.channel.basic_nack(tag_of(others[-1]), multiple=True, requeue=True))
        properties = Basic.Properties(delivery_mode=PERSISTENT)
        await self.link.call(self.channel.basic_publish(last.body, routing_key=queue, properties=properties))
        await self.link.call(self.channel.basic_ack(tag_of(last)))


@contextlib.asynccontextmanager
async def reading(link: Link, queue: str, *, most: int = MOST) -> AsyncIterator[Reading]:
    """
    The messages of a queue that is there, for as long as the context lasts.

    Args:
        link: the connection.
        queue: the queue.
        most: only so many, from the front.
    """
    async with _locked(link, lock(queue)), link.passing_channel(confirms=True) as channel:
        declared = await link.call(channel.queue_declare(queue, passive=True))
        count = min(declared.message_count or 0, most)
        found = Reading(link, channel, await _receive(link, channel, queue, count) if count else [])
        yield found
        if found.messages:
            await found.put_back(queue)


async def _receive(link: Link, channel: AbstractChannel, queue: str, count: int) -> list[DeliveredMessage]:
    messages: list[DeliveredMessage] = []
    complete = asyncio.Event()

    async def add(message: DeliveredMessage) -> None:
        messages.append(message)
        if len(messages) >= count:
            complete.set()

    await link.call(channel.basic_qos(prefetch_count=count))
    tag = (await link.call(channel.basic_consume(queue, add))).consumer_tag
    await link.wait_on(channel, complete)
    await link.call(channel.basic_cancel(tag or ""))
    return messages


@contextlib.asynccontextmanager
async def _locked(link: Link, name: str) -> AsyncIterator[None]:
    async with link.lock(name):
        while True:
            async with link.passing_channel() as channel:
                try:
                    await link.call(channel.queue_declare(name, exclusive=True))
                except aiormq.exceptions.ChannelLockedResource:
                    pass
                else:
                    break
            await asyncio.sleep(PAUSE * random.random())
        try:
            yield
        finally:
            async with link.passing_channel() as channel:
                await link.call(channel.queue_delete(name))


def tag_of(message: DeliveredMessage) -> int:
    """
    What names a received message within its channel.
    """
    tag = message.delivery_tag
    assert tag is not None, "it was received"
    return tag
