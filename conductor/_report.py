"""
What happened to an application, as a value that prints well.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from ._plan import Plan
from ._text import printable
from .exceptions import ComponentError
from .lifecycle import State


class ExitCode(enum.IntEnum):
    """
    How a process that ran an application ends.  128 + n: forced by a further signal n.

    .. versionadded:: 0.1
    """

    CLEAN = 0
    CRASHED = 1
    USAGE = 2
    PLAN = 3
    SETUP = 4
    SHUTDOWN = 5


@attrs.frozen
class Times:
    """
    When a component began and ended to be set up and to be shut down, in seconds on the clock of the loop.

    A component that was not set up completely has no ``setup_ended``; None: it never came to that.
    """

    setup_began: float | None = None
    setup_ended: float | None = None
    shutdown_began: float | None = None
    shutdown_ended: float | None = None


@attrs.frozen
class Outcome:
    """
    What happened to one component.

    Attributes:
        component: its name.
        distribution: ``name version`` of the distribution that it came from.
        state: the last state that it was in.
        setup_seconds: how long its set-up took, if it began.
        shutdown_seconds: how long its shutdown took, if it began.
        errors: its failures, one sentence each.

    .. versionadded:: 0.1
    """

    component: str
    distribution: str | None
    state: State
    setup_seconds: float | None
    shutdown_seconds: float | None
    errors: tuple[str, ...]


@attrs.frozen
class Report:
    """
    What happened from the first set-up to the last shutdown.

    Attributes:
        outcomes: one for each component, in order of set-up.
        reason: why the application ended.
        failures: every failure, the first cause first.
        exit_code: how the process should end.

    .. versionadded:: 0.1
    """

    outcomes: tuple[Outcome, ...]
    reason: str
    failures: tuple[ComponentError, ...]
    exit_code: int

    def __str__(self) -> str:
        lines = [f"{self.reason} (exit code {self.exit_code})"]
        lines.extend(f"  {_line(outcome)}" for outcome in self.outcomes)
        lines.extend(f"  - {printable(str(failure))}" for failure in self.failures)
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """
        The report as plain values, for JSON.
        """
        return {
            "reason": self.reason,
            "exit_code": self.exit_code,
            "components": [
                {**attrs.asdict(outcome), "state": outcome.state.value, "errors": list(outcome.errors)}
                for outcome in self.outcomes
            ],
            "failures": [str(failure) for failure in self.failures],
        }


def _line(outcome: Outcome) -> str:
    times = [
        f"{label} {seconds:.3f} s"
        for label, seconds in (("set-up", outcome.setup_seconds), ("shutdown", outcome.shutdown_seconds))
        if seconds is not None
    ]
    return f"{outcome.component}: {outcome.state.value}" + (f" ({', '.join(times)})" if times else "")


def make_report(
    plan: Plan,
    states: Mapping[str, State],
    *,
    times: Mapping[str, Times],
    failures: Sequence[ComponentError],
    reason: str,
    exit_code: int,
) -> Report:
    """
    What happened, in the order of set-up.

    Args:
        plan: what was to run.
        states: the last state of each component.
        times: when each began and ended, in seconds.
        failures: all failures, the first cause first.
        reason: why the application ended.
        exit_code: how the process should end.
    """
    errors: dict[str, list[str]] = {}
    for failure in failures:
        errors.setdefault(failure.component, []).append(str(failure))
    outcomes = []
    for step in plan.steps:
        when = times.get(step.name, Times())
        outcomes.append(
            Outcome(
                component=step.name,
                distribution=f"{step.origin.distribution} {step.origin.version}" if step.origin else None,
                state=states.get(step.name, State.PENDING),
                setup_seconds=_between(when.setup_began, when.setup_ended),
                shutdown_seconds=_between(when.shutdown_began, when.shutdown_ended),
                errors=tuple(errors.get(step.name, ())),
            )
        )
    return Report(tuple(outcomes), reason, tuple(failures), exit_code)


def _between(began: float | None, ended: float | None) -> float | None:
    return None if began is None or ended is None else ended - began
