"""
The queue on NATS keeps the rules that every queue keeps.
"""

from __future__ import annotations

from typing import Any

import pytest

from conductor_mq import MessageQueue
from conductor_mq.testing import RULES, Rule, Trial
from conductor_mq_nats import NATSMessageQueue

from .nats_servers import Place


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_nats_queue_keeps_the_rule(rule: Rule, nats_place: Place) -> None:
    """
    The queue on NATS behaves as the contract says.
    """

    def make(**settings: Any) -> MessageQueue:  # Any: settings of whatever type
        return NATSMessageQueue(url=nats_place.url, namespace=nats_place.namespace, **settings)

    Trial(make).check(rule)
