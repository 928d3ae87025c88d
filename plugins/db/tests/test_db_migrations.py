"""
Tests of Alembic migrations at set-up.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from conductor.exceptions import SetupError
from conductor.testing import running
from conductor_db import Database, DatabaseSetupError

FIRST = """
import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None

def upgrade():
    op.create_table("things", sa.Column("id", sa.Integer, primary_key=True))
"""
SECOND = """
import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"

def upgrade():
    op.add_column("things", sa.Column("name", sa.Text))
"""
BROKEN = """
from alembic import op

revision = "3"
down_revision = "2"

def upgrade():
    op.execute("INSERT INTO things (name) VALUES ('half')")
    op.execute("this is no SQL")
"""


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """
    The folder of versions of an importable package ``shop_under_test``, with two migrations in it.
    """
    versions = tmp_path / "shop_under_test" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "shop_under_test" / "__init__.py").touch()
    (versions / "1_first.py").write_text(FIRST)
    (versions / "2_second.py").write_text(SECOND)
    monkeypatch.syspath_prepend(tmp_path)
    yield versions
    sys.modules.pop("shop_under_test", None)


def database(tmp_path: Path, location: str = "shop_under_test:migrations") -> Database:
    return Database(url=f"sqlite:///{tmp_path / 'a.db'}", migrations=location, busy_timeout=10.0)


async def columns(db: Database) -> list[str]:
    async with db.begin(read_only=True) as connection:
        rows = await connection.execute(text("SELECT name FROM pragma_table_info('things')"))
        return [row.name for row in rows]


async def refusal(db: Database) -> str:
    """
    What the error says that set-up fails with.
    """
    with pytest.raises(SetupError) as caught:
        async with running(db):
            pass
    [failure] = caught.value.exceptions
    assert isinstance(failure.__cause__, DatabaseSetupError)
    return str(failure.__cause__)


def test_set_up_runs_the_migrations_once(tmp_path: Path, migrations: Path) -> None:
    """
    Set-up brings the tables up to date, and finds nothing to do the next time.
    """

    async def main() -> None:
        for _ in range(2):
            async with running(database(tmp_path)) as db:
                assert await columns(db) == ["id", "name"]

    asyncio.run(main())


def test_concurrent_set_ups_run_each_migration_once(tmp_path: Path, migrations: Path) -> None:
    """
    Several set-ups at the same time wait for each other, and each migration is run by one of them.
    """

    async def one() -> None:
        async with running(database(tmp_path)) as db:
            assert await columns(db) == ["id", "name"]

    async def main() -> None:
        await asyncio.gather(*(one() for _ in range(5)))

    asyncio.run(main())


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, migrations: Path) -> None:
    """
    A migration that fails fails set-up, and what it and those before it did is undone.
    """
    (migrations / "3_broken.py").write_text(BROKEN)

    async def main() -> None:
        assert "syntax error" in await refusal(database(tmp_path))
        (migrations / "3_broken.py").unlink()
        async with running(Database(url=f"sqlite:///{tmp_path / 'a.db'}")) as db:
            assert await columns(db) == []
        async with running(database(tmp_path)) as db:
            assert await columns(db) == ["id", "name"]

    asyncio.run(main())


@pytest.mark.parametrize("location", ["no_such_package:migrations", "shop_under_test:nowhere"])
def test_migrations_that_are_not_there_fail_clearly(tmp_path: Path, migrations: Path, location: str) -> None:
    """
    A location that leads nowhere is named in the error of set-up.
    """

    async def main() -> None:
        missing = "no_such_package" if "no_such" in location else "nowhere"
        assert missing in await refusal(database(tmp_path, location))

    asyncio.run(main())


def test_without_the_extra_the_error_says_what_to_install(
    tmp_path: Path, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where Alembic is not installed, the error names the extra; a database without migrations does without.
    """
    monkeypatch.delitem(sys.modules, "conductor_db._migrations", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "alembic"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "alembic", None)
    monkeypatch.setitem(sys.modules, "alembic.config", None)

    async def main() -> None:
        assert "hint: pip install 'conductor-db[alembic]'" in await refusal(database(tmp_path))
        async with running(Database(url=f"sqlite:///{tmp_path / 'b.db'}")) as db:
            await db.health()

    asyncio.run(main())
