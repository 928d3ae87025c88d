"""
Queues with one fault each, for the suite to catch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Any

import attrs

from conductor_mq import (
    Action,
    Backlog,
    Channel,
    Delivery,
    Held,
    InvalidMessageError,
    Message,
    Subscription,
    Verdict,
)
from conductor_mq._delivery import Ledger
from conductor_mq.testing import MemoryBroker, MemoryChannel, MemoryMessageQueue

Place = tuple[str, str]


class LosesUnacknowledged(MemoryBroker):
    """
    Forgets a message as soon as it is handed out.
    """

    def hand_out(self, place: Place, visibility: float) -> Held | float | None:
        return super().hand_out(place, 3600.0)


class HandsOutTwice(MemoryBroker):
    """
    Does not hide a message while a consumer holds it.
    """

    def hand_out(self, place: Place, visibility: float) -> Held | float | None:
        found = super().hand_out(place, visibility)
        if isinstance(found, Held) and found.attempt == 1:
            entry = self._groups[place].entries[found.message.id]
            entry.due, entry.attempt = time.monotonic(), 1
        return found


class NeverDeadLetters(MemoryBroker):
    """
    Tries again what should be a dead letter.
    """

    def let_go(self, place: Place, entry: Any, verdict: Verdict) -> None:
        if verdict.action is Action.DEAD:
            verdict = Verdict(action=Action.RETRY)
        super().let_go(place, entry, verdict)


class DropsDead(MemoryBroker):
    """
    Throws dead letters away.
    """

    def let_go(self, place: Place, entry: Any, verdict: Verdict) -> None:
        if verdict.action is Action.DEAD:
            verdict = Verdict(action=Action.ACK)
        super().let_go(place, entry, verdict)


class ForgetsWhyItDied(MemoryBroker):
    """
    Keeps dead letters without their error.
    """

    def let_go(self, place: Place, entry: Any, verdict: Verdict) -> None:
        super().let_go(place, entry, attrs.evolve(verdict, error=""))


class IgnoresPauses(MemoryBroker):
    """
    Tries again at once, whatever pause is asked for.
    """

    def let_go(self, place: Place, entry: Any, verdict: Verdict) -> None:
        super().let_go(place, entry, attrs.evolve(verdict, delay=0.0))


class KeepsAcknowledged(MemoryBroker):
    """
    Takes an acknowledgement for a wish to have the message again.
    """

    def let_go(self, place: Place, entry: Any, verdict: Verdict) -> None:
        if verdict.action is Action.ACK:
            verdict = Verdict(action=Action.RETRY, delay=0.1)
        super().let_go(place, entry, verdict)


class ForgetsReturned(MemoryBroker):
    """
    Loses what a consumer gives back.
    """

    def let_go(self, place: Place, entry: Any, verdict: Verdict) -> None:
        if verdict.action is Action.RETURN or (verdict.action is Action.RETRY and not verdict.delay):
            verdict = Verdict(action=Action.ACK)
        super().let_go(place, entry, verdict)


class CountsNothing(MemoryBroker):
    """
    Says that each attempt is the first one.
    """

    def hand_out(self, place: Place, visibility: float) -> Held | float | None:
        found = super().hand_out(place, visibility)
        return attrs.evolve(found, attempt=1) if isinstance(found, Held) else found


class AcceptsLate(MemoryBroker):
    """
    Lets anybody settle a message who has ever held it.
    """

    def held(self, place: Place, held: Held) -> Any:
        return self._groups[place].handed_out.get(held.message.id)


class IgnoresKeys(MemoryBroker):
    """
    Hands out the messages of a key at the same time.
    """

    async def store(self, message: Message, *, delay: float) -> None:
        await super().store(attrs.evolve(message, key=None), delay=delay)


class KeyStaysBusy(MemoryBroker):
    """
    Holds the other messages of a key back for ever once one is a dead letter.
    """

    def hand_out(self, place: Place, visibility: float) -> Held | float | None:
        if any(entry.dead and entry.message.key for entry in self._groups[place].entries.values()):
            return None
        return super().hand_out(place, visibility)


class DropsHeaders(MemoryBroker):
    """
    Keeps the body only.
    """

    async def store(self, message: Message, *, delay: float) -> None:
        await super().store(attrs.evolve(message, headers={}), delay=delay)


class CutsBodies(MemoryBroker):
    """
    Keeps 64 KiB of a body.
    """

    async def store(self, message: Message, *, delay: float) -> None:
        await super().store(attrs.evolve(message, body=message.body[:65536]), delay=delay)


class IgnoresDelay(MemoryBroker):
    """
    Hands out delayed messages at once.
    """

    async def store(self, message: Message, *, delay: float) -> None:
        await super().store(message, delay=0.0)


class LosesOneInAThousand(MemoryBroker):
    """
    Forgets a message now and then, but confirms it.
    """

    async def store(self, message: Message, *, delay: float) -> None:
        if message.body != b"777":
            await super().store(message, delay=delay)


class ForgetsEarly(MemoryBroker):
    """
    Throws away what is published while there is no group.
    """

    def register(self, topic: str, group: str) -> None:
        self._waiting.pop(topic, None)
        super().register(topic, group)


class ForgetsGroups(MemoryBroker):
    """
    Throws away what is published while a group has no consumer.
    """

    async def store(self, message: Message, *, delay: float) -> None:
        if self._channels or message.topic not in {topic for topic, _ in self._groups}:
            await super().store(message, delay=delay)


class OneGroupOnly(MemoryBroker):
    """
    Gives each message to one of the groups.
    """

    def channel(self, topic: str, group: str, *, visibility: float, prefetch: int) -> Channel:
        return super().channel(topic, "one", visibility=visibility, prefetch=prefetch)


class LastInFirstOut(MemoryBroker):
    """
    Hands out the newest message first.
    """

    async def store(self, message: Message, *, delay: float) -> None:
        await super().store(message, delay=delay)
        for group in self._groups.values():
            group.entries = {message.id: group.entries[message.id]} | group.entries


class ReadsTopicsAsPatterns(MemoryBroker):
    """
    Takes topics for the same that differ in spaces at their ends only.
    """

    async def store(self, message: Message, *, delay: float) -> None:
        await super().store(attrs.evolve(message, topic=message.topic.strip()), delay=delay)

    def channel(self, topic: str, group: str, *, visibility: float, prefetch: int) -> Channel:
        return super().channel(topic.strip(), group, visibility=visibility, prefetch=prefetch)


class ReplaysEverything(MemoryBroker):
    """
    Replays all dead letters, whichever are chosen.
    """

    async def replay(self, topic: str, group: str, *, ids: Collection[str] | None) -> int:
        return await super().replay(topic, group, ids=None)


class CountsDeadAsWaiting(MemoryBroker):
    """
    Shows dead letters as work that is still to be done.
    """

    async def backlog(self) -> list[Backlog]:
        found = await super().backlog()
        return [attrs.evolve(each, waiting=each.waiting + each.dead, dead=0) for each in found]


class DeafChannel(MemoryChannel):
    """
    Notices new messages only when it is asked again.
    """

    async def receive(self) -> Held:
        found = self.broker.hand_out(self.place, self.visibility)
        return found if isinstance(found, Held) else await asyncio.get_running_loop().create_future()


class IsDeaf(MemoryBroker):
    """
    Does not wake consumers.
    """

    def channel(self, topic: str, group: str, *, visibility: float, prefetch: int) -> Channel:
        return DeafChannel(self, (topic, group), visibility)


class StubbornChannel(MemoryChannel):
    """
    Holds a message although receiving it was cancelled.
    """

    async def receive(self) -> Held:
        try:
            held = await super().receive()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.broker.hand_out(self.place, self.visibility)
            raise
        return held


class IsStubborn(MemoryBroker):
    """
    Takes messages for consumers that do not wait any more.
    """

    def channel(self, topic: str, group: str, *, visibility: float, prefetch: int) -> Channel:
        return StubbornChannel(self, (topic, group), visibility)


class ShortChannel(MemoryChannel):
    """
    Says that it extends, and does not.
    """

    async def extend(self, held: Held, seconds: float) -> bool:
        return self.broker.held(self.place, held) is not None


class ExtendsNothing(MemoryBroker):
    """
    Lets extended messages come back in time.
    """

    def channel(self, topic: str, group: str, *, visibility: float, prefetch: int) -> Channel:
        return ShortChannel(self, (topic, group), visibility)


class IgnoresPrefetch(MemoryMessageQueue):
    """
    Hands out as much as there is.
    """

    def subscribe(self, topic: str, *, group: str = "default", prefetch: int = 1) -> Subscription:
        return super().subscribe(topic, group=group, prefetch=1000)


class TakesAnything(MemoryMessageQueue):
    """
    Accepts what is no message, and forgets it.
    """

    async def publish(
        self,
        topic: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        delay: float = 0.0,
    ) -> str:
        try:
            return await super().publish(topic, body, headers=headers, key=key, delay=delay)
        except InvalidMessageError:
            return ""


class SettlesAgain(MemoryMessageQueue):
    """
    Keeps quiet about a second settlement.
    """

    def subscribe(self, topic: str, *, group: str = "default", prefetch: int = 1) -> Subscription:
        ledger = super().subscribe(topic, group=group)._ledger
        return Subscription(topic, group, prefetch=prefetch, ledger=QuietLedger(group, ledger.channel, ledger.policy))


class QuietLedger(Ledger):
    """
    Says nothing when a delivery is settled that is settled already.
    """

    async def settle(self, delivery: Delivery, verb: str, verdict: Verdict) -> None:
        if not delivery.is_settled:
            await super().settle(delivery, verb, verdict)


class NeverEnds(MemoryMessageQueue):
    """
    Goes on handing out after the request to stop.
    """

    def subscribe(self, topic: str, *, group: str = "default", prefetch: int = 1) -> Subscription:
        return GoesOn(topic, group, prefetch=prefetch, ledger=super().subscribe(topic, group=group)._ledger)


class GoesOn(Subscription):
    """
    A subscription that does not know when it is over.
    """

    def take_no_more(self) -> None:
        pass


class DrainsHastily(MemoryMessageQueue):
    """
    Does not wait for what is in flight.
    """

    def subscribe(self, topic: str, *, group: str = "default", prefetch: int = 1) -> Subscription:
        return Hasty(topic, group, prefetch=prefetch, ledger=super().subscribe(topic, group=group)._ledger)


class Hasty(Subscription):
    """
    A subscription that drains by looking away.
    """

    async def drain(self) -> None:
        self.take_no_more()


class ForgivesFailure(MemoryMessageQueue):
    """
    Takes a consumer that failed for one that ended in order.
    """

    def subscribe(self, topic: str, *, group: str = "default", prefetch: int = 1) -> Subscription:
        return Forgiving(topic, group, prefetch=prefetch, ledger=super().subscribe(topic, group=group)._ledger)


class Forgiving(Subscription):
    """
    A subscription that does not want to know how it ended.
    """

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__(None, None, None)


class AbandonsHandlers(MemoryMessageQueue):
    """
    Cancels handlers together with their consumer.
    """

    async def consume(self, topic: str, handler: Any, *, group: str = "default", concurrency: int = 1) -> None:
        async with self.subscribe(topic, group=group) as deliveries:
            async for delivery in deliveries:
                try:
                    await handler(delivery)
                except ValueError as error:
                    await delivery.nack(error=error)
                else:
                    await delivery.ack()


class LivesOn(MemoryMessageQueue):
    """
    Goes on working after it was shut down.
    """

    async def shutdown(self) -> None:
        broker = self._broker
        await super().shutdown()
        self._broker = broker


class IsForgetful(MemoryMessageQueue):
    """
    Has its dead letters and groups no more when it is set up again.
    """

    async def shutdown(self) -> None:
        await super().shutdown()
        self._memory._groups.clear()
