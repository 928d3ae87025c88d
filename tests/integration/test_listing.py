"""
What the installed command finds, and what it leaves alone.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Site
from tests.integration.environments import Environment

MANY = 500
BOMB = """
    import pathlib
    pathlib.Path({marker!r}).open("a").write(__name__)
    raise RuntimeError("somebody imported " + __name__)
"""
WATCH = """
import json, sys
import conductor
print(json.dumps(sorted(sys.modules)))
"""
SHADOWS = ("attr", "attrs", "cattrs", "click", "importlib_metadata", "pluggy", "json", "typing", "zipp", "conductor_db")


def test_listing_five_hundred_distributions_imports_none(
    environment: Environment, site: Site, tmp_path: Path, directory: Path
) -> None:
    """
    `list` shows all components of 500 distributions, and every one of them would tell if it was imported.
    """
    marker = tmp_path / "imported"
    for number in range(MANY):
        module = f"bomb_{number:03}"
        group = "conductor.overrides" if number % 10 == 9 else "conductor.components"
        name = f"part-{number - 1 if number % 10 == 9 else number:03}"
        site.add(
            f"bomb-{number:03}",
            entry_points={group: {name: f"{module}:Part"}, "conductor.commands": {f"say-{number}": f"{module}:say"}},
            modules={module: BOMB.format(marker=str(marker))},
        )
    process = environment.call("list", "--json", directory=directory, path=[site.folder])
    assert process.code == 0, process
    listed = [each for each in json.loads(process.stdout)["components"] if each["name"].startswith("part-")]
    assert len(listed) == MANY
    states = [each["state"] for each in listed]
    assert (states.count("active"), states.count("overridden")) == (MANY - MANY // 10, MANY // 10)
    assert not marker.exists()
    for arguments in (["--help"], ["--version"], ["why", "db", "orders-api"], ["plan", "orders-api"]):
        assert environment.call(*arguments, directory=directory, path=[site.folder]).code == 0
    assert not marker.exists()

    refused = environment.call("run", "part-000", directory=directory, path=[site.folder])
    assert refused.code == 3
    assert marker.read_text() == "bomb_000"


def test_importing_conductor_is_light(environment: Environment, directory: Path) -> None:
    """
    `import conductor` pulls in neither click nor rich nor any plugin nor the event loop's servers.
    """
    process = environment.call(str(environment.python), "-c", WATCH, directory=directory)
    assert process.code == 0, process
    imported = {name.split(".")[0] for name in json.loads(process.stdout)}
    heavy = {"click", "rich", "sqlalchemy", "aiosqlite", "uvicorn", "starlette", "pytest"}
    assert not imported & heavy
    assert not {name for name in imported if name.startswith(("conductor_", "orders_"))}


def test_everything_works_without_rich(environment: Environment, directory: Path) -> None:
    """
    Nothing but the live tree needs rich: all that the application requires is installed, and rich is not among it.
    """
    found = environment.call(
        str(environment.python), "-c", "import importlib.util as u; print(u.find_spec('rich'))", directory=directory
    )
    assert found.stdout == "None"
    for command in ("list", "plan", "graph"):
        process = environment.call(command, directory=directory)
        assert process.code == 0, process
        assert process.stdout
    with environment.begin("run", "--progress", "--set", "orders-api.port=0", directory=directory) as running:
        running.wait_for_url()
        assert running.stop() == 0


def test_a_plan_does_nothing(environment: Environment, directory: Path) -> None:
    """
    To plan, list or draw the application leaves no file behind, and says the same each time.
    """
    plans = [environment.call("plan", "--json", directory=directory).stdout for _ in range(2)]
    assert plans[0] == plans[1]
    assert [step["name"] for step in json.loads(plans[0])["steps"]] == [
        "db",
        "mq",
        "orders-api",
        "orders-pricing",
        "orders-workers",
    ]
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("folder", ["stale.egg-info", "stale-1.0.dist-info"])
@pytest.mark.parametrize("module", [True, False], ids=["python -m conductor", "conductor"])
def test_the_working_directory_is_no_place_to_find_components_in(
    environment: Environment, directory: Path, *, folder: str, module: bool
) -> None:
    """
    Metadata that lies about in the working directory installs nothing, however the command is called.
    """
    (directory / folder).mkdir()
    text = "Metadata-Version: 2.1\nName: stale\nVersion: 1.0\n"
    (directory / folder / ("PKG-INFO" if folder.endswith("egg-info") else "METADATA")).write_text(text)
    (directory / folder / "entry_points.txt").write_text("[conductor.components]\nstale = stale:Stale\n")
    (directory / "stale.py").write_text("raise RuntimeError('imported')")
    command = (str(environment.python), "-m", "conductor") if module else environment.conductor
    process = environment.call(*command, "list", "--json", directory=directory)
    assert process.code == 0, process
    assert [each["name"] for each in json.loads(process.stdout)["components"]] == [
        "db",
        "mq",
        "orders-api",
        "orders-pricing",
        "orders-workers",
    ]
    assert environment.call(*command, "plan", directory=directory).code == 0


def test_modules_in_the_working_directory_shadow_no_library(environment: Environment, directory: Path) -> None:
    """
    `python -m conductor` imports nothing from the working directory, whatever lies there.
    """
    for name in SHADOWS:
        (directory / f"{name}.py").write_text(f"raise SystemExit('the {name} of the working directory was imported')")
    process = environment.call(str(environment.python), "-m", "conductor", "plan", directory=directory)
    assert process.code == 0, process
