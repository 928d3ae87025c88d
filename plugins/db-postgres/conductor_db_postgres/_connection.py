"""
Connections to PostgreSQL: made patiently at first, and each of them known until it is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import asyncpg
import attrs
import stamina

T = TypeVar("T")

Connection: TypeAlias = "asyncpg.Connection[Any]"

GOODBYE = 2.0  # seconds that a server has to take note of the end
GRACE = 5.0  # seconds that an answer may be late before the network counts as dead
LONGEST_PAUSE = 2.0  # seconds between two attempts at most

# What a server that is up again needs to learn that a client has vanished with its host: a lock that nobody holds
# any more must not last for hours.
KEEPALIVE = {"tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"}


class StandbyError(Exception):
    """
    The server is a standby, which can only be read; it may be about to take over.
    """


class ReadOnlyError(Exception):
    """
    The server, the database or the role is set to read only.
    """


@attrs.define(eq=False, kw_only=True)
class Connector:
    """
    Makes connections to one server and knows each of them until it is closed.

    Attributes:
        dsn: the address, with its password.
        connect_timeout: seconds that one attempt may take.
        statement_timeout: seconds that one statement may take; 0: as long as the server lets it.
        lock_timeout: seconds to wait for a lock.
        settings: further parameters of each session; those that the address has come first.
    """

    dsn: str = attrs.field(repr=False)
    connect_timeout: float
    statement_timeout: float
    lock_timeout: float
    settings: dict[str, str]
    _opened: dict[Connection, asyncio.Task[Any] | None] = attrs.field(factory=dict, init=False, repr=False)
    _is_closed: bool = attrs.field(default=False, init=False)

    async def connect(self, *, timeout: float | None = None) -> Connection:
        """
        A new connection.

        Args:
            timeout: seconds that it may take, by default ``connect_timeout``.
        """
        if self._is_closed:
            raise ConnectionError("the database was shut down")
        self._sweep()
        connection = await asyncpg.connect(
            self.dsn,
            timeout=self.connect_timeout if timeout is None else timeout,
            command_timeout=self.statement_timeout + GRACE if self.statement_timeout else None,
            server_settings=self._session_settings(),
        )
        self._opened[connection] = asyncio.current_task()
        connection.add_termination_listener(self._forget)
        return connection

    def adopt(self, connection: Connection) -> None:
        """
        Note that somebody answers for a connection, and will close it.
        """
        if connection in self._opened:
            self._opened[connection] = None

    async def close_all(self) -> None:
        """
        Close what is still open, used or not, and make no more.
        """
        self._is_closed = True
        await asyncio.gather(*(close(connection) for connection in list(self._opened)))

    def _sweep(self) -> None:
        """
        Cut what a task left that was cancelled between connecting and handing the connection over.
        """
        for connection, task in list(self._opened.items()):
            if task is not None and task.done():
                connection.terminate()

    def _forget(self, connection: Any) -> None:
        self._opened.pop(connection, None)

    def _session_settings(self) -> dict[str, str]:
        settings = {**KEEPALIVE, "lock_timeout": milliseconds(self.lock_timeout), **self.settings}
        if self.statement_timeout:
            settings["statement_timeout"] = milliseconds(self.statement_timeout)
        return {name: value for name, value in settings.items() if f"{name}=" not in self.dsn.partition("?")[2]}


def milliseconds(seconds: float) -> str:
    """
    A limit as PostgreSQL takes it, where 0 means none.
    """
    return str(max(1, round(seconds * 1000)))


async def close(connection: Connection) -> None:
    """
    Close a connection whatever state it is in, within a few seconds.
    """
    try:
        await connection.close(timeout=GOODBYE)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
    except asyncio.CancelledError:
        connection.terminate()
        raise


async def check_writable(connection: Connection) -> None:
    """
    Make sure that the server takes what is to be written.

    Raises:
        StandbyError: it is a standby.
        ReadOnlyError: it is set to read only.
    """
    query = "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')::bool"
    row = await connection.fetchrow(query)
    assert row is not None
    complain_if_read_only(is_standby=row[0], is_read_only=row[1])


def complain_if_read_only(*, is_standby: bool, is_read_only: bool) -> None:
    """
    Raise what the two answers of the server amount to.

    Raises:
        StandbyError: it is a standby.
        ReadOnlyError: it is set to read only.
    """
    if is_standby:
        raise StandbyError("the server is a standby, which can only be read")
    if is_read_only:
        raise ReadOnlyError("the server is set to read only ('default_transaction_read_only' is on)")


async def reach(connector: Connector, *, limit: float, logger: logging.Logger) -> None:
    """
    Return as soon as the server can be written to; while it is away, ask again after growing pauses.

    Args:
        connector: makes the connections.
        limit: seconds after which the last error is raised.
        logger: is told what the server is waited for.

    Raises:
        Exception: what kept it from being used, at once if waiting cannot help.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit
    told = ""

    async def ask() -> None:
        left = max(deadline - loop.time(), limit / 10)
        connection = await connector.connect(timeout=min(connector.connect_timeout, left))
        try:
            await check_writable(connection)
        finally:
            await close(connection)

    def tell(error: Exception) -> None:
        nonlocal told
        if may_pass(error) and told != (told := summary(error)):
            logger.warning("waiting up to %g s for the server: %s", limit, told)

    try:
        await insist(ask, limit=limit, tell=tell)
    except Exception as error:
        raise error.with_traceback(None) from None  # it went through all that makes attempts, which tells nothing


