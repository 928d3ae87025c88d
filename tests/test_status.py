"""
The socket at which an application answers, and those who ask there.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from conductor import Component, Conductor
from conductor._status import StatusSocket, ask, ask_all, default_directory, socket_path
from conductor.exceptions import UsageError

LONG = 30.0


def echo(question: str) -> Mapping[str, Any]:
    """
    An answer that holds the question.
    """
    return {"pid": os.getpid(), "question": question}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """
    Where sockets of this user would lie; not made yet.
    """
    return tmp_path / "conductor"


def path_in(folder: Path, process: int = 7) -> Path:
    """
    The path of a socket there.
    """
    return socket_path(folder, place="/srv/orders", process=process)


def test_a_question_is_answered(folder: Path) -> None:
    """
    What is asked arrives, and what is answered comes back; nothing is left after the end.
    """
    path = path_in(folder)
    with StatusSocket(path, echo):
        for _ in range(3):
            found = ask(path, "ready", seconds=LONG)
            assert found is not None
            assert found.told == {"pid": os.getpid(), "question": "ready"}
    assert list(folder.iterdir()) == []
    assert ask(path, "ready", seconds=LONG) is None
    assert "conductor-status" not in {thread.name for thread in threading.enumerate()}


def test_only_the_owner_may_ask(folder: Path) -> None:
    """
    The directory has mode 0700, the socket 0600, whatever the mask is.
    """
    before = os.umask(0)
    try:
        with StatusSocket(path_in(folder), echo):
            (made,) = folder.iterdir()
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert stat.S_IMODE(made.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_directory_that_others_may_enter_is_refused(folder: Path) -> None:
    """
    Neither for answering nor for asking.
    """
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(UsageError, match="others may enter it"), StatusSocket(path_in(folder), echo):
        pass
    with pytest.raises(UsageError, match="others may enter it"):
        ask_all(folder, "ready", seconds=LONG)


def test_a_directory_that_is_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    """
    Somebody else could have made it, and lead the socket anywhere.
    """
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="cannot use the directory"), StatusSocket(path_in(folder), echo):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give something away")
def test_a_directory_of_somebody_else_is_refused(folder: Path) -> None:
    """
    Even if nobody but them may enter it.
    """
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    with pytest.raises(UsageError, match="not yours"), StatusSocket(path_in(folder), echo):
        pass


def test_sockets_of_dead_processes_are_removed(folder: Path) -> None:
    """
    One that nobody listens at is removed when somebody asks all; what is no socket of ours stays.
    """
    with StatusSocket(path_in(folder), echo):
        dead = path_in(folder, 8)
        with socket.socket(socket.AF_UNIX) as left:
            os.chdir(folder)
            left.bind(dead.name)
        (folder / "notes.txt").touch()
        (found,) = ask_all(folder, "ready", seconds=LONG)
        assert found.path == path_in(folder)
        assert not dead.exists()
        assert (folder / "notes.txt").exists()


@pytest.fixture(autouse=True)
def stay_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Go back to where the tests began.
    """
    monkeypatch.chdir(tmp_path)


def test_all_that_run_are_asked(folder: Path) -> None:
    """
    Several at once, sorted by process.
    """
    with (
        StatusSocket(path_in(folder, 9), lambda question: {"pid": 9}),
        StatusSocket(path_in(folder, 8), lambda question: {"pid": 8}),
    ):
        assert [answer.told["pid"] for answer in ask_all(folder, "ready", seconds=LONG)] == [8, 9]
    assert ask_all(folder / "nowhere", "ready", seconds=LONG) == ()


def test_a_slow_answer_keeps_no_other_waiting(folder: Path) -> None:
    """
    While one question waits for its answer, another one is answered.
    """
    go_on = threading.Event()

    def slow(question: str) -> Mapping[str, Any]:
        if question == "slow":
            assert go_on.wait(LONG)
        return echo(question)

    found: list[Any] = []
    path = path_in(folder)
    with StatusSocket(path, slow):
        waiting = threading.Thread(target=lambda: found.append(ask(path, "slow", seconds=LONG)))
        waiting.start()
        quick = ask(path, "quick", seconds=LONG)
        assert quick is not None
        assert quick.told["question"] == "quick"
        assert found == []
        go_on.set()
        waiting.join()
    assert found[0].told["question"] == "slow"


def test_who_says_nothing_is_not_live(folder: Path) -> None:
    """
    A process that listens but does not answer in time, as one that is halted, is reported as such.
    """
    folder.mkdir(mode=0o700)
    os.chdir(folder)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind("x.sock")
        silent.listen()
        (found,) = ask_all(folder, "live", seconds=0.1)
    assert (found.told["live"], found.told["reason"]) == (False, "the process does not answer")


def test_a_path_of_ones_own_is_taken_over_only_from_the_dead(tmp_path: Path) -> None:
    """
    A socket that answers, and a file that is no socket, are left alone; a dead one is replaced.
    """
    path = tmp_path / "own.sock"
    with StatusSocket(path, echo, private=False):
        with pytest.raises(UsageError, match="answers there already"), StatusSocket(path, echo, private=False):
            pass
        assert ask(path, "ready", seconds=LONG) is not None
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path.name)
    with StatusSocket(path, echo, private=False):
        assert ask(path, "ready", seconds=LONG) is not None
    path.write_text("mine")
    with pytest.raises(UsageError, match="something else"), StatusSocket(path, echo, private=False):
        pass
    assert path.read_text() == "mine"


def test_a_path_that_is_very_long_works(tmp_path: Path) -> None:
    """
    The system takes only some hundred bytes; the directory may be deeper.
    """
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with StatusSocket(deep / "own.sock", echo, private=False):
        assert ask(deep / "own.sock", "ready", seconds=LONG) is not None


def test_names_never_become_paths(tmp_path: Path) -> None:
    """
    A working directory of any name gives a digest.
    """
    path = socket_path(tmp_path, place="../../etc/x\n\udcff", process=1)
    assert path.parent == tmp_path
    assert path.stem.isalnum()


def test_where_sockets_lie(tmp_path: Path) -> None:
    """
    In the runtime directory of the user if there is one, else in one with the user's number.
    """
    assert default_directory({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "conductor"
    fallback = Path(f"/tmp/conductor-{os.geteuid()}")
    assert default_directory({}) == fallback
    assert default_directory({"XDG_RUNTIME_DIR": "relative"}) == fallback
    assert default_directory({"XDG_RUNTIME_DIR": str(tmp_path / "nowhere")}) == fallback


def test_serve_opens_a_socket_only_if_asked(tmp_path: Path) -> None:
    """
    In a program: none by default, and at the path that is named.
    """
    path = tmp_path / "own.sock"
    seen: list[tuple[bool, set[str]]] = []

    class Ending(Component):
        async def run(self) -> None:
            seen.append((path.exists(), {thread.name for thread in threading.enumerate()}))
            os.kill(os.getpid(), 15)

    conductor = Conductor()
    conductor.add(Ending)
    conductor.serve()
    conductor.serve(socket=path)
    (without, threads), (with_socket, _) = seen
    assert (without, with_socket) == (False, True)
    assert "conductor-status" not in threads
    assert not path.exists()
