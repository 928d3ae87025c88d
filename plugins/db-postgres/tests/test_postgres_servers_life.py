"""
Tests of what servers go through: absent, restarted, full, read-only, closed to us.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from conductor.exceptions import SetupError
from conductor.testing import running
from conductor_db import DatabaseSetupError
from conductor_db_postgres import PostgresDatabase

from .postgres_servers import PASSWORD, Server, execute, fetch, run

CREATE = text("CREATE TABLE counter (id serial PRIMARY KEY, n integer)")
INSERT = text("INSERT INTO counter (n) VALUES (:n)")
PATIENCE = 20.0


async def refusal(db: PostgresDatabase) -> DatabaseSetupError:
    """
    The error that set-up fails with.
    """
    with pytest.raises(SetupError) as caught:
        async with running(db):
            pass
    [failure] = caught.value.exceptions
    assert isinstance(failure.__cause__, DatabaseSetupError)
    return failure.__cause__


async def eventually_well(db: PostgresDatabase) -> None:
    """
    Wait until the database says that it is well.
    """
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(Exception):
                await db.health()
                return
            await asyncio.sleep(0.02)


async def insert(db: PostgresDatabase, n: int) -> None:
    async with db.begin() as connection:
        await connection.execute(INSERT, {"n": n})


def test_a_server_that_comes_late_is_waited_for(
    make_server: Callable[[], Server], caplog: pytest.LogCaptureFixture
) -> None:
    """
    Set-up begins before the server does and succeeds when it is there; what it waits for is logged.
    """
    server = make_server()
    caplog.set_level("INFO", "conductor")

    async def main() -> None:
        db = PostgresDatabase(url=server.url)
        beginning = asyncio.create_task(asyncio.to_thread(server.begin))
        async with running(db):
            await db.health()
        await beginning

    run(main())
    assert "waiting up to 20 s for the server: [Errno 111] Connect call failed" in caplog.text
    assert "stamina" not in caplog.text


def test_a_server_that_does_not_come_is_named_without_the_password(make_server: Callable[[], Server]) -> None:
    """
    With nobody there, set-up fails after its patience with one error that says where, why and what to check.
    """
    server = make_server()

    async def main() -> None:
        url = f"postgresql://orders:{PASSWORD.replace('/', '%2F')}@127.0.0.1:{server.port}/orders"
        began = time.monotonic()
        error = await refusal(PostgresDatabase(url=url, wait_for_server=0.5))
        assert 0.5 <= time.monotonic() - began < 2
        assert str(error) == (
            f"cannot set up the database 'postgresql://orders:***@127.0.0.1:{server.port}/orders': "
            "it could not be used within 0.5 s: "
            f"[Errno 111] Connect call failed ('127.0.0.1', {server.port})\n"
            f"hint: check that the server runs and may be reached at '127.0.0.1:{server.port}', "
            "and that the setting 'url' is right"
        )

    run(main())


def test_what_waiting_cannot_help_fails_at_once(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """
    A wrong password, a database that does not exist and an unknown user are told by the first attempt.
    """
    caplog.set_level("INFO", "conductor")
    wrong = "postgresql://locked:gue%2Fss@127.0.0.1"
    run(execute(server.url, f"CREATE USER locked PASSWORD '{PASSWORD}'"))

    async def main() -> None:
        began = time.monotonic()
        error = await refusal(PostgresDatabase(url=f"{wrong}:{server.port}/postgres"))
        assert error.reason == 'password authentication failed for user "locked"'
        assert str(error.hint).startswith("check user and password")
        assert "gue" not in f"{error} {error!r} {error.__cause__!r} {error.__context__!r}"
        error = await refusal(PostgresDatabase(url=server.url_for("postgres", "nowhere")))
        assert error.reason == 'database "nowhere" does not exist'
        assert error.hint == "create it with 'createdb nowhere', or correct the setting 'url'"
        error = await refusal(PostgresDatabase(url=server.url_for("nobody")))
        assert error.reason == 'role "nobody" does not exist'
        assert time.monotonic() - began < 5

    run(main())
    assert "waiting" not in caplog.text


def test_the_right_password_is_taken(server: Server) -> None:
    """
    A password with characters that URLs quote is understood.
    """
    run(execute(server.url, f"CREATE USER locked PASSWORD '{PASSWORD}'"))

    async def main() -> None:
        url = server.url_for(f"locked:{PASSWORD.replace('/', '%2F')}")
        async with running(PostgresDatabase(url=url)) as db:
            await db.health()

    run(main())


def test_somebody_else_at_the_port_is_no_server() -> None:
    """
    Something that listens and is no PostgreSQL, or says nothing at all, ends set-up within its patience.
    """

    async def main() -> None:
        heard: list[asyncio.StreamWriter] = []
        silent = await asyncio.start_server(lambda reader, writer: heard.append(writer), "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        db = PostgresDatabase(url=f"postgresql://a@127.0.0.1:{port}/a", connect_timeout=0.2, wait_for_server=0.6)
        async with silent:
            began = time.monotonic()
            error = await refusal(db)
            assert time.monotonic() - began < 3
            assert "it could not be used within 0.6 s: it does not answer" in error.reason
            for writer in heard:
                writer.transport.abort()

    run(main())


@pytest.mark.parametrize("mode", ["immediate", "fast"])
def test_a_restart_under_load_loses_nothing_that_was_committed(server: Server, mode: str) -> None:
    """
    With the server crashed or restarted under load, what was committed is there, and work goes on by itself.
    """
    server.end()
    server.begin({"fsync": "on"})

    async def write(db: PostgresDatabase, worker: int, confirmed: set[int], over: asyncio.Event) -> None:
        n = worker * 1_000_000
        while not over.is_set():
            n += 1
            try:
                await insert(db, n)
            except Exception:
                await asyncio.sleep(0.01)
            else:
                confirmed.add(n)

    async def more(confirmed: set[int]) -> None:
        goal = len(confirmed) + 50
        async with asyncio.timeout(PATIENCE):
            while len(confirmed) < goal:
                await asyncio.sleep(0.01)

    async def main() -> None:
        async with running(PostgresDatabase(url=server.url)) as db:
            async with db.begin() as connection:
                await connection.execute(CREATE)
            confirmed: set[int] = set()
            over = asyncio.Event()
            workers = [asyncio.create_task(write(db, worker, confirmed, over)) for worker in range(8)]
            for _ in range(2):
                await more(confirmed)
                await asyncio.to_thread(server.end, mode=mode)
                with pytest.raises((OSError, asyncpg.PostgresError)):
                    await db.health()
                await asyncio.to_thread(server.begin)
            await more(confirmed)
            over.set()
            await asyncio.gather(*workers)
            await db.health()
        stored = [row["n"] for row in await fetch(server.url, "SELECT n FROM counter")]
        assert confirmed <= set(stored)
        assert len(stored) == len(set(stored))

    run(main())


def test_a_full_server_is_told_and_survived(server: Server) -> None:
    """
    With no connection left set-up says so after its patience, health says so at once, and both recover.
    """
    server.end()
    server.begin({"max_connections": "6", "superuser_reserved_connections": "1", "max_wal_senders": "0"})
    run(execute(server.url, "CREATE USER orders", "GRANT ALL ON SCHEMA public TO orders"))
    url = server.url_for("orders")

    async def fill() -> list[Any]:
        taken = []
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            while True:
                taken.append(await asyncpg.connect(url))
        return taken

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as db:
            async with db.begin() as connection:
                await connection.execute(CREATE)
            taken = await fill()
            with pytest.raises(Exception, match=r"too many clients|remaining connection slots"):
                await db.health()
            await insert(db, 1)  # by the connection that it has
            error = await refusal(PostgresDatabase(url=url, wait_for_server=0.3))
            assert "could not be used within 0.3 s" in error.reason
            assert str(error.hint).startswith("lower 'pool_size'")
            waiting = asyncio.create_task(set_up_once(url))
            for connection in taken:
                await connection.close()
            await waiting
            await eventually_well(db)

    async def set_up_once(url: str) -> None:
        async with running(PostgresDatabase(url=url)) as db:
            await db.health()

    run(main())


def test_a_database_that_is_read_only_is_refused_at_once(server: Server) -> None:
    """
    Where nothing can be written set-up fails, and says why.
    """
    run(execute(server.url, "CREATE DATABASE fixed", "ALTER DATABASE fixed SET default_transaction_read_only = on"))

    async def main() -> None:
        error = await refusal(PostgresDatabase(url=server.url_for("postgres", "fixed")))
        assert error.reason == "the server is set to read only ('default_transaction_read_only' is on)"
        assert error.hint == "the setting 'url' must lead to a server that can be written to"

    run(main())


def test_a_standby_is_waited_for_until_it_takes_over(server: Server) -> None:
    """
    A standby is refused after the patience of set-up, told by health, and used as soon as it is promoted.
    """
    server.end(mode="fast")
    (server.folder / "standby.signal").touch()
    server.begin()

    async def main() -> None:
        error = await refusal(PostgresDatabase(url=server.url, wait_for_server=0.2))
        assert error.reason == ("it could not be used within 0.2 s: the server is a standby, which can only be read")
        promoting = asyncio.create_task(execute(server.url, "SELECT pg_promote()"))
        async with running(PostgresDatabase(url=server.url)) as db:
            await db.health()
        await promoting

    run(main())


def test_health_tells_that_nothing_can_be_written_any_more(server: Server) -> None:
    """
    A server that turns read-only while it is used is not well, until it turns back.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=server.url)) as db:
            await db.health()
            await execute(server.url, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(Exception, match="set to read only"):
                    while True:
                        await db.health()
            statements = "SET default_transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only"
            own = await asyncpg.connect(server.url)
            for statement in statements.split("; "):
                await own.execute(statement)
            await own.execute("SELECT pg_reload_conf()")
            await own.close()
            await eventually_well(db)

    run(main())


def test_shutdown_does_not_wait_for_a_server_that_is_gone(server: Server) -> None:
    """
    With the server gone, and connections in use, shutdown ends soon and clean.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=server.url)) as db:
            held = await db.engine.connect()
            await held.execute(text("SELECT 1"))
            await db.health()
            await asyncio.to_thread(server.end)
            began = time.monotonic()
        assert time.monotonic() - began < 5
        await held.invalidate()
        await held.close()

    run(main())


def test_no_silent_return_to_the_embedded_database(make_server: Callable[[], Server], tmp_path: Any) -> None:
    """
    A server that is not there never leaves a file behind.
    """
    server = make_server()

    async def main() -> None:
        with contextlib.chdir(tmp_path):
            await refusal(PostgresDatabase(url=server.url, wait_for_server=0.2))

    run(main())
    assert list(tmp_path.iterdir()) == []
