"""
A message queue on Redis for applications that Conductor runs: installed, it takes the place of ``mq``.

=====================  ==================================================================================
``RedisMessageQueue``  the component: streams and consumer groups, delays, order by key, dead letters kept
=====================  ==================================================================================

Its errors are those of :mod:`conductor_mq`; that the server cannot be used is ``QueueServerError``.
"""

from ._queue import RedisMessageQueue

__all__ = ["RedisMessageQueue"]
