"""
`conductor status`: what is running, whether it lives and is ready, and who is stuck.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from .._status import Answer, ask, ask_all, default_directory
from .._text import printable
from .._vitals import working_directory
from ..exceptions import UsageError
from ._commands import ExampleCommand
from ._options import json_option, socket_option
from ._output import cell, echo, styled, write_error, write_json, write_table

YES, NO, NOBODY = 0, 1, 2
"""
The exit codes.
"""


@click.command(
    "status",
    cls=ExampleCommand,
    short_help="Show what is running, whether it is ready, and who is stuck.",
    examples={
        "conductor status": "every application of yours that is running",
        "conductor status --ready": "whether it is ready, for a readiness probe",
        "conductor status --live": "whether its event loop answers, for a liveness probe",
        "conductor status --stuck": "who waits for whom, and where",
    },
)
@click.option("--ready", "question", flag_value="ready", help="Tell whether it can do its work.")
@click.option("--live", "question", flag_value="live", help="Tell whether its event loop answers; asks no component.")
@click.option("--stuck", "question", flag_value="stuck", help="Show who waits for whom, and where each is suspended.")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds to wait.")
@socket_option
@json_option
@click.pass_context
def command(ctx: click.Context, *, question: str | None, timeout: float, socket: str | None, as_json: bool) -> None:
    """
    Show what is running, whether it is ready, and who is stuck.

    A question is put to the application at the socket that is named; else to the only one of yours that is running,
    or the only one that was set going in this directory.

    \b
    Exit codes: 0 yes, or something is running; 1 no;
    2 nothing is running, it cannot be told which one is meant, or usage.
    """
    answers = _answers(question or "status", timeout, socket)
    if question is None:
        _show_all(answers, as_json=as_json)
        ctx.exit(YES if answers else NOBODY)
    told = _meant(answers).told
    if as_json:
        write_json(told)
    elif question == "stuck":
        echo(printable(str(told.get("text") or told.get("reason"))))
    else:
        echo(_verdict(told, question))
    ctx.exit(YES if told.get("live" if question == "stuck" else question) is True else NO)


def _answers(question: str, timeout: float, socket: str | None) -> tuple[Answer, ...]:
    if socket is not None:
        found = ask(Path(socket).absolute(), question, seconds=timeout)
        return () if found is None else (found,)
    return ask_all(default_directory(os.environ), question, seconds=timeout)


def _meant(answers: tuple[Answer, ...]) -> Answer:
    """
    The one that is meant.

    Raises:
        UsageError: it cannot be told, or nothing is running.
    """
    here = working_directory()
    for found in (answers, tuple(answer for answer in answers if answer.told.get("directory") == here)):
        if len(found) == 1:
            return found[0]
    if not answers:
        raise UsageError("nothing is running\nhint: `conductor run` sets an application going")
    told = ", ".join(f"process {answer.told.get('pid', '?')} at '{answer.path}'" for answer in answers)
    raise UsageError(f"several applications are running: {told}\nhint: name the socket of one with --socket")


def _verdict(told: Mapping[str, Any], question: str) -> str:
    if told.get(question) is True:
        return styled(question, fg="green")
    return f"{styled(f'not {question}', fg='red')}: {styled(str(told.get('reason', '')))}"


def _show_all(answers: tuple[Answer, ...], *, as_json: bool) -> None:
    if as_json:
        write_json({"running": [{**answer.told, "socket": str(answer.path)} for answer in answers]})
    elif not answers:
        write_error("nothing is running")
    for answer in () if as_json else answers:
        told = answer.told
        number, phase = told.get("pid", "?"), str(told.get("phase", "?"))
        echo(f"{styled(f'process {number}', bold=True)}, {styled(phase)}, {_verdict(told, 'ready')}")
        rows = [("in", str(told.get("directory", "?"))), ("for", f"{float(told.get('seconds', 0)):.0f} s")]
        write_table([*rows, ("socket", str(answer.path))], indent=2)
        write_table([_row(each) for each in told.get("components", ())], indent=2)


def _row(each: Mapping[str, Any]) -> list[Any]:
    healthy = each.get("healthy")
    opinion = "" if healthy is None else "healthy" if healthy else f"unhealthy: {each.get('error')}"
    return [cell(str(each.get("component")), bold=True), str(each.get("state")), opinion]
