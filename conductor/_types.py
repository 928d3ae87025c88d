"""
What a type says about its values: in words, as choices, and whether a secret is among them.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import functools
import types
import typing
import uuid
from collections import abc
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import attrs

from ._component import Secret
from ._toml import show

_WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    bytes: "a string",
    datetime.datetime: "a date and time, such as 2030-01-31T12:00:00",
    datetime.date: "a date, such as 2030-01-31",
    datetime.time: "a time, such as 12:00:00",
    datetime.timedelta: "a number of seconds",
    decimal.Decimal: "a decimal number",
    uuid.UUID: "a UUID",
    object: "any value",
}
LISTS = (
    list,
    set,
    frozenset,
    collections.deque,
    abc.Sequence,
    abc.MutableSequence,
    abc.Set,
    abc.MutableSet,
    abc.Collection,
    abc.Iterable,
)
TABLES = (dict, collections.OrderedDict, abc.Mapping, abc.MutableMapping)


@attrs.frozen
class Choice:
    """
    One of the values that an enumeration or a ``Literal`` allows.

    Attributes:
        value: as it is written.
        result: as the field gets it.
        name: of the member of an enumeration, which may be written as well.
    """

    value: Any
    result: Any
    name: str | None = None


def choices(wanted: Any) -> tuple[Choice, ...]:
    """
    The values that an enumeration or a ``Literal`` allows; none for other types.
    """
    if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        return tuple(map(_choice, wanted.__members__.values()))
    return tuple(map(_choice, typing.get_args(wanted))) if is_literal(wanted) else ()


def _choice(value: Any) -> Choice:
    return Choice(value.value, value, value.name) if isinstance(value, enum.Enum) else Choice(value, value)


def bare(wanted: Any) -> Any:
    """
    The type inside ``Annotated``, ``NewType``, ``Final`` and type aliases.
    """
    while True:
        if typing.get_origin(wanted) in (typing.Annotated, typing.Final):
            wanted = typing.get_args(wanted)[0]
        elif hasattr(wanted, "__supertype__"):
            wanted = wanted.__supertype__
        elif type(wanted).__name__ == "TypeAliasType":  # typing has it from 3.12 on
            wanted = wanted.__value__
        else:
            return wanted


def is_literal(wanted: Any) -> bool:
    """
    Whether it is a ``Literal``.
    """
    return typing.get_origin(wanted) is typing.Literal


def is_union(wanted: Any) -> bool:
    """
    Whether it is a union, ``X | None`` included.
    """
    return typing.get_origin(wanted) in (typing.Union, types.UnionType)


def arms(wanted: Any) -> tuple[Any, ...]:
    """
    The types of a union, without None; the type itself if it is no union.
    """
    if not is_union(wanted):
        return (wanted,)
    return tuple(arm for arm in typing.get_args(wanted) if arm is not type(None))


def is_table_class(wanted: Any) -> bool:
    """
    Whether it is an attrs class or a dataclass, whose values are tables with its fields as keys.
    """
    cls = typing.get_origin(wanted) or wanted
    return isinstance(cls, type) and (attrs.has(cls) or dataclasses.is_dataclass(cls))


def is_secret(wanted: Any) -> bool:
    """
    Whether its values are secrets, or None.
    """
    return any(Secret in (bare(arm), typing.get_origin(bare(arm))) for arm in arms(bare(wanted)))


def holds_secret(wanted: Any) -> bool:
    """
    Whether a secret may be anywhere in its values.
    """
    return any(is_secret(inner) for inner in _all_types(wanted, set()))


def _all_types(wanted: Any, seen: set[int]) -> Iterator[Any]:
    wanted = bare(wanted)
    if id(wanted) in seen:
        return
    seen.add(id(wanted))
    yield wanted
    inner = typing.get_args(wanted) if not is_literal(wanted) else ()
    if is_table_class(wanted):
        inner += tuple(field_types(wanted).values())
    for each in inner:
        yield from _all_types(each, seen)


def fields_of(cls: Any) -> tuple[Any, ...]:
    """
    The fields of an attrs class or dataclass.
    """
    return tuple(attrs.fields(cls)) if attrs.has(cls) else dataclasses.fields(cls)


@functools.cache
def field_types(wanted: Any) -> Mapping[str, Any]:
    """
    The types of the fields of an attrs class or dataclass, as far as they can be resolved.
    """
    cls = typing.get_origin(wanted) or wanted
    try:
        resolved = typing.get_type_hints(cls, include_extras=True)
    except Exception:  # a name that is nowhere: whoever structures the class will say so
        resolved = {}
    return {field.name: resolved.get(field.name, field.type) for field in fields_of(cls) if field.init}


def is_named_tuple(wanted: Any) -> bool:
    """
    Whether it is a ``NamedTuple``, whose values are written as lists.
    """
    return isinstance(wanted, type) and issubclass(wanted, tuple) and hasattr(wanted, "_fields")


def tuple_types(wanted: Any) -> tuple[Any, ...]:
    """
    The types of the values of a tuple with a fixed length; none for any other tuple.
    """
    if is_named_tuple(wanted):
        return tuple(typing.get_type_hints(wanted).values())
    inner = typing.get_args(wanted)
    return () if inner[-1:] == (Ellipsis,) else inner


def describe(wanted: Any) -> str:
    """
    Its values in words: ``an integer``, ``one of "a", "b"``.
    """
    wanted = bare(wanted)
    origin, args = typing.get_origin(wanted) or wanted, typing.get_args(wanted)
    if wanted is Any or isinstance(wanted, typing.TypeVar):
        return "any value"
    if is_union(wanted):
        return " or ".join(describe(arm) for arm in arms(wanted))
    if allowed := choices(wanted):
        return "one of " + ", ".join(show(_written(choice)) for choice in allowed)
    if origin is Secret:
        return describe(args[0] if args else str)
    if (origin is tuple or is_named_tuple(wanted)) and (inner := tuple_types(wanted)):
        return f"a list of exactly {len(inner)}: {', '.join(map(describe, inner))}"
    if origin is tuple or origin in LISTS:
        return f"a list, each value {describe(args[0])}" if args else "a list"
    if origin in TABLES:
        return f"a table, each value {describe(args[1])}" if args else "a table"
    return _describe_class(origin)


def _written(choice: Choice) -> Any:
    return choice.value if isinstance(choice.value, str | int) or choice.name is None else choice.name


def _describe_class(wanted: Any) -> str:
    if is_table_class(wanted):
        return f"a table with the keys {', '.join(field_types(wanted))}"
    if typing.is_typeddict(wanted):
        return f"a table with the keys {', '.join(wanted.__annotations__)}"
    if not isinstance(wanted, type):
        return str(wanted)
    if issubclass(wanted, PurePath):
        return "a path"
    near = next((words for known, words in _WORDS.items() if known is not object and issubclass(wanted, known)), None)
    return _WORDS.get(wanted) or near or f"an object of class '{wanted.__module__}.{wanted.__qualname__}'"


def type_text(wanted: Any) -> str:
    """
    The annotation as its author would write it: ``list[int] | None``, ``Secret[str]``.
    """
    if wanted is type(None):
        return "None"
    if wanted is Ellipsis:
        return "..."
    if is_union(wanted):
        return " | ".join(map(type_text, typing.get_args(wanted)))
    if is_literal(wanted):
        return f"Literal[{', '.join(map(repr, typing.get_args(wanted)))}]"
    args = typing.get_args(wanted)
    if typing.get_origin(wanted) is typing.Annotated:
        return type_text(args[0])
    origin = typing.get_origin(wanted) or wanted
    name = getattr(origin, "__qualname__", None) or getattr(origin, "__name__", None) or str(origin)
    name = name.rpartition("<locals>.")[2]
    return f"{name}[{', '.join(map(type_text, args))}]" if args else name
