"""
What `conductor doctor` says of environments that are sound, and of others.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.environments import Environment
from tests.integration.workshop import Workshop


@pytest.fixture(scope="module")
def core_alone(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """
    An environment with the core and nothing that it could run.
    """
    folder = tmp_path_factory.mktemp("core") / "environment"
    workshop.make_environment(folder, ["conductor-core"])
    return Environment(folder)


def test_a_sound_environment_has_no_findings(environment: Environment, directory: Path) -> None:
    """
    In the environment of the example application nothing is wrong.
    """
    process = environment.call("doctor", directory=directory)
    assert process.code == 0, process
    assert "nothing is wrong" in process.stdout


def test_the_core_alone_is_sound(core_alone: Environment, directory: Path) -> None:
    """
    With no component installed there is nothing to list, nothing to run and nothing wrong.
    """
    assert core_alone.call("doctor", directory=directory).code == 0
    assert core_alone.call("list", directory=directory).stdout == "no component is installed"
    assert core_alone.call("plan", directory=directory).code == 0


def test_a_foreign_conductor_is_told_in_one_sentence(core_alone: Environment, directory: Path) -> None:
    """
    Another distribution that installs a package `conductor` is named, with what to do; without it all is well again.
    """
    info = core_alone.packages / "conductor_python-1.2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: conductor-python\nVersion: 1.2.0\n")
    (info / "RECORD").write_text("conductor/__init__.py,,\nconductor/client/__init__.py,,\n")
    process = core_alone.call("doctor", directory=directory)
    assert process.code == 1
    told = [line for line in process.stdout.splitlines() if "conductor-python" in line]
    assert told == [
        "foreign: distribution 'conductor-python 1.2.0' installs a package 'conductor', too, over that of"
        " 'conductor-core'",
        "hint: uninstall 'conductor-python', then reinstall 'conductor-core'",
    ]
    for file in info.iterdir():
        file.unlink()
    info.rmdir()
    assert core_alone.call("doctor", directory=directory).code == 0
