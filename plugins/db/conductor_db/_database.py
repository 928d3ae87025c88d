"""
The component ``db``: one database for the whole application.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import attrs
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from conductor import Component, setting

from ._sqlite import Pooling, absolute, sqlite_engines
from ._url import parse_url, redact, shown_url
from .exceptions import DatabaseSetupError

AT_LEAST_ONE = attrs.validators.ge(1)
NOT_NEGATIVE = attrs.validators.ge(0)


class Database(Component):
    """
    A database through SQLAlchemy's asynchronous engine; SQLite unless its URL says otherwise.

    With SQLite there is one connection that writes: :meth:`begin`, :meth:`session` and :attr:`engine` take turns
    on it, so what a transaction has read is still true when it writes.  A task must not begin a second one
    inside the first.  Reading with ``read_only=True`` goes beside it and waits for nobody.

    Attributes:
        engine: SQLAlchemy's engine, from set-up to shutdown.

    .. versionadded:: 0.1
    """

    url: str = setting(default="sqlite:///app.db", help="where the database is; may hold a password")
    echo: bool = setting(default=False, help="log every statement")
    pool_size: int = setting(default=5, validator=AT_LEAST_ONE, help="connections that are kept open")
    max_overflow: int = setting(default=5, validator=NOT_NEGATIVE, help="connections beyond them under load")
    pool_timeout: float = setting(default=30.0, validator=NOT_NEGATIVE, help="seconds to wait for a connection")
    busy_timeout: float = setting(
        default=30.0, validator=NOT_NEGATIVE, help="seconds to wait for other processes that write (SQLite)"
    )
    migrations: str | None = setting(default=None, help="Alembic migrations to run at set-up, as 'package:folder'")
    engine: AsyncEngine = attrs.field(init=False)
    _reader: AsyncEngine | None = None
    _file: tuple[Path, int] | None = None

    async def setup(self) -> None:
        """
        Connect once, to be sure, and bring the tables up to date if there are migrations.

        Raises:
            DatabaseSetupError: with URL and reason, both without the password.
        """
        url = self._locate()
        try:
            await self._set_up(url)
        except DatabaseSetupError:
            raise
        except Exception as error:
            failure = self._explain(error, url)
            cause = None if _repeats_a_secret(error, url) else error
        else:
            return
        # Outside of the handler, so that an error which repeats a password is not shown as the context of this one.
        raise failure from cause

    def session(self, *, read_only: bool = False) -> AsyncSession:
        """
        A session of the ORM, for ``async with``; what it loaded stays usable after a commit.

        Args:
            read_only: reads from a snapshot and may not write.
        """
        engine = self._reading if read_only else self.engine
        return async_sessionmaker(engine, expire_on_commit=False)()

    def begin(self, *, read_only: bool = False) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        """
        A connection within a transaction, for ``async with``: committed at its end, undone by an exception.

        Args:
            read_only: reads from a snapshot and may not write.
        """
        return (self._reading if read_only else self.engine).begin()

    async def health(self) -> None:
        """
        Ask the database something that it must read from its tables to answer.

        Raises:
            Exception: it does not answer, or its file has been replaced.
        """
        async with self.begin(read_only=True) as connection:
            sqlite = connection.dialect.name == "sqlite"
            await connection.execute(text("SELECT count(*) FROM sqlite_master" if sqlite else "SELECT 1"))
        if self._file and _identity(self._file[0]) != self._file[1]:
            raise OSError(f"the database file '{self._file[0]}' was moved, deleted or replaced")

    @property
    def _reading(self) -> AsyncEngine:
        return self._reader or self.engine

    def _locate(self) -> URL:
        """
        The setting ``url``, read.

        Raises:
            DatabaseSetupError: it is none that this component understands.
        """
        return absolute(parse_url(self.url))

    async def _set_up(self, url: URL) -> None:
        self.engine, self._reader = await self._make_engines(url)
        async with self._first_transaction() as connection:
            await connection.execute(text("SELECT 1"))
            if self.migrations:
                await self._migrate(connection, self.migrations, url=url)
        on_disk = url.get_backend_name() == "sqlite" and url.database and os.path.isfile(url.database)
        self._file = (Path(url.database), _identity(Path(url.database))) if on_disk and url.database else None

    async def _make_engines(self, url: URL) -> tuple[AsyncEngine, AsyncEngine]:
        """
        The engine to write with and the one to read with, both undone at this component's own turn.
        """
        pooling = Pooling(
            size=self.pool_size,
            overflow=self.max_overflow,
            timeout=self.pool_timeout,
            busy_timeout=self.busy_timeout,
            echo=self.echo,
        )
        if url.get_backend_name() == "sqlite":
            return await self.enter(sqlite_engines(url, pooling))
        engine = create_async_engine(
            url,
            pool_size=pooling.size,
            max_overflow=pooling.overflow,
            pool_timeout=pooling.timeout,
            pool_pre_ping=True,
            echo=pooling.echo,
        )
        self.defer(engine.dispose)
        return engine, engine.execution_options(postgresql_readonly=True)

    def _explain(self, error: Exception, url: URL) -> DatabaseSetupError:
        """
        What to tell of an error that set-up failed with, without the secrets of the URL.
        """
        original = getattr(error, "orig", None) or error
        reason = redact(str(original), url) or type(original).__name__
        hint = None
        if isinstance(error, ModuleNotFoundError):
            hint = f"install the driver '{url.get_driver_name()}', or a distribution that overrides 'db' for it"
        return DatabaseSetupError(url=shown_url(url), reason=reason, hint=hint)

    def _first_transaction(self) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        """
        The transaction in which the tables are brought up to date.
        """
        return self.engine.begin()

    async def _migrate(self, connection: AsyncConnection, location: str, *, url: URL) -> None:
        try:
            from ._migrations import upgrade  # only now: Alembic is an extra
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "alembic":
                raise
            raise DatabaseSetupError(
                url=shown_url(url),
                reason=f"the setting 'migrations' is '{location}', and Alembic is not installed",
                hint="pip install 'conductor-db[alembic]'",
            ) from error
        await connection.run_sync(upgrade, location)


def _identity(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return -1


def _repeats_a_secret(error: Exception, url: URL) -> bool:
    """
    Whether an error, or one behind it, shows what is secret in the URL.
    """
    chain: BaseException | None = error
    while chain is not None:
        if redact(str(chain), url) != str(chain):
            return True
        chain = chain.__cause__ or chain.__context__
    return False
