"""
The broker on a server: what is asked of it, and what it answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import secrets
import socket
from collections.abc import Collection, Iterator, Sequence
from typing import Any, cast

import attrs

from conductor_mq import Action, Backlog, Broker, Channel, DeadLetter, Held, Message, QueueServerError, Verdict

from ._bell import Bell
from ._keys import Keys, digest
from ._link import Link, NoGroupError
from ._retrying import insist
from ._script import Call, Plain, Word

PAGE = 50  # dead letters asked for at once
REPLAYED = 500  # dead letters replayed at once
FORGOTTEN = 3_600_000  # milliseconds of silence after which a consumer that has nothing is taken for ended
LONGEST_WAIT = 10.0  # seconds until we look again in any case
SECOND = 1_000_000  # the script counts in microseconds


@attrs.define(eq=False)
class Token:
    """
    What proves that a consumer holds a message.

    Attributes:
        place: the message's place in its topic.
        attempt: how often it was handed out.
        key: what stands for the message's key.
        until: when it comes back, by the clock of the event loop.
    """

    place: str
    attempt: int
    key: str
    until: float


@attrs.define(eq=False)
class RedisBroker(Broker):
    """
    Keeps messages on a server.
    """

    link: Link
    keys: Keys
    bell: Bell
    logger: logging.Logger = attrs.field(kw_only=True)
    _sender: str = attrs.field(init=False, factory=lambda: secrets.token_hex(8))
    _numbers: Iterator[int] = attrs.field(init=False, factory=lambda: itertools.count(1))
    _known: dict[str, int] = attrs.field(init=False, factory=dict)

    async def store(self, message: Message, *, delay: float) -> None:
        """
        Add the message to its topic; the answer comes when the server has written it as it is set to.
        """
        self.make_known(message.topic)
        words: tuple[Word, ...] = (
            message.id,
            json.dumps(dict(message.headers)),
            message.key or "",
            digest(message.key),
            message.body,
            _microseconds(delay),
            next(self._numbers),
        )
        keys = self.keys.publisher(message.topic, self._sender)
        await self.link.ask(Call(verb="publish", keys=keys, words=words))

    def channel(self, topic: str, group: str, *, visibility: float, prefetch: int) -> Channel:
        """
        A channel that asks the server whenever there may be something.
        """
        return RedisChannel(self, topic, group, visibility)

    async def dead_letters(self, topic: str, group: str, *, limit: int) -> list[DeadLetter]:
        """
        Dead letters of a group, the oldest message first.
        """
        letters: list[DeadLetter] = []
        after = "0"
        while len(letters) < limit:
            wanted = min(PAGE, limit - len(letters))
            words: tuple[Word, ...] = (after, wanted)
            page = await self._ask("list_dead", self.keys.group(topic, group), *words)
            letters += [_read_letter(topic, group, each) for each in page]
            if len(page) < wanted:
                break
            after = page[-1][0]
        return letters

    async def replay(self, topic: str, group: str, *, ids: Collection[str] | None) -> int:
        """
        Make dead letters due again.
        """
        keys = self.keys.group(topic, group)
        count = 0
        if ids is not None:
            for chosen in _pages(sorted(ids), REPLAYED):
                replayed, _ = await self._ask("replay", keys, group, 0, 0, *chosen)
                count += int(replayed)
            return count
        last: Word = 0
        while True:
            replayed, last = await self._ask("replay", keys, group, last, REPLAYED)
            count += int(replayed)
            if replayed < REPLAYED:
                return count

    async def backlog(self) -> Sequence[Backlog]:
        """
        How much there is to do, by topic and group.
        """
        topics = sorted(name.decode() for name in await self.link.ask(Plain(("SMEMBERS", self.keys.topics))))
        found: list[Backlog] = []
        for topic in topics:
            for raw, unread in await self._ask("count_topic", self.keys.topic(topic)):
                group = None if raw is None else raw.decode()
                waiting = in_flight = dead = 0
                if group is not None:
                    waiting, in_flight, dead = await self._ask("count_group", self.keys.group(topic, group))
                elif not unread:
                    continue
                found.append(
                    Backlog(topic=topic, group=group, waiting=unread + waiting, in_flight=in_flight, dead=dead)
                )
        return sorted(found, key=lambda each: (each.topic, each.group or ""))

    async def check(self) -> None:
        """
        Raise if there is no connection, or nothing can be written.
        """
        if not self.link.is_up:
            raise self.link.error()
        await self.link.ask(Plain(("SET", self.keys.probe, "1", "PX", 1000)))

    def make_known(self, topic: str) -> None:
        """
        Have a topic in the list of topics, before anything else is done with it.
        """
        # In a place of its own, as a cluster may keep it elsewhere; the line keeps the order.
        losses = self.link.losses
        if self._known.get(topic) != losses:

            def known(_: object) -> None:
                self._known[topic] = losses

            _ignore(self.link.submit(Plain(("SADD", self.keys.topics, topic)), after=known))

    async def _ask(self, verb: str, keys: tuple[str, ...], *words: Word) -> Any:  # Any: answers of whatever type
        return await self.link.ask(Call(verb=verb, keys=keys, words=words))


@attrs.define(eq=False)
class RedisChannel(Channel):
    """
    Receives messages of one topic for one group.
    """

    broker: RedisBroker
    topic: str
    group: str
    visibility: float
    changed: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _name: str = attrs.field(init=False, factory=lambda: f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}")
    _keys: tuple[str, ...] = attrs.field(init=False)
    _tokens: dict[str, Token] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self._keys = self.broker.keys.group(self.topic, self.group)

    async def register(self) -> None:
        """
        Make the group known.
        """
        self.broker.make_known(self.topic)
        await self.broker.link.ask(self._call("register", FORGOTTEN))

    async def receive(self) -> Held:
        """
        The next message, as soon as there is one; a server that is away, or refuses, is waited for.
        """
        async with self.broker.bell.ringing(self.broker.keys.idle(self.topic), self.changed):
            while True:
                self.changed.clear()
                found = await insist(self._take, on=_is_server, limit=None, tell=self._tell)
                if isinstance(found, Held):
                    return found
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(found):
                        await self.changed.wait()

    async def settle(self, held: Held, verdict: Verdict) -> bool:
        """
        Settle a message that is held; a server that is away is waited for, for as long as it may be held.
        """
        token = cast(Token, held.token)
        settled = await self._insist(token, self._settling(held, verdict))
        self._tokens.pop(token.place, None)
        return settled

    async def extend(self, held: Held, seconds: float) -> bool:
        """
        Hold a message longer.
        """
        token = cast(Token, held.token)
        call = self._call("extend", token.place, self._name, token.attempt, _microseconds(seconds))
        now = asyncio.get_running_loop().time()
        if not await self._insist(token, call):
            return False
        token.until = now + seconds
        return True

    async def leave(self) -> None:
        """
        Have the server forget the consumer, and listen no more.
        """
        link = self.broker.link
        if link.is_up:
            with contextlib.suppress(QueueServerError):
                await link.ask(self._call("leave", self._name))
        await self.broker.bell.forget(self.broker.keys.idle(self.topic))

    def _call(self, verb: str, *words: Word, if_again: tuple[Word, ...] = ()) -> Call:
        return Call(verb=verb, keys=self._keys, words=(self.group, *words), if_again=if_again)

    def _settling(self, held: Held, verdict: Verdict) -> Call:
        token = cast(Token, held.token)
        verb, delay = verdict.action.value, _microseconds(verdict.delay)
        what: tuple[Word, ...] = (verb, token.key, delay, held.message.id, verdict.attempts, verdict.error)
        return self._call("settle", token.place, self._name, token.attempt, *what)

    async def _insist(self, token: Token, call: Call) -> bool:
        """
        Whether the server did something with what is held; not if it is away until that has come back.
        """
        link = self.broker.link
        loop = asyncio.get_running_loop()
        limit = max(0.0, token.until - loop.time()) + link.patience

        async def ask() -> bool:
            return bool(await link.ask(call, limit=limit))

        def may_pass(error: Exception) -> bool:
            return _is_server(error) and not (isinstance(error, NoGroupError) or link.is_leaving)

        try:
            return await insist(ask, on=may_pass, limit=limit)
        except NoGroupError:
            return False
        except QueueServerError:
            if token.until > loop.time() and not link.is_leaving:
                raise
            return False

    async def _take(self) -> Held | float:
        """
        The next message, or the seconds until it is worth looking again.
        """
        now = asyncio.get_running_loop().time()
        self._tokens = {place: token for place, token in self._tokens.items() if token.until > now}

        def after(answer: list[Any]) -> None:  # Any: the script's answer
            if future.cancelled():
                self._give_back(self._read(answer))

        call = self._call("take", self._name, _microseconds(self.visibility), if_again=tuple(self._tokens))
        future = self.broker.link.submit(call, after=after)
        try:
            return self._read(await future)
        except asyncio.CancelledError:
            if not future.cancelled() and future.exception() is None:  # it came in the very moment
                self._give_back(self._read(future.result()))
            raise
        except NoGroupError:
            self.broker.logger.warning(
                "the message server has lost group %r of topic %r, and what it had to do", self.group, self.topic
            )
            await self.register()
            return 0.0

    def _read(self, answer: list[Any]) -> Held | float:  # Any: the script's answer
        if not answer[0]:
            return LONGEST_WAIT if answer[1] < 0 else min(LONGEST_WAIT, answer[1] / SECOND)
        _, place, attempt, uid, headers, body, key, stands_for_key = answer
        message = _read_message(self.topic, uid, headers, body, key)
        until = asyncio.get_running_loop().time() + self.visibility
        token = Token(place.decode(), attempt, stands_for_key.decode(), until)
        self._tokens[token.place] = token
        return Held(message=message, attempt=attempt, token=token)

    def _tell(self, reason: str) -> None:
        self.broker.logger.warning("nothing is received for group %r of topic %r: %s", self.group, self.topic, reason)

    def _give_back(self, found: Held | float) -> None:
        """
        Let others have what was handed out to nobody.
        """
        if isinstance(found, Held):
            _ignore(self.broker.link.submit(self._settling(found, Verdict(action=Action.RETURN))))


def _is_server(error: Exception) -> bool:
    return isinstance(error, QueueServerError)


def _microseconds(seconds: float) -> int:
    return round(min(seconds, 1e9) * SECOND)


def _read_message(topic: str, uid: bytes, headers: bytes, body: bytes, key: bytes | None) -> Message:
    text = None if key is None else key.decode()
    return Message(id=uid.decode(), topic=topic, body=body, headers=json.loads(headers), key=text)


def _read_letter(topic: str, group: str, found: list[Any]) -> DeadLetter:  # Any: the script's answer
    _, uid, headers, body, key, grave = found
    attempts, died, error = grave.decode().split(" ", 2)
    message = _read_message(topic, uid, headers, body, key)
    return DeadLetter(message=message, group=group, attempts=int(attempts), error=error, died=int(died) / SECOND)


def _pages(items: list[str], size: int) -> Iterator[list[str]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


def _ignore(future: asyncio.Future[Any]) -> None:
    """
    Let nobody be told if this fails.
    """
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
