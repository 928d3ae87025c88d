"""
`conductor status`, put to applications in processes of their own.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine, finish, wait_for

PARTS = """
    import asyncio, os, sys, time
    from conductor import Component, Secret

    def tell_soon(text):
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, lambda: print(text, file=sys.stderr, flush=True))

    class Fine(Component):
        async def health(self):
            pass

    class Ill(Component):
        token: Secret[str] = Secret("none")

        async def health(self):
            raise RuntimeError(f"no link with {self.token.get_secret_value()} \\x1b[2J")

    class Hanging(Component):
        fine: Fine

        async def setup(self):
            tell_soon("hangs")
            await asyncio.Event().wait()

    class Blocking(Component):
        async def run(self):
            print("blocks", file=sys.stderr, flush=True)
            sys.stdin.readline()
"""
NAMES = ("fine", "ill", "hanging", "blocking")


@pytest.fixture
def app(cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    """
    The command line with a directory for sockets of its own.
    """
    entries = {name: f"status_parts:{name.capitalize()}" for name in NAMES}
    cli.site.add("acme-parts", entry_points={"conductor.components": entries}, modules={"status_parts": PARTS})
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    yield cli
    assert not list(runtime.rglob("*.sock"))


def end(process: subprocess.Popen[str]) -> None:
    """
    Ask a process to stop, and expect that it does so in order.
    """
    process.send_signal(signal.SIGTERM)
    _, errors = finish(process)
    assert process.returncode == 0, errors


def test_ready_and_live(app: CommandLine) -> None:
    """
    An application that is up is ready and lives: exit code 0.
    """
    process = app.start("run", "fine")
    wait_for(process, "ready:")
    ready, live = app.call("status", "--ready"), app.call("status", "--live")
    assert (ready.exit_code, ready.output) == (0, "ready\n")
    assert (live.exit_code, live.output) == (0, "live\n")
    shown = app.call("status")
    assert shown.exit_code == 0
    assert f"process {process.pid}, up, ready" in shown.output
    assert "fine  ready  healthy" in shown.output
    end(process)


def test_an_unhealthy_component_makes_it_not_ready(app: CommandLine) -> None:
    """
    Exit code 1 for readiness, 0 for liveness; why is said without secrets.
    """
    process = app.start("run", "ill", env={"CONDUCTOR_ILL__TOKEN": "t0ken"})
    wait_for(process, "ready:")
    ready = app.call("status", "--ready")
    assert (ready.exit_code, ready.output) == (1, "not ready: 'ill' is unhealthy\n")
    assert app.call("status", "--live").exit_code == 0
    told = app.call("status", "--ready", "--json")
    assert told.exit_code == 1
    (ill,) = json.loads(told.output)["components"]
    assert ill["error"] == "RuntimeError: no link with ******* \x1b[2J"
    shown = told.output + app.call("status").output
    assert "t0ken" not in shown
    assert "\x1b" not in shown
    end(process)


def test_it_answers_during_set_up(app: CommandLine) -> None:
    """
    It lives and is not ready, and says who waits for whom.
    """
    process = app.start("run", "hanging")
    wait_for(process, "hangs")
    ready = app.call("status", "--ready")
    assert (ready.exit_code, ready.output) == (1, "not ready: 'hanging' is not ready\n")
    assert app.call("status", "--live").exit_code == 0
    stuck = app.call("status", "--stuck")
    assert stuck.exit_code == 0
    assert "hanging: sets up for" in stuck.output
    assert "in Hanging.setup" in stuck.output
    told = json.loads(app.call("status", "--stuck", "--json").output)
    assert told["phase"] == "setting up"
    assert told["diagnosis"]["waiting"][0]["component"] == "hanging"
    end(process)


def test_it_answers_while_the_loop_is_blocked(app: CommandLine) -> None:
    """
    It is not live: exit code 1; and it is said by whom the loop is blocked, and where.
    """
    read, write = os.pipe()
    process = subprocess.Popen(
        app.python("-m", "conductor", "run", "blocking", "--set", "limits.blocked=0.05"),
        env={**app.environ},
        cwd=app.folder,
        stdin=read,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(process, "has blocked the event loop")
    live = app.call("status", "--live")
    assert (live.exit_code, live.output) == (1, "not live: the event loop does not answer\n")
    assert app.call("status", "--ready").exit_code == 1
    stuck = app.call("status", "--stuck")
    assert stuck.exit_code == 1
    assert "component 'blocking' has blocked the event loop for" in stuck.output
    assert "in Blocking.run" in stuck.output
    os.write(write, b"\n")
    end(process)
    os.close(read)
    os.close(write)


def test_nothing_is_running(app: CommandLine) -> None:
    """
    Exit code 2, also for probes.
    """
    for arguments in ([], ["--ready"], ["--live"], ["--stuck"], ["--ready", "--socket", "nowhere/x.sock"]):
        result = app.call("status", *arguments)
        assert result.exit_code == 2
        assert "nothing is running" in result.output
    assert json.loads(app.call("status", "--json").output) == {"running": []}


def test_several_are_listed_and_told_apart_by_their_sockets(app: CommandLine, tmp_path: Path) -> None:
    """
    A probe must say which one it means; the one of this directory is meant if there is only one.
    """
    first, second = app.start("run", "fine"), app.start("run", "ill")
    wait_for(first, "ready:")
    wait_for(second, "ready:")
    assert len(json.loads(app.call("status", "--json").output)["running"]) == 2
    unclear = app.call("status", "--ready")
    assert unclear.exit_code == 2
    assert f"process {first.pid} at '" in unclear.output
    for one in json.loads(app.call("status", "--json").output)["running"]:
        probe = app.call("status", "--ready", "--socket", one["socket"])
        assert probe.exit_code == (0 if one["pid"] == first.pid else 1)
    end(first)
    end(second)


def test_the_socket_can_be_named(app: CommandLine) -> None:
    """
    By option or variable, for both commands.
    """
    process = app.start("run", "fine", env={"CONDUCTOR_SOCKET": "own.sock"})
    wait_for(process, "ready:")
    assert app.call("status", "--ready", "--socket", "own.sock").exit_code == 0
    assert app.call("status", "--ready", env={"CONDUCTOR_SOCKET": "own.sock"}).exit_code == 0
    assert app.call("status", "--ready").exit_code == 2
    end(process)
    assert not (app.folder / "own.sock").exists()


def test_nobody_answers_without_status(app: CommandLine) -> None:
    """
    With `--no-status` there is no socket.
    """
    process = app.start("run", "fine", "--no-status")
    wait_for(process, "ready:")
    assert app.call("status").exit_code == 2
    end(process)


def test_a_killed_application_is_not_running(app: CommandLine, tmp_path: Path) -> None:
    """
    Its socket is left behind, and removed by who asks next.
    """
    process = app.start("run", "fine")
    wait_for(process, "ready:")
    process.kill()
    finish(process)
    assert list((tmp_path / "run").rglob("*.sock"))
    assert app.call("status", "--ready").exit_code == 2


def test_a_directory_that_cannot_be_used_is_no_reason_not_to_run(app: CommandLine, tmp_path: Path) -> None:
    """
    It is said, and the application runs without a socket.
    """
    (tmp_path / "run" / "conductor").mkdir(mode=0o755)
    (tmp_path / "run" / "conductor").chmod(0o755)
    process = app.start("run", "fine")
    assert "others may enter it" in wait_for(process, "ready:")
    assert app.call("status").exit_code == 2
    end(process)
