"""
`conductor plan`: what would be set up, in which order, and why.
"""

from __future__ import annotations

import click

from .._plan import Plan
from .._step import Step
from ._commands import ExampleCommand
from ._facts import came_from, step_as_dict, took_place
from ._options import Application, application_options, reporting
from ._output import Cell, cell, echo, styled, table_lines, write_json


@click.command(
    "plan",
    cls=ExampleCommand,
    short_help="Show what would be set up, in which order, and why.",
    examples={
        "conductor plan": "the plan of everything that is installed, or of the roots in conductor.toml",
        "conductor plan orders-api": "the plan of 'orders-api' and of what it needs",
        "conductor plan --override db=my-db": "what it would be with another 'db'",
        "conductor plan --json": "everything that was decided, for programs",
    },
)
@application_options()
@reporting
def command(application: Application, *, as_json: bool) -> None:
    """
    Show what would be set up, in which order, and why; nothing is set up.

    Each ROOT is set up together with what it needs. With none named, it is what the settings say, or else everything
    that is installed. If the plan is not valid, all problems are shown, and the exit code is 3; it is 2 if only
    settings are wrong.
    """
    plan = application.conductor().plan()  # its warnings are logged
    if as_json:
        write_json(plan_as_dict(plan))
        return
    number_of = f"{len(plan.steps)} component{'' if len(plan.steps) == 1 else 's'}"
    echo(f"{styled(number_of, bold=True)}, stop within {plan.stop:g} s, digest {plan.digest[:12]}")
    echo()
    rows = [_HEADER, *(_row(number, step) for number, step in enumerate(plan.steps, 1))]
    below = [took_place(step, plan.choices.get(step.name)) for step in plan.steps]
    for line, sentences in zip(table_lines(rows), [[], *below], strict=True):
        echo(line)
        for sentence in sentences:
            echo(f"    {styled(sentence, fg='yellow')}")


def plan_as_dict(plan: Plan) -> dict[str, object]:
    """
    A plan as plain values, for JSON.
    """
    return {
        "digest": plan.digest,
        "stop": plan.stop,
        "warnings": list(plan.warnings),
        "steps": [step_as_dict(plan, step) for step in plan.steps],
    }


_HEADER = [cell(title, bold=True) for title in ("", "NAME", "FROM", "WHY", "SET UP")]


def _row(number: int, step: Step) -> list[Cell]:
    also = f", also known as {', '.join(step.aliases)}" if step.aliases else ""
    return [
        cell(f"{number}", fg="bright_black"),
        cell(step.name),
        cell(came_from(step)),
        cell(f"{step.reason}{also}"),
        cell(f"after {', '.join(step.needs)}" if step.needs else "at once", fg="cyan"),
    ]
