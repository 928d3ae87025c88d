"""
What can be asked about an application while it lives, at any moment and from any thread.

Rules:

1. What the event loop knows is asked in the loop.  If it does not answer within a moment it counts as blocked, and
   what can be seen from outside is told: whose code blocks it, and where everybody stood.
2. Before there is a loop, and after, the application lives: its thread is at work on the plan, or at the end.
3. No text leaves with a secret in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs

from ._diagnosis import Blockage, Diagnosis
from ._failures import find_own_secrets, find_secrets
from ._health import NOT_SET_UP, Checkup, Health
from ._heartbeat import Heartbeat
from ._runner import Runner
from ._status import StatusSocket, default_directory, socket_path
from .exceptions import ComponentError, UsageError
from .hookspecs import Hooks

T = TypeVar("T")

MOMENT = 1.0
"""
Seconds within which a loop that is not blocked gives a sign of life.
"""


def diagnose(runner: Runner, blockage: Blockage | None = None) -> Diagnosis:
    """
    Who is at work and who waits for whom in one life, without secrets.
    """
    found: tuple[Any, ...] = ()
    for _ in range(3):  # from another thread, something may move meanwhile
        try:
            found = (*runner.running(), *runner.waiting())
            break
        except RuntimeError:
            continue
    instances = dict(runner.instances)
    own = (find_own_secrets(step, instances[step.name]) for step in runner.plan.steps if step.name in instances)
    return Diagnosis(found, blockage).without(find_secrets(runner.plan.steps).union(*own))


def working_directory() -> str:
    """
    Where the process works; empty if that is gone.
    """
    try:
        return os.getcwd()
    except OSError:
        return ""


@attrs.define(eq=False)
class Alarm:
    """
    Tells who waits for whom when a limit was passed: once while components are set up, once while they are shut down.

    Args:
        hooks: who is told.

    Attributes:
        runner: the life that this is about.
    """

    hooks: Hooks
    runner: Runner | None = attrs.field(default=None, init=False)
    _told: set[bool] = attrs.field(factory=set, init=False)

    def __call__(self, error: ComponentError) -> None:
        runner = self.runner
        if runner is not None and runner.stopping not in self._told:
            self._told.add(runner.stopping)
            if self.hooks.has_listener("conductor_stuck"):
                self.hooks.call("conductor_stuck", diagnosis=diagnose(runner))


@attrs.define(eq=False)
class Vitals:
    """
    One application, as those see it who ask from outside.

    Args:
        hooks: who is told of a blocked loop.
        blocked: seconds after which a loop counts as blocked.
    """

    hooks: Hooks
    blocked: float
    _began: float = attrs.field(factory=time.monotonic, init=False)
    _directory: str = attrs.field(factory=working_directory, init=False)
    _checkup: Checkup | None = attrs.field(default=None, init=False)
    _heartbeat: Heartbeat | None = attrs.field(default=None, init=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)

    async def accompany(self, checkup: Checkup, life: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """
        What a life gives, watched while it lasts.

        Args:
            checkup: asks the components of that life.
            life: makes the coroutine.
        """
        runner = checkup.runner
        modules = {step.name: step.cls.__module__ for step in runner.plan.steps}

        def owner_of(task: asyncio.Task[Any]) -> str | None:
            return runner.owner_of(task) or checkup.owner_of(task)

        with Heartbeat(owner_of, modules, self.blocked, self._on_blocked) as self._heartbeat:
            self._checkup, self._loop = checkup, asyncio.get_running_loop()
            try:
                return await life()
            finally:
                self._loop = None
                checkup.end()

    def diagnosis(self) -> Diagnosis:
        """
        Who is at work and who waits for whom, taken here and now, in whatever thread this is.
        """
        if self._checkup is None:
            return Diagnosis()
        blockage = self._heartbeat.blockage() if self._heartbeat is not None and self._loop is not None else None
        return diagnose(self._checkup.runner, blockage)

    def describe(self) -> str:
        """
        The same as text, with a line above that says what process this is.
        """
        return f"conductor, process {os.getpid()}, {self._phase()}\n{self.diagnosis()}"

    def answer(self, question: str) -> dict[str, Any]:
        """
        How the application is, as plain values; call this in a thread that is not the loop's.

        Args:
            question: ``live`` and ``stuck`` ask no component, anything else does; ``stuck`` wants the diagnosis, too.
        """
        health = self._health(probing=question not in ("live", "stuck"))
        told = {
            "pid": os.getpid(),
            "directory": self._directory,
            "seconds": round(time.monotonic() - self._began, 3),
            "phase": self._phase(),
            **health.as_dict(),
        }
        if question == "stuck" or not health.live:
            diagnosis = self.diagnosis()
            told |= {"diagnosis": diagnosis.as_dict(), "text": str(diagnosis)}
        return told

    @contextlib.contextmanager
    def answering(self, socket: str | os.PathLike[str] | bool) -> Iterator[None]:
        """
        Answer at a socket within the block.

        Args:
            socket: its path; True: in the directory of this user's sockets, if that can be; False: answer nobody.

        Raises:
            UsageError: there can be no socket at that path.
        """
        with contextlib.ExitStack() as stack:
            if socket is True:
                place = socket_path(default_directory(os.environ), place=self._directory, process=os.getpid())
                try:
                    stack.enter_context(StatusSocket(place, self.answer))
                except UsageError as error:  # no reason not to run
                    self.hooks.call("conductor_noticed", message=str(error))
            elif socket is not False:
                stack.enter_context(StatusSocket(Path(socket).absolute(), self.answer, private=False))
            yield

    def _on_blocked(self, blockage: Blockage) -> None:
        if self._checkup is not None:
            blockage = Diagnosis((), blockage).without(self._checkup.secrets).blockage or blockage
        self.hooks.call("conductor_blocked", blockage=blockage)

    def _phase(self) -> str:
        if self._checkup is None:
            return "planning"
        if self._loop is None:
            return "down"
        if self._checkup.is_stopping:
            return "stopping"
        return "up" if self._checkup.glance().started else "setting up"

    def _health(self, *, probing: bool) -> Health:
        checkup, loop = self._checkup, self._loop
        if checkup is None or loop is None:
            return attrs.evolve(NOT_SET_UP, reason="it is being planned" if checkup is None else "it is down")
        glance = checkup.glance()
        if _ask(loop, _give_sign, MOMENT) is None:
            return attrs.evolve(glance, live=False, ready=False, reason="the event loop does not answer")
        if not probing:
            return glance
        found = _ask(loop, checkup.ask, checkup.limit + MOMENT)
        return found or attrs.evolve(checkup.glance(), ready=False, reason="the components could not be asked")


def _give_sign(tell: Callable[[bool], None]) -> None:
    tell(True)


def _ask(
    loop: asyncio.AbstractEventLoop, question: Callable[[Callable[[T], None]], object], seconds: float
) -> T | None:
    """
    What a function in the loop tells; None if that takes too long, or the loop is closed.
    """
    answers: queue.SimpleQueue[T] = queue.SimpleQueue()
    try:
        loop.call_soon_threadsafe(question, answers.put)
        return answers.get(timeout=seconds)
    except (RuntimeError, queue.Empty):
        return None
