"""
`conductor config`: every effective setting, and where it came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from .._plan import Plan
from .._settings import Settings
from .._step import Step
from .._toml import show
from ._commands import ExampleCommand
from ._facts import setting_as_dict
from ._options import Application, application_options, reporting
from ._output import echo, styled, write_json

DEFAULT = "default"


@click.command(
    "config",
    cls=ExampleCommand,
    short_help="Show every effective setting, and where it came from.",
    examples={
        "conductor config": "the settings of everything in the plan",
        "conductor config db --set db.echo=true": "those of 'db' and of what it needs, one of them changed",
        "conductor config --json": "the same, for programs",
    },
)
@application_options()
@reporting
def command(application: Application, *, as_json: bool) -> None:
    """
    Show every effective setting of every component in the plan: value, type, source and meaning; secrets are masked.

    The settings of the application itself come first.
    """
    conductor = application.conductor()
    plan = conductor.plan()
    general = list(application_settings(conductor.settings))
    if as_json:
        write_json({"application": general, "components": {step.name: _component_as_dict(step) for step in plan.steps}})
        return
    echo(styled("application", bold=True))
    for setting in general:
        _write(setting["name"], setting["value"], setting["source"])
    _write_components(plan)


def application_settings(settings: Settings) -> Iterator[dict[str, str]]:
    """
    The settings of the application itself: name, value as it may be shown, and source.
    """
    values: dict[str, Any] = {
        "roots": settings.roots,
        "exclude": settings.exclude,
        "strict": settings.strict,
        "autoload": settings.autoload,
        "allow": settings.allow,
        "deny": settings.deny,
        "limits.setup": settings.limits.setup,
        "limits.shutdown": settings.limits.shutdown,
        "limits.stop": settings.stop,
        "limits.health": settings.health,
        "limits.blocked": settings.blocked,
    }
    for name, value in values.items():
        shown = "everything" if value is None else show(value)
        yield {"name": name, "value": shown, "source": settings.sources.get(name, DEFAULT)}
    for name, given in settings.overrides.items():
        yield {"name": f"overrides.{name}", "value": show(given.value), "source": given.source}


def _component_as_dict(step: Step) -> dict[str, Any]:
    return {
        "settings": [setting_as_dict(value) for value in step.settings],
        "limits": {"setup": step.limits.setup, "shutdown": step.limits.shutdown},
    }


def _write_components(plan: Plan) -> None:
    for step in plan.steps:
        echo()
        echo(styled(step.name, bold=True))
        for value in step.settings:
            _write(value.name, value.shown, value.source, of_type=value.type, explained=value.help)
        if not step.settings:
            echo(f"  {styled('no settings', fg='bright_black')}")


def _write(name: str, value: str, source: str, *, of_type: str = "", explained: str = "") -> None:
    """
    Write one setting; what is not as the component's author left it stands out.
    """
    notes = ", ".join(note for note in (of_type, source) if note)
    head = styled(name) if source == DEFAULT else styled(name, fg="green")
    echo(f"  {head} = {styled(value)}  {styled(f'# {notes}', fg='bright_black')}")
    if explained:
        echo(f"      {styled(explained, fg='bright_black')}")
