"""
Connections to SQLite that are certain to be closed: when they are told to, and whatever was cancelled meanwhile.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
import weakref
from collections.abc import Iterator
from typing import Any

import aiosqlite
import attrs

PATIENCE_INSIDE = 0.05  # seconds that SQLite itself waits for a lock, in the connection's thread
READER_PATIENCE = 2.0  # the same for readers, which wait only for the recovery after a crash


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


def _is_alive(task: asyncio.Task[ThreadedConnection]) -> bool:
    return not task.cancelled() and task.exception() is None and task.result().is_alive


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
