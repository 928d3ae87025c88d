"""
The group of all commands: our own, imported by name when called, and those that distributions contribute.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from .._discovery import Discovery, Entry, discover, normalise
from .._selection import Selection
from .._settings import load_settings
from .._sources import EnvironSource, TomlSource
from .._text import enumerate_names, printable, redact
from ..exceptions import ConductorError
from ._output import echo, exit_code_of, write_failure

BUILT_IN = ("run", "status", "list", "plan", "why", "graph", "config", "doctor", "completion")


class ExampleCommand(click.Command):
    """
    A command whose help ends with examples.

    Args:
        examples: what to type, each with what it does.
    """

    def __init__(self, *args: Any, examples: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """
        Write the examples.
        """
        write_examples(self.examples, formatter)


def write_examples(examples: Mapping[str, str], formatter: click.HelpFormatter) -> None:
    """
    Write a section of examples into a help.
    """
    width = max(map(len, examples))
    with formatter.section("Examples"):
        for typed, effect in examples.items():
            formatter.write(f"  {typed:<{width}}  {effect}\n")


class ContributedCommand(click.Command):
    """
    A command that a distribution contributes: listed by its metadata, imported when it is called.
    """

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries
        offered = ", ".join(sorted(f"{entry.origin.distribution} {entry.origin.version}" for entry in entries))
        super().__init__(entries[0].name, help=printable(f"(from {offered})"))

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """
        The context of the real command.
        """
        return self.load().make_context(info_name, args, parent, **extra)

    def load(self) -> click.Command:
        """
        The real command, imported.

        Raises:
            click.ClickException: it cannot be told which one is meant, or that one cannot be used.
        """
        allowed = self._allowed()
        if not allowed:
            raise click.ClickException(f"the settings do not allow what offers the command '{self.name}'")
        first, *others = allowed
        if others:
            names = enumerate_names(sorted(entry.origin.distribution for entry in allowed))
            raise click.UsageError(
                printable(f"distributions {names} all offer the command '{self.name}'; uninstall one")
            )
        place = f"command '{first.name}' of distribution '{first.origin.distribution} {first.origin.version}'"
        try:
            loaded = first.load()
        except ConductorError as error:
            raise click.ClickException(printable(str(error))) from None
        except BaseException as error:  # whatever an import raises, SystemExit included
            reason = redact(f"{type(error).__name__}: {error}")
            raise click.ClickException(printable(f"{place} cannot be imported: {reason}")) from None
        if not isinstance(loaded, click.Command):
            raise click.ClickException(printable(f"{place} is not a click command: '{first.target}'"))
        return loaded

    def _allowed(self) -> list[Entry]:
        """
        The entries whose distributions the settings let take part.
        """
        file = os.environ.get("CONDUCTOR_CONFIG")
        source = TomlSource(path=Path(file) if file else None, profile=os.environ.get("CONDUCTOR_PROFILE") or None)
        selection = Selection(discover(), load_settings((source, EnvironSource(os.environ))))
        return [entry for entry in self.entries if selection.is_allowed(entry.origin)]


class CommandGroup(click.Group):
    """
    All commands, none of them imported before it is called or its help is shown.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """
        Our own in the order of use, then the contributed ones by name.
        """
        return [*BUILT_IN, *sorted(contributed(discover()))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """
        A command by its name; a contributed one never takes the place of our own.
        """
        if cmd_name in BUILT_IN:
            module = importlib.import_module(f"conductor._cli._{cmd_name}")
            command: click.Command = module.command
            return command
        return contributed(discover()).get(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """
        Write our own commands, then the contributed ones.
        """
        own = [(name, self.get_command(ctx, name)) for name in BUILT_IN]
        others = sorted(contributed(discover()).items())
        for title, rows in (("Commands", own), ("Commands of installed distributions", others)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl([(name, found.get_short_help_str(80)) for name, found in rows if found])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """
        Write examples.
        """
        write_examples(_EXAMPLES, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """
        Run the command that was called; one of our errors becomes its text and its exit code.
        """
        try:
            return super().invoke(ctx)
        except ConductorError as error:
            write_failure(error)
            ctx.exit(exit_code_of(error))
        except KeyboardInterrupt:
            ctx.exit(130)


def contributed(discovery: Discovery) -> dict[str, ContributedCommand]:
    """
    The commands that distributions offer, by name; what has the name of one of ours is not among them.
    """
    found: dict[str, list[Entry]] = {}
    for entry in discovery.of("conductor.commands"):
        if normalise(entry.name) not in BUILT_IN:
            found.setdefault(entry.key, []).append(entry)
    return {entries[0].name: ContributedCommand(tuple(entries)) for entries in found.values()}


def installed_version() -> str:
    """
    The version of Conductor as it is installed.
    """
    versions = (
        found.version for found in discover().distributions if normalise(found.distribution) == "conductor-core"
    )
    return next(versions, "(not installed)")


def _show_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        echo(f"conductor {printable(installed_version())}")
        ctx.exit()


_EXAMPLES = {
    "conductor list": "what is installed",
    "conductor plan": "what would be set up, in which order, and why",
    "conductor run": "do it, until Ctrl-C",
    "conductor why db": "who provides 'db', and who lost",
}


@click.command(
    "conductor",
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run an application that is made of installed components.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
@click.pass_context
def commands(ctx: click.Context) -> None:
    """
    The command line.
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False
