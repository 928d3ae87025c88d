"""
Messages that are published if, and only if, the transaction that wrote them was committed.

A message is first a row, in the same transaction as what it tells of.  The relay publishes what it finds and deletes
it afterwards: a crash in between publishes it again, so each message arrives at least once, and its consumer must
bear to see it twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import attrs
from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from conductor_db import Database
from conductor_mq import MessageQueue

from ._tables import outbox

BATCH = 100
LOOK_ANYWAY = 5.0  # seconds after which the relay looks for what another process may have left behind
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


@attrs.define
class Outbox:
    """
    Messages on their way from the database to the queue.

    Attributes:
        db: where they wait.
        queue: where they go.
        logger: where it is told that they cannot go.
    """

    db: Database
    queue: MessageQueue
    logger: logging.Logger
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    async def add(self, connection: AsyncConnection, topic: str, body: bytes) -> None:
        """
        Have a message published once the connection's transaction is committed; call :meth:`wake` after that.
        """
        await connection.execute(insert(outbox).values(topic=topic, body=body))

    def wake(self) -> None:
        """
        Have the relay look for messages now.
        """
        self._wake.set()

    async def relay(self) -> None:
        """
        Publish what is there and what comes, for ever; go on after failures of database or queue.
        """
        pause = FIRST_PAUSE
        while True:
            self._wake.clear()
            try:
                sent = await self.flush()
            except Exception as error:
                self.logger.warning("cannot publish orders, next attempt in %g s: %s", pause, type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            pause = FIRST_PAUSE
            if sent < BATCH:
                await self._sleep()

    async def flush(self) -> int:
        """
        Publish up to a batch of messages, oldest first, and delete those that the queue has confirmed.

        Returns:
            How many there were.

        Raises:
            Exception: what kept some of them from being published; they stay.
        """
        rows = await self._waiting()
        if not rows:
            return 0
        published = [self.queue.publish(row.topic, row.body) for row in rows]
        results = await asyncio.gather(*published, return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        sent = [row.id for row, result in zip(rows, results, strict=True) if not isinstance(result, BaseException)]
        if sent:
            async with self.db.begin() as connection:
                await connection.execute(delete(outbox).where(outbox.c.id.in_(sent)))
        if failures:
            raise failures[0]
        return len(rows)

    async def _waiting(self) -> Sequence[Row[Any]]:
        async with self.db.begin(read_only=True) as connection:
            found = await connection.execute(select(outbox).order_by(outbox.c.id).limit(BATCH))
            return found.all()

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(LOOK_ANYWAY):
                await self._wake.wait()
        except TimeoutError:
            pass
