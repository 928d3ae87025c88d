"""
The example application, moved from SQLite to the server of a queue by installing a wheel and setting a URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import random
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import attrs
import httpx
import pytest

from tests.integration.environments import Environment
from tests.integration.test_killing import Load, assert_nothing_is_lost, begin, keep_ledger
from tests.integration.test_orders import ask_until_done, order
from tests.integration.workshop import APPLICATION, MADE, ROOT, Workshop, build_wheel, call_uv

KILLS = 3


@attrs.frozen
class Swap:
    """
    A distribution whose installation moves the queue to a server.

    Attributes:
        distribution: its name; its source is the folder under `plugins` that is called so without `conductor-`.
        target: what it puts in the place of the original.
        limit: the setting for how long set-up waits for a server, in seconds.
        place: gives settings of `mq` for a place of the test's own on a server, which is cleared afterwards; skips the
            test if there is no server.
    """

    distribution: str
    target: str
    limit: str
    place: Callable[[Path], AbstractContextManager[dict[str, str]]]

    @property
    def folder(self) -> Path:
        """
        Where its source is.
        """
        return ROOT / "plugins" / self.distribution.removeprefix("conductor-")


@contextlib.contextmanager
def rabbitmq(folder: Path) -> Iterator[dict[str, str]]:
    """
    A namespace on the RabbitMQ server that is there, or on one of the test's own.
    """
    sys.path[:0] = [str(ROOT / "plugins/mq-rabbitmq"), str(ROOT / "plugins/mq-rabbitmq/tests")]
    servers = importlib.import_module("rabbitmq_servers")
    url, own = servers.shared_url(), servers.Server(folder)
    try:
        if not servers.answers(url):
            own.launch()
            url = own.url
        place = servers.Place(url)
        yield {"url": place.url, "namespace": place.namespace}
        place.clear()
    finally:
        own.kill()


@contextlib.contextmanager
def nats(folder: Path) -> Iterator[dict[str, str]]:
    """
    A namespace on the NATS server that is there, or on one of the test's own.
    """
    sys.path[:0] = [str(ROOT / "plugins/mq-nats"), str(ROOT / "plugins/mq-nats/tests")]
    servers = importlib.import_module("nats_servers")
    with servers.shared_server(folder) as url:
        place = servers.make_place(url)
        yield {"url": place.url, "namespace": place.namespace}
        asyncio.run(servers.remove_streams(place))


SWAPS = (
    Swap(
        distribution="conductor-mq-rabbitmq",
        target="conductor_mq_rabbitmq:RabbitMQMessageQueue",
        limit="connect_limit",
        place=rabbitmq,
    ),
    Swap(
        distribution="conductor-mq-nats",
        target="conductor_mq_nats:NATSMessageQueue",
        limit="connect_limit",
        place=nats,
    ),
)


def install(environment: Environment, workshop: Workshop, swap: Swap, folder: Path) -> None:
    """
    Build the wheel of an override, and install it with what it requires, in the versions that are tested.
    """
    tree = folder / swap.folder.name
    shutil.copytree(swap.folder, tree, ignore=shutil.ignore_patterns(*MADE, "tests"))
    call_uv(
        *("pip", "install", "--python", str(environment.python), "--constraints", str(workshop.requirements)),
        *("--find-links", str(workshop.wheel("conductor-core").parent)),
        *("--find-links", str(workshop.wheel("conductor-mq").parent), str(build_wheel(tree))),
    )


def provider(environment: Environment, directory: Path) -> str:
    """
    The distribution that provides `mq`.
    """
    told = environment.call("why", "mq", "--json", directory=directory)
    assert told.code == 0, told
    return str(json.loads(told.stdout)["choice"]["chain"][0]["origin"]["distribution"])


@pytest.mark.parametrize("swap", SWAPS, ids=lambda swap: swap.distribution)
def test_installing_the_wheel_moves_the_queue(swap: Swap, workshop: Workshop, directory: Path, tmp_path: Path) -> None:
    """
    With the wheel installed and a URL set messages go through the server: each order that was accepted is done, and
    once, however often the application is killed; `why` tells it, and uninstalling brings SQLite back.
    """
    environment = Environment(tmp_path / "environment")
    workshop.make_environment(environment.folder, APPLICATION)
    assert provider(environment, directory) == "conductor-mq"

    with swap.place(tmp_path / "server") as settings:
        install(environment, workshop, swap, tmp_path / "source")
        assert provider(environment, directory) == swap.distribution
        told = environment.call("why", "mq", directory=directory)
        assert re.search(rf"mq is provided by {swap.distribution} \S+ \({re.escape(swap.target)}\)", told.stdout)
        assert re.search(r"in place of +conductor-mq \S+ \(conductor_mq:SQLiteMessageQueue\)", told.stdout)

        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        (directory / "conductor.toml").write_text("\n".join(["[components.mq]", *lines]))
        kill_under_load(environment, directory)
        assert not (directory / "conductor-mq.db").exists()

    environment.uninstall(swap.distribution)
    (directory / "conductor.toml").unlink()
    assert provider(environment, directory) == "conductor-mq"
    with environment.begin("run", "--set", "orders-api.port=0", directory=directory) as process:
        url = process.wait_for_url()
        assert ask_until_done(url, order(url, "tea", 3))["total"] == 1050
        assert process.stop() == 0
    assert (directory / "conductor-mq.db").exists()


def kill_under_load(environment: Environment, directory: Path) -> None:
    """
    Kill the application again and again while orders come in; in the end all of them are done, once.
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
        confirmed |= load.confirmed
    assert_nothing_is_lost(environment, directory, confirmed)


@pytest.mark.parametrize("swap", SWAPS, ids=lambda swap: swap.distribution)
def test_secrets_are_not_shown(swap: Swap, workshop: Workshop, directory: Path, tmp_path: Path) -> None:
    """
    A server that is not there ends `run` with 4 and an error that names it without the password.
    """
    environment = Environment(tmp_path / "environment")
    workshop.make_environment(environment.folder, APPLICATION)
    install(environment, workshop, swap, tmp_path / "source")
    with swap.place(tmp_path / "server") as settings:
        scheme = httpx.URL(settings["url"]).scheme
    environ = {"CONDUCTOR_MQ__URL": f"{scheme}://orders:s3cret@127.0.0.1:1/"}
    process = environment.call("run", "--set", f"mq.{swap.limit}=0.5", directory=directory, environ=environ)
    assert process.code == 4, process
    assert "cannot use the message server at" in process.stderr
    assert "127.0.0.1:1" in process.stderr
    assert "hint: " in process.stderr
    shown = environment.call("config", directory=directory, environ=environ)
    assert "s3cret" not in process.stderr + process.stdout + shown.stderr + shown.stdout
    assert not (directory / "conductor-mq.db").exists()
