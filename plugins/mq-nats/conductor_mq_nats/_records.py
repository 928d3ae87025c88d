"""
What is known about messages that were handed out more than once, or given back: one record for each.

A record is changed only on the condition that it is as it was last seen.  So of all who believe that they hold a
message, one is right, whatever delays its requests.
"""

from __future__ import annotations

import enum
import json

import attrs

from ._names import Place
from ._streams import Streams


class State(enum.Enum):
    """
    What has become of a message.
    """

    HELD = "held"  # handed out
    WAITING = "waiting"  # to be handed out later
    BEHIND = "behind"  # to be handed out when the one before it, of the same key, is settled
    DONE = "done"  # acknowledged
    DEAD = "dead"  # to be a dead letter


@attrs.frozen(kw_only=True)
class Record:
    """
    What is known about a message.

    Attributes:
        state: what has become of it.
        delivered: how often the server had handed it out by then.
        uncounted: how many of these times nobody has seen it.
        reply: how to call it back, for one that is behind another.
        attempts: how many times it was handed out, for a dead letter.
        error: why it is a dead letter.
        died: when it became one.
    """

    state: State
    delivered: int
    uncounted: int
    reply: str = ""
    attempts: int = 0
    error: str = ""
    died: float = 0.0

    @property
    def is_waiting(self) -> bool:
        """
        Whether nobody holds the message, and the group is not done with it.
        """
        return self.state in (State.WAITING, State.BEHIND)

    def pack(self) -> bytes:
        """
        The bytes to keep.
        """
        return json.dumps(attrs.asdict(self, value_serializer=_plain)).encode()


@attrs.define(eq=False)
class Records:
    """
    The records of one group.

    Attributes:
        streams: where they are kept.
        place: the group.
    """

    streams: Streams
    place: Place

    async def get(self, sequence: int) -> tuple[Record | None, int]:
        """
        The record of a message, and its revision; None and 0 if there is none.
        """
        found = await self.streams.last(self.streams.names.state, self.place.record(sequence))
        return (None, 0) if found is None else (_parse(found.data), found.sequence)

    async def put(self, sequence: int, record: Record, *, expected: int) -> int | None:
        """
        The revision of a record that was changed, or None if it was not as expected any more.
        """
        return await self.streams.keep(self.place.record(sequence), record.pack(), expected=expected)

    async def forget(self, sequence: int) -> None:
        """
        Remove the record of a message that is not there any more.
        """
        await self.streams.purge(self.streams.names.state, self.place.record(sequence))

    async def forget_settled(self, settled: int) -> None:
        """
        Remove the records of all messages up to a number.
        """
        for subject in await self.streams.subjects(self.streams.names.state, self.place.records):
            sequence = int(subject.rpartition(".")[2])
            if sequence <= settled:
                await self.forget(sequence)

    async def list(self) -> list[Record]:
        """
        All records of the group.
        """
        found = []
        for subject in await self.streams.subjects(self.streams.names.state, self.place.records):
            kept = await self.streams.last(self.streams.names.state, subject)
            if kept is not None:
                found.append(_parse(kept.data))
        return found


def _plain(instance: type, field: attrs.Attribute[object], value: object) -> object:
    return value.value if isinstance(value, State) else value


def _parse(data: bytes) -> Record:
    fields = json.loads(data)
    return Record(**{**fields, "state": State(fields["state"])})
