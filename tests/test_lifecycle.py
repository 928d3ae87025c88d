"""
The one table of states.
"""

from __future__ import annotations

import pytest

from conductor.lifecycle import TRANSITIONS, State, check_move


def test_every_state_stands_in_the_table() -> None:
    """
    The table says of each state what may follow.
    """
    assert set(TRANSITIONS) == set(State)


def test_every_state_is_reached_from_pending() -> None:
    """
    No state is out of reach, and every way ends.
    """
    reached, frontier = {State.PENDING}, [State.PENDING]
    while frontier:
        for after in TRANSITIONS[frontier.pop()] - reached:
            reached.add(after)
            frontier.append(after)
    assert reached == set(State)


def test_no_way_leads_in_a_circle() -> None:
    """
    Within one life no component comes to the same state twice.
    """

    def walk(state: State, before: tuple[State, ...]) -> None:
        assert state not in before
        for after in TRANSITIONS[state]:
            walk(after, (*before, state))

    walk(State.PENDING, ())


def test_final_states_are_those_that_nothing_follows() -> None:
    """
    A component is finished when it is down, skipped, failed or abandoned.
    """
    assert {state for state in State if state.final} == {State.DOWN, State.SKIPPED, State.FAILED, State.ABANDONED}


def test_a_move_that_is_not_in_the_table_is_a_bug() -> None:
    """
    A move that the table does not allow is refused.
    """
    check_move("db", State.PENDING, State.SETTING_UP)
    with pytest.raises(AssertionError, match="'db' cannot move from down to ready"):
        check_move("db", State.DOWN, State.READY)
