"""
Servers that are absent, locked, cut off, restarted, full, read-only or silent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from conductor.exceptions import SetupError
from conductor.testing import running
from conductor_mq import Delivery, MessageQueue, QueueServerError
from conductor_mq_redis import RedisMessageQueue

from .redis_servers import DURABLE, Server, free_port, own_server

LONG = 60.0  # seconds of visibility in which nothing comes back during a test
SOON = 10.0  # seconds within which everything must happen that has to


def check(main: Coroutine[Any, Any, None]) -> None:
    """
    Run a test's coroutine; no task, and so no connection, may be left after it.
    """

    async def guarded() -> None:
        await main
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(guarded())


def queue_at(server: Server, **settings: Any) -> RedisMessageQueue:
    """
    A queue on a server, in which nothing comes back by itself.
    """
    chosen: dict[str, Any] = {"url": server.url, "visibility": LONG} | settings
    return RedisMessageQueue(**chosen)


async def refused(queue: MessageQueue) -> str:
    """
    The text of the error with which set-up fails.
    """
    with pytest.raises(SetupError) as caught:
        async with running(queue):
            raise AssertionError("set-up should have failed")
    return str(caught.value)


async def soon(condition: Any) -> None:
    """
    Return when a condition holds, which must be soon.
    """
    async with asyncio.timeout(SOON):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def load(queue: MessageQueue) -> AsyncIterator[tuple[Counter[bytes], Counter[bytes]]]:
    """
    What was confirmed, and what was handled, under load; at the end everything is handled.
    """
    confirmed: Counter[bytes] = Counter()
    handled: Counter[bytes] = Counter()
    over = asyncio.Event()

    async def publish(name: int) -> None:
        number = 0
        while not over.is_set():
            body = b"%d-%d" % (name, number)
            await queue.publish("orders", body, key=f"key {name}" if name % 2 else None)
            confirmed[body] += 1
            number += 1

    async def handle(delivery: Delivery) -> None:
        assert delivery.attempt == 1, f"{delivery!r} comes again"
        handled[delivery.body] += 1

    consuming = [asyncio.ensure_future(queue.consume("orders", handle, concurrency=5)) for _ in range(2)]
    publishing = [asyncio.ensure_future(publish(name)) for name in range(4)]
    yield confirmed, handled
    over.set()
    await asyncio.gather(*publishing)
    await soon(lambda: handled.keys() >= confirmed.keys() or any(each.done() for each in consuming))
    for each in consuming:
        each.cancel()
    await asyncio.wait(consuming)
    assert all(each.cancelled() for each in consuming), [each for each in consuming if not each.cancelled()]


def test_absent_server_fails_set_up(caplog: pytest.LogCaptureFixture) -> None:
    """
    A server that does not come within the limit is one clear error, which shows no password.
    """

    async def main() -> None:
        port = free_port()
        begun = asyncio.get_running_loop().time()
        text = await refused(RedisMessageQueue(url=f"redis://me:hunter2@127.0.0.1:{port}/3", connect_limit=1.0))
        assert asyncio.get_running_loop().time() - begun < 3
        assert f"'redis://me@127.0.0.1:{port}/3'" in text
        assert "tried for 1 s" in text
        assert "is the server running there" in text
        assert "hunter2" not in text + caplog.text
        assert "stamina" not in caplog.text
        assert len(caplog.records) == 1
        assert "waiting up to 1 s" in caplog.text

    check(main())


def test_late_server_is_waited_for(tmp_path: Path) -> None:
    """
    A server that comes up within the limit is as good as one that was there.
    """

    async def main() -> None:
        with own_server(tmp_path, begin=False) as server:
            beginning = threading.Timer(0.3, server.begin)
            beginning.start()
            async with running(queue_at(server)) as queue:
                await queue.publish("orders", b"")
            beginning.join()

    check(main())


@pytest.mark.parametrize(("login", "reason"), [("", "it wants a password"), (":wrong@", "refuses user and password")])
def test_wrong_password_fails_at_once(tmp_path: Path, login: str, reason: str) -> None:
    """
    A password that is wrong or missing is not tried again, and not shown.
    """

    async def main() -> None:
        with own_server(tmp_path, "--requirepass", "hunter2") as server:
            url = server.url.replace("//", f"//{login}")
            async with asyncio.timeout(2):
                text = await refused(RedisMessageQueue(url=url))
            assert reason in text
            assert "check user and password" in text
            assert "wrong@" not in text
            async with running(RedisMessageQueue(url=server.url.replace("//", "//:hunter2@"))) as queue:
                await queue.publish("orders", b"")

    check(main())


def test_restricted_user_is_told_at_set_up(tmp_path: Path) -> None:
    """
    A user who may not do all that a queue does is refused at set-up, with what is to be allowed.
    """

    async def main() -> None:
        with own_server(tmp_path) as server:
            server.say("ACL", "SETUSER", "deaf", "on", ">pass", "~conductor-mq:*", "resetchannels", "+@all")
            server.say("ACL", "SETUSER", "good", "on", ">pass", "~conductor-mq:*", "&conductor-mq:*", "+@all")
            async with asyncio.timeout(5):
                text = await refused(RedisMessageQueue(url=server.url.replace("//", "//deaf:pass@")))
            assert "it does not allow what a queue has to do" in text
            assert "&PREFIX:*" in text
            queue = RedisMessageQueue(url=server.url.replace("//", "//good:pass@"))
            async with running(queue), queue.subscribe("orders") as deliveries:
                await queue.publish("orders", b"")
                await (await anext(deliveries)).ack()

    check(main())


def test_what_is_no_redis_is_refused() -> None:
    """
    A server that speaks something else is told at once.
    """

    async def main() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
            port = other.sockets[0].getsockname()[1]
            async with asyncio.timeout(5):
                text = await refused(RedisMessageQueue(url=f"redis://127.0.0.1:{port}"))
            assert f"redis://127.0.0.1:{port}" in text
            assert "Protocol" in text

    check(main())


def test_cancelled_set_up_leaves_nothing(tmp_path: Path) -> None:
    """
    When set-up is cancelled while it waits for the server, no task and no connection is left.
    """

    async def main() -> None:
        with own_server(tmp_path) as server:
            server.freeze()
            setting_up = asyncio.ensure_future(running(queue_at(server)).__aenter__())
            await asyncio.sleep(0.2)
            setting_up.cancel()
            await asyncio.wait({setting_up})
            assert setting_up.cancelled()
            server.thaw()
            await soon(lambda: server.connections() == 0)

    check(main())


def test_nothing_is_left_after_shutdown(tmp_path: Path) -> None:
    """
    A queue uses two connections, and none after its shutdown.
    """

    async def main() -> None:
        with own_server(tmp_path) as server:
            async with running(queue_at(server)) as queue, queue.subscribe("orders") as deliveries:
                await asyncio.gather(*(queue.publish("orders", b"") for _ in range(300)))
                await (await anext(deliveries)).ack()
                assert server.connections() == 2
            await soon(lambda: server.connections() == 0)

    check(main())


def test_restart_under_load_loses_nothing(tmp_path: Path) -> None:
    """
    A durable server that is killed under load and comes back has lost nothing, and nothing is handled twice.
    """

    async def main() -> None:
        with own_server(tmp_path, *DURABLE) as server:
            async with running(queue_at(server)) as queue, load(queue) as (confirmed, handled):
                for _ in range(3):
                    seen = handled.total()
                    await soon(lambda seen=seen: handled.total() > seen + 100)
                    server.kill()
                    await asyncio.sleep(0.1)
                    server.begin(wait=False)
                    await soon(lambda seen=seen: handled.total() > seen + 200)
            assert handled == confirmed

    check(main())


def test_cut_connections_lose_nothing(tmp_path: Path) -> None:
    """
    Connections that are cut under load, again and again, cost neither a message nor a second delivery.
    """

    async def main() -> None:
        with own_server(tmp_path) as server:
            async with running(queue_at(server)) as queue, load(queue) as (confirmed, handled):
                for kind in ("normal", "pubsub", "normal", "normal", "pubsub", "normal") * 2:
                    seen = handled.total()
                    await soon(lambda seen=seen: handled.total() > seen + 50)
                    server.say("CLIENT", "KILL", "TYPE", kind)
            assert handled == confirmed

    check(main())


def test_idle_connections_may_be_closed(tmp_path: Path) -> None:
    """
    A consumer that waits is woken by what is published after the server closed its idle connections.
    """

    async def main() -> None:
        with own_server(tmp_path) as server:
            async with running(queue_at(server)) as queue, queue.subscribe("orders") as deliveries:
                for kind in ("normal", "pubsub"):
                    waiting = asyncio.ensure_future(anext(deliveries))
                    await soon(lambda: server.say("KEYS", "*:idle"))
                    server.say("CLIENT", "KILL", "TYPE", kind)
                    await queue.publish("orders", kind.encode())
                    async with asyncio.timeout(2):
                        delivery = await waiting
                    assert (delivery.body, delivery.attempt) == (kind.encode(), 1)
                    await delivery.ack()

    check(main())


def test_absent_server_is_told_and_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    While the server is away publishing fails within its limit, health tells, and everything goes on when it is back.
    """

    async def main() -> None:
        with own_server(tmp_path, *DURABLE) as server:
            async with running(queue_at(server, patience=0.5)) as queue, queue.subscribe("orders") as deliveries:
                await queue.health()
                waiting = asyncio.ensure_future(anext(deliveries))
                server.kill()
                with pytest.raises(QueueServerError, match=r"127\.0\.0\.1:\d+/0.*waited for 0.5 s"):
                    await queue.publish("orders", b"in vain")
                with pytest.raises(QueueServerError, match="127"):
                    await queue.health()
                server.begin()
                async with asyncio.timeout(SOON):
                    while True:
                        with contextlib.suppress(QueueServerError):
                            await queue.publish("orders", b"again")
                            break
                    delivery = await waiting
                assert delivery.body == b"again"
                await delivery.ack()
                await queue.health()

    check(main())
    lost = [each for each in caplog.records if "is lost" in each.getMessage() and each.name.startswith("conductor")]
    assert len(lost) == 1


