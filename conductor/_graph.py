"""
Graphs of names: an order in which each comes after what it needs, and the cycles that stand in the way.

Nothing here recurses, so depth is unlimited.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping

import attrs


@attrs.frozen
class Sorted:
    """
    A graph put in order.

    Attributes:
        order: the names, each after all that it needs; of several that could come next, the first by name.
        cycles: one cycle for each group of names that need each other; these are not in ``order``.
    """

    order: tuple[str, ...]
    cycles: tuple[tuple[str, ...], ...]


def sort_graph(needs: Mapping[str, Collection[str]]) -> Sorted:
    """
    The names in order, by Kahn's algorithm.

    Args:
        needs: for each name, the names that come before it; names that are no keys are passed over.
    """
    left = {name: sum(other in needs for other in others) for name, others in needs.items()}
    needed_by: dict[str, list[str]] = {name: [] for name in needs}
    for name, others in needs.items():
        for other in others:
            if other in needed_by:
                needed_by[other].append(name)
    ready = [name for name, count in left.items() if not count]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        name = heapq.heappop(ready)
        order.append(name)
        for other in needed_by[name]:
            left[other] -= 1
            if not left[other]:
                heapq.heappush(ready, other)
    if len(order) == len(needs):
        return Sorted(tuple(order), ())
    stuck = {name: sorted(needs[name]) for name, count in left.items() if count}
    return Sorted(tuple(order), tuple(_find_cycles(stuck)))


def _find_cycles(stuck: dict[str, list[str]]) -> list[tuple[str, ...]]:
    """
    Walk from each name to one that it waits for until a name comes again; what was walked is not walked twice.
    """
    cycles: list[tuple[str, ...]] = []
    done: set[str] = set()
    for origin in sorted(stuck):
        path: list[str] = []
        places: dict[str, int] = {}
        name: str | None = origin
        while name is not None and name not in done and name not in places:
            places[name] = len(path)
            path.append(name)
            name = next((other for other in stuck[name] if other in stuck and other not in done), None)
        if name is not None and name in places:
            cycle = path[places[name] :]
            first = cycle.index(min(cycle))
            cycles.append(tuple(cycle[first:] + cycle[:first]))
        done.update(path)
    return cycles
