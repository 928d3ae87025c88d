"""
Tests of the whole example as its users run it: one command, real HTTP, and the plug pulled.
"""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import httpx
import pytest

PATIENCE = 60.0
TRIGGER = """
CREATE TABLE IF NOT EXISTS priced (id INTEGER);
CREATE TRIGGER IF NOT EXISTS note AFTER UPDATE OF total ON orders BEGIN INSERT INTO priced VALUES (new.id); END;
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@attrs.frozen
class Application:
    """
    One life of the application, in a process of its own.
    """

    process: subprocess.Popen[bytes]
    client: httpx.Client

    def wait_until_ready(self) -> None:
        """
        Wait until it answers.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "it ended by itself"
            with contextlib.suppress(httpx.TransportError):
                if self.client.get("/healthz").status_code == 200:
                    return
            time.sleep(0.02)
        raise AssertionError("it did not become ready")

    def wait_until_done(self, ids: set[int]) -> None:
        """
        Wait until each of the orders is done.
        """
        deadline = time.monotonic() + PATIENCE
        while not ids <= self.ids("done"):
            assert time.monotonic() < deadline, f"not done: {sorted(ids - self.ids('done'))}"
            time.sleep(0.05)

    def ids(self, status: str) -> set[int]:
        """
        The orders that have the status.
        """
        return {order["id"] for order in self.client.get("/orders", params={"status": status}).json()}


@contextlib.contextmanager
def application(folder: Path) -> Iterator[Application]:
    port = free_port()
    roots = ["orders-api", "orders-workers", "--set", f"orders-api.port={port}", "--set", "mq.visibility=1.0"]
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "conductor", "run", *roots], cwd=folder, stdout=log, stderr=log
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
                life = Application(process, client)
                life.wait_until_ready()
                yield life
        finally:
            process.kill()
            process.wait()


def post_until(url: httpx.URL, over: threading.Event, confirmed: set[int]) -> None:
    """
    Post orders one after another and note those that were answered with 201.
    """
    with httpx.Client(base_url=url) as client:
        while not over.is_set():
            try:
                answer = client.post("/orders", json={"item": "tea", "quantity": 1})
            except httpx.TransportError:
                return
            if answer.status_code == 201:
                confirmed.add(answer.json()["id"])


@contextlib.contextmanager
def load(url: httpx.URL, confirmed: set[int]) -> Iterator[None]:
    over = threading.Event()
    threads = [threading.Thread(target=post_until, args=(url, over, confirmed)) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def wait_for_more(confirmed: set[int], number: int) -> None:
    goal = len(confirmed) + number
    deadline = time.monotonic() + PATIENCE
    while len(confirmed) < goal:
        assert time.monotonic() < deadline, "no orders are taken"
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_confirmed_order_is_lost_or_priced_twice(tmp_path: Path, number: signal.Signals) -> None:
    """
    With the application killed or interrupted under load, again and again, each order that was answered with 201
    reaches done, and each total is set once.
    """
    confirmed: set[int] = set()
    chance = random.Random(number)
    for _ in range(3):
        with application(tmp_path) as life:
            with contextlib.closing(sqlite3.connect(tmp_path / "app.db")) as watch:
                watch.executescript(TRIGGER)
            with load(life.client.base_url, confirmed):
                wait_for_more(confirmed, chance.randrange(5, 40))
                life.process.send_signal(number)
                code = life.process.wait(PATIENCE)
            assert code == (0 if number == signal.SIGINT else -signal.SIGKILL)
    with application(tmp_path) as life:
        stored = life.ids("received") | life.ids("done")  # in this order, as they only ever go from one to the other
        assert confirmed <= stored
        life.wait_until_done(stored)
    with contextlib.closing(sqlite3.connect(tmp_path / "app.db")) as watch:
        priced = sorted(row[0] for row in watch.execute("SELECT id FROM priced"))
        assert priced == sorted(stored)
        assert watch.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
