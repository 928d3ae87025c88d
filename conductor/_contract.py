"""
Whether one class can stand in for another.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any, Generic, Protocol

import attrs

from ._component import Component
from ._declaration import PHASES, is_abstract

_OWN = frozenset(dir(Component)) | frozenset(PHASES)
_MACHINERY = frozenset({"__init__", "__new__", "__init_subclass__", "__class_getitem__", "__subclasshook__"})
_DESCRIPTORS = (property, classmethod, functools.cached_property)


def fulfils(cls: type, contract: type) -> bool:
    """
    Whether a class is of a contract's kind: a subclass of it, registered with it, or, for a protocol, of its shape.
    """
    if contract in cls.__mro__:
        return True
    if not is_abstract(contract):
        return False
    if getattr(contract, "_is_protocol", False):
        return not any(unmet(cls, contract))
    try:
        return issubclass(cls, contract)
    except TypeError:
        return False


def unmet(cls: type, contract: type) -> Iterator[str]:
    """
    What a class lacks to stand in for another: one phrase for each public method or attribute.
    """
    if contract in cls.__mro__:
        return
    for name in sorted(_public_names(contract)):
        if not _offers(cls, name):
            yield f"it has no '{name}'"
            continue
        wanted, offered = _member(contract, name), _member(cls, name)
        if inspect.isfunction(wanted):
            reason = _incompatible(wanted, offered)
            if reason:
                yield f"'{name}' {reason}"


def _public_names(contract: type) -> set[str]:
    names: set[str] = set()
    for base in contract.__mro__:
        if base in (object, Component, Generic, Protocol):
            continue
        members = {name for name, value in vars(base).items() if callable(value) or isinstance(value, _DESCRIPTORS)}
        if getattr(base, "_is_protocol", False):
            members |= set(inspect.get_annotations(base))
            names |= {name for name in members if _is_asked_for(name, vars(base).get(name))}
        else:
            names |= {name for name in members if not name.startswith("_") and name not in _OWN}
    return names


def _is_asked_for(name: str, member: object) -> bool:
    """
    Whether a member of a protocol is part of it; ``__call__`` and the like are, what Python adds is not.
    """
    if not name.startswith("_"):
        return True
    return name.startswith("__") and inspect.isfunction(member) and name not in _MACHINERY


def _offers(cls: type, name: str) -> bool:
    if any(name in vars(base) or name in inspect.get_annotations(base) for base in cls.__mro__):
        return True
    return attrs.has(cls) and any(attribute.name == name for attribute in attrs.fields(cls))


def _member(cls: type, name: str) -> Any:
    """
    What a class has under a name, as it is; not what its metaclass has.
    """
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


def _incompatible(wanted: Any, offered: Any) -> str | None:
    """
    Why a call that fits one function would not fit the other, or None if it would.
    """
    if not inspect.isfunction(offered):
        return None if callable(offered) or isinstance(offered, staticmethod | classmethod) else "is not a method"
    asynchronous = inspect.iscoroutinefunction(inspect.unwrap(offered))  # a decorator may give back what it awaits
    if inspect.iscoroutinefunction(wanted) != (asynchronous or inspect.iscoroutinefunction(offered)):
        return "is not a coroutine function" if inspect.iscoroutinefunction(wanted) else "is a coroutine function"
    signature = inspect.signature(offered)
    for args, kwargs in _calls(inspect.signature(wanted)):
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            return f"cannot be called as there: {error}"
    return None


def _calls(signature: inspect.Signature) -> Iterator[tuple[list[str], dict[str, str]]]:
    """
    The calls that a signature allows at its corners: everything or only what is required, by position or by name.
    """
    for parameters in (
        list(signature.parameters.values()),
        [parameter for parameter in signature.parameters.values() if parameter.default is parameter.empty],
    ):
        for by_name in (False, True):
            args: list[str] = []
            kwargs: dict[str, str] = {}
            for place, parameter in enumerate(parameters):
                if parameter.kind is parameter.VAR_POSITIONAL:
                    args.extend(() if by_name else ["another"])
                elif parameter.kind is parameter.VAR_KEYWORD:
                    kwargs["any_other"] = "another"
                elif parameter.kind is parameter.KEYWORD_ONLY or (
                    by_name and place and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
                ):
                    kwargs[parameter.name] = parameter.name
                else:
                    args.append(parameter.name)
            yield args, kwargs
