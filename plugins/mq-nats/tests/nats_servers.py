"""
NATS servers for tests: the one that is there, or one of the test's own.

1. ``CONDUCTOR_TEST_NATS_URL`` names a server, else ``127.0.0.1:4222`` is asked.
2. If none answers, or a test must do things to a server that nobody else would like, one is started on a free port.
3. If that cannot be done either, the test is skipped; ``CONDUCTOR_REQUIRE_SERVERS=1`` turns that into a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import attrs
import nats
import nats.errors
import pytest

DEFAULT_URL = "nats://127.0.0.1:4222"
PROGRAM = "nats-server"
PATIENCE = 20.0  # seconds


def unavailable(reason: str) -> NoReturn:
    """
    Skip the test, or fail it if servers are required.
    """
    if os.environ.get("CONDUCTOR_REQUIRE_SERVERS") == "1":
        pytest.fail(f"a server is required: {reason}")
    pytest.skip(reason)


def find_program() -> str:
    """
    The server's program, also where packages put what is not for everybody's path.
    """
    found = shutil.which(PROGRAM) or shutil.which(PROGRAM, path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    if found is None:
        unavailable(f"no NATS server answers, and the program '{PROGRAM}' is not installed")
    return found


@attrs.frozen
class Place:
    """
    Where a test may keep messages: a server, and a namespace on it that nobody else uses.
    """

    url: str
    namespace: str


@attrs.define(eq=False)
class Server:
    """
    A server of the test's own.

    Attributes:
        folder: where it keeps everything.
        port: where it listens, on the loopback address.
        options: further lines of its configuration.
        with_jetstream: whether it keeps messages at all.
        limit: how much room it has for them.
    """

    folder: Path
    port: int = attrs.field(factory=lambda: free_port(), kw_only=True)
    options: str = attrs.field(default="", kw_only=True)
    with_jetstream: bool = attrs.field(default=True, kw_only=True)
    limit: str = attrs.field(default="1GB", kw_only=True)
    _process: subprocess.Popen[bytes] | None = attrs.field(init=False, default=None)

    @property
    def url(self) -> str:
        """
        Where it listens.
        """
        return f"nats://127.0.0.1:{self.port}"

    def launch(self) -> None:
        """
        Run it; returns when it takes connections.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + PATIENCE
        while not self._try_to_launch(deadline):
            self.end()
            if time.monotonic() > deadline:
                pytest.fail(f"the server did not start: {(self.folder / 'log').read_text()}")
            if not (self.folder / "store").exists():  # nobody knows where it is yet, and somebody else took the port
                self.port = free_port()

    def _try_to_launch(self, deadline: float) -> bool:
        lines = [f"listen: 127.0.0.1:{self.port}", self.options]
        if self.with_jetstream:
            lines.append(f"jetstream {{ store_dir: {json.dumps(str(self.folder / 'store'))}, max_file: {self.limit} }}")
        config = self.folder / "nats.conf"
        config.write_text("\n".join(lines))
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen([find_program(), "-c", str(config)], stdout=log, stderr=log)
        while not listens(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.01)  # another process tells of itself in no other way
        return self._process.poll() is None

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """
        End it, by default in order.
        """
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(PATIENCE)

    def freeze(self) -> None:
        """
        Let it do nothing; its connections stay.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """
        Let it go on.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def free_port() -> int:
    """
    A port on which nobody listens.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """
    Whether somebody listens on a port.
    """
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def has_jetstream(url: str) -> bool:
    """
    Whether a server answers there that keeps messages.
    """

    async def ignore(error: Exception) -> None:
        pass

    try:
        client = await nats.connect(
            url, connect_timeout=2, allow_reconnect=False, max_reconnect_attempts=1, error_cb=ignore
        )
    except (TimeoutError, OSError, nats.errors.Error):
        return False
    try:
        await client.jetstream().account_info()
    except nats.errors.Error:
        return False
    finally:
        await client.close()
    return True


@contextlib.contextmanager
def shared_server(folder: Path) -> Iterator[str]:
    """
    The address of the server that is there, or of one that keeps everything in a folder.
    """
    url = os.environ.get("CONDUCTOR_TEST_NATS_URL", DEFAULT_URL)
    if asyncio.run(has_jetstream(url)):
        yield url
        return
    server = Server(folder)
    try:
        server.launch()
        yield server.url
    finally:
        server.end()


def make_place(url: str) -> Place:
    """
    A namespace that nobody else uses.
    """
    return Place(url, f"test-{uuid.uuid4().hex[:12]}")


async def remove_streams(place: Place) -> None:
    """
    Remove what a test has left on the server.
    """
    client = await nats.connect(place.url)
    try:
        stream = client.jetstream()
        names = [each.config.name or "" for each in await stream.streams_info()]
        for name in names:
            if name.startswith(f"{place.namespace}-"):
                await stream.delete_stream(name)
    finally:
        await client.close()
