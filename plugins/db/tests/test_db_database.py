"""
Tests of the component ``db`` as its users see it.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import stat
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from conductor.exceptions import SetupError
from conductor.testing import running
from conductor_db import Database, DatabaseSetupError

CREATE = text("CREATE TABLE counter (n INTEGER)")
INSERT = text("INSERT INTO counter VALUES (0)")
READ = text("SELECT n FROM counter")
WRITE = text("UPDATE counter SET n = :n")


@pytest.fixture(autouse=True)
def no_thread_remains() -> Iterator[None]:
    """
    Every test ends with the threads that it began with.
    """
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert set(threading.enumerate()) <= before


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


async def create_counter(db: Database) -> None:
    async with db.begin() as connection:
        await connection.execute(CREATE)
        await connection.execute(INSERT)


async def count(db: Database) -> int:
    async with db.begin(read_only=True) as connection:
        return int((await connection.execute(READ)).scalar_one())


async def add_one(db: Database) -> None:
    async with db.begin() as connection:
        n = (await connection.execute(READ)).scalar_one()
        await asyncio.sleep(0)
        await connection.execute(WRITE, {"n": n + 1})


@pytest.mark.parametrize("place", ["file", "memory"])
def test_concurrent_read_then_write_loses_no_update(tmp_path: Path, place: str) -> None:
    """
    Eight tasks that read a row and then write it never see a lock and lose no update.
    """

    async def many(db: Database) -> None:
        for _ in range(25):
            await add_one(db)

    async def main() -> None:
        url = url_of(tmp_path / "a.db") if place == "file" else "sqlite://"
        async with running(Database(url=url)) as db:
            await create_counter(db)
            await asyncio.gather(*(many(db) for _ in range(8)))
            assert await count(db) == 200

    run(main())


def test_sessions_take_turns_too(tmp_path: Path) -> None:
    """
    Sessions that read and then write lose no update either, and what they loaded is readable after the commit.
    """

    async def one(db: Database) -> None:
        async with db.session() as session, session.begin():
            n = (await session.execute(READ)).scalar_one()
            await asyncio.sleep(0)
            await session.execute(WRITE, {"n": n + 1})

    async def main() -> None:
        async with running(Database(url=url_of(tmp_path / "a.db"))) as db:
            await create_counter(db)
            await asyncio.gather(*(one(db) for _ in range(40)))
            async with db.session(read_only=True) as session:
                assert (await session.execute(READ)).scalar_one() == 40

    run(main())


def test_two_components_on_one_file_lose_no_update(tmp_path: Path) -> None:
    """
    Two engines on one file, as in two processes, wait for each other and never see a lock.
    """

    async def many(db: Database) -> None:
        for _ in range(50):
            await add_one(db)

    async def main() -> None:
        url = url_of(tmp_path / "a.db")
        async with running(Database(url=url)) as one, running(Database(url=url)) as other:
            await create_counter(one)
            await asyncio.gather(*(many(db) for db in (one, other) for _ in range(4)))
            assert await count(one) == await count(other) == 400

    run(main())


def test_another_process_with_the_lock_is_waited_for_until_the_limit(tmp_path: Path) -> None:
    """
    A writer elsewhere makes a transaction wait, and fail only after the busy timeout.
    """

    async def main() -> None:
        async with running(Database(url=url_of(tmp_path / "a.db"), busy_timeout=0.2)) as db:
            await create_counter(db)
            foreign = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
            foreign.execute("BEGIN IMMEDIATE")
            with pytest.raises(OperationalError, match="database is locked"):
                await add_one(db)
            assert await count(db) == 0
            foreign.execute("COMMIT")
            foreign.close()
            await add_one(db)
            assert await count(db) == 1

    run(main())


def test_waiting_for_another_process_can_be_cancelled(tmp_path: Path) -> None:
    """
    A task that waits for a writer elsewhere ends as soon as it is cancelled.
    """

    async def main() -> None:
        async with running(Database(url=url_of(tmp_path / "a.db"))) as db:
            await create_counter(db)
            foreign = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
            foreign.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(add_one(db))
            done, _ = await asyncio.wait([waiting], timeout=0.1)
            assert not done
            waiting.cancel()
            done, _ = await asyncio.wait([waiting], timeout=5)
            assert done
            assert waiting.cancelled()
            foreign.close()
            await add_one(db)

    run(main())


def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    """
    Reading inside an open write transaction gives what was committed before it, at once.
    """

    async def main() -> None:
        async with running(Database(url=url_of(tmp_path / "a.db"))) as db:
            await create_counter(db)
            async with db.begin() as connection:
                await connection.execute(WRITE, {"n": 7})
                assert await count(db) == 0
            assert await count(db) == 7

    run(main())


def test_read_only_refuses_to_write(tmp_path: Path) -> None:
    """
    A transaction that was begun to read cannot write.
    """

    async def main() -> None:
        async with running(Database(url=url_of(tmp_path / "a.db"))) as db:
            await create_counter(db)
            with pytest.raises(OperationalError, match="readonly"):
                async with db.begin(read_only=True) as connection:
                    await connection.execute(WRITE, {"n": 1})
            assert await count(db) == 0

    run(main())


def test_an_exception_undoes_the_transaction_tables_included(tmp_path: Path) -> None:
    """
    What a failed transaction did is undone, the creation of a table too.
    """

    async def fail(db: Database) -> None:
        async with db.begin() as connection:
            await connection.execute(CREATE)
            raise ZeroDivisionError

    async def main() -> None:
        async with running(Database(url=url_of(tmp_path / "a.db"))) as db:
            with pytest.raises(ZeroDivisionError):
                await fail(db)
            await create_counter(db)

    run(main())


def test_foreign_keys_and_write_ahead_log_are_on(tmp_path: Path) -> None:
    """
    Every connection has foreign keys on, full durability and the write-ahead log.
    """

    async def main() -> None:
        async with running(Database(url=url_of(tmp_path / "a.db"))) as db:
            for read_only in (False, True):
                async with db.begin(read_only=read_only) as connection:
                    for pragma, wanted in ("foreign_keys", 1), ("journal_mode", "wal"), ("synchronous", 2):
                        assert (await connection.execute(text(f"PRAGMA {pragma}"))).scalar_one() == wanted

    run(main())


def test_autocommit_statements_run_outside_of_a_transaction(tmp_path: Path) -> None:
    """
    SQLAlchemy's AUTOCOMMIT is honoured, so ``VACUUM`` works.
    """

    async def main() -> None:
        async with running(Database(url=url_of(tmp_path / "a.db"))) as db:
            async with db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                await connection.execute(text("VACUUM"))
            await create_counter(db)
            await add_one(db)
            assert await count(db) == 1

    run(main())


def test_a_cancelled_task_leaves_no_open_transaction(tmp_path: Path) -> None:
    """
    Wherever a task is cancelled in a transaction, the next one gets a connection without one.
    """
    chance = random.Random(1)

    async def main() -> None:
        async with running(Database(url=url_of(tmp_path / "a.db"))) as db:
            await create_counter(db)
            handed_out: list[bool] = []

            def look(driver: Any, record: Any, proxy: Any) -> None:
                handed_out.append(driver.driver_connection.in_transaction)

            event.listen(db.engine.sync_engine, "checkout", look)
            for _ in range(150):
                tasks = [asyncio.create_task(add_one(db)) for _ in range(3)]
                for _ in range(chance.randrange(40)):
                    await asyncio.sleep(0.0001 * chance.random())
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
            assert len(handed_out) > 100
            assert not any(handed_out)

    run(main())


def test_a_database_in_memory_survives_a_cancelled_task() -> None:
    """
    A task that is cancelled in a statement does not take the database in memory with it.
    """

    async def main() -> None:
        async with running(Database(url="sqlite://")) as db:
            await create_counter(db)
            for pauses in range(12):
                task = asyncio.create_task(add_one(db))
                for _ in range(pauses):
                    await asyncio.sleep(0.0002)
                task.cancel()
                await asyncio.wait([task])
            assert await count(db) >= 0

    run(main())


def test_health_tells_that_the_file_is_gone(tmp_path: Path) -> None:
    """
    A database whose file was deleted under it is not healthy.
    """

    async def main() -> None:
        async with running(Database(url=url_of(tmp_path / "a.db"))) as db:
            await db.health()
            (tmp_path / "a.db").unlink()
            with pytest.raises(OSError, match="moved, deleted or replaced"):
                await db.health()

    run(main())


async def refused(url: str, **settings: Any) -> DatabaseSetupError:
    """
    The error that set-up fails with.
    """
    with pytest.raises(SetupError) as caught:
        async with running(Database(url=url, **settings)):
            pass
    [failure] = caught.value.exceptions
    assert "s3cr" not in f"{caught.value} {failure}"
    assert isinstance(failure.__cause__, DatabaseSetupError)
    return failure.__cause__


@pytest.mark.parametrize("content", [b"hello", b"not a database " * 1000, b"SQLite format 4\x00" + bytes(4096)])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    """
    Any other file is refused with path and reason, and not one byte of it or beside it changes.
    """
    path = tmp_path / "letter.txt"
    path.write_bytes(content)

    async def main() -> None:
        error = await refused(url_of(path))
        assert str(error) == f"cannot set up the database '{url_of(path)}': the file is not a database"

    run(main())
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["letter.txt"]


def test_a_damaged_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """
    A file that only begins like a database is refused too, and left as it is.
    """
    path = tmp_path / "a.db"
    path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    before = path.read_bytes()

    async def main() -> None:
        assert "not a database" in str(await refused(url_of(path)))

    run(main())
    assert path.read_bytes() == before


def test_folders_pipes_and_missing_folders_are_refused(tmp_path: Path) -> None:
    """
    What is no regular file is refused without waiting for it, and a missing folder is named.
    """
    os.mkfifo(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)

    async def main() -> None:
        assert "it is not a regular file" in str(await refused(url_of(tmp_path)))
        assert "it is not a regular file" in str(await refused(url_of(tmp_path / "pipe")))
        missing = tmp_path / "missing"
        assert f"the folder '{missing}' does not exist" in str(await refused(url_of(missing / "a.db")))

    run(main())


def test_a_path_is_relative_to_the_folder_of_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The default is a file in the working directory, and a later change of directory does not move it.
    """
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        async with running(Database()) as db:
            (tmp_path / "elsewhere").mkdir()
            monkeypatch.chdir(tmp_path / "elsewhere")
            await create_counter(db)
            await count(db)
        assert sorted(os.listdir(tmp_path)) == ["app.db", "elsewhere"]
        assert not os.listdir(tmp_path / "elsewhere")

    run(main())


