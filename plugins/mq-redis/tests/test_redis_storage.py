"""
What is on the server: whose it is, what is left, and what becomes of a step whose answer was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from conductor.testing import running
from conductor_mq import Delivery, Subscription
from conductor_mq_redis import RedisMessageQueue, _broker
from conductor_mq_redis._broker import RedisBroker, RedisChannel, Token
from conductor_mq_redis._keys import Keys
from conductor_mq_redis._link import Link
from conductor_mq_redis._script import Call

from .redis_servers import own_place

KILLED = """
import asyncio, sys
from conductor.testing import running
from conductor_mq_redis import RedisMessageQueue

async def main():
    async with running(RedisMessageQueue(url=sys.argv[1], prefix=sys.argv[2], visibility=1.0)) as queue:
        async with queue.subscribe("orders", prefetch=2) as deliveries:
            print((await anext(deliveries)).body.decode(), flush=True)
            await anext(deliveries)

asyncio.run(main())
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """
    The settings of an empty queue in which nothing comes back by itself.
    """
    with own_place(tmp_path) as settings:
        yield {"visibility": 60.0} | settings


@pytest.fixture
def client(place: dict[str, Any]) -> Iterator[Redis]:
    """
    A client of the same server.
    """
    with contextlib.closing(Redis.from_url(place["url"])) as client:
        yield client


def log_of(place: dict[str, Any]) -> str:
    """
    The name of the stream of topic 'orders'.
    """
    return Keys(place["prefix"]).topic("orders")[0]


def channel_of(deliveries: Subscription) -> RedisChannel:
    """
    A subscription's way to the server.
    """
    channel = deliveries._ledger.channel
    assert isinstance(channel, RedisChannel)
    return channel


def token_of(delivery: Delivery) -> Token:
    """
    What proves that a delivery is held.
    """
    token = delivery._held.token
    assert isinstance(token, Token)
    return token


def broker_of(queue: RedisMessageQueue) -> RedisBroker:
    """
    What keeps a queue's messages.
    """
    assert isinstance(queue._broker, RedisBroker)
    return queue._broker


async def repeat(queue: RedisMessageQueue, call: Call) -> Any:
    """
    The answer to a call that says it was made before, and its answer lost.
    """
    client = broker_of(queue).link.client
    return await client.execute_command(*call.command(again=True))  # type: ignore[no-untyped-call]  # the client's


def test_space_is_freed_by_the_last_group(place: dict[str, Any], client: Redis) -> None:
    """
    A message takes room until its last group is done with it, whatever older ones are still waiting for.
    """
    log = log_of(place)

    async def main() -> None:
        async with (
            running(RedisMessageQueue(**place)) as queue,
            queue.subscribe("orders", group="first") as first,
            queue.subscribe("orders", group="second") as second,
        ):
            await queue.publish("orders", b"tomorrow", delay=86_400)
            for number in range(20):
                await queue.publish("orders", b"%d" % number, key="k" if number % 2 else None)
            for _ in range(20):
                await (await anext(first)).ack()
            assert client.xlen(log) == 21
            for left in range(20, 0, -1):
                await (await anext(second)).ack()
                assert client.xlen(log) == left

    asyncio.run(main())


def test_nothing_grows_with_what_is_done(place: dict[str, Any], client: Redis) -> None:
    """
    However many messages were handled, refused, buried, replayed and given back, the same few keys are left.
    """

    async def handle(queue: RedisMessageQueue, count: int) -> int:
        async with (
            queue.subscribe("orders", group="first", prefetch=3) as first,
            queue.subscribe("orders", group="second", prefetch=3) as second,
        ):
            for number in range(count):
                await queue.publish("orders", b"", key=f"key {number}")
            for deliveries, group in ((first, "first"), (second, "second")):
                await (await anext(deliveries)).reject()
                await (await anext(deliveries)).nack(delay=0)
                await queue.replay("orders", group=group)
                for _ in range(count):
                    await (await anext(deliveries)).ack()
        names = [
            key for key in client.keys(f"{place['prefix']}:*") if ":sent:" not in str(key)
        ]  # those go by themselves
        return sum(client.memory_usage(name) or 0 for name in names)

    async def main() -> None:
        async with running(RedisMessageQueue(**place)) as queue:
            few = await handle(queue, 10)
            many = await handle(queue, 300)
            assert many < few + 500, "bytes after 300 messages, and after 10"

    asyncio.run(main())


