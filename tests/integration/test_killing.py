"""
Orders in the middle of load, while the application is killed or stopped.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx

from tests.integration.environments import Environment
from tests.integration.processes import PATIENCE, Process, eventually

PRICES = {"tea": 350, "coffee": 420, "cake": 580, "something else": 500}
CUSTOMERS = 6
KILLS = 4

# The database itself counts how often an order is priced, in the same transaction.
LEDGER = """
CREATE TABLE IF NOT EXISTS ledger (order_id INTEGER NOT NULL, total INTEGER);
CREATE TRIGGER IF NOT EXISTS priced AFTER UPDATE ON orders WHEN new.status = 'done' BEGIN
    INSERT INTO ledger VALUES (new.id, new.total);
END;
"""


@attrs.define(eq=False)
class Load:
    """
    Customers who order as fast as they can, until nobody answers.

    Attributes:
        url: where they order.
        confirmed: what they have been told was taken: item and quantity for each id.
        refusals: answers that were neither 201 nor that the server is going down.
    """

    url: str
    confirmed: dict[int, tuple[str, int]] = attrs.field(factory=dict)
    refusals: list[str] = attrs.field(factory=list)
    _news: threading.Condition = attrs.field(factory=threading.Condition, init=False)

    @contextmanager
    def running(self) -> Iterator[None]:
        """
        Customers order within this block; its end waits for all of them to be turned away.
        """
        customers = [threading.Thread(target=self._order, args=(number,)) for number in range(CUSTOMERS)]
        for customer in customers:
            customer.start()
        yield
        for customer in customers:
            customer.join(PATIENCE)
            assert not customer.is_alive(), "a customer still waits for an answer"

    def wait_for(self, count: int) -> None:
        """
        Return as soon as so many orders are confirmed.
        """
        with self._news:
            assert self._news.wait_for(lambda: len(self.confirmed) >= count, PATIENCE)

    def _order(self, number: int) -> None:
        chance = random.Random(number)
        with httpx.Client(base_url=self.url, timeout=PATIENCE) as client:
            while True:
                item, quantity = chance.choice(list(PRICES)), chance.randrange(1, 1000)
                try:
                    answer = client.post("/orders", json={"item": item, "quantity": quantity})
                except httpx.TransportError:
                    return
                with self._news:
                    if answer.status_code != 201:
                        self.refusals.append(answer.text)
                        return
                    assert answer.json()["id"] not in self.confirmed
                    self.confirmed[answer.json()["id"]] = (item, quantity)
                    self._news.notify_all()


def begin(environment: Environment, directory: Path) -> Process:
    """
    The application on any free port; what a killed worker held in its hands is handed out again after a second.
    """
    return environment.begin("run", "--set", "orders-api.port=0", "--set", "mq.visibility=1", directory=directory)


def keep_ledger(directory: Path) -> None:
    """
    Have the database write down each time that an order becomes done.
    """
    with closing(sqlite3.connect(directory / "app.db", timeout=PATIENCE)) as connection:
        connection.executescript(LEDGER)


def read_orders(url: str) -> dict[int, dict[str, Any]]:
    """
    All orders as they are shown, once none of them is waiting any more.
    """

    def probe() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = httpx.get(f"{url}/orders", timeout=PATIENCE).raise_for_status().json()
        return found if all(order["status"] == "done" for order in found) else None

    return {order["id"]: order for order in eventually(probe, what="the end of all orders")}


def assert_nothing_is_lost(environment: Environment, directory: Path, confirmed: dict[int, tuple[str, int]]) -> None:
    """
    After one more start every confirmed order is done, with the right total, and was priced exactly once.
    """
    with begin(environment, directory) as process:
        shown = read_orders(process.wait_for_url())
        assert process.stop() == 0
    assert confirmed.keys() <= shown.keys()
    assert all(
        (shown[order_id]["item"], shown[order_id]["quantity"]) == ordered for order_id, ordered in confirmed.items()
    )
    with closing(sqlite3.connect(directory / "app.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        stored = connection.execute("SELECT id, item, quantity, status, total FROM orders").fetchall()
        ledger = Counter(connection.execute("SELECT order_id, total FROM ledger").fetchall())
        assert connection.execute("SELECT count(*) FROM outbox").fetchall() == [(0,)]
    expected = {(order_id, PRICES[item] * quantity): 1 for order_id, item, quantity, _, _ in stored}
    assert {(order_id, total) for order_id, _, _, status, total in stored if status == "done"} == expected.keys()
    assert ledger == expected


def test_no_order_is_lost_or_priced_twice_by_kill(environment: Environment, directory: Path) -> None:
    """
    However often the application is killed under load, each order answered with 201 comes to be done, exactly once.
    """
    chance = random.Random(KILLS)
    confirmed: dict[int, tuple[str, int]] = {}
    for _ in range(KILLS):
        with begin(environment, directory) as process:
            load = Load(process.wait_for_url())
            keep_ledger(directory)
            with load.running():
                load.wait_for(chance.randrange(20, 60))
                process.stop(signal.SIGKILL)
        assert process.code == -signal.SIGKILL
        assert load.refusals == []
        assert not confirmed.keys() & load.confirmed.keys()
        confirmed |= load.confirmed
    assert_nothing_is_lost(environment, directory, confirmed)


def test_no_order_is_lost_or_priced_twice_by_an_orderly_stop(environment: Environment, directory: Path) -> None:
    """
    Ctrl-C under load ends with 0; each order answered with 201 comes to be done, exactly once, at the latest next time.
    """
    with begin(environment, directory) as process:
        load = Load(process.wait_for_url())
        keep_ledger(directory)
        with load.running():
            load.wait_for(50)
            assert process.stop(signal.SIGINT) == 0, process
    assert "warning" not in process.stderr, process.stderr
    assert "error" not in process.stderr, process.stderr
    assert_nothing_is_lost(environment, directory, load.confirmed)
