"""
Fixtures: places for messages on a NATS server, and servers of a test's own.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Not installed, as being installed is what puts it in charge of the messages.
sys.path[:0] = [str(Path(__file__).parents[1])]

from .nats_servers import Place, Server, make_place, remove_streams, shared_server  # noqa: E402  # found by the line above


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """
    A server that all tests share.
    """
    with shared_server(tmp_path_factory.mktemp("nats")) as url:
        yield url


@pytest.fixture
def nats_place(nats_url: str) -> Iterator[Place]:
    """
    A namespace of the test's own on the shared server.
    """
    place = make_place(nats_url)
    yield place
    asyncio.run(remove_streams(place))


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """
    Makes servers of the test's own, which end with the test.
    """
    servers: list[Server] = []

    def make(*, launch: bool = True, **options: Any) -> Server:  # Any: what a server takes
        server = Server(tmp_path / f"server-{len(servers)}", **options)
        servers.append(server)
        if launch:
            server.launch()
        return server

    yield make
    for server in servers:
        server.end()
