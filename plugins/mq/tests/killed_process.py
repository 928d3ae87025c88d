"""
Publishes to a queue, or consumes from it, until killed; a process of its own, run by the tests.

It begins when it is given a line on standard input.  Each line on standard output is the body of a message that
is confirmed, or about to be acknowledged.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys

from conductor.testing import running
from conductor_mq import MessageQueue, SQLiteMessageQueue

VISIBILITY = 0.4
PREFETCH = 3


async def publish(queue: MessageQueue, name: str) -> None:
    """
    Publish from several tasks at once, and say what is confirmed.
    """
    numbers = itertools.count()

    async def publisher() -> None:
        for number in numbers:
            body = f"{name}-{number}"
            await queue.publish("jobs", body.encode(), key=f"k{number % 5}" if number % 2 else None)
            say(body)

    await asyncio.gather(*(publisher() for _ in range(4)))


async def consume(queue: MessageQueue) -> None:
    """
    Consume several messages at once, and say what is handled.
    """
    async with queue.subscribe("jobs", prefetch=PREFETCH) as deliveries:

        async def consumer() -> None:
            async for delivery in deliveries:
                say(delivery.body.decode())
                await delivery.ack()

        await asyncio.gather(*(consumer() for _ in range(PREFETCH)))


def say(text: str) -> None:
    """
    Write a line in one piece.
    """
    os.write(1, text.encode() + b"\n")


async def main(role: str, path: str, name: str) -> None:
    """
    Do one of the two until killed.
    """
    async with running(SQLiteMessageQueue(path=path, visibility=VISIBILITY, max_attempts=1000)) as queue:
        await (publish(queue, name) if role == "publish" else consume(queue))


if __name__ == "__main__":
    if sys.stdin.readline():
        asyncio.run(main(*sys.argv[1:]))
