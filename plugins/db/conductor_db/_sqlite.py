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
import random
import sqlite3
import stat
import time
import uuid
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiosqlite
import attrs
from sqlalchemy import Connection, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util import await_only

HEADER = b"SQLite format 3\x00"
PATIENCE_INSIDE = 0.05  # seconds that SQLite itself waits for a lock, in the connection's thread
READER_PATIENCE = 2.0  # the same for readers, which wait only for the recovery after a crash
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


class TidyConnection(sqlite3.Connection):
    """
    A connection that is closed when it says so.

    SQLite keeps one alive, with its locks, as long as a statement of it is unfinished; and the traceback of a
    cancelled task holds on to its cursor until the garbage is collected.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cursors: weakref.WeakSet[sqlite3.Cursor] = weakref.WeakSet()

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """
        A cursor, which is closed with the connection at the latest.
        """
        cursor = super().cursor(*args, **kwargs)
        self._cursors.add(cursor)
        return cursor

    def close(self) -> None:
        """
        Finish every statement and close.
        """
        for cursor in list(self._cursors):
            cursor.close()
        super().close()


class ThreadedConnection(aiosqlite.Connection):
    """
    A connection that can be closed any number of times, and by several tasks at once.

    SQLAlchemy closes one whose task was cancelled twice in two ways at a time; of aiosqlite's own, one of the two
    would then wait for ever for a thread that has ended.
    """

    _stopped: asyncio.Future[Any] | None = None

    def stop(self) -> asyncio.Future[Any] | None:
        """
        Have the thread close the connection and end, once; the future is done when it has.
        """
        if self._stopped is None:
            self._stopped = super().stop()
        return self._stopped

    async def close(self) -> None:
        """
        Close the connection after the statement that it is at.
        """
        stopped = self.stop()
        if stopped is not None:
            await asyncio.shield(stopped)

    @property
    def is_alive(self) -> bool:
        """
        Whether its thread has not ended yet.
        """
        return self._thread.is_alive()


@attrs.define(kw_only=True)
class Connector:
    """
    Makes connections to one database and knows each of them until it is closed.

    Attributes:
        database: what :func:`sqlite3.connect` takes: a path or a ``file:`` URI.
        arguments: keyword arguments for :func:`sqlite3.connect`.
        busy_timeout: seconds to go on while another process holds the database.
        read_only: whether writing is refused.
    """

    database: str
    arguments: dict[str, Any]
    busy_timeout: float
    read_only: bool = False
    _opened: set[asyncio.Task[ThreadedConnection]] = attrs.field(factory=set, init=False)

    async def connect(self) -> ThreadedConnection:
        """
        A new connection, set up; one that nobody is left to take is closed again.
        """
        for pause in pauses(self.busy_timeout):
            try:
                return await self._connect_once()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
            await asyncio.sleep(pause)
        return await self._connect_once()

    async def close_all(self) -> None:
        """
        Close what is still open, used or not, and wait for connections that are just being made.
        """
        while self._opened:
            task = self._opened.pop()
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is None:
                await task.result().close()

    async def _connect_once(self) -> ThreadedConnection:
        self._opened = {task for task in self._opened if not task.done() or _is_alive(task)}
        task = asyncio.create_task(self._started())
        self._opened.add(task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # The thread cannot be called off; what it opens in a moment has to be closed, and here is who knows it.
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is None:
                await task.result().close()
            raise

    async def _started(self) -> ThreadedConnection:
        connection = ThreadedConnection(self._open, iter_chunk_size=64)
        connection._thread.daemon = True  # as SQLAlchemy has it: a stuck statement must not hold the process
        try:
            await connection
        except Exception:
            await connection.close()  # its thread reports its end to the loop, which must not be closed before
            raise
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.database, factory=TidyConnection, **self.arguments)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: TidyConnection) -> None:
        connection.isolation_level = None  # the driver would begin transactions where it sees fit
        [mode] = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode not in ("wal", "memory"):
            raise sqlite3.OperationalError("the file system does not support write-ahead logging")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if self.read_only:
            connection.execute("PRAGMA query_only = ON")
            connection.execute(f"PRAGMA busy_timeout = {int(READER_PATIENCE * 1000)}")


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


async def _enter(
    stack: contextlib.AsyncExitStack, connector: Connector, *, url: URL, pooling: Pooling
) -> AsyncEngine:
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


def pauses(limit: float) -> Iterator[float]:
    """
    Seconds to wait between attempts, until the limit (seconds) has passed; the last attempt is the caller's.
    """
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        yield random.uniform(0.001, 0.010)


def is_busy(error: BaseException | None) -> bool:
    """
    Whether an error of SQLite says that somebody else holds the database at the moment.
    """
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


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


def _is_alive(task: asyncio.Task[ThreadedConnection]) -> bool:
    return not task.cancelled() and task.exception() is None and task.result().is_alive


def absolute(url: URL) -> URL:
    """
    The URL with the path of its file made absolute, so that messages name it and a change of folder moves nothing.
    """
    database = url.database
    if url.get_backend_name() != "sqlite" or not database or database == ":memory:" or database.startswith("file:"):
        return url
    return url.set(database=os.path.abspath(database))
