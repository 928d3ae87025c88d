"""
From what a source gave to what a type wants: strict, and with words for what was expected.

``cattrs`` knows the shapes of types (nested attrs classes and dataclasses, generics, ``NewType``, ``Annotated``,
typed dictionaries).  The leaves are ours, since cattrs converts where we want to refuse: ``int("5")``, ``bool("no")``,
``list("abc")``.  Three things reach every leaf together with the value: the source that gave it, whether it is text
that is still to be read, and whether it may hold a secret at all.

A :class:`Misfit` holds words only, never the value.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import functools
import math
import typing
import uuid
from collections import abc
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn
from cattrs.gen.typeddicts import make_dict_structure_fn as make_typed_dict_structure_fn

from ._component import Secret
from ._sources import Given, Twice, parts, plain
from ._text import MASK, dotted, nearest, normalise
from ._toml import TextError, parse_value, read_text, show
from ._types import (
    LISTS,
    TABLES,
    arms,
    bare,
    choices,
    describe,
    field_types,
    fields_of,
    is_literal,
    is_table_class,
    is_union,
)

LONGEST = 80
"""
Characters that an error shows of what was given.
"""

Hook = Callable[[Any, Any], Any]
Reader = Callable[[str, Any], Any]

_TRUTH = {"yes": True, "on": True, "1": True, "true": True, "no": False, "off": False, "0": False, "false": False}
_LISTS = (list, tuple, set, frozenset, collections.deque)


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


def structure(value: Any, wanted: Any, *, finite: bool = True) -> Any:
    """
    The value as the type that is wanted.

    Args:
        value: plain, or a :class:`Given`.
        wanted: the type.
        finite: whether infinity and not-a-number are refused.

    Raises:
        Misfit: it does not fit.
    """
    try:
        return _converter(finite).structure(value, wanted)
    except RecursionError:
        found = Misfit("fewer levels", "nested too deep")
    except Exception as error:
        found = _as_misfit(error, value)
    raise found


def first_words(error: BaseException) -> str:
    """
    The first line of what an exception says, without the objects that attrs validators add to it.
    """
    first = error.args[0] if error.args else ""
    lines = (first if isinstance(first, str) else str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _as_misfit(error: BaseException, value: Any) -> Misfit:
    """
    The first thing that is wrong, with the path to it.
    """
    path = ""
    while isinstance(error, cattrs.BaseValidationError) and error.exceptions:
        error = error.exceptions[0]
        names = [note.name for note in getattr(error, "__notes__", ()) if hasattr(note, "name")]
        path += "".join(f".{dotted([name])}" for name in names)
    if isinstance(error, Misfit):
        error.path = path + error.path
        error.__notes__ = []  # the tables around it add theirs in turn
        return error
    return Misfit(None, _shown(value), message=first_words(error), path=path, quoted=True)


def _refuse(value: Any, wanted: Any, hint: str | None = None) -> Misfit:
    return Misfit(describe(wanted), _shown(value), hint=hint)


def _shown(value: Any) -> str:
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


def _reading(hook: Hook, read: Reader = _read_toml) -> Hook:
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
    _refuse_twice(given)
    value = given.value
    if given.text:
        try:
            value = read(value, wanted)
        except TextError:
            raise _refuse(value, wanted, _how_to_write(wanted)) from None
    if isinstance(value, Mapping):
        return parts(attrs.evolve(given, value=value, text=False))
    if isinstance(value, _LISTS) and not hasattr(value, "_fields"):
        return [attrs.evolve(given, value=item, text=False) for item in value]
    return value


def _refuse_twice(value: Any) -> None:
    if isinstance(value, Given) and isinstance(value.value, Twice):
        raise Misfit(message="is set twice", hint="keep one of the two", source=value.source)


def _how_to_write(wanted: Any) -> str | None:
    kinds = {typing.get_origin(bare(arm)) or bare(arm) for arm in arms(bare(wanted))}
    if kinds & {tuple, *LISTS}:
        return 'write it as in TOML: ["a", "b"]'
    return 'write it as in TOML: { key = "value" }' if kinds & set(TABLES) else None


def _inside(step: str, hook: Hook, value: Any, wanted: Any) -> Any:
    try:
        return hook(value, wanted)
    except Misfit as misfit:
        misfit.path = step + misfit.path
        raise


# -- single values ---------------------------------------------------------------------------------------------------


def _structure_bool(value: Any, wanted: Any) -> bool:
    if not isinstance(value, bool):
        raise _refuse(value, wanted)
    return value


def _structure_int(value: Any, wanted: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refuse(value, wanted)
    return value if wanted is int else wanted(value)


def _structure_float(value: Any, wanted: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refuse(value, wanted)
    try:
        return wanted(value)
    except OverflowError:
        raise _refuse(value, wanted) from None


def _structure_finite(value: Any, wanted: Any) -> Any:
    number = _structure_float(value, wanted)
    if not math.isfinite(number):
        raise Misfit("a finite number", show(value))
    return number


def _structure_text(value: Any, wanted: Any) -> Any:
    if not isinstance(value, str):
        raise _refuse(value, wanted)
    return value if wanted is str else wanted(value)


def _structure_bytes(value: Any, wanted: Any) -> Any:
    if isinstance(value, str):
        return wanted(value.encode("utf-8", "surrogateescape"))
    if not isinstance(value, bytes):
        raise _refuse(value, wanted)
    return value


def _structure_written(value: Any, wanted: Any) -> Any:
    """
    Types whose values are written as a string: paths, UUIDs, decimal numbers.
    """
    if isinstance(value, wanted):
        return value
    number = wanted is decimal.Decimal and isinstance(value, int | float) and not isinstance(value, bool)
    if not isinstance(value, str) and not number:
        raise _refuse(value, wanted)
    try:
        return wanted(str(value) if isinstance(value, float) else value)
    except (ValueError, ArithmeticError):
        raise _refuse(value, wanted) from None


def _structure_instant(value: Any, wanted: Any) -> Any:
    if not isinstance(value, wanted) or (wanted is datetime.date and isinstance(value, datetime.datetime)):
        raise _refuse(value, wanted)
    return value


def _structure_duration(value: Any, wanted: Any) -> Any:
    if isinstance(value, datetime.timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refuse(value, wanted)
    try:
        return wanted(seconds=value)
    except (OverflowError, ValueError):
        raise _refuse(value, wanted) from None


def _structure_any(value: Any, wanted: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _any(child, wanted) for key, child in value.items()}
    return [_any(child, wanted) for child in value] if isinstance(value, list) else value


_any = _reading(_structure_any, _read_if_toml)


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
    raise _refuse(value, wanted)


def _structure_foreign(value: Any, wanted: Any) -> Any:
    """
    Types that no file can write: their values come from code, or through a converter of the field.
    """
    kind = typing.get_origin(wanted) or wanted
    unnoted = value.value if isinstance(value, Given) else value
    if isinstance(kind, type) and isinstance(unnoted, kind):
        return unnoted
    source = value.source if isinstance(value, Given) else None
    hint = "give the field a converter, or set it in code"
    raise Misfit(describe(wanted), _shown(value), hint=hint, foreign=True, source=source)


def _structure_secret(hook: Hook, inner: Any) -> Hook:
    """
    A hook for secrets of a type: nothing of what is wrong with one comes out, but what was expected.
    """

    def structure_secret(value: Any, wanted: Any) -> Any:
        _refuse_twice(value)
        source = value.source if isinstance(value, Given) else None
        if isinstance(value, Given) and not value.trusted:
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


def secret_text(value: Any) -> Any:
    """
    A secret's value without its wrapper, or the text of the file that it names: ``{ file = "/run/secrets/db" }``.

    Raises:
        Misfit: the file cannot be read.
    """
    unnoted = value.value if isinstance(value, Given) else value
    if isinstance(unnoted, Secret):
        return unnoted.get_secret_value()
    if not isinstance(unnoted, Mapping) or set(unnoted) != {"file"}:
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


# -- tables and lists ------------------------------------------------------------------------------------------------


def _table_class(wanted: Any, converter: cattrs.Converter) -> Hook:
    """
    A hook for an attrs class or dataclass; cattrs writes the code that builds one.
    """
    cls = typing.get_origin(wanted) or wanted
    if attrs.has(cls):
        with contextlib.suppress(NameError):  # cattrs resolves whole annotations only, not the text in list["Node"]
            attrs.resolve_types(cls)
    build = make_dict_structure_fn(wanted, converter, _cattrs_prefer_attrib_converters=True)
    fields = {field.name: field for field in fields_of(cls)}
    known = field_types(wanted)
    raw = {name for name in known if getattr(fields[name], "converter", None) is not None}
    needed = {name for name in known if _is_needed(fields[name])}

    def structure_table(value: Any, _: Any) -> Any:
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise _refuse(value, wanted)
        table = _fold_keys(value, known)
        for name in sorted(needed - table.keys()):
            raise Misfit(describe(known[name]), path=f".{name}")
        try:
            return build({name: plain(item) if name in raw else item for name, item in table.items()}, wanted)
        except cattrs.BaseValidationError as error:
            found = _as_misfit(error, value)
        raise found

    return _reading(structure_table)


def _is_needed(field: Any) -> bool:
    missing = (attrs.NOTHING, dataclasses.MISSING)
    return field.default in missing and getattr(field, "default_factory", dataclasses.MISSING) in missing


def _fold_keys(table: Mapping[Any, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """
    The table with its keys as the class spells them.
    """
    spelled = {normalise(name): name for name in known}
    folded: dict[str, Any] = {}
    for key, item in table.items():
        name = key if key in known else spelled.get(normalise(str(key)))
        source = item.source if isinstance(item, Given) else None
        if name is None:
            near = nearest(str(key), known)
            hint = f"did you mean '{near}'?" if near else f"known here: {', '.join(known)}"
            raise Misfit(message="is unknown", path=f".{dotted([str(key)])}", hint=hint, source=source)
        if name in folded:
            raise Misfit(message="is set twice", path=f".{name}", hint="keep one of the two", source=source)
        folded[name] = item
    return folded


def _typed_dict(wanted: Any, converter: cattrs.Converter) -> Hook:
    build = make_typed_dict_structure_fn(wanted, converter)
    known = typing.get_type_hints(wanted)
    needed = _required_keys(wanted)

    def structure_typed_dict(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _refuse(value, wanted)
        table = _fold_keys(value, known)
        for name in sorted(needed - table.keys()):
            raise Misfit(describe(known[name]), path=f".{name}")
        try:
            return build(table, wanted)
        except cattrs.BaseValidationError as error:
            found = _as_misfit(error, value)
        raise found

    return _reading(structure_typed_dict)


def _required_keys(wanted: Any) -> set[str]:
    """
    The keys that a typed dictionary must have; its own list of them is wrong where annotations are text.
    """
    needed = set(wanted.__required_keys__)
    for name, annotation in typing.get_type_hints(wanted, include_extras=True).items():
        if typing.get_origin(annotation) is typing.Required:
            needed.add(name)
        elif typing.get_origin(annotation) is typing.NotRequired:
            needed.discard(name)
    return needed


def _list(wanted: Any, converter: cattrs.Converter) -> Hook:
    inner = (typing.get_args(wanted) or (Any,))[0]
    hook = converter.get_structure_hook(inner)
    make = _MAKERS.get(typing.get_origin(wanted) or wanted, list)

    def structure_list(value: Any, _: Any) -> Any:
        if not isinstance(value, _LISTS):
            raise _refuse(value, wanted)
        items = [_inside(f"[{index}]", hook, item, inner) for index, item in enumerate(value)]
        try:
            return make(items)
        except TypeError:  # what cannot be hashed cannot be in a set
            raise _refuse(value, wanted) from None

    return _reading(structure_list)


def _tuple(wanted: Any, converter: cattrs.Converter) -> Hook:
    inner = typing.get_args(wanted)
    if not inner or inner[-1] is Ellipsis:
        return _list(wanted, converter)
    hooks = [converter.get_structure_hook(each) for each in inner]

    def structure_tuple(value: Any, _: Any) -> Any:
        if not isinstance(value, list | tuple) or len(value) != len(inner):
            raise _refuse(value, wanted)
        triples = zip(hooks, value, inner, strict=True)
        return tuple(_inside(f"[{index}]", *triple) for index, triple in enumerate(triples))

    return _reading(structure_tuple)


def _dict(wanted: Any, converter: cattrs.Converter) -> Hook:
    """
    A hook for tables with any keys; in a file these are always text, so they are read as text for their type.
    """
    keys, values = typing.get_args(wanted) or (Any, Any)
    key_hook, hook = converter.get_structure_hook(keys), converter.get_structure_hook(values)

    def structure_dict(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _refuse(value, wanted)
        table = {}
        for key, item in value.items():
            step = f".{dotted([str(key)])}"
            written = Given(key, "", text=True) if isinstance(key, str) and keys is not Any else key
            table[_inside(step, key_hook, written, keys)] = _inside(step, hook, item, values)
        return table

    return _reading(structure_dict)


def _union(wanted: Any, converter: cattrs.Converter) -> Hook:
    """
    A hook that takes the first type that fits; the type that the value already has goes first, strings go last.
    """
    inner = arms(wanted)
    hooks = [(arm, converter.get_structure_hook(arm)) for arm in sorted(inner, key=_takes_any_text)]
    optional = len(inner) < len(typing.get_args(wanted))
    if len(hooks) == 1 and not optional:
        return hooks[0][1]

    def structure_union(value: Any, _: Any) -> Any:
        _refuse_twice(value)
        unnoted = value.value if isinstance(value, Given) else value
        if unnoted is None and optional:
            return None
        misfits: list[Misfit] = []
        for arm, hook in sorted(hooks, key=lambda pair: pair[0] is not type(unnoted) or _is_text(value)):
            try:
                return hook(value, arm)
            except Misfit as misfit:
                misfits.append(misfit)
        if len(misfits) == 1:
            raise misfits[0]
        source = value.source if isinstance(value, Given) else None
        raise Misfit(describe(wanted), _shown(value), source=source)

    return structure_union


def _is_text(value: Any) -> bool:
    return isinstance(value, Given) and value.text


def _takes_any_text(wanted: Any) -> bool:
    wanted = bare(wanted)
    return wanted is Any or (
        isinstance(wanted, type) and issubclass(wanted, str | bytes | PurePath) and not choices(wanted)
    )


def _secret(wanted: Any, converter: cattrs.Converter) -> Hook:
    inner = (typing.get_args(wanted) or (str,))[0]
    return _structure_secret(converter.get_structure_hook(inner), inner)


def _or_choice(hook: Hook) -> Hook:
    """
    A hook for a class that knows enumerations derived from it: ``class Level(str, Enum)``.
    """
    choice = _reading(_structure_choice, _read_choice)

    def structure_either(value: Any, wanted: Any) -> Any:
        return choice(value, wanted) if issubclass(wanted, enum.Enum) else hook(value, wanted)

    return structure_either


_MAKERS: Mapping[Any, Callable[[list[Any]], Any]] = {
    collections.deque: collections.deque,
    set: set,
    abc.MutableSet: set,
    abc.Set: frozenset,
    frozenset: frozenset,
    tuple: tuple,
}
_SCALARS: Mapping[Any, Hook] = {
    bool: _reading(_structure_bool, _read_truth),
    int: _reading(_structure_int),
    str: _reading(_structure_text, _read_as_it_is),
    bytes: _reading(_structure_bytes, _read_as_it_is),
    enum.Enum: _reading(_structure_choice, _read_choice),
    PurePath: _reading(_structure_written, _read_as_it_is),
    Path: _reading(_structure_written, _read_as_it_is),
    uuid.UUID: _reading(_structure_written, _read_as_it_is),
    decimal.Decimal: _reading(_structure_written, _read_as_it_is),
    datetime.datetime: _reading(_structure_instant),
    datetime.date: _reading(_structure_instant),
    datetime.time: _reading(_structure_instant),
    datetime.timedelta: _reading(_structure_duration),
}
_FACTORIES: tuple[tuple[Callable[[Any], bool], Callable[[Any, cattrs.Converter], Hook]], ...] = (
    (lambda wanted: wanted in (Any, object) or isinstance(wanted, typing.TypeVar), lambda wanted, _: _any),
    (is_literal, lambda wanted, _: _reading(_structure_choice, _read_choice)),
    (lambda wanted: (typing.get_origin(wanted) or wanted) in LISTS, _list),
    (lambda wanted: (typing.get_origin(wanted) or wanted) is tuple, _tuple),
    (lambda wanted: (typing.get_origin(wanted) or wanted) in TABLES, _dict),
    (typing.is_typeddict, _typed_dict),
    (is_table_class, _table_class),
    (is_union, _union),
    (lambda wanted: Secret in (wanted, typing.get_origin(wanted)), _secret),
)


@functools.lru_cache(maxsize=2)
def _converter(finite: bool) -> cattrs.Converter:
    converter = cattrs.Converter(
        prefer_attrib_converters=True, structure_fallback_factory=lambda wanted: _structure_foreign
    )
    numbers = {float: _reading(_structure_finite if finite else _structure_float)}
    for cls, hook in {**_SCALARS, **numbers}.items():
        converter.register_structure_hook(cls, _or_choice(hook))
    for predicate, factory in _FACTORIES:
        converter.register_structure_hook_factory(predicate, factory)
    return converter
