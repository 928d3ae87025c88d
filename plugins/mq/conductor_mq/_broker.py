"""
What an implementation writes: a broker that keeps messages, and a channel for each subscription.

Everything that can be done the same way for every implementation is done above this line, in
:class:`~conductor_mq.MessageQueue` and :class:`~conductor_mq.Subscription`: checking of arguments, prefetch,
backoff, the decision that a message is dead, draining.  A broker keeps messages and hands them out, no more.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Collection, Sequence

import attrs

from ._message import Backlog, DeadLetter, Message


class Action(enum.Enum):
    """
    What is to become of a message that was handed out.

    .. versionadded:: 0.1
    """

    ACK = "ack"  # the group is done with it
    RETRY = "retry"  # hand it out again, after the delay
    DEAD = "dead"  # keep it as a dead letter
    RETURN = "return"  # nobody has seen it: as if it had not been received, the attempt not counted


@attrs.frozen(kw_only=True)
class Verdict:
    """
    How one delivery is settled.

    Attributes:
        action: what is to become of the message.
        delay: seconds until it may be handed out again, for a retry.
        attempts: how many times it was handed out, for a dead letter.
        error: why it is a dead letter.

    .. versionadded:: 0.1
    """

    action: Action
    delay: float = 0.0
    attempts: int = 0
    error: str = ""


@attrs.frozen(kw_only=True)
class Held:
    """
    A message that this consumer, and nobody else in its group, has got for the visibility time.

    Attributes:
        message: the message.
        attempt: how many times it has been handed out in this group, this one included.
        token: what proves to the broker that this consumer holds it.

    .. versionadded:: 0.1
    """

    message: Message
    attempt: int
    token: object


class Channel(abc.ABC):
    """
    One subscription's way to the broker.

    .. versionadded:: 0.1
    """

    @abc.abstractmethod
    async def register(self) -> None:
        """
        Make the group known, for good; the first group of a topic gets all that was published before it.
        """

    @abc.abstractmethod
    async def receive(self) -> Held:
        """
        The next message, as soon as there is one; it is then held for the visibility time.

        Called by one task at a time.  When it is cancelled, it must not leave a message held.
        """

    @abc.abstractmethod
    async def settle(self, held: Held, verdict: Verdict) -> bool:
        """
        Settle what was received, durably.

        Returns:
            False if it is not held any more; then nothing has been changed.
        """

    @abc.abstractmethod
    async def extend(self, held: Held, seconds: float) -> bool:
        """
        Hold what was received for that many seconds from now.

        Returns:
            False if it is not held any more; then nothing has been changed.
        """

    async def leave(self) -> None:  # noqa: B027  # optional: most channels have nothing to leave
        """
        Give up what the channel itself uses; nothing is received any more.
        """


class Broker(abc.ABC):
    """
    Keeps messages and hands them out.

    .. versionadded:: 0.1
    """

    @abc.abstractmethod
    async def store(self, message: Message, *, delay: float) -> None:
        """
        Keep a message; when this returns, it is durable.

        Args:
            message: the message, checked.
            delay: seconds before which it must not be handed out.
        """

    @abc.abstractmethod
    def channel(self, topic: str, group: str, *, visibility: float, prefetch: int) -> Channel:
        """
        A way to receive messages of a topic for a group.

        Args:
            topic: where the messages are published.
            group: the group to receive for.
            visibility: seconds for which a received message is held.
            prefetch: at most so many messages are held at once.
        """

    @abc.abstractmethod
    async def dead_letters(self, topic: str, group: str, *, limit: int) -> list[DeadLetter]:
        """
        Dead letters of a group, the oldest message first.
        """

    @abc.abstractmethod
    async def replay(self, topic: str, group: str, *, ids: Collection[str] | None) -> int:
        """
        Hand dead letters out again, to their group, from the first attempt on.

        Args:
            topic: where the messages were published.
            group: the group that they died in.
            ids: those messages only; None for all.

        Returns:
            How many.
        """

    @abc.abstractmethod
    async def backlog(self) -> Sequence[Backlog]:
        """
        How much there is to do, by topic and group.
        """

    @abc.abstractmethod
    async def check(self) -> None:
        """
        Raise if messages cannot be kept at present.
        """
