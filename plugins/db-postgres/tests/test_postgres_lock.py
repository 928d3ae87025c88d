"""
Tests of advisory locks.
"""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from conductor.testing import running
from conductor_db_postgres import LockLostError, PostgresDatabase

from .postgres_servers import fetch, run

HOLDERS = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = " + (
    "(SELECT oid FROM pg_database WHERE datname = current_database())"
)


async def cut_holders(url: str) -> None:
    """
    Have the server close the connections that hold a lock.
    """
    for row in await fetch(url, HOLDERS):
        await fetch(url, "SELECT pg_terminate_backend($1, 5000)", row["pid"])


def test_one_at_a_time_holds_a_lock(url: str) -> None:
    """
    Of many tasks of two components that want a lock one at a time has it; another key is another lock.
    """
    inside: list[int] = []

    async def work(db: PostgresDatabase) -> None:
        async with db.advisory_lock("reports"):
            inside.append(1)
            assert len(inside) == 1
            await asyncio.sleep(0.001)
            inside.pop()

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as one, running(PostgresDatabase(url=url)) as other:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(4):
                    tasks.create_task(work(one))
                    tasks.create_task(work(other))
            async with one.advisory_lock("reports"), other.advisory_lock("Reports", timeout=0):
                pass

    run(main())


def test_a_lock_that_is_taken_is_waited_for_until_the_limit(url: str) -> None:
    """
    Waiting ends with an error after the time given, and a lock is free as soon as its block has ended.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as one, running(PostgresDatabase(url=url)) as other:
            for _ in range(5):
                async with one.advisory_lock("reports"):
                    for timeout in (0, 0.05):
                        with pytest.raises(TimeoutError, match="somebody else holds the advisory lock 'reports'"):
                            async with other.advisory_lock("reports", timeout=timeout):
                                pass
                async with other.advisory_lock("reports", timeout=0):
                    pass

    run(main())


def test_a_lock_does_not_stand_in_the_way_of_transactions(url: str) -> None:
    """
    While a lock is held everybody goes on to write, and so does its holder.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as db, db.advisory_lock("reports"):
            async with db.begin() as connection:
                await connection.execute(text("CREATE TABLE proof (n integer)"))
            async with db.begin(read_only=True) as connection:
                assert (await connection.execute(text("SELECT count(*) FROM proof"))).scalar_one() == 0

    run(main())


def test_numbers_are_the_keys_that_other_programs_know(url: str) -> None:
    """
    A key that is a number is PostgreSQL's own.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as db, db.advisory_lock(-7):
            [row] = await fetch(url, "SELECT pg_try_advisory_lock(-7)")
            assert row[0] is False

    run(main())


def test_an_error_gives_the_lock_back(url: str) -> None:
    """
    A block that fails, or is cancelled, holds the lock no longer.
    """

    async def hold(db: PostgresDatabase, reached: asyncio.Event) -> None:
        async with db.advisory_lock("reports"):
            reached.set()
            await asyncio.Event().wait()

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as db:
            with pytest.raises(ZeroDivisionError):
                async with db.advisory_lock("reports"):
                    raise ZeroDivisionError
            reached = asyncio.Event()
            task = asyncio.create_task(hold(db, reached))
            await reached.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            async with db.advisory_lock("reports", timeout=5):
                pass

    run(main())


def test_whoever_loses_the_lock_is_stopped_where_it_is(url: str) -> None:
    """
    With its connection gone the lock is gone: the block is cut short, and its task can go on after that.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as db:
            with pytest.raises(LockLostError, match="'reports' was lost together with its connection"):
                async with db.advisory_lock("reports"):
                    await cut_holders(url)
                    await asyncio.Event().wait()
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            async with db.advisory_lock("reports", timeout=5):
                await asyncio.sleep(0)

    run(main())


def test_a_lost_lock_is_told_to_a_block_that_takes_no_notice(url: str) -> None:
    """
    A block that swallows being cancelled is told at its end.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as db:
            with pytest.raises(LockLostError):
                async with db.advisory_lock("reports"):
                    try:
                        await cut_holders(url)
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        pass
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0

    run(main())


def test_a_task_that_is_cancelled_while_it_waits_leaves_the_queue(url: str) -> None:
    """
    Waiting for a lock ends as soon as the task is cancelled, and nobody is held up by it.
    """

    async def wait(db: PostgresDatabase) -> None:
        async with db.advisory_lock("reports"):
            raise AssertionError("somebody else holds it")

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as one, running(PostgresDatabase(url=url)) as other:
            async with one.advisory_lock("reports"):
                waiting = asyncio.create_task(wait(other))
                done, _ = await asyncio.wait([waiting], timeout=0.1)
                assert not done
                waiting.cancel()
                done, _ = await asyncio.wait([waiting], timeout=5)
                assert waiting.cancelled()
            async with one.advisory_lock("reports", timeout=5):
                pass

    run(main())
