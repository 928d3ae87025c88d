"""
What a server's refusals mean, and what can be done.
"""

from __future__ import annotations

from builtins import TimeoutError as OSTimeoutError

from redis import exceptions
from redis.exceptions import ConnectionError, TimeoutError

_CREDENTIALS = "check user and password in the setting 'url', and that the user may log in from here"

# By the first word of the server's answer, which the client cuts off for those that it has a class for.
_REFUSALS = {
    "OOM": (
        "it is full ('maxmemory' is reached)",
        "let consumers catch up, replay or remove dead letters, or raise 'maxmemory' on the server",
    ),
    "READONLY": (
        "it can only be read, as it is a replica",
        "the setting 'url' must lead to the server that is written to",
    ),
    "MISCONF": (
        "it takes nothing, as it cannot write to its disk",
        "see the server's log, and whether its disk is full",
    ),
    "NOREPLICAS": (
        "it takes nothing, as too few of its replicas are there",
        "see 'min-replicas-to-write' on the server",
    ),
    "LOADING": ("it is still loading its messages from its disk", ""),
    "MASTERDOWN": ("it is a replica that has lost its master", ""),
    "CLUSTERDOWN": ("its cluster is down", ""),
    "NOAUTH": ("it wants a password", _CREDENTIALS),
    "WRONGPASS": ("it refuses user and password", _CREDENTIALS),
    "NOPERM": (
        "it does not allow what a queue has to do",
        "let the user do '+@all', on keys and channels: '~PREFIX:* &PREFIX:*'",
    ),
    "MOVED": (
        "it is one of several servers of a cluster, which this queue cannot use",
        "the setting 'url' must lead to a single server, or to one with replicas",
    ),
    "NOGROUP": ("it does not know the group any more", ""),
}
_CLASSES: tuple[tuple[str, str], ...] = (
    ("OutOfMemoryError", "OOM"),
    ("ReadOnlyError", "READONLY"),
    ("BusyLoadingError", "LOADING"),
    ("MasterDownError", "MASTERDOWN"),
    ("ClusterDownError", "CLUSTERDOWN"),
    ("NoPermissionError", "NOPERM"),
    ("MovedError", "MOVED"),
)
_PASSING = frozenset({"LOADING", "MASTERDOWN", "CLUSTERDOWN", "READONLY", "NOREPLICAS"})


def explain(error: Exception) -> tuple[str, str]:
    """
    The reason why something did not work, and the next step if there is one.
    """
    code = _code(error)
    if code in _REFUSALS:
        return _REFUSALS[code]
    if isinstance(error, TimeoutError | OSTimeoutError):
        return "it does not answer", ""
    text = " ".join(str(error).split())
    if isinstance(error, exceptions.ResponseError):
        return f"it refuses: {text}", ""
    return text.rstrip(".") or type(error).__name__, ""


def may_pass(error: Exception) -> bool:
    """
    Whether what kept us from using the server may be gone the next time.
    """
    code = _code(error)
    if code:
        return code in _PASSING
    return isinstance(error, ConnectionError | TimeoutError | OSError)


def may_be_replaced(error: Exception) -> bool:
    """
    Whether another server may have taken the place of this one.
    """
    return _code(error) == "READONLY"


def is_full(error: Exception) -> bool:
    """
    Whether the server has no memory for more.
    """
    return _code(error) == "OOM"


def _code(error: Exception) -> str:
    text = str(error)
    first = text.partition(" ")[0]
    if first in _REFUSALS:
        return first
    for name, code in _CLASSES:
        if isinstance(error, getattr(exceptions, name, ())):
            return code
    if isinstance(error, exceptions.AuthenticationError):
        return "NOAUTH" if "required" in text.lower() else "WRONGPASS"
    if isinstance(error, exceptions.AuthenticationWrongNumberOfArgsError):
        return "NOAUTH"
    if "OOM command not allowed" in text:  # inside of a script, the code is not at the beginning
        return "OOM"
    for code in ("READONLY", "MISCONF", "NOREPLICAS", "NOGROUP"):
        if code in text:
            return code
    return ""
