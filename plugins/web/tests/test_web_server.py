"""
Tests of the component that serves, over real sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Coroutine
from typing import Any

import httpx
import pytest

from conductor import Component
from conductor.exceptions import CrashError, SetupError
from conductor.testing import running
from conductor_web import ApplicationError, ASGIApplication, ListenError, WebServer


class Greeter(WebServer):
    """
    Answers at once, or at ``/slow`` when it is told to.
    """

    port: int = 0
    told: asyncio.Event
    asked: asyncio.Event

    def application(self) -> ASGIApplication:
        async def answer(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                raise NotImplementedError(scope["type"])
            if scope["path"] == "/slow":
                self.asked.set()
                await self.told.wait()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
            await send({"type": "http.response.body", "body": b"hello"})

        return answer


def greeter(**settings: Any) -> Greeter:
    return Greeter(told=asyncio.Event(), asked=asyncio.Event(), **settings)


def run(main: Coroutine[Any, Any, None]) -> None:
    before = set(threading.enumerate())
    asyncio.run(main)
    assert set(threading.enumerate()) <= before


async def failure_of(component: Component) -> BaseException | None:
    """
    What set-up fails with.
    """
    with pytest.raises(SetupError) as caught:
        async with running(component):
            pass
    return caught.value.exceptions[0].__cause__


def port_of(server: WebServer) -> int:
    return int(server.url.rpartition(":")[2])


def test_it_serves_as_soon_as_set_up_is_done() -> None:
    """
    When set-up has ended a request is answered, on the real port where 0 was asked for.
    """

    async def main() -> None:
        async with running(greeter()) as server, httpx.AsyncClient(base_url=server.url) as client:
            response = await client.get("/")
            assert (response.status_code, response.text) == (200, "hello")
            assert "date" in response.headers
            assert port_of(server) > 0
        with pytest.raises(RuntimeError, match="not listening"):
            _ = server.url

    run(main())


def test_the_port_is_free_again_after_shutdown() -> None:
    """
    The same component can be set up again on the same port at once.
    """

    async def main() -> None:
        server = greeter()
        async with running(server), httpx.AsyncClient() as client:
            await client.get(server.url)
            server.port = port_of(server)
        async with running(server), httpx.AsyncClient() as client:
            assert (await client.get(server.url)).status_code == 200

    run(main())


def test_an_address_in_use_fails_set_up() -> None:
    """
    The error names host and port and says what is wrong.
    """

    async def main() -> None:
        async with running(greeter()) as first:
            error = await failure_of(greeter(port=port_of(first)))
            assert isinstance(error, ListenError)
            assert f"'127.0.0.1' port {port_of(first)}: the address is already in use\nhint: " in str(error)

    run(main())


def test_an_address_of_another_machine_fails_set_up() -> None:
    """
    An address that this machine does not have is refused by name.
    """

    async def main() -> None:
        error = await failure_of(greeter(host="192.0.2.1", port=80))
        assert isinstance(error, ListenError)
        assert "cannot listen on '192.0.2.1' port 80" in str(error)

    run(main())


def test_names_and_ipv6_addresses_can_be_listened_on() -> None:
    """
    A host may be a name, or an address of either version.
    """

    async def main() -> None:
        for host in "localhost", "::1":
            async with running(greeter(host=host)) as server, httpx.AsyncClient() as client:
                assert (await client.get(server.url)).status_code == 200

    asyncio.run(main())  # a name is looked up in a thread that the loop keeps


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_a_wildcard_address_warns(host: str, caplog: pytest.LogCaptureFixture) -> None:
    """
    Listening on every address is done, and logged as a warning.
    """

    async def main() -> None:
        async with running(greeter(host=host)):
            pass

    with caplog.at_level(logging.WARNING):
        run(main())
    assert f"'{host}' is every address of this machine" in caplog.text


def test_signals_and_logging_are_left_alone() -> None:
    """
    Neither signal handlers nor the configuration of uvicorn's loggers change.
    """

    def state() -> list[object]:
        loggers = [logging.getLogger(name) for name in ("uvicorn", "uvicorn.error", "uvicorn.access")]
        seen: list[object] = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        seen += [(list(log.handlers), log.level, log.propagate, log.disabled) for log in loggers]
        return seen

    before = state()

    async def main() -> None:
        handlers = state()[:2]  # asyncio.run has one of its own
        async with running(greeter()) as server, httpx.AsyncClient() as client:
            await client.get(server.url)
            assert state()[:2] == handlers
        assert state()[:2] == handlers

    run(main())
    assert state() == before


@pytest.mark.parametrize("wanted", [False, True])
def test_requests_are_logged_only_if_wanted(wanted: bool, caplog: pytest.LogCaptureFixture) -> None:
    """
    The access log is off by default.
    """

    async def main() -> None:
        async with running(greeter(access_log=wanted)) as server, httpx.AsyncClient() as client:
            await client.get(server.url + "/here")

    with caplog.at_level(logging.INFO, logger="uvicorn.access"):
        run(main())
    assert [record.name for record in caplog.records].count("uvicorn.access") == wanted


def test_a_request_in_flight_is_answered_at_shutdown() -> None:
    """
    Shutdown accepts no more, waits for the answer to what was asked before, and closes the connection.
    """

    async def main() -> None:
        server = greeter(drain=30.0)
        async with httpx.AsyncClient() as client:
            async with running(server):
                slow = asyncio.create_task(client.get(server.url + "/slow"))
                await server.asked.wait()
                port = port_of(server)
                asyncio.get_running_loop().call_later(0.1, tell_when_closed, server, port)
            response = await slow
        assert response.text == "hello"

    refused: list[bool] = []

    def tell_when_closed(server: Greeter, port: int) -> None:
        with socket.socket() as sock:
            refused.append(sock.connect_ex(("127.0.0.1", port)) != 0)
        server.told.set()

    run(main())
    assert refused == [True]


def test_what_does_not_end_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    """
    Requests that hang, idle connections and half-sent requests are closed when the limit has passed.
    """

    async def main() -> None:
        server = greeter(drain=0.1)
        async with running(server):
            port = port_of(server)
            hanging = await asyncio.open_connection("127.0.0.1", port)
            hanging[1].write(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
            await server.asked.wait()
            half = await asyncio.open_connection("127.0.0.1", port)
            half[1].write(b"POST / HTTP/1.1\r\ncontent-le")
            idle = await asyncio.open_connection("127.0.0.1", port)
            idle[1].write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert b"hello" in await idle[0].readuntil(b"hello")
        for reader, writer in hanging, half, idle:
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    run(main())
    assert "did not end within 0.1 s" in caplog.text


class Lively(WebServer):
    """
    An application with a lifespan that is told what to answer.
    """

    port: int = 0
    startup: str = "complete"
    heard: list[str]

    def application(self) -> ASGIApplication:
        async def converse(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                body = scope["state"]["greeting"]
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": body})
                return
            for phase in "startup", "shutdown":
                message = await receive()
                self.heard.append(message["type"])
                scope["state"]["greeting"] = b"hi"
                if self.startup == "hang":
                    await asyncio.Event().wait()
                answer = self.startup if phase == "startup" else "complete"
                await send({"type": f"lifespan.{phase}.{answer}", "message": "Traceback\nValueError: no\n"})

        return converse


def test_the_application_hears_of_beginning_and_end() -> None:
    """
    The lifespan begins before the first request, its state is in each, and it ends after the last.
    """

    async def main() -> None:
        server = Lively(heard=[])
        async with running(server), httpx.AsyncClient() as client:
            assert server.heard == ["lifespan.startup"]
            assert (await client.get(server.url)).text == "hi"
        assert server.heard == ["lifespan.startup", "lifespan.shutdown"]

    run(main())


def test_an_application_that_refuses_fails_set_up() -> None:
    """
    What the application says is in the error, and nothing listens.
    """

    async def main() -> None:
        error = await failure_of(Lively(startup="failed", heard=[]))
        assert isinstance(error, ApplicationError)
        assert str(error) == "the application refused to serve: ValueError: no"
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    run(main())


def test_set_up_that_hangs_in_the_application_can_be_cancelled() -> None:
    """
    A cancelled set-up leaves neither a task nor a socket.
    """

    async def main() -> None:
        server = Lively(startup="hang", heard=[])

        async def set_up() -> None:
            async with running(server):
                raise AssertionError("set-up cannot have ended")

        task = asyncio.create_task(set_up())
        while not server.heard:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    run(main())


def test_a_lost_socket_is_a_crash() -> None:
    """
    When somebody closes the listening socket, the component has crashed.
    """

    async def lose_the_socket(server: Greeter) -> None:
        async with running(server):
            assert server._listener is not None
            server._listener.stop_accepting()
            while any(task.get_name() == "serve" for task in asyncio.all_tasks()):
                await asyncio.sleep(0.05)

    async def main() -> None:
        with pytest.raises(CrashError) as caught:
            await lose_the_socket(greeter())
        assert "the listening socket was closed by somebody else" in str(caught.value.exceptions[0])

    run(main())


def test_a_subclass_without_an_application_says_so() -> None:
    """
    The method that a subclass must have is named.
    """

    async def main() -> None:
        assert "WebServer.application()" in str(await failure_of(WebServer(port=0)))

    run(main())
