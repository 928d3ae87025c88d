"""
Tests that SQLite keeps the rules of every database, and that the rules notice who does not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from conductor_db import Database, testing
from conductor_db.testing import RULES, Rule


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_sqlite_keeps_the_rule(rule: Rule, tmp_path: Path) -> None:
    """
    The embedded database keeps every rule.
    """
    asyncio.run(rule(lambda: Database(url=f"sqlite:///{tmp_path / 'a.db'}")))


class CommitsAlways(Database):
    """
    A faulty one: commits whatever happens, and lets readers write.
    """

    @contextlib.asynccontextmanager
    async def begin(self, *, read_only: bool = False) -> AsyncIterator[AsyncConnection]:
        """
        A transaction that is committed, come what may.
        """
        connection = await self.engine.connect()
        try:
            yield connection
        finally:
            await connection.commit()
            await connection.close()


class BeginsLate(Database):
    """
    A faulty one: each statement is a transaction of its own.
    """

    @contextlib.asynccontextmanager
    async def begin(self, *, read_only: bool = False) -> AsyncIterator[AsyncConnection]:
        """
        No transaction at all.
        """
        async with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            yield connection

    def session(self, *, read_only: bool = False) -> AsyncSession:
        """
        A session without transactions.
        """
        return AsyncSession(self.engine.execution_options(isolation_level="AUTOCOMMIT"))


class ReadsWithTheWriter(Database):
    """
    A faulty one: who reads waits for who writes.
    """

    def begin(self, *, read_only: bool = False) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        """
        A transaction of the one connection that writes.
        """
        return self.engine.begin()


class Sick(Database):
    """
    A faulty one: is never well.
    """

    async def health(self) -> None:
        """
        Raise.
        """
        raise OSError("sick")


class KeptInMemory(Database):
    """
    A faulty one: what is committed is gone at shutdown, and nobody else sees it.
    """

    async def setup(self) -> None:
        """
        Connect to a database in memory.
        """
        self.url = "sqlite://"
        await super().setup()


@pytest.mark.parametrize(
    ("faulty", "rule"),
    [
        (KeptInMemory, testing.committed_is_kept),
        (CommitsAlways, testing.failed_is_undone),
        (BeginsLate, testing.no_update_is_lost),
        (BeginsLate, testing.no_update_is_lost_without_locks),
        (BeginsLate, testing.what_was_read_is_still_true),
        (BeginsLate, testing.tables_can_be_made_by_several),
        (CommitsAlways, testing.cancelled_is_undone),
        (CommitsAlways, testing.read_only_cannot_write),
        (BeginsLate, testing.read_only_cannot_write),
        (BeginsLate, testing.reading_is_from_one_moment),
        (ReadsWithTheWriter, testing.reading_is_from_one_moment),
        (BeginsLate, testing.sessions_share_the_rules),
        (Sick, testing.healthy_while_set_up),
    ],
)
def test_the_rule_notices_a_faulty_database(faulty: type[Database], rule: Rule, tmp_path: Path) -> None:
    """
    A database that breaks the rule fails it.
    """
    with pytest.raises((AssertionError, OperationalError, OSError, PoolTimeoutError, ExceptionGroup)):
        asyncio.run(rule(lambda: faulty(url=f"sqlite:///{tmp_path / 'a.db'}", pool_timeout=1.0)))
