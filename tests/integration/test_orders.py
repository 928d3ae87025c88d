"""
The example application, installed from wheels and run by its command.
"""

from __future__ import annotations

import signal
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.environments import Environment
from tests.integration.processes import eventually


def ask_until_done(url: str, order_id: int) -> dict[str, Any]:
    """
    An order as it is shown once it is done.
    """

    def probe() -> dict[str, Any] | None:
        shown: dict[str, Any] = httpx.get(f"{url}/orders/{order_id}").raise_for_status().json()
        return shown if shown["status"] == "done" else None

    return eventually(probe, what=f"the end of order {order_id}")


def order(url: str, item: str, quantity: int) -> int:
    """
    Post an order, and give its id.
    """
    answer = httpx.post(f"{url}/orders", json={"item": item, "quantity": quantity})
    assert answer.status_code == 201
    assert answer.json() == {"id": answer.json()["id"], "status": "received"}
    return int(answer.json()["id"])


def can_listen(url: str) -> bool:
    """
    Whether the port of a URL is free.
    """
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((httpx.URL(url).host, httpx.URL(url).port or 0))
            sock.listen()
        except OSError:
            return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_orders_are_served_and_a_signal_ends_it_clean(
    environment: Environment, directory: Path, number: signal.Signals
) -> None:
    """
    In an empty directory an order is taken over HTTP and comes to be done; a signal ends all of it with 0.
    """
    with environment.begin("run", "--set", "orders-api.port=0", directory=directory) as process:
        url = process.wait_for_url()
        assert not can_listen(url)
        assert httpx.get(f"{url}/healthz").status_code == 200
        order_id = order(url, "tea", 3)
        assert ask_until_done(url, order_id) == {
            "id": order_id,
            "item": "tea",
            "quantity": 3,
            "status": "done",
            "total": 1050,
        }
        assert [each["id"] for each in httpx.get(f"{url}/orders").json()] == [order_id]
        assert process.stop(number) == 0
    assert f"received {number.name}" in process.stderr
    assert process.stdout == ""
    assert not process.left_anything()
    assert can_listen(url)


def test_orders_outlive_the_process(environment: Environment, directory: Path) -> None:
    """
    What was ordered in one run is shown by the next one, in the same directory.
    """
    with environment.begin("run", "--set", "orders-api.port=0", directory=directory) as process:
        order_id = order(process.wait_for_url(), "coffee", 2)
        assert process.stop() == 0
    with environment.begin("run", "--set", "orders-api.port=0", directory=directory) as process:
        assert ask_until_done(process.wait_for_url(), order_id)["total"] == 840
        assert process.stop() == 0


def test_the_port_may_come_from_file_environment_or_command_line(environment: Environment, directory: Path) -> None:
    """
    The same setting is taken from `conductor.toml`, from a variable above it, and from `--set` above both.
    """
    (directory / "conductor.toml").write_text("[components.orders-api]\nport = 99999\n")
    environ = {"CONDUCTOR_ORDERS_API__PORT": "88888"}
    process = environment.call("plan", directory=directory, environ=environ)
    assert process.code == 2
    assert "CONDUCTOR_ORDERS_API__PORT" in process.stderr
    with environment.begin("run", "--set", "orders-api.port=0", directory=directory, environ=environ) as process:
        process.wait_for_url()
        assert process.stop() == 0


def test_a_taken_port_fails_the_start_and_leaves_nothing_up(environment: Environment, directory: Path) -> None:
    """
    If somebody else listens on the port, the exit code is 4, the address is named, and what was up is down.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = environment.call("run", "--set", f"orders-api.port={port}", directory=directory)
    assert process.code == 4
    assert str(port) in process.stderr
    assert "db: down" in process.stderr
    assert "mq: down" in process.stderr
    assert not process.left_anything()


def test_two_applications_in_one_directory_share_the_work(environment: Environment, directory: Path) -> None:
    """
    Two processes on the same files serve side by side: each shows what the other took, and all of it is priced once.
    """
    with (
        environment.begin("run", "--set", "orders-api.port=0", directory=directory) as one,
        environment.begin("run", "--set", "orders-api.port=0", directory=directory) as other,
    ):
        urls = [one.wait_for_url(), other.wait_for_url()]
        ids = [order(urls[number % 2], "tea", number) for number in range(1, 11)]
        assert [ask_until_done(urls[number % 2], order_id)["total"] for number, order_id in enumerate(ids)] == [
            350 * number for number in range(1, 11)
        ]
        assert [one.stop(), other.stop()] == [0, 0]


def test_files_are_sound_when_it_has_ended(environment: Environment, directory: Path) -> None:
    """
    After the end the databases in the working directory are whole, and their logs are folded in.
    """
    with environment.begin("run", "--set", "orders-api.port=0", directory=directory) as process:
        url = process.wait_for_url()
        ask_until_done(url, order(url, "cake", 1))
        assert process.stop() == 0
    files = sorted(path.name for path in directory.iterdir())
    assert files == ["app.db", "conductor-mq.db"]
    for name in files:
        with closing(sqlite3.connect(directory / name)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
