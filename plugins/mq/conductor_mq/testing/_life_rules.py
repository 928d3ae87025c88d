"""
Rules of the conformance suite: consumers and queues that end, are cancelled, or are set up again.
"""

from __future__ import annotations

import asyncio
import contextlib

from .._delivery import Delivery
from .._message import Backlog
from ..exceptions import QueueUnavailableError
from ._conformance import Trial, expect, expect_true

LONG = 60.0  # seconds of visibility in which nothing comes back during a test


async def messages_outlive_the_queue(trial: Trial) -> None:
    """
    Messages, groups and dead letters are still there when the queue is set up again.
    """
    async with trial.queue(visibility=LONG) as queue:
        async with queue.subscribe("orders") as deliveries:
            for body in (b"dead", b"acknowledged", b"in flight", b"waiting"):
                await queue.publish("orders", body, headers={"n": "1"})
            await (await trial.next(deliveries)).reject(error="bad")
            await (await trial.next(deliveries)).ack()
            await trial.next(deliveries)
        await queue.publish("no group yet", b"early")
    async with trial.queue(visibility=LONG) as queue:
        backlog = [
            Backlog(topic="no group yet", group=None, waiting=1, in_flight=0, dead=0),
            Backlog(topic="orders", group="default", waiting=2, in_flight=0, dead=1),
        ]
        expect(list(await queue.backlog()), backlog, "backlog")
        (letter,) = await queue.dead_letters("orders")
        expect((letter.message.body, letter.attempts, letter.error), (b"dead", 1, "bad"), "dead letter")
        async with queue.subscribe("orders") as deliveries:
            got = []
            for _ in range(2):
                delivery = await trial.next(deliveries)
                got.append((delivery.body, dict(delivery.headers), delivery.attempt))
                await delivery.ack()
            expect(sorted(got), [(b"in flight", {"n": "1"}, 2), (b"waiting", {"n": "1"}, 1)], "what was kept")


async def ended_subscription_gives_back(trial: Trial) -> None:
    """
    When a subscription ends, nothing more is handed out to it, and what it held comes back at once, counted.
    """
    async with trial.queue(visibility=LONG) as queue:
        async with queue.subscribe("orders", prefetch=5) as deliveries:
            await queue.publish("orders", b"held")
            await trial.next(deliveries)
            waiting = await trial.wait_for_next(deliveries)
        await _expect_end(trial, waiting)
        await queue.publish("orders", b"later")
        await _expect_end(trial, asyncio.ensure_future(anext(deliveries)))
        async with queue.subscribe("orders") as other:
            delivery = await trial.next(other)
            expect((delivery.body, delivery.attempt), (b"held", 2), "what came back")
            await delivery.ack()
            delivery = await trial.next(other)
            expect((delivery.body, delivery.attempt), (b"later", 1), "what was published later")
            await delivery.ack()


async def drained_subscription_finishes(trial: Trial) -> None:
    """
    A subscription that drains hands out nothing new, and waits until what is in flight is settled.
    """
    async with trial.queue(visibility=LONG) as queue, queue.subscribe("orders", prefetch=5) as deliveries:
        await queue.publish("orders", b"held")
        held = await trial.next(deliveries)
        waiting = await trial.wait_for_next(deliveries)
        draining = asyncio.ensure_future(deliveries.drain())
        await _expect_end(trial, waiting)
        await queue.publish("orders", b"later")
        async with queue.subscribe("orders") as other:
            expect((await trial.next(other)).body, b"later", "what another consumer gets meanwhile")
        expect_true(not draining.done(), "drained while a message was in flight")
        await held.ack()
        await trial.soon(draining, "the end of draining")


async def failed_consumer_counts(trial: Trial) -> None:
    """
    A consumer that ends with an exception has failed at what it held: in the end that is a dead letter.
    """
    async with trial.queue(visibility=LONG, max_attempts=2) as queue:
        await queue.publish("orders", b"poison")
        for _ in range(2):
            with contextlib.suppress(ZeroDivisionError):
                async with queue.subscribe("orders") as deliveries:
                    await trial.next(deliveries)
                    raise ZeroDivisionError("poisoned")
        letters = [(each.attempts, each.error) for each in await queue.dead_letters("orders")]
        expect(letters, [(2, "ZeroDivisionError: poisoned")], "dead letters")


