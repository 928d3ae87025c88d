"""
`conductor doctor`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import CommandLine


def findings(cli: CommandLine, *arguments: str) -> list[dict[str, Any]]:
    """
    What the doctor finds; the exit code agrees with it.
    """
    result = cli.call("doctor", "--json", *arguments)
    found: list[dict[str, Any]] = json.loads(result.stdout)["findings"]
    assert result.exit_code == (1 if found else 0)
    return found


def only(cli: CommandLine, kind: str) -> dict[str, Any]:
    """
    The only thing that the doctor finds.
    """
    found = findings(cli)
    assert [one["kind"] for one in found] == [kind], found
    return found[0]


def test_nothing_wrong(cli: CommandLine) -> None:
    """
    A sound environment is told to be sound, with exit code 0.
    """
    cli.install_shop()

    result = cli.call("doctor")

    assert result.exit_code == 0
    assert result.stdout.endswith("\nnothing is wrong\n")


def test_import_that_ends_the_process(cli: CommandLine) -> None:
    """
    A module that exits when it is imported is a finding that names the distribution; the doctor goes on.
    """
    cli.site.add(
        "acme-rude",
        entry_points={"conductor.components": {"rude": "rude:Rude"}},
        modules={"rude": "raise SystemExit('password=hunter2')"},
    )

    found = only(cli, "broken")

    assert "'acme-rude 1.0'" in found["message"]
    assert "SystemExit" in found["message"]
    assert "hunter2" not in found["message"]
    assert found["hint"] == "mend or uninstall 'acme-rude'"


@pytest.mark.parametrize(
    ("group", "source", "reason"),
    [
        ("conductor.components", "class Odd: pass", "attrs"),
        ("conductor.components", "Odd = 3", "is not a class"),
        ("conductor.commands", "Odd = 3", "is not a click command"),
        ("conductor.hooks", "Other = 3", "AttributeError"),
    ],
)
def test_target_of_the_wrong_kind(cli: CommandLine, group: str, source: str, reason: str) -> None:
    """
    A target that imports but is not what its group asks for is a finding.
    """
    cli.site.add("acme-odd", entry_points={group: {"odd": "odd_target:Odd"}}, modules={"odd_target": source})

    assert any(reason in one["message"] for one in findings(cli))


def test_excluded_is_not_imported(cli: CommandLine) -> None:
    """
    What the settings leave out is not imported, so its faults are nobody's.
    """
    cli.site.add(
        "acme-rude",
        entry_points={"conductor.components": {"rude": "rude:Rude"}},
        modules={"rude": "raise SystemExit(0)"},
    )

    assert findings(cli, "--exclude", "rude") == []
    assert cli.site.imported() == set()


def test_damaged_distribution(cli: CommandLine) -> None:
    """
    A stranger without METADATA is a finding.
    """
    cli.site.add_raw("stranger-1.0.dist-info", {"entry_points.txt": "[console_scripts]\nx = y:z\n"})

    assert "'stranger'" in only(cli, "damaged")["message"]


def test_duplicate_distribution(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A distribution that is on the path twice is a finding that names both places.
    """
    cli.install_shop()
    other = cli.site.beside("other")
    other.add("acme-shop", version="1.1")
    # Not `syspath_prepend`: it would restore the path of this test for all others.
    monkeypatch.setattr(sys, "path", [*sys.path, str(other.folder)])

    found = only(cli, "duplicate")

    assert str(cli.site.folder) in found["message"]
    assert str(other.folder) in found["message"]


def test_override_of_nothing(cli: CommandLine) -> None:
    """
    An override of a component that is not installed is a finding.
    """
    cli.install_shop()
    cli.site.add("acme-more", entry_points={"conductor.overrides": {"quueue": "shop_parts:Other"}})

    assert "'quueue'" in only(cli, "inert")["message"]


def test_two_overrides(cli: CommandLine) -> None:
    """
    Two overrides of one component are a finding with the line to write.
    """
    cli.install_shop()
    for name in ("acme-fast", "acme-safe"):
        cli.site.add(name, entry_points={"conductor.overrides": {"queue": "shop_parts:Other"}})

    assert 'queue = "acme-fast" or queue = "acme-safe"' in only(cli, "conflict")["hint"]


def test_malformed_entry(cli: CommandLine) -> None:
    """
    An entry point that cannot be used is a finding.
    """
    cli.site.add("acme-odd", entry_points={"conductor.components": {"9lives": "cat:Cat"}})

    assert "'9lives'" in only(cli, "broken")["message"]


