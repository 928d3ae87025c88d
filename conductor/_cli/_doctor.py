"""
`conductor doctor`: what is wrong with the environment.
"""

from __future__ import annotations

import platform
import sys
from typing import Any

import attrs
import click

from .._conductor import Conductor
from .._discovery import Discovery
from .._text import printable
from ._checks import (
    Finding,
    find_broken_entries,
    find_broken_targets,
    find_command_conflicts,
    find_conflicts,
    find_damage,
)
from ._commands import ExampleCommand, installed_version
from ._foreign import find_foreign, find_unmet
from ._options import Application, application_options, reporting
from ._output import echo, styled, write_json, write_note


@click.command(
    "doctor",
    cls=ExampleCommand,
    short_help="Look for what is wrong with the environment.",
    examples={
        "conductor doctor": "every finding with what to do; exit code 1 if there is one",
        "conductor doctor --json": "the same, for programs",
        "conductor doctor --exclude db": "without importing 'db'",
    },
)
@application_options(roots=False)
@reporting
@click.pass_context
def command(ctx: click.Context, application: Application, *, as_json: bool) -> None:
    """
    Look for what is wrong with the environment: damaged, shadowed or stale metadata, broken targets, conflicts,
    overrides of nothing, requirements that are not met, another package 'conductor'.

    It imports what is installed, but not what the settings leave out; an import that fails is a finding.
    """
    conductor = application.conductor()
    findings = find_all(conductor)
    discovery = conductor.discovery
    if as_json:
        write_json({**_environment(discovery), "findings": [attrs.asdict(finding) for finding in findings]})
    else:
        _write(discovery, findings)
    if findings:
        ctx.exit(1)


def find_all(conductor: Conductor) -> list[Finding]:
    """
    Everything that is wrong, metadata first and imports last.
    """
    selection = conductor.selection()
    discovery = selection.discovery
    return [
        *find_foreign(discovery, sys.path),
        *find_damage(discovery),
        *find_broken_entries(discovery),
        *find_unmet(discovery),
        *(
            Finding("settings", problem.sentence(), problem.hint or "'conductor config' shows all settings")
            for problem in conductor.settings.problems
        ),
        *find_conflicts(selection),
        *find_command_conflicts(discovery),
        *find_broken_targets(selection),
    ]


def _environment(discovery: Discovery) -> dict[str, Any]:
    return {
        "conductor": installed_version(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "distributions": len(discovery.distributions),
        "components": len(discovery.of("conductor.components")),
        "overrides": len(discovery.of("conductor.overrides")),
    }


def _write(discovery: Discovery, findings: list[Finding]) -> None:
    known = _environment(discovery)
    echo(styled(f"conductor {known['conductor']}, Python {known['python']} ({known['executable']})"))
    counted = (f"{known[key]} {key}" for key in ("distributions", "components", "overrides"))
    echo(", ".join(counted))
    for finding in findings:
        echo()
        write_note(finding.kind, f"{printable(finding.message)}\nhint: {finding.hint}", to_stderr=False)
    echo()
    if findings:
        echo(f"{len(findings)} finding{'' if len(findings) == 1 else 's'}")
    else:
        echo(styled("nothing is wrong", fg="green"))
