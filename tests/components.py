"""
Sample components: the classic application, and a way to get its plan.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import attrs

from conductor import Component, Secret, dependency, setting
from conductor._discovery import Discovery, discover
from conductor._plan import Plan, make_plan
from conductor._resolution import Resolution, resolve
from conductor._selection import Request, Selection
from conductor._settings import Settings, load_settings
from conductor._sources import MappingSource
from conductor.exceptions import Problem, ResolutionError
from tests.conftest import Site

EMPTY = Discovery(entries=())


class Database(Component):
    """
    Needs nothing, has a setting.
    """

    url: str = "sqlite:///app.db"

    async def setup(self) -> None:
        """
        Nothing to do.
        """

    async def query(self, text: str, *, limit: int = 10) -> list[str]:
        """
        What every database offers.
        """
        return [text] * limit


class MessageQueue(Component):
    """
    Needs nothing and has nothing.
    """


class Cache(Component):
    """
    What others use if it is there.
    """


class WebAPI(Component):
    """
    Needs database and queue, uses the cache.
    """

    db: Database
    queue: MessageQueue
    cache: Cache | None
    port: int = setting(default=8080, help="TCP port to listen on", validator=attrs.validators.ge(0))
    token: Secret[str] = Secret("t0ken")
    _requests: int = 0


class BackgroundWorkers(Component):
    """
    Needs database and queue too, and is set up after the API if there is one.
    """

    after: ClassVar[tuple[type | str, ...]] = (WebAPI,)

    db: Database
    queue: MessageQueue


class PostgresDatabase(Database):
    """
    A kind of database.
    """

    pool_size: int = 5


class Reporting(Component):
    """
    Needs a database instance that it names.
    """

    reports: Database = dependency("reports")


class Storage(abc.ABC):
    """
    A contract that is an ABC.
    """

    @abc.abstractmethod
    async def put(self, key: str, value: bytes) -> None:
        """
        Keep something.
        """


@runtime_checkable
class Clock(Protocol):
    """
    A contract that is a protocol.
    """

    def now(self) -> float:
        """
        The time.
        """
        ...


class FileStorage(Component, Storage):
    """
    Fulfils `Storage` by inheritance.
    """

    async def put(self, key: str, value: bytes) -> None:
        """
        Keep something.
        """


class SystemClock(Component):
    """
    Fulfils `Clock` by its shape.
    """

    def now(self) -> float:
        """
        The time.
        """
        return 0.0


def settings_of(config: Mapping[str, Any] | None = None) -> Settings:
    """
    Settings in the shape of `conductor.toml`, as the application reads them.
    """
    return load_settings([MappingSource(config or {})])


def request_of(
    added: Iterable[type | tuple[type, str]] = (), patches: Iterable[tuple[type | str, type]] = ()
) -> Request:
    """
    What a program asks for: classes, some with a name, and patches.
    """
    return Request(tuple(each if isinstance(each, tuple) else (each, None) for each in added), tuple(patches))


def select(
    *added: type | tuple[type, str],
    site: Site | None = None,
    config: Mapping[str, Any] | None = None,
    patches: Iterable[tuple[type | str, type]] = (),
) -> Selection:
    """
    Who wins each name, for what is installed and what a program asks for.
    """
    discovery = discover(site.path) if site is not None else EMPTY
    return Selection(discovery, settings_of(config), request_of(added, patches))


def resolution_of(
    *added: type | tuple[type, str],
    site: Site | None = None,
    config: Mapping[str, Any] | None = None,
    patches: Iterable[tuple[type | str, type]] = (),
) -> Resolution:
    """
    The parts of a plan, for what is installed and what a program asks for.
    """
    discovery = discover(site.path) if site is not None else EMPTY
    return resolve(discovery, settings_of(config), request=request_of(added, patches))


def plan_of(
    *added: type | tuple[type, str],
    site: Site | None = None,
    config: Mapping[str, Any] | None = None,
    patches: Iterable[tuple[type | str, type]] = (),
) -> Plan:
    """
    The plan, for what is installed and what a program asks for.
    """
    return make_plan(resolution_of(*added, site=site, config=config, patches=patches))


def problems_of(
    *added: type | tuple[type, str],
    site: Site | None = None,
    config: Mapping[str, Any] | None = None,
    patches: Iterable[tuple[type | str, type]] = (),
) -> tuple[Problem, ...]:
    """
    What is wrong with the plan; none if it is valid.
    """
    try:
        plan_of(*added, site=site, config=config, patches=patches)
    except ResolutionError as error:
        return error.problems
    return ()


def injected(plan: Plan, component: str, field: str) -> tuple[str, ...]:
    """
    The names of what a field gets.
    """
    (binding,) = (binding for binding in plan.by_name[component].bindings if binding.field == field)
    return binding.providers


def names(plan: Plan) -> list[str]:
    """
    The names of the steps in order.
    """
    return [step.name for step in plan.steps]
