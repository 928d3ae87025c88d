"""
The thread that works on the file of the embedded queue: one connection, one job after another.

Jobs that wait are done together in one transaction, so that many concurrent publishers share one sync of the disk.
If one of them fails, the transaction is undone and each is done in a transaction of its own.  Between jobs, and
while somebody waits for messages, the thread looks whether another process has changed the file.

The thread is a daemon: nothing that becomes of the event loop can make it keep the process alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from ._schema import begin, connect, describe, is_busy
from .exceptions import QueueError, QueueUnavailableError

T = TypeVar("T")

BATCH = 128  # jobs in one transaction


@attrs.frozen(eq=False, kw_only=True)
class Job:
    """
    Something to do on the connection, inside a transaction.

    Attributes:
        work: does it.
        future: gets its result; done in the event loop.
        durable: whether the result counts only when it is on the disk.
        after: called in the event loop with the result, also if nobody waits for the future any more.
    """

    work: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    durable: bool
    after: Callable[[Any], None] | None


@attrs.define(eq=False)
class Worker:
    """
    One thread with one connection to one file.

    Attributes:
        path: where the file is, absolute.
        poll: seconds between two looks for changes by other processes.
        on_change: called in the event loop when another process has changed the file.
        watchers: how many wait for such changes; without any, nobody looks.
    """

    path: str
    poll: float = attrs.field(kw_only=True)
    on_change: Callable[[], None] = attrs.field(kw_only=True, default=lambda: None)
    watchers: int = attrs.field(init=False, default=0)
    _jobs: queue.SimpleQueue[Job | None] = attrs.field(init=False, factory=queue.SimpleQueue)
    _over: threading.Event = attrs.field(init=False, factory=threading.Event)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(init=False, default=None)
    _thread: threading.Thread | None = attrs.field(init=False, default=None)
    _ended: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _synced: bool = attrs.field(init=False, default=True)
    _seen: int = attrs.field(init=False, default=0)
    _looked: float = attrs.field(init=False, default=0.0)

    async def set_up(self) -> None:
        """
        Begin to work; returns when the file is ready for use.

        Raises:
            QueueFileError: the file cannot be used; the thread has ended.
        """
        self._loop = asyncio.get_running_loop()
        ready: asyncio.Future[Any] = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, args=(ready,), name="conductor-mq", daemon=True)
        self._thread.start()
        await ready

    async def shut_down(self) -> None:
        """
        Do what is waiting, then end; returns when the thread has ended.
        """
        if self._thread is None:
            return
        if not self._over.is_set():
            self._over.set()
            self._jobs.put(None)
        await self._ended.wait()
        self._thread.join()

    def submit(
        self, work: Callable[[sqlite3.Connection], T], *, durable: bool, after: Callable[[T], None] | None = None
    ) -> asyncio.Future[T]:
        """
        The result of a job to come.

        Args:
            work: the job, called in the thread inside a transaction; it may be called again after a failure.
            durable: whether the result must be on the disk first.
            after: called in the event loop with the result, also if the future is cancelled meanwhile.
        """
        if self._loop is None or self._over.is_set():
            raise QueueUnavailableError(f"in {self.path!r}")
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(Job(work=work, future=future, durable=durable, after=after))
        return future

    def _work(self, ready: asyncio.Future[Any]) -> None:
        """
        What the thread does from its beginning to its end.
        """
        try:
            with contextlib.closing(connect(self.path, give_up=self._over)) as connection:
                self._call(_resolve, [(ready, None, None, None)])
                while batch := self._next_batch(connection):
                    self._do(connection, batch)
        except QueueError as error:
            self._call(_resolve, [(ready, None, error, None)])
        finally:
            self._over.set()
            self._call(self._end)

    def _next_batch(self, connection: sqlite3.Connection) -> list[Job]:
        """
        The jobs to do next, at least one; none at the end.
        """
        batch: list[Job] = []
        job = self._wait_for_job(connection)
        while job is not None:
            batch.append(job)
            if len(batch) == BATCH:
                break
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
        else:
            self._jobs.put(None)  # the end comes next
            return batch
        return batch

    def _wait_for_job(self, connection: sqlite3.Connection) -> Job | None:
        if self.watchers and time.monotonic() - self._looked >= self.poll:
            self._look(connection)
        while True:
            try:
                return self._jobs.get(timeout=self.poll if self.watchers else None)
            except queue.Empty:
                self._look(connection)

    def _look(self, connection: sqlite3.Connection) -> None:
        """
        See whether another connection has changed the file since the last look.
        """
        self._looked = time.monotonic()
        with contextlib.suppress(sqlite3.Error):  # the next job finds out
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            if version != self._seen:
                self._seen = version
                self._call(self.on_change)

    def _do(self, connection: sqlite3.Connection, batch: list[Job]) -> None:
        """
        Do the jobs together, or else one by one, and tell the event loop.
        """
        try:
            outcomes = self._transact(connection, batch)
        except Exception as error:
            if len(batch) > 1 and not is_busy(error):
                for job in batch:
                    self._do(connection, [job])
                return
            described = self._described(error)
            outcomes = [(job.future, None, described, None) for job in batch]
        self._call(_resolve, outcomes)

    def _transact(self, connection: sqlite3.Connection, batch: list[Job]) -> list[Outcome]:
        self._set_sync(connection, any(job.durable for job in batch))
        try:
            begin(connection)
            results = [job.work(connection) for job in batch]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return [(job.future, result, None, job.after) for job, result in zip(batch, results, strict=True)]

    def _set_sync(self, connection: sqlite3.Connection, synced: bool) -> None:
        if synced is not self._synced:
            connection.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            self._synced = synced

    def _described(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        described = describe(self.path, error)
        described.__cause__ = error
        return described

    def _end(self) -> None:
        """
        Refuse what came too late; in the event loop, so that nothing can come later still.
        """
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    _resolve([(job.future, None, QueueUnavailableError(f"in {self.path!r}"), None)])
        self._ended.set()

    def _call(self, callback: Callable[..., None], *args: Any) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed, so nobody waits
                self._loop.call_soon_threadsafe(callback, *args)


Outcome = tuple[asyncio.Future[Any], Any, BaseException | None, Callable[[Any], None] | None]


def _resolve(outcomes: list[Outcome]) -> None:
    """
    Tell those who wait what became of their jobs; runs in the event loop.
    """
    for future, result, error, after in outcomes:
        if error is None and after is not None:
            after(result)
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
