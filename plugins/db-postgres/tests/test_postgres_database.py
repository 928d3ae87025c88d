"""
Tests of PostgreSQL as the component ``db``.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import attrs
import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from conductor.exceptions import SetupError
from conductor.testing import running
from conductor_db import DatabaseSetupError
from conductor_db_postgres import PostgresDatabase, _engines

from .postgres_servers import PASSWORD, fetch, run

CREATE = text("CREATE TABLE counter (n integer)")
INSERT = text("INSERT INTO counter VALUES (0)")
READ = text("SELECT n FROM counter")
WRITE = text("UPDATE counter SET n = :n")
CONNECTIONS = "SELECT pid, state, application_name FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
CUT = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
PATIENCE = 20.0


def name_of(url: str) -> str:
    """
    The database that a URL leads to.
    """
    return str(make_url(url).database)


async def connections(url: str) -> list[Any]:
    """
    The connections to a database, but for the one that asks.
    """
    return await fetch(url, CONNECTIONS, name_of(url))


async def cut(url: str) -> None:
    """
    Have the server close all connections to a database.
    """
    await fetch(url, CUT, name_of(url))


async def none_is_left(url: str) -> None:
    """
    Wait until the server has taken note that all connections have ended.
    """
    async with asyncio.timeout(PATIENCE):
        while await connections(url):
            await asyncio.sleep(0.01)


async def create_counter(db: PostgresDatabase) -> None:
    async with db.begin() as connection:
        await connection.execute(CREATE)
        await connection.execute(INSERT)


async def count(db: PostgresDatabase) -> int:
    async with db.begin(read_only=True) as connection:
        return int((await connection.execute(READ)).scalar_one())


async def add_one(db: PostgresDatabase) -> None:
    async with db.begin() as connection:
        n = (await connection.execute(READ)).scalar_one()
        await asyncio.sleep(0)
        await connection.execute(WRITE, {"n": n + 1})


@attrs.define(eq=False)
class Wire:
    """
    What lies between client and server, and can be cut or go dead.
    """

    url: str
    _target: Any
    _writers: set[asyncio.StreamWriter] = attrs.field(factory=set)
    _alive: asyncio.Event = attrs.field(factory=asyncio.Event)

    def cut(self) -> None:
        """
        Cut all connections.
        """
        for writer in self._writers:
            writer.transport.abort()

    def die(self) -> None:
        """
        Let nothing through any more, and tell nobody.
        """
        self._alive.clear()

    def revive(self) -> None:
        """
        Let everything through again.
        """
        self._alive.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """
        Carry one connection.
        """
        mine = [writer]
        self._writers.add(writer)
        try:
            await self._alive.wait()
            back, forth = await asyncio.open_connection(self._target.host, self._target.port or 5432)
            mine.append(forth)
            self._writers.add(forth)
            await asyncio.gather(self._carry(reader, forth), self._carry(back, writer))
        except OSError:
            pass
        finally:
            for each in mine:
                each.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while content := await reader.read(65536):
            await self._alive.wait()
            writer.write(content)
            await writer.drain()
        writer.transport.abort()


@contextlib.asynccontextmanager
async def wire_to(url: str) -> AsyncIterator[Wire]:
    """
    A wire to a server; use its own URL.
    """
    target = make_url(url)
    carried: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carried.add(asyncio.create_task(wire.serve(reader, writer)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    own = target.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    wire = Wire(own, target)
    wire.revive()
    try:
        yield wire
    finally:
        server.close()
        for task in carried:
            task.cancel()
        await asyncio.gather(*carried, return_exceptions=True)
        wire.cut()
        await server.wait_closed()
        await asyncio.sleep(0)  # what is aborted is closed in the next round of the loop


# -- settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["sqlite:///app.db", "sqlite+aiosqlite:///app.db", "sqlite://"])
def test_a_leftover_url_of_sqlite_is_refused(url: str) -> None:
    """
    A URL of the embedded database is refused with one sentence.
    """
    with pytest.raises(ValueError) as caught:
        PostgresDatabase(url=url)
    assert str(caught.value) == (
        "must be the address of a PostgreSQL server, like 'postgresql://user@localhost/orders': "
        "'sqlite' is the embedded database, whose place 'conductor-db-postgres' has taken"
    )


@pytest.mark.parametrize("url", ["", "mysql://u:s3cret@h/d", "postgresql+psycopg://u:s3cret@h/d", "s3cret", "://"])
def test_other_urls_are_refused_and_not_repeated(url: str) -> None:
    """
    What is no address of PostgreSQL is refused, without a password that it may hold.
    """
    with pytest.raises(ValueError, match="must be the address of a PostgreSQL server") as caught:
        PostgresDatabase(url=url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_every_usual_scheme_is_understood(url: str, scheme: str) -> None:
    """
    However people write the scheme, it is the same server.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url.replace("postgresql", scheme))) as db:
            await db.health()
            assert db.engine.dialect.driver == "asyncpg"

    run(main())


