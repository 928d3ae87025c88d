"""
Fixtures: places for messages on a RabbitMQ server, and a server of the tests' own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Not installed, as being installed is what puts it in charge of the messages.
sys.path[:0] = [str(Path(__file__).parents[1])]

from .rabbitmq_servers import Place, Server, answers, shared_url  # noqa: E402  # found by the line above


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """
    A server to which anything may be done; whoever ends it launches it again.
    """
    server = Server(tmp_path_factory.mktemp("rabbitmq"))
    try:
        server.launch()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def rabbitmq_url(request: pytest.FixtureRequest) -> str:
    """
    A server that all tests share, and do no harm to.
    """
    url = shared_url()
    if not answers(url):
        server: Server = request.getfixturevalue("rabbitmq_server")
        url = server.url
    return url


@pytest.fixture
def rabbitmq_place(rabbitmq_url: str) -> Iterator[Place]:
    """
    A namespace of the test's own on the shared server.
    """
    place = Place(rabbitmq_url)
    yield place
    place.clear()
