"""
The embedded default: what the contract leaves to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

import pytest

from conductor.exceptions import SetupError
from conductor.testing import running
from conductor_mq import Message, QueueFileError, SQLiteMessageQueue, _statements
from conductor_mq._schema import connect
from conductor_mq._sqlite import SQLiteBroker


def test_file_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without a setting the file is "conductor-mq.db" in the working directory at set-up.
    """
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        async with running(SQLiteMessageQueue()) as queue:
            await queue.publish("orders", b"")
            assert (tmp_path / "conductor-mq.db").exists()

    asyncio.run(main())
    assert [each.name for each in tmp_path.iterdir()] == ["conductor-mq.db"]


@pytest.mark.parametrize("path", ["", ":memory:", "a\0b"])
def test_path_must_name_a_file(path: str) -> None:
    """
    What is no file cannot be durable, and is refused at once.
    """
    with pytest.raises(ValueError, match="must name a file"):
        SQLiteMessageQueue(path=path)


def test_unfit_file_fails_set_up(tmp_path: Path) -> None:
    """
    Set-up fails with the reason when the file cannot be used, and leaves no thread.
    """
    path = tmp_path / "notes.txt"
    path.write_text("precious")

    async def main() -> None:
        async with running(SQLiteMessageQueue(path=str(path))):
            raise AssertionError("a text file is no queue")

    with pytest.raises(SetupError) as caught:
        asyncio.run(main())
    assert "notes.txt" in str(caught.value)
    assert "it is not a SQLite database" in str(caught.value)
    assert path.read_text() == "precious"
    assert not [thread for thread in threading.enumerate() if thread.name == "conductor-mq"]


def test_removed_file_is_unhealthy(tmp_path: Path) -> None:
    """
    A file that is removed or replaced under the queue is told by its health, before messages are lost in it.
    """
    path = tmp_path / "queue.db"

    async def main() -> None:
        async with running(SQLiteMessageQueue(path=str(path))) as queue:
            await queue.health()
            path.rename(tmp_path / "elsewhere.db")
            with pytest.raises(QueueFileError, match=r"queue\.db"):
                await queue.health()
            path.touch()
            with pytest.raises(QueueFileError, match="replaced"):
                await queue.health()
            path.unlink()
            (tmp_path / "elsewhere.db").rename(path)
            await queue.health()

    asyncio.run(main())


def test_nobody_looks_when_nobody_waits(tmp_path: Path) -> None:
    """
    The file is looked at for changes only while a consumer waits.
    """

    async def main() -> None:
        async with running(SQLiteMessageQueue(path=str(tmp_path / "queue.db"))) as queue:
            broker = queue._broker
            assert isinstance(broker, SQLiteBroker)
            async with queue.subscribe("orders") as deliveries:
                assert broker.worker.watchers == 0
                waiting = asyncio.ensure_future(anext(deliveries))
                while not broker.worker.watchers:
                    await asyncio.sleep(0)
            await asyncio.wait({waiting})
            assert isinstance(waiting.exception(), StopAsyncIteration)
            assert broker.worker.watchers == 0

    asyncio.run(main())


def test_cancelled_publisher_still_wakes_consumers(tmp_path: Path) -> None:
    """
    A message whose publisher was cancelled too late arrives like any other.
    """

    async def main() -> None:
        async with (
            running(SQLiteMessageQueue(path=str(tmp_path / "queue.db"), poll=60.0)) as queue,
            queue.subscribe("orders") as deliveries,
        ):
            waiting = asyncio.ensure_future(anext(deliveries))
            publishing = asyncio.ensure_future(queue.publish("orders", b"late"))
            await asyncio.sleep(0)
            publishing.cancel()
            async with asyncio.timeout(10):
                assert (await waiting).body == b"late"
            assert publishing.cancelled()

    asyncio.run(main())


def test_large_backlog_is_ready_soon(tmp_path: Path) -> None:
    """
    With 100,000 messages waiting, set-up and the first delivery take less than two seconds.
    """
    path = str(tmp_path / "queue.db")

    with contextlib.closing(connect(path, give_up=threading.Event())) as db:
        db.execute("BEGIN")
        for number in range(100_000):
            waiting = Message(id=str(number), topic="jobs", body=b"job", headers={}, key=None)
            _statements.add(db, waiting, due=0.0, now=0.0)
        db.execute("COMMIT")

    async def main() -> None:
        async with (
            asyncio.timeout(2),
            running(SQLiteMessageQueue(path=path)) as queue,
            queue.subscribe("jobs") as deliveries,
        ):
            await (await anext(deliveries)).ack()

    asyncio.run(main())