def test_foreign_conductor(cli: CommandLine) -> None:
    """
    Another distribution that installs a package `conductor` is one sentence and what to do.
    """
    info = cli.site.add("conductor-python", version="3.1")
    record = (info / "RECORD").read_text()
    (info / "RECORD").write_text(f"conductor/__init__.py,,\nconductor/client.py,,\n{record}")

    found = only(cli, "foreign")

    assert "'conductor-python 3.1' installs a package 'conductor', too" in found["message"]
    assert found["hint"] == "uninstall 'conductor-python', then reinstall 'conductor-core'"


def test_foreign_conductor_by_its_top_level(cli: CommandLine) -> None:
    """
    An old distribution without RECORD is found by its list of top-level packages.
    """
    files = {"METADATA": "Metadata-Version: 2.1\nName: conductor\nVersion: 9\n", "top_level.txt": "conductor\n"}
    cli.site.add_raw("conductor-9.dist-info", files)

    assert "'conductor 9'" in only(cli, "foreign")["message"]


def test_package_like_ours_does_not_count(cli: CommandLine) -> None:
    """
    A distribution with a package whose name only begins like ours is no finding.
    """
    cli.site.add("conductor-extras", modules={"conductor_extras": ""})

    assert findings(cli) == []


def test_folder_of_our_name_on_the_path(cli: CommandLine) -> None:
    """
    Another `conductor` further down the path is a finding.
    """
    package = Path(cli.site.folder, "conductor")
    package.mkdir()
    (package / "__init__.py").touch()

    assert str(package) in only(cli, "foreign")["message"]


@pytest.mark.parametrize(
    ("requirement", "is_met"),
    [
        ("conductor-core==0.1.0", True),
        ("conductor-core (==0.1)", True),
        ("conductor-core==0.2.0", False),
        ("conductor_core>=0.1,<0.2", True),
        ("conductor-core>=0.2", False),
        ("conductor-core~=0.1.0", True),
        ("conductor-core~=0.0.9", False),
        ("conductor-core!=0.1.0", False),
        ("conductor-core[rich]>0.1.0", False),
        ("conductor-core==0.1.*", True),
        ('conductor-nowhere==1; extra == "more"', True),
        ("conductor-nowhere", False),
    ],
)
def test_requirements(cli: CommandLine, requirement: str, is_met: bool) -> None:
    """
    A requirement that is certainly not met is a finding; one that cannot be judged is not.
    """
    cli.site.add("conductor-core", version="0.1.0")
    metadata = f"Metadata-Version: 2.1\nName: conductor-db\nVersion: 0.1.0\nRequires-Dist: {requirement}\n"
    cli.site.add("conductor-db", metadata=f"{metadata}Requires-Dist: conductor-core\n\nRequires-Dist: nothing\n")

    assert [one["kind"] for one in findings(cli)] == ([] if is_met else ["version"])


def test_command_that_can_never_be_called(cli: CommandLine) -> None:
    """
    A contributed command with the name of one of ours is a finding, and so are two of one name.
    """
    groups = {"conductor.commands": {"plan": "acme_commands:more", "more": "acme_commands:more"}}
    source = {"acme_commands": "import click\n\n@click.command()\ndef more(): pass\n"}
    cli.site.add("acme-one", entry_points=groups, modules=source)
    cli.site.add("acme-two", entry_points={"conductor.commands": {"more": "acme_commands:more"}})

    messages = [one["message"] for one in findings(cli)]

    assert "command 'plan' of 'acme-one 1.0' has the name of one of Conductor's own commands" in messages
    assert "distributions 'acme-one' and 'acme-two' all offer the command 'more'" in messages


def test_wrong_settings(cli: CommandLine) -> None:
    """
    A setting of the application that means nothing is a finding.
    """
    (cli.folder / "conductor.toml").write_text("strikt = true\n")

    assert only(cli, "settings")["hint"] == "did you mean 'strict'?"


def test_as_text(cli: CommandLine) -> None:
    """
    As text, each finding has its kind, its sentence and its hint, and they are counted.
    """
    cli.site.add("acme-more", entry_points={"conductor.overrides": {"queue": "shop_parts:Other"}})

    lines = cli.call("doctor").stdout.splitlines()

    assert any(line.startswith("inert: override 'queue' of 'acme-more 1.0'") for line in lines)
    assert any(line.startswith("hint: install what it overrides") for line in lines)
    assert lines[-1].endswith(" findings")
