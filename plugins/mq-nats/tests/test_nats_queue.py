"""
What is particular about the queue on NATS: who holds a message, what is left on the server, what it is told.
"""

from __future__ import annotations

import asyncio
import configparser
from collections.abc import Callable
from pathlib import Path

import nats
import pytest

from conductor.testing import running
from conductor_mq import Action, Channel, Held, MessageQueue, Verdict
from conductor_mq_nats import NATSMessageQueue

from .nats_servers import Place, Server

MakeServer = Callable[..., Server]
VERDICTS = (
    Verdict(action=Action.ACK),
    Verdict(action=Action.RETRY, delay=0.0),
    Verdict(action=Action.RETURN),
    Verdict(action=Action.DEAD, attempts=1, error="late"),
)


def make_queue(place: Place, *, visibility: float = 30.0) -> NATSMessageQueue:
    """
    A queue in a place.
    """
    return NATSMessageQueue(url=place.url, namespace=place.namespace, visibility=visibility)


async def channel_of(queue: MessageQueue, visibility: float) -> Channel:
    """
    A channel, which unlike a subscription does not look at the clock before it settles.
    """
    channel = queue._require_broker().channel("jobs", "default", visibility=visibility, prefetch=1)
    await channel.register()
    return channel


async def receive(channel: Channel) -> Held:
    """
    The next message, which must come soon.
    """
    async with asyncio.timeout(10):
        return await channel.receive()


async def stored(place: Place) -> dict[str, int]:
    """
    How many messages lie in each stream; the catalogue, which is for good, does not count.
    """
    client = await nats.connect(place.url)
    try:
        found = {}
        for each in await client.jetstream().streams_info():
            name = each.config.name or ""
            if name.startswith(f"{place.namespace}-"):
                found[name.removeprefix(f"{place.namespace}-")[:5]] = each.state.messages
        found["state"] -= len([name for name in found if name == "topic"])
        return found
    finally:
        await client.close()


@pytest.mark.parametrize("verdict", VERDICTS, ids=lambda verdict: verdict.action.value)
@pytest.mark.parametrize("is_done", [False, True], ids=["held", "done"])
def test_who_was_overtaken_settles_nothing(nats_place: Place, verdict: Verdict, is_done: bool) -> None:
    """
    A consumer whose message was handed to another one is refused by the server, while that holds it and after it.
    """

    async def main() -> None:
        async with running(make_queue(nats_place)) as here, running(make_queue(nats_place)) as there:
            late, current = await channel_of(here, 0.2), await channel_of(there, 0.2)
            await here.publish("jobs", b"once")
            mine = await receive(late)
            theirs = await receive(current)
            assert (mine.attempt, theirs.attempt) == (1, 2)
            assert await current.extend(theirs, 30)
            if is_done:
                assert await current.settle(theirs, Verdict(action=Action.ACK))
            assert not await late.settle(mine, verdict)
            assert not await late.extend(mine, 30)
            if not is_done:
                assert await current.settle(theirs, Verdict(action=Action.ACK))
            assert await here.dead_letters("jobs") == []
            await late.leave()
            await current.leave()
        assert await stored(nats_place) == {"state": 0, "dead": 0, "topic": 0}

    asyncio.run(main())


def test_slow_settlement_is_accepted_if_nobody_else_came(nats_place: Place) -> None:
    """
    When much time has passed, but nobody was handed the message meanwhile, it can be settled.
    """

    async def main() -> None:
        async with running(make_queue(nats_place)) as queue:
            channel = await channel_of(queue, 0.1)
            await queue.publish("jobs", b"1")
            held = await receive(channel)
            await asyncio.sleep(0.2)  # the time after which the server may hand it out, but nobody asks
            assert await channel.settle(held, Verdict(action=Action.ACK))
            await channel.leave()
        assert await stored(nats_place) == {"state": 0, "dead": 0, "topic": 0}

    asyncio.run(main())


def test_what_is_done_leaves_nothing(nats_place: Place) -> None:
    """
    When all groups are done with everything, the server keeps nothing of it.
    """

    async def main() -> None:
        async with running(make_queue(nats_place)) as queue:
            async with queue.subscribe("jobs", group="a") as a, queue.subscribe("jobs", group="b", prefetch=9) as b:
                for number in range(6):
                    await queue.publish("jobs", bytes(1024 * 1024), key=f"{number % 2}", delay=0.1 * (number == 3))
                for number in range(6):
                    delivery = await anext(a)
                    await (delivery.reject() if number == 2 else delivery.ack())
                taken = [await anext(b) for _ in range(2)]
                await taken[0].nack(delay=0)
                await taken[1].ack()
                for _ in range(5):
                    await (await anext(b)).ack()
                assert await queue.replay("jobs", group="a") == 1
                await (await anext(a)).ack()
            assert [each.waiting + each.in_flight + each.dead for each in await queue.backlog()] == [0, 0]
        assert await stored(nats_place) == {"state": 0, "dead": 0, "topic": 0}

    asyncio.run(main())


