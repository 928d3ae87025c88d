"""
Fixtures of the tests of the command line: an environment with nothing in it but what a test installs.
"""

import configparser
import contextlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner, Result

import conductor
from conductor._cli import commands
from tests.conftest import Site

SHOP = """
    import attrs
    from conductor import Component, Secret, setting

    class Database(Component):
        url: str = setting(default="sqlite:///shop.db", help="where the data is")
        password: Secret[str] = setting(factory=lambda: Secret("hidden"))

    class Queue(Component):
        size: int = setting(default=10, validator=attrs.validators.ge(1))

    class Cache(Component):
        pass

    class Shop(Component):
        db: Database
        queue: Queue
        cache: Cache | None

    class Other(Queue):
        pass
"""
FAST = """
    from shop_parts import Queue

    class Fast(Queue):
        pass
"""
SHOP_ENTRIES = {
    "conductor.components": {"db": "shop_parts:Database", "queue": "shop_parts:Queue", "shop": "shop_parts:Shop"}
}


@attrs.define
class CommandLine:
    """
    The command line in an environment of its own: nothing is installed there but what a test installs.

    Attributes:
        site: the place to install into.
        folder: the working directory.
        packages: where the libraries are that Conductor needs, without their metadata.
        rich: where rich is, which it can do without.
    """

    site: Site
    folder: Path
    packages: Path
    rich: Path

    def install_shop(self) -> None:
        """
        Install `shop`, which needs `db` and `queue`.
        """
        self.site.add("acme-shop", version="1.2", entry_points=SHOP_ENTRIES, modules={"shop_parts": SHOP})

    def install_fast(self, distribution: str = "acme-fast") -> None:
        """
        Install an override of `queue`.
        """
        module = distribution.replace("-", "_")
        groups = {"conductor.overrides": {"queue": f"{module}:Fast"}}
        self.site.add(distribution, entry_points=groups, modules={module: FAST})

    def call(self, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
        """
        Run a command within this process.
        """
        return CliRunner().invoke(commands, arguments, prog_name="conductor", env=env, catch_exceptions=False)

    def python(self, *arguments: str) -> list[str]:
        """
        What starts Python without site packages; with `environ` it finds what is installed here and nothing else.
        """
        return [sys.executable, "-S", "-X", "utf8", *arguments]

    @property
    def environ(self) -> dict[str, str]:
        """
        The environment variables for a process of its own.
        """
        kept = {name: value for name, value in os.environ.items() if not re.match("CONDUCTOR_|PYTHON|NO_COLOR", name)}
        return {**kept, "PYTHONPATH": os.pathsep.join([str(self.packages), str(self.site.folder)])}

    @property
    def environ_with_rich(self) -> dict[str, str]:
        """
        The environment variables for a process that finds rich as well, and a terminal that can show colours.
        """
        path = os.pathsep.join([self.environ["PYTHONPATH"], str(self.rich)])
        return {**self.environ, "PYTHONPATH": path, "TERM": "xterm-256color"}

    def process(
        self, *arguments: str, env: Mapping[str, str] | None = None, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """
        Run `python -m conductor` to its end.
        """
        return subprocess.run(
            self.python("-m", "conductor", *arguments),
            env={**self.environ, **(env or {})},
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """
        Begin to run `python -m conductor`.
        """
        return subprocess.Popen(
            self.python("-m", "conductor", *arguments),
            env={**self.environ, **(env or {})},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    """
    What a process has written to standard error up to the line with a text in it.
    """
    assert process.stderr is not None
    written = ""
    for line in process.stderr:
        written += line
        if text in line:
            return written
    raise AssertionError(f"it ended with {finish(process)} and without {text!r}: {written}")


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """
    Wait for a process to end.

    Returns:
        What it wrote to standard output, and to standard error after what has been read.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    with process:  # `communicate` would lose what has been read ahead
        return process.stdout.read(), process.stderr.read()


def parsed(cli: CommandLine, *arguments: str, exit_code: int = 0) -> Any:
    """
    The JSON that a command writes.
    """
    result = cli.call(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


def link_packages(folder: Path, requirements: Iterable[str]) -> None:
    """
    Make the modules of what is required, directly or not, importable from a folder, without their metadata.
    """
    folder.mkdir(exist_ok=True)
    left, seen = list(requirements), set[str]()
    while left:
        name = re.split(r"[^A-Za-z0-9._-]", left.pop())[0]
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # only for other versions of Python
            wanted = importlib.metadata.requires(name) or ()
            left += [text for text in wanted if "extra ==" not in text and text not in seen]
            seen.update(wanted)
            _link_modules(folder, importlib.metadata.files(name) or ())


def _link_modules(folder: Path, files: Iterable[importlib.metadata.PackagePath]) -> None:
    for file in files:
        top = file.parts[0]
        if not top.endswith((".dist-info", "__pycache__", ".pth")) and top != ".." and not (folder / top).exists():
            (folder / top).symlink_to(Path(str(file.locate())).parents[len(file.parts) - 1] / top)


@pytest.fixture
def cli(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """
    The command line in an empty environment.
    """
    folder = tmp_path / "work"
    folder.mkdir()
    packages = tmp_path / "packages"
    setup = configparser.ConfigParser()
    setup.read(Path(conductor.__file__).parent.parent / "setup.cfg")
    link_packages(packages, setup["options"]["install_requires"].strip().splitlines())
    rich = tmp_path / "rich"
    link_packages(rich, ["rich"])
    (packages / "conductor").symlink_to(Path(conductor.__file__).parent)
    library = [path for path in sys.path if path.startswith(sys.base_prefix) and "site-packages" not in path]
    monkeypatch.setattr(sys, "path", [*library, str(packages), str(site.folder)])
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("CONDUCTOR_") or name == "NO_COLOR"]:
        monkeypatch.delenv(name)
    return CommandLine(site, folder, packages, rich)


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
