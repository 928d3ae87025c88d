"""
One subscription's way to the server.

Theory of operation
-------------------

1. A message is asked for when somebody waits for one, and never earlier: what lies in a process that is busy would be
   missing elsewhere, and taking it back would count as an attempt.  So each is fetched (``basic.get``); when there is
   none, a consumer waits for one, and leaves before the message is settled.
2. Every message that is held has a timer.  When it is over its time, it is returned to the server, which counts
   that.  The number of an attempt is the server's ``x-delivery-count``, plus what the message brought with it.
3. Whatever needs more than an acknowledgement (a pause, a dead letter) is published first and acknowledged when that
   is confirmed.  If the process dies in between, the message is there twice; it is never gone.
4. When the channel is lost the server has everything back, so nothing is held any more.
5. A wait that is cancelled ends only when it is certain that nothing was received by it, or that has been put back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import aiormq.exceptions
import attrs
from aiormq.abc import AbstractChannel, DeliveredMessage

from conductor_mq import Action, Channel, Held, Verdict

from ._envelope import Envelope
from ._link import LOST
from ._names import Lane
from ._post import Post
from ._publisher import refused
from ._reading import tag_of
from ._sequencer import note

LOOK_ANYWAY = 15.0  # seconds that a consumer waits; a server whose queue was deleted may have forgotten about it
PAUSE = 0.1  # seconds until a lost channel is made again


@attrs.define(eq=False)
class Holding:
    """
    A message that was received and is not settled.
    """

    channel: AbstractChannel
    tag: int
    envelope: Envelope
    timer: asyncio.TimerHandle | None = None


@attrs.define(eq=False)
class RabbitMQChannel(Channel):
    """
    Receives messages of one topic for one group.
    """

    post: Post
    topic: str
    group: str
    visibility: float = attrs.field(kw_only=True)
    join: Callable[[RabbitMQChannel], Awaitable[Lane]] = attrs.field(kw_only=True)
    part: Callable[[RabbitMQChannel], Awaitable[None]] = attrs.field(kw_only=True)
    _lane: Lane | None = attrs.field(init=False, default=None)
    _channel: AbstractChannel | None = attrs.field(init=False, default=None)
    _held: dict[int, Holding] = attrs.field(init=False, factory=dict)
    _number: int = attrs.field(init=False, default=0)

    @property
    def in_flight(self) -> int:
        """
        How many messages are held.
        """
        return sum(not holding.channel.is_closed for holding in self._held.values())

    async def register(self) -> None:
        """
        Make the group known, and help to bring its keys in order.
        """
        self._lane = await self.join(self)

    async def leave(self) -> None:
        """
        Close the channel.
        """
        self._let_go_of_all()
        if self._channel is not None:
            await self.post.into.close(self._channel)
            self._channel = None
        await self.part(self)

    async def receive(self) -> Held:
        """
        The next message, as soon as there is one.
        """
        enough = asyncio.Event()
        pulling = asyncio.ensure_future(self._pull(enough))
        cancelled = False
        while not pulling.done():
            try:
                await asyncio.wait({pulling})
            except asyncio.CancelledError:
                cancelled = True
                enough.set()
        held = pulling.result()
        if not cancelled and held is not None:
            return held
        if held is not None:
            with contextlib.suppress(*LOST):
                await self.settle(held, Verdict(action=Action.RETURN))
        raise asyncio.CancelledError

    async def settle(self, held: Held, verdict: Verdict) -> bool:
        """
        Settle a message that is held.
        """
        return await self.post.into.call(self._settle(held, verdict))  # not stopped halfway when this is cancelled

    async def extend(self, held: Held, seconds: float) -> bool:
        """
        Hold a message longer.
        """
        assert isinstance(held.token, int)
        holding = self._held.get(held.token)
        if holding is None or holding.channel.is_closed:
            return False
        self._disarm(holding)
        self._arm(held.token, holding, seconds)
        return True

    async def _settle(self, held: Held, verdict: Verdict) -> bool:
        assert isinstance(held.token, int)
        holding = self._held.pop(held.token, None)
        if holding is None or holding.channel.is_closed:
            return False
        self._disarm(holding)
        try:
            return await self._carry_out(holding, held, verdict)
        except BaseException:
            self._arm(held.token, holding, 0.0)
            raise

    async def _pull(self, enough: asyncio.Event) -> Held | None:
        """
        The next message; None when enough of waiting, and nothing was received.
        """
        while not enough.is_set():
            try:
                await self.post.into.wait_until_up(enough)
                if enough.is_set():
                    break
                channel = await self._open()
                message = await self._fetch(channel, enough)
                held = None if message is None else await self._hold(channel, message)
                if held is not None:
                    return held
            except aiormq.exceptions.ChannelAccessRefused as error:
                raise refused(self.post.into, error) from None
            except aiormq.exceptions.ChannelNotFoundEntity:
                await self._repair()
            except LOST:
                self._let_go_of_all()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PAUSE):
                        await enough.wait()
        return None

    async def _repair(self) -> None:
        """
        Make the queues again that somebody has deleted.
        """
        self._lane = await self.post.topology.add_group_again(self.topic, self.group)

    async def _open(self) -> AbstractChannel:
        if self._channel is None or self._channel.is_closed:
            self._let_go_of_all()
            self._channel = await self.post.into.channel()
            await self.post.into.call(self._channel.basic_qos(prefetch_count=1))
        return self._channel

    async def _fetch(self, channel: AbstractChannel, enough: asyncio.Event) -> DeliveredMessage | None:
        queue = self._queues.plain
        message = await self.post.into.call(channel.basic_get(queue))
        if message.delivery_tag is not None:
            return message
        arrived: list[DeliveredMessage] = []
        news = asyncio.Event()

        async def take(message: DeliveredMessage) -> None:
            arrived.append(message)
            news.set()

        tag = (await self.post.into.call(channel.basic_consume(queue, take))).consumer_tag
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_ANYWAY):
                await self.post.into.wait_on(channel, news, enough)
        await self.post.into.call(channel.basic_cancel(tag or ""))
        return arrived[0] if arrived else None

    async def _hold(self, channel: AbstractChannel, message: DeliveredMessage) -> Held | None:
        envelope = await self.post.admit(self.topic, self.group, message, target=self._queues.plain)
        if envelope is None:
            await self.post.into.call(channel.basic_ack(tag_of(message)))
            return None
        returned = (message.header.properties.headers or {}).get("x-delivery-count", 0)
        attempt = envelope.attempts + (returned if isinstance(returned, int) else 0) + 1
        self._number += 1
        self._arm(self._number, Holding(channel, tag_of(message), envelope), self.visibility)
        return Held(message=envelope.message, attempt=attempt, token=self._number)

    async def _carry_out(self, holding: Holding, held: Held, verdict: Verdict) -> bool:
        now = time.time()
        envelope = holding.envelope
        match verdict.action:
            case Action.RETRY if verdict.delay <= 0:
                return await self._give_back(holding)
            case Action.RETRY:
                later = attrs.evolve(envelope, attempts=held.attempt, due=now + verdict.delay)
                await self.post.postpone(self.topic, self.group, later, target=self._queues.plain)
            case Action.RETURN:
                again = attrs.evolve(envelope, attempts=held.attempt - 1)
                await self.post.publisher.publish("", self._queues.plain, again.pack())
            case Action.DEAD:
                dead = attrs.evolve(envelope, attempts=verdict.attempts, error=verdict.error, died=now)
                await self.post.bury(self.topic, self.group, dead)
        key = envelope.message.key
        if key is not None and verdict.action in (Action.ACK, Action.DEAD):
            done = note("done", id=envelope.message.id, key=key)
            await self.post.publisher.publish("", self._queues.journal, done)
        try:
            await self.post.into.call(holding.channel.basic_ack(holding.tag))
        except LOST:
            return verdict.action is not Action.ACK
        return True

    async def _give_back(self, holding: Holding) -> bool:
        try:
            await self.post.into.call(holding.channel.basic_nack(holding.tag, requeue=True))
        except LOST:
            return False
        return True

    def _arm(self, number: int, holding: Holding, seconds: float) -> None:
        self._held[number] = holding
        holding.timer = asyncio.get_running_loop().call_later(seconds, self._expire, number)

    def _disarm(self, holding: Holding) -> None:
        if holding.timer is not None:
            holding.timer.cancel()

    def _expire(self, number: int) -> None:
        holding = self._held.pop(number)
        if not holding.channel.is_closed:
            self.post.into.begin(self._give_back(holding))

    def _let_go_of_all(self) -> None:
        for holding in self._held.values():
            self._disarm(holding)
        self._held.clear()

    @property
    def _queues(self) -> Lane:
        assert self._lane is not None, "it is registered"
        return self._lane
