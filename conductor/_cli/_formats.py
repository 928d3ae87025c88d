"""
The dependency graph as text: an indented tree, Mermaid, DOT and JSON, each with its own quoting.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator

import attrs

from .._step import Relation
from .._text import printable
from ._edges import Edge, Graph

DEEPEST = 40

_MARKS = {
    Relation.NEEDS: "",
    Relation.ALL: " (one of all)",
    Relation.USES: " (if present)",
    Relation.AFTER: " (order only)",
}


@attrs.frozen
class Line:
    """
    One line of an indented tree.

    Attributes:
        lead: what is drawn before the name.
        name: the name of the component.
        mark: what its relation to the one above is, if that does not simply need it.
        note: whether it is drawn with what it needs elsewhere: `see above`, `see below` or nothing.
    """

    lead: str
    name: str
    mark: str
    note: str


def tree(graph: Graph) -> Iterator[Line]:
    """
    The lines of an indented tree: what nobody needs first, and below each what it needs.

    What was drawn already is not drawn again below; what lies very deep is drawn as a tree of its own.
    """
    providers = graph.providers()
    drawn: set[str] = set()
    tops = graph.tops()
    for top in tops:
        stack: list[tuple[str, str, str, int]] = [(top, "", "", 0)]
        while stack:
            name, lead, mark, depth = stack.pop()
            if name in drawn and providers[name]:
                yield Line(lead, name, mark, "see above")
            elif depth >= DEEPEST and providers[name]:
                tops.append(name)
                yield Line(lead, name, mark, "see below")
            else:
                drawn.add(name)
                yield Line(lead, name, mark, "")
                stack += reversed(list(_children(lead, providers[name], depth)))


def _children(lead: str, edges: list[Edge], depth: int) -> Iterator[tuple[str, str, str, int]]:
    # The lead of a child ends in a branch; what is below that child has a line or nothing in its place.
    stem = lead.replace("├─ ", "│  ").replace("└─ ", "   ")
    for number, edge in enumerate(edges, 1):
        branch = "└─ " if number == len(edges) else "├─ "
        yield edge.provider, stem + branch, _MARKS[edge.relation], depth + 1


def as_text(graph: Graph) -> str:
    """
    An indented tree, each component with its origin.
    """
    origins = {node.name: node.origin for node in graph.nodes}
    lines = list(tree(graph))
    width = max((len(f"{line.lead}{line.name}{line.mark}") for line in lines), default=0)
    return "\n".join(
        printable(f"{f'{line.lead}{line.name}{line.mark}':<{width}}  {line.note or origins[line.name]}")
        for line in lines
    )


def as_mermaid(graph: Graph) -> str:
    """
    A Mermaid flowchart.

    Names are shown as numeric entities where they could mean something to Mermaid, HTML or a terminal.
    """
    arrows = {Relation.NEEDS: "-->", Relation.ALL: "==>", Relation.USES: "-.->", Relation.AFTER: "-.-"}
    ids = {node.name: f"n{number}" for number, node in enumerate(graph.nodes)}
    lines = ["flowchart TD"]
    for node in graph.nodes:
        lines.append(f'    {ids[node.name]}["{_entities(node.name)}<br/><small>{_entities(node.origin)}</small>"]')
    lines += [f"    {ids[edge.dependent]} {arrows[edge.relation]} {ids[edge.provider]}" for edge in graph.edges]
    return "\n".join(lines)


def _entities(text: str) -> str:
    return "".join(
        char if char.isascii() and (char.isalnum() or char in " -_.:") else f"#{ord(char)};" for char in printable(text)
    )


def as_dot(graph: Graph) -> str:
    """
    A graph for Graphviz.
    """
    styles = {Relation.NEEDS: "solid", Relation.ALL: "bold", Relation.USES: "dashed", Relation.AFTER: "dotted"}
    lines = ["digraph conductor {", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    for node in graph.nodes:
        label = f"{_quoted(node.name)[:-1]}\\n{_quoted(node.origin)[1:]}"
        lines.append(f"  {_quoted(node.name)} [label={label}, tooltip={_quoted(node.target)}];")
    for edge in graph.edges:
        tooltip = _quoted(f"{edge.relation.value}: {', '.join(edge.fields)}")
        ends = f"{_quoted(edge.dependent)} -> {_quoted(edge.provider)}"
        lines.append(f"  {ends} [style={styles[edge.relation]}, tooltip={tooltip}];")
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    """
    A DOT string; Graphviz reads HTML entities and backslashes in labels, so that both are taken literally here.
    """
    escaped = html.escape(printable(text), quote=False).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def as_json(graph: Graph) -> str:
    """
    Nodes, and edges from dependent to provider.
    """
    value = {
        "nodes": [{"name": node.name, "origin": node.origin, "target": node.target} for node in graph.nodes],
        "edges": [
            {
                "dependent": edge.dependent,
                "provider": edge.provider,
                "relation": edge.relation.value,
                "fields": list(edge.fields),
            }
            for edge in graph.edges
        ],
    }
    return json.dumps(value, indent=2)
