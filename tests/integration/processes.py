"""
Processes that tests wait for: for what they say, for their end, for what they leave behind.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

import attrs

T = TypeVar("T")

PATIENCE = 60.0  # seconds until something that does not come is a failure
LISTENING = re.compile(r"listening on (http://\S+:(\d+))")


@attrs.define(eq=False)
class Process:
    """
    A process in a group of its own, with the lines that it says.

    Attributes:
        popen: the process.
    """

    popen: subprocess.Popen[bytes]
    _said: dict[str, list[str]] = attrs.field(factory=lambda: {"stdout": [], "stderr": []}, init=False)
    _open: set[str] = attrs.field(factory=set, init=False)
    _news: threading.Condition = attrs.field(factory=threading.Condition, init=False)
    _readers: list[threading.Thread] = attrs.field(factory=list, init=False)

    @classmethod
    def begin(
        cls,
        command: Sequence[str],
        *,
        directory: Path,
        environ: Mapping[str, str],
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
        stdin: int = subprocess.DEVNULL,
    ) -> Self:
        """
        Begin a process.
        """
        popen = subprocess.Popen(
            command,
            cwd=directory,
            env=environ,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        process = cls(popen)
        for name, stream in (("stdout", popen.stdout), ("stderr", popen.stderr)):
            if stream is not None:
                process._open.add(name)
                reader = threading.Thread(target=process._read, args=(name, stream), daemon=True)
                process._readers.append(reader)
                reader.start()
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(PATIENCE)
        if self.popen.stdin is not None:
            self.popen.stdin.close()
        for reader in self._readers:
            reader.join(PATIENCE)
        if error is not None:
            print(self)

    def __str__(self) -> str:
        return "\n".join([f"{self.popen.args!r} ended with {self.popen.returncode}", self.stdout, self.stderr])

    @property
    def stdout(self) -> str:
        """
        What it has written to standard output.
        """
        return "\n".join(self._said["stdout"])

    @property
    def stderr(self) -> str:
        """
        What it has written to standard error.
        """
        return "\n".join(self._said["stderr"])

    @property
    def code(self) -> int:
        """
        Its exit code.
        """
        assert self.popen.returncode is not None, "it runs"
        return self.popen.returncode

    def wait_for(self, text: str, *, stream: str = "stderr") -> str:
        """
        The first line with a text in it, as soon as it is there.

        Raises:
            AssertionError: the process ended without it, or it did not come.
        """
        deadline = time.monotonic() + PATIENCE
        with self._news:
            while True:
                for line in self._said[stream]:
                    if text in line:
                        return line
                left = deadline - time.monotonic()
                assert stream in self._open, f"it ended without saying '{text}'\n{self}"
                assert left > 0, f"'{text}' was not said\n{self}"
                self._news.wait(left)

    def wait_for_url(self, *, stream: str = "stderr") -> str:
        """
        Where it listens, as soon as everything is up.
        """
        self.wait_for("ready: ", stream=stream)
        found = LISTENING.search(self.wait_for("listening on", stream=stream))
        assert found is not None
        return found[1]

    def send(self, number: int) -> None:
        """
        Send it a signal.
        """
        self.popen.send_signal(number)

    def wait(self, limit: float = PATIENCE) -> int:
        """
        Its exit code, as soon as it has ended and everything that it said is read.

        Args:
            limit: seconds that it has for that.

        Raises:
            subprocess.TimeoutExpired: it did not end.
        """
        code = self.popen.wait(limit)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def stop(self, number: int = signal.SIGINT) -> int:
        """
        Send it a signal and wait for its end.

        Returns:
            Its exit code.
        """
        self.send(number)
        return self.wait()

    def type(self, keys: bytes) -> None:
        """
        Write to its standard input.
        """
        assert self.popen.stdin is not None, "it has none"
        self.popen.stdin.write(keys)
        self.popen.stdin.flush()

    def left_anything(self) -> bool:
        """
        Whether any process of its group is left.
        """
        try:
            os.killpg(self.popen.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def _read(self, name: str, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                with self._news:
                    self._said[name].append(line.decode(errors="replace").rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._open.discard(name)
            self._news.notify_all()


def eventually(probe: Callable[[], T | None], *, what: str) -> T:
    """
    What a probe gives once it gives something, asked again and again, ever more slowly.

    Args:
        probe: gives None as long as there is nothing.
        what: it, for the message.

    Raises:
        AssertionError: it did not come.
    """
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    seconds = 0.005
    while (found := probe()) is None:
        assert time.monotonic() < deadline, f"{what} did not come"
        pause.wait(seconds)
        seconds = min(2 * seconds, 0.1)
    return found
