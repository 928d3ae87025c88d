"""
The file of the embedded queue: made, found again, and refused when it is not fit.
"""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from conductor_mq import QueueFileError
from conductor_mq._schema import APPLICATION_ID, connect

NEVER = threading.Event()


def another_database(path: Path) -> None:
    """
    A SQLite database that is no queue.
    """
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE precious (n)")


def newer_queue(path: Path) -> None:
    """
    A queue that a later version has made.
    """
    connect(str(path), give_up=NEVER).close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")


def locked_up(path: Path) -> None:
    """
    A queue that nobody may write.
    """
    connect(str(path), give_up=NEVER).close()
    path.chmod(0o444)


UNFIT: dict[str, Callable[[Path], object]] = {
    "it is not a SQLite database": lambda path: path.write_bytes(b"precious text\n" * 100),
    "it is a database of another program": another_database,
    "its version is 99": newer_queue,
    "the file cannot be written": locked_up,
    "it is not a regular file": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("reason", UNFIT)
def test_unfit_file_is_refused(reason: str, tmp_path: Path) -> None:
    """
    A file that is not fit is refused with its path and the reason, and left byte for byte as it was.
    """
    path = tmp_path / "queue.db"
    UNFIT[reason](path)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir() if each.is_file()}
    with pytest.raises(QueueFileError, match=reason) as caught:
        connect(str(path), give_up=NEVER)
    assert caught.value.path == str(path)
    assert str(path) in str(caught.value)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir() if each.is_file()} == before


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    """
    A missing folder is refused and not made.
    """
    with pytest.raises(QueueFileError, match="there is no folder"):
        connect(str(tmp_path / "missing" / "queue.db"), give_up=NEVER)
    assert list(tmp_path.iterdir()) == []


def test_locked_folder_is_refused(tmp_path: Path) -> None:
    """
    A folder that cannot be written is refused, as SQLite needs two more files beside its own.
    """
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    with pytest.raises(QueueFileError, match="cannot be written"):
        connect(str(folder / "queue.db"), give_up=NEVER)
    assert list(folder.iterdir()) == []


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    """
    A queue whose pages are damaged is refused with its path, not with a bare error of SQLite's.
    """
    path = tmp_path / "queue.db"
    connect(str(path), give_up=NEVER).close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    with (
        pytest.raises(QueueFileError, match=r"queue\.db"),
        contextlib.closing(connect(str(path), give_up=NEVER)) as database,
    ):
        database.execute("SELECT * FROM message")


def test_file_is_made_once(tmp_path: Path) -> None:
    """
    A new file is a queue in WAL mode, synced with every commit; it is found again as it is.
    """
    path = tmp_path / "queue.db"
    for _ in range(2):
        with contextlib.closing(connect(str(path), give_up=NEVER)) as database:
            found = [
                database.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("application_id", "journal_mode", "synchronous")
            ]
            assert found == [APPLICATION_ID, "wal", 2]
            database.execute("INSERT OR IGNORE INTO consumer_group (topic, name) VALUES ('t', 'g')")
            assert database.execute("SELECT count(*) FROM consumer_group").fetchone() == (1,)


def test_empty_file_is_used(tmp_path: Path) -> None:
    """
    An empty file, as a process leaves it that is killed at the very beginning, becomes a queue.
    """
    path = tmp_path / "queue.db"
    path.touch()
    connect(str(path), give_up=NEVER).close()
    assert path.read_bytes()[:6] == b"SQLite"


def test_file_is_made_by_many_at_once(tmp_path: Path) -> None:
    """
    Several that make the same new file at the same moment all get the same queue.
    """
    errors: list[Exception] = []
    barrier = threading.Barrier(8)

    def make() -> None:
        barrier.wait()
        try:
            connect(str(tmp_path / "queue.db"), give_up=NEVER).close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_waiting_for_a_lock_can_be_given_up(tmp_path: Path) -> None:
    """
    A file that another one holds locked is refused as soon as nobody wants to wait any more.
    """
    path = tmp_path / "queue.db"
    connect(str(path), give_up=NEVER).close()
    give_up = threading.Event()
    give_up.set()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(QueueFileError, match="another process has held it locked"):
            connect(str(path), give_up=give_up)


def test_second_connection_leaves_the_locks_of_the_first(tmp_path: Path) -> None:
    """
    Looking at a file that this process has in use does not take away the locks that are held on it.
    """
    path = tmp_path / "queue.db"
    with contextlib.closing(connect(str(path), give_up=NEVER)) as first:
        first.execute("INSERT INTO consumer_group (topic, name) VALUES ('t', 'kept')")
        connect(str(path), give_up=NEVER).close()
        program = f"import sqlite3; d = sqlite3.connect({str(path)!r}); d.execute('SELECT * FROM message'); d.close()"
        subprocess.run([sys.executable, "-c", program], check=True)
        # Without the locks that other process would have thought it was the last one, and removed the log.
        assert path.with_name("queue.db-wal").exists()
        assert first.execute("SELECT name FROM consumer_group").fetchall() == [("kept",)]
