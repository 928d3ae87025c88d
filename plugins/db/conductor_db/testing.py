"""
The rules that every implementation of ``db`` keeps, to be run against it.

.. code-block:: python

    @pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
    def test_conformance(rule: Rule, tmp_path: Path) -> None:
        asyncio.run(rule(lambda: MyDatabase(url=...)))

Each rule gets a function that makes a component, anew at each call and for the same database each time.  The rules
make a table ``conformance`` in it, and drop it in the end.

:data:`SERIAL_RULES` are those of :data:`RULES` that only hold where transactions that write take turns.  An
implementation may let its users choose otherwise, for speed, if it says so; it must not do so by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from conductor.testing import running

from ._database import Database

Rule = Callable[[Callable[[], Database]], Coroutine[Any, Any, None]]

TASKS = 8
ROUNDS = 10
LONG_ENOUGH = 10.0  # seconds for what should not wait at all

_metadata = MetaData()
_table = Table("conformance", _metadata, Column("id", Integer, primary_key=True), Column("n", Integer))


@contextlib.asynccontextmanager
async def _counter(make: Callable[[], Database]) -> AsyncIterator[Database]:
    """
    A database that is set up, with one row whose ``n`` is 0.
    """
    async with running(make()) as db:
        async with db.begin() as connection:
            await connection.run_sync(_metadata.drop_all)
            await connection.run_sync(_metadata.create_all)
            await connection.execute(insert(_table).values(id=1, n=0))
        try:
            yield db
        finally:
            async with db.begin() as connection:
                await connection.run_sync(_metadata.drop_all)


async def _read(db: Database) -> int:
    async with db.begin(read_only=True) as connection:
        return int((await connection.execute(select(_table.c.n))).scalar_one())


async def _add(connection: AsyncConnection, *, locking: bool = True) -> None:
    query = select(_table.c.n).where(_table.c.id == 1)
    n = (await connection.execute(query.with_for_update() if locking else query)).scalar_one()
    await asyncio.sleep(0.002)  # for others to come in between, where they can
    await connection.execute(update(_table).where(_table.c.id == 1).values(n=n + 1))


async def _add_often(db: Database, *, locking: bool) -> None:
    for _ in range(ROUNDS):
        async with db.begin() as connection:
            await _add(connection, locking=locking)


async def committed_is_kept(make: Callable[[], Database]) -> None:
    """
    What a transaction did is there for another component, and after the first one was shut down.
    """
    async with running(make()) as other, _counter(make) as db:
        async with db.begin() as connection:
            await _add(connection)
        assert await _read(other) == 1, "committed by one component, not seen by another"
        async with running(make()) as later:
            assert await _read(later) == 1, "committed by one component, not seen by a later one"


async def failed_is_undone(make: Callable[[], Database]) -> None:
    """
    A transaction that is left with an exception has changed nothing.
    """
    async with _counter(make) as db:
        with contextlib.suppress(ZeroDivisionError):
            async with db.begin() as connection:
                await _add(connection)
                raise ZeroDivisionError
        assert await _read(db) == 0, "a transaction that failed has changed something"


async def no_update_is_lost(make: Callable[[], Database]) -> None:
    """
    Tasks of two components that read a row for update and then write it lose nothing and are never refused.
    """
    await _count_together(make, locking=True)


async def no_update_is_lost_without_locks(make: Callable[[], Database]) -> None:
    """
    Tasks of two components that read a row, as one does, and then write it lose nothing and are never refused.
    """
    await _count_together(make, locking=False)


async def _count_together(make: Callable[[], Database], *, locking: bool) -> None:
    async with _counter(make) as one, running(make()) as other:
        async with asyncio.TaskGroup() as tasks:
            for number in range(TASKS):
                tasks.create_task(_add_often((one, other)[number % 2], locking=locking))
        assert await _read(one) == TASKS * ROUNDS, "an update was lost"


async def what_was_read_is_still_true(make: Callable[[], Database]) -> None:
    """
    Transactions that count the rows and add one with the next number never give the same number twice.
    """

    async def take_number(db: Database, row: int) -> None:
        async with db.begin() as connection:
            number = (await connection.execute(select(func.count()).select_from(_table))).scalar_one()
            await asyncio.sleep(0.005)
            await connection.execute(insert(_table).values(id=row, n=number))

    async with _counter(make) as one, running(make()) as other:
        async with asyncio.TaskGroup() as tasks:
            for number in range(2 * TASKS):
                tasks.create_task(take_number((one, other)[number % 2], 2 + number))
        async with one.begin(read_only=True) as connection:
            given = (await connection.execute(select(_table.c.n).order_by(_table.c.n))).scalars().all()
        assert given == list(range(1 + 2 * TASKS)), "what a transaction had read was not true any more when it wrote"


async def tables_can_be_made_by_several(make: Callable[[], Database]) -> None:
    """
    Components that make the same tables at the same time, if they are not there yet, do not get in each other's way.
    """

    async def make_tables(db: Database) -> None:
        async with db.begin() as connection:
            await connection.run_sync(_metadata.create_all)

    async with _counter(make) as one, running(make()) as other:
        for _ in range(3):
            async with one.begin() as connection:
                await connection.run_sync(_metadata.drop_all)
            async with asyncio.TaskGroup() as tasks:
                for db in (one, other):
                    tasks.create_task(make_tables(db))


async def reading_is_from_one_moment(make: Callable[[], Database]) -> None:
    """
    A transaction that only reads goes on to see what it saw at first, and waits for nobody who writes meanwhile.
    """
    async with _counter(make) as db, asyncio.timeout(LONG_ENOUGH):
        async with db.begin(read_only=True) as reading:
            before = (await reading.execute(select(_table.c.n))).scalar_one()
            async with db.begin() as writing:
                await _add(writing)
                assert await _read(db) == 0, "what is not committed was seen"
            assert await _read(db) == 1, "a commit is not seen"
            after = (await reading.execute(select(_table.c.n))).scalar_one()
        assert before == after == 0, "a transaction that only reads saw two states"


async def cancelled_is_undone(make: Callable[[], Database]) -> None:
    """
    A task that is cancelled inside a transaction changes nothing, and hands nothing of it on.
    """

    async def half(db: Database, reached: asyncio.Event) -> None:
        async with db.begin() as connection:
            await connection.execute(update(_table).values(n=100))
            reached.set()
            await asyncio.Event().wait()

    async with _counter(make) as db:
        for _ in range(ROUNDS):
            reached = asyncio.Event()
            task = asyncio.create_task(half(db, reached))
            await reached.wait()
            task.cancel()
            await asyncio.wait([task])
            async with db.begin() as connection:
                await _add(connection)
        assert await _read(db) == ROUNDS, "what a cancelled task did was kept"


async def read_only_cannot_write(make: Callable[[], Database]) -> None:
    """
    A transaction that was begun with ``read_only=True`` is refused to write.
    """
    async with _counter(make) as db:
        refused = False
        try:
            async with db.begin(read_only=True) as connection:
                await connection.execute(update(_table).values(n=1))
        except Exception:
            refused = True
        assert refused, "a transaction that may only read has written"
        assert await _read(db) == 0, "a transaction that may only read has changed something"


async def sessions_share_the_rules(make: Callable[[], Database]) -> None:
    """
    A session commits when told to and not before, and reads what others committed.
    """
    async with _counter(make) as db:
        async with db.session() as session:
            await session.execute(update(_table).values(n=5))
        assert await _read(db) == 0, "a session that was not committed has changed something"
        async with db.session() as session, session.begin():
            await session.execute(update(_table).values(n=5))
        async with db.session(read_only=True) as session:
            assert (await session.execute(select(func.max(_table.c.n)))).scalar_one() == 5, "a commit is not seen"


async def healthy_while_set_up(make: Callable[[], Database]) -> None:
    """
    A database that was just set up says that it is well, while somebody writes too.
    """
    async with _counter(make) as db, db.begin() as connection:
        await _add(connection)
        await db.health()


SERIAL_RULES: tuple[Rule, ...] = (
    no_update_is_lost_without_locks,
    what_was_read_is_still_true,
    tables_can_be_made_by_several,
)

RULES: tuple[Rule, ...] = (
    committed_is_kept,
    failed_is_undone,
    no_update_is_lost,
    *SERIAL_RULES,
    cancelled_is_undone,
    read_only_cannot_write,
    reading_is_from_one_moment,
    sessions_share_the_rules,
    healthy_while_set_up,
)