def test_bodies_of_any_size_pass_a_small_server(make_server: MakeServer) -> None:
    """
    What is larger than the server's limit for one message is kept in parts, also as a dead letter.
    """
    server = make_server(options="max_payload: 100000")

    async def main() -> None:
        body = bytes(range(256)) * 4096
        async with running(NATSMessageQueue(url=server.url)) as queue, queue.subscribe("jobs") as deliveries:
            for size in (60_000, 70_000, len(body)):
                await queue.publish("jobs", body[:size], headers={"a": "b" * 1000})
                delivery = await anext(deliveries)
                assert delivery.body == body[:size]
                await delivery.reject(error="ü" * 5000)
            assert [letter.message.body for letter in await queue.dead_letters("jobs")] == [
                body[:size] for size in (60_000, 70_000, len(body))
            ]
            assert await queue.replay("jobs") == 3
            for size in (60_000, 70_000, len(body)):
                delivery = await anext(deliveries)
                assert delivery.body == body[:size]
                await delivery.ack()

    asyncio.run(main())


def test_one_group_is_the_first(nats_place: Place) -> None:
    """
    Of groups that come at the same moment, exactly one gets what was published before.
    """

    async def main() -> None:
        async with (
            running(make_queue(nats_place)) as one,
            running(make_queue(nats_place)) as two,
            running(make_queue(nats_place)) as three,
        ):
            await one.publish("jobs", b"early")
            subscriptions = [
                queue.subscribe("jobs", group=f"{number}") for number, queue in enumerate((one, two, three))
            ]
            await asyncio.gather(*(each.__aenter__() for each in subscriptions))
            waiting = [(each.group, each.waiting) for each in await one.backlog()]
            assert sorted(count for _, count in waiting) == [0, 0, 1]
            await one.publish("jobs", b"late")
            waiting = [(each.group, each.waiting) for each in await one.backlog()]
            assert sorted(count for _, count in waiting) == [1, 1, 2]

    asyncio.run(main())


def test_key_is_not_stuck_when_its_consumer_dies(nats_place: Place) -> None:
    """
    When the consumer of a key's first message is gone without a word, first that one comes back, then the next.
    """

    async def main() -> None:
        async with running(make_queue(nats_place)) as queue:
            gone = await channel_of(queue, 0.5)
            for number in range(3):
                await queue.publish("jobs", b"%d" % number, key="k")
            assert (await receive(gone)).message.body == b"0"
            other = await channel_of(queue, 0.5)
            got = []
            for _ in range(3):
                held = await receive(other)
                got.append((held.message.body, held.attempt))
                assert await other.settle(held, Verdict(action=Action.ACK))
            assert got == [(b"0", 2), (b"1", 1), (b"2", 1)]
            await gone.leave()
            await other.leave()

    asyncio.run(main())


def test_strange_message_becomes_a_dead_letter(nats_place: Place) -> None:
    """
    What somebody else has published there does not stop the group: it is a dead letter that says so.
    """

    async def main() -> None:
        async with running(make_queue(nats_place)) as queue, queue.subscribe("jobs") as deliveries:
            client = await nats.connect(nats_place.url)
            (name,) = [
                each.config.name or ""
                for each in await client.jetstream().streams_info()
                if (each.config.name or "").startswith(f"{nats_place.namespace}-topic-")
            ]
            await client.jetstream().publish(f"{name.replace('-topic-', '.topic.')}.0.free", b"hello")
            await client.close()
            await queue.publish("jobs", b"ours")
            delivery = await anext(deliveries)
            assert delivery.body == b"ours"
            await delivery.ack()
            (letter,) = await queue.dead_letters("jobs")
            assert (letter.message.body, letter.attempts) == (b"hello", 1)
            assert "not a message of conductor-mq" in letter.error

    asyncio.run(main())


@pytest.mark.parametrize(
    "settings",
    [
        {"url": ""},
        {"url": "http://127.0.0.1"},
        {"namespace": "a.b"},
        {"namespace": ""},
        {"replicas": 2},
        {"patience": 0},
    ],
    ids=str,
)
def test_nonsense_settings_are_refused(settings: dict[str, object]) -> None:
    """
    Settings with which no queue can work are refused when it is built, without showing the URL.
    """
    with pytest.raises(ValueError, match=next(iter(settings))):
        NATSMessageQueue(**settings)  # type: ignore[arg-type]  # it is wrong on purpose


def test_distribution_overrides_the_queue() -> None:
    """
    Installing the distribution puts it in the place of the component "mq".
    """
    metadata = configparser.ConfigParser()
    metadata.read(Path(__file__).parents[1] / "setup.cfg")
    entries = metadata["options.entry_points"]["conductor.overrides"].split()
    assert entries == ["mq", "=", "conductor_mq_nats:NATSMessageQueue"]
    assert issubclass(NATSMessageQueue, MessageQueue)
