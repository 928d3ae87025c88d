"""
The override of the component ``mq``: settings, and how the connection is made.
"""

from __future__ import annotations

import os
import re

import attrs

from conductor import setting
from conductor_mq import Broker, MessageQueue

from ._broker import NATSBroker
from ._catalogue import Catalogue
from ._link import Link, split_urls
from ._names import Names
from ._streams import Streams

_SCHEMES = ("nats://", "tls://", "ws://", "wss://")


def _check_url(instance: object, attribute: attrs.Attribute[str], url: str) -> None:
    urls = split_urls(url)
    if not urls or not all(each.startswith(_SCHEMES) for each in urls):
        raise ValueError("'url' must look like nats://user:password@host:4222")


def _check_namespace(instance: object, attribute: attrs.Attribute[str], namespace: str) -> None:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", namespace) is None:
        raise ValueError(f"'namespace' must be up to 64 letters, digits, '-' and '_', not {namespace!r}")


class NATSMessageQueue(MessageQueue):
    """
    A durable message queue on NATS JetStream; installed, it takes the place of the component ``mq``.

    Attributes:
        url: where the server is, and as whom to log in; several servers of one cluster are separated by commas.
        namespace: what the names of all streams and subjects begin with.
        replicas: how many servers of a cluster keep each message.
        connect_limit: seconds within which the server must answer when the queue is set up.
        patience: seconds within which a request must be answered, across lost connections.

    .. versionadded:: 0.1
    """

    url: str = setting(
        default="nats://127.0.0.1:4222",
        help="where the server is, as nats://user:password@host:4222; several are separated by commas",
        validator=_check_url,
    )
    namespace: str = setting(
        default="conductor", help="what the names of all streams and subjects begin with", validator=_check_namespace
    )
    replicas: int = setting(
        default=1, help="how many servers of a cluster keep each message", validator=attrs.validators.in_((1, 3, 5))
    )
    connect_limit: float = setting(
        default=20.0,
        help="seconds within which the server must answer when the queue is set up",
        validator=attrs.validators.gt(0),
    )
    patience: float = setting(
        default=30.0,
        help="seconds within which a request must be answered, across lost connections",
        validator=attrs.validators.gt(0),
    )

    async def _make_broker(self) -> Broker:
        """
        A connection, and the streams that are there for all topics.
        """
        link = Link(self.url, name=f"conductor-mq {os.getpid()}", patience=self.patience, logger=self.logger)
        self.defer(link.shut_down)
        await link.set_up(limit=self.connect_limit)
        streams = Streams(link, Names(self.namespace), self.replicas)
        await streams.make_common()
        catalogue = Catalogue(streams)
        self.defer(catalogue.shut_down)
        return NATSBroker(link, streams, catalogue)
