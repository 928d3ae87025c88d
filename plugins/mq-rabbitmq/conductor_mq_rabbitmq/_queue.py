"""
The component: a message queue on a RabbitMQ server.
"""

from __future__ import annotations

import re

import attrs
from yarl import URL

from conductor import setting
from conductor_mq import Broker, MessageQueue

from ._broker import RabbitMQBroker
from ._link import Link
from ._names import Names
from ._post import Post
from ._publisher import Publisher
from ._topology import Topology

DEFAULT_URL = "amqp://guest:guest@127.0.0.1:5672/"  # what a server takes as it is installed, from its own machine only


def parse_url(text: str) -> URL:
    """
    The URL of a server.

    Raises:
        ValueError: it is none; the text is not repeated, as it may hold a password.
    """
    try:
        url = URL(text)
        usable = url.scheme in ("amqp", "amqps") and bool(url.host) and url.port != 0
    except ValueError:
        url, usable = URL(), False
    if not usable:  # outside of the handler: the error that is not chained would repeat the text
        raise ValueError(
            "'url' must be the URL of an AMQP server\n"
            "hint: write it like 'amqp://user:password@host:5672/virtual-host', or 'amqps://…'"
        )
    return url


def _check_url(instance: object, attribute: attrs.Attribute[str], text: str) -> None:
    parse_url(text)


def _check_namespace(instance: object, attribute: attrs.Attribute[str], text: str) -> None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,39}", text):
        raise ValueError(f"'namespace' must be up to 40 letters, digits, '-' and '_', not {text!r}")


class RabbitMQMessageQueue(MessageQueue):
    """
    A durable message queue on a RabbitMQ server, 3.10 or newer; installed, it takes the place of ``mq``.

    Attributes:
        url: where the server is, as whom to log in, and which virtual host.
        namespace: what the names of all queues and exchanges begin with.
        connect_limit: seconds within which the server must be there at set-up.
        patience: seconds within which the server must confirm or answer, also while it is away.
        heartbeat: seconds after which a silent connection is taken for lost.

    .. versionadded:: 0.1
    """

    url: str = setting(default=DEFAULT_URL, help="where the server is; may hold a password", validator=_check_url)
    namespace: str = setting(
        default="conductor",
        help="what the names of all queues and exchanges begin with",
        validator=_check_namespace,
    )
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
    heartbeat: int = setting(
        default=15,
        help="seconds after which a silent connection is taken for lost",
        validator=[attrs.validators.ge(1), attrs.validators.le(600)],
    )

    async def _make_broker(self) -> Broker:
        """
        The server, with one connection to publish through and one to receive over.
        """
        out, into = await self._connect("out"), await self._connect("into")
        publisher = Publisher(out, self.patience)
        topology = Topology(into, Names(self.namespace), publisher)
        broker = RabbitMQBroker(Post(into, publisher, topology, self.logger), self.patience, self.spawn)
        await broker.set_up()
        return broker

    async def _connect(self, direction: str) -> Link:
        link = Link(
            parse_url(self.url), name=f"conductor mq, {direction}", heartbeat=self.heartbeat, logger=self.logger
        )
        self.defer(link.shut_down)
        await link.set_up(limit=self.connect_limit)
        self.spawn(link.keep(), name=f"conductor-mq-rabbitmq connection {direction}")
        return link
