"""
What happened, as a value.
"""

from __future__ import annotations

import json

from conductor._discovery import Origin
from conductor._plan import Plan
from conductor._report import Report, Times, make_report
from conductor._step import Step
from conductor.exceptions import ComponentError
from conductor.lifecycle import State

PLAN = Plan((Step("db", object, Origin("shop-db", "1.2", "/site")), Step("api", object), Step("late", object)))


def make() -> Report:
    """
    The report of a life in which one component failed and one never began.
    """
    return make_report(
        PLAN,
        {"db": State.DOWN, "api": State.FAILED, "late": State.SKIPPED},
        times={"db": Times(1.0, 1.5, 3.0, 3.25), "api": Times(2.0, None, 2.5, 2.75)},
        failures=[ComponentError("api", "set-up", "shop-api 2.0", "RuntimeError: \x1b[31mno luck")],
        reason="set-up failed",
        exit_code=4,
    )


def test_tells_of_each_component_in_the_order_of_setup() -> None:
    """
    Each component has its state, its distribution and how long it took.
    """
    db, api, late = make().outcomes
    assert (db.component, db.distribution, db.state) == ("db", "shop-db 1.2", State.DOWN)
    assert (db.setup_seconds, db.shutdown_seconds) == (0.5, 0.25)
    assert (api.setup_seconds, api.shutdown_seconds) == (None, 0.25)
    assert (late.state, late.setup_seconds, late.errors) == (State.SKIPPED, None, ())


def test_failures_stand_with_their_component() -> None:
    """
    A failure is told where it belongs.
    """
    assert "no luck" in make().outcomes[1].errors[0]


def test_prints_well() -> None:
    """
    Its text begins with how it ended, and cannot steer a terminal.
    """
    lines = str(make()).splitlines()
    assert lines[0] == "set-up failed (exit code 4)"
    assert lines[1] == "  db: down (set-up 0.500 s, shutdown 0.250 s)"
    assert "\x1b" not in str(make())
    assert "no luck" in lines[-1]


def test_can_be_written_as_json() -> None:
    """
    It is made of plain values when asked.
    """
    told = json.loads(json.dumps(make().as_dict()))
    assert told["exit_code"] == 4
    assert [component["state"] for component in told["components"]] == ["down", "failed", "skipped"]
    assert "no luck" in told["failures"][0]
