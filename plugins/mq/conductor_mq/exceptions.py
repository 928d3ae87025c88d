"""
Every error that a message queue raises.

.. code-block:: text

    ConductorError
    └── QueueError                  anything that a queue could not do
        ├── QueueUnavailableError   the queue is not set up, or is shut down already
        ├── QueueFileError          the embedded queue cannot use its file
        ├── QueueServerError        the server that keeps the messages cannot be used
        ├── NotHeldError            a delivery is settled or extended that is not held any more
        └── InvalidMessageError     a message that no queue takes
            └── MessageTooLargeError    … because its body is too large
"""

from __future__ import annotations

import attrs

from conductor.exceptions import ConductorError


class QueueError(ConductorError):
    """
    The base class of every error that a queue raises.

    .. versionadded:: 0.1
    """


@attrs.define(eq=False, slots=False)
class QueueUnavailableError(QueueError):
    """
    The queue is not set up yet, or is shut down already.

    .. versionadded:: 0.1
    """

    queue: str

    def __str__(self) -> str:
        return (
            f"queue {self.queue} is not set up, or is shut down already\n"
            "hint: use it from 'setup' to 'shutdown' of a component that has it as a field"
        )


@attrs.define(eq=False, slots=False)
class QueueFileError(QueueError):
    """
    The embedded queue cannot use its file, which is left as it was.

    Attributes:
        path: the absolute path of the file.
        reason: what is wrong with it.
        hint: the next step, if there is one.

    .. versionadded:: 0.1
    """

    path: str
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"cannot keep messages in {self.path!r}: {self.reason}"
        return f"{text}\nhint: {self.hint}" if self.hint else text


@attrs.define(eq=False, slots=False)
class QueueServerError(QueueError):
    """
    The server that keeps the messages cannot be reached, refuses, or does not confirm in time.

    Attributes:
        address: where the server is, without any password.
        reason: what is wrong.
        hint: the next step, if there is one.

    .. versionadded:: 0.1
    """

    address: str
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"cannot use the message server at {self.address!r}: {self.reason}"
        return f"{text}\nhint: {self.hint}" if self.hint else text


@attrs.define(eq=False, slots=False, kw_only=True)
class NotHeldError(QueueError):
    """
    A delivery was settled or extended that this consumer does not hold any more.

    The message was settled before, or it has come back and is, or will be, handed out to somebody else.

    Attributes:
        verb: what was refused, ``ack``, ``nack``, ``reject`` or ``extend``.
        message: the id of the message.
        topic: where it was published.
        group: the group that it was delivered to.
        reason: why it is not held.

    .. versionadded:: 0.1
    """

    verb: str
    message: str
    topic: str
    group: str
    reason: str

    def __str__(self) -> str:
        return (
            f"'{self.verb}' of message '{self.message}' in topic {self.topic!r}, group {self.group!r} refused: "
            f"{self.reason}\n"
            "hint: finish within the setting 'visibility', or call 'extend' in time"
        )


class InvalidMessageError(QueueError, ValueError):
    """
    A message that no queue takes; the text says what is wrong with it.

    .. versionadded:: 0.1
    """


@attrs.define(eq=False, slots=False)
class MessageTooLargeError(InvalidMessageError):
    """
    The body of a message is larger than the contract allows.

    Attributes:
        topic: where it should have been published.
        size: bytes in the body.
        limit: bytes that are allowed.

    .. versionadded:: 0.1
    """

    topic: str
    size: int
    limit: int

    def __str__(self) -> str:
        return (
            f"body of {self.size:,} bytes for topic {self.topic!r} is too large, {self.limit:,} bytes are allowed\n"
            "hint: keep the content in a store of its own and publish where it is"
        )
