"""
Standard streams that are closed, full, or that nobody reads.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

import httpx
import pytest

from tests.integration.environments import Environment
from tests.integration.parts import Stage
from tests.integration.processes import eventually
from tests.integration.test_orders import ask_until_done, order


@contextlib.contextmanager
def unread() -> Iterator[IO[bytes]]:
    """
    A pipe whose reader has gone away.
    """
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as pipe:
        yield pipe


@contextlib.contextmanager
def full() -> Iterator[IO[bytes]]:
    """
    A device with no space left.
    """
    with open("/dev/full", "wb", buffering=0) as device:
        yield device


@pytest.mark.parametrize("command", ["list", "plan"])
def test_a_full_disk_is_told(environment: Environment, directory: Path, command: str) -> None:
    """
    If what was asked for cannot be written, the exit code is 1, with one sentence and no traceback.
    """
    with full() as stdout, environment.begin(command, "--json", directory=directory, stdout=stdout) as process:
        assert process.wait() == 1
    assert process.stderr.lower() == "error: cannot write to standard output: no space left on device"


@pytest.mark.parametrize("command", ["list", "plan"])
def test_a_reader_that_went_away_is_no_failure(environment: Environment, directory: Path, command: str) -> None:
    """
    If nobody reads what was asked for, as after `| head`, the command ends as it would have, in silence.
    """
    with unread() as stdout, environment.begin(command, "--json", directory=directory, stdout=stdout) as process:
        assert process.wait() == 0
    assert process.stderr == ""


@pytest.mark.parametrize("command", ["list", "plan"])
def test_closed_output_is_no_failure(environment: Environment, directory: Path, command: str) -> None:
    """
    With standard output closed from the beginning the command ends as it would have, in silence.
    """
    line = f'exec "$0" {command} --json >&-'
    process = environment.call("/bin/sh", "-c", line, *environment.conductor, directory=directory)
    assert process.code == 0, process
    assert process.stderr == ""


@pytest.mark.parametrize("stream", [unread, full], ids=["unread", "full"])
def test_a_log_that_cannot_be_written_stops_nothing(
    stage: Stage, stream: type[contextlib.AbstractContextManager[IO[bytes]]]
) -> None:
    """
    The application runs on, is stopped by a signal, and writes its report, although its log goes nowhere.
    """
    stage.install("async def run(self):\n    print('at work', flush=True)\n    await asyncio.Event().wait()")
    with (
        stream() as stderr,
        stage.environment.begin(
            "run", "part", "--json", directory=stage.directory, path=[stage.site.folder], stderr=stderr
        ) as process,
    ):
        process.wait_for("at work", stream="stdout")
        assert process.stop() == 0
    report = json.loads(process.stdout.splitlines()[-1])
    assert {each["component"]: each["state"] for each in report["components"]} == {"part": "down", "witness": "down"}
    assert stage.witnessed() == "down"


@pytest.mark.parametrize("stream", [unread, full], ids=["unread", "full"])
def test_a_report_that_cannot_be_written_changes_no_ending(
    stage: Stage, stream: type[contextlib.AbstractContextManager[IO[bytes]]]
) -> None:
    """
    The exit code is that of the application, a failure above all, whatever becomes of the report on standard output.
    """
    stage.install("async def run(self):\n    raise ValueError('boom')")
    stage.install("pass", name="good")
    for root, code in (("part", 1), ("good", 0)):
        with (
            stream() as stdout,
            stage.environment.begin(
                "run", root, "--json", directory=stage.directory, path=[stage.site.folder], stdout=stdout
            ) as process,
        ):
            if code == 0:
                process.wait_for("ready: 2 components")
                process.send(2)
            assert process.wait() == code, process
        assert "boom" in process.stderr or code == 0


def test_orders_are_served_with_all_streams_closed(environment: Environment, directory: Path) -> None:
    """
    Nothing is written over a database, although it is the first file to be opened when all streams are closed.
    """
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    line = f'exec "$0" run --set orders-api.port={port} <&- >&- 2>&-'

    def probe() -> httpx.Response | None:
        try:
            return httpx.get(f"{url}/healthz")
        except httpx.TransportError:
            assert process.popen.poll() is None, "it ended"
            return None

    with environment.begin("/bin/sh", "-c", line, *environment.conductor, directory=directory) as process:
        assert eventually(probe, what="the server").status_code == 200
        assert ask_until_done(url, order(url, "tea", 2))["total"] == 700
        assert process.stop() == 0
    for path in directory.glob("*.db"):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
