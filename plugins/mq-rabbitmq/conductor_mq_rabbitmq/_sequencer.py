"""
Lets the messages of one key through one after another, whoever consumes them.

Theory of operation
-------------------

Messages with a key come into the *keyed* queue of a group.  From there each is let through to the *plain* queue, from
which all consumers take, but only one of each key at a time.  The *journal* is a queue of three kinds of notes:

=========  ==========================================================================================
``hello``  somebody is ready to sequence
``busy``   a message of a key is let through; the note stays until the message is done
``done``   a message of a key is acknowledged or dead; written by its consumer before it settles it
=========  ==========================================================================================

1. Every process that consumes for the group offers itself; the server lets one read journal and keyed queue (both
   have a single active consumer), until it is gone.  Then what it had received goes back, in order, and the next one
   begins from there.
2. Whoever becomes active finds out by receiving anything from the journal.  There is always something: the active
   one keeps one ``hello`` unacknowledged.
3. It writes a ``hello`` of its own and reads the journal up to it.  Now it knows which keys are busy, and begins with
   the keyed queue.
4. A message whose key is busy is kept back, received and not acknowledged.  Any other is noted as ``busy``, published
   to the plain queue, and only then acknowledged.  When the process dies in between, it is let through once more.
5. On ``done`` the notes are acknowledged, ``busy`` first, and the next message of the key is let through.
6. Any failure ends the round: the channel is closed, so everything goes back, and the next round begins anew.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import aiormq.exceptions
import attrs
from aiormq.abc import AbstractChannel, DeliveredMessage

from conductor_mq import QueueError

from ._envelope import Envelope
from ._link import LOST, Link
from ._names import Lane
from ._publisher import Publisher
from ._reading import MOST, tag_of

WINDOW = 1000  # messages with a key that are kept back at most
PAUSE = 0.2  # seconds between two rounds


def note(say: str, *, id: str, key: str = "") -> bytes:
    """
    A note for the journal.
    """
    return json.dumps({"say": say, "id": id, "key": key}).encode()


@attrs.define(eq=False)
class Busy:
    """
    A message of a key that was let through and is not done yet.
    """

    id: str
    inherited: bool = attrs.field(kw_only=True)  # somebody else has begun with it, and may not have come to its end
    tag: int | None = None  # of the note, once it has come back from the journal


@attrs.define(eq=False)
class Round:
    """
    What is known from the moment at which the channel is there until it is lost.
    """

    channel: AbstractChannel
    mark: str = attrs.field(factory=lambda: uuid.uuid4().hex)
    knows: bool = False
    has_hello: bool = False
    busy: dict[str, Busy] = attrs.field(factory=dict)
    behind: dict[str, deque[tuple[Envelope, DeliveredMessage]]] = attrs.field(factory=dict)
    inbox: asyncio.Queue[tuple[Act, DeliveredMessage] | None] = attrs.field(factory=asyncio.Queue)
    work: set[asyncio.Task[None]] = attrs.field(factory=set)
    failed: asyncio.Event = attrs.field(factory=asyncio.Event)


Act = Callable[[Round, DeliveredMessage], Awaitable[None]]


@attrs.define(eq=False)
class Sequencer:
    """
    Sequences the messages of one group, or stands by for it.

    Attributes:
        link: the connection to receive over.
        publisher: the way back to the server.
        lane: the queues of the group.
        admit: gives what came from the keyed queue if it may be let through; else it has found another place for it.
        repair: makes the queues again that somebody has deleted.
        logger: where it is told that a round has failed.
    """

    link: Link
    publisher: Publisher
    lane: Lane = attrs.field(kw_only=True)
    admit: Callable[[DeliveredMessage], Awaitable[Envelope | None]] = attrs.field(kw_only=True)
    repair: Callable[[], Awaitable[object]] = attrs.field(kw_only=True)
    logger: logging.Logger = attrs.field(kw_only=True)
    _round: Round | None = attrs.field(init=False, default=None)

    @property
    def kept_back(self) -> int:
        """
        How many messages are received and not let through.
        """
        return 0 if self._round is None else sum(map(len, self._round.behind.values()))

    async def run(self) -> None:
        """
        Sequence until cancelled; what is being let through then is let through.
        """
        while True:
            try:
                await self._go_round()
            except aiormq.exceptions.ChannelNotFoundEntity:
                await self._repair()
            except LOST:
                pass
            except QueueError as error:
                self.logger.warning("keys cannot be brought in order at present: %s", error)
            await asyncio.sleep(PAUSE)

    async def _repair(self) -> None:
        try:
            await self.repair()
        except (*LOST, QueueError) as error:
            self.logger.warning("deleted queues cannot be made again: %s", error)

    async def _go_round(self) -> None:
        channel = await self.link.channel()
        this = self._round = Round(channel)

        async def add_note(message: DeliveredMessage) -> None:
            this.inbox.put_nowait((self._read_note, message))

        async def add_keyed(message: DeliveredMessage) -> None:
            this.inbox.put_nowait((self._sort_in, message))

        self._begin(this, self._work(this, add_keyed))
        try:
            await self.link.call(channel.basic_qos(prefetch_count=MOST))
            await self.link.call(channel.basic_consume(self.lane.journal, add_note))
            await self._note("hello", id=this.mark)
            await self.link.wait_on(channel, this.failed)
        finally:
            this.inbox.put_nowait(None)
            while this.work:  # stopped halfway, something would be let through twice
                await asyncio.wait(this.work)
            self._round = None
            await self.link.close(channel)

    async def _work(self, this: Round, add_keyed: Callable[[DeliveredMessage], Coroutine[Any, Any, None]]) -> None:
        asked = False
        while (received := await this.inbox.get()) is not None:
            act, message = received
            await act(this, message)
            if this.knows and not asked:
                asked = True
                await self.link.call(this.channel.basic_qos(prefetch_count=WINDOW))
                await self.link.call(this.channel.basic_consume(self.lane.keyed, add_keyed))

    def _begin(self, this: Round, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """
        A task of the round, whose failure ends it.
        """

        def ended(task: asyncio.Task[None]) -> None:
            this.work.discard(task)
            error = None if task.cancelled() else task.exception()
            if error is not None:
                this.failed.set()
                if isinstance(error, QueueError):
                    self.logger.warning("keys cannot be brought in order at present: %s", error)
                elif not isinstance(error, LOST):
                    self.logger.error("keys cannot be brought in order", exc_info=error)

        task = asyncio.create_task(work)
        this.work.add(task)
        task.add_done_callback(ended)
        return task

    async def _read_note(self, this: Round, message: DeliveredMessage) -> None:
        tag = tag_of(message)
        match json.loads(message.body):
            case {"say": "hello", "id": str(id)}:
                this.knows = this.knows or id == this.mark
                if not this.has_hello:
                    this.has_hello = True
                    if not this.knows:  # the first sign of being active: what has been written up to now is read first
                        this.mark = uuid.uuid4().hex
                        await self._note("hello", id=this.mark)
                    return
            case {"say": "busy", "id": str(id), "key": str(key)}:
                known = this.busy.setdefault(key, Busy(id, inherited=True))
                if known.id == id:
                    known.tag, tag = tag, known.tag or 0
            case {"say": "done", "id": str(id), "key": str(key)}:
                busy = this.busy.get(key)
                if busy is not None and busy.id == id:
                    del this.busy[key]
                    if busy.tag is not None:
                        await self._ack(this, busy.tag)
                    self._let_next_through(this, key)
        if tag:
            await self._ack(this, tag)

    async def _sort_in(self, this: Round, message: DeliveredMessage) -> None:
        envelope = await self.admit(message)
        if envelope is None:
            await self._ack(this, tag_of(message))
            return
        key = envelope.message.key or ""
        this.behind.setdefault(key, deque()).append((envelope, message))
        busy = this.busy.get(key)
        if busy is None or (busy.inherited and busy.id == envelope.message.id):
            self._let_next_through(this, key)

    def _let_next_through(self, this: Round, key: str) -> None:
        waiting = this.behind.get(key)
        if not waiting:
            this.behind.pop(key, None)
            return
        envelope, message = waiting.popleft()
        busy = this.busy.setdefault(key, Busy(envelope.message.id, inherited=False))
        busy.inherited = False
        self._begin(this, self._let_through(this, key, envelope, message))

    async def _let_through(self, this: Round, key: str, envelope: Envelope, message: DeliveredMessage) -> None:
        await self._note("busy", id=envelope.message.id, key=key)
        await self.publisher.publish("", self.lane.plain, envelope.pack())
        await self._ack(this, tag_of(message))

    async def _note(self, say: str, *, id: str, key: str = "") -> None:
        await self.publisher.publish("", self.lane.journal, note(say, id=id, key=key))

    async def _ack(self, this: Round, tag: int) -> None:
        await self.link.call(this.channel.basic_ack(tag))
