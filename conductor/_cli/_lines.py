"""
The log of a running application on standard error: one line for each record, without secrets, fit for a terminal.
"""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Iterator
from typing import Protocol

import attrs

from .._conductor import Conductor
from .._failures import find_own_secrets, find_secrets
from .._plan import Plan
from .._step import Step
from .._text import printable, redact
from ..exceptions import ComponentError
from ..hookspecs import hookimpl
from ..lifecycle import State, Transition
from ._output import styled, write_note

LEVELS = ("debug", "info", "warning", "error")

_COLOURS = {"DEBUG": "bright_black", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
_PACKAGE = __name__.partition(".")[0]


class Writer(Protocol):
    """
    Writes a line to standard error.
    """

    def __call__(self, text: str, /) -> None:
        """
        Write it; it is styled already.
        """


class LineFormatter(logging.Formatter):
    """
    Makes a record one line, and what follows it (a traceback) lines that are indented, so that none can be forged.

    Args:
        short: whether it is read as it comes, so that the time without the date will do.

    Attributes:
        secrets: texts that are masked wherever they stand.
    """

    def __init__(self, *, short: bool) -> None:
        super().__init__(datefmt="%H:%M:%S" if short else "%Y-%m-%dT%H:%M:%S%z")
        self.secrets: frozenset[str] = frozenset()

    def format(self, record: logging.LogRecord) -> str:
        """
        The text of a record.
        """
        parts = [record.getMessage()]
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        said = printable(redact("\n".join(parts), self.secrets)).replace("\n", "\n  ")
        colour = _COLOURS.get(record.levelname)
        level = styled(f"{record.levelname.lower():<8}", **({"fg": colour} if colour else {}))
        name = "" if record.name == _PACKAGE else f"{record.name.removeprefix(f'{_PACKAGE}.components.')}: "
        return f"{styled(self.formatTime(record, self.datefmt), fg='bright_black')} {level} {styled(name)}{said}"


class LineHandler(logging.Handler):
    """
    Writes records by a function; that nobody can read them any more is no failure.

    Attributes:
        told_error: whether an error was among them.
    """

    def __init__(self, write: Writer) -> None:
        super().__init__()
        self._write = write
        self.told_error = False

    def emit(self, record: logging.LogRecord) -> None:
        """
        Write a record.
        """
        try:
            self._write(self.format(record))
            self.told_error = self.told_error or record.levelno >= logging.ERROR
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)


class NoteHandler(logging.Handler):
    """
    Writes records as commands write their own warnings; of what was raised, the last line.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """
        Write a record.
        """
        try:
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                text += f": {traceback.format_exception_only(record.exc_info[1])[-1].rstrip()}"
            label = record.levelname.lower()
            write_note(label, redact(text), colour=_COLOURS.get(record.levelname, "cyan"))
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)


@contextlib.contextmanager
def logging_to(write: Writer, *, formatter: LineFormatter, level: str) -> Iterator[LineHandler]:
    """
    Have all records of this level and above written within the block, by what it gives, warnings of Python's too.

    Args:
        write: writes a line.
        formatter: makes the lines.
        level: one of `LEVELS`.
    """
    handler = LineHandler(write)
    handler.setFormatter(formatter)
    with handling_by(handler, level=level):
        yield handler


@contextlib.contextmanager
def handling_by(handler: logging.Handler, *, level: str) -> Iterator[None]:
    """
    Have all records of this level and above handled within the block, warnings of Python's too.
    """
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(before)


@attrs.define
class Confidant:
    """
    Tells the formatter which texts are secret, as soon as the plan knows.
    """

    formatter: LineFormatter
    conductor: Conductor
    _steps: dict[str, Step] = attrs.field(factory=dict)

    @hookimpl
    def conductor_planned(self, plan: Plan) -> None:
        """
        Collect the secrets among the settings.
        """
        self.formatter.secrets = find_secrets(plan.steps)
        self._steps = {step.name: step for step in plan.steps if any(setting.secret for setting in step.settings)}

    @hookimpl
    def conductor_state_changed(self, transition: Transition) -> None:
        """
        Collect what a component has made of its settings, as soon as it is built.
        """
        if transition.before is State.SETTING_UP and transition.component in self._steps:
            step = self._steps[transition.component]
            self.formatter.secrets |= find_own_secrets(step, self.conductor[step.name])


class Tracebacks:
    """
    Logs where a component raised what made it fail; the sentence itself is logged by Conductor.
    """

    @hookimpl
    def conductor_failed(self, error: ComponentError) -> None:
        """
        Log the traceback, without what is Conductor's own at its beginning.
        """
        cause = error.__cause__
        if cause is None or cause.__traceback__ is None:
            return
        found = traceback.TracebackException.from_exception(cause)
        while len(found.stack) > 1 and f"/{_PACKAGE}/_" in found.stack[0].filename:
            found.stack.pop(0)
        where = "".join(found.format()).rstrip()
        logging.getLogger(_PACKAGE).error("traceback of '%s':\n%s", error.component, where)
