"""
What is asked of JetStream: streams and consumers made, single messages read, kept on condition, removed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from email.parser import BytesHeaderParser
from typing import Any

import attrs

from ._link import WRONG_LAST, Link, RefusedError
from ._names import Names, Place

NANO = 1_000_000_000
API = "$JS.API"
NOT_FOUND = 404
IN_USE = {10058, 10065}  # a stream of that name is there with another configuration
WINDOW = 120.0  # seconds for which the server recognises a message that comes twice


@attrs.frozen(kw_only=True)
class Stored:
    """
    A message as it lies in a stream.

    Attributes:
        sequence: its number in the stream.
        subject: where it was published.
        headers: its headers.
        data: its content.
    """

    sequence: int
    subject: str
    headers: dict[str, str]
    data: bytes


@attrs.frozen
class Progress:
    """
    How far a group is.

    Attributes:
        delivered: up to which number its consumer has handed out messages.
        settled: up to which number all of them are acknowledged.
        held: how many are handed out and not acknowledged.
    """

    delivered: int
    settled: int
    held: int


@attrs.define(eq=False)
class Streams:
    """
    The streams of one namespace.

    Attributes:
        link: the connection.
        names: what they are called.
        replicas: how many servers keep each message.
    """

    link: Link
    names: Names
    replicas: int

    async def make_common(self) -> None:
        """
        Make the streams that are there once, unless they are there.
        """
        await self._make(self.names.state, self.names.all_state, max_msgs_per_subject=1)
        await self._make(self.names.dead, self.names.all_dead)

    async def make_topic(self, place: Place) -> None:
        """
        Make the stream of a topic, unless it is there.
        """
        # What a group has acknowledged is removed at once; what there is no consumer for stays.
        await self._make(place.stream, place.all_subjects, retention="workqueue")

    async def make_consumer(self, place: Place, *, visibility: float) -> None:
        """
        Make the durable consumer of a group, or have it hold messages for another time than before.
        """
        config = {
            "durable_name": place.consumer,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": int(visibility * NANO),
            "max_deliver": -1,
            "max_ack_pending": -1,
            "max_waiting": 4096,
            "filter_subject": place.lanes,
            "replay_policy": "instant",
        }
        request = {"stream_name": place.stream, "config": config}
        await self._ask(f"CONSUMER.DURABLE.CREATE.{place.stream}.{place.consumer}", request)

    async def look(self, place: Place) -> Progress:
        """
        How far a group's consumer is.
        """
        try:
            found = await self.link.ask_json(f"{API}.CONSUMER.INFO.{place.stream}.{place.consumer}")
        except RefusedError as error:
            if error.code == NOT_FOUND:
                return Progress(0, 0, 0)
            raise self.link.refusal(error) from None
        return Progress(found["delivered"]["stream_seq"], found["ack_floor"]["stream_seq"], found["num_ack_pending"])

    async def count(self, stream: str) -> int:
        """
        How many messages a stream has ever got, which is the number of the last one.
        """
        return int((await self._ask(f"STREAM.INFO.{stream}", {}))["state"]["last_seq"])

    async def subjects(self, stream: str, pattern: str) -> dict[str, int]:
        """
        How many messages there are on each subject that matches a pattern.
        """
        found: dict[str, int] = {}
        while True:
            request = {"subjects_filter": pattern, "offset": len(found)}
            try:
                answer = await self.link.ask_json(f"{API}.STREAM.INFO.{stream}", request)
            except RefusedError as error:
                if error.code == NOT_FOUND:
                    return found
                raise self.link.refusal(error) from None
            page = answer["state"].get("subjects") or {}
            found.update(page)
            if not page or len(found) >= int(answer.get("total", 0)):
                return found

    async def last(self, stream: str, subject: str) -> Stored | None:
        """
        The last message on a subject.
        """
        return await self._read(stream, {"last_by_subj": subject})

    async def next(self, stream: str, subject: str, *, begin: int = 1) -> Stored | None:
        """
        The first message on a subject, from a number on.
        """
        return await self._read(stream, {"next_by_subj": subject, "seq": begin})

    async def get(self, stream: str, sequence: int) -> Stored | None:
        """
        The message of a number, if it is still there.
        """
        return await self._read(stream, {"seq": sequence})

    async def keep(
        self, subject: str, data: bytes, *, expected: int, headers: dict[str, str] | None = None
    ) -> int | None:
        """
        Keep a message if the last one on its subject has a certain number; its own number, or None.

        Args:
            subject: where to keep it.
            data: its content.
            expected: the number; 0 if there must be none.
            headers: its headers.
        """
        whole = {"Nats-Expected-Last-Subject-Sequence": str(expected), **(headers or {})}
        try:
            return await self.link.publish(subject, data, headers=whole, repair=self.make_common)
        except RefusedError as error:
            if error.number in WRONG_LAST:
                return None
            raise self.link.refusal(error) from None

    async def purge(self, stream: str, subject: str) -> None:
        """
        Remove all on a subject.
        """
        await self._ask(f"STREAM.PURGE.{stream}", {"filter": subject})

    async def remove(self, stream: str, sequence: int) -> bool:
        """
        Remove a message; False if it is not there.
        """
        try:
            await self.link.ask_json(f"{API}.STREAM.MSG.DELETE.{stream}", {"seq": sequence})
        except RefusedError:
            return False
        return True

    async def _make(self, stream: str, subject: str, **more: object) -> None:
        config = {
            "name": stream,
            "subjects": [subject],
            "retention": "limits",
            "storage": "file",
            "num_replicas": self.replicas,
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_age": 0,
            "discard": "new",
            "duplicate_window": int(WINDOW * NANO),
            "allow_rollup_hdrs": False,
            **more,
        }
        try:
            await self.link.ask_json(f"{API}.STREAM.CREATE.{stream}", config)
        except RefusedError as error:
            if error.number not in IN_USE:  # else somebody has set limits or replicas of their own
                raise self.link.refusal(error) from None

    async def _read(self, stream: str, request: dict[str, object]) -> Stored | None:
        try:
            answer = await self.link.ask_json(f"{API}.STREAM.MSG.GET.{stream}", request)
        except RefusedError as error:
            if error.code == NOT_FOUND:
                return None
            raise self.link.refusal(error) from None
        return _stored(answer["message"])

    async def _ask(self, what: str, request: object) -> dict[str, Any]:  # Any: JSON
        try:
            return await self.link.ask_json(f"{API}.{what}", request)
        except RefusedError as error:
            raise self.link.refusal(error) from None


def _stored(message: dict[str, Any]) -> Stored:
    return Stored(
        sequence=int(message["seq"]),
        subject=message["subject"],
        headers=_headers(base64.b64decode(message["hdrs"])) if message.get("hdrs") else {},
        data=base64.b64decode(message.get("data") or ""),
    )


def _headers(raw: bytes) -> dict[str, str]:
    lines: Iterable[tuple[str, str]] = BytesHeaderParser().parsebytes(raw.partition(b"\r\n")[2]).items()
    return dict(lines)
