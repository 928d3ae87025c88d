"""
What the queue on RabbitMQ does when the server is absent, refuses, is restarted, or is cut off.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from yarl import URL

from conductor.exceptions import SetupError
from conductor.testing import running
from conductor_mq import Delivery, MessageQueue, NotHeldError, QueueServerError
from conductor_mq_rabbitmq import RabbitMQMessageQueue

from .rabbitmq_servers import Place, Proxy, Server, free_port

LOAD = 400


def all_tasks() -> set[asyncio.Task[Any]]:  # Any: results of any tasks
    """
    The tasks of the loop but the one that asks.
    """
    this = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task is not this}


async def eventually(condition: Callable[[], Awaitable[bool]], *, within: float = 20.0) -> None:
    """
    Return when a condition holds, which depends on another process.
    """
    async with asyncio.timeout(within):
        while not await condition():
            await asyncio.sleep(0.02)  # another process tells of itself in no other way


async def is_well(queue: MessageQueue) -> bool:
    """
    Whether the queue says that it is well.
    """
    try:
        await queue.health()
    except QueueServerError:
        return False
    return True


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
    assert "s3cr" not in f"{failure} {error!r} {error}"
    assert not all_tasks()
    return error


@pytest.fixture
def own_place(rabbitmq_server: Server) -> Iterator[Place]:
    """
    A place on the server to which anything may be done.
    """
    place = Place(rabbitmq_server.url)
    yield place
    place.clear()


def test_absent_server_fails_with_one_clear_error() -> None:
    """
    When nobody listens, set-up tries for its limit, then names the address without the password and what to check.
    """

    async def main() -> None:
        port = free_port()
        queue = RabbitMQMessageQueue(url=f"amqp://orders:s3cr%2Fet@127.0.0.1:{port}/shop", connect_limit=0.8)
        began = time.monotonic()
        error = await refusal(queue)
        assert 0.5 < time.monotonic() - began < 5
        assert error.address == f"amqp://orders@127.0.0.1:{port}/shop"
        assert "Connect" in error.reason or "refused" in error.reason
        assert "is the server running there" in error.hint

    asyncio.run(main())


def test_server_that_comes_late_is_waited_for(rabbitmq_place: Place) -> None:
    """
    A server that is there only after a while is used, within the limit.
    """

    async def main() -> None:
        proxy = Proxy(URL(rabbitmq_place.url))
        queue = RabbitMQMessageQueue(url=proxy.url, namespace=rabbitmq_place.namespace)
        loop = asyncio.get_running_loop()
        begun = loop.call_later(0.7, lambda: loop.create_task(proxy.listen()))
        async with running(queue):
            await queue.publish("orders", b"early")
        await proxy.cut(listen=False)
        assert begun.when() <= loop.time()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("user", "path", "reason"),
    [("guest:s3cr%2Fet", "", "refuses the login of user 'guest'"), ("guest:guest", "s3cr-none", "virtual host")],
)
def test_refusal_fails_at_once(rabbitmq_url: str, user: str, path: str, reason: str) -> None:
    """
    A wrong password or virtual host is not tried again.
    """

    async def main() -> None:
        url = URL(rabbitmq_url)
        queue = RabbitMQMessageQueue(url=f"amqp://{user}@{url.host}:{url.port}/{path}", connect_limit=30.0)
        with pytest.raises(SetupError) as caught:
            async with asyncio.timeout(10), running(queue):
                pass
        (failure,) = caught.value.exceptions
        assert isinstance(failure.__cause__, QueueServerError)
        assert reason in failure.__cause__.reason
        assert "s3cr%2Fet" not in str(failure)
        assert "s3cr/et" not in str(failure)
        assert not all_tasks()

    asyncio.run(main())


def test_cancelled_set_up_leaves_nothing(rabbitmq_url: str) -> None:
    """
    When set-up is cancelled while the server says nothing, connection and tasks are gone.
    """

    async def main() -> None:
        async with Proxy(URL(rabbitmq_url)) as proxy:
            proxy.silent = True

            async def set_up() -> None:
                async with running(RabbitMQMessageQueue(url=proxy.url)):
                    raise AssertionError("a server that says nothing is of no use")

            setting_up = asyncio.ensure_future(set_up())

            async def is_open() -> bool:
                return proxy.open == 1

            await eventually(is_open)
            setting_up.cancel()
            await asyncio.wait({setting_up})

            async def is_gone() -> bool:
                return proxy.open == 0

            await eventually(is_gone)
        assert not all_tasks()

    asyncio.run(main())


def test_url_that_is_none_is_refused_without_showing_it() -> None:
    """
    What is no URL of an AMQP server is refused, and not repeated, as it may hold a password.
    """
    for url in ("amqp:s3cret", "http://user:s3cret@host/", "amqp://:s3cret@/", "amqp://h:s3cret/"):
        with pytest.raises(ValueError, match="must be the URL of an AMQP server") as caught:
            RabbitMQMessageQueue(url=url)
        assert "s3cret" not in str(caught.value)


async def load(queue: MessageQueue, disturb: Callable[[], Awaitable[None]], *, key: bool = False) -> Counter[bytes]:
    """
    How often each of many messages was handled that were published while something happened to the connection.
    """
    got: Counter[bytes] = Counter()
    order: dict[str, list[int]] = {}

    async def handle(delivery: Delivery) -> None:
        got[delivery.body] += 1
        if delivery.key is not None:
            order.setdefault(delivery.key, []).append(int(delivery.body))

    consuming = asyncio.ensure_future(queue.consume("orders", handle, concurrency=4))
    disturbing = asyncio.ensure_future(disturb())
    for number in range(LOAD):
        await queue.publish("orders", b"%d" % number, key=str(number % 5) if key else None)

    async def is_complete() -> bool:
        return len(got) == LOAD and disturbing.done()

    try:
        await eventually(is_complete, within=60)
    finally:
        consuming.cancel()
        await asyncio.wait({consuming, disturbing})
    disturbing.result()
    for key_order in order.values():
        assert list(dict.fromkeys(key_order)) == sorted(set(key_order)), "a key's messages were handled in order"
    return got


@pytest.mark.parametrize("key", [False, True], ids=["plain", "keyed"])
def test_cut_connections_lose_nothing(rabbitmq_place: Place, key: bool) -> None:
    """
    Connections cut in the middle of load are made again, a few times and no more; what is confirmed is handled.
    """

    async def main() -> None:
        async with Proxy(URL(rabbitmq_place.url)) as proxy:
            queue = RabbitMQMessageQueue(url=proxy.url, namespace=rabbitmq_place.namespace, backoff_first=0.05)

            async def disturb() -> None:
                for _ in range(4):
                    await asyncio.sleep(0.3)  # so that some of the load comes in between
                    await proxy.cut()

            async with running(queue):
                got = await load(queue, disturb, key=key)
                assert set(got) == {b"%d" % number for number in range(LOAD)}
                assert got.total() <= LOAD + 4 * (4 + 1) * 2
                assert await queue.dead_letters("orders") == []
                await queue.health()
            assert proxy.accepted <= 2 + 4 * 4

    asyncio.run(main())
    assert True


def test_killed_server_loses_nothing(rabbitmq_server: Server, own_place: Place) -> None:
    """
    A server that is killed in the middle of load and comes back has all that it had confirmed; health tells meanwhile.
    """

    async def main() -> None:
        told: list[bool] = []
        queue = RabbitMQMessageQueue(url=own_place.url, namespace=own_place.namespace, patience=60.0)

        async def disturb() -> None:
            await asyncio.sleep(0.5)  # so that some of the load comes before
            await asyncio.to_thread(rabbitmq_server.kill)

            async def is_down() -> bool:
                with_limit = asyncio.ensure_future(queue.health())
                done, _ = await asyncio.wait({with_limit}, timeout=0.2)
                with_limit.cancel()
                await asyncio.wait({with_limit})
                return not done or with_limit.exception() is not None

            await eventually(is_down)
            told.append(True)
            await asyncio.to_thread(rabbitmq_server.launch)

        async with running(queue):
            got = await load(queue, disturb)
            assert set(got) == {b"%d" % number for number in range(LOAD)}
            await queue.health()
        assert told == [True]

    asyncio.run(main())


def test_publish_waits_for_the_connection_within_its_limit(rabbitmq_place: Place) -> None:
    """
    Publishing while the server is away succeeds when it is back in time, and else fails and says why.
    """

    async def main() -> None:
        async with Proxy(URL(rabbitmq_place.url)) as proxy:
            queue = RabbitMQMessageQueue(url=proxy.url, namespace=rabbitmq_place.namespace, patience=1.0)
            async with running(queue), queue.subscribe("orders") as deliveries:
                await proxy.cut(listen=False)
                began = time.monotonic()
                with pytest.raises(QueueServerError, match="within 1 s") as caught:
                    await queue.publish("orders", b"too early")
                assert time.monotonic() - began < 3
                assert caught.value.address == str(URL(proxy.url).with_password(None))
                assert not await is_well(queue)
                publishing = asyncio.ensure_future(queue.publish("orders", b"in time"))
                await proxy.listen()
                await asyncio.wait({publishing})
                while publishing.exception() is not None:  # the pause before the next attempt was longer than that
                    publishing = asyncio.ensure_future(queue.publish("orders", b"in time"))
                    await asyncio.wait({publishing})
                async with asyncio.timeout(20):
                    got = set()
                    while b"in time" not in got:  # the other one may have come through, late
                        delivery = await anext(deliveries)
                        got.add(delivery.body)
                        await delivery.ack()
                assert got <= {b"too early", b"in time"}

    asyncio.run(main())


def test_lost_connection_takes_what_was_held(rabbitmq_place: Place) -> None:
    """
    What was held over a connection that is lost comes back, counted, and the late acknowledgement is refused.
    """

    async def main() -> None:
        async with Proxy(URL(rabbitmq_place.url)) as proxy:
            queue = RabbitMQMessageQueue(url=proxy.url, namespace=rabbitmq_place.namespace, visibility=60.0)
            async with running(queue), queue.subscribe("orders", prefetch=2) as deliveries:
                await queue.publish("orders", b"held")
                late = await anext(deliveries)
                await proxy.cut()
                async with asyncio.timeout(20):
                    again = await anext(deliveries)
                assert (again.body, again.attempt) == (b"held", 2)
                with pytest.raises(NotHeldError):
                    await late.ack()
                await again.ack()

    asyncio.run(main())


def test_silent_server_is_noticed(rabbitmq_place: Place) -> None:
    """
    A connection over which nothing comes any more is taken for lost after some heartbeats, and made again.
    """

    async def main() -> None:
        async with Proxy(URL(rabbitmq_place.url)) as proxy:
            queue = RabbitMQMessageQueue(url=proxy.url, namespace=rabbitmq_place.namespace, heartbeat=1, patience=1.0)
            async with running(queue):
                proxy.silent = True
                with pytest.raises(QueueServerError, match="within 1 s"):
                    await queue.publish("orders", b"into the void")
                assert not await is_well(queue)

                async def is_given_up() -> bool:
                    return proxy.accepted > 2

                await eventually(is_given_up)
                proxy.silent = False
                await proxy.cut()

                async def is_back() -> bool:
                    return await is_well(queue)

                await eventually(is_back)

    asyncio.run(main())


def test_server_short_of_memory_is_told(rabbitmq_server: Server, own_place: Place) -> None:
    """
    While the server takes no messages publishing fails clearly and health tells, but what is there can be handled.
    """

    async def main() -> None:
        queue = RabbitMQMessageQueue(url=own_place.url, namespace=own_place.namespace, patience=2.0)
        async with running(queue), queue.subscribe("orders") as deliveries:
            for body in (b"before", b"blocked"):
                await queue.publish("orders", body)
            await asyncio.to_thread(rabbitmq_server.control, "set_vm_memory_high_watermark", "absolute", "1MiB")
            try:
                with pytest.raises(QueueServerError, match="alarms"):
                    while True:  # the alarm takes a moment
                        await queue.publish("orders", b"more")
                assert not await is_well(queue)
                for _ in range(2):
                    await (await anext(deliveries)).ack()
            finally:
                await asyncio.to_thread(rabbitmq_server.control, "set_vm_memory_high_watermark", "0.8")

            async def is_back() -> bool:
                return await is_well(queue)

            await eventually(is_back)
            await queue.publish("orders", b"after")

    asyncio.run(main())
