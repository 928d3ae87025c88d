"""
uvicorn, as a part of an application and not as its master.

uvicorn's own ``serve()`` installs signal handlers and raises the captured signals again at its end, exits the
process when start-up fails, and leaves connections that hang to the end of the process.  What is used here is
what it does for one connection; beginning and end are done here.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Generator
from typing import Any

import attrs
import uvicorn
from uvicorn.lifespan.off import LifespanOff

from ._asgi import ASGIApplication
from .exceptions import ListenError

TICK = 1.0  # seconds between two updates of the ``date`` header
POLL = 0.02  # seconds between two looks at what is still in flight
LAST_WORDS = 1.0  # seconds that a request has to end after it was cancelled


class QuietServer(uvicorn.Server):
    """
    uvicorn's server without its signal handlers.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """
        Leave signals to the application.
        """
        yield


@attrs.define
class Listener:
    """
    A bound socket and the connections that come in through it.

    Attributes:
        sock: the bound socket.
        server: uvicorn's server.
    """

    sock: socket.socket
    server: QuietServer

    @classmethod
    def make(
        cls, sock: socket.socket, application: ASGIApplication, *, state: dict[str, Any], access_log: bool
    ) -> Listener:
        """
        A listener for a bound socket; nothing is listening yet.

        Args:
            sock: where to listen; it is closed with the listener.
            application: who answers.
            state: what each request finds a copy of in its scope.
            access_log: whether each request is logged, by the logger ``uvicorn.access``.
        """

        async def entry(scope: Any, receive: Any, send: Any) -> None:
            await application(scope, receive, send)  # a plain function: uvicorn calls others to see what they are

        config = uvicorn.Config(entry, lifespan="off", interface="asgi3", log_config=None, proxy_headers=False)
        config.load()
        if not access_log:
            _silence_access_log(config)
        server = QuietServer(config)
        server.lifespan = LifespanOff(config)
        server.lifespan.state = state
        server.servers = []
        return cls(sock, server)

    async def listen(self) -> None:
        """
        Accept connections from now on.
        """
        await self.server.on_tick(0)  # makes the headers that every answer carries
        await self.server.startup(sockets=[self.sock])

    async def tick(self) -> None:
        """
        Keep the ``date`` header right, for ever.

        Raises:
            RuntimeError: somebody closed the socket.
        """
        while True:
            await asyncio.sleep(TICK)
            await self.server.on_tick(0)
            if self.sock.fileno() == -1 or not all(server.is_serving() for server in self.server.servers):
                raise RuntimeError("the listening socket was closed by somebody else")

    async def drain(self, limit: float) -> int:
        """
        Accept no more, close idle connections, and let requests in flight end.

        Args:
            limit: seconds that they get.

        Returns:
            How many requests and connections had to be cut off.
        """
        self.stop_accepting()
        state = self.server.server_state
        for connection in list(state.connections):
            connection.shutdown()
        if await self._is_quiet(limit):
            return 0
        left = max(len(state.tasks), len(state.connections))
        await self.cut_off()
        return left

    async def cut_off(self) -> None:
        """
        Cancel requests and close connections that are left, now.
        """
        self.stop_accepting()
        state = self.server.server_state
        tasks = set(state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_WORDS)
        for connection in list(state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await self._is_quiet(LAST_WORDS)

    def stop_accepting(self) -> None:
        """
        Close the listening socket.
        """
        for server in self.server.servers:
            server.close()
        self.sock.close()

    async def _is_quiet(self, limit: float) -> bool:
        loop = asyncio.get_running_loop()
        state = self.server.server_state
        deadline = loop.time() + limit
        while state.connections or state.tasks:
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(POLL)
        return True


async def bind(host: str, port: int) -> socket.socket:
    """
    A socket bound to the first address of the host.

    Raises:
        ListenError: the address is in use, not this machine's, or not allowed.
    """
    try:
        family, address = await _resolve(host, port)
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ListenError(host=host, port=port, reason=_reason(error)) from error
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        # Two may bind one address, but only one may listen: now is when the other one is noticed.
        sock.listen(1)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ListenError(host=host, port=port, reason=_reason(error)) from error
    return sock


def is_wildcard(host: str) -> bool:
    """
    Whether the host stands for every address of the machine.
    """
    try:
        return host == "" or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def url_of(sock: socket.socket) -> str:
    """
    Where a bound socket is reached, like ``http://127.0.0.1:8000``.
    """
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _resolve(host: str, port: int) -> tuple[int, Any]:
    try:
        address = ipaddress.ip_address(host or "0.0.0.0")
    except ValueError:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return found[0][0], found[0][4]
    return (socket.AF_INET6 if address.version == 6 else socket.AF_INET), (str(address), port)


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the address is already in use"
    return (error.strerror or str(error)).lower()


def _silence_access_log(config: uvicorn.Config) -> None:
    """
    Have connections not log requests; uvicorn's own switch would reconfigure the logger for the whole process.
    """
    protocol = config.http_protocol_class

    def silent(*args: Any, **kwargs: Any) -> asyncio.Protocol:
        connection = protocol(*args, **kwargs)
        connection.access_log = False  # type: ignore[attr-defined]  # every protocol of uvicorn has it
        return connection

    config.http_protocol_class = silent  # type: ignore[assignment]  # called, and nothing else
