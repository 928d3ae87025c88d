"""
One connection to the server, kept up: made again when it is lost, with pauses that grow.

Theory of operation
-------------------

1. ``set_up`` makes the first connection.  A server that does not answer is tried again until the limit is over; one
   that refuses (password, virtual host, version) is not.  Either way there is one error in the end.
2. ``keep`` waits for the connection to end and makes the next one, for as long as the link is needed.  What was
   received over the lost one is the server's again; whoever uses the link finds its channels closed, and asks for
   new ones.
3. A request that waits for its answer must not be cancelled: its channel would be closed, and whatever was received
   over it would go back.  So requests run as tasks of the link (``call``); a caller that is cancelled leaves it alone.
4. When a channel is closed, the library cancels what waits for it.  ``call`` tells that as ``LostError``, so that
   nobody takes it for a cancellation of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import random
import weakref
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

import aio_pika
import aiormq
import aiormq.exceptions
import attrs
import pamqp.exceptions
import stamina
from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel
from yarl import URL

from conductor_mq import QueueServerError

T = TypeVar("T")

OLDEST = (3, 10)  # the first version whose quorum queues know a time to live, and hand on what is over it for certain
ATTEMPT = 5.0  # seconds for one attempt to connect
FIRST_PAUSE, LONGEST_PAUSE, JITTER = 0.1, 5.0, 0.5
CLOSING = 2.0  # seconds for the server to say goodbye


class LostError(Exception):
    """
    The channel or the connection was lost before the answer came.
    """


class _UnreachableError(Exception):
    """
    An attempt to connect that may succeed the next time; it holds nothing but text that may be shown.
    """


LOST = (LostError, aiormq.exceptions.AMQPError, OSError, RuntimeError, pamqp.exceptions.PAMQPException)


def shown_address(url: URL) -> str:
    """
    Where the server is, for people: without password and options.
    """
    return str(url.with_password(None).with_query(None).with_fragment(None))


@attrs.define(eq=False)
class Link:
    """
    A connection that is kept up.

    Attributes:
        url: where the server is, and as whom to log in.
        name: what the server shows for the connection.
        heartbeat: seconds after which a silent connection is taken for lost.
        logger: where it is told that the connection is lost, and that it is back.
    """

    url: URL
    name: str = attrs.field(kw_only=True)
    heartbeat: int = attrs.field(kw_only=True)
    logger: logging.Logger = attrs.field(kw_only=True)
    _connection: AbstractConnection | None = attrs.field(init=False, default=None)
    _up: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _reason: str = attrs.field(init=False, default="not connected yet")
    _locks: weakref.WeakValueDictionary[str, asyncio.Lock] = attrs.field(
        init=False, factory=weakref.WeakValueDictionary
    )
    _calls: set[asyncio.Future[Any]] = attrs.field(init=False, factory=set)

    @property
    def address(self) -> str:
        """
        Where the server is, for people.
        """
        return shown_address(self.url)

    async def set_up(self, *, limit: float) -> None:
        """
        Connect for the first time.

        Args:
            limit: seconds within which the server must answer.

        Raises:
            QueueServerError: it does not, or it refuses.
        """
        quiet = _quiet.set(True)
        try:
            async for attempt in self._attempts(timeout=limit):
                with attempt:
                    await self._connect()
        except _UnreachableError as error:
            raise self.error(
                f"{error} (tried for {limit:g} s)",
                hint="is the server running there, and may it be reached from here? else change the setting 'url'",
            ) from None
        finally:
            _quiet.reset(quiet)

    async def keep(self) -> None:
        """
        Connect again whenever the connection is lost; never returns.
        """
        _quiet.set(True)  # in this task
        while True:
            connection = self._connection
            if connection is not None:
                self._reason = await _until_lost(connection)
                self._up.clear()
                self.logger.warning("the connection to %s is lost: %s", self.address, self._reason)
                await _close(connection)
            async for attempt in self._attempts(timeout=None):
                with attempt:
                    try:
                        await self._connect()
                    except QueueServerError as error:  # it may be allowed again, or upgraded, the next time
                        self._reason = error.reason
                        self.logger.warning("%s", error)
                        raise _UnreachableError(error.reason) from None
            self.logger.info("connected to %s again", self.address)

    async def shut_down(self) -> None:
        """
        Close the connection, and wait for the requests that are under way.
        """
        connection, self._connection = self._connection, None
        self._up.set()  # whoever waits for a connection finds that there is none
        if connection is not None:
            await _close(connection)
        if self._calls:
            _, late = await asyncio.wait(self._calls, timeout=CLOSING)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def wait_until_up(self, enough: asyncio.Event) -> None:
        """
        Return when there is a connection, or when enough of waiting.
        """
        if self._up.is_set():
            return
        waiting = [asyncio.ensure_future(event.wait()) for event in (self._up, enough)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def channel(self, *, confirms: bool = False) -> AbstractChannel:
        """
        A new channel, as soon as there is a connection.

        Args:
            confirms: whether the server confirms what is published through it.
        """
        await self._up.wait()
        if self._connection is None:
            raise LostError("the link is shut down")
        channel = await self.call(_make_channel(self._connection, confirms))

        async def give_up(frame: object) -> None:
            """
            The server has ended a consumer, as its queue was deleted: whoever uses the channel must look again.
            """
            self.begin(self.close(channel))

        channel.on_consumer_cancel_callbacks.add(give_up)
        return channel

    @contextlib.asynccontextmanager
    async def passing_channel(self, *, confirms: bool = False) -> AsyncIterator[AbstractChannel]:
        """
        A new channel that is closed in the end.
        """
        channel = await self.channel(confirms=confirms)
        try:
            yield channel
        finally:
            await self.close(channel)

    async def close(self, channel: AbstractChannel) -> None:
        """
        Close a channel; the server takes back what was received over it.
        """
        with contextlib.suppress(*LOST):
            await self.call(channel.close())

    async def call(self, request: Awaitable[T]) -> T:
        """
        The answer to a request, which goes on when its caller is cancelled.

        Raises:
            LostError: channel or connection was lost before the answer came.
        """
        task = self.begin(request)
        await asyncio.wait({task})
        if task.cancelled() or type(task.exception()) is Exception:  # what the library says when it has no reason
            raise LostError("the channel was closed")
        return task.result()

    def begin(self, request: Awaitable[T]) -> asyncio.Future[T]:
        """
        A request that nobody needs to wait for.
        """
        task: asyncio.Future[T] = asyncio.ensure_future(request)
        self._calls.add(task)
        task.add_done_callback(self._forget)
        return task

    async def wait_on(self, channel: AbstractChannel, *events: asyncio.Event) -> None:
        """
        Return when one of the events is set.

        Raises:
            LostError: the channel was lost before that.
        """
        if channel.is_closed:
            raise LostError("the channel was closed")
        waiting = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait([*waiting, channel.closing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if not any(event.is_set() for event in events):
            raise LostError("the channel was closed")

    def lock(self, name: str) -> asyncio.Lock:
        """
        What keeps the tasks of this process apart; locks on the server are those of the whole connection.
        """
        return self._locks.setdefault(name, asyncio.Lock())

    async def require_ready(self) -> None:
        """
        Return when the server takes messages from this connection; it does not while it is short of memory or disk.
        """
        await self._up.wait()
        transport = None if self._connection is None else self._connection.transport
        if transport is None:
            raise LostError("the connection was lost")
        await transport.ready()

    @property
    def is_up(self) -> bool:
        """
        Whether there is a connection.
        """
        return self._up.is_set() and self._connection is not None

    @property
    def reason(self) -> str:
        """
        Why there is no connection, or that there is one.
        """
        return "it does not answer" if self._up.is_set() else self._reason

    def error(self, reason: str, *, hint: str = "") -> QueueServerError:
        """
        The error to raise, with the address.
        """
        return QueueServerError(self.address, reason, hint)

    def _forget(self, task: asyncio.Future[Any]) -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may have gone; then nobody asks for it

    def _attempts(self, *, timeout: float | None) -> AsyncIterator[Any]:  # Any: stamina's attempts, context managers
        return stamina.retry_context(
            on=_UnreachableError,
            attempts=None,
            timeout=timeout,
            wait_initial=FIRST_PAUSE,
            wait_max=LONGEST_PAUSE * random.uniform(0.7, 1.0),  # of its own, as the longest pause gets no jitter
            wait_jitter=JITTER,
        ).__aiter__()

    async def _connect(self) -> None:
        url = self.url.update_query({"heartbeat": str(self.heartbeat)})
        connection = aio_pika.Connection(url, client_properties={"connection_name": self.name})
        try:
            async with asyncio.timeout(ATTEMPT):
                await connection.connect()
            self._require_version(connection)
        except BaseException as error:
            await _close(connection)
            refused = self._explain_refusal(error)
            if refused is not None:
                raise refused from None
            if isinstance(error, (*LOST, TimeoutError)):
                self._reason = _explain(error)
                self.logger.info("cannot connect to %s yet: %s", self.address, self._reason)
                raise _UnreachableError(self._reason) from None
            raise
        self._connection = connection
        self._up.set()

    def _require_version(self, connection: AbstractConnection) -> None:
        transport = connection.transport
        raw: Any = {} if transport is None else transport.connection.server_properties  # Any: the server's own table
        text = str(raw.get("version", "0"))
        found = tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
        if found < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise self.error(f"it is RabbitMQ {text}, {oldest} or newer is needed", hint="upgrade the server")

    def _explain_refusal(self, error: BaseException) -> QueueServerError | None:
        """
        The error for what no further attempt can change.
        """
        match error:
            case aiormq.exceptions.ProbableAuthenticationError() | aiormq.exceptions.AuthenticationError():
                return self.error(
                    f"it refuses the login of user '{self.url.user}'",
                    hint="check user and password in the setting 'url', and that the user may log in from here",
                )
            case aiormq.exceptions.InvalidFrameError() if "OpenOk" in str(
                error
            ):  # the library keeps the reason to itself
                return self.error(
                    f"it does not let user '{self.url.user}' into the virtual host '{self.url.path[1:] or '/'}'",
                    hint="check the virtual host in the setting 'url', that it exists, and the user's permissions",
                )
            case aiormq.exceptions.IncompatibleProtocolError() | aiormq.exceptions.ProtocolSyntaxError():
                return self.error("it does not speak AMQP 0-9-1", hint="check the port in the setting 'url'")
            case QueueServerError():
                return error
        return None


async def _make_channel(connection: AbstractConnection, confirms: bool) -> AbstractChannel:
    channel = connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
    await channel.initialize()
    return await channel.get_underlay_channel()


async def _until_lost(connection: AbstractConnection) -> str:
    """
    Return when the connection is lost, with the reason.
    """
    # Not ``connection.closed()``, which tells only of a connection that was closed by ourselves.
    if connection.transport is not None:
        closing = connection.transport.connection.closing
        await asyncio.wait({closing})
        error = None if closing.cancelled() else closing.exception()
        if error is not None:
            return _explain(error)
    return "it was closed"


async def _close(connection: AbstractConnection) -> None:
    with contextlib.suppress(*LOST, TimeoutError):
        async with asyncio.timeout(CLOSING):
            await connection.close()


def _explain(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"it did not answer within {ATTEMPT:g} s"
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__
    return str(error.args[-1]) if error.args else type(error).__name__


def _is_not_ours(record: logging.LogRecord) -> bool:
    """
    Whether a library speaks of the connections of others: ours are told of with a reason, in one line.
    """
    return not _quiet.get()


_quiet = contextvars.ContextVar("_quiet", default=False)
for _name in ("stamina", "aiormq.connection"):
    logging.getLogger(_name).addFilter(_is_not_ours)
