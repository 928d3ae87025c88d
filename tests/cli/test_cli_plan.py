"""
`conductor plan`, `conductor why` and `conductor config`.
"""

import json
from typing import Any

import pytest

from tests.cli.conftest import CommandLine

FAST = """
    from shop_parts import Queue

    class Fast(Queue):
        pass
"""


def install_fast(cli: CommandLine, distribution: str = "acme-fast") -> None:
    """
    Install an override of the queue.
    """
    module = distribution.replace("-", "_")
    cli.site.add(
        distribution, entry_points={"conductor.overrides": {"queue": f"{module}:Fast"}}, modules={module: FAST}
    )


def parsed(cli: CommandLine, *arguments: str, exit_code: int = 0) -> Any:
    """
    The JSON that a command writes.
    """
    result = cli.call(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


def test_plan_in_order_with_reasons(cli: CommandLine) -> None:
    """
    The plan of a root has what it needs before it, and says why each is in.
    """
    cli.install_shop()

    lines = cli.call("plan", "shop").stdout.splitlines()

    assert lines[0].startswith("3 components, stop within 25 s, digest ")
    assert [line.split()[:2] for line in lines[3:]] == [["1", "db"], ["2", "queue"], ["3", "shop"]]
    assert "needed by 'shop' (field 'db')" in lines[3]
    assert lines[5].split()[4:] == ["root", "after", "db,", "queue"]


def test_plan_as_json(cli: CommandLine) -> None:
    """
    For programs there is everything: digest, bindings, settings, choices; nothing else on standard output.
    """
    cli.install_shop()

    plan = parsed(cli, "plan", "shop")

    assert len(plan["digest"]) == 64
    shop = plan["steps"][-1]
    assert shop["needs"] == ["db", "queue"]
    assert shop["origin"]["distribution"] == "acme-shop"
    assert [(one["field"], one["relation"], one["providers"]) for one in shop["bindings"]] == [
        ("cache", "uses if present", []),
        ("db", "needs", ["db"]),
        ("queue", "needs", ["queue"]),
    ]


def test_plan_tells_which_override_won(cli: CommandLine) -> None:
    """
    Beneath a component that took another's place stand the rule and the original.
    """
    cli.install_shop()
    install_fast(cli)

    assert (
        "    installed override of 'acme-fast 1.0', in place of acme-shop 1.2 (shop_parts:Queue)"
        in cli.call("plan").stdout.splitlines()
    )


def test_plan_with_override_on_the_command_line(cli: CommandLine) -> None:
    """
    `--override` chooses between two overrides that would be a conflict.
    """
    cli.install_shop()
    install_fast(cli, "acme-fast")
    install_fast(cli, "acme-quick")

    conflict = cli.call("plan")
    chosen = parsed(cli, "plan", "--override", "queue=acme-quick")

    assert conflict.exit_code == 3
    assert "'acme-fast' and 'acme-quick' both override 'queue'" in conflict.stderr
    assert 'queue = "acme-fast" or queue = "acme-quick"' in conflict.stderr
    winner = next(step for step in chosen["steps"] if step["name"] == "queue")
    assert winner["target"] == "acme_quick:Fast"
    assert winner["choice"]["chain"][0]["rule"] == "chosen by command line: --override queue"


def test_plan_with_a_class_as_override(cli: CommandLine) -> None:
    """
    `--override` also takes `package.module:Class`.
    """
    cli.install_shop()

    steps = parsed(cli, "plan", "--override", "queue=shop_parts:Other")["steps"]

    assert [step["target"] for step in steps if step["name"] == "queue"] == ["shop_parts:Other"]


def test_malformed_override_is_a_usage_error(cli: CommandLine) -> None:
    """
    `--override` without an equals sign ends with exit code 2.
    """
    result = cli.call("plan", "--override", "queue")

    assert result.exit_code == 2
    assert "NAME=DISTRIBUTION" in result.stderr


def test_invalid_plan_shows_all_problems(cli: CommandLine) -> None:
    """
    All problems come out at once, each with its hint, as text on standard error and as JSON on standard output.
    """
    cli.install_shop()
    cli.site.add("acme-broken", entry_points={"conductor.components": {"broken": "acme_nowhere:Broken"}})

    arguments = ("plan", "--exclude", "db", "--set", "queue.size=0")
    result = cli.call(*arguments)
    problems = parsed(cli, *arguments, exit_code=3)["problems"]

    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr.count("error: ") == 3
    assert result.stderr.count("hint: ") >= 2
    assert "3 problems, nothing was set up" in result.stderr
    assert {problem["kind"] for problem in problems} == {"LoadError", "MissingDependencyError", "SettingError"}


def test_only_settings_wrong_ends_with_2(cli: CommandLine) -> None:
    """
    If nothing but settings is wrong, the exit code is 2.
    """
    cli.install_shop()

    result = cli.call("plan", "--set", "queue.size=0")

    assert result.exit_code == 2
    assert "command line: --set queue.size" in result.stderr


def test_profile_and_config_from_the_environment(cli: CommandLine) -> None:
    """
    `CONDUCTOR_CONFIG` and `CONDUCTOR_PROFILE` stand in for their options.
    """
    cli.install_shop()
    (cli.folder / "other.toml").write_text('roots = ["queue"]\n[profiles.more]\nroots = ["db", "queue"]\n')

    env = {"CONDUCTOR_CONFIG": "other.toml"}
    plain = json.loads(cli.call("plan", "--json", env=env).stdout)
    more = json.loads(cli.call("plan", "--json", env={**env, "CONDUCTOR_PROFILE": "more"}).stdout)

    assert [step["name"] for step in plain["steps"]] == ["queue"]
    assert [step["name"] for step in more["steps"]] == ["db", "queue"]


def test_warnings_go_to_standard_error(cli: CommandLine) -> None:
    """
    What is strange but harmless does not get into the JSON's way.
    """
    cli.install_shop()
    cli.site.add("acme-nothing", entry_points={"conductor.overrides": {"nothing": "acme_nothing:Nothing"}})

    result = cli.call("plan", "--json")

    assert "override 'nothing' has no effect" in result.stderr
    assert json.loads(result.stdout)["warnings"]


def test_why_tells_provider_loser_and_dependents(cli: CommandLine) -> None:
    """
    For a name that an override took: who provides it, in whose place, who needs it, and its settings with sources.
    """
    cli.install_shop()
    install_fast(cli)

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
    install_fast(cli)

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


def test_why_of_an_unknown_name(cli: CommandLine) -> None:
    """
    A name that nothing has is a usage error with the nearest name.
    """
    cli.install_shop()

    result = cli.call("why", "shopp")

    assert result.exit_code == 2
    assert result.stderr == "error: there is no component 'shopp'\nhint: did you mean 'shop'?\n"


def test_config_shows_value_type_source_and_help(cli: CommandLine) -> None:
    """
    Each setting has its value, type, source and help.
    """
    cli.install_shop()

    lines = cli.call("config", "--set", "db.url=sqlite:///other.db").stdout.splitlines()

    at = lines.index('  url = "sqlite:///other.db"  # str, command line: --set db.url')
    assert lines[at + 1].strip() == "where the data is"
    assert "  size = 10  # int, default" in lines


def test_config_masks_secrets(cli: CommandLine) -> None:
    """
    A secret comes out neither as text nor as JSON, wherever it came from.
    """
    cli.install_shop()

    for arguments in (["config"], ["config", "--json"], ["why", "db"], ["plan", "--json"]):
        result = cli.call(*arguments, env={"CONDUCTOR_DB__PASSWORD": "correct-horse"})
        assert result.exit_code == 0
        assert "correct-horse" not in result.output
        assert "hidden" not in result.output


def test_config_of_the_application(cli: CommandLine) -> None:
    """
    The settings of the application itself come with their sources, too.
    """
    cli.install_shop()
    (cli.folder / "conductor.toml").write_text(
        'roots = ["db"]\n[limits]\nstop = 20\n[overrides]\nqueue = "shop_parts:Other"\n'
    )

    told = {one["name"]: one for one in parsed(cli, "config", "--exclude", "shop")["application"]}

    assert told["roots"]["value"] == '["db"]'
    assert told["roots"]["source"] == "conductor.toml: roots"
    assert told["limits.stop"]["value"] == "20.0"
    assert told["limits.setup"]["source"] == "default"
    assert told["overrides.queue"]["value"] == '"shop_parts:Other"'
    assert told["exclude"]["value"] == '["shop"]'


def test_config_names_roots_of_the_command_line(cli: CommandLine) -> None:
    """
    Roots that are named on the command line do not count as a default.
    """
    cli.install_shop()

    told = {one["name"]: one for one in parsed(cli, "config", "queue")["application"]}

    assert told["roots"] == {"name": "roots", "value": '["queue"]', "source": "the named roots"}