async def cancelled_wait_loses_nothing(trial: Trial) -> None:
    """
    However often waiting for a delivery is cancelled, no message is lost, held by nobody or counted.
    """
    async with trial.queue(visibility=LONG) as queue, queue.subscribe("orders", prefetch=5) as deliveries:
        for turns in range(40):
            waiting = asyncio.ensure_future(anext(deliveries))
            publishing = asyncio.ensure_future(queue.publish("orders", b"%d" % turns))
            for _ in range(turns % 8):
                await asyncio.sleep(0)
            if turns % 2:
                await publishing
            waiting.cancel()
            await asyncio.wait({waiting, publishing})
            delivery = await trial.next(deliveries) if waiting.cancelled() else waiting.result()
            expect((delivery.body, delivery.attempt), (b"%d" % turns, 1), "delivery after a cancelled wait")
            await delivery.ack()


async def consumed_until_cancelled(trial: Trial) -> None:
    """
    Consuming acknowledges what is handled and retries what fails; cancelled, it finishes what it has begun.
    """
    async with trial.queue(visibility=LONG) as queue:
        begun, may_end, ended = asyncio.Event(), asyncio.Event(), []

        async def handle(delivery: Delivery) -> None:
            if delivery.body == b"fails" and delivery.attempt == 1:
                raise ValueError("not yet")
            if delivery.body == b"slow":
                begun.set()
                await may_end.wait()
            ended.append((delivery.body, delivery.attempt))

        consuming = asyncio.ensure_future(queue.consume("orders", handle))
        for body in (b"good", b"fails", b"slow"):
            await queue.publish("orders", body)
        await trial.soon(begun.wait(), "the handling of the last message")
        consuming.cancel()
        await queue.publish("orders", b"later")
        may_end.set()
        await trial.soon(asyncio.wait({consuming}), "the end of consuming")
        expect_true(consuming.cancelled(), "a cancelled consume() ended without being cancelled")
        expect_true((b"good", 1) in ended and (b"slow", 1) in ended, f"handled were {ended!r}")
        left = [each.waiting for each in await queue.backlog()]
        expect(left, [1 + ((b"fails", 2) not in ended)], "what is left")


async def shut_down_queue_ends_consumers(trial: Trial) -> None:
    """
    When the queue is shut down its consumers end, what they held comes back, and it is of no use any more.
    """
    async with trial.queue(visibility=LONG) as queue:
        deliveries = queue.subscribe("orders", prefetch=2)
        await queue.publish("orders", b"held")
        await trial.next(deliveries)
        waiting = await trial.wait_for_next(deliveries)
    await _expect_end(trial, waiting)
    for use in (lambda: queue.publish("orders", b"late"), queue.health, lambda: queue.dead_letters("orders")):
        try:
            await use()
        except QueueUnavailableError:
            continue
        raise AssertionError("a queue that is shut down was of use")
    async with trial.queue(visibility=LONG) as queue, queue.subscribe("orders") as deliveries:
        delivery = await trial.next(deliveries)
        expect((delivery.body, delivery.attempt), (b"held", 2), "what came back")


async def backlog_counts(trial: Trial) -> None:
    """
    The backlog counts what waits, is in flight and is dead, for each topic and group; and health is fine.
    """
    async with trial.queue(visibility=LONG) as queue, queue.subscribe("orders", prefetch=2) as deliveries:
        for number in range(4):
            await queue.publish("orders", b"%d" % number, key="k" if number else None)
        await (await trial.next(deliveries)).reject()
        await trial.next(deliveries)
        wanted = [Backlog(topic="orders", group="default", waiting=2, in_flight=1, dead=1)]
        expect(list(await queue.backlog()), wanted, "backlog")
        await queue.health()


async def _expect_end(trial: Trial, waiting: asyncio.Future[Delivery]) -> None:
    try:
        delivery = await trial.soon(waiting, "the end of iteration")
    except StopAsyncIteration:
        return
    raise AssertionError(f"{delivery!r} was handed out after the end")
