"""
The queue on Redis keeps every rule of the contract.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conductor_mq import MessageQueue
from conductor_mq.testing import RULES, Rule, Trial
from conductor_mq_redis import RedisMessageQueue

from . import redis_servers


@pytest.fixture
def place(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """
    The settings of an empty queue.
    """
    with redis_servers.own_place(tmp_path) as settings:
        yield settings


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_redis_queue_keeps_the_rule(rule: Rule, place: dict[str, Any]) -> None:
    """
    The queue on Redis behaves as the contract says.
    """

    def make(**settings: Any) -> MessageQueue:
        return RedisMessageQueue(**place, **settings)

    Trial(make).check(rule)
