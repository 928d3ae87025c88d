"""
From what a source gave to what a type wants, whatever its shape.

``cattrs`` knows the shapes of types (nested attrs classes and dataclasses, generics, ``NewType``, ``Annotated``,
typed dictionaries).  The leaves are ours, since cattrs converts where we want to refuse: ``int("5")``, ``bool("no")``,
``list("abc")``; and so are lists and tables, through which the note of where a value came from is handed down.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import typing
from collections import abc
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn
from cattrs.gen.typeddicts import make_dict_structure_fn as make_typed_dict_structure_fn

from ._component import Secret
from ._scalars import (
    ANY_NUMBER,
    ANYTHING,
    CHOICE,
    FINITE,
    LIST_VALUES,
    SCALARS,
    Hook,
    Misfit,
    first_words,
    inside,
    reading,
    refuse,
    refuse_twice,
    shown,
    structure_foreign,
    structure_secret,
)
from ._sources import Given, plain
from ._text import dotted, nearest, normalise
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
    is_named_tuple,
    is_table_class,
    is_union,
    tuple_types,
)

_FOREIGN = (collections.defaultdict, collections.Counter)


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
    return Misfit(None, shown(value), message=first_words(error), path=path, quoted=True)


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
            raise refuse(value, wanted)
        table = _fold_keys(value, known)
        for name in sorted(needed - table.keys()):
            raise Misfit(describe(known[name]), path=f".{name}")
        try:
            return build({name: plain(item) if name in raw else item for name, item in table.items()}, wanted)
        except cattrs.BaseValidationError as error:
            found = _as_misfit(error, value)
        raise found

    return reading(structure_table)


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
            raise refuse(value, wanted)
        table = _fold_keys(value, known)
        for name in sorted(needed - table.keys()):
            raise Misfit(describe(known[name]), path=f".{name}")
        try:
            return build(table, wanted)
        except cattrs.BaseValidationError as error:
            found = _as_misfit(error, value)
        raise found

    return reading(structure_typed_dict)


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
        if not isinstance(value, LIST_VALUES):
            raise refuse(value, wanted)
        items = [inside(f"[{index}]", hook, item, inner) for index, item in enumerate(value)]
        try:
            return make(items)
        except TypeError:  # what cannot be hashed cannot be in a set
            raise refuse(value, wanted) from None

    return reading(structure_list)


def _tuple(wanted: Any, converter: cattrs.Converter) -> Hook:
    inner = tuple_types(wanted)
    if not inner:
        return _list(wanted, converter)
    hooks = [converter.get_structure_hook(each) for each in inner]

    def structure_tuple(value: Any, _: Any) -> Any:
        if not isinstance(value, list | tuple) or len(value) != len(inner):
            raise refuse(value, wanted)
        triples = zip(hooks, value, inner, strict=True)
        items = [inside(f"[{index}]", *triple) for index, triple in enumerate(triples)]
        return wanted(*items) if is_named_tuple(wanted) else tuple(items)

    return reading(structure_tuple)


def _dict(wanted: Any, converter: cattrs.Converter) -> Hook:
    """
    A hook for tables with any keys; in a file these are always text, so they are read as text for their type.
    """
    keys, values = typing.get_args(wanted) or (Any, Any)
    key_hook, hook = converter.get_structure_hook(keys), converter.get_structure_hook(values)
    make = collections.OrderedDict if typing.get_origin(wanted) is collections.OrderedDict else dict

    def structure_dict(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise refuse(value, wanted)
        table = {}
        for key, item in value.items():
            step = f".{dotted([str(key)])}"
            written = Given(key, "", text=True) if isinstance(key, str) and keys is not Any else key
            table[inside(step, key_hook, written, keys)] = inside(step, hook, item, values)
        return make(table)

    return reading(structure_dict)


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
        refuse_twice(value)
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
        raise Misfit(describe(wanted), shown(value), source=source)

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
    return structure_secret(converter.get_structure_hook(inner), inner)


_MAKERS: Mapping[Any, Callable[[list[Any]], Any]] = {
    collections.deque: collections.deque,
    set: set,
    abc.MutableSet: set,
    abc.Set: frozenset,
    frozenset: frozenset,
    tuple: tuple,
}
_FACTORIES: tuple[tuple[Callable[[Any], bool], Callable[[Any, cattrs.Converter], Hook]], ...] = (
    (lambda wanted: wanted in (Any, object) or isinstance(wanted, typing.TypeVar), lambda wanted, _: ANYTHING),
    (is_literal, lambda wanted, _: CHOICE),
    (lambda wanted: (typing.get_origin(wanted) or wanted) in LISTS, _list),
    (lambda wanted: (typing.get_origin(wanted) or wanted) is tuple or is_named_tuple(wanted), _tuple),
    (lambda wanted: (typing.get_origin(wanted) or wanted) in _FOREIGN, lambda wanted, _: structure_foreign),
    (lambda wanted: (typing.get_origin(wanted) or wanted) in TABLES, _dict),
    (typing.is_typeddict, _typed_dict),
    (is_table_class, _table_class),
    (is_union, _union),
    (lambda wanted: Secret in (wanted, typing.get_origin(wanted)), _secret),
)


@functools.lru_cache(maxsize=2)
def _converter(finite: bool) -> cattrs.Converter:
    converter = cattrs.Converter(
        prefer_attrib_converters=True, structure_fallback_factory=lambda wanted: structure_foreign
    )
    for cls, hook in {**SCALARS, float: FINITE if finite else ANY_NUMBER}.items():
        converter.register_structure_hook(cls, hook)
    for predicate, factory in _FACTORIES:
        converter.register_structure_hook_factory(predicate, factory)
    return converter
