"""
The settings of the queue on Redis, and how addresses and errors are shown.
"""

from __future__ import annotations

import pytest
from redis import exceptions

from conductor_mq_redis import RedisMessageQueue
from conductor_mq_redis._address import shown
from conductor_mq_redis._explanation import explain, may_pass
from conductor_mq_redis._keys import Keys, digest, encode


@pytest.mark.parametrize(
    "url", ["", "localhost", "http://localhost", "redis://host:x", "redis://host:0", "redis://secret@host:99999"]
)
def test_url_must_be_one(url: str) -> None:
    """
    What is no URL of a server is refused, and not repeated, as it may hold a password.
    """
    with pytest.raises(ValueError, match="must be the URL of a Redis server") as caught:
        RedisMessageQueue(url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis://h", "rediss://u:p@h:1/2?ssl_cert_reqs=none", "unix:///run/redis.sock"])
def test_url_may_be_of_any_kind(url: str) -> None:
    """
    Plain, over TLS and through a socket of the machine.
    """
    assert RedisMessageQueue(url=url).url == url


@pytest.mark.parametrize("prefix", ["", "a{b}", "a*", "a b", "ü", "x" * 81])
def test_prefix_must_be_plain(prefix: str) -> None:
    """
    A prefix holds nothing that has a meaning in a key or a pattern.
    """
    with pytest.raises(ValueError, match="'prefix' must be up to 80 letters"):
        RedisMessageQueue(prefix=prefix)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("redis://:secret@h", "redis://h"),
        ("rediss://me:secret@h:1/2?password=secret", "rediss://me@h:1/2"),
        ("unix://me:secret@/run/redis.sock?db=1", "unix://me@/run/redis.sock"),
        ("redis://:se@cret@h", "redis://h"),
    ],
)
def test_address_is_shown_without_password(url: str, text: str) -> None:
    """
    Of an address, people are shown all but its password and options.
    """
    assert shown(url) == text


def test_names_are_apart() -> None:
    """
    Different topics and groups have different keys, and those of a topic one hash tag.
    """
    names = ["a", "A", "a:b", "a}:b", "{a", "%7Ba", "ü", " ", "*", "\0"]
    assert len({encode(name) for name in names}) == len(names)
    keys = Keys("p").group("a}{b", "c}d")
    assert {key[: key.index("}") + 1] for key in keys} == {"p:{a%7D%7Bb}"}
    assert all(key.count("{") == key.count("}") == 1 for key in keys)
    assert len({digest(None), digest(""), digest("a")}) == 3


@pytest.mark.parametrize(
    ("error", "reason", "passing"),
    [
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), "still loading", True),
        (exceptions.ResponseError("MISCONF Errors writing to the AOF file"), "cannot write to its disk", False),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."), "too few of its replicas", True),
        (exceptions.ResponseError("OOM command not allowed when used memory > 'maxmemory'."), "it is full", False),
        (exceptions.ResponseError("DB index is out of range"), "it refuses: DB index is out of range", False),
        (exceptions.ResponseError("MOVED 3999 127.0.0.1:6381"), "one of several servers of a cluster", False),
        (exceptions.TimeoutError("Timeout reading from socket"), "it does not answer", True),
        (exceptions.AuthenticationError("Authentication required."), "it wants a password", False),
        (exceptions.AuthenticationError("invalid username-password pair"), "it refuses user and password", False),
        (ConnectionResetError(), "ConnectionResetError", True),
    ],
)
def test_errors_are_explained(error: Exception, reason: str, passing: bool) -> None:
    """
    What the client reports is told in plain words, and what may be over soon is waited for.
    """
    assert reason in explain(error)[0]
    assert may_pass(error) is passing
