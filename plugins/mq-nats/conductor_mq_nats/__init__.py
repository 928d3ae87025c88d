"""
The message queue of Conductor on NATS JetStream: installed, it takes the place of the embedded default.

:class:`NATSMessageQueue` overrides the component ``mq``.  What it keeps on the server, and why, is described in
``_broker``; what it asks of the server, in the README.
"""

from ._queue import NATSMessageQueue

__all__ = ["NATSMessageQueue"]
