"""
How consumers that wait learn that there is something for them, without asking again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import attrs
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError

from ._explanation import explain
from ._link import LOST, Link, UnreachableError, is_unreachable
from ._retrying import insist

QUIET = 15.0  # seconds of silence after which the server is asked whether it is still there


@attrs.define(eq=False)
class Bell:
    """
    One connection on which the server says which topic has something to be taken.

    Attributes:
        link: the way to the server.
        hello: a channel on which nothing is said.
        logger: where it is told that the connection is lost.
    """

    link: Link
    hello: str
    logger: logging.Logger = attrs.field(kw_only=True)
    _waiting: dict[str, set[asyncio.Event]] = attrs.field(init=False, factory=dict)
    _heard: dict[str, asyncio.Event] = attrs.field(init=False, factory=dict)
    _pubsub: PubSub | None = attrs.field(init=False, default=None)
    _over: bool = attrs.field(init=False, default=False)

    async def set_up(self) -> None:
        """
        Connect for the first time.

        Raises:
            QueueServerError: the server does not let us listen.
        """
        try:
            await self._connect()
        except UnreachableError as error:
            raise self.link.error(str(error)) from None

    def end(self) -> None:
        """
        Have ``keep`` return; it is cancelled as well, but the client may lose a cancellation (``wait_for`` on 3.11).
        """
        self._over = True

    async def shut_down(self) -> None:
        """
        Close the connection, if ``keep`` has not.
        """
        if self._pubsub is not None:
            await _close(self._pubsub)

    async def keep(self) -> None:
        """
        Listen, and connect again whenever the connection is lost, until the end.
        """
        while not self._over:
            pubsub = self._pubsub
            if pubsub is None:
                pubsub = await insist(self._connect, on=is_unreachable, limit=None)
            try:
                await self._listen(pubsub)
            except LOST as error:
                self.logger.info("listening at %s is interrupted: %s", self.link.address, explain(error)[0])
            finally:
                self._pubsub = None
                for heard in self._heard.values():
                    heard.clear()
                await _close(pubsub)

    @contextlib.asynccontextmanager
    async def ringing(self, channel: str, changed: asyncio.Event) -> AsyncIterator[None]:
        """
        The event is set, for as long as the context lasts, when there may be something to take.

        Args:
            channel: where the server says so; it is listened to when the context is entered.
            changed: the event.
        """
        self._waiting.setdefault(channel, set()).add(changed)
        try:
            await self._hear(channel)
            yield
        finally:
            self._waiting[channel].discard(changed)

    async def forget(self, channel: str) -> None:
        """
        Listen to a channel no more if nobody waits.
        """
        if not self._waiting.get(channel):
            self._waiting.pop(channel, None)
            if self._heard.pop(channel, None) is not None and self._pubsub is not None:
                with contextlib.suppress(*LOST):
                    await self._pubsub.unsubscribe(channel)

    async def _hear(self, channel: str) -> None:
        heard = self._heard.get(channel)
        if heard is None:
            heard = self._heard[channel] = asyncio.Event()
            if self._pubsub is not None:
                with contextlib.suppress(*LOST):  # then it is when connected again
                    await self._pubsub.subscribe(channel)
        await heard.wait()

    async def _connect(self) -> PubSub:
        pubsub = self.link.client.pubsub()
        known = set(self._heard)
        try:
            await pubsub.subscribe(self.hello, *known)
            self._pubsub = pubsub
            added = self._heard.keys() - known
            if added:  # while we were connecting
                await pubsub.subscribe(*added)
        except BaseException as error:
            self._pubsub = None
            await _close(pubsub)
            if isinstance(error, LOST):
                raise UnreachableError(explain(error)[0]) from None
            raise
        return pubsub

    async def _listen(self, pubsub: PubSub) -> None:
        asked, losses = False, self.link.losses
        while losses == self.link.losses and not self._over:  # else the server may be another one by now
            said = await pubsub.get_message(timeout=QUIET)
            if said is None:
                if asked:
                    raise ConnectionError("it is silent")
                await pubsub.ping()
                asked = True
                continue
            asked = False
            if said["type"] in ("subscribe", "message"):
                channel = said["channel"].decode()
                if channel in self._heard:
                    self._heard[channel].set()
                for changed in self._waiting.get(channel, ()):
                    changed.set()


async def _close(pubsub: PubSub) -> None:
    with contextlib.suppress(*LOST):
        await pubsub.aclose()  # type: ignore[no-untyped-call]  # the client has no types there
