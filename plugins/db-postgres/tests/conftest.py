"""
Servers and databases for the tests of PostgreSQL.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator

import pytest

from .postgres_servers import (
    DEFAULT_URL,
    Server,
    Workshop,
    answers,
    execute,
    open_workshop,
    run,
    with_database,
)


@pytest.fixture(scope="session")
def workshop() -> Iterator[Workshop]:
    """
    Where servers are made.
    """
    made = open_workshop()
    yield made
    shutil.rmtree(made.room)


@contextlib.contextmanager
def begun(server: Server) -> Iterator[Server]:
    """
    A server that runs, and has ended in the end.
    """
    server.begin()
    try:
        yield server
    finally:
        if server.is_running():
            server.end()


@pytest.fixture(scope="session")
def server_url(workshop: Workshop) -> Iterator[str]:
    """
    The address of a server that all tests share.
    """
    given = os.environ.get("CONDUCTOR_TEST_POSTGRES_URL")
    problem = run(answers(given or DEFAULT_URL))
    if problem is None:
        yield given or DEFAULT_URL
        return
    assert not given, f"nobody answers at 'CONDUCTOR_TEST_POSTGRES_URL': {problem}"
    with begun(workshop.make_server()) as server:
        yield server.url


@pytest.fixture
def url(server_url: str) -> Iterator[str]:
    """
    The address of a database of the test's own, which nobody is connected to in the end.
    """
    name = f"conductor_test_{uuid.uuid4().hex}"
    run(execute(server_url, f'CREATE DATABASE "{name}"'))
    yield with_database(server_url, name)
    run(execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def server(workshop: Workshop) -> Iterator[Server]:
    """
    A server of the test's own, running.
    """
    with begun(workshop.make_server()) as made:
        yield made
    shutil.rmtree(made.folder)


@pytest.fixture
def make_server(workshop: Workshop) -> Iterator[Callable[[], Server]]:
    """
    Makes servers that have not begun yet, and ends them.
    """
    made: list[Server] = []

    def make() -> Server:
        made.append(workshop.make_server())
        return made[-1]

    yield make
    for server in made:
        if server.is_running():
            server.end()
        shutil.rmtree(server.folder)
