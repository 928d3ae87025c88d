"""
`conductor plan`.
"""

import json

import pytest

from tests.cli.conftest import CommandLine, parsed


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
    cli.install_fast()

    assert (
        "    installed override of 'acme-fast 1.0', in place of acme-shop 1.2 (shop_parts:Queue)"
        in cli.call("plan").stdout.splitlines()
    )


def test_plan_with_override_on_the_command_line(cli: CommandLine) -> None:
    """
    `--override` chooses between two overrides that would be a conflict.
    """
    cli.install_shop()
    cli.install_fast("acme-fast")
    cli.install_fast("acme-quick")

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


RUDE = """
    from conductor.hookspecs import hookimpl

    @hookimpl
    def conductor_planned(plan):
        raise RuntimeError("no way to postgres://me:sesame@host/db \x1b[2J")
"""


@pytest.mark.parametrize("command", ["plan", "config", "graph", "doctor"])
def test_warnings_are_told_once_and_without_passwords(cli: CommandLine, command: str) -> None:
    """
    What is logged while a command works is told like its own warnings: once, redacted, on one line each.
    """
    cli.install_shop()
    groups = {"conductor.overrides": {"nothing": "rude:Nothing"}, "conductor.hooks": {"rude": "rude"}}
    cli.site.add("acme-rude", entry_points=groups, modules={"rude": RUDE})

    errors = cli.process(command).stderr

    if command != "doctor":  # makes no plan
        assert errors.count("override 'nothing' has no effect") == 1
        assert "warning: override 'nothing'" in errors
        assert "failed: RuntimeError: no way to postgres://me:*******@host/db \\x1b[2J\n" in errors
    assert "sesame" not in errors
    assert "Traceback" not in errors
