"""
For tests: a queue in memory, and the suite that every implementation of the contract must pass.

An implementation is held to the suite by one test::

    @pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
    def test_conformance(rule, tmp_path):
        path = str(tmp_path / "queue.db")
        Trial(lambda **settings: SQLiteMessageQueue(path=path, **settings)).check(rule)
"""

from . import _delivery_rules, _life_rules, _settlement_rules
from ._conformance import QueueFactory, Rule, Trial
from ._memory import MemoryBroker, MemoryChannel, MemoryMessageQueue

RULES: tuple[Rule, ...] = (
    _delivery_rules.message_arrives_as_published,
    _delivery_rules.acknowledged_message_is_gone,
    _delivery_rules.order_of_publication,
    _delivery_rules.every_group_gets_every_message,
    _delivery_rules.first_group_gets_what_waited,
    _delivery_rules.group_outlives_its_consumers,
    _delivery_rules.consumers_of_a_group_compete,
    _delivery_rules.ten_thousand_messages,
    _delivery_rules.other_process_wakes_consumer,
    _delivery_rules.delayed_message_comes_later,
    _delivery_rules.prefetch_is_the_limit,
    _delivery_rules.topics_are_just_text,
    _delivery_rules.large_bodies,
    _delivery_rules.nonsense_is_refused,
    _settlement_rules.unacknowledged_message_comes_back,
    _settlement_rules.one_holder_at_a_time,
    _settlement_rules.late_settlement_is_refused,
    _settlement_rules.second_settlement_is_refused,
    _settlement_rules.foreign_settlement_is_refused,
    _settlement_rules.extended_message_stays,
    _settlement_rules.nack_brings_back_later,
    _settlement_rules.pauses_grow,
    _settlement_rules.last_refusal_makes_dead_letter,
    _settlement_rules.last_silence_makes_dead_letter,
    _settlement_rules.rejected_message_is_dead_at_once,
    _settlement_rules.dead_letters_are_listed_and_replayed,
    _settlement_rules.order_of_one_key,
    _settlement_rules.key_goes_on_after_dead_letter,
    _life_rules.messages_outlive_the_queue,
    _life_rules.ended_subscription_gives_back,
    _life_rules.drained_subscription_finishes,
    _life_rules.failed_consumer_counts,
    _life_rules.cancelled_wait_loses_nothing,
    _life_rules.consumed_until_cancelled,
    _life_rules.shut_down_queue_ends_consumers,
    _life_rules.backlog_counts,
)
"""
The rules of the contract, each a coroutine function of a :class:`Trial` whose docstring says what it demands.
"""

__all__ = ["RULES", "MemoryBroker", "MemoryChannel", "MemoryMessageQueue", "QueueFactory", "Rule", "Trial"]
