"""
Laws over random graphs with random faults: whatever components do, the runner keeps its order and its promises.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.laws import IMMEDIATE, PLACES, RAISED, Fault, Part, Scenario, judge, make_scenario, play

CAREFUL = settings(max_examples=200, deadline=None, print_blob=True)
SEEDS = st.integers(0, 2**32 - 1)


@CAREFUL
@given(SEEDS)
def test_whatever_components_do_the_laws_hold(seed: int) -> None:
    """
    With hostile components and interventions from outside, no law is broken.
    """
    assert judge(play(make_scenario(seed))) == []


@CAREFUL
@given(SEEDS)
def test_an_application_without_faults_comes_up_and_goes_down_clean(seed: int) -> None:
    """
    Without faults, everything is ready once, and down in the end, with nothing to report.
    """
    story = play(make_scenario(seed, faults=0, events=0, stops=(1000.0,)))
    assert judge(story) == []
    assert story.is_up is True
    assert story.failures == ()


@CAREFUL
@given(SEEDS)
def test_one_fault_is_always_the_first_cause(seed: int) -> None:
    """
    With one hostile component, no other one is blamed, unless that had cancelled it.
    """
    scenario = make_scenario(seed, faults=1, events=0, stops=(1000.0,))
    story = play(scenario)
    assert judge(story) == []
    hostile = [index for index, part in enumerate(scenario.parts) if part.faults]
    if not any(Fault.CANCEL_ALL in scenario.parts[index].faults.values() for index in hostile):
        assert {error.component for error in story.failures} <= {f"c{index}" for index in hostile}


def test_every_fault_in_every_place_is_survived() -> None:
    """
    Each fault in each place, at the top, in the middle and at the bottom of a chain.
    """
    for place in PLACES:
        for fault in RAISED if place == "init" else Fault:
            for position in range(3):
                scenario = make_chain(position, place, fault)
                assert judge(play(scenario)) == [], f"{fault} in {place} at {position}"


def make_chain(position: int, place: str, fault: Fault) -> Scenario:
    """
    Three components in a chain, one of which has a fault.
    """
    phases = frozenset({"setup", "shutdown", "run"})
    registers = ("leave", "callback", "task", "leave")
    return Scenario(
        tuple(
            Part((index - 1,) if index else (), phases, 0.5, {place: fault} if index == position else {}, registers)
            for index in range(3)
        )
    )


def test_the_faults_that_need_no_waiting_are_known() -> None:
    """
    What raises at once is told apart from what takes time.
    """
    assert set(IMMEDIATE) | {Fault.HANG, Fault.STUBBORN, Fault.FOREVER, Fault.LATE_ERROR} == set(Fault)
