"""
What systemd is told, at a real datagram socket.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from conductor import Component, Conductor
from conductor._notify import MORE, OFTEN, Notifier
from conductor.exceptions import SetupError
from tests.virtual_time import run

LONG = 30.0


@attrs.define
class Systemd:
    """
    What listens, in place of systemd.
    """

    address: str
    _socket: socket.socket

    def environ(self, **more: str) -> dict[str, str]:
        """
        The variables that name it.
        """
        return {"NOTIFY_SOCKET": self.address, **more}

    def messages(self) -> list[dict[str, str]]:
        """
        Everything that has arrived.
        """
        found: list[dict[str, str]] = []
        self._socket.setblocking(False)
        while True:
            try:
                text = self._socket.recv(65536).decode()
            except BlockingIOError:
                return found
            found.append(dict(line.split("=", 1) for line in text.split("\n")))

    def wait_for(self, key: str) -> list[dict[str, str]]:
        """
        What arrives, up to the first message with a key.
        """
        self._socket.settimeout(LONG)
        found: list[dict[str, str]] = []
        while not found or key not in found[-1]:
            found.append(dict(line.split("=", 1) for line in self._socket.recv(65536).decode().split("\n")))
        return found


@pytest.fixture(params=["file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    """
    A socket in the file system, and one in the abstract namespace.
    """
    monkeypatch.chdir(tmp_path)
    path = f"/tmp/conductor-notify-{os.getpid()}"
    address, bound = (path, path) if request.param == "file" else (f"@{path}", f"\0{path}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(bound)
        yield Systemd(address, listening)
    Path(path).unlink(missing_ok=True)


def keys(messages: list[dict[str, str]], *wanted: str) -> list[str]:
    """
    Which of these keys came, in order.
    """
    return [key for message in messages for key in message if key in wanted]


class Database(Component):
    """
    Comes up at once.
    """


class Broken(Component):
    """
    Does not come up.
    """

    db: Database

    async def setup(self) -> None:
        """
        Fail.
        """
        raise RuntimeError("no link to postgres://me:sesame@host/db\nREADY=1")


def conductor_of(environ: Mapping[str, str], *classes: type) -> Conductor:
    """
    An application that tells systemd.
    """
    conductor = Conductor()
    notifier = Notifier.from_environ(environ)
    assert notifier is not None
    conductor.hooks.register(notifier)
    for cls in classes:
        conductor.add(cls)
    return conductor


def test_ready_once_and_stopping_once(systemd: Systemd) -> None:
    """
    READY after the last set-up, STOPPING when the stop begins, and what it does in words in between.
    """
    conductor_of(systemd.environ(), Database).run(asyncio.sleep(0))
    told = systemd.messages()
    assert keys(told, "READY", "STOPPING") == ["READY", "STOPPING"]
    assert [message["STATUS"] for message in told if "STATUS" in message] == [
        "setting up",
        "setting up: 1 of 1 components are up",
        "ready: 1 components are up",
        "shutting down: the work is done",
        "shutting down: 0 of 1 components are up",
        "down: the work is done (exit code 0)",
    ]


def test_never_ready_if_a_set_up_failed(systemd: Systemd) -> None:
    """
    Not even if the error tries to say so; and no password comes out.
    """
    with pytest.raises(SetupError):
        conductor_of(systemd.environ(), Broken).run(asyncio.sleep(0))
    told = systemd.messages()
    assert keys(told, "READY", "STOPPING") == ["STOPPING"]
    assert told[-1]["STATUS"].startswith("down: set-up failed (exit code 4)")
    assert "sesame" not in str(told)


def test_a_second_life_is_not_ready_again(systemd: Systemd) -> None:
    """
    The same application set up again says so in words only.
    """
    conductor = conductor_of(systemd.environ(), Database)
    conductor.run(asyncio.sleep(0))
    conductor.run(asyncio.sleep(0))
    assert keys(systemd.messages(), "READY", "STOPPING") == ["READY", "STOPPING"]


def test_the_watchdog_gets_its_sign_twice_in_its_time(systemd: Systemd) -> None:
    """
    One at the beginning, and one each half of the time, until the end.
    """

    async def main() -> None:
        async with conductor_of(systemd.environ(WATCHDOG_USEC="4000000", WATCHDOG_PID=str(os.getpid())), Database):
            await asyncio.sleep(9)

    run(main())
    assert len(keys(systemd.messages(), "WATCHDOG")) == 5


@pytest.mark.parametrize(
    "given", [{}, {"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "-1x"}]
)
def test_no_sign_of_life_where_none_is_wanted(systemd: Systemd, given: dict[str, str]) -> None:
    """
    None is asked for, it is asked of another process, or what is asked for makes no sense.
    """
    conductor_of(systemd.environ(**given), Database).run(asyncio.sleep(0))
    assert keys(systemd.messages(), "WATCHDOG") == []


def test_a_long_set_up_and_shutdown_ask_for_more_time(systemd: Systemd) -> None:
    """
    Often enough, for more than the time until the next request; and not while all is up.
    """

    class Slow(Component):
        async def setup(self) -> None:
            await asyncio.sleep(20)

        async def shutdown(self) -> None:
            await asyncio.sleep(8)

    async def main() -> list[list[dict[str, str]]]:
        conductor = conductor_of(systemd.environ(), Slow)
        await conductor.setup()
        during_setup = systemd.messages()
        await asyncio.sleep(60)
        while_up = systemd.messages()
        await conductor.shutdown()
        return [during_setup, while_up, systemd.messages()]

    counts = [len(keys(told, "EXTEND_TIMEOUT_USEC")) for told in run(main())]
    assert MORE > OFTEN
    assert counts[0] >= 4
    assert counts[1] == 0
    assert counts[2] >= 2


def test_no_sign_of_life_while_the_loop_is_blocked(systemd: Systemd, tmp_path: Path) -> None:
    """
    A real process: signs come, none while a component blocks, and they come again.
    """
    program = tmp_path / "app.py"
    program.write_text(
        textwrap.dedent(
            """
            import sys
            from conductor import Component, Conductor
            class Blocking(Component):
                async def run(self):
                    print("blocks", flush=True)
                    sys.stdin.readline()
            conductor = Conductor()
            conductor.add(Blocking)
            conductor.serve()
            """
        )
    )
    environ = {**os.environ, **systemd.environ(WATCHDOG_USEC="20000")}
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, program], env=environ, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "blocks\n"
    before = systemd.messages()
    assert "WATCHDOG" in keys(before, "WATCHDOG")
    assert process.stderr is not None
    assert "has blocked the event loop" in next(line for line in process.stderr if "has blocked" in line)
    assert keys(systemd.messages(), "WATCHDOG") == []
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    systemd.wait_for("WATCHDOG")
    process.terminate()
    process.communicate(timeout=LONG)
    assert process.returncode == 0
    assert re.fullmatch(r"down: received SIGTERM \(exit code 0\)", systemd.messages()[-1]["STATUS"])


def test_what_names_no_socket_is_nobody() -> None:
    """
    No variable, or an address of another kind.
    """
    assert Notifier.from_environ({}) is None
    assert Notifier.from_environ({"NOTIFY_SOCKET": "vsock:2:1234"}) is None


def test_that_nobody_listens_disturbs_nobody(tmp_path: Path) -> None:
    """
    The socket may be gone.
    """
    conductor = conductor_of({"NOTIFY_SOCKET": str(tmp_path / "gone")}, Database)
    conductor.run(asyncio.sleep(0))
    assert conductor.report is not None
    assert conductor.report.exit_code == 0
