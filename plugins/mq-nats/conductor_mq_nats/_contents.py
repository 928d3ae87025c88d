"""
The contents of messages and dead letters, in one piece or in parts.

The contract promises bodies up to 1 MiB, and that is about all that a server takes in one message unless it is told
otherwise.  What is too large lies in parts, in the stream of its topic but where no consumer looks; the message itself
then only says which.  The parts go when the group is done with the message.
"""

from __future__ import annotations

import json

import attrs

from conductor_mq import DeadLetter, Message

from ._envelope import Envelope, NoEnvelopeError, unpack
from ._link import RefusedError
from ._names import Place
from ._records import Record
from ._streams import Stored, Streams

PARTS = "Conductor-Parts"
LETTER = "Conductor-Letter"
RESERVE = 32 * 1024  # bytes for headers, those of a dead letter included


@attrs.define(eq=False)
class Contents:
    """
    The contents of one group's messages.

    Attributes:
        streams: where they are kept.
        place: the group.
    """

    streams: Streams
    place: Place

    async def store(self, envelope: Envelope, subject: str) -> None:
        """
        Keep a message on a subject of the group.
        """
        content, headers = envelope.pack(), {}
        id = envelope.message.id
        size = self.streams.link.max_payload - RESERVE
        if size <= 0:
            raise self.streams.link.error(
                f"its 'max_payload' of {self.streams.link.max_payload:,} bytes is too small",
                hint=f"set it to {4 * RESERVE:,} at least, in the configuration of the server",
            )
        if len(content) > size:
            numbers = []
            for begin in range(0, len(content), size):
                part = content[begin : begin + size]
                numbers.append(await self.publish(self.place.part(id), part, id=f"{self.place.slot}.{id}.{begin}"))
            content, headers = b"", {PARTS: " ".join(map(str, numbers))}
        await self.publish(subject, content, id=f"{self.place.slot}.{id}", headers=headers)

    async def publish(self, subject: str, content: bytes, *, id: str, headers: dict[str, str] | None = None) -> int:
        """
        Keep something in the stream of the topic, which is made if it is not there; its number.
        """
        link = self.streams.link
        try:
            return await link.publish(
                subject, content, id=id, headers=headers, repair=lambda: self.streams.make_topic(self.place)
            )
        except RefusedError as error:
            raise link.refusal(error) from None

    async def read(self, content: bytes, headers: dict[str, str] | None) -> Envelope:
        """
        The envelope in a message.

        Raises:
            NoEnvelopeError: it is not one of ours, or its parts are gone.
        """
        if headers is not None and PARTS in headers:
            parts = [await self.streams.get(self.place.stream, int(number)) for number in headers[PARTS].split()]
            content = b"".join(part.data for part in parts if part is not None)
            if None in parts:
                raise NoEnvelopeError("parts of the message are not there any more")
        return unpack(content)

    async def remove_parts(self, headers: dict[str, str] | None) -> None:
        """
        Remove what a message was too large for.
        """
        if headers is not None and PARTS in headers:
            for number in headers[PARTS].split():
                await self.streams.remove(self.place.stream, int(number))

    async def bury(self, sequence: int, id: str, content: bytes, parts: str | None, record: Record) -> None:
        """
        Keep a dead letter, unless it is kept already.
        """
        about = {"attempts": record.attempts, "error": record.error, "died": record.died}
        headers = {LETTER: json.dumps(about)} | ({PARTS: parts} if parts else {})
        await self.streams.keep(self.place.letter(sequence, id), content, expected=0, headers=headers)

    async def letters(self) -> list[str]:
        """
        The subjects of the group's dead letters, the oldest message first.
        """
        found = await self.streams.subjects(self.streams.names.dead, self.place.letters)
        return sorted(found, key=lambda subject: int(subject.split(".")[-2]))

    async def letter(self, subject: str) -> Stored | None:
        """
        A dead letter as it is kept.
        """
        return await self.streams.last(self.streams.names.dead, subject)

    async def read_letter(self, stored: Stored, *, topic: str, group: str) -> DeadLetter:
        """
        What is told about a dead letter.
        """
        about = json.loads(stored.headers[LETTER])
        try:
            message = (await self.read(stored.data, stored.headers)).message
        except NoEnvelopeError:
            id = stored.subject.rpartition(".")[2]
            message = Message(id=id, topic=topic, body=stored.data, headers={}, key=None)
        return DeadLetter(
            message=message, group=group, attempts=about["attempts"], error=about["error"], died=about["died"]
        )

    async def replay(self, stored: Stored) -> bool:
        """
        Put a dead letter behind the messages of its group; False if somebody else has done so.
        """
        try:
            envelope = await self.read(stored.data, stored.headers)
        except NoEnvelopeError:
            return False  # nobody could read it the next time either
        headers = {PARTS: stored.headers[PARTS]} if PARTS in stored.headers else {}
        id = f"replay.{stored.sequence}.{envelope.message.id}"
        await self.publish(self.place.lane(envelope.message), stored.data, id=id, headers=headers)
        return await self.streams.remove(self.streams.names.dead, stored.sequence)
