"""
Which topics there are, and which groups they have; kept on the server, for good.

A group's number is its place in the list of its topic, and is never given to another one.  A list is changed only on
the condition that nobody else has changed it meanwhile, so that all agree about who was the first.
"""

from __future__ import annotations

import asyncio
import json

import attrs

from ._names import Place
from ._streams import Streams


@attrs.frozen
class Listing:
    """
    One topic in the catalogue.

    Attributes:
        topic: its name.
        groups: its groups, in the order in which they came.
        revision: the number of this state of the list; 0 if the topic is not in the catalogue.
    """

    topic: str
    groups: tuple[str, ...] = ()
    revision: int = 0


@attrs.define(eq=False)
class Catalogue:
    """
    All topics of one namespace.

    Attributes:
        streams: where it is kept.
    """

    streams: Streams
    _known: dict[str, Listing] = attrs.field(init=False, factory=dict)
    _next: dict[str, asyncio.Task[Listing]] = attrs.field(init=False, factory=dict)
    _reading: dict[str, asyncio.Task[Listing]] = attrs.field(init=False, factory=dict)

    def known(self, topic: str) -> Listing:
        """
        What was true of a topic at some time.
        """
        return self._known.get(topic, Listing(topic))

    def look(self, topic: str) -> asyncio.Task[Listing]:
        """
        What is true of a topic now or later: read after this was called, once for all who call meanwhile.
        """
        task = self._next.get(topic)
        if task is None:
            task = asyncio.ensure_future(self._read_next(topic, self._reading.get(topic)))
            self._next[topic] = task
            task.add_done_callback(_retrieve)
        return task

    async def add_topic(self, topic: str) -> Listing:
        """
        Note a topic, and make its stream.
        """
        listing = await self.look(topic)
        while not listing.revision:
            listing = await self._change(listing, groups=())
        await self.make_stream(topic)
        return listing

    async def add_group(self, topic: str, group: str) -> Place:
        """
        Note a group; its place.
        """
        listing = await self.add_topic(topic)
        while group not in listing.groups:
            listing = await self._change(listing, groups=(*listing.groups, group))
        return self.streams.names.place(topic, listing.groups.index(group))

    async def make_stream(self, topic: str) -> None:
        """
        Make the stream of a topic, unless it is there.
        """
        await self.streams.make_topic(self.streams.names.place(topic, 0))

    async def find(self, topic: str, group: str) -> Place | None:
        """
        The place of a group, if it is known.
        """
        listing = await self.look(topic)
        return self.streams.names.place(topic, listing.groups.index(group)) if group in listing.groups else None

    async def list(self) -> list[Listing]:
        """
        All topics.
        """
        names = self.streams.names
        found = []
        for subject in await self.streams.subjects(names.state, names.all_topics):
            kept = await self.streams.last(names.state, subject)
            if kept is not None:
                found.append(_parse(kept.data, kept.sequence))
        return found

    async def shut_down(self) -> None:
        """
        Wait for the end of what is being read.
        """
        tasks = {*self._next.values(), *self._reading.values()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _read_next(self, topic: str, before: asyncio.Task[Listing] | None) -> Listing:
        if before is not None:
            await asyncio.wait({before})
        task = self._next.pop(topic)
        self._reading[topic] = task
        try:
            return await self._read(topic)
        finally:
            if self._reading.get(topic) is task:
                del self._reading[topic]

    async def _read(self, topic: str) -> Listing:
        names = self.streams.names
        kept = await self.streams.last(names.state, names.topic(topic))
        listing = Listing(topic) if kept is None else _parse(kept.data, kept.sequence)
        self._known[topic] = listing
        return listing

    async def _change(self, listing: Listing, *, groups: tuple[str, ...]) -> Listing:
        data = json.dumps({"topic": listing.topic, "groups": groups}).encode()
        subject = self.streams.names.topic(listing.topic)
        revision = await self.streams.keep(subject, data, expected=listing.revision)
        if revision is None:
            return await self.look(listing.topic)  # somebody was quicker
        changed = Listing(listing.topic, groups, revision)
        self._known[listing.topic] = changed
        return changed


def _parse(data: bytes, revision: int) -> Listing:
    record = json.loads(data)
    return Listing(record["topic"], tuple(record["groups"]), revision)


def _retrieve(task: asyncio.Task[Listing]) -> None:
    if not task.cancelled():
        task.exception()  # whoever asked may have gone; then nobody else looks at it
