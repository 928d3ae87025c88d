"""
The file of the embedded queue: its tables, and how a connection to it is made.

Theory of operation
-------------------

``message`` holds each message once.  ``consumer_group`` holds the groups of each topic, for good.  ``delivery``
has one row for each message and group that is not done with it, and its ``state`` is one of three:

==  =======  =====================================================================================
0   OPEN     may be handed out from ``due`` on
1   BEHIND   waits for an earlier message of the same key; ``due`` is not looked at
2   DEAD     a dead letter, with ``error`` and ``died``
==  =======  =====================================================================================

1. Publishing inserts the message and one OPEN row for each group, due now or after the delay, in one transaction.
   A message of a topic without groups has no rows; the first group makes them.
2. Handing out takes the OPEN row that is due first, counts ``attempt`` up, notes a random ``token`` and moves
   ``due`` into the future by the visibility time.  So a message in flight and a delayed one look alike: not due
   yet.  Nothing has to notice that a consumer died; its row is simply due again.
3. Settling names the token, and only a row that still has that token and is not due is changed.  A late
   acknowledgement therefore finds no row, whoever sends it.
4. The row of an acknowledged message is deleted, and with the last row the message.
5. While a key has an OPEN row that could be handed out, further messages of that key come in as BEHIND, and each
   row of the key that goes away turns the oldest of them OPEN.  So there is an OPEN row whenever there is one
   BEHIND, and a search for due rows never wades through those that have to wait.  Delayed messages are OPEN all
   the time; the search itself makes sure that none is handed out while another one of its key is in flight.

The database is in WAL mode.  Transactions that publish or settle are synced to the disk (``synchronous=FULL``);
those that only hand out are not, as losing one in a power failure brings the message back, no more.  The
``application_id`` in the first page says that the file is a queue.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import stat
import threading
import time
from pathlib import Path

from .exceptions import QueueFileError

APPLICATION_ID = 0x434D5131  # "CMQ1"
VERSION = 1
OPEN, BEHIND, DEAD = 0, 1, 2
PATIENCE = 5.0  # seconds to wait for another process that holds a lock on the file
GLANCE = 0.1  # seconds that SQLite waits for it by itself, before we look whether to go on
PAUSE = 0.001  # seconds at most between two attempts to begin a transaction

TABLES = """
CREATE TABLE IF NOT EXISTS consumer_group (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (topic, name)
);
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL,
    topic TEXT NOT NULL,
    key TEXT,
    due REAL NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS message_by_topic ON message (topic);
CREATE TABLE IF NOT EXISTS delivery (
    message_id INTEGER NOT NULL,
    group_id INTEGER NOT NULL,
    state INTEGER NOT NULL,
    due REAL NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    token INTEGER,
    key TEXT,
    error TEXT,
    died REAL,
    PRIMARY KEY (message_id, group_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS delivery_open ON delivery (group_id, due, message_id) WHERE state = 0;
CREATE INDEX IF NOT EXISTS delivery_by_key ON delivery (group_id, key, state, message_id) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS delivery_dead ON delivery (group_id, message_id) WHERE state = 2;
"""


def connect(path: str, *, give_up: threading.Event) -> sqlite3.Connection:
    """
    A connection to the queue in a file, which is made if it is not there.

    Args:
        path: where the file is, absolute.
        give_up: wait no longer for a lock once this is set.

    Raises:
        QueueFileError: the file cannot be used; it is left as it was.
    """
    inspect_file(path)
    connection: sqlite3.Connection | None = None
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            connection = sqlite3.connect(path, timeout=GLANCE, isolation_level=None)
            _prepare(connection, path)
            return connection
        except sqlite3.OperationalError as error:
            _close(connection)
            # Not left to SQLite alone: its change to WAL does not wait for a lock by itself.
            if not is_busy(error) or time.monotonic() > deadline or give_up.wait(0.01):
                raise describe(path, error) from error
        except sqlite3.DatabaseError as error:
            _close(connection)
            raise describe(path, error) from error
        except BaseException:
            _close(connection)
            raise


def inspect_file(path: str) -> None:
    """
    Refuse a file that cannot be used, without SQLite touching it.

    Raises:
        QueueFileError: it is not a queue, cannot be written, or its folder cannot.
    """
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise QueueFileError(path, f"there is no folder {folder!r}", "make it, or change the setting 'path'")
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise QueueFileError(path, "it is not a regular file", "change the setting 'path'")
        _require_writable(path, path, "the file")
        if os.path.getsize(path):
            _inspect_content(path)
    except FileNotFoundError:
        pass  # it will be made
    except OSError as error:
        raise QueueFileError(path, error.strerror or str(error)) from error
    _require_writable(path, folder, "its folder, where SQLite keeps two more files,")


def _require_writable(path: str, place: str, what: str) -> None:
    # The permission bits count even for root, who could write nevertheless: somebody has locked this up.
    if not os.stat(place).st_mode & 0o222 or not os.access(place, os.W_OK):
        raise QueueFileError(path, f"{what} cannot be written", "change its permissions, or the setting 'path'")


def _inspect_content(path: str) -> None:
    # Through SQLite, which is told that nothing changes, so that it touches nothing.  To read the file ourselves
    # would be wrong: when a process closes it, all locks go that SQLite holds on it elsewhere in the process.
    try:
        with contextlib.closing(sqlite3.connect(f"{Path(path).as_uri()}?mode=ro&immutable=1", uri=True)) as found:
            (application,) = found.execute("PRAGMA application_id").fetchone()
            (version,) = found.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise QueueFileError(path, "it is not a SQLite database", "change the setting 'path'") from error
    if application != APPLICATION_ID:
        raise QueueFileError(path, "it is a database of another program", "change the setting 'path'")
    _require_known(path, version)


def _require_known(path: str, version: int) -> None:
    if version > VERSION:
        raise QueueFileError(path, f"its version is {version}, this is version {VERSION}", "upgrade conductor-mq")


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    """
    Make the tables if they are not there, and set what holds for this connection only.
    """
    (found,) = connection.execute("PRAGMA application_id").fetchone()
    if found != APPLICATION_ID:
        # First of all, and while the journal is not WAL yet: so it is in the file's first page from the beginning.
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise QueueFileError(path, f"its journal mode stays '{mode}', WAL is needed", "use a local file system")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA busy_timeout = 0")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    _require_known(path, version)
    if version < VERSION:
        connection.execute("BEGIN IMMEDIATE")
        for statement in TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(sqlite3.Error):
            connection.close()


def begin(connection: sqlite3.Connection) -> None:
    """
    Begin a transaction that may write, as soon as no other process is in one.

    Raises:
        sqlite3.OperationalError: another process is in one for too long.
    """
    # SQLite's own waiting takes longer and longer pauses, and so starves a process beside one that writes a lot.
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
        time.sleep(PAUSE * random.random())


def is_busy(error: Exception) -> bool:
    """
    Whether another connection holds a lock, so that trying again helps.
    """
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def describe(path: str, error: sqlite3.Error) -> QueueFileError:
    """
    The error to show for one of SQLite's.
    """
    if is_busy(error):
        return QueueFileError(path, f"another process has held it locked for {PATIENCE:g} s")
    return QueueFileError(path, str(error))
