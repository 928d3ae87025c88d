"""
`conductor run`, as a process of its own: what it does, what it says, how it ends.
"""

import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import termios
from collections.abc import Mapping

import pytest

from tests.cli.conftest import CommandLine, finish, wait_for

PARTS = """
    import asyncio, os, signal, sys, threading, time
    from pathlib import Path
    from conductor import Component, Secret

    class Steady(Component):
        greeting: str = "hello"
        token: Secret[str] = Secret("none")

        async def setup(self):
            self.logger.info("%s, the token is %s", self.greeting, self.token.get_secret_value())

        async def shutdown(self):
            print("shut down", file=sys.stderr, flush=True)

    class Brief(Component):
        async def run(self):
            with open("file", "w") as file:
                Path("descriptor").write_text(str(file.fileno()))
            os.kill(os.getpid(), signal.SIGTERM)

    class Marking(Component):
        async def shutdown(self):
            Path("down").touch()

    class Failing(Component):
        steady: Steady

        async def setup(self):
            raise RuntimeError("cannot reach postgres://me:sesame@host/db \\x1b[2J")

    class Crashing(Component):
        async def run(self):
            raise RuntimeError("crashed")

    class Unclean(Component):
        async def shutdown(self):
            raise RuntimeError("unclean")

    class Stuck(Component):
        async def setup(self):
            threading.Thread(target=time.sleep, args=(3600,), name="stuck thread").start()

    class Pooled(Component):
        async def setup(self):
            from concurrent.futures import ThreadPoolExecutor
            ThreadPoolExecutor(1).submit(int).result()

    class Slow(Component):
        async def shutdown(self):
            print("slow begins", file=sys.stderr, flush=True)
            await asyncio.sleep(3600)
"""
NAMES = ("steady", "brief", "marking", "failing", "crashing", "unclean", "stuck", "pooled", "slow")


@pytest.fixture
def app(cli: CommandLine) -> CommandLine:
    """
    The command line with one component for each way to end.
    """
    entries = {name: f"run_parts:{name.capitalize()}" for name in NAMES}
    cli.site.add("acme-parts", entry_points={"conductor.components": entries}, modules={"run_parts": PARTS})
    return cli


def stop(process: subprocess.Popen[str], *, text: str = "ready:", number: int = signal.SIGTERM) -> tuple[str, str]:
    """
    Wait until a process has written a text, send it a signal, and wait for its end.

    Returns:
        Its standard output, and all of its standard error.
    """
    written = wait_for(process, text)
    process.send_signal(number)
    output, errors = finish(process)
    return output, written + errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_by_a_signal_is_clean(app: CommandLine, number: int) -> None:
    """
    A signal leads to an orderly shutdown and exit code 0.
    """
    process = app.start("run", "steady")
    output, errors = stop(process, number=number)

    assert process.returncode == 0, errors
    assert output == ""
    assert "shut down\n" in errors
    assert errors.splitlines()[-1].endswith(f"received {signal.Signals(number).name} (exit code 0)")


def test_report_is_one_line_of_json(app: CommandLine) -> None:
    """
    With `--json`, standard output has one line: what happened to each component.
    """
    process = app.start("run", "steady", "--json")
    output, _ = stop(process)

    assert output.count("\n") == 1
    report = json.loads(output)
    assert (report["reason"], report["exit_code"]) == ("received SIGTERM", 0)
    assert [(one["component"], one["state"]) for one in report["components"]] == [("steady", "down")]


def test_failed_setup_ends_with_4(app: CommandLine) -> None:
    """
    A set-up that fails is undone; the log has the sentence and the traceback, without password and controls.
    """
    result = app.process("run", "failing", "--json")

    assert result.returncode == 4
    assert "component 'failing' (acme-parts 1.0) failed in set-up: RuntimeError" in result.stderr
    assert "in setup" in result.stderr
    assert "sesame" not in result.stderr
    assert "\x1b" not in result.stderr
    assert "shut down\n" in result.stderr
    assert json.loads(result.stdout)["exit_code"] == 4


