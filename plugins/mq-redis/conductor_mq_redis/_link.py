"""
The way to the server: requests go out in the order in which they come, many at once, again and again until answered.

Theory of operation
-------------------

1. All requests wait in one line.  ``keep`` sends all that are waiting together and then reads all answers, so that
   concurrent publishers share a round trip, and on the server one sync of the append-only file.
2. If the connection is lost, what was under way stays at the head of the line and is sent again, told as such, as
   soon as there is a connection: at first quickly, then after growing pauses with jitter.
3. A caller that waits no longer cancels its future.  A request that has not been sent is then forgotten; for one that
   has been, ``after`` is called with the answer all the same.
4. From ``leave`` on nobody waits for a server that is not there: everything fails when the connection is lost.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import attrs
from redis.asyncio import Redis
from redis.asyncio.connection import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from conductor_mq import QueueServerError

from ._address import options_of, shown
from ._explanation import explain, may_be_replaced, may_pass
from ._inspection import Findings, inspect_server
from ._keys import Keys
from ._retrying import insist
from ._script import SOURCE, Call, Plain

BATCH, BATCH_SIZE = 128, 4 * 1024 * 1024  # requests sent together at most, and about how many bytes
ATTEMPT = 5.0  # seconds for one attempt to connect
GOODBYE = 1.0  # seconds for an answer during shutdown

LOST = (RedisError, OSError)


class UnreachableError(Exception):
    """
    An attempt that may succeed the next time; it holds nothing but text that may be shown.
    """


def is_unreachable(error: Exception) -> bool:
    """
    Whether another attempt to connect may succeed.
    """
    return isinstance(error, UnreachableError)


class NoGroupError(QueueServerError):
    """
    The server does not know the group.
    """


@attrs.define(eq=False, kw_only=True)
class Request:
    """
    Something to be asked of the server.

    Attributes:
        command: what to send.
        future: gets the answer.
        after: called with the answer, also if nobody waits for the future any more.
        sent: whether it was sent before, and the answer was lost.
    """

    command: Call | Plain
    future: asyncio.Future[Any]  # Any: answers of whatever type
    after: Callable[[Any], None] | None
    sent: bool = False


@attrs.define(eq=False)
class Link:
    """
    A connection that is kept up, and the requests that wait for it.

    Attributes:
        url: where the server is, and as whom to log in.
        keys: the names of what is written and said to see whether that is possible.
        patience: seconds within which the server must answer.
        logger: where it is told that the connection is lost, and that it is back.
        client: makes further connections to the server.
        losses: how often it may have forgotten what it was told.
    """

    url: str = attrs.field(repr=False)
    keys: Keys
    patience: float = attrs.field(kw_only=True)
    logger: logging.Logger = attrs.field(kw_only=True)
    client: Redis = attrs.field(init=False)
    losses: int = attrs.field(init=False, default=0)
    _line: collections.deque[Request] = attrs.field(init=False, factory=collections.deque)
    _waiting: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _up: bool = attrs.field(init=False, default=False)
    _leaving: bool = attrs.field(init=False, default=False)
    _over: bool = attrs.field(init=False, default=False)
    _reason: str = attrs.field(init=False, default="it was not reached yet")

    def __attrs_post_init__(self) -> None:
        ours = {
            "decode_responses": False,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),  # that is done here, with what the client cannot know
            "retry_on_timeout": False,
            "socket_timeout": self.patience,
            "socket_connect_timeout": min(ATTEMPT, self.patience),
            "health_check_interval": 0,
        }
        options = options_of(self.url) | ours
        options.setdefault("connection_class", Connection)
        if "path" not in options:
            options.setdefault("socket_keepalive", True)
        options.setdefault("client_name", "conductor-mq")
        self.client = Redis(connection_pool=ConnectionPool(**options))

    @property
    def address(self) -> str:
        """
        Where the server is, for people.
        """
        return shown(self.url)

    @property
    def is_up(self) -> bool:
        """
        Whether there is a connection, as far as is known.
        """
        return self._up

    @property
    def is_leaving(self) -> bool:
        """
        Whether nobody waits any more for a server that is not there.
        """
        return self._leaving

    async def set_up(self, *, limit: float) -> Findings:
        """
        What is found at the server, as soon as it can be used.

        Args:
            limit: seconds within which that must be.

        Raises:
            QueueServerError: it cannot be used.
        """

        def tell(reason: str) -> None:
            self.logger.warning("waiting up to %g s for the message server at %s: %s", limit, self.address, reason)

        try:
            findings = await insist(lambda: self._greet(limit), on=is_unreachable, limit=limit, tell=tell)
        except UnreachableError as error:
            raise self.error(
                f"{error} (tried for {limit:g} s)",
                hint="is the server running there, and may it be reached from here? else change the setting 'url'",
            ) from None
        self._up = True
        return findings

    async def keep(self) -> None:
        """
        Send what waits, and connect again whenever the connection is lost, until the end.
        """
        while not self._over:
            await self._waiting.wait()
            await asyncio.sleep(0)  # so that those who are about to ask as well share the round trip
            batch = self._next_batch()
            if not batch:
                self._waiting.clear()
                continue
            try:
                await self._exchange(batch)
            except LOST as error:
                self._line.extendleft(reversed([each for each in batch if not each.future.done()]))
                await self._recover(error)

    def leave(self) -> None:
        """
        Wait no longer for a server that is not there.
        """
        self._leaving = True
        if not self._up:
            self._fail_all()

    def end(self) -> None:
        """
        Have ``keep`` return; it is cancelled as well, but the client may lose a cancellation (``wait_for`` on 3.11).
        """
        self._over = True
        self._waiting.set()

    async def shut_down(self) -> None:
        """
        Close the connections; whatever still waits fails.
        """
        self._leaving, self._up = True, False
        self._reason = "the queue is shut down"
        self._fail_all()
        with contextlib.suppress(*LOST):
            await self.client.aclose()
            await self.client.connection_pool.disconnect()

    def submit(self, command: Call | Plain, *, after: Callable[[Any], None] | None = None) -> asyncio.Future[Any]:
        """
        The answer to come.

        Args:
            command: what to send.
            after: called with the answer, also if the future is cancelled after it was sent.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._leaving and not self._up:
            future.set_exception(self.error())
            return future
        self._line.append(Request(command=command, future=future, after=after))
        self._waiting.set()
        return future

    async def ask(self, command: Call | Plain, *, limit: float | None = None) -> Any:  # Any: answers of whatever type
        """
        The answer.

        Args:
            command: what to send.
            limit: seconds within which it must come; by default the patience.

        Raises:
            QueueServerError: it does not come in time, or the server refuses.
        """
        limit = GOODBYE if self._leaving else self.patience if limit is None else limit
        future = self.submit(command)
        try:
            async with asyncio.timeout(limit):
                return await future
        except TimeoutError:
            if self._up:
                self._up = not self._leaving  # then nobody else need wait for as long
                raise self.error(f"it did not answer within {limit:g} s") from None
            reason = f"{self._reason} (waited for {limit:g} s)"
            raise self.error(reason, hint="is the server running there, and may it be reached from here?") from None

    def error(self, reason: str | None = None, *, hint: str = "") -> QueueServerError:
        """
        The error to raise, by default with the reason why there is no connection.
        """
        return QueueServerError(self.address, self._reason if reason is None else reason, hint)

    async def _greet(self, limit: float) -> Findings:
        """
        Connect, see what is there, and give it the script.
        """
        try:
            async with asyncio.timeout(min(ATTEMPT, limit)):
                findings = await inspect_server(self.client, self.keys)
                await self.client.script_load(SOURCE)
        except LOST as error:
            reason, hint = explain(error)
            if may_pass(error):
                raise UnreachableError(reason) from None
            raise self.error(reason, hint=hint) from None
        if findings.unfit:
            raise self.error(findings.unfit, hint=findings.hint)
        return findings

    def _next_batch(self) -> list[Request]:
        batch: list[Request] = []
        size = 0
        while self._line and len(batch) < BATCH and (not batch or size + self._line[0].command.size <= BATCH_SIZE):
            request = self._line.popleft()
            if not request.future.done():
                batch.append(request)
                size += request.command.size
        return batch

    async def _exchange(self, batch: list[Request]) -> None:
        pipeline = self.client.pipeline(transaction=False)
        before = [request.sent for request in batch]
        for request in batch:
            pipeline.execute_command(*request.command.command(again=request.sent))
            request.sent = True
        answers = await pipeline.execute(raise_on_error=False)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            self.losses += 1
            await self.client.script_load(SOURCE)  # the server was restarted, or told to forget
        unserved: list[Request] = []
        for request, sent, answer in zip(batch, before, answers, strict=True):
            if isinstance(answer, NoScriptError):
                request.sent = sent
                unserved.append(request)
            else:
                self._resolve(request, answer)
        self._line.extendleft(reversed(unserved))
        if any(isinstance(answer, Exception) and may_be_replaced(answer) for answer in answers):
            self.losses += 1
            # The name may lead to another server by now.  Only our own connection: the bell looks for itself.
            await self.client.connection_pool.disconnect(inuse_connections=False)

    def _resolve(self, request: Request, answer: Any) -> None:  # Any: answers of whatever type
        if isinstance(answer, Exception):
            if not request.future.done():
                reason, hint = explain(answer)
                kind = NoGroupError if str(answer).startswith("NOGROUP") else QueueServerError
                request.future.set_exception(kind(self.address, reason, hint))
            return
        if request.after is not None:
            request.after(answer)
        if not request.future.done():
            request.future.set_result(answer)

    async def _recover(self, error: Exception) -> None:
        """
        Return when there is a connection again.
        """
        self._up = False
        self.losses += 1
        self._reason = explain(error)[0]
        self.logger.warning("connection to %s is lost: %s", self.address, self._reason)
        if self._leaving:
            self._fail_all()
        await insist(self._greet_again, on=is_unreachable, limit=None)
        self._up = True
        self.logger.info("connected to %s again", self.address)

    async def _greet_again(self) -> None:
        try:
            await self._greet(ATTEMPT)
        except QueueServerError as refusal:  # it may be allowed again, or changed, the next time
            self._reason = refusal.reason
            raise UnreachableError(refusal.reason) from None
        except UnreachableError as failure:
            self._reason = str(failure)
            raise

    def _fail_all(self) -> None:
        requests = list(self._line)
        self._line.clear()
        for request in requests:
            if not request.future.done():
                request.future.set_exception(self.error())
