"""
The example application, moved from SQLite to PostgreSQL by installing a wheel and setting a URL.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.integration.environments import Environment
from tests.integration.processes import PATIENCE, Process, eventually
from tests.integration.workshop import APPLICATION, MADE, Workshop, build_wheel, call_uv, open_workshop

from .postgres_servers import execute, fetch, run

PACKAGE = Path(__file__).parents[1]
RUN = ("run", "--set", "orders-api.port=0", "--set", "mq.visibility=1.0")
NOTE = (
    "CREATE TABLE IF NOT EXISTS priced (id integer)",
    """CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO priced VALUES (new.id); RETURN new; END $$""",
    "CREATE OR REPLACE TRIGGER note AFTER UPDATE OF total ON orders FOR EACH ROW EXECUTE FUNCTION note()",
)


@pytest.fixture(scope="module")
def shop() -> Workshop:
    """
    Where the wheels of the application are.
    """
    return open_workshop()[0]


@pytest.fixture(scope="module")
def environment(shop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """
    A fresh environment with the example application.
    """
    folder = tmp_path_factory.mktemp("own") / "environment"
    shop.make_environment(folder, APPLICATION)
    return Environment(folder)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The wheel of the override.
    """
    tree = tmp_path_factory.mktemp("source") / PACKAGE.name
    shutil.copytree(PACKAGE, tree, ignore=shutil.ignore_patterns(*MADE, "tests"))
    return build_wheel(tree)


def install(environment: Environment, shop: Workshop, wheel: Path) -> None:
    """
    Install a wheel and what it requires, in the versions that are tested.
    """
    call_uv(
        *("pip", "install", "--python", str(environment.python), "--constraints", str(shop.requirements)),
        *("--find-links", str(shop.wheel("conductor-core").parent), str(wheel)),
    )


def post_until(url: str, over: threading.Event, accepted: set[int]) -> None:
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
                accepted.add(answer.json()["id"])


def kill_under_load(process: Process, url: str, accepted: set[int]) -> None:
    """
    Post orders from several sides and kill the application in the middle of it.
    """
    over = threading.Event()
    threads = [threading.Thread(target=post_until, args=(url, over, accepted)) for _ in range(4)]
    goal = len(accepted) + 30
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(accepted) >= goal or None, what="orders")
        assert process.stop(signal.SIGKILL) == -signal.SIGKILL
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)


def order_once(environment: Environment, directory: Path, environ: dict[str, str]) -> str:
    """
    Run the application until one order is done.

    Returns:
        What it has logged.
    """
    with environment.begin(*RUN, directory=directory, environ=environ) as process:
        url = process.wait_for_url()
        order = httpx.post(f"{url}/orders", json={"item": "tea", "quantity": 3}).raise_for_status().json()["id"]
        eventually(
            lambda: httpx.get(f"{url}/orders/{order}").json()["status"] == "done" or None, what="the end of an order"
        )
        assert process.stop() == 0
    return process.stderr


def provider(environment: Environment, directory: Path) -> str:
    """
    The distribution that provides ``db``.
    """
    told = environment.call("why", "db", "--json", directory=directory)
    assert told.code == 0, told
    return str(json.loads(told.stdout)["choice"]["chain"][0]["origin"]["distribution"])


def test_installing_the_wheel_moves_the_application(
    environment: Environment, shop: Workshop, wheel: Path, url: str, tmp_path: Path
) -> None:
    """
    With the wheel installed and a URL set orders go to PostgreSQL: each that was accepted is done, and once, however
    often the application is killed; ``why`` tells it, and uninstalling brings SQLite back.
    """
    order_once(environment, tmp_path, {})
    assert provider(environment, tmp_path) == "conductor-db"
    before = (tmp_path / "app.db").read_bytes()

    install(environment, shop, wheel)
    assert provider(environment, tmp_path) == "conductor-db-postgres"
    told = environment.call("why", "db", directory=tmp_path)
    assert re.search(
        r"db is provided by conductor-db-postgres \S+ \(conductor_db_postgres:PostgresDatabase\)", told.stdout
    )
    assert re.search(r"in place of +conductor-db \S+ \(conductor_db:Database\)", told.stdout)

    accepted: set[int] = set()
    environ = {"CONDUCTOR_DB__URL": url}
    for _ in range(3):
        with environment.begin(*RUN, directory=tmp_path, environ=environ) as process:
            address = process.wait_for_url()
            run(execute(url, *NOTE))
            kill_under_load(process, address, accepted)
    with environment.begin(*RUN, directory=tmp_path, environ=environ) as process:
        process.wait_for_url()
        waiting = "SELECT id FROM orders WHERE status <> 'done'"
        eventually(lambda: run(fetch(url, waiting)) == [] or None, what="the end of all orders")
        assert process.stop() == 0
    stored = {row["id"] for row in run(fetch(url, "SELECT id FROM orders"))}
    assert accepted <= stored
    assert sorted(row["id"] for row in run(fetch(url, "SELECT id FROM priced"))) == sorted(stored)
    assert run(fetch(url, "SELECT id FROM outbox")) == []
    assert (tmp_path / "app.db").read_bytes() == before

    environment.uninstall("conductor-db-postgres")
    assert provider(environment, tmp_path) == "conductor-db"
    order_once(environment, tmp_path, {})
    assert (tmp_path / "app.db").read_bytes() != before


def test_what_is_not_set_right_is_told_in_one_message(
    environment: Environment, shop: Workshop, wheel: Path, url: str, tmp_path: Path
) -> None:
    """
    A URL left over from SQLite ends ``run`` with 2, a server that is not there with 4, and neither shows a password.
    """
    install(environment, shop, wheel)
    try:
        (tmp_path / "conductor.toml").write_text('[components.db]\nurl = "sqlite:///app.db"\n')
        process = environment.call("run", directory=tmp_path)
        assert process.code == 2
        assert "'sqlite' is the embedded database, whose place 'conductor-db-postgres' has taken" in process.stderr
        environ = {"CONDUCTOR_DB__URL": "postgresql://orders:s3cret@127.0.0.1:1/orders"}
        began = time.monotonic()
        process = environment.call("run", "--set", "db.wait_for_server=0.5", directory=tmp_path, environ=environ)
        assert time.monotonic() - began < PATIENCE / 2
        assert process.code == 4
        assert re.search(r"cannot set up the database 'postgresql://orders:\*+@127.0.0.1:1/orders'", process.stderr)
        assert "hint: check that the server runs and may be reached at '127.0.0.1:1'" in process.stderr
        assert "stamina" not in process.stderr
        assert "s3cret" not in process.stderr + process.stdout
        assert not (tmp_path / "app.db").exists()
    finally:
        environment.uninstall("conductor-db-postgres")
