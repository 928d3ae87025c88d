"""
Both implementations of this distribution keep the rules, and the suite notices when one does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conductor_mq import MessageQueue, SQLiteMessageQueue
from conductor_mq.testing import RULES, MemoryBroker, MemoryMessageQueue, QueueFactory, Rule, Trial

every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)


def in_memory(broker: MemoryBroker) -> QueueFactory:
    """
    Makes queues that share one memory.
    """

    def make(**settings: Any) -> MessageQueue:
        return MemoryMessageQueue(memory=broker, **settings)

    return make


@every_rule
def test_memory_queue_keeps_the_rule(rule: Rule) -> None:
    """
    The test double behaves as the contract says.
    """
    Trial(in_memory(MemoryBroker())).check(rule)


@every_rule
def test_sqlite_queue_keeps_the_rule(rule: Rule, tmp_path: Path) -> None:
    """
    The embedded default behaves as the contract says.
    """
    path = str(tmp_path / "queue.db")

    def make(**settings: Any) -> MessageQueue:
        return SQLiteMessageQueue(path=path, **settings)

    Trial(make).check(rule)
