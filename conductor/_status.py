"""
The Unix socket at which a running application answers its owner, and those who ask there.

Rules:

1. A socket lies in a directory of its owner's that nobody else may enter, and nobody else may write to it.  A
   directory that is a link, somebody else's or open to others is refused.
2. Its name is a digest; no name of anything ever becomes a path.
3. It gets its name when it already listens, so that one that refuses connections is that of a dead process, and can
   be removed by whoever comes across it.
4. Threads answer, one for each question, so that an application whose event loop is blocked still does, and that one
   slow answer keeps no other one waiting.
5. A question is one line, the answer is one JSON object.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import selectors
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import attrs

from .exceptions import UsageError

SUFFIX = ".sock"
PATIENCE = 2.0
"""
Seconds that somebody who asks has for the question.
"""
MOST = 16
"""
Questions that are answered at the same time; further ones are turned away.
"""
LONGEST = 1 << 24
"""
Bytes of an answer that are read.
"""
_ROOM = 100  # bytes of a path that every system takes for a socket


def default_directory(environ: Mapping[str, str]) -> Path:
    """
    Where this user's sockets lie.

    Args:
        environ: the environment variables.
    """
    given = environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(given) and os.path.isdir(given):
        return Path(given) / "conductor"
    return Path("/tmp") / f"conductor-{os.geteuid()}"


def socket_path(directory: Path, *, place: str, process: int) -> Path:
    """
    The path of one application's socket.

    Args:
        directory: where this user's sockets lie.
        place: the working directory of the application.
        process: its number.
    """
    digest = hashlib.sha256(f"{process}\0{place}".encode("utf-8", "surrogateescape")).hexdigest()
    return directory / f"{digest[:24]}{SUFFIX}"


@contextlib.contextmanager
def _directory(path: Path, *, private: bool, create: bool = False) -> Iterator[int]:
    """
    A directory, opened.

    Args:
        path: the directory.
        private: whether it must be our own, with nobody else having access.
        create: whether to make it if it is not there.
    """
    try:
        if create:
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
        found = os.open(path, os.O_RDONLY | os.O_DIRECTORY | (os.O_NOFOLLOW if private else 0))
    except OSError as error:
        raise UsageError(f"cannot use the directory '{path}' for a socket: {error.strerror}") from None
    try:
        status = os.fstat(found)
        if private and (status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077):
            raise UsageError(
                f"cannot use the directory '{path}' for a socket: others may enter it, or it is not yours\n"
                "hint: remove it, set XDG_RUNTIME_DIR, or name a socket yourself"
            )
        yield found
    finally:
        os.close(found)


@contextlib.contextmanager
def _address(directory: int, path: Path) -> Iterator[str]:
    """
    What a socket in an open directory is called, also if its path is longer than the system takes.
    """
    if len(os.fsencode(path)) <= _ROOM:
        yield str(path)
    elif os.path.isdir("/proc/self/fd"):
        yield f"/proc/self/fd/{directory}/{path.name}"
    else:
        raise UsageError(f"the path of the socket '{path}' is too long")


@attrs.define(eq=False)
class StatusSocket:
    """
    Answers at a socket within a ``with`` block.

    Args:
        path: of the socket.
        answer: gives the answer to a question; called in a thread of its own.
        private: whether the directory is one of ours, to be made if it is not there.
    """

    path: Path
    answer: Callable[[str], Mapping[str, Any]]
    private: bool = True
    _listening: socket.socket = attrs.field(init=False)
    _inode: int = attrs.field(default=0, init=False)
    _process: int = attrs.field(factory=os.getpid, init=False)
    _thread: threading.Thread = attrs.field(init=False)
    _wake: tuple[socket.socket, socket.socket] = attrs.field(init=False)
    _room: threading.BoundedSemaphore = attrs.field(factory=lambda: threading.BoundedSemaphore(MOST), init=False)

    def __enter__(self) -> Self:
        if not hasattr(socket, "AF_UNIX"):
            raise UsageError("there are no Unix sockets here, so nobody can ask for the status")
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._bind()
        except OSError as error:
            self._listening.close()
            raise UsageError(f"cannot make the socket '{self.path}': {error.strerror}") from None
        except BaseException:
            self._listening.close()
            raise
        self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="conductor-status", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if os.getpid() == self._process:  # a forked child has no such thread, and the socket is not its own
            self._wake[0].send(b"\0")
            self._thread.join()
            with contextlib.suppress(OSError):
                if os.lstat(self.path).st_ino == self._inode:
                    os.unlink(self.path)
        for each in (self._listening, *self._wake):
            each.close()

    def _bind(self) -> None:
        unfinished = self.path.with_name(f".{self.path.name[:32]}.{self._process}")
        with _directory(self.path.parent, private=self.private, create=self.private) as directory:
            self._refuse_what_is_there(directory)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(unfinished.name, dir_fd=directory)
            if os.name == "posix":
                os.fchmod(self._listening.fileno(), 0o600)  # on Linux the file is made with these rights
            with _address(directory, unfinished) as address:
                self._listening.bind(address)
            os.chmod(unfinished.name, 0o600, dir_fd=directory)
            self._listening.listen(MOST)
            self._inode = os.stat(unfinished.name, dir_fd=directory, follow_symlinks=False).st_ino
            os.rename(unfinished.name, self.path.name, src_dir_fd=directory, dst_dir_fd=directory)

    def _refuse_what_is_there(self, directory: int) -> None:
        try:
            status = os.stat(self.path.name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(status.st_mode):
            raise UsageError(f"cannot make the socket '{self.path}': there is something else of that name")
        found = _connect(directory, self.path, PATIENCE)
        if found is not None:
            found.close()
            raise UsageError(f"cannot make the socket '{self.path}': an application answers there already")

    def _serve(self) -> None:
        self._listening.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            selector.register(self._wake[1], selectors.EVENT_READ)
            while all(key.fileobj is self._listening for key, _ in selector.select()):
                with contextlib.suppress(OSError):
                    self._welcome(self._listening.accept()[0])

    def _welcome(self, connection: socket.socket) -> None:
        if not self._room.acquire(blocking=False):
            connection.close()
            return
        threading.Thread(target=self._reply, args=(connection,), name="conductor-answer", daemon=True).start()

    def _reply(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(PATIENCE)
                question = connection.recv(64).decode("ascii", "replace").strip()
                told = json.dumps(self.answer(question), default=str)
                connection.sendall(f"{told}\n".encode())
        finally:
            self._room.release()


@attrs.frozen
class Answer:
    """
    What an application said.

    Attributes:
        path: its socket.
        told: its answer, in plain values; what it is lacking if it did not say anything in time.
    """

    path: Path
    told: Mapping[str, Any]


def ask(path: Path, question: str, *, seconds: float) -> Answer | None:
    """
    What the application at a socket answers; None if there is none.

    Args:
        path: the socket.
        question: what to ask.
        seconds: how long to wait; an application that says nothing in that time is not live.

    Raises:
        UsageError: it is no socket, or not to be used.
    """
    try:
        with _directory(path.parent, private=False) as directory:
            connection = _connect(directory, path, seconds)
    except UsageError:
        if not path.parent.exists():
            return None
        raise
    return None if connection is None else Answer(path, _converse(connection, question))


def ask_all(directory: Path, question: str, *, seconds: float) -> tuple[Answer, ...]:
    """
    What all applications of this user answer, by process; sockets of dead ones are removed.

    Args:
        directory: where they lie.
        question: what to ask.
        seconds: how long to wait for each.

    Raises:
        UsageError: the directory is not to be used.
    """
    if not os.path.lexists(directory):
        return ()
    with _directory(directory, private=True) as opened, ThreadPoolExecutor(MOST) as threads:
        paths = sorted(directory / name for name in os.listdir(opened) if name.endswith(SUFFIX))
        found = threads.map(lambda path: _ask_or_remove(opened, path, question, seconds), paths)
        answers = [answer for answer in found if answer is not None]
    return tuple(sorted(answers, key=lambda answer: int(answer.told.get("pid") or 0)))


def _ask_or_remove(directory: int, path: Path, question: str, seconds: float) -> Answer | None:
    connection = _connect(directory, path, seconds)
    if connection is not None:
        return Answer(path, _converse(connection, question))
    with contextlib.suppress(OSError):
        os.unlink(path.name, dir_fd=directory)
    return None


def _connect(directory: int, path: Path, seconds: float) -> socket.socket | None:
    """
    A connection to a socket; None if nobody is there.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        with _address(directory, path) as address:
            connection.connect(address)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise UsageError(f"cannot ask at '{path}': {error.strerror or 'it does not answer'}") from None
    return connection


def _converse(connection: socket.socket, question: str) -> dict[str, Any]:
    with connection:
        try:
            connection.sendall(f"{question}\n".encode())
            received = b"".join(_pieces(connection))
            told = json.loads(received)
        except (OSError, ValueError):
            told = None
    silent = {
        "live": False,
        "started": False,
        "ready": False,
        "reason": "the process does not answer",
        "phase": "silent",
    }
    return told if isinstance(told, dict) else silent


def _pieces(connection: socket.socket) -> Iterator[bytes]:
    size = 0
    while size < LONGEST and (piece := connection.recv(1 << 16)):
        size += len(piece)
        yield piece
