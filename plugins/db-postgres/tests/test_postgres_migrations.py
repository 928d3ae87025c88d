"""
Tests of Alembic migrations on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.exceptions import SetupError
from conductor.testing import running
from conductor_db_postgres import PostgresDatabase

from .postgres_servers import fetch, run

FIRST = """
from alembic import op
import sqlalchemy as sa

revision = "1"
down_revision = None

def upgrade():
    op.create_table("things", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("SELECT pg_sleep(0.3)")
"""
BROKEN = """
from alembic import op

revision = "2"
down_revision = "1"

def upgrade():
    op.execute("INSERT INTO things DEFAULT VALUES")
    op.execute("this is no SQL")
"""
LOCATION = "postgres_shop_under_test:migrations"
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """
    The folder of versions of an importable package, with one slow migration in it.
    """
    folder = tmp_path / "postgres_shop_under_test" / "migrations" / "versions"
    folder.mkdir(parents=True)
    (tmp_path / "postgres_shop_under_test" / "__init__.py").touch()
    (folder / "1_first.py").write_text(FIRST)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    sys.modules.pop("postgres_shop_under_test", None)


@pytest.mark.parametrize("concurrent_writes", [False, True])
def test_concurrent_set_ups_run_each_migration_once(url: str, versions: Path, concurrent_writes: bool) -> None:
    """
    Several set-ups wait for each other, one runs the migrations, and the limit of statements is not theirs.
    """

    async def one() -> None:
        db = PostgresDatabase(url=url, migrations=LOCATION, statement_timeout=0.1, concurrent_writes=concurrent_writes)
        async with running(db):
            await db.health()

    async def main() -> None:
        await asyncio.gather(*(one() for _ in range(4)))
        assert [row[0] for row in await fetch(url, TABLES)] == ["alembic_version", "things"]

    run(main())


def test_a_migration_that_fails_changes_nothing(url: str, versions: Path) -> None:
    """
    A migration that fails fails set-up, and what it and those before it did is undone.
    """
    (versions / "2_broken.py").write_text(BROKEN)

    async def main() -> None:
        with pytest.raises(SetupError) as caught:
            async with running(PostgresDatabase(url=url, migrations=LOCATION)):
                pass
        [failure] = caught.value.exceptions
        assert "syntax error" in str(failure.__cause__)
        assert await fetch(url, TABLES) == []

    run(main())
