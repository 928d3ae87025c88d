"""
Stay alive until asked to stop: one life of an application, and the process around it.

Theory of operation.

1. A life is: set up, stay, shut down.  Whatever ends the middle part - a signal, a crash, the end of the work that
   was given, a call of ``request_stop`` - only makes one future done; the shutdown itself is never part of what
   caused it, so nothing of the cause can cut it short.
2. A request that comes during set-up takes the path of a failure, but is none.
3. The first reason counts.  What comes later is kept as a failure if it is one, but changes no course.
4. The event loop is ours, and is driven until the life has come to its end: ``loop.stop()`` from a component, or
   ``SystemExit`` from a task that nobody owns, interrupt the driving and are reported, but end nothing.
5. Closing the loop is bounded: tasks that nobody owns are cancelled, threads of the default executor are joined as
   long as the limit of the whole stop allows, and what is left then is named.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs

from ._report import ExitCode
from ._runner import Runner
from ._signals import Signals, arm_timed_exit
from ._text import redact
from .exceptions import ComponentError, SetupError, ShutdownError, UsageError
from .hookspecs import Hooks

GRACE = 1.0
"""
Seconds that what was cancelled at the very end gets to end.
"""

CANCELLED = "the task that serves was cancelled"

TICK = 1.0
"""
Seconds between two looks at whether the signal handlers are still ours.
"""


@attrs.frozen
class Ending:
    """
    How a life ended.

    Attributes:
        reason: why, as a phrase.
        exit_code: how the process should end.
        failures: every failure, the first cause first.
        result: what the work returned, if it came to its end.
        setup_error: what made set-up fail, if it did.
        work_error: what the work raised, if it did.
    """

    reason: str
    exit_code: int
    failures: tuple[ComponentError, ...] = ()
    result: Any = None
    setup_error: SetupError | None = None
    work_error: BaseException | None = None


@attrs.define(eq=False)
class Supervisor:
    """
    Carries one life of an application from set-up to shutdown.

    Args:
        runner: what sets up and shuts down.
        hooks: who is told.
        signals: where requests from outside arrive; None if the process is somebody else's.
        stop: seconds that the whole stop may take.
    """

    runner: Runner
    hooks: Hooks
    signals: Signals | None = None
    stop: float = 25.0
    strays: list[BaseException] = attrs.field(factory=list, init=False)
    stop_began: float | None = attrs.field(default=None, init=False)
    _asked: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _reason: str = attrs.field(default="", init=False)
    _crashed: bool = attrs.field(default=False, init=False)
    _is_up: bool = attrs.field(default=False, init=False)
    _forced: int | None = attrs.field(default=None, init=False)

    def request_stop(self, reason: str, *, crashed: bool = False) -> None:
        """
        Have the application shut down; the first reason counts.

        Args:
            reason: why, as a phrase.
            crashed: whether that is a failure.
        """
        if self._asked.is_set():
            return
        self._reason, self._crashed = reason, crashed
        self._asked.set()
        self._begin_stop()
        if not self._is_up:
            self.runner.request_stop()

    def on_crash(self, error: ComponentError) -> None:
        """
        What a crash of a component leads to: the orderly stop of all.
        """
        self.request_stop(f"component '{error.component}' crashed", crashed=True)

    async def live(self, work: Awaitable[Any] | None = None) -> Ending:
        """
        Set up, stay until asked to stop or until the work is done, and shut down.

        Args:
            work: what to do while the application is up; without it, only a request ends the life.
        """
        self._listen()
        began = time.monotonic()
        setup_error: SetupError | None = None
        task: asyncio.Future[Any] | None = None
        try:
            self._is_up = await self.runner.setup()
        except SetupError as error:
            setup_error = error
            self._note("set-up failed")
        except asyncio.CancelledError as error:  # a component may cancel every task that it finds
            setup_error = error.__cause__ if isinstance(error.__cause__, SetupError) else None
            self.request_stop(CANCELLED, crashed=True)
        except ShutdownError:  # asked to stop meanwhile, and that was not clean; the failures tell
            pass
        if self._is_up:
            self.hooks.call("conductor_ready", plan=self.runner.plan, seconds=time.monotonic() - began)
            task = asyncio.ensure_future(work) if work is not None else None
            await self._stay(task)
        elif asyncio.iscoroutine(work):
            work.close()
        shutdown_error = await self._shut_down(task)
        return self._ending(task, setup_error, shutdown_error)

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        if self.signals is not None:
            self.signals.listen(lambda count: _call_in(loop, self._on_signal, count))
            if self.signals.received:
                self._on_signal(len(self.signals.received))

    def _on_signal(self, count: int) -> None:
        assert self.signals is not None
        if count == 1:
            self.request_stop(f"received {self.signals.first}")
        elif self._forced is None:
            self._forced = self.signals.received[1]
            self.runner.hurry()

    def _note(self, reason: str) -> None:
        self._reason = self._reason or reason

    def _begin_stop(self) -> None:
        if self.stop_began is None:
            self.stop_began = time.monotonic()
            self.hooks.call("conductor_stopping", reason=self._reason)
            if self.signals is not None:
                arm_timed_exit(self.stop)

    async def _stay(self, task: asyncio.Future[Any] | None) -> None:
        """
        Wait for a reason to stop, and look after the signal handlers meanwhile.
        """
        asked = asyncio.ensure_future(self._asked.wait())
        watched = {asked} if task is None else {asked, task}
        try:
            while not any(future.done() for future in watched):
                self._keep_handlers()
                await asyncio.wait(watched, timeout=TICK if self.signals else None, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.request_stop(CANCELLED, crashed=True)
        finally:
            asked.cancel()
        if not self._asked.is_set():
            self.request_stop("the work is done" if task is not None and _succeeded(task) else "the work failed")

    def _keep_handlers(self) -> None:
        if self.signals is not None:
            for sentence in self.signals.put_back():
                self.hooks.call("conductor_noticed", message=f"{sentence}; it was put back")

    async def _shut_down(self, task: asyncio.Future[Any] | None) -> ShutdownError | None:
        self._begin_stop()
        if task is not None and not task.done():
            await end_task(task, GRACE)
        while True:
            try:
                await self.runner.shutdown()
            except ShutdownError as error:
                return error
            except asyncio.CancelledError:  # a component may cancel every task that it finds
                continue
            return None

    def _ending(
        self,
        task: asyncio.Future[Any] | None,
        setup_error: SetupError | None,
        shutdown_error: ShutdownError | None,
    ) -> Ending:
        failures = tuple(self.runner.failures)
        work_error = task.exception() if task is not None and task.done() and not task.cancelled() else None
        if self._forced is not None:
            code = 128 + self._forced
        elif setup_error is not None:
            code = int(ExitCode.SETUP)
        elif self._crashed or work_error is not None or self.strays:
            code = int(ExitCode.CRASHED)
        elif shutdown_error is not None or failures:
            code = int(ExitCode.SHUTDOWN)
        else:
            code = int(ExitCode.CLEAN)
        result = task.result() if task is not None and _succeeded(task) else None
        return Ending(self._reason, code, failures, result, setup_error, work_error)


async def end_task(task: asyncio.Future[Any], grace: float) -> None:
    """
    Cancel a task and wait for it, but not longer than the grace.

    Args:
        task: the task.
        grace: seconds.
    """
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait({task}, timeout=grace)


def _succeeded(task: asyncio.Future[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _call_in(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: Any) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: the end has come anyway
        loop.call_soon_threadsafe(function, *args)


def drive(life: Callable[[], Coroutine[Any, Any, Ending]], *, supervisor: Callable[[], Supervisor | None]) -> Ending:
    """
    How a life ended that was lived in an event loop of its own.

    Args:
        life: makes the coroutine.
        supervisor: the supervisor of that life, once there is one; it is told of what escapes the loop.

    Raises:
        UsageError: an event loop is already running in this thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise UsageError(
            "an event loop is already running in this thread\nhint: use 'async with conductor:' inside of it"
        )
    loop = asyncio.new_event_loop()
    executor = ThreadPoolExecutor(thread_name_prefix="conductor-executor")
    loop.set_default_executor(executor)
    before = set(threading.enumerate())
    try:
        task = loop.create_task(life(), name="conductor")
        while not task.done():
            try:
                loop.run_until_complete(task)
            except BaseException as error:
                if not task.done():
                    _tell_stray(supervisor(), loop, error)
        ending = task.result()
    finally:
        _close(loop)
        executor.shutdown(wait=False, cancel_futures=True)
    return _with_threads(ending, supervisor(), before)