def test_publishing_waits_for_the_server(tmp_path: Path) -> None:
    """
    Within its patience, publishing and acknowledging wait until the server is back.
    """

    async def main() -> None:
        with own_server(tmp_path, *DURABLE) as server:
            async with running(queue_at(server)) as queue, queue.subscribe("orders", prefetch=2) as deliveries:
                await queue.publish("orders", b"before")
                before = await anext(deliveries)
                server.kill()
                acknowledging = asyncio.ensure_future(before.ack())
                publishing = asyncio.ensure_future(queue.publish("orders", b"meanwhile"))
                await asyncio.sleep(0.2)
                assert not acknowledging.done()
                assert not publishing.done()
                server.begin()
                async with asyncio.timeout(SOON):
                    await acknowledging
                    await publishing
                    assert (await anext(deliveries)).body == b"meanwhile"

    check(main())


def test_shutdown_does_not_wait_for_an_absent_server(tmp_path: Path) -> None:
    """
    Without a server the queue is shut down at once; what was held comes back when it is there again.
    """

    async def main() -> None:
        with own_server(tmp_path, *DURABLE) as server:
            async with running(queue_at(server, visibility=1.0)) as queue:
                deliveries = queue.subscribe("orders", prefetch=2)
                await queue.publish("orders", b"held")
                await anext(deliveries)
                waiting = asyncio.ensure_future(anext(deliveries))
                server.kill()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await queue.publish("orders", b"never sent")
                begun = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - begun < 2
            await asyncio.wait({waiting})
            assert isinstance(waiting.exception(), StopAsyncIteration)
            server.begin()
            async with running(queue_at(server)) as queue, queue.subscribe("orders") as deliveries:
                async with asyncio.timeout(SOON):
                    delivery = await anext(deliveries)
                assert (delivery.body, delivery.attempt) == (b"held", 2)

    check(main())


