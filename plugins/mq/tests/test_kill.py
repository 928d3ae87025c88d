"""
What the embedded queue keeps when its processes are killed at any moment.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from conductor.testing import running
from conductor_mq import SQLiteMessageQueue

from . import killed_process

KILLS = int(os.environ.get("CONDUCTOR_TEST_KILLS", "16"))


def prepare(role: str, path: Path, name: str) -> subprocess.Popen[bytes]:
    """
    A process that publishes or consumes as soon as it is let.
    """
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, killed_process.__file__, role, str(path), name]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ)


def let_begin(process: subprocess.Popen[bytes]) -> None:
    """
    Let a process begin.
    """
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


def read_lines(process: subprocess.Popen[bytes], count: int) -> list[bytes]:
    """
    The next lines that a process says, fewer if it ends.
    """
    assert process.stdout is not None
    return [line.strip() for _ in range(count) if (line := process.stdout.readline())]


def kill(process: subprocess.Popen[bytes]) -> list[bytes]:
    """
    Kill a process, and give what it said before.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.poll() is None, "the process ended by itself"
    process.kill()
    with process.stdin, process.stdout:
        said = process.stdout.read().splitlines(keepends=True)
    process.wait()
    return [line.strip() for line in said if line.endswith(b"\n")]


async def finish(path: Path) -> Counter[bytes]:
    """
    Handle everything that is left in the queue.
    """
    handled: Counter[bytes] = Counter()
    async with (
        running(SQLiteMessageQueue(path=str(path), max_attempts=1000)) as queue,
        queue.subscribe("jobs", prefetch=1) as deliveries,
        asyncio.timeout(30),
    ):
        while any(each.waiting or each.in_flight for each in await queue.backlog()):
            delivery = await anext(deliveries)
            handled[delivery.body] += 1
            await delivery.ack()
        assert await queue.dead_letters("jobs") == []
    return handled


def test_killed_processes_lose_nothing(tmp_path: Path) -> None:
    """
    However often publisher and consumer are killed, no confirmed message is lost, and few are handled twice.
    """
    chance = random.Random(KILLS)
    path = tmp_path / "queue.db"
    confirmed: set[bytes] = set()
    handled: Counter[bytes] = Counter()
    pairs = [(prepare("publish", path, "p0"), prepare("consume", path, ""))]
    for turn in range(KILLS // 2):
        publisher, consumer = pairs.pop()
        let_begin(publisher)
        let_begin(consumer)
        pairs.append((prepare("publish", path, f"p{turn + 1}"), prepare("consume", path, "")))
        confirmed.update(read_lines(publisher, chance.randrange(1, 80)))
        handled.update(read_lines(consumer, chance.randrange(1, 40)))
        for process in chance.sample([publisher, consumer], 2):
            said = kill(process)
            confirmed.update(said) if process is publisher else handled.update(said)
    for process in pairs.pop():
        kill(process)
    handled.update(asyncio.run(finish(path)))
    assert confirmed - handled.keys() == set()
    assert handled.total() - len(handled) <= KILLS // 2 * killed_process.PREFETCH
    assert len(confirmed) > KILLS


def test_consumer_in_another_process_is_quick(tmp_path: Path) -> None:
    """
    What one process publishes is handled by another one at once, not only when that asks again.
    """
    path = tmp_path / "queue.db"
    consumer = prepare("consume", path, "")
    let_begin(consumer)

    async def publish() -> list[float]:
        loop = asyncio.get_running_loop()
        waits = []
        async with running(SQLiteMessageQueue(path=str(path))) as queue:
            await queue.publish("jobs", b"first")
            await asyncio.to_thread(read_lines, consumer, 1)
            for number in range(10):
                begun = loop.time()
                await queue.publish("jobs", b"%d" % number)
                assert await asyncio.to_thread(read_lines, consumer, 1) == [b"%d" % number]
                waits.append(loop.time() - begun)
        return waits

    try:
        assert sorted(asyncio.run(publish()))[5] < 0.5
    finally:
        kill(consumer)
