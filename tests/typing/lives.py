"""
What type checkers see of a component's life and of the conductor; checked by mypy and pyright, never run.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, assert_type

from conductor import Component, Conductor
from conductor.testing import running


class Database(Component):
    """
    Something to look up.
    """


@contextlib.contextmanager
def opened() -> Iterator[int]:
    """
    A context manager.
    """
    yield 1


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[str]:
    """
    An asynchronous context manager.
    """
    yield "x"


class Worker(Component):
    """
    Registers everything that can be registered.
    """

    async def setup(self) -> None:
        """
        Each registration gives what it should.
        """
        assert_type(await self.enter(opened()), int)
        assert_type(await self.enter(connected()), str)
        self.defer(print, "x", end="")
        self.defer(self.work)
        self.spawn(self.work(), name="work")
        assert_type(self.logger, logging.Logger)
        await self.enter(3)  # type: ignore[call-overload]  # no context manager
        self.spawn(self.work)  # type: ignore[arg-type]  # a function, not its coroutine
        self.defer(3)  # type: ignore[arg-type]  # nothing that can be called

    async def work(self) -> int:
        """
        Something to do.
        """
        return 1


@contextlib.contextmanager
def nothing() -> Iterator[None]:
    """
    A context manager that gives nothing.
    """
    yield


async def application(path: Path) -> None:
    """
    Adding and looking up give instances of the class, and names give anything.
    """
    conductor = Conductor(config={"roots": []})
    assert_type(conductor.add(Database), Database)
    assert_type(conductor.add(Database, name="second"), Database)
    assert_type(conductor[Database], Database)
    assert_type(conductor["db"], Any)
    conductor.patch(Database, Worker)
    conductor.patch("db", Worker)
    conductor.patch(Database(), Worker)  # type: ignore[arg-type]  # an instance is not replaced
    conductor.add("db")  # type: ignore[arg-type]  # a class is added
    assert_type(Conductor.installed("api", directory=path), Conductor)
    async with conductor as same:
        assert_type(same, Conductor)
    async with running(Worker()) as worker:
        assert_type(worker, Worker)


async def answer() -> int:
    """
    Something to await.
    """
    return 42


def program() -> None:
    """
    `run` gives what the awaitable gives.
    """
    assert_type(Conductor().run(answer()), int)
    assert_type(Conductor().plan().digest, str)
