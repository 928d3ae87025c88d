"""
One connection to the server, kept up, and requests that survive its loss.

Theory of operation
-------------------

1. ``set_up`` makes the first connection.  A server that does not answer is tried again until the limit is over; one
   that refuses (password, no JetStream) is not.  Either way there is one error in the end.
2. The client library connects again by itself when the connection is lost, at a pace of this process's own, so that
   many processes do not come all at once.  ``epoch`` counts the connections: what is known about time from an earlier
   one does not hold.
3. Every request is one that may be made twice: what is published has an id by which the server recognises it, and
   all else is the same the second time.  So ``ask`` repeats it until there is an answer or the patience is over, and
   does not repeat it while there is no connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import attrs
import nats.errors
import stamina
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from conductor_mq import QueueServerError

OLDEST = (2, 9)  # the first version that sends signs of life to those who pull
ATTEMPT = 5.0  # seconds for one attempt to connect
ANSWER = 2.0  # seconds until a request is made again
FIRST_PAUSE, LONGEST_PAUSE, JITTER = 0.1, 5.0, 0.5
NO_ANSWER_PAUSE = 0.1  # seconds before asking again when nobody is there to answer
NOT_ENABLED = {10039, 10076}  # what the server says if there is no JetStream for this account, or at all
WRONG_LAST = {10071}
UNAVAILABLE = {10008}  # JetStream is being set up, or looks for a leader


class RefusedError(Exception):
    """
    The server has answered, and what it says is an error.
    """

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(error.get("description", "unknown error"))
        self.code = int(error.get("code", 0))
        self.number = int(error.get("err_code", 0))


class _UnreachableError(Exception):
    """
    An attempt to connect that may succeed the next time; it holds nothing but text that may be shown.
    """


def split_urls(url: str) -> list[str]:
    """
    The servers that a setting names, separated by commas.
    """
    return [each if "://" in each else f"nats://{each}" for each in map(str.strip, url.split(",")) if each]


def shown_address(url: str) -> str:
    """
    Where the server is, for people: without password, token and options.
    """
    return ", ".join(_without_login(each) for each in split_urls(url))


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    login, at, place = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")  # one without a colon is a token
    return urlunsplit((parts.scheme, f"{user}@{place}" if at and colon else place, parts.path, "", ""))


@attrs.frozen
class Login:
    """
    Who logs in: a user with a password, or a token.
    """

    user: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    token: str | None = attrs.field(default=None, repr=False)


def _login(url: str) -> Login:
    """
    What the URL says about it; the library would not decode that.
    """
    for each in split_urls(url):
        parts = urlsplit(each)
        if parts.username and parts.password is not None:
            return Login(user=unquote(parts.username), password=unquote(parts.password))
        if parts.username:
            return Login(token=unquote(parts.username))
    return Login()


@attrs.define(eq=False)
class Link:
    """
    A connection that is kept up.

    Attributes:
        url: where the server is, and as whom to log in; several of one cluster are separated by commas.
        name: what the server shows for the connection.
        patience: seconds within which a request must be answered.
        logger: where it is told that the connection is lost, and that it is back.
        epoch: how many times a connection was made.
        returned: called whenever the connection is back.
    """

    url: str = attrs.field(repr=False)
    name: str = attrs.field(kw_only=True)
    patience: float = attrs.field(kw_only=True)
    logger: logging.Logger = attrs.field(kw_only=True)
    epoch: int = attrs.field(init=False, default=0)
    returned: set[Callable[[], Awaitable[None]]] = attrs.field(init=False, factory=set)
    _client: Client | None = attrs.field(init=False, default=None)
    _up: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _reason: str = attrs.field(init=False, default="not connected yet")
    _limits: set[asyncio.Timeout] = attrs.field(init=False, factory=set)

    @property
    def address(self) -> str:
        """
        Where the server is, for people.
        """
        return shown_address(self.url)

    @property
    def is_up(self) -> bool:
        """
        Whether there is a connection at present.
        """
        return self._up.is_set() and self._client is not None and self._client.is_connected

    @property
    def is_closed(self) -> bool:
        """
        Whether there is no connection, and will be none.
        """
        return self._client is None or self._client.is_closed

    @property
    def client(self) -> Client:
        """
        The client library's connection.
        """
        if self._client is None:
            raise self.error()
        return self._client

    @property
    def max_payload(self) -> int:
        """
        Bytes that one message on the server may have, headers included.
        """
        return self.client.max_payload

    async def set_up(self, *, limit: float) -> None:
        """
        Connect for the first time.

        Args:
            limit: seconds within which the server must answer.

        Raises:
            QueueServerError: it does not, or it refuses.
        """
        try:
            async for attempt in self._attempts(limit):
                with attempt:
                    await self._connect()
        except _UnreachableError as error:
            raise self.error(
                f"{error} (tried for {limit:g} s)",
                hint="is the server running there, and may it be reached from here? else change the setting 'url'",
            ) from None

    async def shut_down(self) -> None:
        """
        Close the connection.
        """
        client, self._client = self._client, None
        self._reason = "it is shut down"
        if client is not None:
            await _close(client)

    async def ask(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        repair: Callable[[], Awaitable[None]] | None = None,
        patience: float | None = None,
    ) -> Msg:
        """
        The answer to a request, which is repeated until there is one.

        Args:
            subject: whom to ask.
            payload: what to ask.
            headers: headers of the request.
            repair: called when nobody is there to answer, to change that.
            patience: seconds to wait for an answer; by default those of the link.

        Raises:
            QueueServerError: there was none in time.
        """
        patience = self.patience if patience is None else patience
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            try:
                return await self._attempt(subject, payload, headers, deadline)
            except nats.errors.NoRespondersError:
                reason = "nobody answers there, so JetStream may still be recovering"
                if repair is not None:
                    await repair()
            except (nats.errors.Error, OSError) as error:
                reason = self._describe_silence(error)
            if asyncio.get_running_loop().time() + NO_ANSWER_PAUSE > deadline:
                hint = "is the server running, and has it enough memory and disk?"
                raise self.error(f"{reason} (tried for {patience:g} s)", hint=hint) from None
            await asyncio.sleep(NO_ANSWER_PAUSE)

    async def ask_json(
        self, subject: str, request: object = None, *, patience: float | None = None
    ) -> dict[str, Any]:  # Any: JSON
        """
        The answer to a request to JetStream.

        Raises:
            RefusedError: the answer is an error.
            QueueServerError: there was no answer in time.
        """
        payload = b"" if request is None else json.dumps(request).encode()
        deadline = asyncio.get_running_loop().time() + (self.patience if patience is None else patience)
        while True:
            left = max(NO_ANSWER_PAUSE, deadline - asyncio.get_running_loop().time())
            answer: dict[str, Any] = json.loads((await self.ask(subject, payload, patience=left)).data)
            error = RefusedError(answer["error"]) if "error" in answer else None
            if error is None:
                return answer
            if error.number not in UNAVAILABLE or left <= NO_ANSWER_PAUSE:
                raise error
            await asyncio.sleep(NO_ANSWER_PAUSE)

    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        repair: Callable[[], Awaitable[None]] | None = None,
    ) -> int:
        """
        The number in its stream that the server has given to a message, which is durable.

        Args:
            subject: where to publish it.
            payload: the message.
            id: what the server recognises it by if it comes twice; by default one that no other has.
            headers: further headers.
            repair: called when there is no stream, to make it.

        Raises:
            RefusedError: the server refuses it.
            QueueServerError: it was not confirmed in time.
        """
        whole = {"Nats-Msg-Id": id or uuid.uuid4().hex, **(headers or {})}
        deadline = asyncio.get_running_loop().time() + self.patience
        while True:
            left = max(NO_ANSWER_PAUSE, deadline - asyncio.get_running_loop().time())
            answer = json.loads((await self.ask(subject, payload, headers=whole, repair=repair, patience=left)).data)
            if "error" not in answer:
                return int(answer["seq"])
            error = RefusedError(answer["error"])
            if error.number not in UNAVAILABLE or left <= NO_ANSWER_PAUSE:
                raise error
            await asyncio.sleep(NO_ANSWER_PAUSE)

    async def probe(self, subject: str) -> None:
        """
        Return if somebody answers a request to JetStream now; it is not repeated.

        Raises:
            QueueServerError: nobody does, or the answer is an error.
        """
        hint = "is the server running there? the connection comes back by itself"
        if not self.is_up:
            raise self.error(hint=hint)
        try:
            deadline = asyncio.get_running_loop().time() + ATTEMPT
            answer = json.loads((await self._attempt(subject, b"", None, deadline)).data)
        except (nats.errors.Error, OSError) as error:
            raise self.error(self._describe_silence(error), hint=hint) from None
        if "error" in answer:
            raise self.refusal(RefusedError(answer["error"]))

    async def tell(self, subject: str, payload: bytes, *, reply: str) -> None:
        """
        Send what is answered elsewhere, or not at all; lost if there is no connection.
        """
        with contextlib.suppress(nats.errors.Error, OSError):
            await self.client.publish(subject, payload, reply=reply)

    async def subscribe(self, subject: str, handler: Callable[[Msg], Awaitable[None]]) -> Subscription:
        """
        Have a coroutine function called with each message on a subject, one after another.
        """

        async def call(message: Msg) -> None:
            await handler(message)

        try:
            return await self.client.subscribe(subject, cb=call)
        except nats.errors.Error as error:
            raise self.error(str(error)) from None

    async def unsubscribe(self, subscription: Subscription) -> None:
        """
        Be called no more, as soon as what is under way has been handled.
        """
        with contextlib.suppress(nats.errors.Error, OSError):
            if self.is_up:
                await subscription.drain()  # type: ignore[no-untyped-call]  # the library says no types here
            else:
                await subscription.unsubscribe()

    def error(self, reason: str | None = None, *, hint: str = "") -> QueueServerError:
        """
        The error to raise, by default with the reason why there is no connection.
        """
        return QueueServerError(self.address, self._reason if reason is None else reason, hint)

    def refusal(self, error: RefusedError) -> QueueServerError:
        """
        The error to raise for what the server has refused.
        """
        if error.number in NOT_ENABLED:
            return self._no_jetstream()
        return self.error(f"it refuses: {error}", hint="has JetStream enough storage, and may this user use it?")

    async def _attempt(self, subject: str, payload: bytes, headers: dict[str, str] | None, deadline: float) -> Msg:
        if not self.is_up:
            if self.is_closed:
                raise self.error()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self._up.wait()
        left = min(ANSWER, max(0.01, deadline - asyncio.get_running_loop().time()))
        async with asyncio.timeout(left) as limit:
            self._limits.add(limit)
            try:
                return await self.client.request(subject, payload, timeout=2 * left, headers=headers)
            finally:
                self._limits.discard(limit)

    def _describe_silence(self, error: Exception) -> str:
        if isinstance(error, nats.errors.MaxPayloadError):
            return "the message is larger than its 'max_payload'"
        return "it does not answer" if self.is_up else self._reason

    def _attempts(self, timeout: float) -> AsyncIterator[Any]:  # Any: stamina's attempts, context managers
        return stamina.retry_context(
            on=_UnreachableError,
            attempts=None,
            timeout=timeout,
            wait_initial=FIRST_PAUSE,
            wait_max=LONGEST_PAUSE,
            wait_jitter=JITTER,
        ).__aiter__()

    async def _connect(self) -> None:
        failures: list[Exception] = []

        async def note(error: Exception) -> None:
            if self._client is client:
                self.logger.debug("connection to %s: %r", self.address, error)
            else:
                failures.append(error)

        client, login = Client(), _login(self.url)
        try:
            async with asyncio.timeout(2 * ATTEMPT):
                await client.connect(
                    split_urls(self.url),
                    name=self.name,
                    error_cb=note,
                    disconnected_cb=self._lost,
                    reconnected_cb=self._back,
                    closed_cb=self._closed,
                    allow_reconnect=False,
                    connect_timeout=max(1, int(ATTEMPT)),
                    reconnect_time_wait=0,
                    max_reconnect_attempts=1,
                    ping_interval=20,
                    pending_size=-1,
                    user=login.user,
                    password=login.password,
                    token=login.token,
                )
            await self._require_jetstream(client)
        except BaseException as error:
            await _close(client)
            if isinstance(error, QueueServerError):
                raise
            if not isinstance(error, nats.errors.Error | OSError | TimeoutError):
                raise
            causes = [*failures, error]
            self._raise_refusal(causes)
            self._reason = _explain(causes)
            raise _UnreachableError(self._reason) from None
        # These are meant for the first connection only: from now on the library keeps the connection up by itself.
        client.options["allow_reconnect"] = True
        client.options["max_reconnect_attempts"] = -1
        client.options["reconnect_time_wait"] = random.uniform(0.2, 0.8)
        self._client, self.epoch = client, self.epoch + 1
        self._up.set()

    async def _require_jetstream(self, client: Client) -> None:
        version = client.connected_server_version
        if (version.major, version.minor) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise self.error(f"it is NATS {version}, {oldest} or newer is needed", hint="upgrade the server")
        try:
            answer = json.loads((await client.request("$JS.API.INFO", timeout=ATTEMPT)).data)
        except nats.errors.NoRespondersError:
            raise self._no_jetstream() from None
        error = RefusedError(answer["error"]) if "error" in answer else None
        if error is not None and error.number in UNAVAILABLE:
            raise nats.errors.Error(f"{error}")
        if error is not None:
            raise self.refusal(error)

    def _no_jetstream(self) -> QueueServerError:
        return self.error(
            "JetStream is not enabled there, so it keeps no messages",
            hint="run it as 'nats-server -js -sd FOLDER', or allow JetStream to the account of this user",
        )

    def _raise_refusal(self, causes: list[Exception]) -> None:
        text = " ".join(map(str, causes)).lower()
        if "authorization" in text or "authentication" in text:
            user = _login(self.url).user
            who = f"the login of user '{user}'" if user else "the login"
            hint = "check user and password in the setting 'url'"
            raise self.error(f"it refuses {who}", hint=hint) from None
        if "expecting INFO" in text or "info message" in text:
            raise self.error(
                "it does not speak the protocol of NATS", hint="check the port in the setting 'url'"
            ) from None

    async def _lost(self) -> None:
        if self._client is None or not self._up.is_set():
            return
        self._up.clear()
        self._reason = "the connection was lost"
        for limit in self._limits:  # what has not been answered yet will not be
            with contextlib.suppress(RuntimeError):  # it is over already
                limit.reschedule(0)
        self.logger.warning("connection to %s is lost", self.address)

    async def _back(self) -> None:
        self.epoch += 1
        self._up.set()
        self.logger.info("connected to %s again", self.address)
        for call in list(self.returned):
            await call()

    async def _closed(self) -> None:
        if self._client is not None:
            self._reason = "the server has closed the connection for good"
            self._up.set()  # whoever waits for a connection finds that there will be none


async def _close(client: Client) -> None:
    with contextlib.suppress(nats.errors.Error, OSError):
        await client.close()


def _explain(causes: list[Exception]) -> str:
    for error in causes:
        if isinstance(error, TimeoutError):
            return f"it did not answer within {ATTEMPT:g} s"
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
    return next((str(each) for each in causes if str(each)), type(causes[-1]).__name__)
