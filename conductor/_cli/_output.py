"""
What the commands write: text that is fit for a terminal, tables, errors with their hints, JSON.

Everything that comes from metadata, settings or components is made printable here, and styled afterwards.  Standard
output is for what was asked for; everything else goes to standard error.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import attrs
import click

from .._report import ExitCode
from .._text import printable
from ..exceptions import ConductorError, ResolutionError, SettingsFileError, UsageError


class OutputError(click.ClickException):
    """
    Standard output does not take what was asked for, for instance because the disk is full.
    """


def echo(text: str = "", *, to_stderr: bool = False, colour: bool | None = None) -> None:
    """
    Write a line.

    A reader that went away has had enough: the rest is dropped, and the command ends as it would have.

    Args:
        text: the line, printable and styled already; styles are taken out where there is no terminal.
        to_stderr: whether it goes to standard error, where nothing that fails counts.
        colour: whether styles stay; None: as the command that runs in this thread has it.

    Raises:
        OutputError: standard output cannot be written to.
    """
    try:
        click.echo(text, err=to_stderr, color=colour)
    except (OSError, ValueError) as error:  # ValueError: somebody closed the stream
        drop_output(sys.stderr if to_stderr else sys.stdout)
        if not to_stderr and getattr(error, "errno", None) != errno.EPIPE:
            reason = getattr(error, "strerror", None) or str(error)
            raise OutputError(f"cannot write to standard output: {reason.lower()}") from None


def drop_output(stream: Any) -> None:
    """
    Have everything that is written to a standard stream from now on, and what it still holds, go nowhere.
    """
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
    except (OSError, ValueError, AttributeError):  # no file of the system's: there is nothing to redirect
        pass


def styled(text: str, **style: Any) -> str:
    """
    A text on one line, fit to show, in a style of `click.style`.
    """
    shown = printable(text).replace("\n", "\\n")
    return click.style(shown, **style) if style else shown


@attrs.frozen
class Cell:
    """
    One cell of a table.
    """

    text: str = attrs.field(converter=styled)
    style: Mapping[str, Any] = attrs.field(factory=dict)


def cell(text: str, **style: Any) -> Cell:
    """
    A cell in a style of `click.style`.
    """
    return Cell(text, style)


def table_lines(rows: Iterable[Sequence[str | Cell]]) -> Iterator[str]:
    """
    The lines of a table: columns are aligned, the last one may be as long as it likes.
    """
    cells = [[item if isinstance(item, Cell) else Cell(item) for item in row] for row in rows]
    columns = zip_longest(*(row[:-1] for row in cells), fillvalue=Cell(""))
    widths = [max(len(item.text) for item in column) for column in columns]
    for row in cells:
        while row and not row[-1].text:
            row.pop()
        padded = [
            click.style(item.text, **item.style) + " " * (width - len(item.text))
            for item, width in zip(row[:-1], widths, strict=False)
        ]
        yield "  ".join([*padded, *(click.style(item.text, **item.style) for item in row[-1:])])


def write_table(rows: Iterable[Sequence[str | Cell]], *, indent: int = 0) -> None:
    """
    Write a table.
    """
    for line in table_lines(rows):
        echo(" " * indent + line)


def write_json(value: Any) -> None:
    """
    Write one JSON document; everything but ASCII is escaped, so that it cannot steer a terminal.
    """
    echo(json.dumps(value, indent=2, default=str))


def write_note(label: str, text: str, *, colour: str = "red", to_stderr: bool = True) -> None:
    """
    Write a sentence after its label, and the hints that follow it on lines of their own.
    """
    first, *rest = printable(text).splitlines() or [""]
    echo(f"{click.style(f'{label}:', bold=True, fg=colour)} {first}", to_stderr=to_stderr)
    for line in rest:
        hint, _, after = line.strip().partition("hint: ")
        is_hint = not hint and after
        echo(f"{click.style('hint:', fg='cyan')} {after}" if is_hint else f"  {line.strip()}", to_stderr=to_stderr)


def write_error(text: str) -> None:
    """
    Write an error to standard error.
    """
    write_note("error", text)


def write_warning(text: str) -> None:
    """
    Write a warning to standard error.
    """
    write_note("warning", text, colour="yellow")


def write_failure(error: ConductorError) -> None:
    """
    Write everything that an error holds to standard error.
    """
    if not isinstance(error, ResolutionError):
        write_error(str(error))
        return
    for number, problem in enumerate(error.exceptions):
        if number:
            echo(to_stderr=True)
        write_error(str(problem))
    if len(error.exceptions) > 1:
        echo(to_stderr=True)
        echo(f"{len(error.exceptions)} problems, nothing was set up", to_stderr=True)


def failure_as_dict(error: ConductorError) -> dict[str, Any]:
    """
    An error as plain values, for JSON.
    """
    if isinstance(error, ResolutionError):
        return {"error": printable(error.message), "problems": [problem.as_dict() for problem in error.problems]}
    return {"error": printable(str(error)), "problems": []}


def exit_code_of(error: ConductorError) -> ExitCode:
    """
    How a process ends that cannot go on for an error.
    """
    if isinstance(error, SettingsFileError | UsageError):
        return ExitCode.USAGE
    if isinstance(error, ResolutionError) and error.only_settings:
        return ExitCode.USAGE
    return ExitCode.PLAN
