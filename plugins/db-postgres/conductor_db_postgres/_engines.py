"""
Engines for PostgreSQL whose transactions promise what those of SQLite do.

Left to itself, PostgreSQL lets two transactions read the same row and then both write it: the first update is lost,
and nobody is told.  ``SELECT … FOR UPDATE`` prevents that, ``SERIALIZABLE`` tells one of the two to begin again; a
component that was written against SQLite does neither, as it need not.  Here:

1. Transactions that write take turns, as with ``BEGIN IMMEDIATE``: each begins by taking one advisory lock of the
   database, held until it has committed or is undone.  Tasks of one process queue for the one connection that
   writes, first come, first served; processes queue for the lock.
2. Transactions that only read run beside them, ``REPEATABLE READ READ ONLY``: from one snapshot, and never refused.
3. ``concurrent_writes`` leaves out the turns, for components that lock what they are going to write.
4. A connection that was closed by the server is noticed when it is taken from the pool: its end has been read by
   then, so looking costs nothing.  Only one that was idle for long is asked something, as a firewall may have
   dropped it without a word.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
from sqlalchemy import Connection, NullPool, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from ._connection import GRACE, Connector

TURN = 0x636F6E64_7475726E  # the key of the advisory lock: "condturn"
TAKE_TURN = f"SELECT pg_advisory_xact_lock({TURN})"
LONG_IDLE = 30.0  # seconds after which a connection is asked whether it is still there
SINCE = "conductor_idle_since"


@contextlib.asynccontextmanager
async def postgres_engines(
    url: URL, connector: Connector, *, pooling: dict[str, Any], concurrent_writes: bool
) -> AsyncIterator[tuple[AsyncEngine, AsyncEngine]]:
    """
    The engine that writes and the one that reads.

    Args:
        url: for messages; the connector connects.
        connector: makes the connections.
        pooling: arguments of the pool.
        concurrent_writes: whether transactions that write go on side by side.
    """
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(connector.close_all)
        if concurrent_writes:
            shared = await _enter(stack, url, connector, pooling)
            yield shared, shared.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            return
        reader = await _enter(stack, url, connector, {**pooling, "isolation_level": "REPEATABLE READ"})
        event.listen(reader.sync_engine, "connect", _only_read)  # once, and not each time it is taken from the pool
        writer = await _enter(stack, url, connector, {**pooling, "pool_size": 1, "max_overflow": 0})
        take_turns(writer)
        yield writer, reader


@contextlib.asynccontextmanager
async def unlimited_engine(url: URL, connector: Connector) -> AsyncIterator[AsyncEngine]:
    """
    An engine whose transactions take turns and last as long as they need.
    """
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(connector.close_all)
        engine = await _enter(stack, url, connector, {"poolclass": NullPool})
        take_turns(engine)
        yield engine


def take_turns(engine: AsyncEngine) -> None:
    """
    Have each transaction of an engine begin when those of all others, in any process, have ended.
    """

    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql(TAKE_TURN)

    event.listen(engine.sync_engine, "begin", begin)


async def _enter(
    stack: contextlib.AsyncExitStack, url: URL, connector: Connector, arguments: dict[str, Any]
) -> AsyncEngine:
    async def connect(*_: object, **__: object) -> Any:
        return await connector.connect()

    shown = URL.create(url.drivername, username=url.username, host=url.host, port=url.port, database=url.database)
    engine = create_async_engine(shown, async_creator=connect, **arguments)
    stack.push_async_callback(engine.dispose)

    def adopt(driver: Any, record: Any) -> None:
        connector.adopt(driver.driver_connection)

    event.listen(engine.sync_engine, "connect", adopt)
    event.listen(engine.sync_engine, "checkin", _note_time)
    event.listen(engine.sync_engine, "checkout", _check)
    return engine


def _only_read(driver: Any, record: Any) -> None:
    driver.readonly = True


def _note_time(driver: Any, record: Any) -> None:
    record.info[SINCE] = time.monotonic()


def _check(driver: Any, record: Any, proxy: Any) -> None:
    """
    Refuse a connection that has ended; the pool then makes another one.
    """
    connection = driver.driver_connection
    if connection.is_closed():
        raise DisconnectionError("the server has closed the connection")
    since = record.info.get(SINCE)
    if since is not None and time.monotonic() - since > LONG_IDLE:
        try:
            await_only(connection.execute("SELECT 1", timeout=GRACE))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise DisconnectionError("the connection does not answer any more") from error
