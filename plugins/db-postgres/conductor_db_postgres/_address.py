"""
The address of a server: as people write it, as the driver takes it, and as SQLAlchemy and messages show it.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy.engine import URL

from conductor_db._url import parse_url

SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")
EXAMPLE = "postgresql://user@localhost/orders"

# A list of servers with a port each, which SQLAlchemy reads in the query only.
_SERVERS = re.compile(r"^(?P<start>[^/?#]*://(?:[^/?#]*@)?)(?P<servers>[^/?#@]*,[^/?#@]*)(?P<path>[^?#]*)")


def check_url(instance: object, attribute: Any, value: str) -> None:
    """
    An attrs validator that refuses what is no address of PostgreSQL.

    The message does not repeat the value, as it may hold a password.

    Raises:
        ValueError: it is none.
    """
    scheme, found, _ = value.partition("://")
    scheme = scheme.lower()
    if found and scheme.partition("+")[0] == "sqlite":
        raise ValueError(
            f"must be the address of a PostgreSQL server, like '{EXAMPLE}': 'sqlite' is the embedded database, "
            "whose place 'conductor-db-postgres' has taken"
        )
    if not found or scheme not in SCHEMES:
        raise ValueError(f"must be the address of a PostgreSQL server, like '{EXAMPLE}'")


def dsn_of(text: str) -> str:
    """
    The address as asyncpg takes it; all that ``psql`` understands stays in it, like ``sslmode``.
    """
    _, _, rest = text.partition("://")
    return f"postgresql://{rest}"


def url_of(text: str) -> URL:
    """
    The address as SQLAlchemy knows it, for messages and for its dialect, which does not connect by it.

    Raises:
        DatabaseSetupError: it is no URL.
    """
    found = _SERVERS.match(text)
    if found is None:
        return parse_url(text)
    servers = found["servers"].split(",")
    url = parse_url(found["start"] + found["path"] + text[found.end() :])
    return url.update_query_pairs([("host", server) for server in servers], append=True)
