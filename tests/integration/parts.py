"""
Small components, installed for one test: each does one thing wrong, beside a witness that does everything right.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import attrs

from tests.conftest import Site
from tests.integration.environments import Environment
from tests.integration.processes import Process

WITNESS = """
    from pathlib import Path

    from conductor import Component

    class Witness(Component):
        async def setup(self) -> None:
            Path("witness-up").touch()

        async def shutdown(self) -> None:
            Path("witness-down").touch()
"""
PREAMBLE = """
import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path

from conductor import Component
from witness_part import Witness


def say(text):
    print(text, file=sys.stderr, flush=True)


class Part(Component):
    witness: Witness

"""


@attrs.frozen
class Stage:
    """
    An environment with a witness and whatever else is installed for a test, and a directory to run it in.

    Attributes:
        environment: where everything else comes from.
        site: where the components of the test are installed.
        directory: the working directory.
    """

    environment: Environment
    site: Site
    directory: Path

    def install(self, methods: str, *, name: str = "part", before: str = "") -> None:
        """
        Install a component that needs the witness.

        Args:
            methods: what its class consists of; may be indented.
            name: its name.
            before: what the module does first, before it imports anything.
        """
        body = textwrap.indent(textwrap.dedent(methods).strip(), "    ")
        source = f"{textwrap.dedent(before)}\n{PREAMBLE}{body}\n"
        module = f"{name}_part"
        self.site.add(name, entry_points={"conductor.components": {name: f"{module}:Part"}}, modules={module: source})

    def limit(self, **seconds: float) -> None:
        """
        Set the limits of the application.
        """
        lines = [f"{name} = {limit}" for name, limit in seconds.items()]
        (self.directory / "conductor.toml").write_text("\n".join(["[limits]", *lines, ""]))

    def begin(self, *arguments: str, root: str = "part") -> Process:
        """
        `conductor run` of a component and the witness.
        """
        return self.environment.begin("run", root, *arguments, directory=self.directory, path=[self.site.folder])

    def run(self, *arguments: str, root: str = "part") -> Process:
        """
        The same, from its beginning to its end, which it comes to by itself.
        """
        with self.begin(*arguments, root=root) as process:
            process.wait()
        return process

    def witnessed(self) -> str:
        """
        What became of the witness: `never up`, `up` or `down`.
        """
        if not (self.directory / "witness-up").exists():
            return "never up"
        return "down" if (self.directory / "witness-down").exists() else "up"
