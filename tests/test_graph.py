"""
Tests of `conductor._graph`: order and cycles.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor._graph import Sorted, sort_graph

NAMES = [f"n{number}" for number in range(8)]
GRAPHS = st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=4))


def reachable(graph: dict[str, list[str]], origin: str) -> set[str]:
    """
    What a name needs, directly or through others.
    """
    found: set[str] = set()
    work = [other for other in graph[origin] if other in graph]
    while work:
        name = work.pop()
        if name not in found:
            found.add(name)
            work.extend(other for other in graph[name] if other in graph)
    return found


@pytest.mark.parametrize(
    ("graph", "order"),
    [
        ({}, ()),
        ({"b": [], "a": []}, ("a", "b")),
        ({"a": ["b"], "b": []}, ("b", "a")),
        ({"z": [], "a": ["z"], "b": []}, ("b", "z", "a")),
        ({"a": ["b", "b"], "b": ["absent"]}, ("b", "a")),
    ],
)
def test_order(graph: dict[str, list[str]], order: tuple[str, ...]) -> None:
    """
    Each name comes after what it needs, the first by name of those that could; absent names are passed over.
    """
    assert sort_graph(graph) == Sorted(order, ())


@pytest.mark.parametrize(
    ("graph", "cycles"),
    [
        ({"a": ["a"]}, (("a",),)),
        ({"b": ["a"], "a": ["b"]}, (("a", "b"),)),
        ({"a": ["b"], "b": ["c"], "c": ["a", "b"]}, (("a", "b", "c"),)),
        ({"a": ["b", "c"], "b": ["c"], "c": ["a"]}, (("a", "c"),)),
        ({"a": ["b", "c"], "b": ["a"], "c": ["d"], "d": ["a"]}, (("a", "b"),)),
        ({"b": ["x"], "x": ["c", "z"], "z": ["b"], "c": ["d"], "d": ["c"]}, (("b", "x", "z"), ("c", "d"))),
    ],
)
def test_cycles(graph: dict[str, list[str]], cycles: tuple[tuple[str, ...], ...]) -> None:
    """
    The shortest way round from the first name of each group, also where one group leads into another.
    """
    assert sort_graph(graph).cycles == cycles


def test_what_only_leads_to_a_cycle_is_in_none() -> None:
    """
    A name that needs one in a cycle is not in order, but not part of the cycle.
    """
    found = sort_graph({"a": ["b"], "b": ["c"], "c": ["b"], "d": []})

    assert found == Sorted(("d",), (("b", "c"),))


@given(GRAPHS)
def test_order_and_cycles_of_any_graph(graph: dict[str, list[str]]) -> None:
    """
    The order respects every edge; there is one true cycle for each group, and all that is left out is behind one.
    """
    found = sort_graph(graph)
    places = {name: place for place, name in enumerate(found.order)}
    groups = {frozenset({name} | (reachable(graph, name) & around)) for name, around in _arounds(graph).items()}

    for name in found.order:
        assert all(places[other] < places[name] for other in graph[name] if other in graph)
    for cycle in found.cycles:
        assert cycle[0] == min(cycle)
        assert all(after in graph[name] for name, after in zip(cycle, (*cycle[1:], cycle[0]), strict=True))
    assert len(found.cycles) == len(groups)
    assert all(any(set(cycle) <= group for group in groups) for cycle in found.cycles)
    in_cycles = set().union(*groups)
    for name in graph.keys() - places.keys():
        assert name in in_cycles or reachable(graph, name) & in_cycles


def _arounds(graph: dict[str, list[str]]) -> dict[str, set[str]]:
    """
    For each name that needs itself: the names that need it.
    """
    on_cycle = [name for name in graph if name in reachable(graph, name)]
    return {name: {other for other in on_cycle if name in reachable(graph, other)} for name in on_cycle}


@given(GRAPHS)
def test_order_does_not_depend_on_how_the_graph_is_written(graph: dict[str, list[str]]) -> None:
    """
    Names and needs in any order give the same result.
    """
    shuffled = {name: sorted(graph[name], reverse=True) for name in sorted(graph, reverse=True)}

    assert sort_graph(shuffled) == sort_graph(graph)


@pytest.mark.parametrize("closed", [False, True])
def test_depth_is_unlimited(closed: bool) -> None:
    """
    A chain of 50,000 is put in order, and one that bites its tail is found.
    """
    names = [f"{number:05}" for number in range(50_000)]
    graph = {name: [after] for name, after in itertools.pairwise(names)}
    graph[names[-1]] = [names[0]] if closed else []

    found = sort_graph(graph)

    assert found == (Sorted((), (tuple(names),)) if closed else Sorted(tuple(reversed(names)), ()))
