"""
Whether an application lives, has started and is ready, and how each of its components is.

Rules:

1. Liveness asks nobody: that somebody in the event loop can answer at all is the answer.
2. Ready means: every component is ready, none that can tell is unhealthy, and no stop was asked for.
3. A component is not trusted here either: each ``health()`` is a call of its own, watched as all are
   (see :mod:`conductor._watch`).  Who asks is answered when the limit is over, whatever the component does then.
4. All who ask while a round is under way share it, and what it found is good for a moment longer.
5. A component whose last probe has not ended is not asked again: probes never pile up.
6. When the stop begins, all are answered at once, probes that are under way are cancelled, and no further one
   begins.
7. The rounds are made of callbacks, so that nothing that a component cancels can lose one.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

import attrs

from ._failures import describe_failure, find_own_secrets, find_secrets
from ._runner import Runner
from ._suspension import suspended
from ._text import enumerate_names, printable, redact
from ._watch import Call, Watch, guard
from .hookspecs import hookimpl
from .lifecycle import State

KEPT = 1.0
"""
Seconds for which an answer is good.
"""


@attrs.frozen
class ComponentHealth:
    """
    How one component is.

    Attributes:
        component: its name.
        state: where it stands.
        healthy: whether its ``health()`` ended without an error; None if it has none, or was not asked.
        error: why not, in one sentence.

    .. versionadded:: 0.1
    """

    component: str
    state: State
    healthy: bool | None = None
    error: str | None = None


@attrs.frozen
class Health:
    """
    How an application is.

    Attributes:
        live: whether its event loop answers.
        started: whether all components were ready once.
        ready: whether it can do its work: all are ready, nobody is unhealthy, and no stop was asked for.
        reason: why it is not ready, or ``ready``.
        components: how each component is, in the order of the plan.

    .. versionadded:: 0.1
    """

    live: bool
    started: bool
    ready: bool
    reason: str
    components: tuple[ComponentHealth, ...] = ()

    def __str__(self) -> str:
        lines = ["ready" if self.ready else f"not ready: {self.reason}"]
        for each in self.components:
            opinion = "" if each.healthy is None else ", healthy" if each.healthy else f", unhealthy: {each.error}"
            lines.append(f"  {each.component}: {each.state.value}{opinion}")
        return printable("\n".join(lines))

    def as_dict(self) -> dict[str, Any]:
        """
        The same as plain values, for JSON.
        """
        return {
            **{name: getattr(self, name) for name in ("live", "started", "ready", "reason")},
            "components": [{**attrs.asdict(each), "state": each.state.value} for each in self.components],
        }


NOT_SET_UP = Health(live=True, started=False, ready=False, reason="it is not set up")


@attrs.define(eq=False)
class Checkup:
    """
    Asks the components of one life how they are.

    Args:
        runner: the life.
        limit: seconds that each may take to answer.
    """

    runner: Runner
    limit: float
    _secrets: frozenset[str] | None = attrs.field(default=None, init=False)
    _started: bool = attrs.field(default=False, init=False)
    _stopping: str = attrs.field(default="", init=False)
    _watch: Watch[str] | None = attrs.field(default=None, init=False)
    _calls: dict[str, Call[str]] = attrs.field(factory=dict, init=False)
    _missing: set[str] = attrs.field(factory=set, init=False)
    _errors: dict[str, str | None] = attrs.field(factory=dict, init=False)
    _listeners: list[Callable[[Health], None]] = attrs.field(factory=list, init=False)
    _good_until: float = attrs.field(default=0.0, init=False)

    @hookimpl
    def conductor_ready(self) -> None:
        """
        Note that all has started.
        """
        self._started = True

    @hookimpl
    def conductor_stopping(self, reason: str) -> None:
        """
        Ask nobody any more.
        """
        self._stopping = self._stopping or redact(reason, self.secrets) or "it shuts down"
        for call in self._calls.values():
            call.cancel()
        self._missing.clear()
        self._tell()

    @property
    def secrets(self) -> frozenset[str]:
        """
        Texts that are masked in what a component says.
        """
        if self._secrets is None:
            self._secrets = find_secrets(self.runner.plan.steps)
        return self._secrets

    def owner_of(self, task: asyncio.Task[Any]) -> str | None:
        """
        The name of the component that is asked in a task; None if the task is no probe.
        """
        return next((name for name, call in self._calls.items() if call.task is task), None)

    async def health(self) -> Health:
        """
        How the application is, from a round that may be shared with others.
        """
        answer: asyncio.Future[Health] = asyncio.get_running_loop().create_future()
        self.ask(lambda health: None if answer.done() else answer.set_result(health))
        return await answer

    def ask(self, listener: Callable[[Health], None]) -> None:
        """
        Have a function called with the answer, perhaps at once; call this in the loop.
        """
        loop = asyncio.get_running_loop()
        if self._watch is None:
            self._watch = Watch(loop, contextvars.copy_context(), self._overdue, self._left_behind)
        if self.is_stopping:
            self._missing.clear()
        elif not self._missing and not self._is_good(loop.time()):
            self._begin_round(self._watch)
        if self._missing:
            self._listeners.append(listener)
        else:
            listener(self.glance())

    def end(self) -> None:
        """
        Answer who still waits, and listen to no probe any more.
        """
        self.conductor_stopping("it has ended")
        if self._watch is not None:
            for call in self._calls.values():
                if not call.over:
                    self._watch.desert(call)
            self._watch.close()

    @property
    def is_stopping(self) -> bool:
        """
        Whether a stop was asked for, by whatever way.
        """
        return bool(self._stopping) or self.runner.stopping

    def _is_good(self, now: float) -> bool:
        """
        Whether the last round can still be believed: not if anybody moved since.
        """
        return now < self._good_until and set(self._errors) == set(self._to_ask())

    def _to_ask(self) -> list[str]:
        if self.is_stopping:
            return []
        states = self.runner.states
        steps = self.runner.plan.steps
        return [step.name for step in steps if "health" in step.phases and states[step.name] is State.READY]

    def _begin_round(self, watch: Watch[str]) -> None:
        self._errors.clear()
        for name in self._to_ask():
            last = self._calls.get(name)
            if last is not None and last.task is not None and not last.task.done():
                self._errors[name] = f"its last probe has not ended{_at(last)}"
                continue
            now = watch.loop.time()
            call = Call(name, "health", self._ended, now, self.runner.instances[name], "health")
            self._calls[name] = call
            self._missing.add(name)
            watch.begin(call, guard(call), name=f"{name} health")
            watch.set_limit(call, self.limit, now + self.limit)
        if not self._missing:
            self._good_until = watch.loop.time() + KEPT

    def _ended(self, call: Call[str]) -> None:
        if call.failure is None:
            self._note(call, None)
            return
        secrets = self.secrets | find_own_secrets(self.runner.plan.by_name[call.owner], call.target)
        self._note(call, describe_failure(call.failure, secrets))

    def _overdue(self, call: Call[str]) -> None:
        self._note(call, f"took longer than its limit of {call.limit:g} s{_at(call)}")

    def _left_behind(self, call: Call[str]) -> None:
        """
        Nothing: it was reported when its limit was over.
        """

    def _note(self, call: Call[str], error: str | None) -> None:
        if call.owner in self._missing and self._calls.get(call.owner) is call:
            self._missing.discard(call.owner)
            self._errors[call.owner] = error
            if not self._missing:
                self._good_until = asyncio.get_running_loop().time() + KEPT
                self._tell()

    def _tell(self) -> None:
        listeners, self._listeners = self._listeners, []
        health = self.glance()
        for listener in listeners:
            listener(health)

    def glance(self) -> Health:
        """
        How the application is as far as that is known, in whatever thread this is; nobody is asked.
        """
        told = []
        for name, state in self.runner.states.items():
            asked = name in self._errors and state is State.READY
            error = self._errors[name] if asked else None
            told.append(ComponentHealth(name, state, error is None if asked else None, error))
        reason = self._why_not(told)
        return Health(
            live=True, started=self._started, ready=not reason, reason=reason or "ready", components=tuple(told)
        )

    def _why_not(self, told: list[ComponentHealth]) -> str:
        if self.is_stopping:
            return f"it shuts down: {self._stopping}" if self._stopping else "it shuts down"
        missing = [each.component for each in told if each.state is not State.READY]
        if missing:
            return f"{enumerate_names(missing)} {'is' if len(missing) == 1 else 'are'} not ready"
        ill = [each.component for each in told if each.healthy is False]
        if ill:
            return f"{enumerate_names(ill)} {'is' if len(ill) == 1 else 'are'} unhealthy"
        return "" if self._started else "set-up has not ended"


def _at(call: Call[str]) -> str:
    places = suspended(call.task) if call.task is not None else ()
    return f", suspended at {places[-1]}" if places else ""
