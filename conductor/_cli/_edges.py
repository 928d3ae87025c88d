"""
The dependency graph of a plan, as a value to draw.
"""

from __future__ import annotations

import attrs

from .._plan import Plan
from .._selection import distribution_of
from .._step import Relation

STRENGTH = (Relation.NEEDS, Relation.ALL, Relation.USES, Relation.AFTER)


@attrs.frozen
class Node:
    """
    One component.

    Attributes:
        name: its name.
        origin: `name version` of its distribution, or its class.
        target: `module:Class`.
    """

    name: str
    origin: str
    target: str


@attrs.frozen
class Edge:
    """
    That one component is set up before another, and why; one for each pair.

    Attributes:
        dependent: the name of the one that is set up later.
        provider: the name of the one that is set up before.
        relation: the strongest relation between the two.
        fields: the fields behind it, in order; `after` for order only.
    """

    dependent: str
    provider: str
    relation: Relation
    fields: tuple[str, ...]


@attrs.frozen
class Graph:
    """
    All components of a plan, providers first, and what is between them.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def providers(self) -> dict[str, list[Edge]]:
        """
        The edges to what each component needs.
        """
        found: dict[str, list[Edge]] = {node.name: [] for node in self.nodes}
        for edge in self.edges:
            found[edge.dependent].append(edge)
        return found

    def tops(self) -> list[str]:
        """
        The names of the components that nobody needs, the last one first.
        """
        needed = {edge.provider for edge in self.edges}
        return [node.name for node in reversed(self.nodes) if node.name not in needed]


def graph_of(plan: Plan) -> Graph:
    """
    The graph of a plan.
    """
    nodes, edges = [], []
    for step in plan.steps:
        nodes.append(Node(step.name, distribution_of(step.origin) or step.target, step.target))
        between: dict[str, list[tuple[Relation, str]]] = {}
        for binding in step.bindings:
            for provider in binding.providers:
                between.setdefault(provider, []).append((binding.relation, binding.field))
        for provider, found in sorted(between.items()):
            relation = min((relation for relation, _ in found), key=STRENGTH.index)
            edges.append(Edge(step.name, provider, relation, tuple(field for _, field in found)))
    return Graph(tuple(nodes), tuple(edges))
