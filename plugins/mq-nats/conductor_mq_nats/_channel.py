"""
Receives messages of one topic for one group, and settles them; the rules are those of ``_broker``.

One pull request for one message is under way at a time, from the moment at which somebody wants a message.  The
server sends signs of life meanwhile; without one, or when the connection was made anew, the request is made again,
as the server forgets it together with the connection.  What comes when nobody wants it any more is returned.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Coroutine
from typing import Any, cast

import attrs
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from conductor_mq import Action, Channel, Held, Message, QueueServerError, Verdict

from ._catalogue import Catalogue
from ._contents import PARTS, Contents
from ._envelope import Envelope, NoEnvelopeError
from ._link import Link
from ._names import Place, is_keyed, is_later
from ._records import Record, Records, State
from ._streams import API, NANO, Progress, Streams

LASTS = 60.0  # seconds for which one pull request is good
SIGN_OF_LIFE = 5.0  # seconds between two signs of life of the server
SHORTEST_SWEEP = 0.5  # seconds between two looks for what a crash of the server has left
AGAIN = 0.2  # seconds before a request that was refused is made again
BEHIND, LONGEST_BEHIND = 60.0, 900.0  # seconds after which a message that is behind another one looks by itself
ACK, NAK, PROGRESS = b"+ACK", b"-NAK", b"+WPI"


@attrs.define(eq=False, kw_only=True)
class Token:
    """
    What proves that this consumer holds a message.

    Attributes:
        raw: the message as the server has handed it out.
        sequence: its number in the stream.
        delivered: how often the server has handed it out.
        uncounted: how many of these times nobody has seen it.
        revision: the revision of its record; 0 if it has none.
        sure: until when nobody else can have been handed it, in seconds of the loop's clock.
        epoch: the connection for which that holds.
    """

    raw: Msg
    sequence: int
    delivered: int
    uncounted: int
    revision: int
    sure: float
    epoch: int


@attrs.define(eq=False)
class NATSChannel(Channel):
    """
    One subscription's way to the server.
    """

    streams: Streams
    catalogue: Catalogue
    topic: str
    group: str
    visibility: float
    _place: Place = attrs.field(init=False)
    _records: Records = attrs.field(init=False)
    _contents: Contents = attrs.field(init=False)
    _inbox: str = attrs.field(init=False, default="")
    _subscription: Subscription | None = attrs.field(init=False, default=None)
    _waiter: asyncio.Future[Held] | None = attrs.field(init=False, default=None)
    _request: int = attrs.field(init=False, default=0)
    _pending: bool = attrs.field(init=False, default=False)
    _asked: float = attrs.field(init=False, default=0.0)
    _heard: float = attrs.field(init=False, default=0.0)
    _sweeping: asyncio.Task[object] | None = attrs.field(init=False, default=None)
    _left: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _tasks: set[asyncio.Task[object]] = attrs.field(init=False, factory=set)

    @property
    def _link(self) -> Link:
        return self.streams.link

    async def register(self) -> None:
        """
        Make the group known, with its consumer.
        """
        self._place = await self.catalogue.add_group(self.topic, self.group)
        self._records = Records(self.streams, self._place)
        self._contents = Contents(self.streams, self._place)
        await self.streams.make_consumer(self._place, visibility=self.visibility)
        if self._subscription is None:
            self._inbox = self._link.client.new_inbox()
            self._subscription = await self._link.subscribe(f"{self._inbox}.*", self._take)
            self._link.returned.add(self._ask_anew)
            self._begin_sweep()

    async def receive(self) -> Held:
        """
        The next message, as soon as there is one.
        """
        waiter: asyncio.Future[Held] = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        try:
            if not self._pending:
                await self._ask()
            while not waiter.done():
                silence = self._heard + 2 * SIGN_OF_LIFE - asyncio.get_running_loop().time()
                if self._link.is_closed:
                    raise self._link.error()
                if silence <= 0:
                    await self._ask()
                    continue
                await asyncio.wait({waiter}, timeout=silence)
            return waiter.result()
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # it came in the very moment
                self._spawn(self._give_back(waiter.result()))
            raise
        finally:
            waiter.cancel()
            self._waiter = None

    async def settle(self, held: Held, verdict: Verdict) -> bool:
        """
        Settle a message that is held, durably.
        """
        token = cast(Token, held.token)
        match verdict.action:
            case Action.ACK:
                return await self._acknowledge(token)
            case Action.RETRY:
                return await self._release(token, delay=verdict.delay)
            case Action.RETURN:
                return await self._release(token, uncounted=1)
            case Action.DEAD:
                return await self._bury(token, held.message.id, verdict)

    async def extend(self, held: Held, seconds: float) -> bool:
        """
        Hold a message longer.
        """
        token = cast(Token, held.token)
        # To refuse a message for some time is what holds it for so long, and unlike a sign of progress for any time.
        payload = PROGRESS if seconds == self.visibility else _refusal(seconds)
        asked = asyncio.get_running_loop().time()
        if self._is_sure(token):
            await self._link.ask(token.raw.reply, payload)
            if self._is_sure(token):
                token.sure = asked + seconds
                return True
        if not await self._decide(token, State.HELD):
            return False
        await self._link.ask(token.raw.reply, payload)
        token.sure = 0.0
        return True

    async def leave(self) -> None:
        """
        Have nothing handed out any more, and return what is on its way.
        """
        self._link.returned.discard(self._ask_anew)
        self._left.set()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await self._link.unsubscribe(subscription)
        while self._tasks:
            await asyncio.wait(self._tasks)

    # Receiving

    async def _ask(self) -> None:
        """
        Ask the server for one message.
        """
        now = asyncio.get_running_loop().time()
        self._request += 1
        self._pending, self._asked, self._heard = True, now, now
        wanted = {"batch": 1, "expires": int(LASTS * NANO), "idle_heartbeat": int(SIGN_OF_LIFE * NANO)}
        if self._link.is_up:  # else it is asked for when the connection is back
            subject = f"{API}.CONSUMER.MSG.NEXT.{self._place.stream}.{self._place.consumer}"
            await self._link.tell(subject, json.dumps(wanted).encode(), reply=f"{self._inbox}.{self._request}")

    async def _ask_anew(self) -> None:
        self._pending = False
        if self._wants():
            await self._ask()
        self._begin_sweep()

    def _begin_sweep(self) -> None:
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = self._spawn(self._sweep())

    def _wants(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    async def _take(self, raw: Msg) -> None:
        """
        Handle what the server sends: a message, a sign of life, or the end of the request.
        """
        status = raw.headers.get("Status") if raw.headers and not raw.data else None
        current = raw.subject == f"{self._inbox}.{self._request}"
        if status is not None and not raw.reply.startswith("$JS.ACK"):
            if status == "100":
                self._heard = asyncio.get_running_loop().time()
            elif current:
                self._pending = False
                self._spawn(self._ask_later(status))
            return
        sure = self._asked + self.visibility if self._link.is_up else 0.0
        self._pending = self._pending and not raw.reply.startswith("$JS.ACK")
        held = None
        try:
            held = await self._accept(raw, sure)
        except QueueServerError as error:  # the message comes back when its time is over
            self._link.logger.debug("message %s of %r: %s", raw.reply, self.topic, error)
        if self._waiter is not None and not self._waiter.done():
            if held is not None:
                self._waiter.set_result(held)
            elif not self._pending:
                await self._ask()
        elif held is not None:
            await self._give_back(held)

    async def _ask_later(self, status: str) -> None:
        """
        Ask again after the server has ended the request; if consumer or stream are gone, make them first.
        """
        if status == "408":  # it was simply over, so there is time
            self._begin_sweep()
        else:
            await asyncio.sleep(AGAIN)
            try:
                await self.register()
            except QueueServerError as error:
                self._link.logger.debug("cannot receive from %r: %s", self.topic, error)
        if self._wants() and not self._pending:
            await self._ask()

    async def _sweep(self) -> None:
        """
        Remove what a crash of the server may have left of all that was handed out before.
        """
        pause = min(max(self.visibility, SHORTEST_SWEEP), LASTS)
        with contextlib.suppress(QueueServerError):  # there will be another time
            progress = await self.streams.look(self._place)
            goal = await self.streams.count(self._place.stream)
            while not self._left.is_set():
                await self._remove_settled(progress)
                if progress.settled >= goal:
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._left.wait()
                progress = await self.streams.look(self._place)

    async def _remove_settled(self, progress: Progress) -> None:
        """
        Remove what is acknowledged for certain; if there is any, what is behind another message must look anew.
        """
        await self._records.forget_settled(progress.settled)
        # Not by a purge up to a number: that makes the server forget what is in flight.
        found, lanes = False, self._place.lanes
        while message := await self.streams.next(self._place.stream, lanes):
            if message.sequence > progress.settled:
                break
            await self.streams.remove(self._place.stream, message.sequence)
            found = True
        if found:
            for record in await self._records.list():
                if record.state is State.BEHIND:
                    await self._link.ask(record.reply, _refusal(0))

    async def _accept(self, raw: Msg, sure: float) -> Held | None:
        """
        What the server has handed out, if it is to be handed out further.
        """
        meta = raw.metadata
        token = Token(
            raw=raw,
            sequence=meta.sequence.stream,
            delivered=meta.num_delivered,
            uncounted=0,
            revision=0,
            sure=sure,
            epoch=self._link.epoch,
        )
        if token.delivered > 1 and not await self._take_over(token):
            return None
        try:
            envelope = await self._contents.read(raw.data, raw.headers)
        except NoEnvelopeError as error:
            stranger = Message(id=f"stranger-{token.sequence}", topic=self.topic, body=raw.data, headers={}, key=None)
            await self._bury(token, stranger.id, Verdict(action=Action.DEAD, attempts=1, error=str(error)))
            return None
        if is_later(raw.subject):
            await self._hold_back(token, envelope)
            return None
        if is_keyed(raw.subject) and not await self._has_turn(token):
            return None
        return Held(message=envelope.message, attempt=token.delivered - token.uncounted, token=token)

    async def _take_over(self, token: Token) -> bool:
        """
        Note that a message that was handed out before is held here now; False if there is nothing to hold.
        """
        while True:
            record, token.revision = await self._records.get(token.sequence)
            token.uncounted = 0 if record is None else record.uncounted
            if record is not None and record.delivered >= token.delivered:
                if not self._is_sure(token):
                    return False  # somebody was handed it after us
                # The server crashed, and has forgotten how often it had handed it out.
                token.uncounted += token.delivered - record.delivered - 1
            if record is not None and record.state is State.DONE:
                await self._finish(token)
                return False
            if record is not None and record.state is State.DEAD:
                await self._finish_burial(token, record)
                return False
            if await self._write(token, State.HELD):
                return True

    async def _hold_back(self, token: Token, envelope: Envelope) -> None:
        """
        Let a delayed message wait on, or publish it anew if it is due.
        """
        delay = envelope.due - time.time()
        if delay > 0:
            await self._release(token, delay=delay, uncounted=1)
            return
        message, headers = envelope.message, token.raw.headers or {}
        parts = {PARTS: headers[PARTS]} if PARTS in headers else None
        id = f"due.{token.sequence}.{message.id}"
        await self._contents.publish(self._place.lane(message), token.raw.data, id=id, headers=parts)
        await self._link.ask(token.raw.reply, ACK)
        if token.revision:
            await self._records.forget(token.sequence)

    async def _has_turn(self, token: Token) -> bool:
        """
        Whether a message is the first of its key; else it is noted as being behind, and held back.
        """
        if await self._is_first(token):
            return True
        wait = min(LONGEST_BEHIND, BEHIND * 2.0 ** max(0, min(token.uncounted, 8)))
        token.uncounted += 1
        if not await self._write(token, State.BEHIND):
            return False
        # Whoever settles the one before us removes that first and then looks for us; we do it the other way round.
        if not await self._is_first(token):
            await self._link.ask(token.raw.reply, _refusal(wait))
            return False
        token.uncounted -= 1
        return await self._write(token, State.HELD)

    async def _is_first(self, token: Token) -> bool:
        first = await self.streams.next(self._place.stream, token.raw.subject)
        return first is None or first.sequence >= token.sequence

    async def _give_back(self, held: Held) -> None:
        """
        Let others have what was handed out to nobody.
        """
        try:
            await self.settle(held, Verdict(action=Action.RETURN))
        except QueueServerError as error:  # then it comes back when its time is over
            self._link.logger.debug("message %r of %r: %s", held.message.id, self.topic, error)

    # Settling

    def _is_sure(self, token: Token) -> bool:
        """
        Whether nobody else can have been handed the message.
        """
        return token.epoch == self._link.epoch and asyncio.get_running_loop().time() < token.sure

    async def _acknowledge(self, token: Token) -> bool:
        told = self._is_sure(token)
        if told:
            await self._link.ask(token.raw.reply, ACK)
        if not self._is_sure(token) and not await self._decide(token, State.DONE, told=told):
            return False
        await self._finish(token, told=told)
        return True

    async def _release(self, token: Token, *, delay: float = 0.0, uncounted: int = 0) -> bool:
        token.uncounted += uncounted
        if not await self._decide(token, State.WAITING):
            return False
        await self._link.ask(token.raw.reply, _refusal(delay))
        return True

    async def _bury(self, token: Token, id: str, verdict: Verdict) -> bool:
        record = self._record(token, State.DEAD)
        record = attrs.evolve(record, attempts=verdict.attempts, error=verdict.error, died=time.time())
        if not await self._decide(token, record):
            return False
        await self._finish_burial(token, record, id=id)
        return True

    async def _finish_burial(self, token: Token, record: Record, *, id: str | None = None) -> None:
        if id is None:
            try:
                id = (await self._contents.read(token.raw.data, token.raw.headers)).message.id
            except NoEnvelopeError:
                id = f"stranger-{token.sequence}"
        parts = (token.raw.headers or {}).get(PARTS)
        await self._contents.bury(token.sequence, id, token.raw.data, parts, record)
        await self._finish(token, keep_parts=True)

    async def _finish(self, token: Token, *, told: bool = False, keep_parts: bool = False) -> None:
        """
        Remove a message, and everything about it, that the group is done with.
        """
        if not told:
            await self._link.ask(token.raw.reply, ACK)
        if not keep_parts:
            await self._contents.remove_parts(token.raw.headers)
        if token.revision:
            await self._records.forget(token.sequence)
        if is_keyed(token.raw.subject):
            await self._call_next(token)

    async def _call_next(self, token: Token) -> None:
        """
        Call back the message behind one that was settled, if it was held back.
        """
        following = await self.streams.next(self._place.stream, token.raw.subject, begin=token.sequence + 1)
        if following is None:
            return
        record, _ = await self._records.get(following.sequence)
        if record is not None and record.state is State.BEHIND:
            await self._link.ask(record.reply, _refusal(0))

    async def _decide(self, token: Token, what: State | Record, *, told: bool = False) -> bool:
        """
        Write down what is to become of a message; False if somebody else holds it now, or did and is done with it.
        """
        if not token.revision:
            is_first = await self._write(token, what)
            if is_first and not await self.streams.get(self._place.stream, token.sequence):
                await self._records.forget(token.sequence)
                token.revision = 0
                return told  # it was removed by our own acknowledgement
            return is_first
        return await self._write(token, what)

    async def _write(self, token: Token, what: State | Record) -> bool:
        record = self._record(token, what) if isinstance(what, State) else what
        revision = await self._records.put(token.sequence, record, expected=token.revision)
        if revision is None:
            return False
        token.revision = revision
        return True

    def _record(self, token: Token, state: State) -> Record:
        reply = token.raw.reply if state is State.BEHIND else ""
        return Record(state=state, delivered=token.delivered, uncounted=token.uncounted, reply=reply)

    def _spawn(self, coroutine: Coroutine[Any, Any, object]) -> asyncio.Task[object]:  # Any: what a coroutine yields
        task: asyncio.Task[object] = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _refusal(delay: float) -> bytes:
    return NAK + (b' {"delay": %d}' % int(delay * NANO) if delay > 0 else b"")
