"""
RabbitMQ servers for tests: the one that is there, or one of the tests' own; and what stands in their way.

1. ``CONDUCTOR_TEST_RABBITMQ_URL`` names a server, else ``127.0.0.1:5672`` is asked.
2. If none answers, or a test must do things to a server that nobody else would like, one is started on free ports.
3. If that cannot be done either, the test is skipped; ``CONDUCTOR_REQUIRE_SERVERS=1`` turns that into a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import shutil
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path
from typing import NoReturn, Self

import attrs
import pytest
from aiormq.exceptions import ChannelNotFoundEntity
from yarl import URL

from conductor_mq_rabbitmq._link import Link
from conductor_mq_rabbitmq._names import Names
from conductor_mq_rabbitmq._queue import DEFAULT_URL, parse_url
from conductor_mq_rabbitmq._reading import reading

PATIENCE = 60.0  # seconds
PLACES = "/usr/lib/rabbitmq/bin:/usr/local/sbin:/opt/homebrew/sbin"  # the program itself, not what changes the user
# Server and name server (which would stay if the server itself had to start it) end with whoever launched them.
GUARD = '"$1" & "$0" & read -r _; kill -9 -$$'
FILES = 20_000  # that a server may have open; each quorum queue counts for two


def unavailable(reason: str) -> NoReturn:
    """
    Skip the test, or fail it if servers are required.
    """
    if os.environ.get("CONDUCTOR_REQUIRE_SERVERS") == "1":
        pytest.fail(f"a server is required: {reason}")
    pytest.skip(reason)


def shared_url() -> str:
    """
    Where a server may be that is there anyway.
    """
    return os.environ.get("CONDUCTOR_TEST_RABBITMQ_URL", DEFAULT_URL)


def answers(url: str) -> bool:
    """
    Whether a server that speaks AMQP answers there.
    """
    place = parse_url(url)
    try:
        with socket.create_connection((place.host or "", place.port or 5672), timeout=2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            connection.settimeout(2)
            return connection.recv(1) == b"\x01"
    except OSError:
        return False


def free_port() -> int:
    """
    A port on which nobody listens.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@attrs.frozen
class Place:
    """
    Where a test may keep messages: a server, and a namespace on it that nobody else uses.
    """

    url: str
    namespace: str = attrs.field(factory=lambda: f"test-{uuid.uuid4().hex[:12]}")

    def clear(self) -> None:
        """
        Delete all that is there.
        """
        asyncio.run(self._clear())

    async def _clear(self) -> None:
        names = Names(self.namespace)
        link = Link(parse_url(self.url), name="tests", heartbeat=30, logger=logging.getLogger("tests"))
        await link.set_up(limit=PATIENCE)
        try:
            queues, exchanges = await _list(link, names)
            async with link.passing_channel() as channel:
                for queue in queues:
                    await link.call(channel.queue_delete(queue))
                for exchange in exchanges:
                    await link.call(channel.exchange_delete(exchange))
        finally:
            await link.shut_down()


async def _list(link: Link, names: Names) -> tuple[list[str], list[str]]:
    """
    All queues and exchanges of a namespace.
    """
    queues, exchanges = [names.registry, names.processes], [names.census]
    async with link.passing_channel() as channel:
        try:
            await link.call(channel.queue_declare(names.registry, passive=True))
        except ChannelNotFoundEntity:
            return [], []
    async with reading(link, names.registry) as found:
        records = [json.loads(message.body) for message in found.messages]
    for record in records:
        topic, group = record["topic"], record.get("group")
        lanes = [names.lane(topic, None)]
        exchanges += [names.topic(topic), names.first(topic)]
        if "delay" in record:
            queues.append(record["delay"])
        elif group is not None:
            lanes.append(names.lane(topic, group))
            queues.append(names.dead(topic, group))
        queues += [queue for lane in lanes for queue in (lane.plain, lane.keyed, lane.journal)]
    return list(dict.fromkeys(queues)), list(dict.fromkeys(exchanges))


@attrs.define(eq=False)
class Server:
    """
    A server of the tests' own.

    Attributes:
        folder: where it keeps everything.
        port: where it listens, on the loopback address.
    """

    folder: Path
    port: int = attrs.field(factory=free_port)
    _others: tuple[int, int] = attrs.field(init=False, factory=lambda: (free_port(), free_port()))
    _process: subprocess.Popen[bytes] | None = attrs.field(init=False, default=None)

    @property
    def url(self) -> str:
        """
        Where it listens.
        """
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def launch(self) -> None:
        """
        Run it; returns when it takes connections.
        """
        program = find_program("rabbitmq-server")
        self.folder.mkdir(parents=True, exist_ok=True)
        words = ["/bin/sh", "-c", GUARD, program, find_program("epmd")]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                words,
                env=self.environ,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=allow_many_files,
            )
        deadline = time.monotonic() + PATIENCE
        while not answers(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                pytest.fail(f"the server did not start: {(self.folder / 'log').read_text()}")
            time.sleep(0.1)  # another process tells of itself in no other way

    def kill(self) -> None:
        """
        End it as a failure of power would.
        """
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
            assert process.stdin is not None
            process.stdin.close()

    def control(self, *words: str) -> None:
        """
        Have it do something, as an operator would.
        """
        command = [find_program("rabbitmqctl"), "-n", self.environ["RABBITMQ_NODENAME"], *words]
        subprocess.run(command, env=self.environ, check=True, capture_output=True, timeout=PATIENCE)

    @property
    def environ(self) -> dict[str, str]:
        """
        How it is told where everything is.
        """
        distribution, name_server = self._others
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))},
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(name_server),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"conductor-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
        }


def find_program(name: str) -> str:
    """
    A program, also where packages put what is not for everybody's path.
    """
    found = shutil.which(name, path=f"{PLACES}:{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        unavailable(f"the program '{name}' is not installed")
    return found


def allow_many_files() -> None:
    """
    Let the process have as many files open as a server's usually may.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


@attrs.define(eq=False)
class Proxy:
    """
    Stands between a client and a server, to do to their connections what networks do.

    Attributes:
        target: where the server is.
        port: where it listens, once it does.
        accepted: how many connections were made to it.
        open: how many are open.
        silent: whether it keeps what it is told to itself.
    """

    target: URL
    port: int = attrs.field(factory=free_port)
    accepted: int = attrs.field(init=False, default=0)
    silent: bool = attrs.field(init=False, default=False)
    _server: asyncio.Server | None = attrs.field(init=False, default=None)
    _tasks: set[asyncio.Task[None]] = attrs.field(init=False, factory=set)

    @property
    def url(self) -> str:
        """
        Where clients find it.
        """
        return str(self.target.with_host("127.0.0.1").with_port(self.port))

    @property
    def open(self) -> int:
        """
        How many connections there are.
        """
        return len(self._tasks)

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self.cut(listen=False)

    async def listen(self) -> None:
        """
        Take connections.
        """
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def cut(self, *, listen: bool = True) -> None:
        """
        Cut all connections.

        Args:
            listen: whether new ones are taken.
        """
        if not listen and self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        writers = [writer]
        try:
            far_reader, far_writer = await asyncio.open_connection(self.target.host, self.target.port)
            writers.append(far_writer)
            pumps = [asyncio.ensure_future(self._pump(reader, far_writer))]
            pumps.append(asyncio.ensure_future(self._pump(far_reader, writer)))
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except asyncio.CancelledError:
            pass  # cut
        except OSError:
            pass  # the server is not there
        finally:
            for each in writers:
                each.transport.abort()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while content := await reader.read(65536):
                if not self.silent:
                    writer.write(content)
                    await writer.drain()
