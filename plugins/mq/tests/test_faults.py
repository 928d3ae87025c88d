"""
For each rule of the suite there is a queue that breaks it, and is caught.
"""

from __future__ import annotations

import pytest

from conductor_mq.testing import RULES, MemoryBroker, MemoryMessageQueue, Trial

from . import faults

Fault = type[MemoryBroker] | type[MemoryMessageQueue]

CAUGHT: dict[str, tuple[Fault, ...]] = {
    "message_arrives_as_published": (faults.DropsHeaders, faults.IgnoresKeys),
    "acknowledged_message_is_gone": (faults.KeepsAcknowledged,),
    "order_of_publication": (faults.LastInFirstOut,),
    "every_group_gets_every_message": (faults.OneGroupOnly,),
    "first_group_gets_what_waited": (faults.ForgetsEarly, faults.OneGroupOnly),
    "group_outlives_its_consumers": (faults.ForgetsGroups,),
    "consumers_of_a_group_compete": (faults.HandsOutTwice,),
    "ten_thousand_messages": (faults.HandsOutTwice, faults.LosesOneInAThousand),
    "other_process_wakes_consumer": (faults.IsDeaf,),
    "delayed_message_comes_later": (faults.IgnoresDelay,),
    "prefetch_is_the_limit": (faults.IgnoresPrefetch,),
    "topics_are_just_text": (faults.ReadsTopicsAsPatterns,),
    "large_bodies": (faults.CutsBodies, faults.TakesAnything),
    "nonsense_is_refused": (faults.TakesAnything,),
    "unacknowledged_message_comes_back": (faults.LosesUnacknowledged, faults.CountsNothing, faults.HandsOutTwice),
    "one_holder_at_a_time": (faults.HandsOutTwice,),
    "late_settlement_is_refused": (faults.AcceptsLate,),
    "second_settlement_is_refused": (faults.SettlesAgain,),
    "foreign_settlement_is_refused": (faults.CountsNothing, faults.ForgetsReturned),
    "extended_message_stays": (faults.ExtendsNothing,),
    "nack_brings_back_later": (faults.IgnoresPauses, faults.CountsNothing),
    "pauses_grow": (faults.IgnoresPauses,),
    "last_refusal_makes_dead_letter": (faults.NeverDeadLetters, faults.DropsDead, faults.ForgetsWhyItDied),
    "last_silence_makes_dead_letter": (faults.NeverDeadLetters, faults.CountsNothing, faults.ForgetsWhyItDied),
    "rejected_message_is_dead_at_once": (faults.NeverDeadLetters, faults.DropsDead),
    "dead_letters_are_listed_and_replayed": (faults.ReplaysEverything, faults.DropsDead),
    "order_of_one_key": (faults.IgnoresKeys,),
    "key_goes_on_after_dead_letter": (faults.KeyStaysBusy, faults.IgnoresKeys),
    "messages_outlive_the_queue": (faults.IsForgetful,),
    "ended_subscription_gives_back": (faults.NeverEnds, faults.ForgetsReturned),
    "drained_subscription_finishes": (faults.DrainsHastily, faults.NeverEnds),
    "failed_consumer_counts": (faults.ForgivesFailure, faults.DropsDead),
    "cancelled_wait_loses_nothing": (faults.IsStubborn,),
    "consumed_until_cancelled": (faults.AbandonsHandlers,),
    "shut_down_queue_ends_consumers": (faults.NeverEnds, faults.LivesOn),
    "backlog_counts": (faults.CountsDeadAsWaiting,),
}


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name, found in CAUGHT.items() for fault in found], ids=lambda each: str(each)
)
def test_faulty_queue_is_caught(name: str, fault: Fault) -> None:
    """
    A queue with a planted fault fails the rule that it breaks.
    """
    (rule,) = (rule for rule in RULES if rule.__name__ == name)
    broker = fault() if issubclass(fault, MemoryBroker) else MemoryBroker()
    queue = fault if issubclass(fault, MemoryMessageQueue) else MemoryMessageQueue
    trial = Trial(lambda **settings: queue(memory=broker, **settings), visibility=0.1, patience=0.5)
    with pytest.raises(AssertionError):
        trial.check(rule)


def test_every_rule_can_fail() -> None:
    """
    There is no rule for which no faulty queue is caught.
    """
    assert set(CAUGHT) == {rule.__name__ for rule in RULES}
