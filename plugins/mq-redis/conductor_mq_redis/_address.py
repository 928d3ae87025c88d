"""
The address of a server: as people write it, as the client takes it, and as messages show it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from redis.asyncio.connection import parse_url

SCHEMES = ("redis", "rediss", "unix")
HINT = "write it like 'redis://user:password@host:6379/0', 'rediss://…' for TLS, or 'unix:///path/to/socket'"


def check_url(instance: object, attribute: Any, text: str) -> None:  # Any: attrs' own, of whatever type
    """
    An attrs validator that refuses what is no address of a server; it does not repeat it, for the password in it.

    Raises:
        ValueError: it is none.
    """
    try:
        if urlsplit(text).scheme in SCHEMES:
            options_of(text)
            return
    except (ValueError, TypeError):
        pass
    raise ValueError(f"'url' must be the URL of a Redis server\nhint: {HINT}") from None


def options_of(text: str) -> dict[str, Any]:  # Any: the client's options, of whatever type
    """
    The address as the client takes it: options by name.
    """
    if urlsplit(text).port == 0:
        raise ValueError("no server listens to port 0")
    return dict(parse_url(text))


def shown(text: str) -> str:
    """
    The address for people, without password and options.
    """
    url = urlsplit(text)
    user, at, host = url.netloc.rpartition("@")
    name = user.partition(":")[0]
    return f"{url.scheme}://{name + at if name else ''}{host}{url.path}"
