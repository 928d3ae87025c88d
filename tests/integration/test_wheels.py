"""
What is in the wheels.
"""

from __future__ import annotations

import configparser
import email
import email.message
import zipfile

import pytest

from tests.integration.workshop import FOLDERS, ROOT, Workshop

ENTRY_POINTS = {
    "conductor-core": {"console_scripts": {"conductor": "conductor._cli:main"}},
    "conductor-db": {"conductor.components": {"db": "conductor_db:Database"}},
    "conductor-mq": {"conductor.components": {"mq": "conductor_mq:SQLiteMessageQueue"}},
    "conductor-web": {},
    "orders-api": {"conductor.components": {"orders-api": "orders_api:OrdersAPI"}},
    "orders-workers": {
        "conductor.components": {
            "orders-pricing": "orders_workers:Pricing",
            "orders-workers": "orders_workers:OrdersWorkers",
        }
    },
    "orders-discounts": {"conductor.overrides": {"orders-pricing": "orders_discounts:DiscountedPricing"}},
}


def package_of(name: str) -> str:
    """
    The package that a distribution installs.
    """
    return "conductor" if name == "conductor-core" else name.replace("-", "_")


def read_metadata(workshop: Workshop, name: str, file: str) -> str | None:
    """
    A file of the metadata in a wheel, or None if there is none.
    """
    with zipfile.ZipFile(workshop.wheel(name)) as wheel:
        [found] = [entry for entry in wheel.namelist() if entry.endswith(".dist-info/METADATA")]
        wanted = found.replace("METADATA", file)
        return wheel.read(wanted).decode() if wanted in wheel.namelist() else None


def read_headers(workshop: Workshop, name: str) -> email.message.Message:
    """
    The metadata in a wheel.
    """
    return email.message_from_string(read_metadata(workshop, name, "METADATA") or "")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_wheel_holds_its_own_package_and_nothing_else(workshop: Workshop, name: str) -> None:
    """
    Beside the metadata a wheel has one package, that package is whole and typed, and no tests are in it.
    """
    with zipfile.ZipFile(workshop.wheel(name)) as wheel:
        files = {entry for entry in wheel.namelist() if ".dist-info/" not in entry}
    package = workshop.sources / FOLDERS[name] / package_of(name)
    own = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".pyo")}
    assert files == {path.relative_to(package.parent).as_posix() for path in own}
    assert f"{package_of(name)}/py.typed" in files
    assert not [file for file in files if "tests" in file.split("/") or file.split("/")[-1].startswith("test_")]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_wheel_says_what_it_publishes(workshop: Workshop, name: str) -> None:
    """
    The entry points in a wheel are exactly those that the distribution is there for.
    """
    parser = configparser.ConfigParser(delimiters="=")
    parser.read_string(read_metadata(workshop, name, "entry_points.txt") or "")
    assert {group: dict(parser[group]) for group in parser.sections()} == ENTRY_POINTS[name]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_wheel_says_what_it_is(workshop: Workshop, name: str) -> None:
    """
    The metadata in a wheel names the distribution, its Python and what it is about; the licence is in it word for word.
    """
    headers = read_headers(workshop, name)
    assert headers["Name"] == name
    assert headers["Requires-Python"] == ">=3.11"
    assert (headers["License-Expression"] or headers["License"]) == "BSD-3-Clause"
    assert read_metadata(workshop, name, "licenses/LICENSE") == (ROOT / "LICENSE").read_text()
    assert headers["Summary"]
    assert len(str(headers.get_payload())) > 100, "there is no description"


@pytest.mark.parametrize("name", FOLDERS)
def test_wheels_need_each_other_in_the_same_version(workshop: Workshop, name: str) -> None:
    """
    All wheels have one version, and each requires exactly that version of the others.
    """
    headers = read_headers(workshop, name)
    ours = [need for need in headers.get_all("Requires-Dist", []) if need.startswith(("conductor", "orders"))]
    assert all(need.split("==")[1:] == [headers["Version"]] for need in ours)
    assert headers["Version"] == read_headers(workshop, "conductor-core")["Version"]
    assert name == "conductor-core" or ours


def test_nobody_publishes_the_name_that_belongs_to_others(workshop: Workshop) -> None:
    """
    No wheel is called `conductor`, and only the core's brings a package of that name.
    """
    assert "conductor" not in FOLDERS
    tops = {name: (read_metadata(workshop, name, "top_level.txt") or "").split() for name in FOLDERS}
    assert [name for name, packages in tops.items() if "conductor" in packages] == ["conductor-core"]
