"""
Every example application, run from the checkout as it stands.
"""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.environments import Environment
from tests.integration.test_orders import ask_until_done, order

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
DISTRIBUTIONS = sorted(path.parent for path in EXAMPLES.glob("*/*/setup.cfg"))
HERE = Environment(Path(sys.prefix))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """
    An empty working directory.
    """
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def test_every_example_is_run_here() -> None:
    """
    The tests of this module run every example that there is.
    """
    assert sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()) == ["orders"]


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_every_example_has_what_a_distribution_has(folder: Path) -> None:
    """
    Each distribution of an example says what it is for, publishes something, and is tested.
    """
    settings = configparser.ConfigParser(delimiters="=")
    settings.read(folder / "setup.cfg")
    assert settings["metadata"]["name"] == folder.name
    assert settings["options.entry_points"]
    assert (folder / "README.md").read_text().startswith(f"# {folder.name}")
    assert list(folder.glob("tests/test_*.py"))


def test_orders_end_well_at_a_terminal(directory: Path) -> None:
    """
    Under make, as `make run` does it, an order is taken and done, and Ctrl-C ends make itself with 0.
    """
    script = EXAMPLES / "orders" / "run.sh"
    recipe = f"@sh '{script}' '{HERE.conductor[0]}' run --set orders-api.port=0"
    (directory / "Makefile").write_text(f"run:\n\t{recipe}\n")
    terminal = "import os, pty; raise SystemExit(os.waitstatus_to_exitcode(pty.spawn(['make', 'run'])))"
    with HERE.begin(
        *(sys.executable, "-c", terminal), directory=directory, environ={"TERM": "dumb"}, stdin=subprocess.PIPE
    ) as process:
        url = process.wait_for_url(stream="stdout")
        assert ask_until_done(url, order(url, "tea", 3))["total"] == 1050
        process.type(b"\x03")
        assert process.wait() == 0, process
    assert "received SIGINT" in process.stdout
    assert "Error" not in process.stdout
    assert not process.left_anything()


def test_orders_with_discounts_from_the_source_tree(directory: Path) -> None:
    """
    The discounts are used without being installed, if the command line names their class.
    """
    options = ("--override", "orders-pricing=orders_discounts:DiscountedPricing", "--set", "orders-pricing.percent=50")
    path = [EXAMPLES / "orders" / "orders-discounts"]
    with HERE.begin("run", "--set", "orders-api.port=0", *options, directory=directory, path=path) as process:
        url = process.wait_for_url()
        assert ask_until_done(url, order(url, "tea", 10))["total"] == 1750
        assert process.stop() == 0
    told = HERE.call("why", "orders-pricing", *options, directory=directory, path=path)
    assert re.search(r"is provided by .*orders_discounts:DiscountedPricing", told.stdout), told


def test_what_orders_need_is_what_the_plan_says(directory: Path) -> None:
    """
    One root pulls in what it needs and nothing else.
    """
    process = HERE.call("plan", "orders-workers", directory=directory)
    assert process.code == 0, process
    assert re.findall(r"^\d  (\S+)", process.stdout, re.MULTILINE) == ["db", "mq", "orders-pricing", "orders-workers"]
