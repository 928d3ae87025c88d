"""
Notifications of PostgreSQL, on a connection of their own that comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import attrs

from ._connection import Connector, held, insist, summary

PULSE = 30.0  # seconds between two questions whether the server is still there
LONGEST_NAME = 63  # bytes; PostgreSQL would cut a longer one
CAPACITY = 10_000  # payloads that wait for a slow reader


@attrs.define(eq=False)
class Mailbox:
    """
    Payloads that wait to be read, in order; None stands for some that may have been missed.
    """

    _waiting: deque[str | None] = attrs.field(factory=deque, init=False)
    _news: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def put(self, payload: str | None) -> None:
        """
        Add one; if nobody has read for long, all give way to a single None.
        """
        if len(self._waiting) >= CAPACITY:
            self._waiting.clear()
            payload = None
        self._waiting.append(payload)
        self._news.set()

    def __aiter__(self) -> Mailbox:
        return self

    async def __anext__(self) -> str | None:
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()


@contextlib.asynccontextmanager
async def listening(
    connector: Connector, channel: str, *, logger: logging.Logger
) -> AsyncIterator[AsyncIterator[str | None]]:
    """
    The payloads that are sent to a channel from now on.

    Args:
        connector: makes the connections.
        channel: its name, upper and lower case being different.
        logger: is told when the connection is lost and when it is back.

    Raises:
        ValueError: the name is empty or too long.
    """
    if not 0 < len(channel.encode()) <= LONGEST_NAME:
        raise ValueError(f"the name of a channel has 1 to {LONGEST_NAME} bytes, and '{channel}' has not")
    mailbox = Mailbox()
    begun = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(_listen(connector, channel, mailbox, begun, logger), name=f"listen to {channel}")
    try:
        await asyncio.wait([task, begun], return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            await task  # raises what kept it from beginning
        yield mailbox
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _listen(
    connector: Connector, channel: str, mailbox: Mailbox, begun: asyncio.Future[None], logger: logging.Logger
) -> None:
    while True:
        lost = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            if begun.done():
                await _subscribe_patiently(stack, connector, channel, mailbox, lost, logger)
                logger.info("listening to '%s' again", channel)
                mailbox.put(None)
            else:
                await _subscribe(stack, connector, channel, mailbox, lost)
                begun.set_result(None)
            await lost.wait()
        logger.warning("the connection that listens to '%s' is lost", channel)


async def _subscribe_patiently(
    stack: contextlib.AsyncExitStack,
    connector: Connector,
    channel: str,
    mailbox: Mailbox,
    lost: asyncio.Event,
    logger: logging.Logger,
) -> None:
    def tell(error: Exception) -> None:
        logger.info("cannot listen to '%s' yet: %s", channel, summary(error))

    async def subscribe() -> None:
        await _subscribe(stack, connector, channel, mailbox, lost)

    await insist(subscribe, limit=None, tell=tell)


async def _subscribe(
    stack: contextlib.AsyncExitStack, connector: Connector, channel: str, mailbox: Mailbox, lost: asyncio.Event
) -> None:
    def receive(_connection: object, _process: int, _channel: str, payload: Any) -> None:
        mailbox.put(str(payload))

    async with contextlib.AsyncExitStack() as attempt:
        connection = await attempt.enter_async_context(held(connector, pulse=PULSE, on_lost=lost.set))
        async with asyncio.timeout(PULSE):
            await connection.add_listener(channel, receive)
        stack.push_async_exit(attempt.pop_all())
    if connection.is_closed():
        lost.set()