def test_several_servers_are_tried_in_turn(url: str) -> None:
    """
    A list of servers is understood as ``psql`` does; messages show all of them, and no password.
    """
    target = make_url(url)
    several = url.replace(f"{target.host}:{target.port}", f"127.0.0.1:1,{target.host}:{target.port}")
    several = several.replace("@", ":s3cret@")

    async def main() -> None:
        assert "127.0.0.1:1," in several
        async with running(PostgresDatabase(url=f"{several}?target_session_attrs=read-write")) as db:
            await db.health()
        with pytest.raises(SetupError) as caught:
            async with running(
                PostgresDatabase(url="postgres://a:s3cret@127.0.0.1:1,127.0.0.1:2/b", wait_for_server=0.1)
            ):
                pass
        [failure] = caught.value.exceptions
        assert "'postgresql://a:***@/b?host=127.0.0.1%3A1&host=127.0.0.1%3A2'" in str(failure.__cause__)
        assert "s3cret" not in str(failure.__cause__)

    run(main())


def test_settings_reach_the_server(url: str) -> None:
    """
    Name and limits are those of the settings; what the URL says itself comes first.
    """

    async def shown(db: PostgresDatabase, name: str) -> str:
        async with db.begin(read_only=True) as connection:
            return str((await connection.execute(text(f"SHOW {name}"))).scalar_one())

    async def main() -> None:
        async with running(PostgresDatabase(url=url, application_name="orders", busy_timeout=1.5)) as db:
            assert await shown(db, "application_name") == "orders"
            assert await shown(db, "lock_timeout") == "1500ms"
            assert await shown(db, "statement_timeout") == "1min"
            assert await shown(db, "transaction_isolation") == "repeatable read"
        own = f"{url}?application_name=mine&statement_timeout=7s"
        async with running(PostgresDatabase(url=own, application_name="orders")) as db:
            assert await shown(db, "application_name") == "mine"
            assert await shown(db, "statement_timeout") == "7s"
        async with running(PostgresDatabase(url=url, statement_timeout=0)) as db:
            assert await shown(db, "statement_timeout") == "0"

    run(main())


def test_a_password_is_never_shown(url: str) -> None:
    """
    Neither the component, nor its engine, nor what it is made of shows the password.
    """

    async def main() -> None:
        secret = url.replace("@", f":{PASSWORD.replace('/', '%2F')}@")
        db = PostgresDatabase(url=secret)
        async with running(db):
            shown = f"{db!r} {db.engine!r} {db.engine.url.password} {db._connector!r}"
        assert "s3cr" not in shown

    run(main())


# -- transactions -----------------------------------------------------------------------------------------


def test_a_statement_that_takes_too_long_is_ended(url: str) -> None:
    """
    A statement over its limit is refused by the server, and the connection goes on to be used.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url, statement_timeout=0.1)) as db:
            await create_counter(db)
            with pytest.raises(DBAPIError, match="statement timeout"):
                async with db.begin() as connection:
                    await connection.execute(text("SELECT pg_sleep(10)"))
            await add_one(db)
            assert await count(db) == 1

    run(main())


def test_another_process_is_waited_for_until_the_limit(url: str) -> None:
    """
    A transaction elsewhere that writes makes others wait, and fail only after the busy timeout; readers do not wait.
    """

    async def main() -> None:
        async with (
            running(PostgresDatabase(url=url)) as other,
            running(PostgresDatabase(url=url, busy_timeout=0.2)) as db,
        ):
            await create_counter(db)
            async with other.begin():
                with pytest.raises(DBAPIError, match="lock timeout"):
                    await add_one(db)
                assert await count(db) == 0
            await add_one(db)
            assert await count(db) == 1

    run(main())


def test_waiting_for_another_process_can_be_cancelled(url: str) -> None:
    """
    A task that waits for its turn ends as soon as it is cancelled, and keeps nobody from having theirs.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as other, running(PostgresDatabase(url=url)) as db:
            await create_counter(db)
            async with other.begin():
                waiting = asyncio.create_task(add_one(db))
                done, _ = await asyncio.wait([waiting], timeout=0.1)
                assert not done
                waiting.cancel()
                done, _ = await asyncio.wait([waiting], timeout=5)
                assert waiting.cancelled()
            await add_one(other)
            await add_one(db)
            assert await count(db) == 2

    run(main())


