"""
An application that changes by `pip install` and `pip uninstall`, and by nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import Site
from tests.integration.environments import Environment
from tests.integration.processes import Process
from tests.integration.sourcetrees import make_wheel
from tests.integration.test_orders import ask_until_done, order
from tests.integration.workshop import Workshop

QUEUE = """
    from conductor_mq.testing import MemoryMessageQueue

    class Queue(MemoryMessageQueue):
        async def setup(self) -> None:
            await super().setup()
            self.logger.warning("the queue of %s", __name__)
"""
NAMES = ("queue-one", "queue-two")


@pytest.fixture(scope="module")
def queues(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """
    Two wheels, each of which overrides `mq`.
    """
    folder = tmp_path_factory.mktemp("queues")

    def make(name: str) -> Path:
        target = f"{name.replace('-', '_')}:Queue"
        return make_wheel(folder, name, source=QUEUE, entry_points={"conductor.overrides": {"mq": target}})

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(NAMES, pool.map(make, NAMES), strict=True))


@pytest.fixture
def changing(own_environment: Environment) -> Iterator[Environment]:
    """
    The environment of this module, as it was before each test.
    """
    before = {path.name for path in own_environment.packages.glob("*.dist-info")}
    yield own_environment
    added = {path.name for path in own_environment.packages.glob("*.dist-info")} - before
    if added:
        own_environment.uninstall(*(name.partition("-")[0] for name in sorted(added)))


def run_one_order(environment: Environment, directory: Path, *, quantity: int = 3) -> tuple[int, str]:
    """
    Run the application for one order of tea.

    Returns:
        What the order cost, and the log.
    """
    with environment.begin("run", "--set", "orders-api.port=0", directory=directory) as process:
        url = process.wait_for_url()
        total = ask_until_done(url, order(url, "tea", quantity))["total"]
        assert process.stop() == 0
    return int(total), process.stderr


def provider_of(environment: Environment, directory: Path, name: str) -> str:
    """
    The distribution that provides a component.
    """
    process = environment.call("why", name, "--json", directory=directory)
    assert process.code == 0, process
    return chain_of(process)[0]


def chain_of(process: Process) -> list[str]:
    """
    The distributions in the chain that `why --json` has told, the winner first.
    """
    return [link["origin"]["distribution"] for link in json.loads(process.stdout)["choice"]["chain"]]


def test_an_installed_wheel_takes_the_place_of_the_queue(
    changing: Environment, queues: dict[str, Path], directory: Path
) -> None:
    """
    Installing a wheel that overrides `mq` makes `run` use it and `why` tell so; uninstalling brings the original back.
    """
    changing.install(queues["queue-one"])
    total, log = run_one_order(changing, directory)
    assert total == 1050
    assert "mq: the queue of queue_one" in log
    assert not (directory / "conductor-mq.db").exists()
    told = changing.call("why", "mq", directory=directory)
    assert told.code == 0
    assert "mq is provided by queue-one 1.0 (queue_one:Queue)" in told.stdout
    assert re.search(r"in place of +conductor-mq \S+ \(conductor_mq:SQLiteMessageQueue\)", told.stdout)

    changing.uninstall("queue-one")
    total, log = run_one_order(changing, directory)
    assert total == 1050
    assert "the queue of" not in log
    assert (directory / "conductor-mq.db").exists()
    assert provider_of(changing, directory, "mq") == "conductor-mq"


@pytest.mark.parametrize("names", [NAMES, NAMES[::-1]], ids=" then ".join)
def test_two_wheels_for_one_name_are_refused_until_one_is_chosen(
    changing: Environment, queues: dict[str, Path], directory: Path, names: tuple[str, ...]
) -> None:
    """
    Two overrides of `mq` end `run` with 3 and name both and a line for each, whoever came first; the line settles it.
    """
    for name in names:
        changing.install(queues[name])
    refused = changing.call("run", "--set", "orders-api.port=0", directory=directory)
    assert refused.code == 3
    assert "'queue-one' and 'queue-two' both override 'mq'" in refused.stderr
    assert list(directory.iterdir()) == []
    lines = re.findall(r'mq = "queue-\w+"', refused.stderr)
    assert sorted(set(lines)) == ['mq = "queue-one"', 'mq = "queue-two"']

    line = f'mq = "{names[0]}"'
    assert line in lines
    (directory / "conductor.toml").write_text(f"[overrides]\n{line}\n")
    _, log = run_one_order(changing, directory)
    assert f"mq: the queue of {names[0].replace('-', '_')}" in log
    assert provider_of(changing, directory, "mq") == names[0]


def publish_broken_queues(site: Site) -> None:
    """
    Install two overrides of `mq` that cannot be imported.
    """
    for name in NAMES:
        module = name.replace("-", "_")
        source = f"raise SystemExit('{name} was imported')"
        site.add(name, entry_points={"conductor.overrides": {"mq": f"{module}:Queue"}}, modules={module: source})


@pytest.mark.parametrize("command", ["run", "plan", "list"])
def test_a_conflict_is_told_without_an_import(
    environment: Environment, site: Site, directory: Path, command: str
) -> None:
    """
    What is in conflict is told from metadata alone: modules that fail when they are imported change nothing.
    """
    publish_broken_queues(site)
    process = environment.call(command, directory=directory, path=[site.folder])
    assert process.code == (0 if command == "list" else 3)
    said = process.stderr + process.stdout
    if command == "list":
        assert len(re.findall(r"override +conflict +queue-(?:one|two)", said)) == 2
    else:
        assert "both override 'mq'" in said
    assert "was imported" not in process.stderr + process.stdout


def test_the_command_line_chooses_too(environment: Environment, site: Site, directory: Path) -> None:
    """
    `--override` settles a conflict for one run; what loses is not even imported.
    """
    publish_broken_queues(site)
    process = environment.call(
        "why", "mq", "--override", "mq=conductor-mq", "--json", directory=directory, path=[site.folder]
    )
    assert process.code == 0, process
    assert chain_of(process) == ["conductor-mq"]


def test_installed_discounts_change_the_totals(changing: Environment, workshop: Workshop, directory: Path) -> None:
    """
    With `orders-discounts` ten cost less, and `why` shows who took whose place; without it they cost what they did.
    """
    assert run_one_order(changing, directory, quantity=10)[0] == 3500
    changing.install(workshop.wheel("orders-discounts"))
    assert run_one_order(changing, directory, quantity=10)[0] == 3150
    told = changing.call("why", "orders-pricing", directory=directory)
    assert re.search(r"orders-pricing is provided by orders-discounts \S+ \(", told.stdout)
    assert re.search(r"in place of +orders-workers \S+ \(orders_workers:Pricing\)", told.stdout)
    assert re.search(r"needed by +orders-workers \(field 'pricing'\)", told.stdout)
    changing.uninstall("orders-discounts")
    assert run_one_order(changing, directory, quantity=10)[0] == 3500
    assert provider_of(changing, directory, "orders-pricing") == "orders-workers"
