"""
Tests that PostgreSQL keeps the rules of every database, and that the rules notice who does not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from conductor_db import testing
from conductor_db.testing import RULES, SERIAL_RULES, Rule
from conductor_db_postgres import PostgresDatabase


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_postgres_keeps_the_rule(rule: Rule, url: str) -> None:
    """
    PostgreSQL keeps every rule that SQLite does.
    """
    asyncio.run(rule(lambda: PostgresDatabase(url=url)))


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in SERIAL_RULES], ids=lambda rule: rule.__name__)
def test_with_concurrent_writes_it_keeps_the_others(rule: Rule, url: str) -> None:
    """
    With concurrent writes it keeps every rule but those that need turns.
    """
    asyncio.run(rule(lambda: PostgresDatabase(url=url, concurrent_writes=True)))


class WritesConcurrently(PostgresDatabase):
    """
    A faulty one: transactions that write go on side by side, and nobody has asked for it.
    """

    async def setup(self) -> None:
        """
        Set up without turns.
        """
        self.concurrent_writes = True
        await super().setup()


async def set_isolation(connection: AsyncConnection, level: Any) -> AsyncConnection:
    """
    The connection with another isolation level for this time.
    """
    return await connection.execution_options(isolation_level=level)


class ReadsWhatIsThere(PostgresDatabase):
    """
    A faulty one: who only reads sees each statement's own moment.
    """

    @contextlib.asynccontextmanager
    async def begin(self, *, read_only: bool = False) -> AsyncIterator[AsyncConnection]:
        """
        A transaction without a snapshot.
        """
        async with (self._reading if read_only else self.engine).connect() as connection:
            await set_isolation(connection, "READ COMMITTED")
            async with connection.begin():
                yield connection


class ReadsInTurn(PostgresDatabase):
    """
    A faulty one: who reads waits for who writes.
    """

    def begin(self, *, read_only: bool = False) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        """
        A transaction that takes its turn.
        """
        return super().begin()


class RefusesInsteadOfWaiting(PostgresDatabase):
    """
    A faulty one: a transaction that comes in another's way is refused.
    """

    async def setup(self) -> None:
        """
        Set up without turns.
        """
        self.concurrent_writes = True
        await super().setup()

    @contextlib.asynccontextmanager
    async def begin(self, *, read_only: bool = False) -> AsyncIterator[AsyncConnection]:
        """
        A transaction that PostgreSQL may refuse.
        """
        async with (self._reading if read_only else self.engine).connect() as connection:
            await set_isolation(connection, "SERIALIZABLE")
            async with connection.begin():
                yield connection


class CommitsAlways(PostgresDatabase):
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


class CommitsEachStatement(PostgresDatabase):
    """
    A faulty one: there are no transactions.
    """

    def session(self, *, read_only: bool = False) -> AsyncSession:
        """
        A session without transactions.
        """
        return AsyncSession(self.engine.execution_options(isolation_level="AUTOCOMMIT"))


class ForgetsAtShutdown(PostgresDatabase):
    """
    A faulty one: whatever it has made is visible to itself only.
    """

    async def setup(self) -> None:
        """
        Have new tables made among those of the session.
        """
        self.url += "?search_path=pg_temp"
        await super().setup()


class Sick(PostgresDatabase):
    """
    A faulty one: is never well.
    """

    async def health(self) -> None:
        """
        Raise.
        """
        raise OSError("sick")


@pytest.mark.parametrize(
    ("faulty", "rule"),
    [
        (ForgetsAtShutdown, testing.committed_is_kept),
        (CommitsAlways, testing.failed_is_undone),
        (RefusesInsteadOfWaiting, testing.no_update_is_lost),
        (RefusesInsteadOfWaiting, testing.no_update_is_lost_without_locks),
        (WritesConcurrently, testing.no_update_is_lost_without_locks),
        (WritesConcurrently, testing.what_was_read_is_still_true),
        (WritesConcurrently, testing.tables_can_be_made_by_several),
        (CommitsAlways, testing.cancelled_is_undone),
        (CommitsAlways, testing.read_only_cannot_write),
        (ReadsWhatIsThere, testing.reading_is_from_one_moment),
        (ReadsInTurn, testing.reading_is_from_one_moment),
        (CommitsEachStatement, testing.sessions_share_the_rules),
        (Sick, testing.healthy_while_set_up),
    ],
)
def test_the_rule_notices_a_faulty_database(faulty: type[PostgresDatabase], rule: Rule, url: str) -> None:
    """
    A database that breaks the rule fails it.
    """
    with pytest.raises((AssertionError, DBAPIError, PoolTimeoutError, OSError, ExceptionGroup)):
        asyncio.run(rule(lambda: faulty(url=url, pool_timeout=1.0)))


def test_a_faulty_one_is_noticed_for_every_rule() -> None:
    """
    No rule is without a database that breaks it.
    """
    [mark] = test_the_rule_notices_a_faulty_database.pytestmark  # type: ignore[attr-defined]  # set by the decorator
    assert {rule for _, rule in mark.args[1]} == set(RULES)