def test_tasks_of_one_process_wait_for_a_connection_until_the_limit(url: str) -> None:
    """
    A second transaction inside the first waits for itself until the pool's limit, as with SQLite.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url, pool_timeout=0.1)) as db, db.begin():
            with pytest.raises(PoolTimeoutError):
                async with db.begin():
                    pass

    run(main())


def test_concurrent_writes_with_locked_rows_lose_no_update(url: str) -> None:
    """
    With concurrent writes several transactions are open at once, and rows that are read for update stay right.
    """
    locked = text("SELECT n FROM counter FOR UPDATE")

    async def main() -> None:
        async with running(PostgresDatabase(url=url, concurrent_writes=True)) as db:
            await create_counter(db)

            async def add_often() -> None:
                for _ in range(20):
                    async with db.begin() as connection:
                        n = (await connection.execute(locked)).scalar_one()
                        await connection.execute(WRITE, {"n": n + 1})

            await asyncio.gather(*(add_often() for _ in range(8)))
            assert await count(db) == 160
            async with db.begin() as one, db.begin() as other:
                for connection in (one, other):
                    await connection.execute(INSERT)

    run(main())


@pytest.mark.parametrize("concurrent_writes", [False, True])
def test_a_cancelled_task_leaves_no_open_transaction(url: str, concurrent_writes: bool) -> None:
    """
    Wherever a task is cancelled in a transaction, the next one gets a connection without one.
    """
    chance = random.Random(1)

    async def main() -> None:
        async with running(PostgresDatabase(url=url, concurrent_writes=concurrent_writes)) as db:
            await create_counter(db)
            handed_out: list[bool] = []

            def look(driver: Any, record: Any, proxy: Any) -> None:
                handed_out.append(driver.driver_connection.is_in_transaction())

            event.listen(db.engine.sync_engine, "checkout", look)
            for _ in range(60):
                tasks = [asyncio.create_task(add_one(db)) for _ in range(3)]
                for _ in range(chance.randrange(40)):
                    await asyncio.sleep(0.0002 * chance.random())
                for task in tasks:
                    task.cancel()
                    if chance.random() < 0.3:
                        await asyncio.sleep(0)
                        task.cancel()
                await asyncio.wait(tasks)
                assert all(task.cancelled() or task.exception() is None for task in tasks)
            before = await count(db)
            await add_one(db)
            assert await count(db) == before + 1
            assert len(handed_out) > 50
            assert not any(handed_out)
            idle = [row["state"] for row in await connections(url)]
            assert "idle in transaction" not in idle
        await none_is_left(url)

    run(main())


# -- connections ------------------------------------------------------------------------------------------


def test_connections_that_the_server_closed_are_not_handed_out(url: str) -> None:
    """
    After the server has closed every connection, each next transaction gets a new one and no error.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as db:
            await create_counter(db)
            for _ in range(3):
                await asyncio.gather(*(count(db) for _ in range(5)), add_one(db))
                await cut(url)
            await asyncio.gather(*(count(db) for _ in range(5)), add_one(db))
            assert await count(db) == 4

    run(main())


def test_a_cut_in_a_transaction_fails_it_and_nothing_else(url: str) -> None:
    """
    A transaction whose connection is cut fails and is undone; the next one works.
    """

    async def main() -> None:
        async with wire_to(url) as wire, running(PostgresDatabase(url=wire.url)) as db:
            await create_counter(db)
            with pytest.raises((DBAPIError, OSError)):
                async with db.begin() as connection:
                    await connection.execute(WRITE, {"n": 100})
                    wire.cut()
                    await connection.execute(WRITE, {"n": 101})
            assert await count(db) == 0
            await add_one(db)
            assert await count(db) == 1

    run(main())


