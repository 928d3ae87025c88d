"""
Tests of the API over real HTTP, with the real database and a queue in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import attrs
import httpx
import pytest
from sqlalchemy import text

from conductor.testing import running
from conductor_db import Database
from conductor_mq.testing import MemoryMessageQueue
from orders_api import OrdersAPI

TOPIC = "orders.received"


class MoodyQueue(MemoryMessageQueue):
    """
    A queue that can be told to refuse, or to lose its confirmations.
    """

    refuses: bool = False
    loses_confirmations: bool = False
    refused: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)

    async def publish(
        self,
        topic: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        delay: float = 0.0,
    ) -> str:
        """
        As the contract has it, or an error.
        """
        if self.refuses:
            self.refused.set()
            raise ConnectionError("the queue refuses")
        published = await super().publish(topic, body, headers=headers, key=key, delay=delay)
        if self.loses_confirmations:
            self.refused.set()
            raise ConnectionError("the confirmation was lost")
        return published

    async def health(self) -> None:
        """
        Raise while it refuses.
        """
        if self.refuses:
            raise ConnectionError("the queue refuses")


@attrs.frozen
class Shop:
    """
    A running API and what it stands on.
    """

    db: Database
    queue: MoodyQueue
    client: httpx.AsyncClient

    async def outbox(self) -> int:
        """
        How many messages wait.
        """
        async with self.db.begin(read_only=True) as connection:
            return int((await connection.execute(text("SELECT count(*) FROM outbox"))).scalar_one())


@contextlib.asynccontextmanager
async def shop(folder: Path, queue: MoodyQueue | None = None) -> AsyncIterator[Shop]:
    url = f"sqlite:///{folder / 'orders.db'}"
    async with running(Database(url=url)) as db, running(queue or MoodyQueue()) as mq:
        api = OrdersAPI(db=db, queue=mq, port=0)
        async with running(api), httpx.AsyncClient(base_url=api.url) as client:
            yield Shop(db, mq, client)


async def published(queue: MoodyQueue, number: int) -> list[object]:
    """
    The first messages that a consumer gets.
    """
    bodies: list[object] = []
    async with queue.subscribe(TOPIC, group="test", prefetch=number) as deliveries:
        async for delivery in deliveries:
            bodies.append(json.loads(delivery.body))
            await delivery.ack()
            if len(bodies) == number:
                break
    return bodies


def test_an_order_is_stored_and_published(tmp_path: Path) -> None:
    """
    A posted order is answered with 201, can be read back, and is published with all that pricing needs.
    """

    async def main() -> None:
        async with shop(tmp_path) as it:
            answer = await it.client.post("/orders", json={"item": "tea", "quantity": 3})
            assert (answer.status_code, answer.json()) == (201, {"id": 1, "status": "received"})
            order = {"id": 1, "item": "tea", "quantity": 3, "status": "received", "total": None}
            assert (await it.client.get(answer.headers["location"])).json() == order
            assert (await it.client.get("/orders")).json() == [order]
            assert await published(it.queue, 1) == [{"id": 1, "item": "tea", "quantity": 3}]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, None),
        (b"tea", 400, None),
        (b"[" * 50_000, 400, None),
        (b"9" * 5000, 400, None),
        (b"x" * 70_000, 413, None),
        (b"[]", 422, ""),
        (b"{}", 422, "item"),
        (b'{"item": "tea"}', 422, "quantity"),
        (b'{"item": "tea", "quantity": 0}', 422, "quantity"),
        (b'{"item": "tea", "quantity": true}', 422, "quantity"),
        (b'{"item": "tea", "quantity": 1.5}', 422, "quantity"),
        (b'{"item": "tea", "quantity": 1000001}', 422, "quantity"),
        (b'{"item": " ", "quantity": 1}', 422, "item"),
        (b'{"item": "a\\u0000", "quantity": 1}', 422, "item"),
        (b'{"item": "\\ud800", "quantity": 1}', 422, "item"),
        (b'{"item": "tea", "quantity": 1, "\\ud800": 1}', 422, ""),
    ],
)
def test_what_is_no_order_is_refused(tmp_path: Path, body: bytes, status: int, field: str | None) -> None:
    """
    Anything else is answered with an error that names the field, and nothing is stored.
    """

    async def main() -> None:
        async with shop(tmp_path) as it:
            answer = await it.client.post("/orders", content=body)
            assert answer.status_code == status
            assert answer.json()["error"]
            if field is not None:
                assert field in answer.json()["problems"]
            assert (await it.client.get("/orders")).json() == []
            assert await it.outbox() == 0

    asyncio.run(main())


def test_orders_can_be_listed_in_parts(tmp_path: Path) -> None:
    """
    The list can be narrowed by status, and read page by page.
    """

    async def main() -> None:
        async with shop(tmp_path) as it:
            for quantity in 1, 2, 3:
                await it.client.post("/orders", json={"item": "tea", "quantity": quantity})

            async def ids(query: str) -> list[int]:
                return [order["id"] for order in (await it.client.get(f"/orders?{query}")).json()]

            assert await ids("limit=2") == [1, 2]
            assert await ids("limit=2&after=2") == [3]
            assert await ids("after=9999999999") == []
            assert await ids("status=received") == [1, 2, 3]
            assert await ids("status=done") == []
            for query in "status=lost", "limit=x", "limit=-1", "after=" + "9" * 30:
                assert (await it.client.get(f"/orders?{query}")).status_code == 400

    asyncio.run(main())


@pytest.mark.parametrize("path", ["/orders/1", "/orders/tea", "/orders/99999999999999999999", "/elsewhere"])
def test_what_is_not_there_is_answered_with_404(tmp_path: Path, path: str) -> None:
    """
    An order that is not there, whatever its id looks like, is a 404 in JSON.
    """

    async def main() -> None:
        async with shop(tmp_path) as it:
            answer = await it.client.get(path)
            assert answer.status_code == 404
            assert answer.json()["error"]

    asyncio.run(main())


def test_an_order_is_taken_while_the_queue_refuses(tmp_path: Path) -> None:
    """
    A queue that is away costs no order: it is answered with 201 and published when the queue is back.
    """

    async def main() -> None:
        async with shop(tmp_path) as it:
            it.queue.refuses = True
            assert (await it.client.post("/orders", json={"item": "tea", "quantity": 1})).status_code == 201
            await it.queue.refused.wait()
            assert await it.outbox() == 1
            it.queue.refuses = False
            assert await published(it.queue, 1) == [{"id": 1, "item": "tea", "quantity": 1}]

    asyncio.run(main())


def test_a_lost_confirmation_publishes_again(tmp_path: Path) -> None:
    """
    Without the queue's confirmation the message stays and is published once more: twice rather than never.
    """

    async def main() -> None:
        async with shop(tmp_path) as it:
            it.queue.loses_confirmations = True
            await it.client.post("/orders", json={"item": "tea", "quantity": 1})
            await it.queue.refused.wait()
            it.queue.loses_confirmations = False
            assert await published(it.queue, 2) == [{"id": 1, "item": "tea", "quantity": 1}] * 2

    asyncio.run(main())


def test_what_an_earlier_life_left_is_published_at_the_start(tmp_path: Path) -> None:
    """
    Messages that a life could not publish any more are published by the next one, with no new order.
    """

    async def main() -> None:
        moody = MoodyQueue(refuses=True)
        async with shop(tmp_path, moody) as it:
            await it.client.post("/orders", json={"item": "tea", "quantity": 1})
            await moody.refused.wait()
        async with shop(tmp_path) as it:
            assert await published(it.queue, 1) == [{"id": 1, "item": "tea", "quantity": 1}]

    asyncio.run(main())


def test_health_names_what_is_not_well(tmp_path: Path) -> None:
    """
    Health is 200 with every part well, and 503 naming the part that is not.
    """

    async def main() -> None:
        async with shop(tmp_path) as it:
            answer = await it.client.get("/healthz")
            assert (answer.status_code, answer.json()) == (200, {"status": "ok", "db": "ok", "mq": "ok"})
            it.queue.refuses = True
            answer = await it.client.get("/healthz")
            assert answer.status_code == 503
            assert answer.json() == {"status": "failing", "db": "ok", "mq": "failing"}

    asyncio.run(main())
