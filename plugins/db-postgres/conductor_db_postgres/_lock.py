"""
Advisory locks of PostgreSQL: one holder among all processes, and none that only thinks it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator

import asyncpg

from conductor.exceptions import ConductorError

from ._connection import Connection, Connector, held, milliseconds

PULSE = 10.0  # seconds between two questions whether the server is still there
ROUND = 10.0  # seconds to wait in the server's queue before making sure that it is still there


class LockLostError(ConductorError):
    """
    The server has given a lock away, or may have, as the connection that held it was lost.

    .. versionadded:: 0.1
    """

    def __init__(self, key: int | str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"the advisory lock {self.key!r} was lost together with its connection"


@contextlib.asynccontextmanager
async def locked(connector: Connector, key: int | str, *, timeout: float | None) -> AsyncIterator[None]:
    """
    Hold an advisory lock, on a connection of its own.

    If that is lost, the block is cancelled where it is, as with :func:`asyncio.timeout`.

    Args:
        connector: makes the connection.
        key: what is locked: a text, or a number that other programs know too.
        timeout: seconds to wait for it; None: as long as it takes.

    Raises:
        TimeoutError: somebody else holds it.
        LockLostError: it was lost before the end of the block.
    """
    task = asyncio.current_task()
    assert task is not None, "a lock is held by a task"
    cancelling = task.cancelling()
    is_lost = is_held = False

    def lose() -> None:
        nonlocal is_lost
        is_lost = True
        if is_held:
            task.cancel()

    async with held(connector, pulse=PULSE, on_lost=lose) as connection:
        number = number_of(key)
        await _acquire(connection, number, key=key, timeout=timeout)
        if connection.is_closed():
            raise LockLostError(key)
        is_held = True
        try:
            yield
        except asyncio.CancelledError:
            is_held = False
            if is_lost and task.uncancel() <= cancelling:
                raise LockLostError(key) from None
            raise
        is_held = False
        if is_lost:
            task.uncancel()
            raise LockLostError(key)
        await _release(connection, number, key=key)


def number_of(key: int | str) -> int:
    """
    The number that PostgreSQL knows the lock by.
    """
    if isinstance(key, int):
        return key
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)


async def _acquire(connection: Connection, number: int, *, key: int | str, timeout: float | None) -> None:
    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + timeout
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", number, timeout=ROUND):
        left = ROUND if deadline is None else min(ROUND, deadline - loop.time())
        if left <= 0:
            raise TimeoutError(f"somebody else holds the advisory lock {key!r}")
        try:
            await connection.execute(f"SET lock_timeout = {milliseconds(left)}", timeout=ROUND)
            await connection.execute("SELECT pg_advisory_lock($1)", number, timeout=2 * ROUND)
            return
        except asyncpg.LockNotAvailableError:
            continue


async def _release(connection: Connection, number: int, *, key: int | str) -> None:
    """
    Let the next one have it now, and not when the server has taken note of the end of the connection.
    """
    try:
        await connection.execute("SELECT pg_advisory_unlock($1)", number, timeout=ROUND)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise LockLostError(key) from error
