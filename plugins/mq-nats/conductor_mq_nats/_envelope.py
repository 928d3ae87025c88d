"""
How a message is written to the server: a JSON head with everything about it, then the body as it is.

Nothing is in headers of NATS, as those hold no line breaks, strip spaces, and count towards the same limit.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import attrs

from conductor_mq import Message

MAGIC = b"CMQ1"
_LENGTH = struct.Struct(">I")


class NoEnvelopeError(ValueError):
    """
    What lies in a stream is not a message of ours.
    """


@attrs.frozen(kw_only=True)
class Envelope:
    """
    A message on its way.

    Attributes:
        message: the message as it was published.
        due: when it may be handed out, in seconds since the epoch.
    """

    message: Message
    due: float = 0.0

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
            "due": self.due,
        }
        text = json.dumps(head, separators=(",", ":")).encode()
        return b"".join((MAGIC, _LENGTH.pack(len(text)), text, message.body))


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
        return Envelope(message=message, due=float(head["due"]))
    except (ValueError, LookupError, TypeError, struct.error) as error:
        raise NoEnvelopeError(f"not a message of conductor-mq: {error}") from None
