"""
`conductor list`.
"""

import json
from typing import Any

from tests.cli.conftest import CommandLine

RAISES = {"rude": "raise SystemExit('imported')"}


def listed(cli: CommandLine, *arguments: str) -> dict[tuple[str, str, str], Any]:
    """
    What is listed, by name, kind and distribution.
    """
    result = cli.call("list", "--json", *arguments)
    assert result.exit_code == 0
    return {
        (one["name"], one["kind"], one["origin"]["distribution"]): one
        for one in json.loads(result.stdout)["components"]
    }


def test_nothing_installed(cli: CommandLine) -> None:
    """
    An empty environment is told to be empty.
    """
    result = cli.call("list")

    assert result.exit_code == 0
    assert result.stdout == "no component is installed\n"


def test_shows_name_state_and_distribution(cli: CommandLine) -> None:
    """
    Each component has a line with its name, its state and where it comes from.
    """
    cli.install_shop()

    lines = [line.split() for line in cli.call("list").stdout.splitlines()]

    assert lines == [
        ["NAME", "KIND", "STATE", "FROM"],
        ["db", "component", "active", "acme-shop", "1.2"],
        ["queue", "component", "active", "acme-shop", "1.2"],
        ["shop", "component", "active", "acme-shop", "1.2"],
    ]


def test_imports_nothing(cli: CommandLine) -> None:
    """
    A component whose module ends the process when it is imported is listed like any other.
    """
    cli.site.add("rude", entry_points={"conductor.components": {"rude": "rude:Rude"}}, modules=RAISES)

    assert listed(cli)["rude", "component", "rude"]["state"] == "active"
    assert cli.site.imported() == set()


def test_override_takes_the_place(cli: CommandLine) -> None:
    """
    An installed override is active, and what it replaces is overridden by it.
    """
    cli.install_shop()
    cli.site.add("acme-fast", entry_points={"conductor.overrides": {"queue": "rude:Queue"}})

    found = listed(cli)

    assert found["queue", "override", "acme-fast"]["state"] == "active"
    assert found["queue", "component", "acme-shop"]["state"] == "overridden"
    assert found["queue", "component", "acme-shop"]["why"] == "by acme-fast 1.0"


def test_two_overrides_are_a_conflict(cli: CommandLine) -> None:
    """
    Two overrides of one component are both in conflict, each naming the other.
    """
    cli.install_shop()
    for name in ("acme-fast", "acme-safe"):
        cli.site.add(name, entry_points={"conductor.overrides": {"queue": "rude:Queue"}})

    found = listed(cli)

    assert found["queue", "override", "acme-fast"]["state"] == "conflict"
    assert found["queue", "override", "acme-fast"]["why"] == "with 'acme-safe'"


def test_what_two_overrides_want_to_replace_is_not_broken(cli: CommandLine) -> None:
    """
    Nothing is wrong with a component that two overrides want to replace, or one that cannot be used.
    """
    cli.install_shop()
    for name in ("acme-fast", "acme-safe"):
        cli.site.add(name, entry_points={"conductor.overrides": {"queue": "rude:Queue"}})
    cli.site.add("acme-torn", entry_points={"conductor.overrides": {"db": "no target"}})

    found = listed(cli)

    assert found["queue", "component", "acme-shop"]["state"] == "overridden"
    assert found["queue", "component", "acme-shop"]["why"] == "by 'acme-fast' or 'acme-safe'"
    assert found["db", "component", "acme-shop"]["state"] == "overridden"
    assert "its entry point in 'conductor.overrides' cannot be used" in found["db", "component", "acme-shop"]["why"]
    assert found["db", "override", "acme-torn"]["state"] == "broken"


def test_superseded_override_is_beaten(cli: CommandLine) -> None:
    """
    An override that another one supersedes is beaten, and it is told by whom.
    """
    cli.install_shop()
    cli.site.add("acme-fast", entry_points={"conductor.overrides": {"queue": "rude:Queue"}})
    groups = {"conductor.overrides": {"queue": "rude:Queue"}, "conductor.supersedes": {"queue": "acme_fast"}}
    cli.site.add("acme-safe", entry_points=groups)

    found = listed(cli)

    assert found["queue", "override", "acme-fast"]["state"] == "beaten"
    assert found["queue", "override", "acme-fast"]["why"] == "superseded by 'acme-safe'"
    assert found["queue", "override", "acme-safe"]["state"] == "active"


