"""
The dependency graph as an SVG picture, without any outside program.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise

import attrs

from .._step import Relation
from .._text import printable
from ._edges import STRENGTH, Edge, Graph, Node
from ._layout import Layout, Place, arrange

HEIGHT = 46.0
DISTANCE = 62.0
MARGIN = 24.0
LEGEND = 34.0
_HEAD = 7.0

_STYLE = """
  .ground { fill: #ffffff } .box { fill: #f8fafc; stroke: #94a3b8; stroke-width: 1.2 }
  text { font: 11px system-ui, sans-serif; text-anchor: middle }
  .name { font-size: 14px; font-weight: 600; fill: #0f172a } .origin { fill: #64748b } .legend { text-anchor: start }
  .edge { fill: none; stroke: #64748b; stroke-width: 1.4 } .head { fill: #64748b }
  .all { stroke-width: 2.6 } .uses { stroke-dasharray: 7 4 } .after { stroke-dasharray: 1.5 4; stroke-linecap: round }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0f172a } .box { fill: #1e293b; stroke: #64748b } .name { fill: #f1f5f9 } .origin { fill: #94a3b8 }
    .edge { stroke: #94a3b8 } .head { fill: #94a3b8 }
  }
"""
_NOT_IN_XML = {code: f"\\u{code:04x}" for code in (0xFFFE, 0xFFFF)}


def as_svg(graph: Graph) -> str:
    """
    A picture: boxes with name and origin, arrows from the one that needs to the one that is needed.
    """
    widths = {node.name: _width(node) for node in graph.nodes}
    pairs = [(edge.dependent, edge.provider) for edge in graph.edges]
    drawing = _Drawing(graph, arrange([node.name for node in graph.nodes], pairs, widths=widths), widths)
    return "\n".join(drawing.lines())


def _width(node: Node) -> float:
    return max(len(printable(node.name)) * 8.6, len(printable(node.origin)) * 6.3) + 28.0


def _text(text: str) -> str:
    return html.escape(printable(text).translate(_NOT_IN_XML))


@attrs.frozen
class _Drawing:
    graph: Graph
    layout: Layout
    widths: Mapping[str, float]

    @cached_property
    def depth_of(self) -> dict[Place, int]:
        """
        The layer of each place.
        """
        return {place: depth for depth, layer in enumerate(self.layout.layers) for place in layer}

    @cached_property
    def ports(self) -> dict[Edge, tuple[float, float]]:
        """
        Where each edge leaves and where it arrives: side by side, in the order of the other ends.
        """
        leaves = _spread(((edge.dependent, edge, self._turns(edge)[0]) for edge in self.graph.edges), self)
        arrives = _spread(((edge.provider, edge, self._turns(edge)[1]) for edge in self.graph.edges), self)
        return {edge: (leaves[edge], arrives[edge]) for edge in self.graph.edges}

    def _turns(self, edge: Edge) -> tuple[float, float]:
        """
        Where an edge goes first, and where it comes from last.
        """
        xs = [self.layout.centres[place] for place in (edge.dependent, *self._between(edge), edge.provider)]
        return xs[1], xs[-2]

    def _between(self, edge: Edge) -> list[Place]:
        first, last = self.depth_of[edge.dependent], self.depth_of[edge.provider]
        return [(edge.dependent, edge.provider, depth) for depth in range(first + 1, last)]

    def lines(self) -> Iterator[str]:
        """
        The lines of the file.
        """
        boxes = [(self.layout.centres[name], width / 2) for name, width in self.widths.items()]
        points = list(self.layout.centres.values()) or [0.0]
        left = min([centre - half for centre, half in boxes] + points) - MARGIN
        right = max([centre + half for centre, half in boxes] + points) + MARGIN
        legend = [relation for relation in STRENGTH if any(edge.relation is relation for edge in self.graph.edges)]
        has_legend = len(legend) > 1
        right = max(right, left + 2 * MARGIN + 130.0 * len(legend)) if has_legend else right
        bottom = len(self.layout.layers) * (HEIGHT + DISTANCE) - DISTANCE if self.layout.layers else 0.0
        height = bottom + 2 * MARGIN + (LEGEND if has_legend else 0.0)
        size = f'width="{right - left:.0f}" height="{height:.0f}"'
        view = f'viewBox="{left:.0f} {-MARGIN:.0f} {right - left:.0f} {height:.0f}"'
        yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} role="img">'
        yield f"<title>{len(self.graph.nodes)} components</title><style>{_STYLE}</style>"
        yield (
            f'<defs><marker id="head" viewBox="0 0 8 8" refX="0.5" refY="4" markerWidth="{_HEAD:g}" '
            f'markerHeight="{_HEAD:g}" markerUnits="userSpaceOnUse" orient="auto">'
            '<path class="head" d="M0,0.5 L8,4 L0,7.5 z"/></marker></defs>'
        )
        place = f'x="{left:.0f}" y="{-MARGIN:.0f}" width="{right - left:.0f}" height="{height:.0f}"'
        yield f'<rect class="ground" {place}/>'
        yield from map(self._edge, self.graph.edges)
        yield from map(self._box, self.graph.nodes)
        if has_legend:
            yield from _legend(legend, left + MARGIN, bottom + MARGIN + LEGEND / 2)
        yield "</svg>"

    def _box(self, node: Node) -> str:
        depth = self.depth_of[node.name]
        centre, width, top = self.layout.centres[node.name], self.widths[node.name], depth * (HEIGHT + DISTANCE)
        place = f'x="{centre - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" height="{HEIGHT:g}"'
        return (
            f"<g><title>{_text(node.origin)}: {_text(node.target)}</title>"
            f'<rect class="box" {place} rx="8"/>'
            f'<text class="name" x="{centre:.1f}" y="{top + 20:.1f}">{_text(node.name)}</text>'
            f'<text class="origin" x="{centre:.1f}" y="{top + 36:.1f}">{_text(node.origin)}</text></g>'
        )

    def _edge(self, edge: Edge) -> str:
        first, last = self.depth_of[edge.dependent], self.depth_of[edge.provider]
        start, end = self.ports[edge]
        xs = [start, *(self.layout.centres[point] for point in self._between(edge)), end]
        path = f"M{xs[0]:.1f},{first * (HEIGHT + DISTANCE) + HEIGHT:.1f}"
        for depth, (x, next_x) in enumerate(pairwise(xs), first):
            top, bottom = depth * (HEIGHT + DISTANCE) + HEIGHT, (depth + 1) * (HEIGHT + DISTANCE)
            bottom -= _HEAD if depth + 1 == last else 0.0
            middle = (top + bottom) / 2
            path += f" C{x:.1f},{middle:.1f} {next_x:.1f},{middle:.1f} {next_x:.1f},{bottom:.1f}"
            path += "" if depth + 1 == last else f" v{HEIGHT:g}"
        told = _text(f"{edge.dependent} → {edge.provider}, {edge.relation.value}: {', '.join(edge.fields)}")
        style = f'class="edge {_CLASSES[edge.relation]}" marker-end="url(#head)"'
        return f'<path {style} d="{path}"><title>{told}</title></path>'


_CLASSES = {Relation.NEEDS: "needs", Relation.ALL: "all", Relation.USES: "uses", Relation.AFTER: "after"}


def _spread(ends: Iterable[tuple[str, Edge, float]], drawing: _Drawing) -> dict[Edge, float]:
    """
    A place on its box for each edge that ends there.
    """
    by_name: dict[str, list[tuple[float, Edge]]] = {}
    for name, edge, towards in ends:
        by_name.setdefault(name, []).append((towards, edge))
    places = {}
    for name, found in by_name.items():
        found.sort(key=lambda pair: pair[0])
        step = min(18.0, drawing.widths[name] * 0.7 / len(found))
        for number, (_, edge) in enumerate(found):
            places[edge] = drawing.layout.centres[name] + (number - (len(found) - 1) / 2) * step
    return places


def _legend(relations: Iterable[Relation], left: float, middle: float) -> Iterator[str]:
    for number, relation in enumerate(relations):
        x = left + number * 130.0
        yield f'<path class="edge {_CLASSES[relation]}" d="M{x:.1f},{middle:.1f} h32"/>'
        yield f'<text class="origin legend" x="{x + 40:.1f}" y="{middle + 4:.1f}">{relation.value}</text>'
