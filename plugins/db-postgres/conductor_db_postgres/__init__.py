"""
PostgreSQL in place of SQLite, for the component ``db`` of Conductor.
"""

from ._database import PostgresDatabase
from ._lock import LockLostError

__all__ = ["LockLostError", "PostgresDatabase"]
