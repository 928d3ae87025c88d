"""
The test double: a queue that keeps its messages in memory, by the same contract.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import attrs

from .._broker import Action, Broker, Channel, Held, Verdict
from .._contract import MessageQueue
from .._message import Backlog, DeadLetter, Message


@attrs.define(eq=False)
class Entry:
    """
    What one group has still to do with one message.
    """

    message: Message
    due: float
    attempt: int = 0
    token: object = None
    dead: DeadLetter | None = None

    def in_flight(self, now: float) -> bool:
        """
        Whether a consumer holds the message.
        """
        return self.token is not None and self.due > now


@attrs.define(eq=False)
class Group:
    """
    What one group of one topic has still to do, in the order of publication.
    """

    entries: dict[str, Entry] = attrs.field(factory=dict)
    handed_out: dict[str, Entry] = attrs.field(factory=dict)

    def next(self) -> Entry | float | None:
        """
        What may be handed out next; if there is nothing, when there will be.
        """
        now = time.monotonic()
        busy = {entry.message.key for entry in self.handed_out.values() if entry.in_flight(now)} - {None}
        for entry in self.entries.values():
            if entry.dead is not None:
                continue
            if entry.due <= now and entry.message.key not in busy:
                return entry
            if entry.message.key is not None and (entry.due <= now or entry.attempt):
                busy.add(entry.message.key)
        return min((entry.due for entry in self.entries.values() if not entry.dead and entry.due > now), default=None)


@attrs.define(eq=False)
class MemoryBroker(Broker):
    """
    Keeps messages in memory; several queues may share one, as processes share a server.

    Attributes:
        published: every message that was ever published, in order.

    .. versionadded:: 0.1
    """

    published: list[Message] = attrs.field(init=False, factory=list)
    _groups: dict[tuple[str, str], Group] = attrs.field(init=False, factory=dict)
    _waiting: dict[str, list[Entry]] = attrs.field(init=False, factory=dict)
    _channels: set[MemoryChannel] = attrs.field(init=False, factory=set)

    async def store(self, message: Message, *, delay: float) -> None:
        """
        Keep a message for each group, or for the first group to come.
        """
        self.published.append(message)
        due = time.monotonic() + delay
        groups = [group for (topic, _), group in self._groups.items() if topic == message.topic]
        for group in groups:
            group.entries[message.id] = Entry(message, due)
        if not groups:
            self._waiting.setdefault(message.topic, []).append(Entry(message, due))
        self.wake()

    def channel(self, topic: str, group: str, *, visibility: float, prefetch: int) -> Channel:
        """
        A channel that looks whenever something has changed.
        """
        return MemoryChannel(self, (topic, group), visibility)

    async def dead_letters(self, topic: str, group: str, *, limit: int) -> list[DeadLetter]:
        """
        Dead letters of a group, the oldest message first.
        """
        entries = self._groups.get((topic, group), Group()).entries.values()
        return list(itertools.islice((entry.dead for entry in entries if entry.dead is not None), limit))

    async def replay(self, topic: str, group: str, *, ids: Collection[str] | None) -> int:
        """
        Make dead letters due again.
        """
        entries = self._groups.get((topic, group), Group()).entries
        dead = [id for id, entry in entries.items() if entry.dead is not None and (ids is None or id in ids)]
        for id in dead:
            entries[id] = attrs.evolve(entries[id], due=time.monotonic(), attempt=0, dead=None)
        self.wake()
        return len(dead)

    async def backlog(self) -> Sequence[Backlog]:
        """
        How much there is to do, by topic and group.
        """
        found = [_count(topic, name, group.entries.values()) for (topic, name), group in self._groups.items()]
        found += [_count(topic, None, entries) for topic, entries in self._waiting.items()]
        return sorted(found, key=lambda each: (each.topic, each.group or ""))

    async def check(self) -> None:
        """
        Memory is always there.
        """

    def register(self, topic: str, group: str) -> None:
        """
        Make a group known, with what waited for a first one.
        """
        if (topic, group) not in self._groups:
            first = not any(each == topic for each, _ in self._groups)
            waiting = self._waiting.pop(topic, []) if first else []
            self._groups[topic, group] = Group({entry.message.id: entry for entry in waiting})

    def hand_out(self, place: tuple[str, str], visibility: float) -> Held | float | None:
        """
        What a group is handed out next; if there is nothing, when there will be.
        """
        group = self._groups[place]
        found = group.next()
        if not isinstance(found, Entry):
            return found
        found.attempt, found.token = found.attempt + 1, object()
        found.due = time.monotonic() + visibility
        group.handed_out[found.message.id] = found
        return Held(message=found.message, attempt=found.attempt, token=found.token)

    def held(self, place: tuple[str, str], held: Held) -> Entry | None:
        """
        The entry that a token holds.
        """
        entry = self._groups[place].entries.get(held.message.id)
        holds = entry is not None and entry.token is held.token and entry.in_flight(time.monotonic())
        return entry if holds else None

    def let_go(self, place: tuple[str, str], entry: Entry, verdict: Verdict) -> None:
        """
        Settle an entry that is held.
        """
        group = self._groups[place]
        del group.handed_out[entry.message.id]
        entry.token, entry.due = None, time.monotonic() + verdict.delay
        if verdict.action is Action.ACK:
            del group.entries[entry.message.id]
        elif verdict.action is Action.RETURN:
            entry.attempt -= 1
        elif verdict.action is Action.DEAD:
            entry.dead = DeadLetter(
                message=entry.message,
                group=place[1],
                attempts=verdict.attempts,
                error=verdict.error,
                died=time.time(),
            )
        self.wake()

    def wake(self) -> None:
        """
        Have everybody who waits look again.
        """
        for channel in self._channels:
            channel.changed.set()

    @contextlib.contextmanager
    def waking(self, channel: MemoryChannel) -> Iterator[None]:
        """
        The channel is woken for as long as the context lasts.
        """
        self._channels.add(channel)
        try:
            yield
        finally:
            self._channels.discard(channel)


@attrs.define(eq=False)
class MemoryChannel(Channel):
    """
    Receives messages of one topic for one group.
    """

    broker: MemoryBroker
    place: tuple[str, str]
    visibility: float
    changed: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)

    async def register(self) -> None:
        """
        Make the group known.
        """
        self.broker.register(*self.place)

    async def receive(self) -> Held:
        """
        The next message, as soon as there is one.
        """
        with self.broker.waking(self):
            while True:
                found = self.broker.hand_out(self.place, self.visibility)
                if isinstance(found, Held):
                    return found
                self.changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if found is None else max(0.0, found - time.monotonic())):
                        await self.changed.wait()

    async def settle(self, held: Held, verdict: Verdict) -> bool:
        """
        Settle a message that is held.
        """
        entry = self.broker.held(self.place, held)
        if entry is None:
            return False
        self.broker.let_go(self.place, entry, verdict)
        return True

    async def extend(self, held: Held, seconds: float) -> bool:
        """
        Hold a message longer.
        """
        entry = self.broker.held(self.place, held)
        if entry is None:
            return False
        entry.due = time.monotonic() + seconds
        return True


class MemoryMessageQueue(MessageQueue):
    """
    A test double that keeps its messages in memory for as long as the object lives; never use it in earnest.

    Attributes:
        memory: where they are kept (the constructor takes it); by default a memory of its own.

    .. versionadded:: 0.1
    """

    _memory: MemoryBroker = attrs.field(factory=MemoryBroker, alias="memory")

    @property
    def published(self) -> Sequence[Message]:
        """
        Every message that was ever published, in order.
        """
        return tuple(self._memory.published)

    async def _make_broker(self) -> Broker:
        """
        The memory.
        """
        return self._memory


def _count(topic: str, group: str | None, entries: Collection[Entry]) -> Backlog:
    now = time.monotonic()
    kinds = Counter("dead" if entry.dead else "in_flight" if entry.in_flight(now) else "waiting" for entry in entries)
    return Backlog(topic=topic, group=group, waiting=kinds["waiting"], in_flight=kinds["in_flight"], dead=kinds["dead"])