def test_crash_ends_with_1(app: CommandLine) -> None:
    """
    A component that crashes stops the application in order, with exit code 1.
    """
    result = app.process("run", "crashing", "steady")

    assert result.returncode == 1
    assert "component 'crashing' crashed" in result.stderr
    assert "shut down\n" in result.stderr


def test_unclean_shutdown_ends_with_5(app: CommandLine) -> None:
    """
    A shutdown that fails is exit code 5.
    """
    process = app.start("run", "unclean")
    _, errors = stop(process)

    assert process.returncode == 5
    assert "RuntimeError: unclean" in errors


def test_invalid_plan_ends_with_3(app: CommandLine) -> None:
    """
    Nothing runs if the plan is not valid; with `--json` the problems are in the report.
    """
    result = app.process("run", "nowhere", "--json")

    assert result.returncode == 3
    assert result.stderr.startswith("error: there is no component 'nowhere'")
    report = json.loads(result.stdout)
    assert (report["exit_code"], report["problems"][0]["kind"]) == (3, "UnknownComponentError")


def test_wrong_setting_ends_with_2(app: CommandLine) -> None:
    """
    A setting that does not exist is exit code 2, with the nearest one.
    """
    result = app.process("run", "steady", "--set", "steady.greting=hi")

    assert result.returncode == 2
    assert "hint: did you mean 'greeting'?" in result.stderr


def test_second_signal_ends_with_128_and_its_number(app: CommandLine) -> None:
    """
    A second signal cuts a slow shutdown short; what did not stop is named.
    """
    process = app.start("run", "slow")
    written = wait_for(process, "ready:")
    process.send_signal(signal.SIGTERM)
    written += wait_for(process, "slow begins")
    process.send_signal(signal.SIGINT)
    written += finish(process)[1]

    assert process.returncode == 128 + signal.SIGINT
    assert "'slow'" in written


def test_thread_that_does_not_end_is_named_and_left(app: CommandLine) -> None:
    """
    A thread that goes on after the shutdown cannot hold the process, and does not end it with 0.
    """
    process = app.start("run", "stuck", "--set", "limits.stop=1")
    _, errors = stop(process)

    assert process.returncode == 5
    assert errors.splitlines()[-1] == "error: still running: 'stuck thread'; left without waiting any longer"


def test_thread_that_does_not_end_keeps_a_worse_exit_code(app: CommandLine) -> None:
    """
    If the application failed, its own exit code stays.
    """
    result = app.process("run", "stuck", "failing", "--set", "limits.stop=1")

    assert result.returncode == 4
    assert "'stuck thread'" in result.stderr


def test_idle_executor_is_no_failure(app: CommandLine) -> None:
    """
    Threads that Python itself ends at the exit, as those of an executor, are not complained about.
    """
    process = app.start("run", "pooled")
    _, errors = stop(process)

    assert process.returncode == 0
    assert "still running" not in errors


def test_secrets_never_reach_the_log(app: CommandLine) -> None:
    """
    A component that logs its own secret finds it masked.
    """
    process = app.start("run", "steady", env={"CONDUCTOR_STEADY__TOKEN": "correct-horse"})
    _, errors = stop(process)

    assert "hello, the token is *******" in errors
    assert "correct-horse" not in errors


def test_log_lines_cannot_be_forged(app: CommandLine) -> None:
    """
    A line feed in what is logged begins no line of its own, and no control character gets through.
    """
    process = app.start("run", "steady", env={"CONDUCTOR_STEADY__GREETING": "a\nfake error\x1b[31m"})
    _, errors = stop(process)

    assert "\n  fake error\\x1b[31m" in errors


def test_log_level(app: CommandLine) -> None:
    """
    `--log-level error` leaves nothing but what went wrong.
    """
    errors = app.process("run", "crashing", "--log-level", "error").stderr

    assert " info " not in errors
    assert " error " in errors


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