def test_a_lock_at_set_up_fails_clearly(tmp_path: Path) -> None:
    """
    A database that somebody else keeps locked is refused after the busy timeout.
    """
    foreign = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    foreign.execute("BEGIN EXCLUSIVE")

    async def main() -> None:
        assert "database is locked" in str(await refused(url_of(tmp_path / "a.db"), busy_timeout=0.2))

    run(main())
    foreign.close()


def secrets_of(error: BaseException | None) -> str:
    """
    Everything that a traceback could show of an error and of those behind it.
    """
    shown = ""
    while error is not None:
        shown += f"{error} {error!r} {error.args}"
        error = error.__cause__ or error.__context__
    return shown


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://user:s3cr%40et@/a.db",
        "nosuch+driver://user:s3cr%40et@localhost/a",
        "postgresql+nosuch://user@localhost/a?password=s3cr%40et",
        "sqlite:///folder/a.db?token=s3cr%40et&nosuch=1",
        "s3cr%40et",
    ],
)
def test_a_password_is_never_shown(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Neither the error of set-up, nor those behind it, nor the component's representation show the password.
    """
    monkeypatch.chdir(tmp_path)
    assert "s3cr" not in repr(Database(url=url))

    async def main() -> None:
        assert "s3cr" not in secrets_of(await refused(url))

    run(main())


def slow(method: Callable[..., Any], reached: asyncio.Event) -> Callable[..., Awaitable[Any]]:
    """
    The method, which tells that it was reached and then waits for ever.
    """

    async def instead(*args: Any, **kwargs: Any) -> Any:
        result = await method(*args, **kwargs)
        reached.set()
        await asyncio.Event().wait()
        return result

    return instead


@pytest.mark.parametrize("steps", range(0, 60, 3))
def test_set_up_can_be_cancelled_anywhere(tmp_path: Path, steps: int) -> None:
    """
    Wherever set-up is cancelled, no connection and no thread remains, and the database is free for others.
    """

    async def main() -> None:
        async def set_up() -> None:
            async with running(Database(url=url_of(tmp_path / "a.db"))):
                await asyncio.Event().wait()

        task = asyncio.create_task(set_up())
        for _ in range(steps):
            await asyncio.sleep(0.0001)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run(main())
    free = sqlite3.connect(tmp_path / "a.db")
    free.execute("PRAGMA locking_mode = EXCLUSIVE")
    free.execute("CREATE TABLE proof (n)")
    free.close()


def test_set_up_that_is_cancelled_after_connecting_closes_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A connection that was opened before set-up was cancelled is closed.
    """

    async def main() -> None:
        reached = asyncio.Event()
        monkeypatch.setattr(aiosqlite.Connection, "commit", slow(aiosqlite.Connection.commit, reached))

        async def set_up() -> None:
            async with running(Database(url=url_of(tmp_path / "a.db"))):
                raise AssertionError("set-up cannot have ended")

        task = asyncio.create_task(set_up())
        await reached.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run(main())


def test_connections_that_were_never_given_back_are_closed_at_shutdown(tmp_path: Path) -> None:
    """
    Shutdown closes a connection that somebody still holds.
    """

    async def main() -> None:
        async with running(Database(url=url_of(tmp_path / "a.db"))) as db:
            held = await db.engine.connect()
            await held.execute(text("SELECT 1"))
        await held.invalidate()
        await held.close()

    run(main())


def test_it_can_be_set_up_again(tmp_path: Path) -> None:
    """
    The same component can be set up after it was shut down, and finds what it stored.
    """

    async def main() -> None:
        db = Database(url=url_of(tmp_path / "a.db"))
        async with running(db):
            await create_counter(db)
        async with running(db):
            await add_one(db)
            assert await count(db) == 1

    run(main())
