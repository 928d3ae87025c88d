"""
`conductor why`.
"""

import json

import pytest

from tests.cli.conftest import CommandLine, parsed


def test_why_tells_provider_loser_and_dependents(cli: CommandLine) -> None:
    """
    For a name that an override took: who provides it, in whose place, who needs it, and its settings with sources.
    """
    cli.install_shop()
    cli.install_fast()

    output = cli.call("why", "queue", "--set", "queue.size=3").stdout

    assert "queue is provided by acme-fast 1.0 (acme_fast:Fast)" in output
    assert "in place of    acme-shop 1.2 (shop_parts:Queue)" in output
    assert "needed by      shop (field 'queue')" in output
    assert "size = 3  command line: --set queue.size" in output


def test_why_tells_what_it_needs(cli: CommandLine) -> None:
    """
    For a dependent: each field, what it gets, and by which rule.
    """
    cli.install_shop()

    output = cli.call("why", "shop", "shop").stdout

    assert "in the plan    root" in output
    assert "needs          db (field 'db'): published for exactly this class" in output
    assert "uses           nothing (field 'cache')" in output


def test_why_as_json(cli: CommandLine) -> None:
    """
    For programs there is the whole choice and the whole step.
    """
    cli.install_shop()
    cli.install_fast()

    told = parsed(cli, "why", "queue")

    assert [one["layer"] for one in told["choice"]["chain"]] == ["override", "component"]
    assert told["needed_by"] == [{"component": "shop", "field": "queue"}]
    assert told["step"]["target"] == "acme_fast:Fast"


def test_why_of_what_is_not_in_the_plan(cli: CommandLine) -> None:
    """
    It is told who would provide the name, and why it is not in the plan.
    """
    cli.install_shop()

    assert "it is not in the plan: it is no root, and no root needs it" in cli.call("why", "shop", "db").stdout
    assert "it is not in the plan: it is excluded" in cli.call("why", "shop", "--exclude", "shop").stdout


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_why_in_an_invalid_plan(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    """
    Although the plan is not valid, it is told who provides the name; the problems follow, with exit code 3.
    """
    cli.install_shop()

    result = cli.call("why", "queue", "--exclude", "db", *arguments)

    assert result.exit_code == 3
    assert "shop_parts:Queue" in result.stdout
    assert "field 'db'" in result.stderr
    if arguments:
        told = json.loads(result.stdout)
        assert told["choice"]["name"] == "queue"
        assert told["problems"][0]["component"] == "shop"


def test_why_of_a_conflict(cli: CommandLine) -> None:
    """
    While two overrides are in conflict nobody provides the name, the original neither.
    """
    cli.install_shop()
    for name in ("acme-fast", "acme-safe"):
        cli.install_fast(name)

    result = cli.call("why", "queue")

    assert result.exit_code == 3
    assert result.stdout.startswith("queue has no provider\n")
    assert "because        distributions 'acme-fast' and 'acme-safe' both override 'queue'" in result.stdout
    assert "in place of    acme-shop 1.2 (shop_parts:Queue)" in result.stdout
    told = json.loads(cli.call("why", "queue", "--json").stdout)
    assert told["choice"]["chain"] == []
    assert "acme-safe" in told["choice"]["problems"][0]["message"]


def test_why_of_an_unknown_name(cli: CommandLine) -> None:
    """
    A name that nothing has is a usage error with the nearest name.
    """
    cli.install_shop()

    result = cli.call("why", "shopp")

    assert result.exit_code == 2
    assert result.stderr == "error: there is no component 'shopp'\nhint: did you mean 'shop'?\n"