def _tell_stray(supervisor: Supervisor | None, loop: asyncio.AbstractEventLoop, error: BaseException) -> None:
    if supervisor is None or (isinstance(error, RuntimeError) and "stopped before" in str(error)):
        return  # somebody called loop.stop(): the loop is simply driven on
    supervisor.strays.append(error)
    message = f"a task that nobody owns raised {type(error).__name__}"
    loop.call_soon(lambda: supervisor.request_stop(message, crashed=True))


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """
    Close a loop within bounds, whatever is still in it.
    """
    try:
        for _ in range(3):  # what is cancelled here may call loop.stop() once more
            try:
                loop.run_until_complete(_tidy())
                break
            except BaseException:  # nothing that a task raises now may keep the loop from being closed
                continue
    finally:
        loop.set_exception_handler(lambda loop, context: None)
        loop.close()


async def _tidy() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=GRACE)
    generators = asyncio.ensure_future(asyncio.get_running_loop().shutdown_asyncgens())
    await asyncio.wait({generators}, timeout=GRACE)


def _with_threads(ending: Ending, supervisor: Supervisor | None, before: Iterable[threading.Thread]) -> Ending:
    """
    The ending, with a failure for each thread of the default executor that does not end within the limit.
    """
    budget = GRACE
    if supervisor is not None and supervisor.stop_began is not None:
        budget = max(supervisor.stop - (time.monotonic() - supervisor.stop_began), GRACE)
    deadline = time.monotonic() + budget
    left = []
    for thread in set(threading.enumerate()) - set(before):
        if thread.name.startswith("conductor-executor"):
            thread.join(max(deadline - time.monotonic(), 0.0))
            if thread.is_alive():
                left.append(thread.name)
    if not left:
        return ending
    message = redact(f"the default executor is still busy ({', '.join(sorted(left))})")
    error = ComponentError("conductor", "shutdown", None, message)
    code = ending.exit_code or int(ExitCode.SHUTDOWN)
    return attrs.evolve(ending, failures=(*ending.failures, error), exit_code=code)
