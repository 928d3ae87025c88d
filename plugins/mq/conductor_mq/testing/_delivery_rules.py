"""
Rules of the conformance suite: what is published arrives, as it was, and with whom it should.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

from .._contract import MessageQueue
from .._message import MAX_BODY, Backlog
from .._subscription import Subscription
from ..exceptions import InvalidMessageError, MessageTooLargeError
from ._conformance import Trial, expect, expect_true

LONG = 60.0  # seconds of visibility in which nothing comes back during a test

HOSTILE = (
    "orders",
    "Orders",
    " orders ",
    "orders.eu",
    "orders.*",
    "orders_eu",
    "orders/*/../..",
    "a.b.>",
    "#",
    "'; DROP TABLE message; --",
    "$SYS.REQ",
    "with space\tand\nnewline",
    "\x00\x1b[31m",
    "%s{0}${HOME}`id`",
    "größe-数-🎉",
    "-" * 300,
    ".",
    " ",
)


async def message_arrives_as_published(trial: Trial) -> None:
    """
    Body, headers, key and topic of a message arrive as they were published, with the id that publish gave.
    """
    headers = {"content-type": "application/json", "X-Größe": "ü\n\x01", "": ""}
    body = bytes(range(256))
    async with trial.queue() as queue, queue.subscribe("orders", group="pricing") as deliveries:
        id = await queue.publish("orders", body, headers=headers, key="k\x00ü")
        delivery = await trial.next(deliveries)
        expect(delivery.body, body, "body")
        expect(dict(delivery.headers), headers, "headers")
        expect(delivery.key, "k\x00ü", "key")
        expect((delivery.topic, delivery.group), ("orders", "pricing"), "topic and group")
        expect((delivery.id, delivery.attempt), (id, 1), "id and attempt")
        await delivery.ack()
        await queue.publish("orders", b"")
        plain = await trial.next(deliveries)
        expect((plain.body, dict(plain.headers), plain.key), (b"", {}, None), "an empty message")
        expect_true(plain.id != id, "two messages have the same id")
        await plain.ack()


async def acknowledged_message_is_gone(trial: Trial) -> None:
    """
    An acknowledged message does not come back, neither to this consumer nor after the visibility time.
    """
    async with trial.queue() as queue, queue.subscribe("orders") as deliveries:
        await queue.publish("orders", b"done")
        await (await trial.next(deliveries)).ack()
        await queue.publish("orders", b"unsettled")
        await trial.next(deliveries)
        again = await trial.next(deliveries)  # so a visibility time has passed
        expect((again.body, again.attempt), (b"unsettled", 2), "what came back")
        await again.ack()
        nothing = Backlog(topic="orders", group="default", waiting=0, in_flight=0, dead=0)
        expect(list(await queue.backlog()), [nothing], "backlog")


async def order_of_publication(trial: Trial) -> None:
    """
    One consumer that takes one message at a time gets the messages of one publisher without a key in order.
    """
    async with trial.queue(visibility=LONG) as queue, queue.subscribe("orders") as deliveries:
        bodies = [b"%d" % number for number in range(50)]
        for body in bodies:
            await queue.publish("orders", body)
        expect(await trial.take(deliveries, 50), bodies, "order")


async def every_group_gets_every_message(trial: Trial) -> None:
    """
    Each group gets every message, and what one does with it is nothing to the other.
    """
    async with (
        trial.queue(visibility=LONG) as queue,
        queue.subscribe("orders", group="a") as a,
        queue.subscribe("orders", group="b") as b,
    ):
        for number in range(5):
            await queue.publish("orders", b"%d" % number)
        wanted = [b"%d" % number for number in range(5)]
        expect(await trial.take(a, 5), wanted, "what group 'a' got")
        expect(await trial.take(b, 5), wanted, "what group 'b' got")


async def first_group_gets_what_waited(trial: Trial) -> None:
    """
    What is published before there is a group waits for the first one; a second group begins with what is new.
    """
    async with trial.queue(visibility=LONG) as queue:
        await queue.publish("orders", b"early")
        async with queue.subscribe("orders", group="1st") as first, queue.subscribe("orders", group="2nd") as second:
            await queue.publish("orders", b"late")
            expect(await trial.take(first, 2), [b"early", b"late"], "what the first group got")
            expect(await trial.take(second, 1), [b"late"], "what the second group got")


async def group_outlives_its_consumers(trial: Trial) -> None:
    """
    A group that has no consumer at the moment gets what is published meanwhile.
    """
    async with trial.queue(visibility=LONG) as queue:
        async with queue.subscribe("orders", group="pricing"), queue.subscribe("orders", group="mail"):
            pass
        await queue.publish("orders", b"meanwhile")
        async with queue.subscribe("orders", group="pricing") as deliveries:
            expect(await trial.take(deliveries, 1), [b"meanwhile"], "what was published meanwhile")


async def consumers_of_a_group_compete(trial: Trial) -> None:
    """
    Each message goes to one of the consumers of a group, through whichever queue they subscribed.
    """
    async with trial.queue(visibility=LONG) as here, trial.queue(visibility=LONG) as there:
        async with here.subscribe("jobs", prefetch=4) as first, there.subscribe("jobs", prefetch=4) as second:
            await _publish_many(here, "jobs", 60)
            got = await _compete(trial, [first, second], 60)
            expect(got, Counter(b"%d" % number for number in range(60)), "how often each message was handled")
        expect([each.waiting + each.in_flight for each in await here.backlog()], [0], "what is left")


async def ten_thousand_messages(trial: Trial) -> None:
    """
    Of 10,000 messages every one is handled, and handled once.
    """
    async with (
        trial.queue(visibility=LONG) as queue,
        queue.subscribe("jobs", prefetch=20) as first,
        queue.subscribe("jobs", prefetch=20) as second,
    ):
        await _publish_many(queue, "jobs", 10_000)
        got = await _compete(trial, [first, second], 10_000)
        expect_true(got.total() == 10_000, f"10,000 messages were handled {got.total():,} times")


async def other_process_wakes_consumer(trial: Trial) -> None:
    """
    A consumer that waits gets what another queue on the same place publishes, without asking again.
    """
    async with (
        trial.queue(visibility=LONG) as here,
        trial.queue(visibility=LONG) as there,
        here.subscribe("orders") as deliveries,
    ):
        for number in range(10):
            waiting = await trial.wait_for_next(deliveries)
            await there.publish("orders", b"%d" % number)
            delivery = await trial.soon(waiting, "the delivery of what the other queue published")
            await delivery.ack()


async def delayed_message_comes_later(trial: Trial) -> None:
    """
    A delayed message comes when its delay is over, not before, and does not hold up others.
    """
    async with trial.queue(visibility=LONG) as queue, queue.subscribe("orders") as deliveries:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await queue.publish("orders", b"later", delay=0.3, key="k")
        await queue.publish("orders", b"at once", key="k")
        expect(await trial.take(deliveries, 2), [b"at once", b"later"], "order")
        passed = loop.time() - begun
        expect_true(passed >= 0.28, f"a message delayed for 0.3 s came after {passed:.3f} s")
        expect_true(passed < 1.3, f"a message delayed for 0.3 s came only after {passed:.3f} s")


async def prefetch_is_the_limit(trial: Trial) -> None:
    """
    A subscription hands out no more unsettled deliveries than its prefetch says.
    """
    async with trial.queue(visibility=LONG) as queue, queue.subscribe("orders", prefetch=2) as deliveries:
        for number in range(3):
            await queue.publish("orders", b"%d" % number)
        first, _ = await trial.next(deliveries), await trial.next(deliveries)
        third = await trial.wait_for_next(deliveries)
        async with queue.subscribe("orders", group="default") as other:
            expect((await trial.next(other)).body, b"2", "what is left for another consumer")
        expect_true(not third.done(), "a third delivery was handed out with a prefetch of 2")
        await first.ack()
        expect((await trial.soon(third, "the delivery after room was made")).body, b"2", "third")


async def topics_are_just_text(trial: Trial) -> None:
    """
    Topics, groups and keys are any text, and each topic gets its own messages only.
    """
    async with trial.queue(visibility=LONG) as queue:
        for name in HOSTILE:
            await queue.publish(name, name.encode(), key=name)
        for name in HOSTILE:
            async with queue.subscribe(name, group=name) as deliveries:
                await queue.publish(name, b"end")
                got = sorted(await trial.take(deliveries, 2))
                expect(got, sorted([name.encode(), b"end"]), f"messages of topic {name!r}")


async def large_bodies(trial: Trial) -> None:
    """
    Bodies up to 1 MiB arrive; a larger one is refused by an error that says so, and nothing of it is kept.
    """
    async with trial.queue(visibility=LONG) as queue, queue.subscribe("orders") as deliveries:
        body = b"\x00\xff" * (MAX_BODY // 2)
        await queue.publish("orders", body)
        try:
            await queue.publish("orders", body + b"!")
        except MessageTooLargeError as error:
            expect((error.topic, error.size, error.limit), ("orders", MAX_BODY + 1, MAX_BODY), "what the error says")
        else:
            raise AssertionError("a body of more than 1 MiB was accepted")
        await queue.publish("orders", b"end")
        got = await trial.take(deliveries, 2)
        expect_true(got == [body, b"end"], f"bodies of {[len(each) for each in got]} bytes arrived")


async def nonsense_is_refused(trial: Trial) -> None:
    """
    What is no message is refused with a clear error, and leaves nothing behind.
    """
    wrong: tuple[tuple[object, object, dict[str, object]], ...] = (
        ("orders", "text", {}),
        ("", b"", {}),
        (None, b"", {}),
        ("\ud800", b"", {}),
        ("orders", b"", {"headers": {"a": 1}}),
        ("orders", b"", {"headers": {"a": "\udfff"}}),
        ("orders", b"", {"key": 7}),
        ("orders", b"", {"delay": -1}),
        ("orders", b"", {"delay": float("nan")}),
    )
    async with trial.queue() as queue:
        publish = queue.publish
        for topic, body, options in wrong:
            try:
                await publish(topic, body, **options)  # type: ignore[arg-type]  # it is wrong on purpose
            except InvalidMessageError:
                continue
            raise AssertionError(f"publish({topic!r}, {body!r}, {options!r}) was accepted")
        expect(list(await queue.backlog()), [], "backlog")


async def _publish_many(queue: MessageQueue, topic: str, count: int) -> None:
    for begin in range(0, count, 500):
        numbers = range(begin, min(begin + 500, count))
        await asyncio.gather(*(queue.publish(topic, b"%d" % number) for number in numbers))


async def _compete(trial: Trial, subscriptions: list[Subscription], count: int) -> Counter[bytes]:
    """
    How often several consumers get each of so many messages, until they have got every one.
    """
    got: Counter[bytes] = Counter()
    complete = asyncio.Event()

    async def consume(deliveries: Subscription) -> None:
        async for delivery in deliveries:
            got[delivery.body] += 1
            await delivery.ack()
            if len(got) == count:
                complete.set()

    tasks = [asyncio.ensure_future(consume(deliveries)) for deliveries in subscriptions]
    try:
        while not complete.is_set():
            before = got.total()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(trial.patience):
                    await complete.wait()
            expect_true(got.total() > before, f"of {count:,} messages, {len(got):,} arrived, then no more")
    finally:
        for deliveries in subscriptions:
            await deliveries.drain()
        await asyncio.wait(tasks)
    for task in tasks:
        task.result()
    return got
