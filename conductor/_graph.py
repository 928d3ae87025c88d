"""
Graphs of names: an order in which each comes after what it needs, and the cycles that stand in the way.

Nothing here recurses, so depth is unlimited.
"""

from __future__ import annotations

import heapq
from collections import deque
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
    The shortest way round from the first name of each group of names that need each other.
    """
    cycles = [
        _shortest_cycle(group, stuck) for group in _groups(stuck) if len(group) > 1 or group[0] in stuck[group[0]]
    ]
    return sorted(cycles)


def _groups(stuck: dict[str, list[str]]) -> list[list[str]]:
    """
    The strongly connected groups of a graph, each sorted, by Kosaraju's algorithm.
    """
    back: dict[str, list[str]] = {name: [] for name in stuck}
    for name, others in stuck.items():
        for other in others:
            if other in back:
                back[other].append(name)
    groups: list[list[str]] = []
    done: set[str] = set()
    for origin in reversed(_post_order(stuck)):
        group, work = [], [origin]
        while work:
            name = work.pop()
            if name not in done:
                done.add(name)
                group.append(name)
                work.extend(back[name])
        if group:
            groups.append(sorted(group))
    return groups


def _post_order(stuck: dict[str, list[str]]) -> list[str]:
    """
    The names in the order in which a search in depth leaves them.
    """
    order: list[str] = []
    seen: set[str] = set()
    for origin in stuck:
        work = [] if origin in seen else [(origin, iter(stuck[origin]))]
        seen.add(origin)
        while work:
            name, others = work[-1]
            fresh = next((other for other in others if other in stuck and other not in seen), None)
            if fresh is None:
                work.pop()
                order.append(name)
            else:
                seen.add(fresh)
                work.append((fresh, iter(stuck[fresh])))
    return order


def _shortest_cycle(group: list[str], stuck: dict[str, list[str]]) -> tuple[str, ...]:
    """
    From the first name of a group back to it, by breadth first.
    """
    first, inside = group[0], set(group)
    came_from: dict[str, str] = {}
    waiting = deque([first])
    while first not in came_from:
        name = waiting.popleft()
        for other in stuck[name]:
            if other in inside and other not in came_from:
                came_from[other] = name
                waiting.append(other)
    cycle = [came_from[first]]
    while cycle[-1] != first:
        cycle.append(came_from[cycle[-1]])
    return tuple(reversed(cycle))
