"""
The thread that works on the file: it shares transactions, survives failures and always ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from conductor_mq import QueueFileError, QueueUnavailableError, _schema
from conductor_mq._worker import Worker


@contextlib.asynccontextmanager
async def working(path: Path) -> AsyncIterator[Worker]:
    """
    A worker that is set up, and shut down at the end.
    """
    worker = Worker(str(path / "queue.db"), poll=0.02)
    try:
        await worker.set_up()
        yield worker
    finally:
        await worker.shut_down()


def threads() -> list[str]:
    """
    The threads of workers that are there.
    """
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("conductor-mq")]


def insert(name: str) -> str:
    """
    A statement that notes a name.
    """
    return f"INSERT INTO consumer_group (topic, name) VALUES ('t', '{name}')"


def note(db: sqlite3.Connection, name: str) -> None:
    """
    A job that notes a name.
    """
    db.execute(insert(name))


def test_concurrent_jobs_share_a_transaction(tmp_path: Path) -> None:
    """
    Jobs that wait at the same time are committed together, so that they share one sync.
    """

    async def main() -> None:
        commits = 0

        def count(statement: str) -> None:
            nonlocal commits
            commits += statement == "COMMIT"

        async with working(tmp_path) as worker:
            await worker.submit(lambda db: db.set_trace_callback(count), durable=True)
            jobs = [worker.submit(partial(note, name=str(number)), durable=True) for number in range(300)]
            await asyncio.gather(*jobs)
            await worker.submit(lambda db: db.set_trace_callback(None), durable=True)
        assert 1 <= commits < 100

    asyncio.run(main())


def test_failing_job_fails_alone(tmp_path: Path) -> None:
    """
    A job that fails is told so, leaves nothing behind, and does not disturb those it shared a transaction with.
    """

    def fail(db: sqlite3.Connection) -> None:
        db.execute(insert("of the failing job"))
        db.execute(insert("of the failing job"))

    async def main() -> None:
        async with working(tmp_path) as worker:
            first = worker.submit(lambda db: db.execute(insert("first")).rowcount, durable=True)
            failing = worker.submit(fail, durable=True)
            last = worker.submit(lambda db: db.execute(insert("last")).rowcount, durable=True)
            assert (await first, await last) == (1, 1)
            with pytest.raises(QueueFileError, match=r"queue\.db.*UNIQUE"):
                await failing
            names = await worker.submit(
                lambda db: db.execute("SELECT name FROM consumer_group ORDER BY id").fetchall(), durable=False
            )
            assert names == [("first",), ("last",)]

    asyncio.run(main())


def test_shutdown_waits_for_a_lock(tmp_path: Path) -> None:
    """
    What was asked for before shutdown is done, also if another process writes at that moment.
    """

    async def main() -> None:
        async with working(tmp_path) as worker:
            with contextlib.closing(sqlite3.connect(worker.path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                last = worker.submit(lambda db: db.execute(insert("last")).rowcount, durable=True)
                ending = asyncio.create_task(worker.shut_down())
                done, _ = await asyncio.wait({last}, timeout=0.1)
                assert not done
                other.execute("ROLLBACK")
                assert await last == 1
                await ending

    asyncio.run(main())


def test_file_locked_for_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When another process holds its lock for too long, the jobs fail with path and reason, all at once.
    """
    monkeypatch.setattr(_schema, "PATIENCE", 0.2)

    async def main() -> None:
        async with working(tmp_path) as worker:
            with contextlib.closing(sqlite3.connect(worker.path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                jobs = [worker.submit(partial(note, name=str(number)), durable=True) for number in range(50)]
                async with asyncio.timeout(5):
                    found = await asyncio.gather(*jobs, return_exceptions=True)
                assert all(isinstance(each, QueueFileError) and "locked" in each.reason for each in found)
                other.execute("ROLLBACK")
            await worker.submit(partial(note, name="later"), durable=True)

    asyncio.run(main())


def test_full_disk_is_told(tmp_path: Path) -> None:
    """
    When the disk is full the job fails with path and reason, and later ones work once there is room.
    """

    async def main() -> None:
        async with working(tmp_path) as worker:

            def fill(db: sqlite3.Connection) -> None:
                db.execute("INSERT INTO consumer_group (topic, name) VALUES ('t', ?)", ("x" * 1_000_000,))

            await worker.submit(lambda db: db.execute("PRAGMA max_page_count = 30").fetchone(), durable=False)
            with pytest.raises(QueueFileError, match=r"queue\.db.*full"):
                await worker.submit(fill, durable=True)
            await worker.submit(lambda db: db.execute("PRAGMA max_page_count = 100000").fetchone(), durable=False)
            await worker.submit(fill, durable=True)

    asyncio.run(main())


def test_thread_ends_with_the_worker(tmp_path: Path) -> None:
    """
    After shutdown, which may be asked for twice, there is no thread, and nothing more is taken.
    """

    async def main() -> None:
        async with working(tmp_path) as worker:
            assert threads() == ["conductor-mq"]
            last = worker.submit(lambda db: db.execute(insert("last")).rowcount, durable=True)
            await worker.shut_down()
        assert await last == 1
        assert threads() == []
        with pytest.raises(QueueUnavailableError):
            worker.submit(lambda db: None, durable=True)

    asyncio.run(main())


def test_thread_ends_when_set_up_fails(tmp_path: Path) -> None:
    """
    A file that cannot be used leaves no thread behind.
    """
    (tmp_path / "queue.db").write_text("no database")

    async def main() -> None:
        with pytest.raises(QueueFileError, match="not a SQLite database"):
            async with working(tmp_path):
                pass
        assert threads() == []

    asyncio.run(main())


def test_thread_ends_when_set_up_is_cancelled(tmp_path: Path) -> None:
    """
    Cancelled while it waits for a locked file, set-up leaves no thread behind.
    """

    async def enter() -> None:
        async with working(tmp_path):
            raise AssertionError("the file is locked")

    async def main() -> None:
        async with working(tmp_path):
            pass
        with contextlib.closing(sqlite3.connect(tmp_path / "queue.db", isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            task = asyncio.create_task(enter())
            while not threads():
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
            assert threads() == []

    asyncio.run(main())


def test_change_by_another_connection_is_noticed(tmp_path: Path) -> None:
    """
    While somebody watches, a change that another process makes is noticed, and the worker's own is not.
    """

    async def main() -> None:
        noticed = asyncio.Event()
        async with working(tmp_path) as worker, working(tmp_path) as other:
            worker.watchers = 1
            await worker.submit(lambda db: db.execute(insert("own")), durable=True)
            worker.on_change = noticed.set
            await other.submit(lambda db: db.execute(insert("foreign")), durable=True)
            async with asyncio.timeout(5):
                await noticed.wait()

    asyncio.run(main())


def test_forgotten_worker_does_not_keep_the_process(tmp_path: Path) -> None:
    """
    A process that never shuts its worker down can end nevertheless.
    """
    program = (
        "import asyncio\n"
        "from conductor_mq._worker import Worker\n"
        f"asyncio.run(Worker({str(tmp_path / 'queue.db')!r}, poll=0.05).set_up())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        timeout=20,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
