"""
The options that say which application is meant, the same for every command that needs one.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import attrs
import click
from click.shell_completion import CompletionItem

from .._conductor import Conductor
from .._discovery import discover
from .._text import printable
from ..exceptions import ConductorError
from ._lines import NoteHandler, handling_by
from ._output import failure_as_dict, write_json

KNOWN = "conductor.known"
"""
Where a command keeps, in its context's `meta`, what goes into the JSON although it fails.
"""


@attrs.frozen
class Application:
    """
    Which application the command line means.

    Attributes:
        roots: what to set up, together with what it needs; empty: what the settings say.
        assignments: settings, as `component.setting=value`.
        overrides: what takes the place of a component, as `name=wish`.
        exclude: names of components to leave out, beside those of the settings.
        profile: name of a profile in the settings file.
        config: the settings file; None: the one in the working directory.
    """

    roots: tuple[str, ...] = ()
    assignments: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    profile: str | None = None
    config: str | None = None

    def conductor(self) -> Conductor:
        """
        The conductor of it; nothing is read yet but, if more is to be excluded, the settings.
        """
        assigned = []
        if self.exclude:
            excluded = dict.fromkeys((*self._installed([]).settings.exclude, *self.exclude))
            assigned.append(f"exclude={json.dumps(list(excluded))}")
        return self._installed(assigned)

    def _installed(self, assigned: list[str]) -> Conductor:
        return Conductor.installed(
            *self.roots,
            settings_file=self.config,
            profile=self.profile,
            assignments=(*self.assignments, *assigned),
            overrides=self.overrides,
        )


def complete_components(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """
    The names of installed components that begin like this, for the shell.
    """
    entries = [entry for entry in discover().of("conductor.components") if entry.problem is None]
    return [
        CompletionItem(entry.name, help=printable(f"{entry.origin.distribution} {entry.origin.version}"))
        for entry in entries
        if entry.name.startswith(incomplete)
    ]


_ROOTS = click.argument("roots", metavar="[ROOT]...", nargs=-1, shell_complete=complete_components)
_OPTIONS = (
    click.option(
        "--set",
        "assignments",
        metavar="COMPONENT.SETTING=VALUE",
        multiple=True,
        help="Set a setting; may be repeated. Secrets belong in the environment or in files.",
    ),
    click.option(
        "--override",
        "overrides",
        metavar="NAME=WHAT",
        multiple=True,
        help="Have a distribution, or a package.module:Class, take the place of a component; may be repeated.",
    ),
    click.option(
        "--exclude",
        metavar="NAME",
        multiple=True,
        shell_complete=complete_components,
        help="Leave a component out; may be repeated.",
    ),
    click.option(
        "--profile",
        metavar="NAME",
        envvar="CONDUCTOR_PROFILE",
        show_envvar=True,
        help="Use a profile of the settings file.",
    ),
    click.option(
        "--config",
        type=click.Path(),
        metavar="FILE",
        envvar="CONDUCTOR_CONFIG",
        show_envvar=True,
        help="Read this settings file; by default conductor.toml or pyproject.toml here.",
    ),
)


socket_option = click.option(
    "--socket",
    type=click.Path(),
    metavar="PATH",
    envvar="CONDUCTOR_SOCKET",
    show_envvar=True,
    help="The Unix socket for `conductor status`; by default one of its own in a directory of yours.",
)
"""
The option of those who answer at a socket, or ask there.
"""

json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON to standard output.")
"""
The option that every command has which reports.
"""


def application_options(*, roots: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """
    Have a command take the options that say which application is meant; it gets an `Application` first.

    Args:
        roots: whether it takes the names of roots, too.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def call(*args: Any, **given: Any) -> None:
            own = {field.name: given.pop(field.name) for field in attrs.fields(Application) if field.name in given}
            function(Application(**own), *args, **given)

        decorated: Callable[..., None] = call
        for option in reversed((*_OPTIONS, _ROOTS) if roots else _OPTIONS):
            decorated = option(decorated)
        return decorated

    return decorate


def reporting(function: Callable[..., None]) -> Callable[..., None]:
    """
    Have a command take `--json`, given to it as `as_json`; then errors are JSON on standard output, too.

    What is logged meanwhile is written as warnings: without a handler, logging would write it as it is.
    """

    @functools.wraps(function)
    def call(*args: Any, as_json: bool, **given: Any) -> None:
        try:
            with handling_by(NoteHandler(), level="warning"):
                function(*args, as_json=as_json, **given)
        except ConductorError as error:
            if as_json:
                known = click.get_current_context().meta.get(KNOWN, {})
                write_json({**known, **failure_as_dict(error)})
            raise

    return json_option(call)
