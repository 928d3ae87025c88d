"""
Orders: as they come in, as they are stored, and as they are shown.
"""

from __future__ import annotations

import json
from typing import Any

import attrs
from sqlalchemy import Row, insert, select

from conductor_db import Database

from ._outbox import Outbox
from ._tables import orders

TOPIC = "orders.received"
LONGEST_ITEM = 200
LARGEST_QUANTITY = 1_000_000
LARGEST_ID = 2**31 - 1


@attrs.frozen
class Order:
    """
    What somebody wants.

    Attributes:
        item: what.
        quantity: how many of it.
    """

    item: str
    quantity: int


class InvalidOrderError(Exception):
    """
    An order that cannot be taken, with what is wrong for each field.
    """

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(problems)
        self.problems = problems


def parse_order(content: object) -> Order:
    """
    The order that a JSON value stands for.

    Raises:
        InvalidOrderError: it is none; all problems at once.
    """
    if not isinstance(content, dict):
        raise InvalidOrderError({"": "must be an object with 'item' and 'quantity'"})
    problems = {} if content.keys() <= {"item", "quantity"} else {"": "must have no other fields"}
    item = content.get("item")
    if not isinstance(item, str) or not item.strip() or not item.isprintable() or len(item) > LONGEST_ITEM:
        problems["item"] = f"must be a printable text of 1 to {LONGEST_ITEM} characters"
    quantity = content.get("quantity")
    if not isinstance(quantity, int) or isinstance(quantity, bool) or not 1 <= quantity <= LARGEST_QUANTITY:
        problems["quantity"] = f"must be a whole number from 1 to {LARGEST_QUANTITY}"
    if problems or not isinstance(item, str) or not isinstance(quantity, int):
        raise InvalidOrderError(problems)
    return Order(item, quantity)


@attrs.frozen
class OrderBook:
    """
    The stored orders.

    Attributes:
        db: where they are.
        outbox: where the news of each goes.
    """

    db: Database
    outbox: Outbox

    async def receive(self, order: Order) -> int:
        """
        The id of the order, which is stored when this returns and will be published.
        """
        async with self.db.begin() as connection:
            row = insert(orders).values(item=order.item, quantity=order.quantity, status="received")
            [order_id] = (await connection.execute(row.returning(orders.c.id))).one()
            message = {"id": order_id, "item": order.item, "quantity": order.quantity}
            await self.outbox.add(connection, TOPIC, json.dumps(message).encode())
        self.outbox.wake()
        return int(order_id)

    async def find(self, order_id: int) -> dict[str, Any] | None:
        """
        One order as it is shown, or None if there is none.
        """
        if order_id > LARGEST_ID:
            return None
        async with self.db.begin(read_only=True) as connection:
            row = (await connection.execute(select(orders).where(orders.c.id == order_id))).one_or_none()
        return None if row is None else shown(row)

    async def list(self, *, status: str | None, after: int, limit: int | None) -> list[dict[str, Any]]:
        """
        Orders as they are shown, oldest first.

        Args:
            status: only those with it.
            after: only those with a higher id.
            limit: at most so many.
        """
        query = select(orders).where(orders.c.id > min(after, LARGEST_ID)).order_by(orders.c.id).limit(limit)
        if status is not None:
            query = query.where(orders.c.status == status)
        async with self.db.begin(read_only=True) as connection:
            return [shown(row) for row in await connection.execute(query)]


def shown(row: Row[Any]) -> dict[str, Any]:
    """
    A row of the table as JSON has it.
    """
    return {
        "id": row.id,
        "item": row.item,
        "quantity": row.quantity,
        "status": row.status,
        "total": row.total,
    }
