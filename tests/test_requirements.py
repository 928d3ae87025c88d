"""
Distributions that do not accept each other's versions.
"""

from __future__ import annotations

import pytest

from conductor import Conductor
from conductor._discovery import discover
from conductor._requirements import unmet_requirements
from conductor._text import normalise
from conductor.exceptions import ResolutionError, VersionError
from tests.conftest import Site

COMPONENT = "from conductor import Component\nclass One(Component):\n    pass\n"


def add(site: Site, name: str, version: str, *requires: str) -> None:
    """
    Install a distribution of one component that requires others.
    """
    module = normalise(name).replace("-", "_")
    lines = "".join(f"Requires-Dist: {line}\n" for line in requires)
    site.add(
        name,
        version=version,
        entry_points={"conductor.components": {name: f"{module}:One"}},
        modules={module: COMPONENT},
        metadata=f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}",
    )


def test_a_wrong_version_makes_the_plan_invalid(site: Site) -> None:
    """
    A component that requires another one's distribution in another version is refused, with both versions named.
    """
    add(site, "shop-db", "2.0")
    add(site, "shop-api", "1.0", "shop-db<2", "absent-one>=3")
    site.importable()
    with pytest.raises(ResolutionError) as caught:
        Conductor.installed(path=site.path, directory=site.folder, environ={}).plan()
    (problem,) = caught.value.problems
    assert isinstance(problem, VersionError)
    assert (problem.component, problem.distribution) == ("shop-api", "shop-api 1.0")
    assert (problem.required, problem.found) == ("shop-db<2", "2.0")
    assert "version 2.0 is installed" in str(problem)


def test_what_does_not_take_part_is_no_problem_of_the_plan(site: Site) -> None:
    """
    Versions of ordinary libraries are the installer's business; the plan looks at what publishes components only.
    """
    site.add("library", version="1.0")
    add(site, "shop-api", "1.0", "library>=2", "absent-one", "not a requirement at all!")
    site.importable()
    assert len(Conductor.installed(path=site.path, directory=site.folder, environ={}).plan().steps) == 1


@pytest.mark.parametrize(
    ("requirement", "met"),
    [
        ("shop-db", True),
        ("Shop_DB >= 1.0", True),
        ("shop-db ~= 1.4", True),
        ("shop-db == 1.*", True),
        ("shop-db > 1.5", False),
        ("shop-db == 1.5.dev1", False),
        ("shop-db > 9; extra == 'more'", True),
        ("shop-db > 9; python_version < '3'", True),
        ("absent-one", False),
    ],
)
def test_requirements_are_read_as_installers_read_them(site: Site, requirement: str, met: bool) -> None:
    """
    Specifiers, markers and extras mean what they mean to an installer.
    """
    add(site, "shop-db", "1.5")
    add(site, "shop-api", "1.0", requirement)
    discovery = discover(site.path)
    among = {normalise(origin.distribution): origin for origin in discovery.distributions}
    assert (list(unmet_requirements(discovery, [among["shop-api"]], among=among)) == []) is met
