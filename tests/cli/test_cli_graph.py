"""
`conductor graph`, and the drawing itself on random graphs.
"""

import json
import re
import string
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor._cli._edges import Edge, Graph, Node
from conductor._cli._formats import as_dot, as_json, as_mermaid, as_text
from conductor._cli._layout import GAP, arrange
from conductor._cli._svg import as_svg
from conductor._step import Relation
from tests.cli.conftest import CommandLine

SVG = "{http://www.w3.org/2000/svg}"


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """
    Random acyclic graphs with names as bad as they come.
    """
    names = draw(st.lists(st.text(min_size=1, max_size=12), max_size=12, unique=True))
    nodes = tuple(Node(name, draw(st.text(max_size=20)), "module:Class") for name in names)
    edges = []
    for number, name in enumerate(names):
        for other in draw(st.sets(st.sampled_from(names[:number]), max_size=3)) if number else ():
            relation = draw(st.sampled_from(Relation))
            edges.append(Edge(name, other, relation, (draw(st.text(max_size=8)),)))
    return Graph(nodes, tuple(edges))


@given(graphs())
def test_svg_is_xml_with_a_box_for_each_component(graph: Graph) -> None:
    """
    Whatever the names are, the picture is well-formed, with a box for each component and an arrow for each edge.
    """
    root = ElementTree.fromstring(as_svg(graph))

    assert len(root.findall(f".//{SVG}rect[@class='box']")) == len(graph.nodes)
    assert len(root.findall(f".//{SVG}path[@marker-end]")) == len(graph.edges)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "style", "defs", "marker", "path", "rect", "g", "text")
    }


@given(graphs())
def test_layout_puts_dependents_above_and_boxes_apart(graph: Graph) -> None:
    """
    Each component is above what it needs, and boxes of a layer keep their distance.
    """
    widths = {node.name: 50.0 + 7 * len(node.name) for node in graph.nodes}
    layout = arrange(
        [node.name for node in graph.nodes], [(edge.dependent, edge.provider) for edge in graph.edges], widths=widths
    )

    depths = {place: depth for depth, layer in enumerate(layout.layers) for place in layer}
    assert all(depths[edge.dependent] < depths[edge.provider] for edge in graph.edges)
    assert set(widths) <= set(depths)
    for layer in layout.layers:
        for left, right in pairwise(layer):
            needed = GAP + sum(widths[place] / 2 for place in (left, right) if isinstance(place, str))
            assert layout.centres[right] - layout.centres[left] >= needed - 0.001


@given(graphs())
def test_dot_strings_end_where_they_should(graph: Graph) -> None:
    """
    No name gets out of its quotes in DOT.
    """
    for line in as_dot(graph).splitlines()[1:-1]:
        outside = re.sub(r'"(?:[^"\\]|\\.)*"', "S", line)
        assert re.fullmatch(r"  (S \[label=S, tooltip=S\]|S -> S \[style=\w+, tooltip=S\]|node \[.*\]);", outside), line


@given(graphs())
def test_mermaid_labels_hold_nothing_that_means_something(graph: Graph) -> None:
    """
    In Mermaid every label is letters, digits and entities.
    """
    harmless = re.escape(string.ascii_letters + string.digits + " -_.:#;")
    label = rf'    n\d+\["[{harmless}]*<br/><small>[{harmless}]*</small>"\]'
    arrow = r"    n\d+ (-->|==>|-\.->|-\.-) n\d+"
    for line in as_mermaid(graph).split("\n")[1:]:
        assert re.fullmatch(f"{label}|{arrow}", line), line


@given(graphs())
def test_text_and_json_have_every_component(graph: Graph) -> None:
    """
    The tree has a line for each component at least, and the JSON has each once.
    """
    assert len(as_text(graph).split("\n")) >= len(graph.nodes)
    assert len(json.loads(as_json(graph))["nodes"]) == len(graph.nodes)


def test_tree(cli: CommandLine) -> None:
    """
    By default the graph is an indented tree with origins.
    """
    cli.install_shop()

    assert cli.call("graph").stdout.splitlines() == [
        "shop      acme-shop 1.2",
        "├─ db     acme-shop 1.2",
        "└─ queue  acme-shop 1.2",
    ]


def test_tree_draws_nothing_twice() -> None:
    """
    What is drawn with all that it needs is only named the second time.
    """
    names = ("db", "store", "left", "right", "top")
    pairs = (("store", "db"), ("left", "store"), ("right", "store"), ("top", "left"), ("top", "right"))
    edges = tuple(Edge(dependent, provider, Relation.NEEDS, ("x",)) for dependent, provider in pairs)

    lines = as_text(Graph(tuple(Node(name, "acme", "m:C") for name in names), edges)).splitlines()

    assert [" ".join(line.split()) for line in lines] == [
        "top acme",
        "├─ left acme",
        "│ └─ store acme",
        "│ └─ db acme",
        "└─ right acme",
        "└─ store see above",
    ]


def test_deep_chain_is_drawn() -> None:
    """
    A chain of 10,000 components is drawn in every form, in pieces where it is too deep to indent.
    """
    names = [f"c{number}" for number in range(10_000)]
    nodes = tuple(Node(name, "acme", "m:C") for name in names)
    edges = tuple(Edge(later, earlier, Relation.NEEDS, ("x",)) for earlier, later in pairwise(names))
    graph = Graph(nodes, edges)

    text = as_text(graph)

    assert "see below" in text
    assert max(map(len, text.splitlines())) < 200
    assert len(ElementTree.fromstring(as_svg(graph)).findall(f".//{SVG}g")) == 10_000


@pytest.mark.parametrize(("form", "beginning"), [("mermaid", "flowchart"), ("dot", "digraph"), ("svg", "<svg")])
def test_formats(cli: CommandLine, form: str, beginning: str) -> None:
    """
    Each format can be asked for, on standard output or in a file.
    """
    cli.install_shop()

    result = cli.call("graph", "--format", form)
    cli.call("graph", "--format", form, "--output", "graph.out")

    assert result.stdout.startswith(beginning)
    assert (cli.folder / "graph.out").read_text(encoding="utf-8") == result.stdout


def test_json_has_edges_with_relation_and_field(cli: CommandLine) -> None:
    """
    As JSON, each edge says who needs whom, how, and through which field.
    """
    cli.install_shop()

    edges = json.loads(cli.call("graph", "--json").stdout)["edges"]

    assert {"dependent": "shop", "provider": "db", "relation": "needs", "fields": ["db"]} in edges


def test_file_that_cannot_be_written(cli: CommandLine) -> None:
    """
    A folder that does not exist is one message, not a traceback.
    """
    cli.install_shop()

    result = cli.call("graph", "--output", "nowhere/graph.txt")

    assert result.exit_code == 1
    assert "cannot write 'nowhere/graph.txt': no such file or directory" in result.stderr