async def insist(action: Callable[[], Awaitable[T]], *, limit: float | None, tell: Callable[[Exception], None]) -> T:
    """
    What an action returns, tried again and again with growing pauses.

    Args:
        action: what may fail.
        limit: seconds until its last error is raised, at once if waiting cannot help; None: go on whatever it is.
        tell: is told of each error.
    """
    longest = LONGEST_PAUSE if limit is None else min(LONGEST_PAUSE, limit / 10)
    attempts = stamina.retry_context(
        on=Exception if limit is None else may_pass,
        attempts=None,
        timeout=limit,
        wait_initial=min(0.1, longest),
        wait_max=longest * random.uniform(0.7, 1.0),  # of its own, as the longest pause gets no jitter
        wait_jitter=longest / 10,
    )
    quiet = _quiet.set(True)
    try:
        async for attempt in attempts:
            with attempt:
                try:
                    return await action()
                except Exception as error:
                    tell(error)
                    raise
    finally:
        _quiet.reset(quiet)
    raise AssertionError("the last attempt raises")


def _is_not_ours(record: logging.LogRecord) -> bool:
    """
    Whether stamina speaks of the attempts of others: ours are told with a reason.
    """
    return not _quiet.get()


_quiet = contextvars.ContextVar("_quiet", default=False)
logging.getLogger("stamina").addFilter(_is_not_ours)


def may_pass(error: Exception) -> bool:
    """
    Whether an error that kept us from connecting may be gone the next time.
    """
    if isinstance(error, PermissionError | ssl.SSLError) or type(error) is ConnectionError:
        return False  # the last one: the server does not do TLS
    passing = (
        OSError,
        StandbyError,
        asyncpg.CannotConnectNowError,
        asyncpg.AdminShutdownError,
        asyncpg.CrashShutdownError,
        asyncpg.TooManyConnectionsError,
        asyncpg.PostgresConnectionError,
        asyncpg.exceptions.TargetServerAttributeNotMatched,
    )
    return isinstance(error, passing)


def summary(error: BaseException) -> str:
    """
    What an error says, or what it is called.
    """
    if isinstance(error, TimeoutError) and not str(error):
        return "it does not answer"
    return str(error) or type(error).__name__


@contextlib.asynccontextmanager
async def held(connector: Connector, *, pulse: float, on_lost: Callable[[], None]) -> AsyncIterator[Connection]:
    """
    A connection outside of the pool, which is closed at the end.

    Args:
        connector: makes it.
        pulse: seconds between two questions to the server, by which a dead network is noticed.
        on_lost: called once if the connection is lost before the end.
    """
    connection = await connector.connect()
    connector.adopt(connection)

    def tell(_: object) -> None:
        on_lost()

    connection.add_termination_listener(tell)
    beating = asyncio.create_task(_beat(connection, pulse), name="pulse of a connection")
    try:
        yield connection
    finally:
        beating.cancel()
        connection.remove_termination_listener(tell)
        try:
            await asyncio.wait([beating])
        finally:
            await close(connection)


async def _beat(connection: Connection, pulse: float) -> None:
    while True:
        await asyncio.sleep(pulse)
        try:
            await connection.execute("SELECT 1", timeout=pulse)
        except asyncpg.InterfaceError:
            if connection.is_closed():
                return  # else it is in use by its owner, who will notice
        except (OSError, asyncpg.PostgresError):
            connection.terminate()
            return