def test_shutdown_does_not_wait_for_a_silent_server(tmp_path: Path) -> None:
    """
    A server that says nothing holds up the end of all subscriptions together for a second or two.
    """

    async def main() -> None:
        with own_server(tmp_path) as server:
            async with running(queue_at(server)) as queue:
                subscriptions = {topic: queue.subscribe(topic) for topic in "abcdef"}
                for topic, deliveries in subscriptions.items():
                    await queue.publish(topic, b"held")
                    await anext(deliveries)
                server.freeze()
                begun = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - begun < 4

    check(main())


def test_silent_server_is_told(tmp_path: Path) -> None:
    """
    A server that keeps its connections and says nothing fails publishing in time; what it took is kept once.
    """

    async def main() -> None:
        with own_server(tmp_path) as server:
            async with running(queue_at(server, patience=0.5)) as queue:
                await queue.publish("orders", b"before")
                server.freeze()
                with pytest.raises(QueueServerError, match="answer"):
                    await queue.publish("orders", b"meanwhile")
                with pytest.raises(QueueServerError):
                    await queue.health()
                server.thaw()
                async with asyncio.timeout(SOON):
                    while True:
                        with contextlib.suppress(QueueServerError):
                            await queue.health()
                            break
                        await asyncio.sleep(0.01)
                (backlog,) = await queue.backlog()
                assert backlog.waiting in (1, 2)

    check(main())


