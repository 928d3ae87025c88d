"""
Keeps messages on a RabbitMQ server.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

import attrs

from conductor_mq import Backlog, Broker, Channel, DeadLetter, Message

from ._census import Census, Count, Counts
from ._channel import RabbitMQChannel
from ._envelope import Envelope, unpack
from ._link import LOST
from ._names import Lane
from ._post import Post
from ._reading import reading
from ._sequencer import Sequencer

T = TypeVar("T")

PAUSE = 0.05  # seconds until what was interrupted is done again
Place = tuple[str, str]  # topic and group


class Spawn(Protocol):
    """
    Begins a task.
    """

    def __call__(self, coro: Coroutine[Any, Any, None], /, *, name: str) -> asyncio.Task[None]: ...


@attrs.define(eq=False)
class Team:
    """
    The channels of this process for one group, and what brings its keys in order.
    """

    sequencer: Sequencer
    task: asyncio.Task[None]
    channels: set[RabbitMQChannel] = attrs.field(factory=set)


@attrs.define(eq=False)
class RabbitMQBroker(Broker):
    """
    Keeps messages on a server.

    Attributes:
        post: the way of messages.
        patience: seconds within which the server must answer.
        spawn: begins a task that ends with the component, and whose failure is that of the component.
    """

    post: Post
    patience: float
    spawn: Spawn
    _teams: dict[Place, Team] = attrs.field(init=False, factory=dict)
    _census: Census = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._census = Census(self.post.into, self.post.topology.names, self._count, self.post.logger)

    async def set_up(self) -> None:
        """
        Make what every topic needs, and answer when other processes ask.
        """
        await self.post.topology.begin()
        self.spawn(self._census.run(), name="conductor-mq-rabbitmq census")
        await self._census.ready.wait()

    async def store(self, message: Message, *, delay: float) -> None:
        """
        Publish a message, and wait until the server has confirmed it.
        """
        now = time.time()
        envelope = Envelope(message=message, published=now, due=now + delay if delay > 0 else 0.0)
        await self._insist(lambda: self.post.store(envelope))

    def channel(self, topic: str, group: str, *, visibility: float, prefetch: int) -> Channel:
        """
        A channel that fetches one message after another.
        """
        return RabbitMQChannel(self.post, topic, group, visibility=visibility, join=self._join, part=self._part)

    async def dead_letters(self, topic: str, group: str, *, limit: int) -> list[DeadLetter]:
        """
        Dead letters of a group, the oldest message first.
        """
        return await self._insist(lambda: self._list_dead(topic, group, limit))

    async def replay(self, topic: str, group: str, *, ids: Collection[str] | None) -> int:
        """
        Publish dead letters to their group again.
        """
        replayed: set[str] = set()
        await self._insist(lambda: self._replay(topic, group, ids, replayed))
        return len(replayed)

    async def backlog(self) -> Sequence[Backlog]:
        """
        How much there is to do, by topic and group.
        """
        return await self._insist(self._count_all)

    async def check(self) -> None:
        """
        Raise if the server is away, does not answer, or takes no messages.
        """
        for link in (self.post.into, self.post.publisher.link):
            if not link.is_up:
                raise link.error(link.reason)

        async def ask() -> None:
            for link in (self.post.into, self.post.publisher.link):
                await link.require_ready()
            await self.post.topology.exists(self.post.topology.names.registry)

        await self._insist(ask)

    async def _insist(self, action: Callable[[], Awaitable[T]]) -> T:
        """
        What an action gives that can be done again when the connection was lost, within the patience.
        """
        link = self.post.into
        try:
            async with asyncio.timeout(self.patience):
                while True:
                    try:
                        return await action()
                    except LOST:
                        await asyncio.sleep(PAUSE)
        except TimeoutError:
            raise link.error(
                f"no answer within {self.patience:g} s: {link.reason}",
                hint="is the server running, and has it enough memory and disk? 'rabbitmqctl status' tells of alarms",
            ) from None

    async def _list_dead(self, topic: str, group: str, limit: int) -> list[DeadLetter]:
        queue = self.post.topology.names.dead(topic, group)
        if not await self.post.topology.count(queue):
            return []
        async with reading(self.post.into, queue) as found:
            envelopes = {each.message.id: each for each in (unpack(message.body) for message in found.messages)}
        oldest = sorted(envelopes.values(), key=lambda each: each.published)
        return [each.dead_letter(group) for each in oldest[:limit]]

    async def _replay(self, topic: str, group: str, ids: Collection[str] | None, replayed: set[str]) -> None:
        queue = self.post.topology.names.dead(topic, group)
        if not await self.post.topology.count(queue):
            return
        lane = await self.post.topology.add_group(topic, group)
        async with reading(self.post.into, queue) as found:
            for message in list(found.messages):
                envelope = unpack(message.body)
                id = envelope.message.id
                if ids is not None and id not in ids:
                    continue
                if id not in replayed:
                    target = lane.plain if envelope.message.key is None else lane.keyed
                    again = Envelope(message=envelope.message, published=envelope.published)
                    await self.post.publisher.publish("", target, again.pack())
                    replayed.add(id)
                await found.take_out(message)

    async def _count_all(self) -> list[Backlog]:
        topics, groups, delays = await self._read_registry()
        held = await self._census.take()
        found = [
            await self._count_group(place, is_first, delays.get(place, set()), held.get(place, Count()))
            for place, is_first in groups.items()
        ]
        found += [await self._count_topic(topic) for topic in topics - {topic for topic, _ in groups}]
        return sorted(found, key=lambda each: (each.topic, each.group or ""))

    async def _join(self, channel: RabbitMQChannel) -> Lane:
        place = (channel.topic, channel.group)
        lane = await self._insist(lambda: self.post.topology.add_group(*place))
        team = self._teams.get(place)
        if team is None:
            team = self._teams[place] = self._make_team(place, lane)
        team.channels.add(channel)
        return lane

    async def _part(self, channel: RabbitMQChannel) -> None:
        place = (channel.topic, channel.group)
        team = self._teams.get(place)
        if team is None or channel not in team.channels:
            return
        team.channels.discard(channel)
        if not team.channels:
            del self._teams[place]
            team.task.cancel()
            await asyncio.wait({team.task})

    def _make_team(self, place: Place, lane: Lane) -> Team:
        async def admit(message: Any) -> Envelope | None:
            return await self.post.admit(*place, message, target=lane.keyed)

        sequencer = Sequencer(
            self.post.into,
            self.post.publisher,
            lane=lane,
            admit=admit,
            repair=lambda: self.post.topology.add_group_again(*place),
            logger=self.post.logger,
        )
        return Team(sequencer, self.spawn(sequencer.run(), name="conductor-mq-rabbitmq sequencer"))

    def _count(self) -> Counts:
        return {
            place: Count(sum(channel.in_flight for channel in team.channels), team.sequencer.kept_back)
            for place, team in self._teams.items()
        }

    async def _read_registry(self) -> tuple[set[str], dict[Place, bool], dict[Place, set[str]]]:
        """
        Topics; groups, and whether they came first; delay queues of groups.
        """
        topics: set[str] = set()
        groups: dict[Place, bool] = {}
        delays: dict[Place, set[str]] = {}
        async with reading(self.post.into, self.post.topology.names.registry) as found:
            seen: set[bytes] = set()
            for message in list(found.messages):
                if message.body in seen:  # two processes made it at the same time
                    await found.take_out(message)
                    continue
                seen.add(message.body)
                match json.loads(message.body):
                    case {"topic": str(topic), "group": str(group), "delay": str(queue)}:
                        delays.setdefault((topic, group), set()).add(queue)
                    case {"topic": str(topic), "group": str(group), "first": bool(is_first)}:
                        groups[topic, group] = is_first
                    case {"topic": str(topic)}:
                        topics.add(topic)
        return topics, groups, delays

    async def _count_group(self, place: Place, is_first: bool, delays: set[str], held: Count) -> Backlog:
        names, count = self.post.topology.names, self.post.topology.count
        topic, group = place
        lane = names.lane(topic, None if is_first else group)
        waiting = [await count(queue) or 0 for queue in (lane.plain, lane.keyed, *delays)]
        return Backlog(
            topic=topic,
            group=group,
            waiting=sum(waiting) + held.kept_back,
            in_flight=held.in_flight,
            dead=await count(names.dead(topic, group)) or 0,
        )

    async def _count_topic(self, topic: str) -> Backlog:
        lane = self.post.topology.names.lane(topic, None)
        waiting = [await self.post.topology.count(queue) or 0 for queue in (lane.plain, lane.keyed)]
        return Backlog(topic=topic, group=None, waiting=sum(waiting), in_flight=0, dead=0)
