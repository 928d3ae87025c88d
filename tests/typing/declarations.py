"""
What type checkers see of a component class; checked by mypy and pyright, never run.

A line that must be refused carries the ignore that would itself be an error if nothing were wrong there.
"""

from __future__ import annotations

from typing import Any, ClassVar, assert_type

import attrs

from conductor import Component, Secret, dependency, setting


class Database(Component):
    """
    Has a setting.
    """

    url: str = "sqlite://"


class Cache(Component):
    """
    Has nothing.
    """


class WebAPI(Component):
    """
    Has every kind of field.
    """

    after: ClassVar[tuple[type | str, ...]] = (Cache, "metrics")

    db: Database
    cache: Cache | None
    all_of: list[Database]
    reports: Database = dependency("reports")
    spare: Cache = dependency(fallback=Cache)
    token: Secret[str]
    port: int = setting(default=8080, help="TCP port to listen on", validator=attrs.validators.ge(0))
    tags: list[str] = setting(factory=list)
    retries: int = attrs.field(default=3)
    engine: object = attrs.field(init=False)

    async def setup(self) -> None:
        """
        The fields have the types that they are declared with.
        """
        assert_type(self.db, Database)
        assert_type(self.cache, Cache | None)
        assert_type(self.reports, Database)
        assert_type(self.port, int)
        assert_type(self.token.get_secret_value(), str)


class PrivateAPI(WebAPI):
    """
    Inherits the fields.
    """

    after = (Database,)

    realm: str


@attrs.define
class Slotted(Component):
    """
    Carries the decorator itself.
    """

    db: Database
    size: int = 3
    engine: object = attrs.field(init=False)


def constructors(db: Database, cache: Cache) -> None:
    """
    What a constructor takes.
    """
    api = WebAPI(db=db, cache=None, all_of=[db], reports=db, spare=cache, token=Secret("x"))
    assert_type(api, WebAPI)
    WebAPI(db=db, cache=cache, all_of=[], reports=db, spare=cache, token=Secret("x"), port=1, tags=["a"], retries=2)
    PrivateAPI(db=db, cache=None, all_of=[], reports=db, spare=cache, token=Secret("x"), realm="r")
    Slotted(db=db, size=4)

    Database("x")  # type: ignore[call-arg]  # fields are given by name
    Database(url=1)  # type: ignore[arg-type]  # the wrong type
    Database(ulr="x")  # type: ignore[call-arg]  # no such field
    Slotted()  # type: ignore[call-arg]  # the need is missing
    Slotted(db=db, engine=1)  # type: ignore[call-arg]  # what is not given to the constructor cannot be
    PrivateAPI(  # type: ignore[call-arg]  # a required setting is missing
        db=db, cache=None, all_of=[], reports=db, spare=cache, token=Secret("x")
    )


def secrets() -> None:
    """
    A secret keeps the type of its value.
    """
    assert_type(Secret("x"), Secret[str])
    assert_type(Secret(3).get_secret_value(), int)
    refused: Secret[str] = Secret(3)  # type: ignore[arg-type]  # another type of value
    text: str = Secret("x")  # type: ignore[assignment]  # a secret is not its value
    print(refused, text)


def identity(one: Database, other: Database) -> None:
    """
    Components are told apart by identity, and can be keys.
    """
    assert_type({one: 1}, dict[Database, int])
    print(one < other)  # type: ignore[operator]  # they have no order


def marks() -> None:
    """
    The marks take only what they know, by name.
    """
    setting(8080)  # type: ignore[call-arg]  # the default is given by name
    setting(default=1, hlep="x")  # type: ignore[call-arg]  # no such argument
    dependency(3)  # type: ignore[arg-type]  # an instance is named by a string
    dependency("reports", default=None)  # type: ignore[call-arg]  # a dependency has no default


def fields_are_found() -> None:
    """
    `attrs` looks at a component class as at any other, though checkers must be told so.
    """
    cls: Any = WebAPI
    assert_type(attrs.has(WebAPI), bool)
    print(attrs.fields(cls))
