"""
Bring a database's tables up to date with Alembic; imported only if there are migrations.
"""

from __future__ import annotations

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def upgrade(connection: Connection, location: str) -> None:
    """
    Run every migration that the database has not had yet, in the connection's own transaction.

    Either all of them take effect or none does.  ``env.py`` is for the ``alembic`` command and is not run here:
    it would open a connection of its own, and that one would wait for this one.

    Args:
        connection: one with a transaction under way, which the caller commits.
        location: folder with ``versions/`` in it, as ``package:folder`` or as a path.
    """
    config = Config()
    config.set_main_option("script_location", location.replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)

    def steps(revision: object, context: MigrationContext) -> list[object]:
        return list(scripts._upgrade_revs("head", revision))  # type: ignore[arg-type]  # as in alembic.command

    with EnvironmentContext(config, scripts, fn=steps, destination_rev="head") as environment:
        environment.configure(connection=connection)
        with environment.begin_transaction():
            environment.run_migrations()