def test_override_of_nothing_is_inert(cli: CommandLine) -> None:
    """
    An override of something that is not installed has no effect, and says so.
    """
    cli.site.add("acme-fast", entry_points={"conductor.overrides": {"queue": "rude:Queue"}})

    assert listed(cli)["queue", "override", "acme-fast"]["state"] == "inert"


def test_excluded_is_disabled(cli: CommandLine) -> None:
    """
    What the settings or the command line exclude is disabled; the two add up.
    """
    cli.install_shop()
    (cli.folder / "conductor.toml").write_text('exclude = ["queue"]\n')

    found = listed(cli, "--exclude", "db")

    assert found["db", "component", "acme-shop"]["state"] == "disabled"
    assert found["queue", "component", "acme-shop"]["state"] == "disabled"
    assert found["shop", "component", "acme-shop"]["state"] == "active"


def test_denied_is_disabled(cli: CommandLine) -> None:
    """
    What the settings deny is disabled, with the setting that does it.
    """
    cli.install_shop()
    (cli.folder / "conductor.toml").write_text('deny = ["acme-shop"]\n')

    found = listed(cli)["db", "component", "acme-shop"]

    assert found["state"] == "disabled"
    assert "deny" in found["why"]


def test_malformed_entry_is_broken(cli: CommandLine) -> None:
    """
    An entry point that cannot be used is broken, with the reason, and the others go on.
    """
    cli.install_shop()
    cli.site.add("acme-odd", entry_points={"conductor.components": {"odd": "no class"}})

    found = listed(cli)

    assert found["odd", "component", "acme-odd"]["state"] == "broken"
    assert "no class" in found["odd", "component", "acme-odd"]["why"]
    assert found["db", "component", "acme-shop"]["state"] == "active"


def test_same_name_twice_is_a_conflict(cli: CommandLine) -> None:
    """
    Two distributions that offer one name are both in conflict.
    """
    for name in ("acme-one", "acme-two"):
        cli.site.add(name, entry_points={"conductor.components": {"db": f"{name[5:]}:Database"}})

    assert {one["state"] for one in listed(cli).values()} == {"conflict"}


def test_further_instance_is_listed(cli: CommandLine) -> None:
    """
    A further instance that the settings declare is listed with what it is one of.
    """
    cli.install_shop()
    (cli.folder / "conductor.toml").write_text('[components.reports]\ncomponent = "db"\n')

    found = listed(cli)["reports", "instance", "acme-shop"]

    assert (found["state"], found["why"]) == ("active", "one more of 'db'")


def test_hostile_metadata_cannot_steer_the_terminal(cli: CommandLine) -> None:
    """
    What is not printable in names and versions comes out escaped, as text and as JSON.
    """
    metadata = "Metadata-Version: 2.1\nName: acme-evil\nVersion: 1\x1b[2J\u202e\n"
    groups = {"conductor.components": {"evil\x1b[31m": "evil:Evil"}}
    cli.site.add("acme-evil", metadata=metadata, entry_points=groups)

    for arguments in (["list"], ["list", "--json"]):
        output = cli.call(*arguments).output
        assert "evil" in output
        assert "\x1b" not in output
        assert "\u202e" not in output


def test_wrong_settings_do_not_keep_it_from_listing(cli: CommandLine) -> None:
    """
    A misspelt setting is a warning on standard error; everything is listed all the same.
    """
    cli.install_shop()
    (cli.folder / "conductor.toml").write_text("strikt = true\n")

    result = cli.call("list", "--json")

    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["components"]) == 3
    assert "strikt" in result.stderr
    assert "did you mean 'strict'?" in result.stderr


def test_unreadable_settings_end_with_2(cli: CommandLine) -> None:
    """
    A settings file that is no TOML is one error that names it, and exit code 2.
    """
    (cli.folder / "conductor.toml").write_text("roots = [\n")

    result = cli.call("list")

    assert result.exit_code == 2
    assert result.stderr.startswith("error: cannot read settings from 'conductor.toml'")
