"""
What may be wrong with an environment, one function for each kind; what they find is a `Finding`.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import click

from .._declaration import declaration, is_component_class
from .._discovery import Discovery, Entry, normalise
from .._selection import Selection, distribution_of
from .._text import enumerate_names, redact
from ..exceptions import ConflictError, OverrideError
from ..lifecycle import StopRequested
from ._commands import BUILT_IN, contributed


@attrs.frozen
class Finding:
    """
    One thing that is wrong.

    Attributes:
        kind: a word for it.
        message: what is wrong, one sentence.
        hint: what to do.
    """

    kind: str
    message: str
    hint: str


def find_damage(discovery: Discovery) -> Iterator[Finding]:
    """
    Distributions that are not whole, and those that are there more than once.
    """
    for damage in discovery.damages:
        hint = f"reinstall or uninstall '{damage.distribution}'" if damage.distribution else "see who put it there"
        place = f"distribution '{damage.distribution}' in {damage.location}: " if damage.distribution else ""
        yield Finding("damaged", f"{place}{damage.message}", hint)
    for duplicate in discovery.duplicates:
        shadowed = ", ".join(duplicate.shadowed)
        message = (
            f"distribution '{duplicate.distribution}' counts as in {duplicate.location}, and is in {shadowed} as well"
        )
        yield Finding(
            "duplicate", message, f"uninstall '{duplicate.distribution}' until it is gone, then install it once"
        )


def find_broken_entries(discovery: Discovery) -> Iterator[Finding]:
    """
    Entry points that cannot be used, as far as their text tells.
    """
    for entry in discovery.entries:
        if entry.problem is not None:
            yield Finding("broken", f"{_shown(entry)}: {entry.problem}", _mend(entry))


def find_conflicts(selection: Selection) -> Iterator[Finding]:
    """
    Names that nobody can tell the provider of, and overrides of nothing.
    """
    for name in selection.names():
        for problem in () if selection.is_excluded(name) else selection.choice(name).problems:
            if isinstance(problem, ConflictError | OverrideError):
                yield Finding("conflict", problem.sentence(), problem.hint or f"'conductor why {name}' tells more")
    nowhere = set(map(normalise, selection.override_only()))
    for entry in selection.discovery.of("conductor.overrides"):
        if entry.key in nowhere and entry.problem is None and selection.is_allowed(entry.origin):
            message = f"{_shown(entry)} overrides '{entry.name}', and no component of that name is installed"
            yield Finding("inert", message, f"install what it overrides, or uninstall '{entry.origin.distribution}'")


def find_command_conflicts(discovery: Discovery) -> Iterator[Finding]:
    """
    Commands that cannot be called, since something else has their name.
    """
    for entry in discovery.of("conductor.commands"):
        if normalise(entry.name) in BUILT_IN:
            yield Finding("conflict", f"{_shown(entry)} has the name of one of Conductor's own commands", _mend(entry))
    for command in contributed(discovery).values():
        if len(command.entries) > 1:
            names = enumerate_names(sorted(entry.origin.distribution for entry in command.entries))
            yield Finding("conflict", f"distributions {names} all offer the command '{command.name}'", "uninstall one")


def find_broken_targets(selection: Selection) -> Iterator[Finding]:
    """
    Entries whose target does not import, or is not what it should be; imports all but what the settings leave out.
    """
    for entry in selection.discovery.entries:
        is_left_out = entry.group in ("conductor.components", "conductor.overrides") and selection.is_excluded(
            entry.name
        )
        if entry.problem is None and selection.is_allowed(entry.origin) and not is_left_out:
            reason = _what_is_wrong(entry)
            if reason is not None:
                yield Finding("broken", f"{_shown(entry)}: {reason}", _mend(entry))


def _what_is_wrong(entry: Entry) -> str | None:
    if entry.group == "conductor.supersedes":  # names a distribution, not a target
        return None
    try:
        loaded = entry.load()
    except StopRequested:
        raise
    except BaseException as error:  # whatever an import raises, SystemExit included
        return f"importing '{entry.target}' failed: {redact(f'{type(error).__name__}: {error}')}"
    if entry.group == "conductor.commands":
        return None if isinstance(loaded, click.Command) else f"'{entry.target}' is not a click command"
    if entry.group == "conductor.hooks":
        return None
    if not isinstance(loaded, type):
        return f"'{entry.target}' is not a class"
    problems = declaration(loaded).problems
    if problems:
        return "; ".join(problem.sentence() for problem in problems)
    return None if is_component_class(loaded) else f"'{entry.target}' is not a component"


def _shown(entry: Entry) -> str:
    kind = entry.group.removeprefix("conductor.").removesuffix("s")
    return f"{kind} '{entry.name}' of '{distribution_of(entry.origin)}'"


def _mend(entry: Entry) -> str:
    return f"mend or uninstall '{entry.origin.distribution}'"
