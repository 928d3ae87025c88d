"""
What the queue on RabbitMQ does beyond the rules of the contract: with several processes, and with what it finds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

from aiormq.exceptions import ChannelNotFoundEntity
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from conductor.testing import running
from conductor_mq import Delivery, Message, MessageQueue
from conductor_mq_rabbitmq import RabbitMQMessageQueue
from conductor_mq_rabbitmq._envelope import Envelope, NoEnvelopeError, unpack
from conductor_mq_rabbitmq._link import Link, shown_address
from conductor_mq_rabbitmq._names import Names, delay_queue, lock
from conductor_mq_rabbitmq._publisher import Publisher

from .rabbitmq_servers import Place

texts = st.text().filter(lambda text: text.isascii() or text.encode("utf-8", "ignore").decode() == text)


def make(place: Place, **settings: Any) -> MessageQueue:  # Any: settings of whatever type
    """
    A queue in a place of the test's own.
    """
    return RabbitMQMessageQueue(url=place.url, namespace=place.namespace, **settings)


@given(texts, texts, st.integers(min_value=1, max_value=2**31))
def test_names_fit_and_differ(topic: str, group: str, milliseconds: int) -> None:
    """
    Whatever a topic or group is called, the longest name fits into 255 bytes, and different ones differ.
    """
    names = Names("n" * 40)
    lane = names.lane(topic, group)
    longest = [lock(names.dead(topic, group)), lane.journal, delay_queue(lane.keyed, milliseconds)]
    assert all(len(name.encode()) <= 255 for name in longest)
    assert names.lane(topic, group) != names.lane(topic + "x", group)
    assert names.lane(topic, group) != names.lane(topic, group + "x")
    assert names.lane(topic, None) != lane


@given(
    st.builds(
        Envelope,
        message=st.builds(
            Message,
            id=texts,
            topic=texts,
            body=st.binary(),
            headers=st.dictionaries(texts, texts),
            key=st.none() | texts,
        ),
        due=st.floats(0, 2e9),
        attempts=st.integers(0, 99),
        error=texts,
    )
)
def test_envelope_is_unpacked_as_it_was_packed(envelope: Envelope) -> None:
    """
    Everything about a message arrives.
    """
    assert unpack(envelope.pack()) == envelope


@given(st.binary() | st.binary().map(lambda content: b"CMQ1" + content))
def test_other_content_is_told(content: bytes) -> None:
    """
    What is no envelope is told as such, whatever it is.
    """
    try:
        unpack(content)
    except NoEnvelopeError:
        return
    raise AssertionError("it was taken for a message")


def test_address_shows_no_secret() -> None:
    """
    The address for people has neither password nor options.
    """
    assert shown_address(URL("amqps://u:p%40ss@host:1/v?cafile=x&password=y")) == "amqps://u@host:1/v"


def test_keys_stay_in_order_across_processes(rabbitmq_place: Place) -> None:
    """
    Two queues, as in two processes, share the messages and keep each key in order, one at a time; also when the one
    that brings them in order leaves in the middle.
    """

    async def main() -> None:
        order: dict[str, list[int]] = {str(key): [] for key in range(4)}
        busy: set[str] = set()
        complete = asyncio.Event()

        async def handle(delivery: Delivery) -> None:
            key = delivery.key or ""
            assert key not in busy, "two of one key are handled at once"
            busy.add(key)
            await asyncio.sleep(0.001)
            busy.discard(key)
            order[key].append(int(delivery.body))
            if sum(map(len, order.values())) >= 120:
                complete.set()

        async with running(make(rabbitmq_place)) as here:
            async with running(make(rabbitmq_place)) as there:
                first = asyncio.ensure_future(there.consume("orders", handle, concurrency=3))
                for number in range(60):
                    await there.publish("orders", b"%d" % number, key=str(number % 4))
                second = asyncio.ensure_future(here.consume("orders", handle, concurrency=3))
                for number in range(60, 120):
                    await here.publish("orders", b"%d" % number, key=str(number % 4))
                first.cancel()
                await asyncio.wait({first})
            async with asyncio.timeout(30):
                await complete.wait()
            second.cancel()
            await asyncio.wait({second})
        assert order == {str(key): list(range(key, 120, 4)) for key in range(4)}

    asyncio.run(main())


def test_backlog_counts_what_other_processes_hold(rabbitmq_place: Place) -> None:
    """
    What a consumer in another process holds is in flight, and what waits behind it is waiting.
    """

    async def main() -> None:
        async with (
            running(make(rabbitmq_place)) as here,
            running(make(rabbitmq_place)) as there,
            there.subscribe("orders", prefetch=9) as deliveries,
        ):
            for number in range(3):
                await here.publish("orders", b"%d" % number, key="k")
            await here.publish("orders", b"later", delay=60)
            await anext(deliveries)
            async with asyncio.timeout(10):
                while True:  # the delayed one is on its way to where it waits
                    (counted,) = await here.backlog()
                    if (counted.waiting, counted.in_flight, counted.dead) == (3, 1, 0):
                        break

    asyncio.run(main())


def test_delay_outlives_the_queue(rabbitmq_place: Place) -> None:
    """
    A message that is delayed, or waits for its next attempt, comes in time after the queue was set up again.
    """

    async def main() -> None:
        began = time.monotonic()
        async with running(make(rabbitmq_place)) as queue:
            await queue.publish("orders", b"delayed", delay=1.0)
            await queue.publish("orders", b"refused", key="k")
            async with queue.subscribe("orders") as deliveries:
                await (await anext(deliveries)).nack(delay=1.2)
        async with running(make(rabbitmq_place)) as queue, queue.subscribe("orders") as deliveries:
            got = []
            for _ in range(2):
                delivery = await anext(deliveries)
                got.append((delivery.body, delivery.attempt))
                await delivery.ack()
            assert got == [(b"delayed", 1), (b"refused", 2)]
            assert 1.1 < time.monotonic() - began < 3

    asyncio.run(main())


def test_one_of_several_groups_is_first(rabbitmq_place: Place) -> None:
    """
    When several groups subscribe at the same time, one of them gets what waited, and no other one.
    """

    async def main() -> None:
        async with running(make(rabbitmq_place)) as here, running(make(rabbitmq_place)) as there:
            await here.publish("orders", b"early")
            groups = [(queue, name) for queue in (here, there) for name in ("a", "b", "c")]
            subscriptions = [queue.subscribe("orders", group=name) for queue, name in groups]
            await asyncio.gather(*(each.__aenter__() for each in subscriptions))
            counted = {each.group: each.waiting for each in await here.backlog()}
            assert sorted(counted.values()) == [0, 0, 1]
            await asyncio.gather(*(each.end() for each in subscriptions))

    asyncio.run(main())


def test_dead_letters_are_read_by_several_at_once(rabbitmq_place: Place) -> None:
    """
    Whoever lists dead letters sees all of them, also while others do, and in between and afterwards none is missing.
    """

    async def main() -> None:
        async with running(make(rabbitmq_place)) as here, running(make(rabbitmq_place)) as there:
            ids = [await here.publish("orders", b"%d" % number) for number in range(20)]
            async with here.subscribe("orders") as deliveries:
                for _ in ids:
                    await (await anext(deliveries)).reject()
            seen = await asyncio.gather(*(queue.dead_letters("orders") for queue in (here, there) * 3))
            assert all([letter.message.id for letter in letters] == ids for letters in seen)
            replayed = await asyncio.gather(here.replay("orders"), there.replay("orders"))
            assert sorted(replayed) == [0, 20]

    asyncio.run(main())


def test_stranger_in_a_queue_becomes_a_dead_letter(rabbitmq_place: Place) -> None:
    """
    Something that is no message is kept as a dead letter, and does not stop the others.
    """

    async def main() -> None:
        async with running(make(rabbitmq_place)) as queue, queue.subscribe("orders") as deliveries:
            await publish_raw(rabbitmq_place, Names(rabbitmq_place.namespace).lane("orders", None).plain, b"junk")
            await queue.publish("orders", b"good")
            delivery = await anext(deliveries)
            assert delivery.body == b"good"
            await delivery.ack()
            (letter,) = await queue.dead_letters("orders")
            assert letter.message.body == b"junk"
            assert "not a message of conductor-mq" in letter.error

    asyncio.run(main())


async def publish_raw(place: Place, queue: str, content: bytes) -> None:
    """
    Publish something to a queue, past everything.
    """
    link = Link(URL(place.url), name="tests", heartbeat=30, logger=logging.getLogger("tests"))
    await link.set_up(limit=5)
    try:
        await Publisher(link, 5).publish("", queue, content)
    finally:
        await link.shut_down()


async def until_consumed(link: Link, queue: str) -> None:
    """
    Return when a queue is there and has a consumer.
    """
    async with asyncio.timeout(20):
        while True:
            async with link.passing_channel() as channel:
                with contextlib.suppress(ChannelNotFoundEntity):
                    if (await link.call(channel.queue_declare(queue, passive=True))).consumer_count:
                        return
            await asyncio.sleep(0.05)  # the server tells of it in no other way


def test_deleted_queues_are_made_again(rabbitmq_place: Place) -> None:
    """
    When somebody deletes the queues of a topic, consumers and publishers go on with new ones.
    """

    async def main() -> None:
        async with running(make(rabbitmq_place)) as queue, queue.subscribe("orders") as deliveries:
            waiting = asyncio.ensure_future(anext(deliveries))
            lane = Names(rabbitmq_place.namespace).lane("orders", None)
            link = Link(URL(rabbitmq_place.url), name="tests", heartbeat=30, logger=queue.logger)
            await link.set_up(limit=5)
            await until_consumed(link, lane.plain)
            async with link.passing_channel() as channel:
                for name in (lane.plain, lane.keyed, lane.journal):
                    await link.call(channel.queue_delete(name))
            for name in (lane.plain, lane.keyed, lane.journal):
                await until_consumed(link, name)
            await link.shut_down()
            await queue.publish("orders", b"plain")
            async with asyncio.timeout(20):
                delivery = await waiting
                assert delivery.body == b"plain"
                await delivery.ack()
                await queue.publish("orders", b"keyed", key="k")
                assert (await anext(deliveries)).body == b"keyed"

    asyncio.run(main())
