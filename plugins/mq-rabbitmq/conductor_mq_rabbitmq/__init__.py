"""
A message queue on RabbitMQ for applications that Conductor runs: installed, it takes the place of ``mq``.

========================  ===============================================================================
``RabbitMQMessageQueue``  the component: quorum queues, publisher confirms, dead letters kept with reason
========================  ===============================================================================

Its errors are those of :mod:`conductor_mq`; that the server cannot be used is ``QueueServerError``.
"""

from ._queue import RabbitMQMessageQueue

__all__ = ["RabbitMQMessageQueue"]
