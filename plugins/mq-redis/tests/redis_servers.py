"""
Servers to test with: the one that is there for all tests, and others that a test starts and ends itself.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
import redis
from redis.exceptions import ConnectionError

DEFAULT_URL = "redis://127.0.0.1:6379/"


@contextlib.contextmanager
def own_prefix() -> Iterator[dict[str, Any]]:
    """
    The settings of a queue on the common server that nobody else uses; it is emptied in the end.
    """
    url = os.environ.get("CONDUCTOR_TEST_REDIS_URL", DEFAULT_URL)
    prefix = f"test-{secrets.token_hex(6)}"
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        try:
            client.ping()
        except ConnectionError as error:
            missing(f"no Redis server answers at {url!r}: {error}")
        try:
            yield {"url": url, "prefix": prefix}
        finally:
            for key in client.scan_iter(match=f"{prefix}:*", count=1000):
                client.delete(key)


def missing(reason: str) -> NoReturn:
    """
    Skip the test, or fail if servers are required.
    """
    if os.environ.get("CONDUCTOR_REQUIRE_SERVERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
