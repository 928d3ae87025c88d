"""
TOML read from files that nobody vouches for, and values written down for people to read.

A settings file may be anything: a pipe that never ends, a device, a file of another kind, or one made to keep a
parser busy (``tomllib`` takes quadratic time for long dotted keys and recurses for nested brackets).  So the
depth is measured before anything is parsed, and whatever is wrong comes out as one sentence.

No error from here holds on to the text it is about, since that text may hold a secret; hence errors are raised
after the ``except`` clause, not inside of it.
"""

from __future__ import annotations

import collections
import contextlib
import datetime
import decimal
import enum
import gc
import json
import os
import re
import stat
import tomllib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import attrs

from ._component import Secret
from ._text import MASK, dotted, is_secret_name, printable, redact, shorten
from .exceptions import SettingsFileError

LARGEST = 1 << 20
"""
Bytes that a settings file, or a file that holds a secret, may have.
"""

DEEPEST = 64
"""
How deep tables and lists may be nested, and how many parts a dotted key may have.
"""

_WIDEST = 14_000
_TOKEN = re.compile(
    r'''
      """(?:[^"\\]++|\\.|"(?!""))*+(?:"{3,5}|\Z)
    | \'\'\'(?:[^']++|'(?!\'\'))*+(?:'{3,5}|\Z)
    | "(?:[^"\\\n]++|\\.)*+"?
    | '[^'\n]*+'?
    | \#[^\n]*+
    | (?P<opening>[\[{]) | (?P<closing>[\]}]) | (?P<dot>\.) | (?P<end>[\n,=])
    ''',
    re.VERBOSE | re.DOTALL,
)


class TextError(ValueError):
    """
    A text or a file that cannot be read; says why in one sentence, without any of its content.
    """


def read_toml(path: Path) -> dict[str, Any]:
    """
    The table that a settings file holds.

    Raises:
        SettingsFileError: it is not there, not a regular file, too large, not UTF-8, not TOML or too deep.
    """
    try:
        return parse_toml(read_text(path))
    except TextError as error:
        reason = str(error)
    raise SettingsFileError(path=str(path), reason=reason)


def read_text(path: Path) -> str:
    """
    The text of a regular file of at most :data:`LARGEST` bytes; never blocks, whatever the path leads to.

    Raises:
        TextError: it cannot be read.
    """
    content, reason = b"", ""
    try:
        content = _read_regular(path)
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"it is not UTF-8 (byte {error.start + 1})"
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
    except ValueError as error:  # a null character in the path
        reason = str(error)
    raise TextError(reason)


def _read_regular(path: Path) -> bytes:
    """
    Look before opening, since opening a pipe waits for its other end; look again at what was opened.
    """
    _check_regular(os.stat(path))
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        _check_regular(os.fstat(descriptor))
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise TextError(f"it is larger than {LARGEST} bytes")
    return content


def _check_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise TextError("it is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise TextError("it is not a regular file")
    if status.st_size > LARGEST:
        raise TextError(f"it is larger than {LARGEST} bytes")


def parse_toml(text: str) -> dict[str, Any]:
    """
    The table that a TOML document holds.

    Raises:
        TextError: it is not TOML, or nested deeper than :data:`DEEPEST`.
    """
    _check_depth(text)
    table: dict[str, Any] = {}
    try:
        with _without_collections():
            table = tomllib.loads(text)
        reason = ""
    except tomllib.TOMLDecodeError as error:
        reason = f"it is not TOML: {error.args[0] if error.args else error}"
    except RecursionError:
        reason = "it is nested too deep"
    except Exception as error:  # int() refuses thousands of digits; nobody knows what else a parser may do
        reason = "it holds a number that is too large" if "digits" in str(error) else "it is not TOML"
    if reason:
        raise TextError(reason)
    _check_values(table)
    return table


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """
    No garbage collection meanwhile: it looks through all that has been parsed again and again, and takes four times
    as long as the parsing of a large file itself.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def parse_value(text: str) -> Any:
    """
    What a text means as one TOML value: ``true``, ``3.5``, ``["a", "b"]``.

    Raises:
        TextError: it means nothing, or more than one value.
    """
    table = parse_toml(f"value = {text.strip()}\n")
    if table.keys() != {"value"}:
        raise TextError("it is more than one value")
    return table["value"]


def _check_depth(text: str) -> None:
    """
    Refuse what would keep the parser busy or make it recurse, by brackets and dots alone.
    """
    depth = dots = 0
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "dot":
            dots += 1
        elif kind is not None:
            dots = 0
            depth = max(0, depth + (kind == "opening") - (kind == "closing"))
        if depth > DEEPEST or dots >= DEEPEST:
            line = text.count("\n", 0, token.start()) + 1
            raise TextError(f"it is nested deeper than {DEEPEST} levels (at line {line})")


def _check_values(table: Mapping[str, Any]) -> None:
    """
    Refuse what is small on paper but too much for those who show or walk it later.
    """
    level: list[Any] = [table]
    for _ in range(DEEPEST + 1):
        for value in level:
            if isinstance(value, int) and value.bit_length() > _WIDEST:
                raise TextError("it holds a number that is too large")
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    raise TextError(f"it is nested deeper than {DEEPEST} levels")


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def show(value: Any, *, longest: int | None = None) -> str:
    """
    A value as it may be shown, written much as in TOML: secrets and passwords masked, on one line.

    Args:
        value: anything; what is no plain value is shown by its class alone.
        longest: characters after which it is cut.
    """
    text = printable(_write(value, 0)).replace("\n", "\\n")
    return text if longest is None else shorten(text, longest)


def _write(value: Any, depth: int) -> str:
    if depth > DEEPEST:
        return "…"
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, Mapping):
        return _write_table(value, depth)
    if isinstance(value, list | tuple | collections.deque):
        return f"[{', '.join(_write(item, depth + 1) for item in value)}]"
    if isinstance(value, set | frozenset):
        return f"[{', '.join(sorted(_write(item, depth + 1) for item in value))}]"
    if attrs.has(type(value)):
        shown = {field.name: getattr(value, field.name, None) for field in attrs.fields(type(value)) if field.repr}
        return _write_table(shown, depth)
    return _write_scalar(value)


def _write_table(table: Mapping[Any, Any], depth: int) -> str:
    pairs = []
    for key, value in table.items():
        hidden = value is not None and is_secret_name(str(key))
        pairs.append(f"{dotted([str(key)])} = {MASK if hidden else _write(value, depth + 1)}")
    return f"{{{', '.join(pairs)}}}"


def _write_scalar(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, enum.Enum):
        return _write_scalar(value.value) if isinstance(value.value, str | int) else json.dumps(value.name)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value)) if value.bit_length() <= _WIDEST else f"<integer of {value.bit_length()} bits>"
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, str | PurePath | uuid.UUID | decimal.Decimal):
        return json.dumps(redact(str(value)), ensure_ascii=False)
    if isinstance(value, bytes):
        return json.dumps(redact(value.decode("utf-8", "backslashreplace")), ensure_ascii=False)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return repr(value.total_seconds())
    return f"<{type(value).__module__}.{type(value).__qualname__}>"
