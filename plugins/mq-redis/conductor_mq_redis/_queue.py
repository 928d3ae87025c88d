"""
The component: a message queue on a Redis server.
"""

from __future__ import annotations

import re

import attrs

from conductor import setting
from conductor_mq import Broker, MessageQueue

from ._address import check_url
from ._bell import Bell
from ._broker import RedisBroker
from ._keys import Keys
from ._link import Link


def _check_prefix(instance: object, attribute: attrs.Attribute[str], text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_.:/-]{1,80}", text):
        raise ValueError(f"'prefix' must be up to 80 letters, digits and '_.:/-', not {text!r}")


class RedisMessageQueue(MessageQueue):
    """
    A durable message queue on a Redis server, 6.2 or newer; installed, it takes the place of ``mq``.

    What is confirmed is as durable as the server is set to make it: with ``appendonly yes`` and ``appendfsync
    always`` it survives the death of the server and of its machine.  At set-up a warning says what is at risk.

    Attributes:
        url: where the server is, as whom to log in, and which database.
        prefix: what the names of all keys begin with.
        connect_limit: seconds within which the server must be there at set-up.
        patience: seconds within which the server must confirm or answer, also while it is away.

    .. versionadded:: 0.1
    """

    url: str = setting(
        default="redis://127.0.0.1:6379/0", help="where the server is; may hold a password", validator=check_url
    )
    prefix: str = setting(default="conductor-mq", help="what the names of all keys begin with", validator=_check_prefix)
    connect_limit: float = setting(
        default=15.0,
        help="seconds within which the server must be there at set-up",
        validator=attrs.validators.gt(0),
    )
    patience: float = setting(
        default=10.0,
        help="seconds within which the server must confirm or answer, also while it is away",
        validator=attrs.validators.gt(0),
    )
    _link: Link | None = None

    async def shutdown(self) -> None:
        """
        End all subscriptions; if the server is away, what is unsettled comes back by itself.
        """
        if self._link is not None:
            self._link.leave()
        await super().shutdown()

    async def _make_broker(self) -> Broker:
        """
        The server, with one connection for requests and one to listen.
        """
        keys = Keys(self.prefix)
        link = self._link = Link(self.url, keys, patience=self.patience, logger=self.logger)
        self.defer(link.shut_down)
        for warning in (await link.set_up(limit=self.connect_limit)).warnings:
            self.logger.warning("%s", warning)
        bell = Bell(link, keys.hello, logger=self.logger)
        self.defer(bell.shut_down)
        await bell.set_up()
        self.spawn(link.keep(), name="conductor-mq-redis requests")
        self.spawn(bell.keep(), name="conductor-mq-redis bell")
        self.defer(link.end)  # newest first: before the two are cancelled
        self.defer(bell.end)
        return RedisBroker(link, keys, bell, logger=self.logger)
