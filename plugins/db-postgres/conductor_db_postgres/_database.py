"""
The component that takes the place of ``db``.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import asyncpg
import attrs
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from conductor import setting
from conductor_db import Database, DatabaseSetupError
from conductor_db._url import redact, shown_url

from ._address import check_url, dsn_of, url_of
from ._connection import Connector, ReadOnlyError, StandbyError, complain_if_read_only, may_pass, reach, summary
from ._engines import postgres_engines, unlimited_engine
from ._listener import listening
from ._lock import locked

NOT_NEGATIVE = attrs.validators.ge(0)
POSITIVE = attrs.validators.gt(0)


class PostgresDatabase(Database):
    """
    PostgreSQL in place of SQLite, with the same promises.

    Transactions that write (:meth:`begin`, :meth:`session`, :attr:`engine`) take turns, those of other processes on
    the same database included.  So what a transaction has read is still true when it writes, no update is lost and
    none is refused, with or without ``FOR UPDATE``.  Others that write, like ``psql``, are not held up.
    ``read_only=True`` reads beside them, everything from one snapshot.

    ``concurrent_writes`` trades that for PostgreSQL's own rules: transactions that write go on side by side, in
    ``READ COMMITTED``, and each must read what it is going to write with ``with_for_update()``; where it does not,
    updates are lost and nobody is told.

    .. versionadded:: 0.1
    """

    url: str = setting(
        default="postgresql://localhost/app",
        validator=check_url,
        help="where the database is, as psql takes it; may hold a password",
    )
    busy_timeout: float = setting(
        default=30.0, validator=POSITIVE, help="seconds to wait for others that write, or hold a lock"
    )
    concurrent_writes: bool = setting(
        default=False, help="let transactions write side by side; each must then lock what it reads to write"
    )
    statement_timeout: float = setting(
        default=60.0,
        validator=NOT_NEGATIVE,
        help="seconds that one statement may take, migrations excepted; 0: no limit",
    )
    connect_timeout: float = setting(default=5.0, validator=POSITIVE, help="seconds that connecting may take")
    wait_for_server: float = setting(
        default=20.0,
        validator=POSITIVE,
        help="seconds to wait at set-up for a server that is not up yet; less than the limit of set-up",
    )
    application_name: str = setting(default="conductor", help="what the server calls our connections")
    _connector: Connector | None = None  # for what is not done by statements that have a limit
    _unlimited: AsyncEngine | None = None

    async def health(self) -> None:
        """
        Ask the server whether it could take what is to be written.

        Raises:
            Exception: it does not answer, or can only be read.
        """
        query = "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')::bool"
        async with self.begin(read_only=True) as connection:
            is_standby, is_read_only = (await connection.execute(text(query))).one()
        complain_if_read_only(is_standby=is_standby, is_read_only=is_read_only)

    def listen(self, channel: str) -> contextlib.AbstractAsyncContextManager[AsyncIterator[str | None]]:
        """
        The payloads of a channel, for ``async with`` and then ``async for``, on a connection outside of the pool.

        From the beginning of the block on none is missed.  If the connection is lost, another one is made, again and
        again with growing pauses; the first thing after that is None, which says: some may have been missed, look for
        yourself.  None also stands for what a reader that is too slow has let pass.

        Args:
            channel: its name, upper and lower case being different.
        """
        return listening(self._connecting, channel, logger=self.logger)

    async def notify(self, channel: str, payload: str = "", *, connection: AsyncConnection | None = None) -> None:
        """
        Send a payload to whoever listens to a channel at this moment.

        Args:
            channel: its name.
            payload: less than 8000 bytes; for more, store it and send its key.
            connection: a transaction of :meth:`begin`, which sends it when, and only if, it is committed; by default
                it is sent at once.
        """
        statement, values = text("SELECT pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload}
        if connection is not None:
            await connection.execute(statement, values)
            return
        # Not by the connection that writes, which the caller may be holding.
        async with self._reading.connect() as own:
            await own.execution_options(isolation_level="AUTOCOMMIT")
            await own.execute(statement, values)

    def advisory_lock(
        self, key: int | str, *, timeout: float | None = None
    ) -> contextlib.AbstractAsyncContextManager[None]:
        """
        Be the only one with this key among all processes on the database, for ``async with``.

        The lock belongs to a connection outside of the pool and to no transaction: it may be held for long, and
        whatever is done meanwhile is committed as usual.  If that connection is lost, so is the lock: the block is
        cancelled where it is, and ``LockLostError`` raised.

        Args:
            key: a text, or a number that other programs know too.
            timeout: seconds to wait for it, after which ``TimeoutError`` is raised; None: as long as it takes.
        """
        return locked(self._connecting, key, timeout=timeout)

    @property
    def _connecting(self) -> Connector:
        assert self._connector is not None, "not set up"
        return self._connector

    def _locate(self) -> URL:
        return url_of(self.url)

    async def _make_engines(self, url: URL) -> tuple[AsyncEngine, AsyncEngine]:
        connector = Connector(
            dsn=dsn_of(self.url),
            connect_timeout=self.connect_timeout,
            statement_timeout=self.statement_timeout,
            lock_timeout=self.busy_timeout,
            settings={"application_name": self.application_name},
        )
        patient = attrs.evolve(connector, statement_timeout=0.0)
        self.defer(patient.close_all)
        await reach(patient, limit=self.wait_for_server, logger=self.logger)
        self._connector = patient
        self._unlimited = await self.enter(unlimited_engine(url, patient))
        pooling = {
            "pool_size": self.pool_size,
            "max_overflow": self.max_overflow,
            "pool_timeout": self.pool_timeout,
            "echo": self.echo,
        }
        return await self.enter(
            postgres_engines(url, connector, pooling=pooling, concurrent_writes=self.concurrent_writes)
        )

    def _first_transaction(self) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        assert self._unlimited is not None, "engines come first"
        return self._unlimited.begin()

    def _explain(self, error: Exception, url: URL) -> DatabaseSetupError:
        original = getattr(error, "orig", None) or error
        reason = redact(summary(original), url)
        if may_pass(error):
            reason = f"it could not be used within {self.wait_for_server:g} s: {reason}"
        return DatabaseSetupError(url=shown_url(url), reason=reason, hint=_hint(original, url))


def _hint(error: BaseException, url: URL) -> str | None:
    """
    What to check after an error.
    """
    where = f"{url.host or 'localhost'}:{url.port or 5432}"
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return "check user and password in the setting 'url', and 'pg_hba.conf' on the server"
        case asyncpg.InvalidCatalogNameError():
            return f"create it with 'createdb {url.database}', or correct the setting 'url'"
        case asyncpg.TooManyConnectionsError():
            return "lower 'pool_size' and 'max_overflow' here, or raise 'max_connections' on the server"
        case StandbyError() | ReadOnlyError():
            return "the setting 'url' must lead to a server that can be written to"
        case OSError() | asyncpg.PostgresConnectionError():
            return f"check that the server runs and may be reached at '{where}', and that the setting 'url' is right"
        case _:
            return None
