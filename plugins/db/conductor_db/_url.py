"""
Database URLs: read as people write them, and shown without what is secret in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from .exceptions import DatabaseSetupError

MASK = "***"

_SECRET_KEYS = re.compile(r"passw|pwd|secret|token|api_?key", re.IGNORECASE)
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}


def parse_url(text: str) -> URL:
    """
    The URL as SQLAlchemy knows it, with the asynchronous driver that a bare ``sqlite://`` means.

    Raises:
        DatabaseSetupError: it is no URL; the message does not repeat it, as it may hold a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        failure = DatabaseSetupError(
            url="?",
            reason="the setting 'url' is not a database URL",
            hint="write it like 'sqlite:///app.db' or 'postgresql://user@localhost/orders'",
        )
    else:
        return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    raise failure  # outside of the handler: the error that is not chained would repeat the text


def shown_url(url: URL) -> str:
    """
    The URL for people: without password, neither before the ``@`` nor in the query.
    """
    if url.drivername in _DRIVERS.values():
        url = url.set(drivername=url.get_backend_name())
    masked = url.update_query_dict({key: MASK for key in url.query if _SECRET_KEYS.search(key)})
    text = masked.render_as_string(hide_password=True)
    return text.replace(quote_plus(MASK), MASK)


def redact(text: str, url: URL) -> str:
    """
    The text without the secrets of the URL, however they are quoted in it.
    """
    for secret in sorted(_spellings(url), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _spellings(url: URL) -> Iterator[str]:
    for secret in _secrets(url):
        yield from {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]}


def _secrets(url: URL) -> Iterator[str]:
    if url.password:
        yield url.password
    for key, value in url.query.items():
        if _SECRET_KEYS.search(key):
            yield from filter(None, [value] if isinstance(value, str) else value)
