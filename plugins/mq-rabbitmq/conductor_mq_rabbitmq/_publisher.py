"""
Publishes until the server has confirmed, across lost connections, within a limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiormq.exceptions
import attrs
from aiormq.abc import AbstractChannel
from pamqp.commands import Basic

from ._link import LOST, Link

PAUSE = 0.05  # seconds before the next attempt
PERSISTENT = 2

Repair = Callable[[], Awaitable[None]]


@attrs.define(eq=False)
class Publisher:
    """
    The way of messages to the server.

    Attributes:
        link: the connection.
        patience: seconds within which a message must be confirmed.
    """

    link: Link
    patience: float
    _channel: AbstractChannel | None = attrs.field(init=False, default=None)
    _turn: asyncio.Lock = attrs.field(init=False, factory=asyncio.Lock)

    async def publish(self, exchange: str, routing_key: str, body: bytes, *, repair: Repair | None = None) -> None:
        """
        Return when every queue that the message goes to has it, durably.

        Args:
            exchange: where to publish it.
            routing_key: which queues of that exchange get it.
            body: the message.
            repair: called when there is no such exchange or queue, to make it.

        Raises:
            QueueServerError: it was not confirmed in time.
        """
        try:
            async with asyncio.timeout(self.patience):
                while not await self._attempt(exchange, routing_key, body, repair):
                    await asyncio.sleep(PAUSE)
        except TimeoutError:
            raise self.link.error(
                f"a message was not confirmed within {self.patience:g} s: {self.link.reason}",
                hint="is the server running, and has it enough memory and disk? 'rabbitmqctl status' tells of alarms",
            ) from None

    async def _attempt(self, exchange: str, routing_key: str, body: bytes, repair: Repair | None) -> bool:
        try:
            channel = await self._open()
            await self.link.call(
                channel.basic_publish(
                    body,
                    exchange=exchange,
                    routing_key=routing_key,
                    properties=Basic.Properties(delivery_mode=PERSISTENT),
                    mandatory=True,
                )
            )
            return True
        except (aiormq.exceptions.PublishError, aiormq.exceptions.ChannelNotFoundEntity):
            if repair is None:
                raise self.link.error(f"queue '{routing_key}' is not there any more") from None
            await repair()
        except aiormq.exceptions.ChannelAccessRefused as error:
            raise refused(self.link, error) from None
        except LOST:
            pass  # the next attempt waits for the connection
        return False

    async def _open(self) -> AbstractChannel:
        async with self._turn:
            if self._channel is None or self._channel.is_closed:
                self._channel = await self.link.channel(confirms=True)
            return self._channel


def refused(link: Link, error: BaseException) -> Exception:
    """
    The error for what the user may not do.
    """
    return link.error(
        f"it refuses: {error.args[-1] if error.args else error}",
        hint="the user needs the permissions to configure, write and read what begins with the setting 'namespace'",
    )
