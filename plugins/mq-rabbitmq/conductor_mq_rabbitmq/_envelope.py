"""
How a message is written to the server: a JSON head with everything about it, then the body as it is.

Everything is in the AMQP body, as headers of AMQP hold neither names of any length nor more than fits in one frame.
"""

from __future__ import annotations

import json
import struct
import time
import uuid
from typing import Any

import attrs

from conductor_mq import DeadLetter, Message

MAGIC = b"CMQ1"
_LENGTH = struct.Struct(">I")


class NoEnvelopeError(ValueError):
    """
    What lies in a queue is not a message of ours.
    """


@attrs.frozen(kw_only=True)
class Envelope:
    """
    A message on its way, with what happened to it so far.

    Attributes:
        message: the message as it was published.
        published: when, in seconds since the epoch.
        due: when it may be handed out, in seconds since the epoch.
        attempts: how many times it was handed out before it came into the queue where it lies.
        error: why it is a dead letter.
        died: when it became one.
    """

    message: Message
    published: float = attrs.field(factory=time.time)
    due: float = 0.0
    attempts: int = 0
    error: str = ""
    died: float = 0.0

    def pack(self) -> bytes:
        """
        The bytes to send.
        """
        message = self.message
        head = {
            "id": message.id,
            "topic": message.topic,
            "key": message.key,
            "headers": dict(message.headers),
            "published": self.published,
            "due": self.due,
            "attempts": self.attempts,
            "error": self.error,
            "died": self.died,
        }
        text = json.dumps(head, separators=(",", ":")).encode()
        return b"".join((MAGIC, _LENGTH.pack(len(text)), text, message.body))

    def dead_letter(self, group: str) -> DeadLetter:
        """
        What is told about it when it is dead.
        """
        return DeadLetter(message=self.message, group=group, attempts=self.attempts, error=self.error, died=self.died)


def unpack(content: bytes) -> Envelope:
    """
    The envelope that was sent.

    Raises:
        NoEnvelopeError: it is something else.
    """
    try:
        if not content.startswith(MAGIC):
            raise ValueError("it does not begin like one")
        (length,) = _LENGTH.unpack_from(content, len(MAGIC))
        begin = len(MAGIC) + _LENGTH.size
        head: dict[str, Any] = json.loads(content[begin : begin + length])  # Any: JSON
        message = Message(
            id=head["id"],
            topic=head["topic"],
            body=content[begin + length :],
            headers=head["headers"],
            key=head["key"],
        )
        return Envelope(
            message=message,
            published=head["published"],
            due=head["due"],
            attempts=head["attempts"],
            error=head["error"],
            died=head["died"],
        )
    except (ValueError, LookupError, TypeError, struct.error) as error:
        raise NoEnvelopeError(f"not a message of conductor-mq: {error}") from None


def wrap_stranger(content: bytes, topic: str) -> Envelope:
    """
    An envelope for something else that lies in the queue of a topic, so that it can be kept as a dead letter.
    """
    stranger = Message(id=uuid.uuid4().hex, topic=topic, body=content, headers={}, key=None)
    return Envelope(message=stranger, due=0.0)
