"""
Rules of the conformance suite: what is not acknowledged comes back, in the end as a dead letter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .._contract import MessageQueue
from .._delivery import Delivery
from .._subscription import Subscription
from ..exceptions import NotHeldError
from ._conformance import Trial, expect, expect_true

LONG = 60.0  # seconds of visibility in which nothing comes back during a test


async def unacknowledged_message_comes_back(trial: Trial) -> None:
    """
    What is not acknowledged comes back within a second of the visibility time, not before, and is counted.
    """
    async with trial.queue() as queue, queue.subscribe("orders", prefetch=2) as deliveries:
        loop = asyncio.get_running_loop()
        await queue.publish("orders", b"dropped")
        begun = loop.time()
        for attempt in (1, 2):
            delivery = await trial.next(deliveries)
            expect((delivery.body, delivery.attempt), (b"dropped", attempt), "what came")
        last = await trial.next(deliveries)
        expect((last.body, last.attempt), (b"dropped", 3), "what came")
        passed = (loop.time() - begun) / 2
        expect_true(passed >= trial.visibility * 0.9, f"it came back after {passed:.3f} s, while still held")
        expect_true(passed < trial.visibility + 1, f"it came back only after {passed:.3f} s")
        await last.ack()


async def one_holder_at_a_time(trial: Trial) -> None:
    """
    While a consumer holds a message, no other one of its group gets it, through whichever queue.
    """
    async with (
        trial.queue(visibility=LONG) as here,
        trial.queue(visibility=LONG) as there,
        here.subscribe("orders") as first,
        there.subscribe("orders") as second,
    ):
        for round in range(10):
            await here.publish("orders", b"held %d" % round)
            held = await trial.next(first)
            await here.publish("orders", b"other %d" % round)
            other = await trial.next(second)
            expect((held.body, other.body), (b"held %d" % round, b"other %d" % round), "who holds what")
            await held.ack()
            await other.ack()


async def late_settlement_is_refused(trial: Trial) -> None:
    """
    After the visibility time every settlement is refused and told, and the new holder is not disturbed.
    """
    async with trial.queue(max_attempts=9) as queue:
        async with queue.subscribe("orders") as first, queue.subscribe("orders") as second:
            for verb in ("ack", "nack", "reject", "extend"):
                await queue.publish("orders", verb.encode())
                late = await trial.next(first)
                waiting = asyncio.ensure_future(anext(second))
                current = await trial.soon(waiting, "the return of an unacknowledged message")
                expect((current.body, current.attempt), (verb.encode(), 2), "what came back")
                await _expect_refused(late, verb)
                await current.ack()
        expect(await queue.dead_letters("orders"), [], "dead letters")
        expect([each.waiting + each.in_flight for each in await queue.backlog()], [0], "what is left")


async def second_settlement_is_refused(trial: Trial) -> None:
    """
    A delivery is settled once; whatever is said after that is refused and told.
    """
    async with trial.queue(visibility=LONG) as queue, queue.subscribe("orders") as deliveries:
        for verb in ("ack", "nack", "reject", "extend"):
            await queue.publish("orders", b"")
            delivery = await trial.next(deliveries)
            await delivery.ack()
            await _expect_refused(delivery, verb)
        expect(await queue.dead_letters("orders"), [], "dead letters")


async def foreign_settlement_is_refused(trial: Trial) -> None:
    """
    A consumer that gave a message back cannot settle it for the one that holds it now.
    """
    async with trial.queue(visibility=LONG) as here, trial.queue(visibility=LONG) as there:
        for verb in ("ack", "nack", "reject", "extend"):
            await here.publish("orders", verb.encode())
            async with here.subscribe("orders") as deliveries:
                foreign = await trial.next(deliveries)
            async with there.subscribe("orders") as deliveries:
                current = await trial.next(deliveries)
                expect((current.body, current.attempt), (verb.encode(), 2), "what came back")
                await _expect_refused(foreign, verb)
                await current.ack()


async def extended_message_stays(trial: Trial) -> None:
    """
    A message that is extended is held longer, and only that one.
    """
    async with trial.queue(max_attempts=99) as queue, queue.subscribe("orders", prefetch=2) as deliveries:
        await queue.publish("orders", b"extended")
        held = await trial.next(deliveries)
        await held.extend(LONG)
        await queue.publish("orders", b"dropped")
        async with queue.subscribe("orders") as other:
            for attempt in (1, 2, 3):  # what is dropped is the clock: two visibility times pass
                delivery = await trial.next(other)
                expect((delivery.body, delivery.attempt), (b"dropped", attempt), "what came back")
        await held.ack()


async def nack_brings_back_later(trial: Trial) -> None:
    """
    What is refused with a delay comes back when that is over, not before, and is counted.
    """
    async with trial.queue(visibility=LONG) as queue, queue.subscribe("orders") as deliveries:
        loop = asyncio.get_running_loop()
        await queue.publish("orders", b"again")
        begun = loop.time()
        await (await trial.next(deliveries)).nack(delay=0.2)
        delivery = await trial.next(deliveries)
        passed = loop.time() - begun
        expect((delivery.body, delivery.attempt), (b"again", 2), "what came back")
        expect_true(0.19 <= passed < 1.2, f"a message refused for 0.2 s came back after {passed:.3f} s")
        await delivery.nack(delay=0)
        expect((await trial.next(deliveries)).attempt, 3, "attempt")


async def pauses_grow(trial: Trial) -> None:
    """
    Without a delay of its own, each refusal is followed by a longer pause, up to the limit.
    """
    options = {"max_attempts": 5, "backoff_first": 0.1, "backoff_factor": 2.0, "backoff_limit": 0.25}
    async with trial.queue(visibility=LONG, **options) as queue, queue.subscribe("orders") as deliveries:
        loop = asyncio.get_running_loop()
        await queue.publish("orders", b"again")
        delivery = await trial.next(deliveries)
        for pause in (0.1, 0.2, 0.25):
            begun = loop.time()
            await delivery.nack()
            delivery = await trial.next(deliveries)
            passed = loop.time() - begun
            expect_true(pause * 0.95 <= passed < pause + 1, f"a pause of {pause} s took {passed:.3f} s")
        await delivery.ack()


async def last_refusal_makes_dead_letter(trial: Trial) -> None:
    """
    After the last attempt a message is a dead letter with error and count, and is not handed out any more.
    """
    async with trial.queue(visibility=LONG, max_attempts=3) as queue, queue.subscribe("orders") as deliveries:
        id = await queue.publish("orders", b"bad", headers={"a": "b"}, key="k")
        for attempt in (1, 2, 3):
            delivery = await trial.next(deliveries)
            expect((delivery.body, delivery.attempt), (b"bad", attempt), "what came")
            await delivery.nack(error=ValueError(f"failure {attempt}"))
        await _expect_dead(queue, id, attempts=3, error="ValueError: failure 3")
        (letter,) = await queue.dead_letters("orders")
        message = letter.message
        kept = (message.topic, message.body, dict(message.headers), message.key)
        expect(kept, ("orders", b"bad", {"a": "b"}, "k"), "the message in the dead letter")
        await _expect_next(trial, queue, deliveries)


async def last_silence_makes_dead_letter(trial: Trial) -> None:
    """
    A message that is never acknowledged is handed out as often as allowed, then it is a dead letter.
    """
    async with trial.queue(max_attempts=2) as queue, queue.subscribe("orders", prefetch=3) as deliveries:
        id = await queue.publish("orders", b"bad")
        for attempt in (1, 2):
            expect((await trial.next(deliveries)).attempt, attempt, "attempt")
        waiting = asyncio.ensure_future(anext(deliveries))
        try:
            await trial.soon(_until_dead(queue, waiting), "the end of a message that is never acknowledged")
            await _expect_dead(queue, id, attempts=2, error=f"not acknowledged within {trial.visibility:g} s")
            await queue.publish("orders", b"end")
            delivery = await trial.soon(waiting, "the next delivery")
            expect(delivery.body, b"end", "next message")
            await delivery.ack()
        finally:
            waiting.cancel()


async def rejected_message_is_dead_at_once(trial: Trial) -> None:
    """
    What is rejected becomes a dead letter without another attempt, in that group only.
    """
    async with (
        trial.queue(visibility=LONG) as queue,
        queue.subscribe("orders") as deliveries,
        queue.subscribe("orders", group="other") as other,
    ):
        id = await queue.publish("orders", b"bad")
        await (await trial.next(deliveries)).reject(error="cannot be read")
        await _expect_dead(queue, id, attempts=1, error="cannot be read")
        await _expect_next(trial, queue, deliveries)
        expect(await queue.dead_letters("orders", group="other"), [], "dead letters of the other group")
        expect(await trial.take(other, 2), [b"bad", b"end"], "what the other group got")


async def dead_letters_are_listed_and_replayed(trial: Trial) -> None:
    """
    Dead letters are listed, oldest first, and replayed, all or those chosen, from the first attempt on.
    """
    async with trial.queue(visibility=LONG) as queue, queue.subscribe("orders") as deliveries:
        ids = [await queue.publish("orders", b"%d" % number) for number in range(3)]
        for _ in ids:
            await (await trial.next(deliveries)).reject()
        listed = [letter.message.id for letter in await queue.dead_letters("orders")]
        expect(listed, ids, "dead letters")
        expect(len(await queue.dead_letters("orders", limit=2)), 2, "how many are listed with a limit of 2")
        expect([each.dead for each in await queue.backlog()], [3], "how many the backlog counts")
        expect(await queue.replay("orders", ids=[ids[1], "unknown"]), 1, "how many of the chosen were replayed")
        delivery = await trial.next(deliveries)
        expect((delivery.id, delivery.body, delivery.attempt), (ids[1], b"1", 1), "what was replayed")
        await delivery.ack()
        expect(await queue.replay("orders", group="unknown"), 0, "how many of an unknown group were replayed")
        expect(await queue.replay("orders"), 2, "how many of the rest were replayed")
        expect(await trial.take(deliveries, 2), [b"0", b"2"], "what was replayed")
        expect(await queue.dead_letters("orders"), [], "dead letters")


async def order_of_one_key(trial: Trial) -> None:
    """
    A key's next message waits while the one before is in flight or to be retried; other keys do not wait.
    """
    async with (
        trial.queue(visibility=LONG) as queue,
        queue.subscribe("orders", prefetch=9) as first,
        queue.subscribe("orders", prefetch=9) as second,
    ):
        for body in (b"a1", b"a2", b"b1", b"a3", b"b2", b"none"):
            await queue.publish("orders", body, key=body[:1].decode() if len(body) == 2 else None)
        taken = [await trial.next(each) for each in (first, second, first)]
        a1, b1, none = sorted(taken, key=lambda each: each.body)
        expect([a1.body, b1.body, none.body], [b"a1", b"b1", b"none"], "what is handed out while 'a' is in flight")
        await a1.nack(delay=0.3)
        await b1.ack()
        expect((await trial.next(second)).body, b"b2", "what is handed out while 'a1' waits for its retry")
        again = await trial.next(second)
        expect((again.body, again.attempt), (b"a1", 2), "what is handed out next")
        await again.ack()
        expect(await trial.take(first, 2), [b"a2", b"a3"], "the rest of key 'a'")


async def key_goes_on_after_dead_letter(trial: Trial) -> None:
    """
    When a key's message becomes a dead letter, the next ones of that key are handed out.
    """
    async with trial.queue(visibility=LONG) as queue, queue.subscribe("orders", prefetch=5) as deliveries:
        for number in range(3):
            await queue.publish("orders", b"%d" % number, key="k")
        await (await trial.next(deliveries)).reject()
        expect(await trial.take(deliveries, 1), [b"1"], "the next one")
        held = await trial.next(deliveries)
        await queue.replay("orders")
        await queue.publish("orders", b"end")
        expect(await trial.take(deliveries, 1), [b"end"], "what is handed out while the key is in flight")
        await held.ack()
        expect(await trial.take(deliveries, 1), [b"0"], "what was replayed")


async def _expect_refused(delivery: Delivery, verb: str) -> None:
    settle: Callable[[], Awaitable[None]] = getattr(delivery, verb)
    try:
        await settle()
    except NotHeldError as error:
        expect((error.verb, error.message, error.topic), (verb, delivery.id, delivery.topic), "what the error says")
        return
    raise AssertionError(f"'{verb}' was accepted from a consumer that does not hold the message")


async def _expect_dead(queue: MessageQueue, id: str, *, attempts: int, error: str) -> None:
    letters = [(each.message.id, each.attempts, each.error) for each in await queue.dead_letters("orders")]
    expect(letters, [(id, attempts, error)], "dead letters")


async def _expect_next(trial: Trial, queue: MessageQueue, deliveries: Subscription) -> None:
    """
    Nothing but a message published now is handed out.
    """
    await queue.publish("orders", b"end")
    expect(await trial.take(deliveries, 1), [b"end"], "next message")


async def _until_dead(queue: MessageQueue, waiting: asyncio.Future[Delivery]) -> None:
    while not await queue.dead_letters("orders"):
        if waiting.done():
            raise AssertionError(f"{waiting.result()!r} was handed out after the last attempt")
        await asyncio.sleep(0.01)