def test_server_tells_who_holds_what(place: dict[str, Any], client: Redis) -> None:
    """
    The server's own list of what is pending names the holder and counts the attempts; nobody holds what waits.
    """

    async def main() -> None:
        async with running(RedisMessageQueue(**place)) as queue, queue.subscribe("orders", prefetch=2) as deliveries:
            for key in ("a", "a", None):
                await queue.publish("orders", b"", key=key)
            await (await anext(deliveries)).nack(delay=0)
            held, other = await anext(deliveries), await anext(deliveries)
            me = channel_of(deliveries)._name.encode()
            pending = client.xpending_range(log_of(place), "default", "-", "+", 10)
            told = [(each["consumer"], each["times_delivered"]) for each in pending]
            assert told == [(me, 2), (b"-", 0), (me, 1)]
            await held.ack()
            await other.ack()
            await (await anext(deliveries)).ack()
            assert client.xpending(log_of(place), "default")["pending"] == 0
        assert [each["name"] for each in client.xinfo_consumers(log_of(place), "default")] == [b"-"]

    asyncio.run(main())


def test_killed_consumer_is_relieved(place: dict[str, Any], client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What a killed process held is taken over after its visibility time, counted; then it is forgotten.
    """

    async def main() -> None:
        async with running(RedisMessageQueue(**place)) as queue:
            await queue.publish("orders", b"held")
            command = [sys.executable, "-c", KILLED, place["url"], place["prefix"]]
            environ = {"PYTHONPATH": ":".join(filter(None, sys.path))}
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ)
            assert process.stdout is not None
            with process.stdout:
                assert await asyncio.to_thread(process.stdout.readline) == b"held\n"
            process.kill()
            process.wait()
            async with queue.subscribe("orders") as deliveries, asyncio.timeout(2.5):
                delivery = await anext(deliveries)
                assert (delivery.body, delivery.attempt) == (b"held", 2)
                await delivery.ack()
            assert len(client.xinfo_consumers(log_of(place), "default")) == 1
            monkeypatch.setattr(_broker, "FORGOTTEN", 0)
            async with queue.subscribe("orders"):
                assert client.xinfo_consumers(log_of(place), "default") == []

    asyncio.run(main())


def test_message_sent_again_is_kept_once(place: dict[str, Any], client: Redis) -> None:
    """
    Publishing whose answer was lost is repeated without a second message; what had not arrived is kept.
    """

    async def main() -> None:
        async with running(RedisMessageQueue(**place)) as queue:
            await queue.publish("orders", b"first")
            broker = broker_of(queue)
            keys = broker.keys.publisher("orders", broker._sender)
            for number, kept in ((1, 1), (2, 2), (2, 2)):
                words = ("id", "{}", "", "", b"body", 0, number)
                await repeat(queue, Call(verb="publish", keys=keys, words=words))
                assert client.xlen(log_of(place)) == kept

    asyncio.run(main())


def test_lost_hand_out_is_repeated(place: dict[str, Any]) -> None:
    """
    A consumer that does not know what it holds is told again, uncounted, and only that.
    """

    async def main() -> None:
        async with running(RedisMessageQueue(**place)) as queue, queue.subscribe("orders", prefetch=3) as deliveries:
            for body in (b"known", b"lost", b"next"):
                await queue.publish("orders", body)
            known = token_of(await anext(deliveries)).place
            channel = channel_of(deliveries)
            take = channel._call("take", channel._name, 60_000_000, if_again=(known,))
            lost = await broker_of(queue).link.ask(take)
            again = await repeat(queue, take)
            assert lost == again
            assert again[2] == 1
            both = channel._call("take", channel._name, 60_000_000, if_again=(known, again[1]))
            assert (await repeat(queue, both))[5] == b"next"

    asyncio.run(main())


@pytest.mark.parametrize("verb", ["ack", "nack", "reject"])
def test_lost_settlement_is_repeated(place: dict[str, Any], monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """
    A settlement whose answer was lost is told as done when it is repeated, and changes nothing more.
    """
    ask = Link.ask

    async def main() -> None:
        async with running(RedisMessageQueue(**place)) as queue, queue.subscribe("orders", prefetch=2) as deliveries:
            await queue.publish("orders", b"")
            delivery = await anext(deliveries)
            settled: list[Any] = []

            async def note(link: Link, command: Any, *, limit: float | None = None) -> Any:
                settled.append(command)
                return await ask(link, command, limit=limit)

            with monkeypatch.context() as patched:
                patched.setattr(Link, "ask", note)
                await getattr(delivery, verb)()
            (call,) = settled
            before = await queue.backlog()
            assert await repeat(queue, call) == 1
            assert await queue.backlog() == before
            assert await broker_of(queue).link.ask(call) == 0

    asyncio.run(main())


def test_many_behind_one_key_are_taken_in_steps(place: dict[str, Any]) -> None:
    """
    Thousands of messages that wait for their key neither hide the one behind them nor block the server for long.
    """

    async def main() -> None:
        async with running(RedisMessageQueue(**place)) as queue, queue.subscribe("orders", prefetch=3) as deliveries:
            await asyncio.gather(*(queue.publish("orders", b"%d" % number, key="k") for number in range(2500)))
            await queue.publish("orders", b"other")
            first = await anext(deliveries)
            assert (first.body, (await anext(deliveries)).body) == (b"0", b"other")
            await first.ack()
            for number in range(1, 50):
                delivery = await anext(deliveries)
                assert delivery.body == b"%d" % number
                await delivery.ack()
            (backlog,) = await queue.backlog()
            assert (backlog.waiting, backlog.in_flight) == (2450, 1)

    asyncio.run(main())


def test_many_dead_letters_are_listed_and_replayed(place: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Dead letters are listed and replayed page by page, every one once and in order.
    """
    monkeypatch.setattr(_broker, "PAGE", 7)
    monkeypatch.setattr(_broker, "REPLAYED", 9)

    async def main() -> None:
        async with running(RedisMessageQueue(**place)) as queue, queue.subscribe("orders") as deliveries:
            ids = [await queue.publish("orders", b"%d" % number) for number in range(45)]
            for _ in ids:
                await (await anext(deliveries)).reject(error="no\nuse, ü")
            letters = await queue.dead_letters("orders")
            assert [each.message.id for each in letters] == ids
            assert {each.error for each in letters} == {"no\nuse, ü"}
            assert [each.message.id for each in await queue.dead_letters("orders", limit=10)] == ids[:10]
            assert await queue.replay("orders", ids=ids[:20]) == 20
            assert await queue.replay("orders") == 25
            assert [(await _next(deliveries)) for _ in ids] == [b"%d" % number for number in range(45)]

    async def _next(deliveries: Subscription) -> bytes:
        delivery = await anext(deliveries)
        await delivery.ack()
        return delivery.body

    asyncio.run(main())


def test_topics_are_apart_from_other_keys(place: dict[str, Any], client: Redis) -> None:
    """
    Two queues with different prefixes on one server have nothing in common.
    """

    async def main() -> None:
        here = RedisMessageQueue(**place)
        elsewhere: dict[str, Any] = place | {"prefix": f"{place['prefix']}:other"}
        there = RedisMessageQueue(**elsewhere)
        async with running(here), running(there), there.subscribe("orders"):
            await here.publish("orders", b"")
            assert [(each.group, each.waiting) for each in await here.backlog()] == [(None, 1)]
            assert [(each.group, each.waiting) for each in await there.backlog()] == [("default", 0)]

    asyncio.run(main())
