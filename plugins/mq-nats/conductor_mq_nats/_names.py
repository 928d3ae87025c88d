"""
What things are called on the server: streams, subjects and consumers.

Topics, groups and keys are any text; a subject is not: spaces are forbidden, dots and asterisks mean something, and
names of streams become folders.  So a digest stands for each text, and the text itself is kept inside.
"""

from __future__ import annotations

import base64
import hashlib

import attrs

from conductor_mq import Message

FREE, LATER = "free", "later"  # lanes: without a key; not due yet
_KEYED = "key-"


def digest(text: str) -> str:
    """
    A name for any text, the same for the same text only.
    """
    return base64.b32encode(hashlib.sha256(text.encode()).digest()[:20]).decode().lower()


@attrs.frozen
class Names:
    """
    The names that begin with a namespace.
    """

    namespace: str

    @property
    def state(self) -> str:
        """
        The stream of the catalogue, and of what is known about messages that were handed out more than once.
        """
        return f"{self.namespace}-state"

    @property
    def dead(self) -> str:
        """
        The stream of dead letters.
        """
        return f"{self.namespace}-dead"

    @property
    def all_state(self) -> str:
        """
        The subjects of the stream of that name.
        """
        return f"{self.namespace}.state.>"

    @property
    def all_dead(self) -> str:
        """
        The subjects of dead letters.
        """
        return f"{self.namespace}.dead.>"

    @property
    def all_topics(self) -> str:
        """
        The subjects of the catalogue.
        """
        return f"{self.namespace}.state.topics.*"

    def topic(self, topic: str) -> str:
        """
        The subject in the catalogue under which a topic is found.
        """
        return f"{self.namespace}.state.topics.{digest(topic)}"

    def place(self, topic: str, slot: int) -> Place:
        """
        Where the messages of a topic are for one of its groups.
        """
        return Place(self.namespace, digest(topic), slot)


@attrs.frozen
class Place:
    """
    Where the messages of one topic are for one of its groups; the groups are numbered, the first one is 0.
    """

    namespace: str
    topic: str
    slot: int

    @property
    def stream(self) -> str:
        """
        The stream of the topic.
        """
        return f"{self.namespace}-topic-{self.topic}"

    @property
    def all_subjects(self) -> str:
        """
        All subjects of that stream.
        """
        return f"{self.namespace}.topic.{self.topic}.>"

    @property
    def consumer(self) -> str:
        """
        The durable consumer of the group.
        """
        return f"group-{self.slot}"

    @property
    def lanes(self) -> str:
        """
        The subjects of the group's messages.
        """
        return f"{self.namespace}.topic.{self.topic}.{self.slot}.*"

    @property
    def records(self) -> str:
        """
        The subjects of what is known about single messages of the group.
        """
        return f"{self.namespace}.state.{self.topic}.{self.slot}.*"

    @property
    def letters(self) -> str:
        """
        The subjects of the group's dead letters.
        """
        return f"{self.namespace}.dead.{self.topic}.{self.slot}.*.*"

    def lane(self, message: Message) -> str:
        """
        The subject of a message that is due.
        """
        lane = FREE if message.key is None else f"{_KEYED}{digest(message.key)}"
        return f"{self.namespace}.topic.{self.topic}.{self.slot}.{lane}"

    @property
    def later(self) -> str:
        """
        The subject of messages that are not due yet.
        """
        return f"{self.namespace}.topic.{self.topic}.{self.slot}.{LATER}"

    def record(self, sequence: int) -> str:
        """
        The subject of what is known about a message.
        """
        return f"{self.namespace}.state.{self.topic}.{self.slot}.{sequence}"

    def letter(self, sequence: int, id: str) -> str:
        """
        The subject of a dead letter.
        """
        return f"{self.namespace}.dead.{self.topic}.{self.slot}.{sequence}.{id}"

    def part(self, id: str) -> str:
        """
        The subject of the parts of a message that is too large for the server.
        """
        return f"{self.namespace}.topic.{self.topic}.parts.{self.slot}.{id}"


def is_keyed(subject: str) -> bool:
    """
    Whether a message on that subject has its place in the order of a key.
    """
    return subject.rpartition(".")[2].startswith(_KEYED)


def is_later(subject: str) -> bool:
    """
    Whether a message on that subject was published with a delay.
    """
    return subject.endswith(f".{LATER}")
