"""
The embedded default: messages in one SQLite file, shared by any number of processes of one machine.

How the file works is described in ``_schema``, how the thread works in ``_worker``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar, cast

import attrs

from conductor import setting

from . import _statements
from ._broker import Action, Broker, Channel, Held, Verdict
from ._contract import MessageQueue
from ._message import Backlog, DeadLetter, Message
from ._statements import Token
from ._worker import Worker
from .exceptions import QueueFileError, QueueUnavailableError

T = TypeVar("T")

LONGEST_WAIT = 60.0  # seconds until we look again in any case, should the clock have been changed


def _check_path(instance: object, attribute: attrs.Attribute[str], path: str) -> None:
    if not path or path == ":memory:" or "\0" in path:
        raise ValueError(
            f"'path' must name a file, not {path!r}\n"
            "hint: for a queue in memory, in tests, there is 'conductor_mq.testing.MemoryMessageQueue'"
        )


class SQLiteMessageQueue(MessageQueue):
    """
    A durable message queue in one SQLite file, published as the component ``mq``.

    What is confirmed survives the death of the process and of the machine.  Several processes on one machine
    may use one file at the same time; a network file system will not do.

    Attributes:
        path: the file, relative to the working directory; made if it is not there.
        poll: seconds between two looks whether other processes have published something.

    .. versionadded:: 0.1
    """

    path: str = setting(default="conductor-mq.db", help="file that keeps the messages", validator=_check_path)
    poll: float = setting(
        default=0.05,
        help="seconds between two looks for messages of other processes",
        validator=attrs.validators.gt(0),
    )

    async def _make_broker(self) -> Broker:
        """
        The file, with a thread that works on it.
        """
        worker = Worker(os.path.abspath(self.path), poll=self.poll)
        self.defer(worker.shut_down)
        await worker.set_up()
        return SQLiteBroker(worker)


@attrs.define(eq=False)
class SQLiteBroker(Broker):
    """
    Keeps messages in a file, through the worker.
    """

    worker: Worker
    _channels: dict[str, set[SQLiteChannel]] = attrs.field(init=False, factory=dict)
    _identity: tuple[int, int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.worker.on_change = self.wake_all
        self._identity = _identify(self.worker.path)

    async def store(self, message: Message, *, delay: float) -> None:
        """
        Insert the message and sync it to the disk, together with all that come at the same time.
        """

        def work(db: sqlite3.Connection) -> None:
            now = time.time()
            _statements.add(db, message, due=now + delay, now=now)

        await self.worker.submit(work, durable=True, after=lambda _: self.wake(message.topic))

    def channel(self, topic: str, group: str, *, visibility: float, prefetch: int) -> Channel:
        """
        A channel that asks the file whenever it may have changed.
        """
        return SQLiteChannel(self, topic, group, visibility)

    async def dead_letters(self, topic: str, group: str, *, limit: int) -> list[DeadLetter]:
        """
        Dead letters of a group, the oldest message first.
        """
        return await self.look(lambda db: _statements.list_dead(db, topic, group, limit=limit))

    async def replay(self, topic: str, group: str, *, ids: Collection[str] | None) -> int:
        """
        Make dead letters due again.
        """
        return await self.worker.submit(
            lambda db: _statements.replay(db, topic, group, ids=ids, now=time.time()),
            durable=True,
            after=lambda _: self.wake(topic),
        )

    async def backlog(self) -> Sequence[Backlog]:
        """
        How much there is to do, by topic and group.
        """
        return await self.look(lambda db: _statements.count(db, now=time.time()))

    async def check(self) -> None:
        """
        Raise if the file is not there any more, or no transaction can begin.
        """
        if _identify(self.worker.path) != self._identity:
            raise QueueFileError(self.worker.path, "the file was replaced or removed while in use")
        await self.look(lambda db: db.execute("SELECT 1 FROM consumer_group LIMIT 1").fetchone())

    async def look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """
        What a job finds that has nothing to keep.
        """
        return await self.worker.submit(work, durable=False)

    def wake(self, topic: str) -> None:
        """
        Have those who wait for messages of the topic look again.
        """
        for channel in self._channels.get(topic, ()):
            channel.changed.set()

    def wake_all(self) -> None:
        """
        Have everybody who waits for messages look again.
        """
        for topic in self._channels:
            self.wake(topic)

    @contextlib.contextmanager
    def waking(self, channel: SQLiteChannel) -> Iterator[None]:
        """
        The channel is woken for as long as the context lasts.
        """
        channels = self._channels.setdefault(channel.topic, set())
        channels.add(channel)
        self.worker.watchers += 1
        try:
            yield
        finally:
            self.worker.watchers -= 1
            channels.discard(channel)
            if not channels:
                self._channels.pop(channel.topic, None)


@attrs.define(eq=False)
class SQLiteChannel(Channel):
    """
    Receives messages of one topic for one group.
    """

    broker: SQLiteBroker
    topic: str
    group: str
    visibility: float
    changed: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _number: int = attrs.field(init=False, default=0)

    async def register(self) -> None:
        """
        Make the group known.
        """
        self._number = await self.broker.worker.submit(
            lambda db: _statements.register(db, self.topic, self.group, now=time.time()), durable=True
        )

    async def receive(self) -> Held:
        """
        The next message, as soon as there is one.
        """
        with self.broker.waking(self):
            while True:
                self.changed.clear()
                found = await self._hand_out()
                if isinstance(found, Held):
                    return found
                wait = LONGEST_WAIT if found is None else min(LONGEST_WAIT, found - time.time())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, wait)):
                        await self.changed.wait()

    async def settle(self, held: Held, verdict: Verdict) -> bool:
        """
        Settle a message that is held, durably.
        """
        token = cast(Token, held.token)
        wakes = verdict.action is not Action.ACK or held.message.key is not None
        return await self.broker.worker.submit(
            lambda db: _statements.settle(db, token, verdict, now=time.time()),
            durable=verdict.action is not Action.RETURN,
            after=(lambda _: self.broker.wake(self.topic)) if wakes else None,
        )

    async def extend(self, held: Held, seconds: float) -> bool:
        """
        Hold a message longer.
        """
        token = cast(Token, held.token)

        def work(db: sqlite3.Connection) -> bool:
            now = time.time()
            return _statements.extend(db, token, until=now + seconds, now=now)

        return await self.broker.look(work)

    async def _hand_out(self) -> Held | float | None:
        def work(db: sqlite3.Connection) -> Held | float | None:
            now = time.time()
            return _statements.hand_out(db, self._number, until=now + self.visibility, now=now)

        def after(found: Held | float | None) -> None:
            if future.cancelled():
                self._give_back(found)

        future = self.broker.worker.submit(work, durable=False, after=after)
        try:
            return await future
        except asyncio.CancelledError:
            if not future.cancelled() and future.exception() is None:  # it came in the very moment
                self._give_back(future.result())
            raise

    def _give_back(self, found: Held | float | None) -> None:
        """
        Let others have what was handed out to nobody.
        """
        if isinstance(found, Held):
            token = cast(Token, found.token)
            verdict = Verdict(action=Action.RETURN)
            with contextlib.suppress(QueueUnavailableError):  # then it comes back by itself
                self.broker.worker.submit(
                    lambda db: _statements.settle(db, token, verdict, now=time.time()),
                    durable=False,
                    after=lambda _: self.broker.wake(self.topic),
                )


def _identify(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise QueueFileError(path, error.strerror or str(error)) from error
    return found.st_dev, found.st_ino