def test_full_server_is_told_and_emptied(tmp_path: Path) -> None:
    """
    A full server refuses messages, says so, and still hands out what it has, after which it takes messages again.
    """

    async def main() -> None:
        with own_server(tmp_path, "--maxmemory-policy", "noeviction") as server:
            async with running(queue_at(server)) as queue, queue.subscribe("orders") as deliveries:
                body = bytes(100_000)
                for number in range(40):
                    await queue.publish("orders", body, key=f"key {number % 3}")
                server.say("CONFIG", "SET", "maxmemory", "3mb")
                with pytest.raises(QueueServerError, match="it is full") as caught:
                    await queue.publish("orders", body)
                assert "maxmemory" in caught.value.hint
                with pytest.raises(QueueServerError, match="it is full"):
                    await queue.health()
                async with asyncio.timeout(SOON):
                    await (await anext(deliveries)).nack(delay=0)
                    await (await anext(deliveries)).reject(error="too large")
                    for _ in range(39):
                        delivery = await anext(deliveries)
                        assert delivery.body == body
                        await delivery.ack()
                await queue.health()
                await queue.publish("orders", b"again")
                assert (await anext(deliveries)).body == b"again"

    check(main())


def test_full_server_can_be_set_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    At a server that is full already consumers are set up, so that they can empty it.
    """

    async def main() -> None:
        with own_server(tmp_path) as server:
            async with running(queue_at(server)) as queue, queue.subscribe("orders") as deliveries:
                await queue.publish("orders", b"kept")
            server.say("CONFIG", "SET", "maxmemory", "100kb")
            async with running(queue_at(server)) as queue, queue.subscribe("orders") as deliveries:
                delivery = await anext(deliveries)
                assert delivery.body == b"kept"
                await delivery.ack()

    check(main())
    assert "the message server is full" in caplog.text


def test_read_only_server_is_refused(tmp_path: Path) -> None:
    """
    A server that can only be read is of no use at set-up.
    """

    async def main() -> None:
        with own_server(tmp_path, "--replicaof", f"127.0.0.1 {free_port()}") as server:
            text = await refused(queue_at(server, connect_limit=0.5))
            assert "it can only be read" in text

    check(main())


def test_server_that_becomes_read_only_is_told(tmp_path: Path) -> None:
    """
    While the server can only be read publishing fails at once; consumers wait, and go on when that is over.
    """

    async def main() -> None:
        with own_server(tmp_path) as server:
            async with running(queue_at(server)) as queue, queue.subscribe("orders", prefetch=2) as deliveries:
                await queue.publish("orders", b"before")
                held = await anext(deliveries)
                waiting = asyncio.ensure_future(anext(deliveries))
                await soon(lambda: server.say("KEYS", "*:idle"))
                server.say("REPLICAOF", "127.0.0.1", free_port())
                acknowledging = asyncio.ensure_future(held.ack())
                for use in (lambda: queue.publish("orders", b""), queue.health):
                    with pytest.raises(QueueServerError, match="it can only be read"):
                        await use()
                server.say("REPLICAOF", "NO", "ONE")
                async with asyncio.timeout(SOON):
                    await acknowledging
                    while True:
                        with contextlib.suppress(QueueServerError):
                            await queue.publish("orders", b"after")
                            break
                    assert (await waiting).body == b"after"

    check(main())


def test_forgotten_script_is_sent_again(tmp_path: Path) -> None:
    """
    A server that was told to forget all scripts is given ours again.
    """

    async def main() -> None:
        with own_server(tmp_path) as server:
            async with running(queue_at(server)) as queue, queue.subscribe("orders") as deliveries:
                for number in range(3):
                    server.say("SCRIPT", "FLUSH")
                    bodies = [b"%d-%d" % (number, each) for each in range(200)]
                    await asyncio.gather(*(queue.publish("orders", body) for body in bodies))
                    for body in bodies:
                        delivery = await anext(deliveries)
                        assert delivery.body == body
                        await delivery.ack()

    check(main())


def test_emptied_server_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    When a server has lost everything consumers say so and go on with what is published from then on.
    """

    async def main() -> None:
        with own_server(tmp_path) as server:
            async with running(queue_at(server)) as queue, queue.subscribe("orders") as deliveries:
                waiting = asyncio.ensure_future(anext(deliveries))
                await soon(lambda: server.say("KEYS", "*:idle"))
                server.kill()
                server.begin()
                async with asyncio.timeout(SOON):
                    await queue.publish("orders", b"new")
                    assert (await waiting).body == b"new"
                assert [each.topic for each in await queue.backlog()] == ["orders"]

    check(main())
    assert "has lost group 'default' of topic 'orders'" in caplog.text


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ((), "keeps no append-only file: if it ends or crashes, what was confirmed since its last snapshot is lost"),
        (("--appendonly", "yes", "--appendfsync", "everysec"), "the last second or two is lost"),
        (("--appendonly", "yes", "--appendfsync", "no"), "some seconds is lost"),
        ((*DURABLE, "--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru"), "throws messages away"),
        ((*DURABLE, "--maxmemory", "1gb", "--maxmemory-policy", "noeviction"), ""),
    ],
)
def test_what_is_at_risk_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: tuple[str, ...], warning: str
) -> None:
    """
    At set-up a warning says what the server's own settings expose the messages to.
    """

    async def main() -> None:
        with own_server(tmp_path, *options) as server:
            async with running(queue_at(server)):
                pass

    check(main())
    said = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(said) == bool(warning)
    assert not warning or re.search(re.escape(warning), said[0])


def test_one_server_of_a_cluster_will_do(tmp_path: Path) -> None:
    """
    All that one step needs is in one slot, so a cluster of one server works; each topic may have another slot.
    """

    async def main() -> None:
        with own_server(tmp_path, "--cluster-enabled", "yes") as server:
            server.say("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            await soon(lambda: b"cluster_state:ok" in server.say("CLUSTER", "INFO"))
            async with running(queue_at(server)) as queue:
                for topic in ("orders", "{a}", "}{", "größe"):
                    async with queue.subscribe(topic, group="{b}") as deliveries:
                        await queue.publish(topic, b"1", key="{c}")
                        await queue.publish(topic, b"2", key="{c}")
                        await (await anext(deliveries)).reject()
                        assert await queue.replay(topic, group="{b}") == 1
                        for _ in range(2):
                            await (await anext(deliveries)).ack()
                assert [each.waiting for each in await queue.backlog()] == [0] * 4

    check(main())
