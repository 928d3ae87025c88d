"""
Takes messages to where they belong: to all groups, to one group later, among its dead letters.

A delay has no queue of its own.  A message waits in the queue whose time is the largest power of two that fits into
what is left, comes back, and goes into the next smaller one; the last of them takes 16 ms.
"""

from __future__ import annotations

import logging
import time

import attrs
from aiormq.abc import DeliveredMessage

from ._envelope import Envelope, NoEnvelopeError, unpack, wrap_stranger
from ._link import Link
from ._names import KEYED, PLAIN
from ._publisher import Publisher
from ._topology import Topology

SHORTEST = 16  # milliseconds of the shortest delay queue
LONGEST = 2**31  # of the longest, 25 days; what takes longer goes through it again
EARLY = 0.002  # seconds before its time at which a message is as good as due


@attrs.define(eq=False)
class Post:
    """
    What all that send and receive have in common.

    Attributes:
        into: the connection that messages are received over.
        publisher: the way to the server, over a connection of its own: the server stops those that publish when it is
            short of memory or disk, and acknowledgements must get through then.
        topology: what there is on the server.
        logger: where it is told what is out of the ordinary.
    """

    into: Link
    publisher: Publisher
    topology: Topology
    logger: logging.Logger

    async def store(self, envelope: Envelope) -> None:
        """
        Publish a message to all groups of its topic, or to where it waits for the first one.
        """
        topic = envelope.message.topic

        async def repair() -> None:
            self.topology.forget()
            await self.topology.add_topic(topic)

        await self.topology.add_topic(topic)
        routing_key = PLAIN if envelope.message.key is None else KEYED
        await self.publisher.publish(self.topology.names.topic(topic), routing_key, envelope.pack(), repair=repair)

    async def admit(self, topic: str, group: str, message: DeliveredMessage, *, target: str) -> Envelope | None:
        """
        What was received, if it may be handed out now; else it has been taken elsewhere, and None.
        """
        try:
            envelope = unpack(message.body)
        except NoEnvelopeError as error:
            self.logger.error("something that is no message was found in topic %r: %s", topic, error)
            stranger = wrap_stranger(message.body, topic)
            await self.bury(topic, group, attrs.evolve(stranger, error=str(error), died=time.time()))
            return None
        if envelope.due - time.time() > EARLY:
            await self.postpone(topic, group, envelope, target=target)
            return None
        return envelope

    async def postpone(self, topic: str, group: str, envelope: Envelope, *, target: str) -> None:
        """
        Have a message come to a queue of the group later.
        """
        left = (envelope.due - time.time()) * 1000
        milliseconds = SHORTEST
        while 2 * milliseconds <= min(left, LONGEST):
            milliseconds *= 2

        async def repair() -> None:
            self.topology.forget()
            await self.topology.add_delay(topic, group, target, milliseconds)

        queue = await self.topology.add_delay(topic, group, target, milliseconds)
        await self.publisher.publish("", queue, envelope.pack(), repair=repair)

    async def bury(self, topic: str, group: str, envelope: Envelope) -> None:
        """
        Keep a message as a dead letter.
        """

        async def repair() -> None:
            await self.topology.add_group_again(topic, group)

        await self.publisher.publish("", self.topology.names.dead(topic, group), envelope.pack(), repair=repair)
