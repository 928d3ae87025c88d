"""
`conductor run`: set up, stay until asked to stop, shut down.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import attrs
import click

from .._conductor import Conductor
from .._report import ExitCode, Report
from ..exceptions import ConductorError, CrashError, RunError, SetupError
from ..hookspecs import hookimpl
from ..lifecycle import StopRequested
from ._commands import ExampleCommand
from ._end import Process
from ._lines import LEVELS, Confidant, LineFormatter, LineHandler, Tracebacks, logging_to
from ._options import Application, application_options, json_option, socket_option
from ._output import OutputError, echo, exit_code_of, failure_as_dict, write_error

FORCED = 128
"""
What is added to the number of the signal that forced the end.
"""


@click.command(
    "run",
    cls=ExampleCommand,
    short_help="Set up, stay until asked to stop, and shut down.",
    examples={
        "conductor run": "what the settings name, or everything that is installed",
        "conductor run orders-api": "'orders-api' and what it needs",
        "conductor run --set web.port=9000": "on another port",
        "conductor run --override mq=my-queue": "with another 'mq'",
        "conductor run --json > report.json": "what happened, for programs",
    },
)
@click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="info",
    show_default=True,
    help="What to log.",
)
@click.option("--progress/--no-progress", default=None, help="Draw the live tree of states; by default on a terminal.")
@click.option("--status/--no-status", default=True, help="Answer `conductor status`; by default yes.")
@socket_option
@application_options()
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    application: Application,
    *,
    log_level: str,
    progress: bool | None,
    status: bool,
    socket: str | None,
    as_json: bool,
) -> None:
    """
    Set up each ROOT and what it needs, stay until asked to stop, and shut everything down in reverse.

    With no ROOT named, it is what the settings say, or else all that is installed. The log goes to standard error.
    Ctrl-C or SIGTERM stops in order; a second one leaves everything one second; a third one ends at once.

    \b
    Exit codes: 0 clean, also when stopped by a signal; 1 a component crashed;
    2 usage or settings; 3 the plan is not valid; 4 set-up failed;
    5 shutdown was not clean; 128 + n forced by a further signal.
    """
    failure: ConductorError | None = None
    conductor, code, deadline = None, 0, Deadline()
    process = ctx.ensure_object(Process)
    process.served = True
    try:
        conductor = application.conductor()
        with _watching(conductor, level=log_level, progress=progress, colour=ctx.color) as log:
            conductor.hooks.register(deadline)
            code = _serve(conductor, socket=(socket or True) if status else False)
        if code and not log.told_error and conductor.report is not None:
            _tell_failures(conductor.report)
        process.deadline = deadline.at(conductor.settings.stop) if code < FORCED else None
    except ConductorError as error:
        failure, code = error, exit_code_of(error)
    if as_json:
        _write_report(conductor.report if conductor else None, code, failure)
    if failure is None:
        ctx.exit(code)
    raise failure


@attrs.define
class Deadline:
    """
    Notes when the stop began.
    """

    _began: float | None = None

    @hookimpl
    def conductor_stopping(self) -> None:
        """
        Take the time.
        """
        self._began = time.monotonic()

    def at(self, limit: float) -> float | None:
        """
        When the whole stop must be over, in seconds of the monotonic clock.
        """
        return None if self._began is None else self._began + limit


def _serve(conductor: Conductor, *, socket: str | bool) -> int:
    """
    Run the application.

    Args:
        conductor: the application.
        socket: where it answers for its status.

    Returns:
        How the process should end; never 0 if anything was raised.
    """
    code = 0
    try:
        conductor.serve(socket=socket)
    except RunError as error:  # its failures are in the log
        code = ExitCode.SHUTDOWN
        if isinstance(error, SetupError | CrashError):
            code = ExitCode.SETUP if isinstance(error, SetupError) else ExitCode.CRASHED
    except StopRequested:  # before there was anything to stop
        return ExitCode.CLEAN
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    if conductor.report is not None:
        return conductor.report.exit_code or code
    return code


def _tell_failures(report: Report) -> None:
    """
    Write what the log would have told: a component may have turned logging off, or made it its own.
    """
    for failure in report.failures:
        write_error(str(failure))
    write_error(f"{report.reason} (exit code {report.exit_code})")


def _write_report(report: Report | None, code: int, failure: ConductorError | None) -> None:
    """
    Write the report as one line; that nobody can read it does not change how the application ended.
    """
    told: dict[str, Any] = {"reason": "stopped before set-up", "exit_code": code, "components": [], "failures": []}
    if failure is not None:
        why = failure_as_dict(failure)
        told |= {"reason": why["error"], "problems": why["problems"]}
    elif report is not None:
        told |= report.as_dict()
    try:
        echo(json.dumps(told, default=str))
    except OutputError as error:
        write_error(error.message)


@contextlib.contextmanager
def _watching(conductor: Conductor, *, level: str, progress: bool | None, colour: bool | None) -> Iterator[LineHandler]:
    """
    Have the log and, on a terminal, the live tree on standard error within the block.
    """
    on_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    wanted = on_terminal if progress is None else progress
    formatter = LineFormatter(short=on_terminal)
    conductor.hooks.register(Confidant(formatter, conductor))
    conductor.hooks.register(Tracebacks())
    if wanted and importlib.util.find_spec("rich") is not None:
        # rich is large and optional, and of use only here
        from ._display import LiveTree, Terminal

        tree = LiveTree(Terminal(stderr=True, force_terminal=True, no_color=colour is False, highlight=False))
        # Under this name it takes the place of the log lines that would tell the same.
        conductor.hooks.register(tree, name="conductor-log")
        with logging_to(tree.write, formatter=formatter, level=level) as log:
            try:
                yield log
            finally:
                tree.end()
        return
    # Records come from any thread, and only the one of the command knows its context.
    write = functools.partial(echo, to_stderr=True, colour=colour)
    with logging_to(write, formatter=formatter, level=level) as log:
        yield log
