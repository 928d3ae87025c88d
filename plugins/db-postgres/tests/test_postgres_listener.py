"""
Tests of notifications.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from conductor.testing import running
from conductor_db_postgres import PostgresDatabase, _listener

from .postgres_servers import Server, fetch, run

LISTENERS = "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND query ILIKE 'LISTEN%'"
PATIENCE = 20.0


async def listeners(url: str) -> list[int]:
    """
    The processes of the server that listen for the test.
    """
    return [row["pid"] for row in await fetch(url, LISTENERS, make_url(url).database)]


async def take(payloads: AsyncIterator[str | None]) -> str | None:
    """
    The next payload, which must come.
    """
    async with asyncio.timeout(PATIENCE):
        return await anext(payloads)


def test_payloads_arrive_in_order_and_on_their_channel(url: str) -> None:
    """
    Whoever listens gets every payload of the channel from then on, in order; its name may be any text.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as db:
            await db.notify('Orders "x"\'', "too early")
            async with db.listen('Orders "x"\'') as payloads, db.listen("orders") as others:
                for number in range(20):
                    await db.notify('Orders "x"\'', f"{number}'\n")
                await db.notify("orders")
                assert [await take(payloads) for _ in range(20)] == [f"{number}'\n" for number in range(20)]
                assert await take(others) == ""

    run(main())


def test_what_a_transaction_sends_is_sent_when_it_is_committed(url: str) -> None:
    """
    Within a transaction a payload goes out with the commit, and not at all if it is undone.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as db, db.listen("orders") as payloads:
            with pytest.raises(ZeroDivisionError):
                async with db.begin() as connection:
                    await db.notify("orders", "undone", connection=connection)
                    raise ZeroDivisionError
            async with db.begin() as connection:
                await db.notify("orders", "committed", connection=connection)
                await db.notify("orders", "at once")
            assert [await take(payloads), await take(payloads)] == ["at once", "committed"]

    run(main())


def test_sending_leaves_a_connection_that_only_reads(url: str) -> None:
    """
    The connection that has sent something at once reads from one snapshot after that, and may not write.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url, pool_size=1, max_overflow=0)) as db:
            for _ in range(2):
                await db.notify("orders")
                async with db.begin(read_only=True) as connection:
                    for name, value in (("transaction_isolation", "repeatable read"), ("transaction_read_only", "on")):
                        assert (await connection.execute(text(f"SHOW {name}"))).scalar_one() == value

    run(main())


def test_listening_comes_back_and_says_that_something_may_be_missing(url: str) -> None:
    """
    A lost connection is made again; None comes first, and everything sent after that arrives.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as db, db.listen("orders") as payloads:
            for number in range(3):
                await db.notify("orders", "before")
                assert await take(payloads) == "before"
                [pid] = await listeners(url)
                await fetch(url, "SELECT pg_terminate_backend($1, 5000)", pid)
                assert await take(payloads) is None
                await db.notify("orders", str(number))
                assert await take(payloads) == str(number)

    run(main())


def test_listening_survives_a_restart_of_the_server(server: Server) -> None:
    """
    With the server away for a while listening goes on when it is back.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=server.url)) as db, db.listen("orders") as payloads:
            await asyncio.to_thread(server.end)
            await asyncio.to_thread(server.begin)
            assert await take(payloads) is None
            await db.notify("orders", "after")
            assert await take(payloads) == "after"

    run(main())


def test_a_connection_is_closed_at_the_end_of_the_block(url: str) -> None:
    """
    Whoever leaves the block, by an error or a break too, leaves no connection.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as db:
            with pytest.raises(ZeroDivisionError):
                async with db.listen("orders"):
                    assert len(await listeners(url)) == 1
                    raise ZeroDivisionError
            task = asyncio.create_task(wait_for_one(db))
            async with asyncio.timeout(PATIENCE):
                while len(await listeners(url)) != 1:
                    await asyncio.sleep(0.01)
                task.cancel()
                await asyncio.wait([task])
                while await listeners(url):
                    await asyncio.sleep(0.01)

    async def wait_for_one(db: PostgresDatabase) -> None:
        async with db.listen("orders") as payloads:
            async for _ in payloads:
                break

    run(main())


def test_a_reader_that_is_too_slow_learns_that_it_has_missed_some(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Payloads that nobody reads do not pile up without end: they give way to None.
    """
    monkeypatch.setattr(_listener, "CAPACITY", 3)

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as db, db.listen("orders") as payloads, db.listen("end") as end:
            for number in range(4):
                await db.notify("orders", str(number))
            await db.notify("orders", "last")
            await db.notify("end")
            await take(end)
            async with asyncio.timeout(PATIENCE):
                while (payload := await take(payloads)) is not None:
                    assert payload in "0123"
            assert await take(payloads) == "last"

    run(main())


@pytest.mark.parametrize("channel", ["", "x" * 64, "ä" * 32])
def test_names_that_would_be_cut_are_refused(url: str, channel: str) -> None:
    """
    A channel's name that PostgreSQL would silently shorten is refused.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as db:
            with pytest.raises(ValueError, match="1 to 63 bytes"):
                async with db.listen(channel):
                    pass

    run(main())


def test_listening_fails_at_once_where_there_is_no_server(server: Server) -> None:
    """
    The first connection is not waited for.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=server.url)) as db:
            await asyncio.to_thread(server.end)
            with pytest.raises(OSError):
                async with db.listen("orders"):
                    pass

    run(main())
