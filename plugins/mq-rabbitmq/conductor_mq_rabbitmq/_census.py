"""
Asks every process what it holds, as AMQP tells of a queue only what is ready to be handed out.

Each process has a queue of its own where it is asked, and consumes one queue in common that nobody writes to: the
number of its consumers says how many answers there will be.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import attrs
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from ._link import LOST, Link
from ._names import Names

LIMIT = 1.0  # seconds that a process has to answer
PAUSE = 0.2  # seconds until a lost channel is made again


@attrs.frozen
class Count:
    """
    What processes hold of one group.

    Attributes:
        in_flight: messages that their consumers hold.
        kept_back: messages that wait for an earlier one of their key.
    """

    in_flight: int = 0
    kept_back: int = 0


Counts = dict[tuple[str, str], Count]


@attrs.define(eq=False)
class Census:
    """
    Answers for this process, and asks all.

    Attributes:
        link: the connection.
        names: what queue and exchange are called.
        count: what this process holds, by topic and group.
        logger: where it is told that a process did not answer.
    """

    link: Link
    names: Names
    count: Callable[[], Counts]
    logger: logging.Logger
    ready: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)

    async def run(self) -> None:
        """
        Answer until cancelled.
        """
        while True:
            try:
                channel = await self.link.channel()
                try:
                    await self._offer(channel)
                    self.ready.set()
                    await self.link.wait_on(channel, asyncio.Event())
                finally:
                    await self.link.close(channel)
            except LOST:
                await asyncio.sleep(PAUSE)

    async def take(self) -> Counts:
        """
        What all processes hold, by topic and group.
        """
        in_flight: Counter[tuple[str, str]] = Counter()
        kept_back: Counter[tuple[str, str]] = Counter()
        answers = 0
        async with self.link.passing_channel() as channel:
            declared = await self.link.call(channel.queue_declare(self.names.processes, passive=True))
            wanted = declared.consumer_count or 0
            complete = asyncio.Event()

            async def add(message: DeliveredMessage) -> None:
                nonlocal answers
                for topic, group, held, kept in json.loads(message.body):
                    in_flight[topic, group] += held
                    kept_back[topic, group] += kept
                answers += 1
                if answers >= wanted:
                    complete.set()

            await self._ask(channel, add)
            try:
                async with asyncio.timeout(LIMIT):
                    await self.link.wait_on(channel, complete)
            except TimeoutError:
                self.logger.warning("%d of %d processes told what they hold", answers, wanted)
        return {place: Count(in_flight[place], kept_back[place]) for place in {*in_flight, *kept_back}}

    async def _ask(
        self, channel: AbstractChannel, add: Callable[[DeliveredMessage], Coroutine[Any, Any, None]]
    ) -> None:
        queue = f"{self.names.census}.answers.{uuid.uuid4().hex}"
        await self.link.call(channel.queue_declare(queue, exclusive=True, auto_delete=True))
        await self.link.call(channel.basic_consume(queue, add, no_ack=True))
        await self.link.call(
            channel.basic_publish(b"", exchange=self.names.census, properties=Basic.Properties(reply_to=queue))
        )

    async def _offer(self, channel: AbstractChannel) -> None:
        async def answer(message: DeliveredMessage) -> None:
            found = [(*place, count.in_flight, count.kept_back) for place, count in self.count().items()]
            to = message.header.properties.reply_to or ""
            await channel.basic_publish(json.dumps(found).encode(), routing_key=to)

        async def ignore(message: DeliveredMessage) -> None:
            """
            Nothing is ever published there.
            """

        queue = f"{self.names.census}.{uuid.uuid4().hex}"
        await self.link.call(channel.queue_declare(queue, exclusive=True, auto_delete=True))
        await self.link.call(channel.queue_bind(queue, self.names.census))
        await self.link.call(channel.basic_consume(queue, answer, no_ack=True))
        await self.link.call(channel.basic_consume(self.names.processes, ignore))
