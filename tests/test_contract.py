"""
Tests of `conductor._contract`: whether one class can stand in for another.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import attrs
import pytest

from conductor import Component
from conductor._contract import fulfils, unmet
from tests.components import Clock, Database, FileStorage, PostgresDatabase, Storage, SystemClock


def lacks(cls: type, contract: type) -> list[str]:
    """
    What a class lacks, as a list.
    """
    return list(unmet(cls, contract))


class Original(Component):
    """
    What is to be replaced.
    """

    url: str = "x"

    async def setup(self) -> None:
        """
        No part of the contract.
        """

    async def fetch(self, key: str, *, limit: int = 10) -> str:
        """
        A coroutine method.
        """
        return key * limit

    def count(self, first: int, second: int = 0) -> int:
        """
        A plain method.
        """
        return first + second

    def messages(self) -> AsyncIterator[str]:
        """
        A method that gives an asynchronous iterator.
        """
        raise NotImplementedError

    @property
    def size(self) -> int:
        """
        A property.
        """
        return 0

    @classmethod
    def make(cls) -> Original:
        """
        A class method.
        """
        return cls()

    def _private(self) -> None:
        """
        No part of the contract.
        """


class Fits(Component):
    """
    Offers everything, in ways that may differ.
    """

    size: int = 3

    async def fetch(self, key: str, *, limit: int = 1, retry: bool = False) -> str:
        """
        Takes more, but does not need it.
        """
        return key

    def count(self, *args: int, **kwargs: int) -> int:
        """
        Takes anything.
        """
        return 0

    async def messages(self) -> AsyncIterator[str]:
        """
        An asynchronous generator is called the same way.
        """
        yield ""

    @staticmethod
    def make() -> None:
        """
        A static method is called the same way.
        """


def test_subclass_lacks_nothing() -> None:
    """
    A subclass stands in for its base, whatever it overrides.
    """
    assert fulfils(PostgresDatabase, Database)
    assert lacks(PostgresDatabase, Database) == []
    assert fulfils(Database, Database)


def test_concrete_class_is_fulfilled_by_subclasses_only() -> None:
    """
    A class of the same shape is not found by type where a concrete class is wanted.
    """
    assert lacks(Fits, Original) == []
    assert not fulfils(Fits, Original)
    assert not fulfils(Database, PostgresDatabase)


def test_everything_that_is_missing_is_told() -> None:
    """
    One phrase for each public method, property and class method; phases and private names do not count.
    """
    assert lacks(SystemClock, Original) == [
        "it has no 'count'",
        "it has no 'fetch'",
        "it has no 'make'",
        "it has no 'messages'",
        "it has no 'size'",
    ]


def with_method(name: str, function: Callable[..., Any]) -> type:
    """
    A class like `Fits`, with another method of this name.
    """
    return type("Changed", (Fits,), {name: function})


async def _fetch(self: Any, key: str, *, limit: int = 10) -> str:
    return key


def _returning(self: Any, key: str, *, limit: int = 10) -> Awaitable[str]:
    return _fetch(self, key, limit=limit)


@functools.wraps(_fetch)
def _wrapped_fetch(*args: Any, **kwargs: Any) -> Awaitable[str]:
    return _fetch(*args, **kwargs)


async def _fetch_renamed(self: Any, name: str, *, limit: int = 10) -> str:
    return name


async def _fetch_positional(self: Any, key: str) -> str:
    return key


async def _fetch_more(self: Any, key: str, other: str, *, limit: int = 10) -> str:
    return key


def _count_less(self: Any, first: int) -> int:
    return first


async def _count_async(self: Any, first: int, second: int = 0) -> int:
    return first


def _count_required(self: Any, first: int, second: int) -> int:
    return first


@pytest.mark.parametrize(
    ("name", "function", "reason"),
    [
        ("fetch", _fetch, None),
        ("fetch", _wrapped_fetch, None),
        ("fetch", _returning, "is not a coroutine function"),
        ("fetch", _fetch_renamed, "cannot be called as there: missing a required argument: 'name'"),
        ("fetch", _fetch_positional, "cannot be called as there: got an unexpected keyword argument 'limit'"),
        ("fetch", _fetch_more, "cannot be called as there: missing a required argument: 'other'"),
        ("count", _count_less, "cannot be called as there: too many positional arguments"),
        ("count", _count_required, "cannot be called as there: missing a required argument: 'second'"),
        ("count", _count_async, "is a coroutine function"),
        ("count", 5, "is not a method"),
    ],
)
def test_signatures_must_be_compatible(name: str, function: Any, reason: str | None) -> None:
    """
    Whatever call fits the original must fit what takes its place: by position or by name, long or short.
    """
    assert lacks(with_method(name, function), Original) == ([f"'{name}' {reason}"] if reason else [])


def test_calls_with_any_arguments_must_be_taken() -> None:
    """
    Where the original takes any arguments, so must what takes its place.
    """

    class Open(Component):
        def call(self, *args: Any, **kwargs: Any) -> None:
            """
            Takes anything.
            """

    class Narrow(Component):
        def call(self) -> None:
            """
            Takes nothing.
            """

    class OpenToo(Component):
        def call(self, *values: Any, **names: Any) -> None:
            """
            Takes anything, under other names.
            """

    assert lacks(OpenToo, Open) == []
    assert len(lacks(Narrow, Open)) == 1


# -- protocols and ABCs -----------------------------------------------------------------------------------------------


class HasName(Protocol):
    """
    A protocol with an attribute.
    """

    name: str


class Application(Protocol):
    """
    A protocol whose only member is a call.
    """

    async def __call__(self, scope: dict[str, Any]) -> None:
        """
        What a server calls.
        """


class Checked(Protocol):
    """
    A protocol that asks for a phase.
    """

    async def health(self) -> None:
        """
        Raises if it is unhealthy.
        """


@attrs.define
class Named:
    """
    Has the attribute as a field.
    """

    name: str = "x"


class Served(Component):
    """
    Can be called, and says how it is.
    """

    async def __call__(self, scope: dict[str, Any]) -> None:
        """
        What a server calls.
        """

    async def health(self) -> None:
        """
        Well.
        """


@pytest.mark.parametrize(
    ("cls", "contract", "expected"),
    [
        (SystemClock, Clock, True),
        (Database, Clock, False),
        (Named, HasName, True),
        (Database, HasName, False),
        (Served, Application, True),
        (Database, Application, False),
        (Served, Checked, True),
        (Database, Checked, False),
        (FileStorage, Storage, True),
        (SystemClock, Storage, False),
    ],
)
def test_protocol_goes_by_shape_and_abc_by_kind(cls: type, contract: type, expected: bool) -> None:
    """
    All members of a protocol count, calls and phases too; they need not be runtime-checkable.
    """
    assert fulfils(cls, contract) is expected


def test_protocol_goes_by_signature_too() -> None:
    """
    A method of the right name and the wrong arguments does not fulfil a protocol.
    """

    class Wrong(Component):
        def now(self, zone: str) -> float:
            """
            Needs more than the protocol gives.
            """
            return 0.0

    assert not fulfils(Wrong, Clock)


def test_registered_class_is_of_the_kind_of_its_abc() -> None:
    """
    `ABC.register` counts, as for `issubclass`.
    """

    class Kind(abc.ABC):
        @abc.abstractmethod
        def get(self) -> None:
            """
            What is asked for.
            """

    Kind.register(Named)

    assert fulfils(Named, Kind)
    assert not fulfils(Served, Kind)


def test_metaclass_does_not_count() -> None:
    """
    What `ABCMeta` offers on every abstract class is nothing that instances have.
    """

    class Registry(Protocol):
        def register(self) -> None:
            """
            A method of the same name as that of `ABCMeta`.
            """

    assert not fulfils(FileStorage, Registry)


def test_hostile_subclass_hook_is_a_no() -> None:
    """
    A contract whose own check raises is fulfilled by subclasses only.
    """

    class Hostile(abc.ABC):
        @abc.abstractmethod
        def get(self) -> None:
            """
            What is asked for.
            """

        @classmethod
        def __subclasshook__(cls, other: type) -> bool:
            raise TypeError("not today")

    assert not fulfils(Named, Hostile)
