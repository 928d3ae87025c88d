"""
The states of a component as *one* table, which the runner, the tests and the diagrams share.

.. code-block:: text

    pending ──→ setting-up ──→ ready ──→ shutting-down ──→ down
       │             │                         │
       ↓             ↓                         ↓
    skipped       undoing ──→ down / failed / abandoned

A component whose set-up comes to its end after a stop has begun goes from setting-up to shutting-down: it is
never ready.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import attrs


class State(enum.Enum):
    """
    What a component is doing, as the conductor sees it.

    .. versionadded:: 0.1
    """

    PENDING = "pending"
    SETTING_UP = "setting-up"
    READY = "ready"
    UNDOING = "undoing"
    SHUTTING_DOWN = "shutting-down"
    DOWN = "down"
    SKIPPED = "skipped"
    FAILED = "failed"
    ABANDONED = "abandoned"

    @property
    def final(self) -> bool:
        """
        Whether no move leads out of this state within one life of the application.
        """
        return not TRANSITIONS[self]


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.SETTING_UP, State.SKIPPED}),
    State.SETTING_UP: frozenset({State.READY, State.UNDOING, State.SHUTTING_DOWN}),
    State.READY: frozenset({State.SHUTTING_DOWN}),
    State.UNDOING: frozenset({State.FAILED, State.ABANDONED, State.DOWN}),
    State.SHUTTING_DOWN: frozenset({State.DOWN, State.FAILED, State.ABANDONED}),
    State.DOWN: frozenset(),
    State.SKIPPED: frozenset(),
    State.FAILED: frozenset(),
    State.ABANDONED: frozenset(),
}
"""
The allowed moves: from each state, the states that may follow.

.. versionadded:: 0.1
"""


@attrs.frozen
class Transition:
    """
    One move of one component.

    Attributes:
        component: its name.
        before: the state that it left.
        after: the state that it entered.
        at: seconds on the monotonic clock of the event loop.
        error: what made it fail, if that is why it moved.

    .. versionadded:: 0.1
    """

    component: str
    before: State
    after: State
    at: float
    error: BaseException | None = None


def check_move(component: str, before: State, after: State) -> None:
    """
    Make sure that the table allows a move.

    Raises:
        AssertionError: a bug in Conductor itself; components cannot cause it.
    """
    if after not in TRANSITIONS[before]:
        raise AssertionError(f"component '{component}' cannot move from {before.value} to {after.value}")


class StopRequested(KeyboardInterrupt):
    """
    Raised where the main thread is when a signal asks an application to stop while it is being put together.

    It is no failure: the process ends with exit code 0.

    .. versionadded:: 0.1
    """
