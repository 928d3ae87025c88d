"""
One application, from what is installed to what is left when it has ended: Conductor.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import attrs

from ._component import Scope
from ._declaration import class_path, declaration, is_component_class
from ._discovery import Discovery, discover, normalise
from ._dump import Dump
from ._health import NOT_SET_UP, Checkup, Health
from ._log import EventLog, TransitionLog
from ._node import construct
from ._notify import Notifier
from ._plan import Plan, Step, make_plan
from ._report import Report, make_report
from ._resolution import resolve
from ._runner import Runner
from ._selection import Request, Selection, load_candidate
from ._settings import Settings, load_settings
from ._signals import Signals, disarm_timed_exit
from ._sources import AssignmentSource, EnvironSource, MappingSource, SettingsSource, TomlSource
from ._supervisor import Ending, Supervisor, drive
from ._text import nearest
from ._vitals import Alarm, Vitals
from .exceptions import ComponentError, CrashError, ResolutionError, SetupError, ShutdownError, UsageError
from .hookspecs import Hooks
from .lifecycle import StopRequested, Transition

T = TypeVar("T")
C = TypeVar("C")

logger = logging.getLogger("conductor")

NOTHING_INSTALLED = Discovery(entries=())


class Conductor:
    """
    One application: components, the plan that is made of them, and its life.

    ``Conductor(config)`` starts empty and takes what is added; :meth:`installed` takes whatever is installed.  The
    same one can be set up and shut down again and again.

    Args:
        config: settings in the shape of ``conductor.toml``.

    Attributes:
        hooks: who is told what happens; see :mod:`conductor.hookspecs`.
        report: what happened in the last life; None before the first one has ended.

    .. versionadded:: 0.1
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.hooks = Hooks()
        self.hooks.register(EventLog())
        self.report: Report | None = None
        self._sources: tuple[SettingsSource, ...] = (MappingSource(config),) if config else ()
        self._roots: tuple[str, ...] | None = None
        self._scans = False
        self._path: Sequence[str] | None = None
        self._discovery: Discovery | None = None
        self._settings: Settings | None = None
        self._selection: Selection | None = None
        self._plan: Plan | None = None
        self._added: dict[tuple[type, str | None], None] = {}
        self._patches: dict[type | str, type] = {}
        self._handed_out: dict[str, object] = {}
        self._runner: Runner | None = None
        self._checkup: Checkup | None = None
        self._owner: asyncio.Task[Any] | None = None
        self._crash: ComponentError | None = None
        self._is_up = False

    @classmethod
    def installed(
        cls,
        *roots: str,
        config: Mapping[str, Any] | None = None,
        directory: str | os.PathLike[str] | None = None,
        settings_file: str | os.PathLike[str] | None = None,
        profile: str | None = None,
        environ: Mapping[str, str] | None = None,
        assignments: Sequence[str] = (),
        overrides: Sequence[str] = (),
        path: Sequence[str] | None = None,
    ) -> Self:
        """
        A conductor of whatever is installed, set as the settings files and the environment say.

        Args:
            roots: what to set up, together with what it needs; none named: what the settings say, else everything.
            config: settings below those of the file.
            directory: where ``conductor.toml`` or ``pyproject.toml`` is looked for; by default the working directory.
            settings_file: the file itself.
            profile: name of a profile in the file.
            environ: the environment variables; by default those of the process.
            assignments: what the command line sets, as ``component.setting=value``.
            overrides: what the command line has take the place of a component, as ``name=distribution`` or
                ``name=package.module:Class``.
            path: the folders where distributions are looked for; by default ``sys.path``.
        """
        conductor = cls()
        file = TomlSource(
            path=Path(settings_file) if settings_file is not None else None,
            directory=Path(directory) if directory is not None else Path(),
            profile=profile,
        )
        conductor._sources = (
            MappingSource(config or {}),
            file,
            EnvironSource(os.environ if environ is None else environ),
            AssignmentSource(assignments),
            AssignmentSource.overriding(overrides),
        )
        conductor._roots = roots or None
        conductor._scans = True
        conductor._path = path
        return conductor

    # -- what it is made of ------------------------------------------------------------------------------

    @property
    def discovery(self) -> Discovery:
        """
        What is installed; scanned once.
        """
        if self._discovery is None:
            self._discovery = discover(self._path) if self._scans else NOTHING_INSTALLED
            if self._scans:
                self._register_installed_hooks(self._discovery)
                self.hooks.call("conductor_scanned", discovery=self._discovery)
        return self._discovery

    @property
    def settings(self) -> Settings:
        """
        What all settings sources say together; read once.

        Raises:
            SettingsFileError: a file cannot be read.
        """
        if self._settings is None:
            settings = load_settings(self._sources)
            if self._roots:
                sources = {**settings.sources, "roots": "the named roots"}
                settings = attrs.evolve(settings, roots=self._roots, sources=sources)
            self._settings = settings
        return self._settings

    def selection(self) -> Selection:
        """
        Who wins each name; nothing is imported for it.
        """
        if self._selection is None:
            request = Request(tuple(self._added), tuple(self._patches.items()))
            self._selection = Selection(self.discovery, self.settings, request)
        return self._selection

    def plan(self) -> Plan:
        """
        What would be set up, in which order, and why.  Nothing is constructed for it.

        Raises:
            ResolutionError: all problems at once.
            SettingsFileError: a settings file cannot be read.
        """
        if self._plan is None:
            request = Request(tuple(self._added), tuple(self._patches.items()))
            self._plan = make_plan(resolve(self.discovery, self.settings, request=request))
            self.hooks.call("conductor_planned", plan=self._plan)
        return self._plan

    def add(self, cls: type[C], /, *, name: str | None = None) -> C:
        """
        Have a component set up, with what it needs.

        Args:
            cls: its class.
            name: its identity; by default that under which it is published, else the name of the class.

        Returns:
            The effective instance: that of the class which takes its place, if one does.  Its constructor runs
            during set-up, when what it needs is there.

        Raises:
            ResolutionError: the class is no component, or what takes its place cannot be told or loaded.
            UsageError: the application is being set up, or is up.
        """
        self._refuse_while_up("add")
        problems = () if is_component_class(cls) else declaration(cls).problems
        if problems:
            raise ResolutionError(f"cannot add '{class_path(cls)}'", problems)
        selection = self.selection()
        known = len(selection.problems)
        given = selection.name_class(cls, name)
        choice = selection.choice(given)
        wrong = (*selection.problems[known:], *choice.problems)
        if wrong:
            self._forget()
            raise ResolutionError(f"cannot add '{class_path(cls)}'", wrong)
        self._added[cls, name] = None
        self._plan = None
        winner: Any = load_candidate(choice.chain[0])
        effective: C = self._instance(choice.name, winner)
        return effective

    def patch(self, what: type | str, by: type, /) -> None:
        """
        Have a class take the place of another, before everything that is installed or configured.

        Args:
            what: the class or the name of the component that is replaced.
            by: the class that is used instead; one class for two is one instance for both.

        Raises:
            ResolutionError: the class that is to be used is no component.
            UsageError: the application is being set up, or is up; or an instance of what is replaced is out already.
        """
        self._refuse_while_up("patch")
        if not is_component_class(by):
            raise ResolutionError(f"cannot use '{class_path(by)}'", declaration(by).problems)
        if isinstance(what, str):
            out = next((n for n in self._handed_out if normalise(n) == normalise(what)), None)
        else:
            out = next((name for name, instance in self._handed_out.items() if type(instance) is what), None)
        if out is not None:
            raise UsageError(f"an instance of '{out}' was handed out already\nhint: call patch() before add()")
        self._patches[what] = by
        self._forget()

    @overload
    def __getitem__(self, key: type[C]) -> C: ...

    @overload
    def __getitem__(self, key: str) -> Any: ...

    def __getitem__(self, key: type | str) -> Any:
        """
        The instance of a component, by its class or the class that it took the place of, or by its name.

        Raises:
            UsageError: there is none in the plan, or several.
            ResolutionError: there is no valid plan.
        """
        plan = self.plan()
        step = _find_name(plan, key) if isinstance(key, str) else _find_class(plan, key)
        return self._instance(step.name, step.cls)

    def _forget(self) -> None:
        self._selection = None
        self._plan = None

    def _refuse_while_up(self, verb: str) -> None:
        if self._runner is not None:
            raise UsageError(f"cannot {verb} while the application is up\nhint: call {verb}() before set-up")

    def _instance(self, name: str, cls: Any) -> Any:
        found = self._handed_out.get(name)
        if type(found) is not cls:
            found = self._handed_out[name] = cls.__new__(cls)
        return found

    def _register_installed_hooks(self, discovery: Discovery) -> None:
        selection = Selection(discovery, self.settings)
        for entry in discovery.of("conductor.hooks"):
            if not self.settings.autoload or not selection.is_allowed(entry.origin) or entry.problem:
                continue
            try:
                self.hooks.register(entry.load(), name=f"{entry.origin.distribution}:{entry.name}")
            except StopRequested:
                raise
            except BaseException as error:  # whatever an import raises; a listener never breaks the application
                logger.warning(
                    "hooks '%s' of distribution '%s' are not used: %s: %s",
                    entry.name,
                    entry.origin.distribution,
                    type(error).__name__,
                    error,
                )

    # -- its life ----------------------------------------------------------------------------------------

    async def setup(self) -> None:
        """
        Set everything up.

        Raises:
            ResolutionError: the plan is not valid; nothing was constructed.
            SetupError: something failed; everything is down again.
            UsageError: it is up already.
        """
        self._refuse_while_up("set up")
        runner = self._make_runner(self._on_crash)
        self._crash = None
        self._runner = runner
        began = time.monotonic()
        try:
            is_up = await runner.setup()
        except BaseException as error:
            self._end(runner, "set-up failed", 4 if isinstance(error, SetupError) else 5)
            raise
        if not is_up:
            self._end(runner, "asked to stop during set-up", 1 if self._crash else 0)
            if self._crash is not None:
                raise CrashError("a component crashed", runner.failures)
            return
        self._is_up = True
        self.hooks.call("conductor_ready", plan=runner.plan, seconds=time.monotonic() - began)

    async def shutdown(self) -> None:
        """
        Shut everything down, in reverse; nothing if it is not up.

        Raises:
            CrashError: a component had crashed.
            ShutdownError: shutdown was not clean; everything that could be shut down was.
        """
        runner = self._runner
        if runner is None:
            return
        reason = f"component '{self._crash.component}' crashed" if self._crash else "asked to"
        self.hooks.call("conductor_stopping", reason=reason)
        code = 1 if self._crash else 0
        try:
            await runner.shutdown()
        except ShutdownError:
            code = code or 5
            if self._crash is None:
                raise
        finally:
            self._end(runner, reason, code)
        if self._crash is not None:
            raise CrashError("a component crashed", runner.failures)

    async def health(self) -> Health:
        """
        How the application is: whether it lives, has started and is ready, and how each component is.

        Components that have a ``health`` method are asked all at once, each for ``limits.health`` seconds at most;
        all who ask meanwhile, or within a second, share the answer.

        Call it in the loop that the application lives in.
        """
        return NOT_SET_UP if self._checkup is None else await self._checkup.health()

    async def __aenter__(self) -> Self:
        self._owner = asyncio.current_task()
        await self.setup()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        owner, self._owner = self._owner, None
        if self._crash is not None and owner is not None and isinstance(error, asyncio.CancelledError):
            owner.uncancel()
        await self.shutdown()

    def run(self, work: Awaitable[T]) -> T:
        """
        What an awaitable returns that is awaited while the application is up, in an event loop of its own.

        Args:
            work: what to do between set-up and shutdown.

        Raises:
            ResolutionError: the plan is not valid; nothing was constructed.
            RunError: set-up failed, a component crashed, or shutdown was not clean.
            SystemExit: a signal asked to stop before the work was done; everything is down in order.
        """
        try:
            ending = self._live(work)
        finally:
            if inspect.iscoroutine(work):
                work.close()  # nothing if it has run
        if ending.work_error is not None:
            raise ending.work_error
        self._raise_for(ending)
        if ending.reason.startswith("received") or ending.exit_code:
            raise SystemExit(ending.exit_code)
        result: T = ending.result
        return result

    def serve(self, *, socket: str | os.PathLike[str] | bool = False) -> None:
        """
        Set up, stay until a signal asks to stop, and shut down, in an event loop of its own.

        Args:
            socket: path of a Unix socket at which ``conductor status`` is answered; True: where that command looks
                for it by itself.

        Raises:
            ResolutionError: the plan is not valid; nothing was constructed.
            RunError: set-up failed, a component crashed, or shutdown was not clean.
            SystemExit: a second signal forced the end.
        """
        ending = self._live(None, socket=socket)
        self._raise_for(ending)
        if ending.exit_code:
            raise SystemExit(ending.exit_code)

    def _live(self, work: Awaitable[Any] | None, *, socket: str | os.PathLike[str] | bool = False) -> Ending:
        self._refuse_while_up("serve")
        supervisor: Supervisor | None = None
        signals = Signals()

        def on_crash(error: ComponentError) -> None:
            if supervisor is not None:
                supervisor.on_crash(error)

        def life() -> Coroutine[Any, Any, Ending]:
            nonlocal supervisor
            self._runner = self._make_runner(on_crash)
            supervisor = Supervisor(self._runner, self.hooks, signals, self._runner.plan.stop)
            assert self._checkup is not None
            return vitals.accompany(self._checkup, functools.partial(supervisor.live, work))

        vitals = Vitals(self.hooks, self.settings.blocked)
        self._tell_systemd()
        with signals, Dump(vitals.describe), vitals.answering(socket):
            try:
                signals.limit = self.settings.stop
                with signals.interrupting_imports():
                    self.plan()
            except StopRequested:
                return Ending(f"received {signals.first}", 0)
            try:
                ending = drive(life, supervisor=lambda: supervisor)
            finally:
                disarm_timed_exit()
                runner = self._let_go()
            if runner is not None:
                self._tell_report(runner, ending)
            return ending

    def _tell_systemd(self) -> None:
        """
        Have systemd told what happens, if it wants to know.
        """
        notifier = Notifier.from_environ(os.environ)
        if notifier is not None and not self.hooks.is_registered("conductor-systemd"):
            self.hooks.register(notifier, name="conductor-systemd")

    def _make_runner(self, on_crash: Callable[[ComponentError], None]) -> Runner:
        plan = self.plan()
        if logger.isEnabledFor(logging.INFO) and not self.hooks.is_registered("conductor-log"):
            self.hooks.register(TransitionLog(), name="conductor-log")
        watched = self.hooks.has_listener("conductor_state_changed")
        alarm = Alarm(self.hooks)
        notify = self._notify if watched else None
        runner = Runner(plan, build=self._build, notify=notify, on_crash=on_crash, on_overdue=alarm)
        alarm.runner = runner
        self._checkup = Checkup(runner, self.settings.health)
        self.hooks.register(self._checkup)
        return runner

    def _let_go(self) -> Runner | None:
        """
        The runner of the life that has ended, if there was one; nobody asks or tells it anything any more.
        """
        checkup, self._checkup = self._checkup, None
        if checkup is not None:
            checkup.end()
            self.hooks.unregister(checkup)
        runner, self._runner = self._runner, None
        return runner

    def _build(self, step: Step, values: Mapping[str, object], scope: Scope | None, /) -> object:
        return construct(step, values, scope, shell=self._shell)

    def _shell(self, step: Step) -> object:
        """
        The instance that was handed out, emptied of what an earlier life left in it.
        """
        instance = self._instance(step.name, step.cls)
        if hasattr(instance, "__dict__"):
            vars(instance).clear()
        return instance

    def _notify(self, transition: Transition) -> None:
        self.hooks.call("conductor_state_changed", transition=transition)

    def _on_crash(self, error: ComponentError) -> None:
        """
        Stop the set-up, or the block that the program is in; its ``__aexit__`` then tells of the crash.
        """
        if self._crash is None:
            self._crash = error
            if self._runner is not None:
                self._runner.request_stop()
            if self._is_up and self._owner is not None:
                self._owner.cancel(f"component '{error.component}' crashed")

    def _end(self, runner: Runner, reason: str, code: int) -> None:
        self._let_go()
        self._is_up = False
        self._tell_report(runner, Ending(reason, code, tuple(runner.failures)))

    def _tell_report(self, runner: Runner, ending: Ending) -> None:
        for failure in ending.failures:
            self.hooks.call("conductor_failed", error=failure)
        self.report = make_report(
            runner.plan,
            runner.states,
            times=runner.times,
            failures=ending.failures,
            reason=ending.reason,
            exit_code=ending.exit_code,
        )
        self.hooks.call("conductor_reported", report=self.report)

    def _raise_for(self, ending: Ending) -> None:
        if ending.setup_error is not None:
            raise ending.setup_error
        if ending.exit_code == 1:
            raise CrashError(
                ending.reason, ending.failures or [ComponentError("conductor", "run", None, ending.reason)]
            )
        if ending.failures:
            raise ShutdownError(ending.reason, ending.failures)


def _find_name(plan: Plan, name: str) -> Step:
    wanted = normalise(name)
    for step in plan.steps:
        if wanted in (normalise(known) for known in (step.name, *step.aliases)):
            return step
    near = nearest(name, [step.name for step in plan.steps])
    hint = f"\nhint: did you mean '{near}'?" if near else ""
    raise UsageError(f"there is no component '{name}' in the plan{hint}")


def _find_class(plan: Plan, cls: type) -> Step:
    """
    The step that is of a class, else the one that took its place, else the only one that is derived from it.
    """
    for found in (
        [step for step in plan.steps if step.cls is cls],
        [step for step in plan.steps if _took_place(plan, step, cls)],
        [step for step in plan.steps if cls in step.cls.__mro__],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(f"'{step.name}'" for step in found)
            raise UsageError(f"several components are a '{class_path(cls)}': {names}\nhint: look it up by name")
    raise UsageError(f"no component in the plan is a '{class_path(cls)}'")


def _took_place(plan: Plan, step: Step, cls: type) -> bool:
    chains = [plan.choices[name].chain for name in (step.name, *step.aliases) if name in plan.choices]
    return any(c.cls is cls or c.target == class_path(cls) for chain in chains for c in chain)
