"""
The durable message queue of Conductor: the contract, and the embedded default on SQLite.

================  =====================================================================================
``MessageQueue``  the contract, which components name: ``queue: MessageQueue``
``Subscription``  what ``subscribe`` gives: an asynchronous iterator of ``Delivery``
``DeadLetter``    a message that a group could not handle; ``Backlog`` counts what is still to do
``Broker``        what an implementation writes, with ``Channel``, ``Held``, ``Verdict`` and ``Action``
``exceptions``    every error that a queue raises
``testing``       the test double ``MemoryMessageQueue`` and the conformance suite
================  =====================================================================================

The embedded default is :class:`SQLiteMessageQueue`, published as the component ``mq``.
"""

from ._broker import Action, Broker, Channel, Held, Verdict
from ._contract import DEFAULT_GROUP, MessageQueue
from ._delivery import Delivery
from ._message import MAX_BODY, Backlog, DeadLetter, Message
from ._sqlite import SQLiteMessageQueue
from ._subscription import Subscription
from .exceptions import (
    InvalidMessageError,
    MessageTooLargeError,
    NotHeldError,
    QueueError,
    QueueFileError,
    QueueServerError,
    QueueUnavailableError,
)

__all__ = [
    "DEFAULT_GROUP",
    "MAX_BODY",
    "Action",
    "Backlog",
    "Broker",
    "Channel",
    "DeadLetter",
    "Delivery",
    "Held",
    "InvalidMessageError",
    "Message",
    "MessageQueue",
    "MessageTooLargeError",
    "NotHeldError",
    "QueueError",
    "QueueFileError",
    "QueueServerError",
    "QueueUnavailableError",
    "SQLiteMessageQueue",
    "Subscription",
    "Verdict",
]
