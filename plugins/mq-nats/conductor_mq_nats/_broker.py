"""
Keeps messages in JetStream, so that every promise of the contract holds.

Theory of operation
-------------------

1. A topic has one stream, whose messages are removed as soon as they are acknowledged ("work queue").  Each message
   is published once for each group, on a subject of that group, so every group has a list of its own of what it has
   still to do.  There is always the list of group number 0, who will be the first group; so what is published before
   there is one waits for it.  A publisher reads which groups there are anew for each message, together with all
   others that it publishes at that moment.
2. A group has one durable consumer.  The server hands out each message to one of those who pull, counts how often,
   and hands it out again after the visibility time.
3. The server takes an acknowledgement from anybody who was ever handed the message.  So who is in doubt whether it
   still holds a message, as much time has passed or the connection was made anew, first says what it wants to do in
   a *record* of the message, on the condition that nobody else has written there since; and who is handed a message
   that was handed out before, writes there that it holds it now.
4. A message that the server has handed out and that nobody has seen is not counted: the record says how often that
   was.  That is so for what is returned, and for rules 5 and 6.
5. Messages of one key have a subject of their own.  Only the first one on it is handed out.  Another one is noted as
   being behind and held back, until whoever settles the one before calls it back.
6. A delayed message lies on a subject of its own, is held back when it is first handed out, and is published anew
   when it is due.
7. A dead letter is decided on in the record, kept in a stream of its own, then acknowledged; each of the three steps
   is finished by whoever is handed the message next, should its consumer die in between.
8. A server that is killed may find messages again that it had removed, but not hand them out: they stand in the way
   of those of their key.  What is acknowledged for certain is removed again ("swept") when a consumer begins, when
   the connection is back, and every now and then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence

import attrs

from conductor_mq import Backlog, Broker, Channel, DeadLetter, Message

from ._catalogue import Catalogue, Listing
from ._channel import NATSChannel
from ._contents import Contents
from ._envelope import Envelope
from ._link import Link
from ._names import Place
from ._records import Records
from ._streams import API, Streams


@attrs.define(eq=False)
class NATSBroker(Broker):
    """
    Keeps messages on the server.
    """

    link: Link
    streams: Streams
    catalogue: Catalogue

    async def store(self, message: Message, *, delay: float) -> None:
        """
        Publish the message for each group, and for the first group if there is none yet.
        """
        envelope = Envelope(message=message, due=time.time() + delay if delay else 0.0)
        done = 0
        looking = self.catalogue.look(message.topic)
        known = self.catalogue.known(message.topic)
        if known.revision:
            done = await self._store(envelope, known, begin=0)
        listing = await asyncio.shield(looking)
        if not listing.revision:
            listing = await self.catalogue.add_topic(message.topic)
        await self._store(envelope, listing, begin=done)

    def channel(self, topic: str, group: str, *, visibility: float, prefetch: int) -> Channel:
        """
        A channel that pulls one message at a time.
        """
        return NATSChannel(self.streams, self.catalogue, topic, group, visibility)

    async def dead_letters(self, topic: str, group: str, *, limit: int) -> list[DeadLetter]:
        """
        Dead letters of a group, the oldest message first.
        """
        contents = await self._contents(topic, group)
        if contents is None:
            return []
        found = []
        for subject in (await contents.letters())[: max(0, limit)]:
            stored = await contents.letter(subject)
            if stored is not None:
                found.append(await contents.read_letter(stored, topic=topic, group=group))
        return found

    async def replay(self, topic: str, group: str, *, ids: Collection[str] | None) -> int:
        """
        Publish dead letters anew, for their group only.
        """
        contents = await self._contents(topic, group)
        if contents is None:
            return 0
        count = 0
        for subject in await contents.letters():
            if ids is None or subject.rpartition(".")[2] in ids:
                stored = await contents.letter(subject)
                if stored is not None:
                    count += await contents.replay(stored)
        return count

    async def backlog(self) -> Sequence[Backlog]:
        """
        How much there is to do, by topic and group.
        """
        found: list[Backlog] = []
        for listing in await self.catalogue.list():
            for slot, group in enumerate(listing.groups):
                found.append(await self._count(listing.topic, group, slot))
            if not listing.groups:
                nobody = await self._count(listing.topic, None, 0)
                found += [nobody] if nobody.waiting else []
        return sorted(found, key=lambda each: (each.topic, each.group or ""))

    async def check(self) -> None:
        """
        Raise if there is no connection, or JetStream does not answer.
        """
        await self.link.probe(f"{API}.STREAM.INFO.{self.streams.names.state}")

    async def _store(self, envelope: Envelope, listing: Listing, *, begin: int) -> int:
        """
        Publish a message for the groups of a topic from a certain one on; the number of groups that it has then.
        """
        count = max(1, len(listing.groups))
        for slot in range(begin, count):
            place = self.streams.names.place(envelope.message.topic, slot)
            subject = place.later if envelope.due else place.lane(envelope.message)
            await Contents(self.streams, place).store(envelope, subject)
        return count

    async def _contents(self, topic: str, group: str) -> Contents | None:
        place = await self.catalogue.find(topic, group)
        return None if place is None else Contents(self.streams, place)

    async def _count(self, topic: str, group: str | None, slot: int) -> Backlog:
        place: Place = self.streams.names.place(topic, slot)
        messages = sum((await self.streams.subjects(place.stream, place.lanes)).values())
        if group is None:
            return Backlog(topic=topic, group=None, waiting=messages, in_flight=0, dead=0)
        held = (await self.streams.look(place)).held
        records = await Records(self.streams, place).list() if held else []
        in_flight = min(messages, max(0, held - sum(record.is_waiting for record in records)))
        dead = len(await self.streams.subjects(self.streams.names.dead, place.letters))
        return Backlog(topic=topic, group=group, waiting=messages - in_flight, in_flight=in_flight, dead=dead)
