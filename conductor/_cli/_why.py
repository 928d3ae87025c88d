"""
`conductor why`: who provides a name, who lost, who needs it, and where its settings came from.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from .._conductor import Conductor
from .._discovery import normalise
from .._plan import Plan
from .._selection import Choice, Selection
from .._step import Binding, Relation, Step
from ..exceptions import ResolutionError, UsageError
from ._commands import ExampleCommand
from ._facts import choice_as_dict, shown_candidate, step_as_dict
from ._options import KNOWN, Application, application_options, complete_components, reporting
from ._output import Cell, cell, echo, styled, write_json, write_table


@click.command(
    "why",
    cls=ExampleCommand,
    short_help="Tell who provides a name, who lost, and who needs it.",
    examples={
        "conductor why db": "everything about 'db'",
        "conductor why db orders-api": "its part in the plan of 'orders-api' alone",
    },
)
@click.argument("name", shell_complete=complete_components)
@application_options()
@reporting
@click.pass_context
def command(ctx: click.Context, application: Application, *, name: str, as_json: bool) -> None:
    """
    Tell who provides NAME, who lost and by which rule, who needs it, what it needs, and where each of its settings
    came from.

    With ROOTs, it is about the plan of these.
    """
    conductor = application.conductor()
    plan, failure = _plan_of(conductor)
    step = _find(plan, name)
    choice = _choice(conductor.selection(), plan, step, name)
    known = {
        "choice": choice_as_dict(choice),
        "step": step_as_dict(plan, step) if plan is not None and step is not None else None,
        "needed_by": [{"component": other.name, "field": needs.field} for other, needs in _dependents(plan, step)],
    }
    ctx.meta[KNOWN] = known
    if not as_json:
        _write_choice(choice, step)
        if step is not None:
            _write_step(plan, step)
        elif failure is None:
            echo(styled(f"it is not in the plan: {_why_not(conductor.selection(), choice)}", fg="yellow"))
        else:
            echo()
    if failure is not None:
        raise failure
    if as_json:
        write_json(known)


def _plan_of(conductor: Conductor) -> tuple[Plan | None, ResolutionError | None]:
    try:
        return conductor.plan(), None
    except ResolutionError as error:
        return None, error


def _find(plan: Plan | None, name: str) -> Step | None:
    for step in plan.steps if plan is not None else ():
        if normalise(name) in map(normalise, (step.name, *step.aliases)):
            return step
    return None


def _choice(selection: Selection, plan: Plan | None, step: Step | None, name: str) -> Choice:
    """
    Who takes a name.

    Raises:
        UsageError: nobody has it.
    """
    if plan is not None and step is not None and step.name in plan.choices:
        return plan.choices[step.name]
    if selection.has(name):
        return selection.choice(name)
    if normalise(name) in map(normalise, selection.override_only()):
        raise UsageError(f"there is no component '{name}', so the installed override of that name has no effect")
    raise UsageError(str(selection.unknown(name)))


def _why_not(selection: Selection, choice: Choice) -> str:
    if selection.is_excluded(choice.name):
        return f"it is excluded ({selection.settings.sources.get('exclude', 'by the settings')})"
    if selection.settings.roots is not None:
        return "it is no root, and no root needs it"
    return "nothing needs it, and what is installed does not take part without being named"


def _dependents(plan: Plan | None, step: Step | None) -> Iterator[tuple[Step, Binding]]:
    if plan is None or step is None:
        return
    for other in plan.steps:
        for binding in other.bindings:
            if step.name in binding.providers:
                yield other, binding


def _write_choice(choice: Choice, step: Step | None) -> None:
    lost = [(_label("lost"), f"{shown_candidate(loser.candidate)}: {loser.why}") for loser in choice.beaten]
    if choice.problems or not choice.chain:
        echo(f"{styled(choice.name, bold=True)} has no provider")
        because = [(_label("because"), problem.sentence()) for problem in choice.problems]
        instead = [(_label("in place of"), f"{shown_candidate(one)}, {one.rule}") for one in choice.chain]
        write_table([*because, *instead, *lost], indent=2)
        return
    at = next((n for n, one in enumerate(choice.chain) if step is not None and one.target == step.target), 0)
    winner = choice.chain[at]
    name = choice.name if step is None else step.name
    echo(f"{styled(name, bold=True)} is provided by {styled(shown_candidate(winner), fg='green')}")
    rows: list[tuple[Cell, str]] = [(_label("rule"), winner.rule)]
    if choice.instance_of:
        rows.append((_label("instance of"), choice.instance_of))
    rows += [(_label("in place of"), f"{shown_candidate(one)}, {one.rule}") for one in choice.chain[at + 1 :]]
    write_table([*rows, *lost], indent=2)


def _write_step(plan: Plan | None, step: Step) -> None:
    rows: list[tuple[Cell | str, ...]] = [(_label("in the plan"), step.reason)]
    if step.aliases:
        rows.append((_label("also known as"), ", ".join(step.aliases)))
    for other, binding in _dependents(plan, step):
        rows.append((_label("needed by"), f"{other.name} {_through(binding)}"))
    for binding in step.bindings:
        providers = ", ".join(binding.providers) or "nothing"
        rule = f": {binding.rule}" if binding.rule else ""
        rows.append((_label(_verb(binding)), f"{providers} {_through(binding)}{rule}"))
    write_table(rows, indent=2)
    if step.settings:
        echo(styled("settings", bold=True))
        write_table(
            [(f"{value.name} = {value.shown}", cell(value.source, fg="bright_black")) for value in step.settings],
            indent=2,
        )


def _label(text: str) -> Cell:
    return cell(f"{text:<13}", fg="cyan")


def _verb(binding: Binding) -> str:
    return {Relation.NEEDS: "needs", Relation.USES: "uses", Relation.ALL: "takes all", Relation.AFTER: "after"}[
        binding.relation
    ]


def _through(binding: Binding) -> str:
    return "(order only)" if binding.relation is Relation.AFTER else f"(field '{binding.field}')"
