"""
`conductor run` on streams and terminals of all kinds: who reads, and who does not.
"""

import contextlib
import fcntl
import os
import pty
import re
import shlex
import subprocess
import termios
from collections.abc import Mapping

import pytest

from tests.cli.conftest import CommandLine


@pytest.mark.parametrize(
    "redirection", [">&-", "2>&-", ">&- 2>&-", ">/dev/full", "2>/dev/full", "| true", "2>&1 | true"]
)
@pytest.mark.parametrize(("root", "exit_code"), [("brief", 0), ("failing", 4)])
def test_output_that_nobody_takes_changes_no_exit_code(
    app: CommandLine, redirection: str, root: str, exit_code: int
) -> None:
    """
    With standard streams that are closed, full or not read, a good end stays good, a bad one bad.
    """
    command = shlex.join(app.python("-m", "conductor", "run", root, "--json"))
    target, _, pipe = redirection.partition("|")
    script = f"{{ {command}; echo $? >code; }} {target} {'|' + pipe if pipe else ''}"

    result = subprocess.run(["sh", "-c", script], env=app.environ, cwd=app.folder, capture_output=True, text=True)

    assert (app.folder / "code").read_text() == f"{exit_code}\n"
    assert "Exception ignored" not in result.stderr
    assert ("Traceback" in result.stderr) == (root == "failing" and "2>" not in redirection)


def test_closed_streams_are_not_taken_by_files(app: CommandLine) -> None:
    """
    A file that a component opens never gets the number of standard output or standard error.
    """
    command = shlex.join(app.python("-m", "conductor", "run", "brief"))

    subprocess.run(["sh", "-c", f"{command} >&- 2>&-"], env=app.environ, cwd=app.folder, check=True)

    assert int((app.folder / "descriptor").read_text()) > 2


@pytest.mark.parametrize("no_color", [False, True])
def test_live_tree_on_a_terminal(app: CommandLine, no_color: bool) -> None:
    """
    On a terminal the states are drawn as a tree, with colours unless NO_COLOR is set.
    """
    env = app.environ_with_rich | ({"NO_COLOR": "1"} if no_color else {})

    code, shown = in_terminal(app.python("-m", "conductor", "run", "brief"), app, env)

    assert code == 0, shown
    assert "● brief" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert ("\x1b[32m" in shown) != no_color
    assert "\x1b[?25l" not in shown


def test_plain_lines_on_a_terminal_without_rich(app: CommandLine) -> None:
    """
    Without rich, or with `--no-progress`, a terminal gets plain lines.
    """
    env = {**app.environ, "TERM": "xterm-256color"}

    code, shown = in_terminal(app.python("-m", "conductor", "run", "brief"), app, env)

    assert code == 0
    assert "brief: ready" in shown
    assert "●" not in shown


def in_terminal(command: list[str], cli: CommandLine, env: Mapping[str, str]) -> tuple[int, str]:
    """
    Run a command in a terminal.

    Returns:
        Its exit code and what the terminal got.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=cli.folder)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # so Linux tells that the other side is closed
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)
    return process.wait(timeout=60), shown.decode()


def test_terminal_that_goes_away(app: CommandLine) -> None:
    """
    If the terminal is closed, the application is shut down in order all the same.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        app.python("-m", "conductor", "run", "marking"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=app.environ_with_rich,
        cwd=app.folder,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    shown = b""
    while b"ready:" not in shown:
        shown += os.read(ours, 65536)
    os.close(ours)

    assert process.wait(timeout=60) == 0
    assert (app.folder / "down").exists()
