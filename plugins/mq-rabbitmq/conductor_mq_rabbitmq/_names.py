"""
What things are called on the server.

A topic or a group is any text, the name of a queue is at most 255 bytes long.  So each part is a hash, with the
beginning of the text before it for the eyes of whoever looks at the server.

======================================  ==============================================================
``{namespace}.topic.{topic}``           exchange, where the messages of a topic are published
``{namespace}.first.{topic}``           exchange that nothing goes through: says which group came first
``{namespace}.queue.{topic}``           queue of the first group; before there is one, messages wait here
``{namespace}.queue.{topic}.{group}``   queue of a further group
``….keyed``                             beside each queue: messages with a key, in order
``….journal``                           beside it: which keys are busy
``….delay.{milliseconds}``              beside either: messages that are on their way back to it
``{namespace}.dead.{topic}.{group}``    queue of dead letters
``{namespace}.registry``                queue that lists topics, groups and delay queues
``{namespace}.census``                  exchange where processes are asked what they hold
``{namespace}.processes``               queue that each process consumes, so that they can be counted
======================================  ==============================================================
"""

from __future__ import annotations

import hashlib
import re

import attrs

SLUG = 40  # characters of the text that are shown
PLAIN, KEYED = "plain", "keyed"  # routing keys of an exchange


@attrs.frozen
class Names:
    """
    The names that begin with one namespace.
    """

    namespace: str

    @property
    def registry(self) -> str:
        """
        The queue that lists topics, groups and delay queues.
        """
        return f"{self.namespace}.registry"

    @property
    def census(self) -> str:
        """
        The exchange where processes are asked what they hold.
        """
        return f"{self.namespace}.census"

    @property
    def processes(self) -> str:
        """
        The queue that each process consumes.
        """
        return f"{self.namespace}.processes"

    def topic(self, topic: str) -> str:
        """
        The exchange of a topic.
        """
        return f"{self.namespace}.topic.{fold(topic)}"

    def first(self, topic: str) -> str:
        """
        The exchange that says which group of a topic came first.
        """
        return f"{self.namespace}.first.{fold(topic)}"

    def claim(self, group: str) -> str:
        """
        What that exchange says.
        """
        return f"{self.namespace}.group.{fold(group)}"

    def lane(self, topic: str, group: str | None) -> Lane:
        """
        The queues of a group, or those of the group that comes first.
        """
        name = f"{self.namespace}.queue.{fold(topic)}"
        return Lane(name if group is None else f"{name}.{fold(group)}")

    def dead(self, topic: str, group: str) -> str:
        """
        The queue of a group's dead letters.
        """
        return f"{self.namespace}.dead.{fold(topic)}.{fold(group)}"


@attrs.frozen
class Lane:
    """
    The queues that lead to one group.

    Attributes:
        plain: the queue that its consumers take from.
    """

    plain: str

    @property
    def keyed(self) -> str:
        """
        The queue of messages with a key, that are to be brought in order.
        """
        return f"{self.plain}.keyed"

    @property
    def journal(self) -> str:
        """
        The queue that tells which keys are busy.
        """
        return f"{self.plain}.journal"


def delay_queue(target: str, milliseconds: int) -> str:
    """
    The queue from which a message comes back to another one after a while.
    """
    return f"{target}.delay.{milliseconds}"


def lock(name: str) -> str:
    """
    The queue that whoever reads all of another one has for itself alone.
    """
    return f"{name}.lock"


def fold(text: str) -> str:
    """
    A short name for a text, a different one for each.
    """
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", text[:SLUG]).strip("-")
    return f"{slug}:{digest}"
