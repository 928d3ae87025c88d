"""
The queue on RabbitMQ keeps every rule of the contract.
"""

from __future__ import annotations

from typing import Any

import pytest

from conductor_mq import MessageQueue
from conductor_mq.testing import RULES, Rule, Trial
from conductor_mq_rabbitmq import RabbitMQMessageQueue

from .rabbitmq_servers import Place


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rabbitmq_queue_keeps_the_rule(rule: Rule, rabbitmq_place: Place) -> None:
    """
    The queue on RabbitMQ behaves as the contract says.
    """

    def make(**settings: Any) -> MessageQueue:  # Any: settings of whatever type
        return RabbitMQMessageQueue(url=rabbitmq_place.url, namespace=rabbitmq_place.namespace, **settings)

    Trial(make, visibility=0.5).check(rule)
