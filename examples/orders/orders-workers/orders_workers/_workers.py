"""
The component ``orders-workers``: takes orders from the queue, prices them and marks them as done.
"""

from __future__ import annotations

import json

import attrs
from sqlalchemy import BigInteger, Integer, Text, column, select, table, update

from conductor import Component, setting
from conductor_db import Database
from conductor_mq import Delivery, MessageQueue

from ._pricing import Pricing

TOPIC = "orders.received"
GROUP = "orders-workers"

# What the workers know of the table that the API creates.
ORDERS = table("orders", column("id", Integer), column("status", Text), column("total", BigInteger))


class OrdersWorkers(Component):
    """
    Prices each order once, however often the queue delivers it.

    The status in the database decides: it goes from ``received`` to ``done``, together with the total, in one
    statement, and the message is acknowledged after that.  Whatever is cut short comes back from the queue.

    .. versionadded:: 0.1
    """

    db: Database
    queue: MessageQueue
    pricing: Pricing
    concurrency: int = setting(default=4, validator=attrs.validators.ge(1), help="orders worked on at once")

    async def setup(self) -> None:
        """
        Give orders that were given up on, for instance while the database was away, another chance.
        """
        again = await self.queue.replay(TOPIC, group=GROUP)
        if again:
            self.logger.info("trying %d orders again that had failed too often", again)

    async def run(self) -> None:
        """
        Work until cancelled; what is being worked on then is finished first.
        """
        await self.queue.consume(TOPIC, self._handle, group=GROUP, concurrency=self.concurrency)

    async def _handle(self, delivery: Delivery) -> None:
        try:
            order_id, item, quantity = parse(delivery.body)
        except ValueError as error:
            self.logger.error("%r is no order", delivery)
            await delivery.reject(error=error)
            return
        status = await self._status(order_id)
        if status is None:
            raise LookupError(f"order {order_id} is not in the database")
        if status == "received":
            await self._finish(order_id, total=await self.pricing.price(item, quantity))

    async def _status(self, order_id: int) -> str | None:
        async with self.db.begin(read_only=True) as connection:
            found = await connection.execute(select(ORDERS.c.status).where(ORDERS.c.id == order_id))
            return found.scalar_one_or_none()

    async def _finish(self, order_id: int, *, total: int) -> None:
        async with self.db.begin() as connection:
            waiting = (ORDERS.c.id == order_id) & (ORDERS.c.status == "received")
            await connection.execute(update(ORDERS).where(waiting).values(status="done", total=total))


def parse(body: bytes) -> tuple[int, str, int]:
    """
    Id, item and quantity of the order that a message tells of.

    Raises:
        ValueError: it tells of none.
    """
    content = json.loads(body)
    match content:
        case {"id": int(order_id), "item": str(item), "quantity": int(quantity)}:
            return order_id, item, quantity
    raise ValueError("a message on 'orders.received' has 'id', 'item' and 'quantity'")
