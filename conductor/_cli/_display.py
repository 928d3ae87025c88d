"""
The live tree of states on a terminal; needs rich.

It is drawn while components are set up, and again while they are shut down.  In between the terminal belongs to the
log.  Nothing here can hold up the application: a terminal that is gone is not written to any more.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from .._plan import Plan
from .._report import Report
from .._text import printable
from ..hookspecs import hookimpl
from ..lifecycle import State, Transition
from ._edges import graph_of
from ._formats import Line, tree

_MOVING = (State.SETTING_UP, State.UNDOING, State.SHUTTING_DOWN)
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_LOOKS = {
    State.PENDING: ("○", "bright_black"),
    State.SETTING_UP: ("", "cyan"),
    State.READY: ("●", "green"),
    State.UNDOING: ("", "yellow"),
    State.SHUTTING_DOWN: ("", "yellow"),
    State.DOWN: ("○", "bright_black"),
    State.SKIPPED: ("-", "bright_black"),
    State.FAILED: ("✗", "red"),
    State.ABANDONED: ("✗", "red"),
}


class Terminal(Console):
    """
    Standard error as a terminal that may go away, and whose cursor stays as it is, however the process ends.
    """

    def on_broken_pipe(self) -> None:
        """
        Write nothing any more; the console of rich would end the process.
        """
        self.quiet = True

    def show_cursor(self, show: bool = True) -> bool:
        """
        Leave the cursor alone.
        """
        return False


class LiveTree:
    """
    Draws the plan as a tree, each component with its state, while anything moves.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._live: Live | None = None
        self._lines: tuple[Line, ...] = ()
        self._states: dict[str, State] = {}
        self._since: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._needs: dict[str, tuple[str, ...]] = {}
        self._dependents: dict[str, list[str]] = {}
        self._stopping = False

    def write(self, text: str, /) -> None:
        """
        Write a styled line above the tree.
        """
        self._terminal.print(Text.from_ansi(text), soft_wrap=True)

    def end(self) -> None:
        """
        Leave the tree as it is, and draw it no more.
        """
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    @hookimpl
    def conductor_planned(self, plan: Plan) -> None:
        """
        Take in what there is to draw.
        """
        self._lines = tuple(tree(graph_of(plan)))
        self._needs = {step.name: step.needs for step in plan.steps}
        self._states = dict.fromkeys(self._needs, State.PENDING)
        for name, needs in self._needs.items():
            for needed in needs:
                self._dependents.setdefault(needed, []).append(name)

    @hookimpl
    def conductor_state_changed(self, transition: Transition) -> None:
        """
        Take in a move; the first one begins the drawing.
        """
        now = time.monotonic()
        name = transition.component
        self._took[name] = now - self._since.get(name, now)
        self._since[name] = now
        self._states[name] = transition.after
        if self._live is None and transition.after in _MOVING:
            self._begin()

    @hookimpl
    def conductor_ready(self) -> None:
        """
        Leave the tree as it is; from now on the terminal belongs to the log.
        """
        self.end()

    @hookimpl
    def conductor_stopping(self) -> None:
        """
        Take in that who is ready waits for its dependents from now on.
        """
        self._stopping = True

    @hookimpl
    def conductor_reported(self, report: Report) -> None:
        """
        Draw for the last time.
        """
        self.end()

    def _begin(self) -> None:
        self._live = Live(
            console=self._terminal,
            get_renderable=self._draw,
            refresh_per_second=10,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._live.start()

    def _draw(self) -> RenderableType:
        """
        The tree; if it is higher than the terminal, only what moves and what failed.
        """
        lines = self._lines
        if len(lines) > self._terminal.height - 3:
            seen = {name: state for name, state in self._states.items() if _matters(state)}
            room = max(self._terminal.height - 4, 1)
            lines = tuple(Line("", name, "", "") for name in list(seen)[:room])
        width = max((len(line.lead) + len(line.name) for line in lines), default=0)
        return Group(*(self._line(line, width) for line in lines), self._summary())

    def _line(self, line: Line, width: int) -> Text:
        state = self._states[line.name]
        mark, colour = _LOOKS[state]
        mark = mark or _FRAMES[int(time.monotonic() * 10) % len(_FRAMES)]
        name = printable(line.name)
        gap = " " * (width - len(line.lead) - len(name) + 2)
        return Text.assemble(
            (line.lead, "bright_black"), (f"{mark} ", colour), name, gap, (self._told(line.name, state), colour)
        )

    def _told(self, name: str, state: State) -> str:
        if state in _MOVING:
            return f"{state.value.replace('-', ' ')} {time.monotonic() - self._since[name]:.1f} s"
        if state is State.PENDING:
            return self._waiting(self._needs[name], State.READY)
        if state is State.READY and self._stopping:
            left = [other for other in self._dependents.get(name, ()) if self._states[other] in (*_MOVING, State.READY)]
            return f"waits for {', '.join(left)}" if left else state.value
        took = f" {self._took[name]:.3f} s" if state in (State.READY, State.DOWN) else ""
        return f"{state.value}{took}"

    def _waiting(self, names: tuple[str, ...], wanted: State) -> str:
        left = [name for name in names if self._states[name] is not wanted]
        return f"waits for {', '.join(left)}" if left else "pending"

    def _summary(self) -> Text:
        counts = Counter(self._states.values())
        told = (f"{counts[state]} {state.value.replace('-', ' ')}" for state in State if counts[state])
        return Text(", ".join(told), style="bold")


def _matters(state: State) -> bool:
    return state in _MOVING or state in (State.FAILED, State.ABANDONED)
