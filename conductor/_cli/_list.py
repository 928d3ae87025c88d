"""
`conductor list`: every component and override that is installed, with its state; imports none of them.
"""

from __future__ import annotations

from typing import Any

import attrs
import click

from .._discovery import Entry, Origin, normalise
from .._selection import Choice, Selection, distribution_of
from .._text import enumerate_names, printable
from ._commands import ExampleCommand
from ._options import Application, application_options, reporting
from ._output import Cell, cell, echo, write_json, write_table, write_warning

_COLOURS = {"active": "green", "overridden": "cyan", "disabled": "bright_black", "inert": "yellow"}


@attrs.frozen
class Listed:
    """
    One component or override, and what became of it.

    Attributes:
        name: its name.
        kind: `component`, `override` or `instance`.
        state: `active`, `overridden`, `beaten`, `inert`, `disabled`, `conflict` or `broken`.
        why: why it is in that state, if that is not plain.
        target: `module:Class`.
        origin: the distribution that it comes from; None for an instance, which the settings declare.
    """

    name: str
    kind: str
    state: str
    why: str
    target: str
    origin: Origin | None

    def as_dict(self) -> dict[str, Any]:
        """
        The record as plain values, for JSON.
        """
        return attrs.asdict(self)


@click.command(
    "list",
    cls=ExampleCommand,
    short_help="Show every component and override that is installed.",
    examples={
        "conductor list": "all of them, each with its state",
        "conductor list --json": "the same, with where each one lies",
        "conductor list --exclude db": "what it would be without 'db'",
    },
)
@application_options(roots=False)
@reporting
def command(application: Application, *, as_json: bool) -> None:
    """
    Show every component and override that is installed, with its state and its distribution.

    Nothing of them is imported, so a broken one cannot get in the way.
    """
    conductor = application.conductor()
    selection = conductor.selection()
    listed = list_all(selection)
    for problem in conductor.settings.problems:
        write_warning(str(problem))
    if as_json:
        write_json({"components": [one.as_dict() for one in listed]})
    elif listed:
        write_table([_header(), *map(_row, listed)])
    else:
        echo("no component is installed")


def list_all(selection: Selection) -> list[Listed]:
    """
    Everything that is installed or declared, by name, originals before what takes their place.
    """
    listed = [_component(selection, entry) for entry in selection.discovery.of("conductor.components")]
    listed += [_override(selection, entry) for entry in selection.discovery.of("conductor.overrides")]
    for table in selection.settings.components.values():
        if table.component:
            listed.append(_instance(selection, table.name))
    return sorted(
        listed, key=lambda one: (normalise(one.name), one.kind, one.origin.distribution if one.origin else "")
    )


def _component(selection: Selection, entry: Entry) -> Listed:
    state, why = _state_of_any(selection, entry)
    if state is None:
        choice = selection.choice(entry.name)
        state, why = _state_in(choice, entry)
        if state == "active" and selection.is_excluded(entry.name):
            state, why = "disabled", f"excluded by {selection.settings.sources.get('exclude', 'the settings')}"
    return Listed(entry.name, "component", state, why, entry.target, entry.origin)


def _override(selection: Selection, entry: Entry) -> Listed:
    state, why = _state_of_any(selection, entry)
    if state is None and not selection.has(entry.name):
        state, why = "inert", f"no component '{entry.name}' is installed"
    elif state is None:
        state, why = _state_in(selection.choice(entry.name), entry)
        if state == "active" and selection.is_excluded(entry.name):
            state, why = "disabled", f"excluded by {selection.settings.sources.get('exclude', 'the settings')}"
    return Listed(entry.name, "override", state or "inert", why, entry.target, entry.origin)


def _instance(selection: Selection, name: str) -> Listed:
    choice = selection.choice(name)
    of = selection.settings.components[normalise(name)].component
    if choice.problems:
        return Listed(name, "instance", "broken", choice.problems[0].sentence(), "", None)
    return Listed(name, "instance", "active", f"one more of '{of}'", choice.chain[0].target, choice.chain[0].origin)


def _state_of_any(selection: Selection, entry: Entry) -> tuple[str | None, str]:
    """
    The state of an entry as far as it does not depend on any other one.
    """
    if entry.problem is not None:
        return "broken", entry.problem
    if not selection.is_allowed(entry.origin):
        key = "deny" if selection.settings.allow is None else "allow"
        return "disabled", f"'{key}' in {selection.settings.sources.get(key, 'the settings')}"
    return None, ""


def _state_in(choice: Choice, entry: Entry) -> tuple[str, str]:
    """
    What became of an entry among all that want its name.
    """
    for loser in choice.beaten:
        if loser.candidate.entry is entry:
            return "beaten", loser.why
    if choice.problems:
        candidates = getattr(choice.problems[0], "candidates", ())
        if entry.origin.distribution in candidates:
            others = [name for name in candidates if name != entry.origin.distribution]
            return "conflict", f"with {enumerate_names(others) or 'itself'}"
        if any(candidate.entry is entry for candidate in choice.chain):  # what wants its place is what is wrong
            names = " or ".join(f"'{name}'" for name in candidates)
            return "overridden", f"by {names}" if names else choice.problems[0].sentence()
        return "broken", choice.problems[0].sentence()
    winner = choice.chain[0]
    if winner.entry is entry:
        return "active", winner.rule if winner.layer.value == "config" else ""
    by = distribution_of(winner.origin) or winner.target
    return "overridden", f"by {by}"


def _header() -> list[Cell]:
    return [cell(title, bold=True) for title in ("NAME", "KIND", "STATE", "FROM", "")]


def _row(one: Listed) -> list[Cell]:
    colour = _COLOURS.get(one.state, "red" if one.state in ("broken", "conflict") else None)
    came_from = distribution_of(one.origin) or "the settings"
    return [
        cell(one.name),
        cell(one.kind),
        cell(one.state, fg=colour) if colour else cell(one.state),
        cell(came_from),
        cell(printable(one.why), fg="bright_black"),
    ]
