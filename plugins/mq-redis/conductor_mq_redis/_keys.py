"""
The names of what is kept on the server.
"""

from __future__ import annotations

import hashlib
from urllib.parse import quote

import attrs


def encode(name: str) -> str:
    """
    A name in letters, digits and ``_.-~%``, different for different names.
    """
    return quote(name, safe="")


def digest(key: str | None) -> str:
    """
    What stands for the key of a message, in one length and without special characters; empty if there is none.
    """
    return "" if key is None else hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


@attrs.frozen
class Keys:
    """
    The keys of one queue, which all begin with its prefix.

    All keys of one topic have the topic in braces, so that a cluster keeps them in one place.
    """

    prefix: str

    @property
    def topics(self) -> str:
        """
        The set of all topics.
        """
        return f"{self.prefix}:topics"

    @property
    def probe(self) -> str:
        """
        What is written to see whether anything can be.
        """
        return f"{self.prefix}:probe"

    @property
    def hello(self) -> str:
        """
        A channel on which nothing is said.
        """
        return f"{self.prefix}:hello"

    def idle(self, topic: str) -> str:
        """
        Set while somebody waits for messages of a topic; also the channel on which they are called.
        """
        return self._of_topic(topic, "idle")

    def topic(self, topic: str) -> tuple[str, ...]:
        """
        What each call of the script needs.
        """
        return tuple(self._of_topic(topic, part) for part in ("log", "seq", "groups", "refs", "idle"))

    def publisher(self, topic: str, sender: str) -> tuple[str, ...]:
        """
        What publishing needs.
        """
        return (*self.topic(topic), self._of_topic(topic, f"sent:{sender}"))

    def group(self, topic: str, group: str) -> tuple[str, ...]:
        """
        What a group needs.
        """
        parts = ("held", "due", "busy", "behind", "dead", "graves")
        return (*self.topic(topic), *(self._of_topic(topic, f"{part}:{encode(group)}") for part in parts))

    def _of_topic(self, topic: str, part: str) -> str:
        return f"{self.prefix}:{{{encode(topic)}}}:{part}"