def test_a_dead_network_does_not_hold_a_statement_for_ever(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With a network that lets nothing through a statement fails soon after its limit, and shutdown ends.
    """
    monkeypatch.setattr("conductor_db_postgres._connection.GRACE", 0.1)

    async def main() -> None:
        async with wire_to(url) as wire:
            db = PostgresDatabase(url=wire.url, statement_timeout=0.2, connect_timeout=0.2)
            async with running(db):
                await create_counter(db)
                wire.die()
                began = time.monotonic()
                with pytest.raises((DBAPIError, OSError)):
                    await add_one(db)
                assert time.monotonic() - began < 5
                with pytest.raises((DBAPIError, OSError)):
                    await db.health()
                began = time.monotonic()
            assert time.monotonic() - began < 8
            wire.revive()

    run(main())


def test_a_connection_that_was_idle_for_long_is_asked_first(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A connection that a firewall has dropped without a word is noticed when it is taken up again after long.
    """
    monkeypatch.setattr(_engines, "LONG_IDLE", 0.0)
    monkeypatch.setattr(_engines, "GRACE", 0.1)

    async def main() -> None:
        async with wire_to(url) as wire, running(PostgresDatabase(url=wire.url)) as db:
            await create_counter(db)
            wire.die()
            reading = asyncio.create_task(count(db))
            await asyncio.sleep(0.3)
            wire.revive()
            assert await reading == 0

    run(main())


@pytest.mark.parametrize("steps", range(0, 100, 4))
def test_set_up_can_be_cancelled_anywhere(url: str, steps: int) -> None:
    """
    Wherever set-up is cancelled, no connection remains.
    """

    async def main() -> None:
        async def set_up() -> None:
            async with running(PostgresDatabase(url=url)) as db:
                await db.health()
                await asyncio.Event().wait()

        task = asyncio.create_task(set_up())
        for _ in range(steps):
            await asyncio.sleep(0.0002)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await none_is_left(url)

    run(main())


def test_a_connection_that_nobody_was_left_to_take_is_closed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A connection whose task was cancelled while it was being prepared is closed at the next occasion.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as db:
            before = len(await connections(url))
            reached, original = asyncio.Event(), asyncpg.Connection.set_type_codec

            async def wait(*args: Any, **kwargs: Any) -> None:
                reached.set()
                await asyncio.Event().wait()

            with monkeypatch.context() as patched:
                patched.setattr(asyncpg.Connection, "set_type_codec", wait)
                task = asyncio.create_task(db.health())
                await reached.wait()
                task.cancel()
                await asyncio.wait([task])
            assert asyncpg.Connection.set_type_codec is original
            await db.health()
            async with asyncio.timeout(PATIENCE):
                while len(await connections(url)) > before + 1:
                    await asyncio.sleep(0.01)

    run(main())


def test_set_up_that_fails_closes_what_it_opened(url: str) -> None:
    """
    Set-up that fails after connecting leaves no connection.
    """

    async def main() -> None:
        with pytest.raises(SetupError) as caught:
            async with running(PostgresDatabase(url=url, migrations="no_such_package:migrations")):
                pass
        [failure] = caught.value.exceptions
        assert isinstance(failure.__cause__, DatabaseSetupError)
        await none_is_left(url)

    run(main())


def test_connections_that_were_never_given_back_are_closed_at_shutdown(url: str) -> None:
    """
    Shutdown closes a connection that somebody still holds.
    """

    async def main() -> None:
        async with running(PostgresDatabase(url=url)) as db:
            held = await db.engine.connect()
            await held.execute(text("SELECT 1"))
        await none_is_left(url)
        await held.invalidate()
        await held.close()

    run(main())


def test_it_can_be_set_up_again(url: str) -> None:
    """
    The same component can be set up after it was shut down, and finds what it stored.
    """

    async def main() -> None:
        db = PostgresDatabase(url=url)
        async with running(db):
            await create_counter(db)
        async with running(db):
            await add_one(db)
            assert await count(db) == 1
        await none_is_left(url)

    run(main())
