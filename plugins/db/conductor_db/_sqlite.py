"""
Engines for SQLite whose transactions mean what they say.

Left to itself, a transaction in SQLite begins as a reader and turns into a writer at its first write.  Two that
have read the same row then stand in each other's way, and one is refused with "database is locked" whatever
the timeout.  Here:

1. One connection writes.  Every transaction on it begins with ``BEGIN IMMEDIATE``, so what it reads is still true
   when it writes.  Tasks queue for it in the pool, first come, first served, without touching the file.
2. Further connections only read (``query_only``), each from a snapshot of its own; with the write-ahead log neither
   side waits for the other.
3. Other processes are waited for in the event loop, in small random steps: a task that waits can be cancelled
   at once, and no one is starved by SQLite's own ever longer pauses.
4. Every connection that was opened is known here until it is closed.  Each has a thread, and one that is forgotten
   lives as long as the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
from sqlalchemy import Connection, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util import await_only

from ._connection import PATIENCE_INSIDE, Connector, is_busy, pauses

HEADER = b"SQLite format 3\x00"
IN_MEMORY = "file:conductor-{}?mode=memory&cache=shared"


@attrs.frozen(kw_only=True)
class Pooling:
    """
    How many connections there may be, and how long a task waits for one.

    Attributes:
        size: connections that are kept.
        overflow: connections beyond them, closed after use.
        timeout: seconds that a task waits for a free one.
        busy_timeout: seconds that a transaction waits for those of other processes.
        echo: whether every statement is logged.
    """

    size: int = 5
    overflow: int = 5
    timeout: float = 30.0
    busy_timeout: float = 30.0
    echo: bool = False


@contextlib.asynccontextmanager
async def sqlite_engines(url: URL, pooling: Pooling) -> AsyncIterator[tuple[AsyncEngine, AsyncEngine]]:
    """
    Two engines on one database: one to write and one to read with; for a database in memory both are the same.

    Raises:
        OSError: there is a file, and it is not a database.
    """
    async with contextlib.AsyncExitStack() as stack:
        in_memory = not url.database or url.database == ":memory:"
        database, arguments = _in_memory(stack) if in_memory else _on_disk(url)
        writer = Connector(database=database, arguments=arguments, busy_timeout=pooling.busy_timeout)
        engine = await _enter(stack, writer, url=url, pooling=attrs.evolve(pooling, size=1, overflow=0))
        if in_memory:
            yield engine, engine
            return
        reader = attrs.evolve(writer, read_only=True)
        yield engine, await _enter(stack, reader, url=url, pooling=pooling)


async def _enter(stack: contextlib.AsyncExitStack, connector: Connector, *, url: URL, pooling: Pooling) -> AsyncEngine:
    stack.push_async_callback(connector.close_all)
    engine = create_async_engine(
        url,
        async_creator=connector.connect,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=pooling.size,
        max_overflow=pooling.overflow,
        pool_timeout=pooling.timeout,
        echo=pooling.echo,
    )
    stack.push_async_callback(engine.dispose)

    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return
        if connector.read_only:
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_writing(connection, limit=connector.busy_timeout)

    event.listen(engine.sync_engine, "begin", begin)
    return engine


def _begin_writing(connection: Connection, *, limit: float) -> None:
    for pause in pauses(limit):
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            return
        except OperationalError as error:
            if not is_busy(error.orig):
                raise
        await_only(asyncio.sleep(pause))
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def check_file(path: Path) -> None:
    """
    Refuse what SQLite would take for an empty database, overwrite, or wait for.

    Raises:
        OSError: it is not a regular file, not a database, or its folder does not exist.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise FileNotFoundError(f"the folder '{path.parent}' does not exist") from None
        return
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is not a regular file")
    with path.open("rb") as file:
        head = file.read(len(HEADER))
    if head and head != HEADER:
        raise OSError("the file is not a database")


def _on_disk(url: URL) -> tuple[str, dict[str, Any]]:
    positional, arguments = url.get_dialect()().create_connect_args(url)
    database = str(positional[0])
    if not database.startswith("file:"):
        check_file(Path(database))
    return database, {"timeout": PATIENCE_INSIDE, "check_same_thread": False} | dict(arguments)


def _in_memory(stack: contextlib.AsyncExitStack) -> tuple[str, dict[str, Any]]:
    """
    A database in memory that outlives the connection to it, as one that is cancelled has to be given up.
    """
    name = IN_MEMORY.format(uuid.uuid4().hex)
    arguments: dict[str, Any] = {"uri": True, "timeout": PATIENCE_INSIDE, "check_same_thread": False}
    stack.enter_context(contextlib.closing(sqlite3.connect(name, **arguments)))
    return name, arguments


def absolute(url: URL) -> URL:
    """
    The URL with the path of its file made absolute, so that messages name it and a change of folder moves nothing.
    """
    database = url.database
    if url.get_backend_name() != "sqlite" or not database or database == ":memory:" or database.startswith("file:"):
        return url
    return url.set(database=os.path.abspath(database))
