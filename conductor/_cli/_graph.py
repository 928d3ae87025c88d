"""
`conductor graph`: the dependency graph, as text, Mermaid, DOT, SVG or JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import click

from .._text import printable
from ._commands import ExampleCommand
from ._edges import Graph, graph_of
from ._formats import as_dot, as_json, as_mermaid, as_text
from ._options import Application, application_options, reporting
from ._output import echo
from ._svg import as_svg

FORMATS: Mapping[str, Callable[[Graph], str]] = {
    "text": as_text,
    "mermaid": as_mermaid,
    "dot": as_dot,
    "svg": as_svg,
    "json": as_json,
}


@click.command(
    "graph",
    cls=ExampleCommand,
    short_help="Draw the dependency graph.",
    examples={
        "conductor graph": "an indented tree",
        "conductor graph --format svg --output graph.svg": "a picture",
        "conductor graph orders-api --format mermaid": "for a Markdown page",
        "conductor graph --format dot | dot -Tpdf > graph.pdf": "drawn by Graphviz",
    },
)
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), default="text", show_default=True, help="How to draw."
)
@click.option("--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write to a file.")
@application_options()
@reporting
def command(application: Application, *, form: str, output: str | None, as_json: bool) -> None:
    """
    Draw which component needs which; `--json` is short for `--format json`.

    Arrows point from the one that needs to the one that is needed, and so against the order of set-up.
    """
    graph = graph_of(application.conductor().plan())
    drawn = FORMATS["json" if as_json else form](graph)
    if output is None:
        echo(drawn)
        return
    try:
        Path(output).write_text(f"{drawn}\n", encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise click.ClickException(printable(f"cannot write '{output}': {reason}")) from None
