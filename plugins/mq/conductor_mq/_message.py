"""
What a message is, and what is kept about it: plain records, and the checks that every queue makes.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping

import attrs

from .exceptions import InvalidMessageError, MessageTooLargeError

MAX_BODY = 1024 * 1024
MAX_ERROR = 2000


@attrs.frozen(kw_only=True)
class Message:
    """
    One published message.

    Attributes:
        id: identifies the message in its queue, the same in every group and attempt.
        topic: where it was published.
        body: the content, which the queue does not look into.
        headers: text by name, for what describes the content.
        key: messages of one key are handed out in order; None if there is no order.

    .. versionadded:: 0.1
    """

    id: str
    topic: str
    body: bytes
    headers: Mapping[str, str]
    key: str | None


@attrs.frozen(kw_only=True)
class DeadLetter:
    """
    A message that a group could not handle, kept until it is replayed.

    Attributes:
        message: the message as it was published.
        group: the group that could not handle it.
        attempts: how many times it was handed out.
        error: why the last attempt failed.
        died: when, in seconds since the epoch.

    .. versionadded:: 0.1
    """

    message: Message
    group: str
    attempts: int
    error: str
    died: float


@attrs.frozen(kw_only=True)
class Backlog:
    """
    How much one group has still to do in one topic.

    Attributes:
        topic: where the messages were published.
        group: the group, or None for messages that wait for a first group.
        waiting: messages to be handed out, now or later.
        in_flight: messages that a consumer holds.
        dead: dead letters.

    .. versionadded:: 0.1
    """

    topic: str
    group: str | None
    waiting: int
    in_flight: int
    dead: int


def make_message(topic: str, body: bytes, headers: Mapping[str, str] | None, key: str | None) -> Message:
    """
    A new message, checked.

    Raises:
        MessageTooLargeError: the body is too large.
        InvalidMessageError: any other part is not what it must be.
    """
    check_name("topic", topic)
    if key is not None:
        check_text("key", key)
    if not isinstance(body, bytes | bytearray | memoryview):
        raise InvalidMessageError(f"body must be bytes, not {type(body).__name__}\nhint: encode it first")
    content = bytes(body)
    if len(content) > MAX_BODY:
        raise MessageTooLargeError(topic, len(content), MAX_BODY)
    return Message(id=uuid.uuid4().hex, topic=topic, body=content, headers=_check_headers(headers or {}), key=key)


def check_name(what: str, name: str) -> None:
    """
    Refuse what cannot name a topic or a group: anything that is not text, and empty text.
    """
    check_text(what, name)
    if not name:
        raise InvalidMessageError(f"{what} must not be empty")


def check_text(what: str, text: object) -> None:
    """
    Refuse what is not text, or is text that UTF-8 cannot carry.
    """
    if not isinstance(text, str):
        raise InvalidMessageError(f"{what} must be text, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidMessageError(f"{what} {text!r} cannot be written in UTF-8: {error.reason}") from None


def check_seconds(what: str, seconds: float) -> float:
    """
    The number of seconds, refused if it is negative or not finite.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidMessageError(f"{what} must be a number of seconds, not {type(seconds).__name__}")
    if not math.isfinite(seconds) or seconds < 0:
        raise InvalidMessageError(f"{what} must be a number of seconds from 0, not {seconds}")
    return float(seconds)


def _check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        check_text("header name", name)
        check_text(f"header {name!r}", value)
    return dict(headers)


def describe_error(error: BaseException | str | None) -> str:
    """
    The text that is kept for an error, cut to a sensible length.
    """
    if isinstance(error, BaseException):
        detail = str(error)
        error = f"{type(error).__name__}: {detail}" if detail else type(error).__name__
    text = (error or "").encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_ERROR else text[: MAX_ERROR - 1] + "…"
