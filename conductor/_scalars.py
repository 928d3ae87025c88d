"""
Single values: what a source gave, read for the type of one leaf, strictly, and with words for what was expected.

Three things reach every leaf together with the value: the source that gave it, whether it is text that is still to be
read, and whether it may hold a secret at all.

A :class:`Misfit` holds words only, never the value.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import math
import typing
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

import attrs

from ._component import Secret
from ._sources import Given, Twice, parts, plain
from ._text import MASK
from ._toml import TextError, parse_value, read_text, show
from ._types import LISTS, TABLES, arms, bare, choices, describe

LONGEST = 80
"""
Characters that an error shows of what was given.
"""

Hook = Callable[[Any, Any], Any]
Reader = Callable[[str, Any], Any]

_TRUTH = {"yes": True, "on": True, "1": True, "true": True, "no": False, "off": False, "0": False, "false": False}
LIST_VALUES = (list, tuple, set, frozenset, collections.deque)


@attrs.define(slots=False, eq=False)
class Misfit(Exception):
    """
    A value does not fit.

    Attributes:
        expected: what would fit; None if only ``message`` can say it.
        shown: the value as it may be shown; None if nothing was given.
        message: what is wrong, if ``expected`` does not say it.
        path: where in the setting, from outside in: ``.key`` and ``[index]``.
        hint: the next step.
        foreign: whether the type is one that no file can write.
        quoted: whether ``message`` are the words of somebody else, who may have put the value into them.
        untrusted: whether it is a secret that came from where everybody can see it.
        source: where the value came from.
    """

    expected: str | None = None
    shown: str | None = None
    message: str = attrs.field(default="", kw_only=True)
    path: str = attrs.field(default="", kw_only=True)
    hint: str | None = attrs.field(default=None, kw_only=True)
    foreign: bool = attrs.field(default=False, kw_only=True)
    quoted: bool = attrs.field(default=False, kw_only=True)
    untrusted: bool = attrs.field(default=False, kw_only=True)
    source: str | None = attrs.field(default=None, kw_only=True)


def first_words(error: BaseException) -> str:
    """
    The first line of what an exception says, without the objects that attrs validators add to it.
    """
    first = error.args[0] if error.args else ""
    lines = (first if isinstance(first, str) else str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def refuse(value: Any, wanted: Any, hint: str | None = None) -> Misfit:
    """
    A value is not what the type wants.
    """
    return Misfit(describe(wanted), shown(value), hint=hint)


def shown(value: Any) -> str:
    """
    A value as an error shows it.
    """
    return show(_plain(value), longest=LONGEST)


def _plain(value: Any) -> Any:
    return [plain(item) for item in value] if isinstance(value, list) else plain(value)


# -- reading ---------------------------------------------------------------------------------------------------------


def _read_toml(text: str, wanted: Any) -> Any:
    return parse_value(text)


def _read_as_it_is(text: str, wanted: Any) -> Any:
    return text


def _read_truth(text: str, wanted: Any) -> Any:
    truth = _TRUTH.get(text.strip().lower())
    return parse_value(text) if truth is None else truth


def _read_if_toml(text: str, wanted: Any) -> Any:
    try:
        return parse_value(text)
    except TextError:
        return text


def _read_choice(text: str, wanted: Any) -> Any:
    return (
        text if any(text in (choice.value, choice.name) for choice in choices(wanted)) else _read_if_toml(text, wanted)
    )


def reading(hook: Hook, read: Reader = _read_toml) -> Hook:
    """
    A hook that takes a :class:`Given` too, out of one for plain values.
    """

    def structure_given(value: Any, wanted: Any) -> Any:
        if not isinstance(value, Given):
            return hook(value, wanted)
        try:
            return hook(_raw(value, wanted, read), wanted)
        except Misfit as misfit:
            misfit.source = misfit.source or value.source
            raise

    return structure_given


def _raw(given: Given, wanted: Any, read: Reader) -> Any:
    """
    The value without its note; the entries of a table or a list get one of their own.
    """
    refuse_twice(given)
    value = given.value
    if given.text:
        try:
            value = read(value, wanted)
        except TextError:
            raise refuse(value, wanted, _how_to_write(wanted)) from None
    if isinstance(value, Mapping):
        return parts(attrs.evolve(given, value=value, text=False))
    if isinstance(value, LIST_VALUES) and not hasattr(value, "_fields"):
        return [attrs.evolve(given, value=item, text=False) for item in value]
    return value


def refuse_twice(value: Any) -> None:
    """
    Refuse what one source gives twice.
    """
    if isinstance(value, Given) and isinstance(value.value, Twice):
        raise Misfit(message="is set twice", hint="keep one of the two", source=value.source)


def _how_to_write(wanted: Any) -> str | None:
    kinds = {typing.get_origin(bare(arm)) or bare(arm) for arm in arms(bare(wanted))}
    if kinds & {tuple, *LISTS}:
        return 'write it as in TOML: ["a", "b"]'
    return 'write it as in TOML: { key = "value" }' if kinds & set(TABLES) else None


def inside(step: str, hook: Hook, value: Any, wanted: Any) -> Any:
    """
    What a hook makes of an entry of a list or table; what is wrong with it is told with the step to it.
    """
    try:
        return hook(value, wanted)
    except Misfit as misfit:
        misfit.path = step + misfit.path
        raise


# -- single values ---------------------------------------------------------------------------------------------------


def _structure_bool(value: Any, wanted: Any) -> bool:
    if not isinstance(value, bool):
        raise refuse(value, wanted)
    return value


def _structure_int(value: Any, wanted: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse(value, wanted)
    return value if wanted is int else wanted(value)


def _structure_float(value: Any, wanted: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refuse(value, wanted)
    try:
        return wanted(value)
    except OverflowError:
        raise refuse(value, wanted) from None


def _structure_finite(value: Any, wanted: Any) -> Any:
    number = _structure_float(value, wanted)
    if not math.isfinite(number):
        raise Misfit("a finite number", show(value))
    return number


def _structure_text(value: Any, wanted: Any) -> Any:
    if not isinstance(value, str):
        raise refuse(value, wanted)
    return value if wanted is str else wanted(value)


def _structure_bytes(value: Any, wanted: Any) -> Any:
    if isinstance(value, str):
        return wanted(value.encode("utf-8", "surrogateescape"))
    if not isinstance(value, bytes):
        raise refuse(value, wanted)
    return value


def _structure_written(value: Any, wanted: Any) -> Any:
    """
    Types whose values are written as a string: paths, UUIDs, decimal numbers.
    """
    if isinstance(value, wanted):
        return value
    number = wanted is decimal.Decimal and isinstance(value, int | float) and not isinstance(value, bool)
    if not isinstance(value, str) and not number:
        raise refuse(value, wanted)
    try:
        return wanted(str(value) if isinstance(value, float) else value)
    except (ValueError, ArithmeticError):
        raise refuse(value, wanted) from None


def _structure_instant(value: Any, wanted: Any) -> Any:
    if not isinstance(value, wanted) or (wanted is datetime.date and isinstance(value, datetime.datetime)):
        raise refuse(value, wanted)
    return value


def _structure_duration(value: Any, wanted: Any) -> Any:
    if isinstance(value, datetime.timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refuse(value, wanted)
    try:
        return wanted(seconds=value)
    except (OverflowError, ValueError):
        raise refuse(value, wanted) from None


def _structure_any(value: Any, wanted: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: ANYTHING(child, wanted) for key, child in value.items()}
    return [ANYTHING(child, wanted) for child in value] if isinstance(value, list) else value


def _structure_choice(value: Any, wanted: Any) -> Any:
    """
    A member of an enumeration by value, else by name; a value of a ``Literal``.
    """
    allowed = choices(wanted)
    for choice in allowed:
        if value is choice.result or (type(value) is type(choice.value) and value == choice.value):
            return choice.result
    for choice in allowed:
        if isinstance(value, str) and value == choice.name:
            return choice.result
    raise refuse(value, wanted)


def structure_foreign(value: Any, wanted: Any) -> Any:
    """
    Types that no file can write: their values come from code, or through a converter of the field.
    """
    kind = typing.get_origin(wanted) or wanted
    unnoted = value.value if isinstance(value, Given) else value
    if isinstance(kind, type) and isinstance(unnoted, kind):
        return unnoted
    source = value.source if isinstance(value, Given) else None
    hint = "give the field a converter, or set it in code"
    raise Misfit(describe(wanted), shown(value), hint=hint, foreign=True, source=source)


def structure_secret(hook: Hook, inner: Any) -> Hook:
    """
    A hook for secrets of a type: nothing of what is wrong with one comes out, but what was expected.
    """

    def structure_secret(value: Any, wanted: Any) -> Any:
        refuse_twice(value)
        source = value.source if isinstance(value, Given) else None
        if isinstance(value, Given) and not value.trusted and not names_file(value):
            raise untrusted()
        expected = describe(inner)
        try:
            return Secret(hook(secret_text(value), inner))
        except Misfit as misfit:
            expected = misfit.expected or expected
        except Exception:
            pass
        raise Misfit(expected, MASK, source=source)

    return structure_secret


def untrusted() -> Misfit:
    """
    A secret came from where everybody can see it.
    """
    return Misfit("a secret from a file or the environment, never from the command line", MASK, untrusted=True)


def names_file(value: Any) -> bool:
    """
    Whether a secret is given by the path of its file, which everybody may see.
    """
    table = value.value if isinstance(value, Given) else value
    return isinstance(table, Mapping) and set(table) == {"file"}


def secret_text(value: Any) -> Any:
    """
    A secret's value without its wrapper, or the text of the file that it names: ``{ file = "/run/secrets/db" }``.

    Raises:
        Misfit: the file cannot be read.
    """
    unnoted = value.value if isinstance(value, Given) else value
    if isinstance(unnoted, Secret):
        return unnoted.get_secret_value()
    if not names_file(value):
        return value
    path = plain(unnoted["file"])
    if not isinstance(path, str):
        raise Misfit("the path of a file as a string", MASK)
    try:
        text = read_text(Path(path))
    except TextError as error:
        reason = str(error)
    else:
        return Given(text.removesuffix("\n").removesuffix("\r"), f"file: {path}", text=True)
    raise Misfit(f"the path of a file that can be read ('{path}': {reason})", MASK)


def or_choice(hook: Hook) -> Hook:
    """
    A hook for a class that knows enumerations derived from it: ``class Level(str, Enum)``.
    """

    def structure_either(value: Any, wanted: Any) -> Any:
        return CHOICE(value, wanted) if issubclass(wanted, enum.Enum) else hook(value, wanted)

    return structure_either


CHOICE = reading(_structure_choice, _read_choice)
SCALARS: Mapping[Any, Hook] = {
    bool: or_choice(reading(_structure_bool, _read_truth)),
    int: or_choice(reading(_structure_int)),
    str: or_choice(reading(_structure_text, _read_as_it_is)),
    bytes: or_choice(reading(_structure_bytes, _read_as_it_is)),
    enum.Enum: CHOICE,
    PurePath: or_choice(reading(_structure_written, _read_as_it_is)),
    Path: or_choice(reading(_structure_written, _read_as_it_is)),
    uuid.UUID: or_choice(reading(_structure_written, _read_as_it_is)),
    decimal.Decimal: or_choice(reading(_structure_written, _read_as_it_is)),
    datetime.datetime: or_choice(reading(_structure_instant)),
    datetime.date: or_choice(reading(_structure_instant)),
    datetime.time: or_choice(reading(_structure_instant)),
    datetime.timedelta: or_choice(reading(_structure_duration)),
}
"""
Hooks for classes whose values are single values, by the class.
"""

FINITE = or_choice(reading(_structure_finite))
ANY_NUMBER = or_choice(reading(_structure_float))
ANYTHING = reading(_structure_any, _read_if_toml)
