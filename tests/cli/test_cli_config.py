"""
`conductor config`.
"""

from tests.cli.conftest import CommandLine, parsed


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
