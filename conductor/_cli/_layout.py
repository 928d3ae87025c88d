"""
Where the boxes of a layered drawing go: what needs is above what it needs.

1. A component lies one layer below the lowest of those that need it; what nobody needs lies just above what it needs.
2. An edge across several layers gets a point in each layer between.
3. Within a layer, boxes are ordered by the mean position of their neighbours, to and fro; the order with the fewest
   crossings is kept.
4. Then each box moves as near to the mean of its neighbours as order and distance allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import attrs

GAP = 28.0
SWEEPS = 12
_CROSSINGS_COUNTED = 400

Point = tuple[str, str, int]  # where the edge between two components passes a layer
Place = str | Point


@attrs.frozen
class Layout:
    """
    A layered drawing.

    Attributes:
        layers: what lies in each layer, from left to right: names, and points of long edges.
        centres: the horizontal middle of each, in pixels.
    """

    layers: tuple[tuple[Place, ...], ...]
    centres: Mapping[Place, float]


def arrange(order: Sequence[str], edges: Iterable[tuple[str, str]], *, widths: Mapping[str, float]) -> Layout:
    """
    A layered drawing of an acyclic graph.

    Args:
        order: all names, providers first.
        edges: pairs of dependent and provider.
        widths: how wide the box of each name is, in pixels.
    """
    pairs = list(edges)
    depths = _depths(order, pairs)
    layers: list[list[Place]] = [[] for _ in range(max(depths.values(), default=-1) + 1)]
    for name in reversed(order):
        layers[depths[name]].append(name)
    above: dict[Place, list[Place]] = {}
    below: dict[Place, list[Place]] = {}
    for dependent, provider in pairs:
        points = [(dependent, provider, depth) for depth in range(depths[dependent] + 1, depths[provider])]
        for point in points:
            layers[point[2]].append(point)
        way: list[Place] = [dependent, *points, provider]
        for upper, lower in pairwise(way):
            below.setdefault(upper, []).append(lower)
            above.setdefault(lower, []).append(upper)
    layers = _untangle(layers, above, below)
    return Layout(tuple(map(tuple, layers)), _centre(layers, above, below, widths))


def _depths(order: Sequence[str], pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    providers: dict[str, list[str]] = {name: [] for name in order}
    needed = set()
    for dependent, provider in pairs:
        providers[dependent].append(provider)
        needed.add(provider)
    depths = dict.fromkeys(order, 0)
    for name in reversed(order):
        for provider in providers[name]:
            depths[provider] = max(depths[provider], depths[name] + 1)
    for name in order:
        if name not in needed and providers[name]:
            depths[name] = min(depths[provider] for provider in providers[name]) - 1
    return depths


def _untangle(
    layers: list[list[Place]], above: Mapping[Place, list[Place]], below: Mapping[Place, list[Place]]
) -> list[list[Place]]:
    best, fewest = layers, _crossings(layers, below)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        neighbours = below if sweep % 2 else above
        current = [list(layer) for layer in layers]
        for layer, beside in pairwise(current[::-1] if sweep % 2 else current):
            positions = {place: float(number) for number, place in enumerate(layer)}
            own = {place: float(number) for number, place in enumerate(beside)}
            beside.sort(key=lambda place: _mean(neighbours.get(place, ()), positions, own[place]))
        layers = current
        crossings = _crossings(layers, below)
        if crossings < fewest:
            best, fewest = layers, crossings
    return best


def _mean(places: Iterable[Place], positions: Mapping[Place, float], otherwise: float) -> float:
    known = [positions[place] for place in places if place in positions]
    return sum(known) / len(known) if known else otherwise


def _crossings(layers: Sequence[Sequence[Place]], below: Mapping[Place, list[Place]]) -> int:
    """
    How many edges cross; a very wide layer is not looked at.
    """
    crossings = 0
    for upper, lower in pairwise(layers):
        positions = {place: number for number, place in enumerate(lower)}
        ends = [(number, positions[end]) for number, place in enumerate(upper) for end in below.get(place, ())]
        if len(ends) <= _CROSSINGS_COUNTED:
            crossings += sum(a < c and b > d for a, b in ends for c, d in ends)
    return crossings


def _centre(
    layers: list[list[Place]],
    above: Mapping[Place, list[Place]],
    below: Mapping[Place, list[Place]],
    widths: Mapping[str, float],
) -> dict[Place, float]:
    centres: dict[Place, float] = {}
    for layer in layers:
        offsets = _offsets(layer, widths)
        centres.update({place: offset - offsets[-1] / 2 for place, offset in zip(layer, offsets, strict=True)})
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 else layers[::-1]:
            # At last everybody counts, so that what is needed by two lies between them.
            near = [[*above.get(place, ()), *below.get(place, ())] for place in layer]
            wanted = [_mean(places, centres, centres[place]) for places, place in zip(near, layer, strict=True)]
            offsets = _offsets(layer, widths)
            free = _in_order([want - offset for want, offset in zip(wanted, offsets, strict=True)])
            centres.update({place: s + o for place, s, o in zip(layer, free, offsets, strict=True)})
    return centres


def _offsets(layer: Sequence[Place], widths: Mapping[str, float]) -> list[float]:
    """
    The middle of each place if all are as far to the left as they can be; the first one is at 0.
    """
    halves = [widths[place] / 2 if isinstance(place, str) else 0.0 for place in layer]
    offsets = [0.0]
    for left, right in pairwise(halves):
        offsets.append(offsets[-1] + left + GAP + right)
    return offsets[: len(layer)]


def _in_order(wanted: Iterable[float]) -> list[float]:
    """
    The ascending numbers that are nearest to the wanted ones: neighbours in the wrong order get their mean.
    """
    pools: list[tuple[float, int]] = []
    for want in wanted:
        total, count = want, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            left, number = pools.pop()
            total, count = total + left, count + number
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]
