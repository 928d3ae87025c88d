"""
Servers to test with: the one that is there for all tests, and others that a test starts and ends itself.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import attrs
import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ConnectionError
from redis.retry import Retry

DEFAULT_URL = "redis://127.0.0.1:6379/"
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
COMES_UP = 10.0  # seconds that a server has to come up


@attrs.define(eq=False)
class Server:
    """
    A server of a test's own, which can be ended and started again on the same port and folder.
    """

    folder: Path
    options: tuple[str, ...]
    port: int = attrs.field(init=False, factory=lambda: free_port())
    _process: subprocess.Popen[bytes] | None = attrs.field(init=False, default=None)

    @property
    def url(self) -> str:
        """
        Where it is.
        """
        return f"redis://127.0.0.1:{self.port}/0"

    def begin(self, *, wait: bool = True) -> None:
        """
        Start the server.

        Args:
            wait: return when it answers, not before.
        """
        words = ("redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder))
        quiet = ("--save", "", "--logfile", str(self.folder / "server.log"))
        self._process = subprocess.Popen((*words, *quiet, *self.options))
        if wait:
            self._wait()

    def kill(self) -> None:
        """
        End the server without giving it time for anything.
        """
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def say(self, *words: str | int) -> Any:
        """
        What the server answers to a command.
        """
        with contextlib.closing(Redis(port=self.port)) as client:
            return client.execute_command(*words)  # type: ignore[no-untyped-call]  # the client has no types there

    def freeze(self) -> None:
        """
        Let the server keep its connections and do nothing.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """
        Let it go on.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def connections(self) -> int:
        """
        How many connections of queues there are.
        """
        return sum(b"name=conductor-mq " in line for line in self.say("CLIENT", "LIST").splitlines())

    def _wait(self) -> None:
        deadline = time.monotonic() + COMES_UP
        while True:
            if self._is_up():
                return
            assert time.monotonic() < deadline, (self.folder / "server.log").read_text()
            time.sleep(0.01)

    def _is_up(self) -> bool:
        once = Retry(NoBackoff(), 0)
        with contextlib.closing(Redis(port=self.port, protocol=2, socket_timeout=1.0, retry=once)) as client:
            try:
                client.ping()
            except AuthenticationError:
                return True
            except ConnectionError:  # also while it is loading what it kept
                return False
        return True


@contextlib.contextmanager
def own_server(folder: Path, *options: str, begin: bool = True) -> Iterator[Server]:
    """
    A server that is ended at the end.

    Args:
        folder: where it keeps what it keeps.
        options: for its command line.
        begin: start it now.
    """
    if shutil.which("redis-server") is None:
        missing("the program 'redis-server' is not installed")
    server = Server(folder, options)
    try:
        if begin:
            server.begin()
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def own_place(folder: Path) -> Iterator[dict[str, Any]]:
    """
    The settings of an empty queue: on the common server, emptied in the end, or else on one of the test's own.
    """
    url = os.environ.get("CONDUCTOR_TEST_REDIS_URL", DEFAULT_URL)
    prefix = f"test-{secrets.token_hex(6)}"
    with contextlib.closing(Redis.from_url(url)) as client:
        if not _answers(client):
            with own_server(folder) as server:
                yield {"url": server.url, "prefix": prefix}
            return
        try:
            yield {"url": url, "prefix": prefix}
        finally:
            for key in client.scan_iter(match=f"{prefix}:*", count=1000):
                client.delete(key)


def free_port() -> int:
    """
    A port that nobody listens to, and that leaves room for the one of a cluster 10,000 above.
    """
    while True:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = int(found.getsockname()[1])
            if port < 55_536:
                return port


def missing(reason: str) -> NoReturn:
    """
    Skip the test, or fail if servers are required.
    """
    if os.environ.get("CONDUCTOR_REQUIRE_SERVERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _answers(client: Redis) -> bool:
    try:
        client.ping()
    except ConnectionError:
        return False
    return True
