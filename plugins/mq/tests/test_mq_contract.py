"""
What the contract does itself, for every implementation alike.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import Any

import pytest

import conductor_mq
from conductor.testing import running
from conductor_mq import (
    Delivery,
    Held,
    InvalidMessageError,
    MessageQueue,
    NotHeldError,
    QueueUnavailableError,
    SQLiteMessageQueue,
    Verdict,
)
from conductor_mq._broker import Action
from conductor_mq._retry import RetryPolicy
from conductor_mq.testing import MemoryMessageQueue


def test_contract_is_abstract() -> None:
    """
    The contract itself keeps no messages; what it is implemented by can be injected for it.
    """
    assert inspect.isabstract(MessageQueue)
    assert issubclass(SQLiteMessageQueue, MessageQueue)
    assert issubclass(MemoryMessageQueue, MessageQueue)


def test_implementations_add_no_public_methods() -> None:
    """
    The embedded default offers what the contract offers, so that anything that keeps the contract can replace it.
    """

    def methods(cls: type) -> set[str]:
        return {name for name, value in inspect.getmembers(cls, inspect.isfunction) if not name.startswith("_")}

    assert methods(SQLiteMessageQueue) == methods(MessageQueue)


def test_installed_component_is_the_embedded_default() -> None:
    """
    The distribution publishes the embedded default as the component "mq".
    """
    try:
        version("conductor-mq")
    except PackageNotFoundError:
        pytest.skip("conductor-mq is not installed")
    (entry,) = [each for each in entry_points(group="conductor.components") if each.name == "mq"]
    assert entry.load() is SQLiteMessageQueue


def test_every_public_name_is_documented() -> None:
    """
    What the package exports has a docstring.
    """
    for name in conductor_mq.__all__:
        value = getattr(conductor_mq, name)
        assert not isinstance(value, type) or inspect.getdoc(value), name


def test_pauses_double_up_to_the_limit() -> None:
    """
    The pauses between attempts grow by the factor, and never beyond the limit.
    """
    policy = RetryPolicy(visibility=30, max_attempts=5, first=1, factor=2, limit=10)
    assert [policy.pause(attempt) for attempt in (1, 2, 3, 4, 5, 9999)] == [1, 2, 4, 8, 10, 10]


def test_own_delay_does_not_help_after_the_last_attempt() -> None:
    """
    A refusal with a delay is the end as well, once the attempts are used up.
    """
    policy = RetryPolicy(visibility=30, max_attempts=2, first=1, factor=2, limit=10)
    assert policy.after_failure(1, delay=7.0, error="").delay == 7.0
    assert policy.after_failure(2, delay=7.0, error="").action is Action.DEAD


def test_queue_that_is_not_set_up_says_so() -> None:
    """
    Before set-up every use is refused with a hint.
    """
    queue = MemoryMessageQueue()
    with pytest.raises(QueueUnavailableError, match="hint: use it from 'setup' to 'shutdown'"):
        queue.subscribe("orders")
    with pytest.raises(QueueUnavailableError):
        asyncio.run(queue.publish("orders", b""))


@pytest.mark.parametrize("prefetch", [0, -1, True, 1.5, None])
def test_nonsense_prefetch_is_refused(prefetch: Any) -> None:
    """
    A subscription hands out at least one delivery at a time.
    """

    async def main() -> None:
        async with running(MemoryMessageQueue()) as queue:
            with pytest.raises(InvalidMessageError, match="prefetch"):
                queue.subscribe("orders", prefetch=prefetch)

    asyncio.run(main())


@pytest.mark.parametrize(
    "settings", [{"visibility": 0}, {"max_attempts": 0}, {"backoff_first": -1}, {"backoff_factor": 0.5}]
)
def test_nonsense_settings_are_refused(settings: dict[str, Any]) -> None:
    """
    Settings with which no queue can work are refused when it is built.
    """
    with pytest.raises(ValueError, match=next(iter(settings))):
        MemoryMessageQueue(**settings)


def test_refusal_tells_what_happened() -> None:
    """
    The error of a refused settlement says what was refused and why.
    """

    async def main() -> None:
        async with running(MemoryMessageQueue()) as queue, queue.subscribe("orders") as deliveries:
            id = await queue.publish("orders", b"")
            delivery = await anext(deliveries)
            await delivery.ack()
            with pytest.raises(NotHeldError, match=f"'nack' of message '{id}' in topic 'orders'.*settled already"):
                await delivery.nack()

    asyncio.run(main())


def test_several_tasks_share_a_subscription() -> None:
    """
    Several tasks may iterate over one subscription; each delivery goes to one of them, and all of them end.
    """

    async def main() -> None:
        got: list[bytes] = []

        async def work(deliveries: conductor_mq.Subscription) -> None:
            async for delivery in deliveries:
                got.append(delivery.body)
                await delivery.ack()

        async with running(MemoryMessageQueue()) as queue, queue.subscribe("orders", prefetch=3) as deliveries:
            tasks = [asyncio.create_task(work(deliveries)) for _ in range(3)]
            for number in range(9):
                await queue.publish("orders", b"%d" % number)
            while len(got) < 9:
                await asyncio.sleep(0)
            await deliveries.drain()
            await asyncio.gather(*tasks)
        assert sorted(got) == [b"%d" % number for number in range(9)]

    asyncio.run(main())


def test_consume_handles_several_at_once() -> None:
    """
    As many messages are handled at once as the concurrency says, and not more.
    """

    async def main() -> None:
        async with running(MemoryMessageQueue()) as queue:
            at_once, most, done = 0, 0, asyncio.Event()
            gate = asyncio.Barrier(3)

            async def handle(delivery: Delivery) -> None:
                nonlocal at_once, most
                at_once += 1
                most = max(most, at_once)
                await gate.wait()
                at_once -= 1
                if delivery.body == b"5":
                    done.set()

            for number in range(6):
                await queue.publish("orders", b"%d" % number)
            consuming = asyncio.create_task(queue.consume("orders", handle, concurrency=3))
            async with asyncio.timeout(5):
                await done.wait()
            consuming.cancel()
            await asyncio.wait({consuming})
            assert most == 3

    asyncio.run(main())


def test_consume_cancelled_twice_cancels_handlers() -> None:
    """
    A handler that does not end is cancelled by the second cancellation, and its message comes back.
    """

    async def main() -> None:
        async with running(MemoryMessageQueue()) as queue:
            begun = asyncio.Event()

            async def handle(delivery: Delivery) -> None:
                begun.set()
                await asyncio.Event().wait()

            await queue.publish("orders", b"stuck")
            consuming = asyncio.create_task(queue.consume("orders", handle))
            await begun.wait()
            consuming.cancel()
            done, _ = await asyncio.wait({consuming}, timeout=0.05)
            assert not done
            consuming.cancel()
            await asyncio.wait({consuming})
            assert consuming.cancelled()
            async with queue.subscribe("orders") as deliveries:
                assert (await anext(deliveries)).attempt == 2

    asyncio.run(main())


def test_consume_logs_what_fails_and_leaves_settled_alone(caplog: pytest.LogCaptureFixture) -> None:
    """
    A failed handling is logged and tried again; a delivery that the handler settled is left as it is.
    """

    async def main() -> None:
        async with running(MemoryMessageQueue(backoff_first=0.0)) as queue:
            seen: list[tuple[bytes, int]] = []
            done = asyncio.Event()

            async def handle(delivery: Delivery) -> None:
                seen.append((delivery.body, delivery.attempt))
                if delivery.body == b"rejected":
                    await delivery.reject(error="bad")
                    done.set()
                if delivery.attempt == 1:
                    raise ValueError("not yet")

            await queue.publish("orders", b"fails")
            await queue.publish("orders", b"rejected")
            consuming = asyncio.create_task(queue.consume("orders", handle))
            await done.wait()
            consuming.cancel()
            await asyncio.wait({consuming})
            assert [letter.error for letter in await queue.dead_letters("orders")] == ["bad"]
            assert (b"fails", 2) in seen

    with caplog.at_level(logging.WARNING, logger="conductor"):
        asyncio.run(main())
    assert [record.message for record in caplog.records if "'orders'" in record.message]


def test_consume_ends_with_the_failure_of_the_queue() -> None:
    """
    When the queue itself fails, consuming ends with that error instead of going on blindly.
    """

    async def main() -> None:
        async with running(MemoryMessageQueue()) as queue:

            async def fail(held: Held, verdict: Verdict) -> bool:
                raise OSError("the server is gone")

            async def handle(delivery: Delivery) -> None:
                delivery._ledger.channel.settle = fail  # type: ignore[method-assign]  # the queue fails

            await queue.publish("orders", b"")
            with pytest.raises(OSError, match="the server is gone"):
                await queue.consume("orders", handle)

    asyncio.run(main())


def test_test_double_shows_what_was_published() -> None:
    """
    A test can look at what a component published.
    """

    async def main() -> None:
        async with running(MemoryMessageQueue()) as queue:
            await queue.publish("orders", b"1", key="k")
            assert [(each.topic, each.body, each.key) for each in queue.published] == [("orders", b"1", "k")]

    asyncio.run(main())
