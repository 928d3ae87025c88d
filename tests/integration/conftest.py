"""
Environments of installed wheels, made once and kept until a source changes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Site
from tests.integration.environments import Environment
from tests.integration.parts import WITNESS, Stage
from tests.integration.workshop import APPLICATION, Workshop, open_workshop


@pytest.fixture(scope="session")
def opened() -> tuple[Workshop, Path]:
    """
    The workshop, and where the environment with the example application is.
    """
    return open_workshop()


@pytest.fixture(scope="session")
def workshop(opened: tuple[Workshop, Path]) -> Workshop:
    """
    Where all wheels are.
    """
    return opened[0]


@pytest.fixture(scope="session")
def environment(opened: tuple[Workshop, Path]) -> Environment:
    """
    An environment with core, `db`, `mq`, `web` and the example application; nobody may change it.
    """
    return Environment(opened[1])


@pytest.fixture(scope="module")
def own_environment(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """
    The same as `environment`, to be changed by the tests of one module; each leaves it as it was.
    """
    folder = tmp_path_factory.mktemp("own") / "environment"
    workshop.make_environment(folder, APPLICATION)
    return Environment(folder)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """
    An empty working directory.
    """
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def stage(environment: Environment, site: Site, directory: Path) -> Stage:
    """
    Where components of one test are installed, beside a witness.
    """
    site.add(
        "witness",
        entry_points={"conductor.components": {"witness": "witness_part:Witness"}},
        modules={"witness_part": WITNESS},
    )
    return Stage(environment, site, directory)
