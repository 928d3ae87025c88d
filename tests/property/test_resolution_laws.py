"""
Laws of resolution over random applications: order, sameness, and that nothing but the declarations decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from conductor import Component
from conductor._plan import Plan
from conductor._step import Relation
from conductor.exceptions import CycleError
from tests.components import plan_of, problems_of

KINDS: tuple[str, ...] = ("needs", "uses", "all", "base", "after")

Application = list[dict[int, str]]
"""
For each component, the earlier ones that it has to do with, and how.
"""


@st.composite
def applications(draw: st.DrawFn) -> Application:
    """
    Up to nine components, each of which may need, use, collect or follow earlier ones, or be derived from one.
    """
    size = draw(st.integers(1, 9))
    made: Application = []
    for number in range(size):
        earlier = st.dictionaries(st.integers(0, number - 1), st.sampled_from(KINDS), max_size=4) if number else None
        made.append(draw(earlier) if earlier is not None else {})
    return made


def build(application: Application, *, reverse_fields: bool = False) -> list[type]:
    """
    The classes of an application; the fields of each in either order.
    """
    classes: list[type] = []
    for number, edges in enumerate(application):
        annotations: dict[str, Any] = {}
        for other, kind in sorted(edges.items(), reverse=reverse_fields):
            wanted: Any = classes[other]
            if kind in ("needs", "uses", "all"):
                annotations[f"f{other}"] = {"needs": wanted, "uses": wanted | None, "all": list[wanted]}[kind]
        bases = [classes[other] for other, kind in sorted(edges.items()) if kind == "base"][:1]
        after = tuple(classes[other] for other, kind in edges.items() if kind == "after")
        body = {"__annotations__": annotations, "__module__": __name__, "after": after}
        classes.append(type(f"C{number}", tuple(bases) or (Component,), body))
    return classes


def outcome(classes: Iterable[type]) -> tuple[Plan | None, tuple[str, ...]]:
    """
    The plan, or all that is wrong with it.
    """
    classes = tuple(classes)
    problems = tuple(str(problem) for problem in problems_of(*classes))
    return (None if problems else plan_of(*classes)), problems


def told(result: tuple[Plan | None, tuple[str, ...]]) -> Any:
    """
    What can be compared between two sets of classes that are built alike.
    """
    plan, problems = result
    if plan is None:
        return problems
    return plan.digest, [(step.name, step.reason, step.needs, step.rule) for step in plan.steps]


@given(applications())
def test_order_respects_every_edge(application: Application) -> None:
    """
    Whatever a component has to do with is set up before it, if it is in; the order is complete.
    """
    plan, _ = outcome(build(application))
    if plan is None:
        return
    places = {step.name: place for place, step in enumerate(plan.steps)}

    assert len(places) == len(plan.steps)
    for step in plan.steps:
        for binding in step.bindings:
            assert all(places[provider] < places[step.name] for provider in binding.providers)
        assert set(step.needs) == {name for binding in step.bindings for name in binding.providers}


@given(applications())
def test_every_field_gets_what_it_asks_for(application: Application) -> None:
    """
    A need gets one of its kind, never the asking one; a list gets all others of the kind, by name.
    """
    classes = build(application)
    plan, _ = outcome(classes)
    if plan is None:
        return
    for step in plan.steps:
        for binding in step.bindings:
            if binding.relation is Relation.AFTER:
                continue
            wanted = classes[int(binding.field[1:])]
            of_kind = [other.name for other in plan.steps if issubclass(other.cls, wanted) and other is not step]
            if binding.relation is Relation.ALL:
                assert list(binding.providers) == sorted(of_kind)
            else:
                assert len(binding.providers) == 1
                assert set(binding.providers) <= set(of_kind)


@given(applications(), st.data())
@example([{}, {0: "base"}, {0: "needs"}, {1: "needs"}], None)
def test_order_of_adding_and_of_fields_does_not_decide(application: Application, data: st.DataObject | None) -> None:
    """
    Any permutation gives the same plan with the same reasons, or the same problems.
    """
    classes = build(application)
    if data is None:
        shuffled, fields_reversed = classes[::-1], True
    else:
        shuffled, fields_reversed = data.draw(st.permutations(classes)), data.draw(st.booleans())
    first = told(outcome(classes))

    assert told(outcome(shuffled)) == first
    assert told(outcome(build(application, reverse_fields=fields_reversed))) == first


@given(applications(), st.data())
def test_any_subset_can_be_added(application: Application, data: st.DataObject) -> None:
    """
    What is not added, but needed, comes in by itself; the order of adding still does not decide.
    """
    classes = build(application)
    some = data.draw(st.lists(st.sampled_from(classes), unique=True))

    assert told(outcome(some)) == told(outcome(data.draw(st.permutations(some))))


@given(applications())
def test_same_input_same_plan(application: Application) -> None:
    """
    Twice the same gives equal values.
    """
    classes = build(application)

    assert outcome(classes) == outcome(classes)


@given(applications())
def test_only_what_leads_back_is_a_cycle(application: Application) -> None:
    """
    A cycle that is told is one: each component of it has the field that is drawn.
    """
    classes = build(application)
    for problem in problems_of(*classes):
        if isinstance(problem, CycleError):
            by_name = {cls.__name__: cls for cls in classes}
            for name, field in problem.cycle:
                assert field == "after" or field in by_name[name].__annotations__
