"""
What the queue on NATS does when the server is absent, refuses, is restarted, or is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from conductor.exceptions import SetupError
from conductor.testing import running
from conductor_mq import Backlog, Delivery, MessageQueue, QueueServerError
from conductor_mq_nats import NATSMessageQueue

from .nats_servers import Server, free_port

MakeServer = Callable[..., Server]
LOCKED = 'authorization { user: "conductor", password: "s3cr/et" }'


def all_tasks() -> set[asyncio.Task[Any]]:  # Any: results of any tasks
    """
    The tasks of the loop but the one that asks.
    """
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def eventually(condition: Callable[[], Awaitable[bool]], *, within: float = 10.0) -> None:
    """
    Return when a condition holds, which depends on another process.
    """
    async with asyncio.timeout(within):
        while not await condition():
            await asyncio.sleep(0.02)  # another process tells of itself in no other way


async def refusal(queue: MessageQueue) -> QueueServerError:
    """
    The one error with which set-up fails; nothing is left of it.
    """
    with pytest.raises(SetupError) as caught:
        async with running(queue):
            pass
    (failure,) = caught.value.exceptions
    error = failure.__cause__
    assert isinstance(error, QueueServerError)
    assert not all_tasks()
    return error


async def is_healthy(queue: MessageQueue) -> bool:
    """
    Whether the queue says that it is.
    """
    try:
        await queue.health()
    except QueueServerError:
        return False
    return True


@attrs.define(eq=False)
class Cut:
    """
    A way to a server that can be cut.
    """

    target: int
    port: int = attrs.field(init=False, factory=free_port)
    count: int = attrs.field(init=False, default=0)
    _writers: set[asyncio.StreamWriter] = attrs.field(init=False, factory=set)

    @property
    def url(self) -> str:
        """
        Where it begins.
        """
        return f"nats://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """
        Connections are carried on for as long as the context lasts.
        """
        server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        try:
            yield
        finally:
            server.close()
            self.cut()
            await server.wait_closed()
            while self._writers:
                await asyncio.sleep(0)

    def cut(self) -> None:
        """
        Cut all connections that there are.
        """
        for writer in self._writers:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        pair = {writer, there_writer}
        self._writers |= pair
        try:
            await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
        finally:
            for each in pair:
                each.close()
            for each in pair:
                with contextlib.suppress(OSError):
                    await each.wait_closed()
            self._writers -= pair


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    writer.transport.abort()


@attrs.define(eq=False)
class Load:
    """
    Publishes and handles messages until told to end.

    Attributes:
        confirmed: what was published.
        handled: what was handled, and how often.
    """

    queue: MessageQueue
    confirmed: set[bytes] = attrs.field(init=False, factory=set)
    handled: Counter[bytes] = attrs.field(init=False, factory=Counter)
    over: bool = attrs.field(init=False, default=False)

    async def publish(self, name: str) -> None:
        """
        Publish one message after another, but not many more than are handled.
        """
        number = 0
        while not self.over:
            while len(self.confirmed) - len(self.handled) > 20:
                await asyncio.sleep(0.01)
            body = f"{name} {number}".encode()
            await self.queue.publish("jobs", body, key=f"k{number % 3}" if number % 2 else None)
            self.confirmed.add(body)
            number += 1

    async def handle(self, delivery: Delivery) -> None:
        """
        Handle a message.
        """
        self.handled[delivery.body] += 1

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """
        There is load for as long as the context lasts; in the end, all that was confirmed must be handled.
        """
        publishing = [asyncio.create_task(self.publish(name)) for name in ("a", "b", "c")]
        consuming = asyncio.create_task(self.queue.consume("jobs", self.handle, concurrency=4))
        yield
        self.over = True
        async with asyncio.timeout(20):
            await asyncio.gather(*publishing)
            while self.confirmed - self.handled.keys():
                assert not consuming.done(), consuming
                await asyncio.sleep(0.02)
        consuming.cancel()
        await asyncio.wait({consuming})
        assert consuming.cancelled()

    async def grows(self, by: int = 200) -> None:
        """
        Return when so many more messages were handled.
        """
        goal = self.handled.total() + by

        async def has_grown() -> bool:
            return self.handled.total() >= goal

        await eventually(has_grown, within=20)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["restarted", "killed"])
def test_server_that_is_restarted_loses_nothing(make_server: MakeServer, how: signal.Signals) -> None:
    """
    However the server ends in the middle of load, what was confirmed is handled after its return.
    """
    server = make_server()

    async def main() -> None:
        async with running(NATSMessageQueue(url=server.url, visibility=1.0)) as queue:
            load = Load(queue)
            async with load.running():
                for _ in range(2):
                    await load.grows()
                    await asyncio.to_thread(server.end, how)
                    await eventually(lambda: _negate(is_healthy(queue)))
                    await asyncio.to_thread(server.launch)
                    await eventually(lambda: is_healthy(queue))
                    await load.grows()
            twice = load.handled.total() - len(load.handled)
            if how is signal.SIGTERM:  # one that is killed has forgotten the latest acknowledgements
                assert twice <= 2 * 8, f"{twice} messages were handled more than once"
            assert await queue.dead_letters("jobs") == []

    asyncio.run(main())


async def _negate(condition: Awaitable[bool]) -> bool:
    return not await condition


def test_connection_that_is_cut_loses_nothing(make_server: MakeServer) -> None:
    """
    When the connection is cut in the middle of load, it comes back by itself, and nothing is lost or stuck.
    """
    server = make_server()

    async def main() -> None:
        way = Cut(server.port)
        async with way.serving():
            async with running(NATSMessageQueue(url=way.url, visibility=1.0)) as queue:
                load = Load(queue)
                async with load.running():
                    for _ in range(4):
                        await load.grows(100)
                        way.cut()
                    await load.grows(100)
                left = [each.waiting + each.in_flight for each in await queue.backlog()]
                assert left == [0]
            assert way.count <= 10, f"{way.count} connections were made for 4 that were cut"

    asyncio.run(main())


def test_waiting_consumer_is_quick_after_a_restart(make_server: MakeServer) -> None:
    """
    A consumer that was waiting when the server was restarted gets the next message at once, not when it asks again.
    """
    server = make_server()

    async def main() -> None:
        async with running(NATSMessageQueue(url=server.url)) as queue, queue.subscribe("jobs") as deliveries:
            waiting = asyncio.ensure_future(anext(deliveries))
            await asyncio.to_thread(server.end)
            await asyncio.to_thread(server.launch)
            await eventually(lambda: is_healthy(queue))
            await queue.publish("jobs", b"after")
            async with asyncio.timeout(2):
                delivery = await waiting
            assert (delivery.body, delivery.attempt) == (b"after", 1)
            await delivery.ack()

    asyncio.run(main())


def test_server_that_does_not_answer_for_a_while_gets_everything_once(make_server: MakeServer) -> None:
    """
    A request that is repeated, as there was no answer, is done once.
    """
    server = make_server()

    async def main() -> None:
        async with running(NATSMessageQueue(url=server.url)) as queue, queue.subscribe("jobs") as deliveries:
            await queue.publish("jobs", b"first")
            first = await anext(deliveries)
            server.freeze()
            publishing = asyncio.create_task(queue.publish("jobs", b"second"))
            settling = asyncio.create_task(first.ack())
            await asyncio.wait({publishing}, timeout=2.5)
            assert not publishing.done()
            server.thaw()
            await publishing
            await settling
            assert [each.waiting + each.in_flight for each in await queue.backlog()] == [1]
            second = await anext(deliveries)
            assert (second.body, second.attempt) == (b"second", 1)
            await second.ack()

    asyncio.run(main())


def test_publishing_without_server_fails_within_the_patience(make_server: MakeServer) -> None:
    """
    While there is no connection, publishing waits for it, and fails with a clear error when the patience is over.
    """
    server = make_server()

    async def main() -> None:
        async with running(NATSMessageQueue(url=server.url, patience=0.5)) as queue:
            server.end()
            begun = time.monotonic()
            with pytest.raises(QueueServerError, match="the connection was lost") as caught:
                await queue.publish("jobs", b"")
            assert 0.3 < time.monotonic() - begun < 5
            assert caught.value.address == server.url
            with pytest.raises(QueueServerError, match="the connection was lost"):
                await queue.health()
            server.launch()
            await eventually(lambda: is_healthy(queue))
            await queue.publish("jobs", b"")

    asyncio.run(main())


def test_absent_server_is_waited_for(make_server: MakeServer) -> None:
    """
    A server that comes while the queue is being set up is used.
    """
    server = make_server(launch=False)

    async def main() -> None:
        launching = asyncio.get_running_loop().call_later(0.5, server.launch)
        async with running(NATSMessageQueue(url=server.url)) as queue:
            await queue.publish("jobs", b"")
        launching.cancel()

    asyncio.run(main())


def test_absent_server_is_one_clear_error() -> None:
    """
    A server that does not come is one error that names it without its password, and says what to check.
    """
    port = free_port()

    async def main() -> None:
        queue = NATSMessageQueue(url=f"nats://conductor:s3cr%2Fet@127.0.0.1:{port}", connect_limit=0.5)
        begun = time.monotonic()
        text = str(await refusal(queue))
        assert time.monotonic() - begun < 3
        assert f"nats://conductor@127.0.0.1:{port}" in text
        assert "tried for 0.5 s" in text
        assert "hint: is the server running there" in text
        assert "s3cr" not in text

    asyncio.run(main())


def test_wrong_password_fails_at_once(make_server: MakeServer) -> None:
    """
    A login that is refused is not tried again; the right one works, also with characters that a URL must encode.
    """
    server = make_server(options=LOCKED)

    async def main() -> None:
        wrong = NATSMessageQueue(url=f"nats://conductor:wr0ng@127.0.0.1:{server.port}")
        begun = time.monotonic()
        text = str(await refusal(wrong))
        assert time.monotonic() - begun < 3
        assert "it refuses the login of user 'conductor'" in text
        assert "wr0ng" not in text
        async with running(NATSMessageQueue(url=f"nats://conductor:s3cr%2Fet@127.0.0.1:{server.port}")) as queue:
            await queue.publish("jobs", b"")

    asyncio.run(main())


def test_server_without_jetstream_fails_at_once(make_server: MakeServer) -> None:
    """
    A server that keeps no messages is told at once, with what to do.
    """
    server = make_server(with_jetstream=False)

    async def main() -> None:
        begun = time.monotonic()
        text = str(await refusal(NATSMessageQueue(url=server.url)))
        assert time.monotonic() - begun < 3
        assert "JetStream is not enabled there" in text
        assert "hint: run it as 'nats-server -js" in text

    asyncio.run(main())


def test_another_program_at_the_port_is_an_error() -> None:
    """
    What listens there and is no NATS server ends in one error as well.
    """

    async def main() -> None:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            queue = NATSMessageQueue(url=f"nats://127.0.0.1:{port}")
            assert (await refusal(queue)).reason == "it does not speak the protocol of NATS"

    asyncio.run(main())


def test_cancelled_set_up_leaves_nothing() -> None:
    """
    When set-up is cancelled while it waits for a server that says nothing, no task and no connection is left.
    """

    async def main() -> None:
        connected, gone = asyncio.Event(), asyncio.Event()

        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connected.set()
            await reader.read()
            writer.close()
            gone.set()

        server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            queue = NATSMessageQueue(url=f"nats://127.0.0.1:{port}")

            async def use() -> None:
                async with running(queue):
                    pass

            using = asyncio.create_task(use())
            await connected.wait()
            using.cancel()
            await asyncio.wait({using})
            assert using.cancelled()
            async with asyncio.timeout(5):
                await gone.wait()
        await asyncio.sleep(0)
        assert not all_tasks()

    asyncio.run(main())


def test_nothing_is_left_after_shutdown(make_server: MakeServer) -> None:
    """
    After shutdown no task is left, also when there is no connection and consumers are waiting.
    """
    server = make_server()

    async def main() -> None:
        for with_server in (True, False):
            async with running(NATSMessageQueue(url=server.url, patience=1.0)) as queue:
                topic = f"jobs {with_server}"
                deliveries = queue.subscribe(topic, prefetch=2)
                await queue.publish(topic, b"")
                await anext(deliveries)
                waiting = asyncio.ensure_future(anext(deliveries))
                await queue.publish("other", b"")
                if not with_server:
                    server.end()
                    await eventually(lambda queue=queue: _negate(is_healthy(queue)))  # type: ignore[misc]  # a loop
                    with contextlib.suppress(QueueServerError):  # what it holds cannot be given back
                        await deliveries.end()
            with pytest.raises((StopAsyncIteration, QueueServerError)):
                await waiting
            assert not all_tasks()

    asyncio.run(main())


def test_losing_the_connection_is_told(make_server: MakeServer, caplog: pytest.LogCaptureFixture) -> None:
    """
    The log says that the connection is lost, and that it is back.
    """
    server = make_server()

    async def main() -> None:
        async with running(NATSMessageQueue(url=server.url)) as queue:
            server.end()
            await eventually(lambda: _negate(is_healthy(queue)))
            server.launch()
            await eventually(lambda: is_healthy(queue))

    with caplog.at_level(logging.INFO, logger="conductor"):
        asyncio.run(main())
    said = [record.message for record in caplog.records]
    assert said == [f"connection to {server.url} is lost", f"connected to {server.url} again"]


def test_full_server_refuses_clearly(make_server: MakeServer) -> None:
    """
    A server that has no room left refuses what is published; what was confirmed stays.
    """
    server = make_server(limit="256KB")

    async def main() -> None:
        async with running(NATSMessageQueue(url=server.url)) as queue:
            count = 0
            async with queue.subscribe("jobs") as deliveries:
                with pytest.raises(QueueServerError, match=r"it refuses: .*(resources|storage|maximum)"):
                    while count < 100:
                        await queue.publish("jobs", bytes(20_000))
                        count += 1
                assert count > 3
                for _ in range(count):
                    await (await anext(deliveries)).ack()
            await queue.publish("jobs", b"room again")

    asyncio.run(main())


def test_delay_is_kept_across_restarts(make_server: MakeServer) -> None:
    """
    A delayed message comes when it is due, and as the first attempt, though queue and server were restarted.
    """
    server = make_server()

    async def main() -> None:
        begun = time.time()
        async with running(NATSMessageQueue(url=server.url)) as queue:
            async with queue.subscribe("jobs") as deliveries:
                await queue.publish("jobs", b"later", delay=2.0, key="k")
                waiting = asyncio.ensure_future(anext(deliveries))
                await eventually(lambda: _negate(asyncio.sleep(0, result=False)))
            with pytest.raises(StopAsyncIteration):
                await waiting
            nothing_yet = Backlog(topic="jobs", group="default", waiting=1, in_flight=0, dead=0)
            assert list(await queue.backlog()) == [nothing_yet]
        server.end(signal.SIGKILL)
        server.launch()
        async with running(NATSMessageQueue(url=server.url)) as queue, queue.subscribe("jobs") as deliveries:
            async with asyncio.timeout(5):
                delivery = await anext(deliveries)
            passed = time.time() - begun
            assert 1.98 <= passed < 3.2
            assert (delivery.body, delivery.attempt, delivery.key) == (b"later", 1, "k")
            await delivery.ack()

    asyncio.run(main())


def test_folder_of_the_server_is_its_own(make_server: MakeServer, tmp_path: Path) -> None:
    """
    Servers of a test keep everything below the test's folder.
    """
    server = make_server()
    assert server.folder.is_relative_to(tmp_path)
    assert (server.folder / "store").is_dir()
