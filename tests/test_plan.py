"""
Tests of `conductor._plan`: order, and a digest that tells what decides and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from conductor import Component, Secret, setting
from conductor._plan import Plan, make_plan
from conductor._resolution import Resolution
from conductor._step import Binding, Relation, Step
from conductor.exceptions import CycleError, ResolutionError
from tests.components import BackgroundWorkers, Cache, Database, MessageQueue, WebAPI, names, plan_of
from tests.conftest import Site


def steps(**needs: str) -> tuple[Step, ...]:
    """
    Steps by name, each with the names that it needs, through fields of these names.
    """
    made = []
    for name, text in needs.items():
        providers = tuple(text.split())
        bindings = tuple(Binding(one, one, Relation.NEEDS, "m:C", (one,)) for one in providers)
        made.append(Step(name=name, cls=Database, bindings=bindings, needs=tuple(sorted(providers))))
    return tuple(made)


def plan_from(made: tuple[Step, ...]) -> Plan:
    """
    The plan of some steps.
    """
    return make_plan(Resolution(steps=made, choices={}, warnings=("strange",), stop=12.0))


def test_steps_come_after_what_they_need() -> None:
    """
    Independent ones by name, in whatever order they were given.
    """
    made = steps(a="z", b="", z="", m="a b")

    assert names(plan_from(made)) == ["b", "z", "a", "m"]
    assert plan_from(made) == plan_from(made[::-1])


def test_plan_keeps_what_was_resolved() -> None:
    """
    The time to stop, the warnings, and the steps by name.
    """
    plan = plan_from(steps(a=""))

    assert (plan.stop, plan.warnings) == (12.0, ("strange",))
    assert plan.by_name == {"a": plan.steps[0]}


def test_plan_is_frozen() -> None:
    """
    Nothing in it can be changed by whoever looks at it.
    """
    plan = plan_of(WebAPI)

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        plan.stop = 1.0  # type: ignore[misc]  # that it cannot be set is the point
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        plan.steps[0].name = "x"  # type: ignore[misc]  # the same


def test_every_cycle_is_told() -> None:
    """
    One error for each group, drawn with the fields.
    """
    with pytest.raises(ResolutionError) as caught:
        plan_from(steps(a="b", b="a", c="d", d="c", e="a"))

    assert [type(problem) for problem in caught.value.problems] == [CycleError, CycleError]
    assert "a --b--> b --a--> a" in str(caught.value)


# -- the digest ------------------------------------------------------------------------------------------------------


class Configured(Component):
    """
    Has settings of several kinds.
    """

    url: str = "x"
    token: Secret[str] = Secret("one")
    password: str = "one"
    where: Path = Path("here")
    made: object = setting(factory=object)
    kept: object = object()
    tags: frozenset[str] = frozenset({"a", "b", "c"})


def digest(*added: type | tuple[type, str], config: Mapping[str, Any] | None = None) -> str:
    """
    The digest of a plan.
    """
    return plan_of(*added, config=config).digest


def test_digest_is_a_sha256_in_hexadecimal() -> None:
    """
    The same each time for the same plan.
    """
    assert len(bytes.fromhex(digest(WebAPI))) == 32
    assert digest(WebAPI) == digest(WebAPI)


@pytest.mark.parametrize(
    "config",
    [
        {"components": {"Configured": {"url": "y"}}},
        {"components": {"Configured": {"where": "there"}}},
        {"components": {"Configured": {"limits": {"setup": 1.0}}}},
        {"components": {"Configured": {"after": ["Cache"]}}},
        {"components": {"more": {"component": "Configured"}}},
        {"limits": {"stop": 1.0}},
        {"limits": {"shutdown": 1.0}},
        {"overrides": {"Configured": "tests.components:MessageQueue"}},
    ],
    ids=str,
)
def test_digest_tells_what_decides(config: Mapping[str, Any]) -> None:
    """
    Settings, limits, order, instances and overrides change it.
    """
    assert digest(Configured, Cache, config=config) != digest(Configured, Cache)


def test_digest_tells_what_is_in_and_what_is_bound() -> None:
    """
    Another component, another name or another provider changes it.
    """
    bound = {"components": {"WebAPI": {"bind": {"db": "other"}}}}
    added: list[type | tuple[type, str]] = [WebAPI, Database, (Database, "other")]

    found = [
        digest(WebAPI),
        digest(WebAPI, BackgroundWorkers),
        digest((WebAPI, "api")),
        digest(*added),
        digest(*added, config=bound),
        plan_of(WebAPI, patches=[(MessageQueue, Cache)]).digest,
    ]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", ["token", "password"])
def test_digest_tells_no_secret(name: str) -> None:
    """
    Two secrets give one digest, so nobody can guess at them with it.
    """
    given = [digest(Configured, config={"components": {"Configured": {name: value}}}) for value in ("two", "three")]

    assert given[0] == given[1]


def test_digest_does_not_tell_where_a_value_came_from() -> None:
    """
    The same value as a default and from a source is the same.
    """
    assert digest(Configured, config={"components": {"Configured": {"url": "x"}}}) == digest(Configured)


@pytest.mark.parametrize(("version", "same"), [("1.0", True), ("1.1", False)])
def test_digest_tells_versions_but_no_places(site: Site, version: str, same: bool) -> None:
    """
    Another version of a distribution is another plan; another folder is not.
    """
    entry = {"conductor.components": {"db": "tests.components:Database"}}
    other = site.beside("other")
    site.add("sample", entry_points=entry)
    other.add("sample", entry_points=entry, version=version)

    assert (plan_of(site=site).digest == plan_of(site=other).digest) is same
