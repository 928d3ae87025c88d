"""
Virtual environments as their users see them: an interpreter, the command `conductor`, and pip.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

import attrs

from tests.integration.processes import PATIENCE, Process
from tests.integration.workshop import UV

PRIVATE = ("CONDUCTOR_", "PYTHON", "VIRTUAL_ENV", "NO_COLOR", "FORCE_COLOR", "COVERAGE")


@attrs.frozen
class Environment:
    """
    A virtual environment.

    Attributes:
        folder: where it is.
    """

    folder: Path

    @property
    def python(self) -> Path:
        """
        Its interpreter.
        """
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        """
        Where its distributions lie.
        """
        places = {"base": str(self.folder), "platbase": str(self.folder)}
        return Path(sysconfig.get_path("purelib", "venv", places))

    @property
    def conductor(self) -> tuple[str, ...]:
        """
        The command as it is installed.
        """
        return (str(self.folder / "bin" / "conductor"),)

    def begin(
        self,
        *command: str,
        directory: Path,
        path: Iterable[Path] = (),
        environ: Mapping[str, str] | None = None,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
        stdin: int = subprocess.DEVNULL,
    ) -> Process:
        """
        A process that has begun: `conductor` with these arguments.

        Args:
            command: the arguments; the whole command if its first word is a path.
            directory: the working directory.
            path: folders to look for modules and distributions in, before those of the environment.
            environ: environment variables; of those around, Conductor's and Python's own are left out.
            stdout: where standard output goes; by default it is kept.
            stderr: the same for standard error.
            stdin: where standard input comes from; by default there is none.
        """
        whole = command if command and os.sep in command[0] else (*self.conductor, *command)
        variables = {name: value for name, value in os.environ.items() if not name.startswith(PRIVATE)}
        variables |= {"PYTHONPATH": os.pathsep.join(map(str, path))} if path else {}
        return Process.begin(
            whole,
            directory=directory,
            environ={**variables, **(environ or {})},
            stdout=stdout,
            stderr=stderr,
            stdin=stdin,
        )

    def call(
        self,
        *command: str,
        directory: Path,
        path: Iterable[Path] = (),
        environ: Mapping[str, str] | None = None,
    ) -> Process:
        """
        A process that has ended; see `begin`.
        """
        with self.begin(*command, directory=directory, path=path, environ=environ) as process:
            process.wait()
        return process

    def install(self, *wheels: Path) -> None:
        """
        Install wheels that need nothing else, as `pip install` does.
        """
        self._call_pip("install", "--no-index", "--no-deps", *map(str, wheels))

    def uninstall(self, *names: str) -> None:
        """
        Remove distributions, as `pip uninstall` does.
        """
        self._call_pip("uninstall", "--yes", *names)

    def _call_pip(self, verb: str, *arguments: str) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "--quiet", verb, *arguments]
        if importlib.util.find_spec("pip") is None:  # an environment that uv made has none
            words = [word for word in arguments if word != "--yes"]
            pip = [UV, "pip", verb, "--python", str(self.python), *words]
        subprocess.run(pip, check=True, capture_output=True, timeout=PATIENCE)
