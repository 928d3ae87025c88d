"""
The log lines of an application, made from hooks like any other listener's.
"""

from __future__ import annotations

import logging

import attrs

from ._diagnosis import Blockage, Diagnosis
from ._plan import Plan
from ._report import Report
from .exceptions import ComponentError
from .hookspecs import hookimpl
from .lifecycle import State, Transition

logger = logging.getLogger("conductor")

_LOUD = {State.READY, State.DOWN}


@attrs.define
class TransitionLog:
    """
    One line for each move of a component: ``info`` for up and down, ``debug`` for the steps between.
    """

    _since: dict[str, float] = attrs.field(factory=dict)

    @hookimpl
    def conductor_state_changed(self, transition: Transition) -> None:
        """
        Write the line.
        """
        level = logging.INFO if transition.after in _LOUD else logging.DEBUG
        took = transition.at - self._since.get(transition.component, transition.at)
        self._since[transition.component] = transition.at
        logger.log(level, "%s: %s (%.3f s)", transition.component, transition.after.value, took)


class EventLog:
    """
    One line for each event of the whole application, and one for each failure.
    """

    @hookimpl
    def conductor_planned(self, plan: Plan) -> None:
        """
        Say what is strange about the plan.
        """
        for warning in plan.warnings:
            logger.warning("%s", warning)
        logger.debug("%d components planned, digest %s", len(plan.steps), plan.digest[:12])

    @hookimpl
    def conductor_failed(self, error: ComponentError) -> None:
        """
        Say what failed; the traceback goes with the exception itself.
        """
        logger.error("%s", error)

    @hookimpl
    def conductor_ready(self, plan: Plan, seconds: float) -> None:
        """
        Say that everything is up.
        """
        count = len(plan.steps)
        if not count:
            logger.warning("nothing is up: no component is installed, or none takes part; see 'conductor list'")
        logger.info("ready: %d component%s up after %.3f s", count, "" if count == 1 else "s", seconds)

    @hookimpl
    def conductor_noticed(self, message: str) -> None:
        """
        Say what was put right.
        """
        logger.warning("%s", message)

    @hookimpl
    def conductor_stuck(self, diagnosis: Diagnosis) -> None:
        """
        Say who waits for whom.
        """
        logger.warning("a limit was passed, and this is who waits for whom:\n%s", diagnosis)

    @hookimpl
    def conductor_blocked(self, blockage: Blockage) -> None:
        """
        Say who blocks the event loop, and where.
        """
        logger.warning("%s", blockage)

    @hookimpl
    def conductor_stopping(self, reason: str) -> None:
        """
        Say why the application shuts down.
        """
        logger.info("shutting down: %s", reason)

    @hookimpl
    def conductor_reported(self, report: Report) -> None:
        """
        Say how it ended.
        """
        level = logging.INFO if report.exit_code == 0 else logging.ERROR
        logger.log(level, "down: %s (exit code %d)", report.reason, report.exit_code)
