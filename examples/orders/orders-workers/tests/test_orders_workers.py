"""
Tests of the workers with the real database and a queue in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
from sqlalchemy import text

from conductor.testing import running
from conductor_db import Database
from conductor_mq.testing import MemoryMessageQueue
from orders_workers import OrdersWorkers, Pricing

TOPIC = "orders.received"
GROUP = "orders-workers"
CREATE = """CREATE TABLE orders (
    id INTEGER PRIMARY KEY, item TEXT, quantity INTEGER, status TEXT, total INTEGER
)"""


@attrs.frozen
class Shop:
    """
    What the workers work on.
    """

    db: Database
    queue: MemoryMessageQueue

    async def order(self, order_id: int, *, item: str = "tea", quantity: int = 3, times: int = 1) -> None:
        """
        Store an order and publish it so many times.
        """
        async with self.db.begin() as connection:
            values = {"id": order_id, "item": item, "quantity": quantity}
            insert = "INSERT INTO orders VALUES (:id, :item, :quantity, 'received', NULL)"
            await connection.execute(text(insert), values)
        for _ in range(times):
            await self.queue.publish(TOPIC, json.dumps(values).encode())

    async def totals(self) -> dict[int, int | None]:
        """
        The total of each order.
        """
        async with self.db.begin(read_only=True) as connection:
            rows = await connection.execute(text("SELECT id, total FROM orders WHERE status = 'done'"))
            return {row.id: row.total for row in rows}

    async def all_handled(self) -> None:
        """
        Wait until the queue has nothing left to hand out.
        """
        while any(entry.waiting or entry.in_flight for entry in await self.queue.backlog()):
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def shop(folder: Path) -> AsyncIterator[Shop]:
    queue = MemoryMessageQueue(backoff_first=0.01, backoff_limit=0.02)
    async with running(Database(url=f"sqlite:///{folder / 'orders.db'}")) as db, running(queue):
        async with db.begin() as connection:
            await connection.execute(text(CREATE))
        yield Shop(db, queue)


class CountingPricing(Pricing):
    """
    Counts its calls, can fail first, and can be held up.
    """

    calls: int = 0
    failures: int = 0
    begun: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    may_go_on: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)

    async def price(self, item: str, quantity: int) -> int:
        """
        A price that tells how often it was asked for.
        """
        self.calls += 1
        self.begun.set()
        await self.may_go_on.wait()
        if self.calls <= self.failures:
            raise ConnectionError("no prices today")
        return 1000 * self.calls


def test_an_order_is_priced_and_done() -> None:
    """
    The price list is in cents, with a price for what is not on it.
    """

    async def main() -> None:
        pricing = Pricing(prices={"tea": 7}, other=5)
        assert await pricing.price("tea", 3) == 21
        assert await pricing.price("moon", 2) == 10

    asyncio.run(main())


def test_orders_reach_done_with_their_total(tmp_path: Path) -> None:
    """
    Every published order ends as done, with its total.
    """

    async def main() -> None:
        async with shop(tmp_path) as it:
            async with running(OrdersWorkers(db=it.db, queue=it.queue, pricing=Pricing())):
                await asyncio.gather(*(it.order(number, quantity=number) for number in range(1, 21)))
                await it.all_handled()
            assert await it.totals() == {number: 350 * number for number in range(1, 21)}

    asyncio.run(main())


def test_an_order_that_comes_several_times_is_priced_once(tmp_path: Path) -> None:
    """
    Of messages that come again, at the same time or later, only one sets the total.
    """

    async def main() -> None:
        pricing = CountingPricing()
        async with shop(tmp_path) as it:
            await it.order(1, times=4)
            async with running(OrdersWorkers(db=it.db, queue=it.queue, pricing=pricing)):
                while pricing.calls < 4:  # all of them are past the look at the status
                    await asyncio.sleep(0.01)
                pricing.may_go_on.set()
                await it.all_handled()
                first = await it.totals()
                await it.queue.publish(TOPIC, json.dumps({"id": 1, "item": "tea", "quantity": 3}).encode())
                await it.all_handled()
            assert await it.totals() == first
            assert pricing.calls == 4

    asyncio.run(main())


def test_shutdown_finishes_what_is_being_worked_on(tmp_path: Path) -> None:
    """
    An order that is being priced when shutdown begins is done when it ends.
    """

    async def main() -> None:
        pricing = CountingPricing()
        async with shop(tmp_path) as it:
            await it.order(1)
            async with running(OrdersWorkers(db=it.db, queue=it.queue, pricing=pricing)):
                await pricing.begun.wait()
                asyncio.get_running_loop().call_later(0.05, pricing.may_go_on.set)
            assert await it.totals() == {1: 1000}

    asyncio.run(main())


def test_a_failure_is_tried_again(tmp_path: Path) -> None:
    """
    An order whose price could not be had comes back until it can.
    """

    async def main() -> None:
        pricing = CountingPricing(failures=2)
        pricing.may_go_on.set()
        async with shop(tmp_path) as it:
            await it.order(1)
            async with running(OrdersWorkers(db=it.db, queue=it.queue, pricing=pricing)):
                await it.all_handled()
            assert await it.totals() == {1: 3000}

    asyncio.run(main())


def test_orders_that_were_given_up_on_are_tried_again_at_the_next_start(tmp_path: Path) -> None:
    """
    What failed too often becomes a dead letter, and the next life of the workers takes it up again.
    """

    async def main() -> None:
        async with shop(tmp_path) as it:
            hopeless = CountingPricing(failures=10**6)
            hopeless.may_go_on.set()
            await it.order(1)
            async with running(OrdersWorkers(db=it.db, queue=it.queue, pricing=hopeless)):
                await it.all_handled()
            assert len(await it.queue.dead_letters(TOPIC, group=GROUP)) == 1
            async with running(OrdersWorkers(db=it.db, queue=it.queue, pricing=Pricing())):
                await it.all_handled()
            assert await it.totals() == {1: 1050}

    asyncio.run(main())


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b'{"id": "1", "item": "tea", "quantity": 1}', b'{"id": 1}'])
def test_a_message_that_is_no_order_is_kept_as_a_dead_letter(tmp_path: Path, body: bytes) -> None:
    """
    What is no order is neither retried nor dropped, and keeps nothing else from being done.
    """

    async def main() -> None:
        async with shop(tmp_path) as it:
            async with running(OrdersWorkers(db=it.db, queue=it.queue, pricing=Pricing())):
                await it.queue.publish(TOPIC, body)
                await it.order(1)
                await it.all_handled()
            [letter] = await it.queue.dead_letters(TOPIC, group=GROUP)
            assert letter.message.body == body
            assert await it.totals() == {1: 1050}

    asyncio.run(main())
