"""
The component ``db`` for Conductor: SQLAlchemy's asynchronous engine, with SQLite built in.
"""

from ._database import Database
from .exceptions import DatabaseSetupError

__all__ = ["Database", "DatabaseSetupError"]
