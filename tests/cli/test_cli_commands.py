"""
The command line as a whole: its help, its commands and those of others, the way it is started.
"""

import os
import shlex
import shutil
import subprocess
import sys

import pytest

from conductor._cli._commands import BUILT_IN
from tests.cli.conftest import CommandLine

GREET = """
    import click

    @click.command()
    @click.argument("name")
    def greet(name):
        '''Greet somebody.'''
        click.echo(f"hello {name}")
"""


def install_greet(cli: CommandLine, distribution: str = "acme-greet", *, source: str = GREET) -> None:
    """
    Install a distribution that offers the command `greet`.
    """
    module = distribution.replace("-", "_")
    cli.site.add(
        distribution, entry_points={"conductor.commands": {"greet": f"{module}:greet"}}, modules={module: source}
    )


@pytest.mark.parametrize("command", ["", *BUILT_IN])
def test_help_has_examples(cli: CommandLine, command: str) -> None:
    """
    Every help ends with examples that begin with the command itself.
    """
    result = cli.call(*command.split(), "--help")

    assert result.exit_code == 0
    _, _, examples = result.stdout.partition("\nExamples:\n")
    assert examples
    assert all(f"conductor {command}".strip() in line for line in examples.splitlines())


def test_command_and_module_are_the_same(cli: CommandLine) -> None:
    """
    `conductor` and `python -m conductor` show the same help.
    """
    script = "from conductor._cli import main; main()"
    as_command = subprocess.run(
        cli.python("-c", script, "--help"), env=cli.environ, cwd=cli.folder, capture_output=True, text=True
    )
    as_module = cli.process("--help")

    assert as_module.stdout.startswith("Usage: conductor [OPTIONS]")
    assert (as_module.returncode, as_module.stdout) == (as_command.returncode, as_command.stdout)


def test_working_directory_is_not_on_the_path(cli: CommandLine) -> None:
    """
    A component that lies in the working directory is neither found nor importable.
    """
    here = cli.site.beside("work2")
    here.add(
        "acme-here", entry_points={"conductor.components": {"here": "here_parts:Here"}}, modules={"here_parts": ""}
    )
    shutil.copytree(here.folder, cli.folder, dirs_exist_ok=True)

    assert cli.process("list").stdout == "no component is installed\n"
    result = cli.process("plan", "--override", "here=here_parts:Here", "--set", 'roots=["here"]')
    assert result.returncode == 3


def test_working_directory_that_was_asked_for_stays(cli: CommandLine) -> None:
    """
    A folder that is in PYTHONPATH is there to be imported from, even if it is the working directory.
    """
    (cli.folder / "local_parts.py").write_text("from conductor import Component\n\nclass Fast(Component): pass\n")
    cli.install_shop()
    environ = {"PYTHONPATH": os.pathsep.join([cli.environ["PYTHONPATH"], str(cli.folder)])}

    result = cli.process("plan", "queue", "--override", "queue=local_parts:Fast", env=environ)

    assert "local_parts:Fast" in result.stdout, result.stderr


def test_import_is_light(cli: CommandLine) -> None:
    """
    `import conductor` pulls in neither click nor rich nor what is installed for it.
    """
    cli.install_shop()
    code = "import conductor, sys; print([n for n in ('click', 'rich', 'shop_parts') if n in sys.modules])"

    result = subprocess.run(cli.python("-c", code), env=cli.environ, capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"


def test_list_imports_neither_rich_nor_components(cli: CommandLine) -> None:
    """
    `conductor list` imports no other subcommand, no rich, and no component.
    """
    cli.install_shop()
    code = (
        "import sys\nfrom conductor._cli import commands\n"
        "commands.main(['list'], 'conductor', standalone_mode=False)\n"
        "print(sorted(n for n in sys.modules if n in ('rich', 'shop_parts') or n.startswith('conductor._cli._')))"
    )

    result = subprocess.run(cli.python("-c", code), env=cli.environ, capture_output=True, text=True, check=True)

    expected = sorted(
        f"conductor._cli.{name}" for name in ("_commands", "_end", "_lines", "_list", "_options", "_output")
    )
    assert result.stdout.splitlines()[-1] == str(expected)


def test_version(cli: CommandLine) -> None:
    """
    `--version` tells the version that is installed.
    """
    cli.site.add("conductor-core", version="7.8.9")

    assert cli.call("--version").stdout == "conductor 7.8.9\n"


def test_contributed_command_is_listed_without_import(cli: CommandLine) -> None:
    """
    The help lists a command of a distribution by its metadata alone.
    """
    install_greet(cli)

    assert "  greet  (from acme-greet 1.0)" in cli.call("--help").stdout
    assert cli.site.imported() == set()


def test_contributed_command_is_called(cli: CommandLine) -> None:
    """
    It is imported when it is called, and gets its arguments.
    """
    install_greet(cli)

    assert cli.call("greet", "world").stdout == "hello world\n"


@pytest.mark.parametrize("source", ["import nowhere", "raise SystemExit(0)", "greet = 3", ""])
def test_contributed_command_that_cannot_be_used(cli: CommandLine, source: str) -> None:
    """
    One that does not import, or is no command, is one message that names its distribution.
    """
    install_greet(cli, source=source)

    result = cli.call("greet", "world")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: command 'greet' of distribution 'acme-greet 1.0' ")
    assert result.stderr.count("\n") == 1


def test_contributed_command_of_two(cli: CommandLine) -> None:
    """
    Two distributions that offer the same command are refused, naming both.
    """
    install_greet(cli, "acme-greet")
    install_greet(cli, "acme-salute")

    result = cli.call("greet", "world")

    assert result.exit_code == 2
    assert "'acme-greet' and 'acme-salute' all offer the command 'greet'" in result.stderr


def test_denied_command_is_not_imported(cli: CommandLine) -> None:
    """
    What the settings deny offers no command either; of two, the other one is called.
    """
    install_greet(cli, source="raise SystemExit(0)")
    (cli.folder / "conductor.toml").write_text('deny = ["acme-greet"]\n')

    refused = cli.call("greet", "world")
    install_greet(cli, "acme-salute")

    assert refused.exit_code == 1
    assert "do not allow" in refused.stderr
    assert cli.call("greet", "world").stdout == "hello world\n"


def test_contributed_command_never_beats_ours(cli: CommandLine) -> None:
    """
    A distribution that offers `list` changes nothing.
    """
    groups = {"conductor.commands": {"list": "acme_list:greet", "List": "acme_list:greet"}}
    cli.site.add("acme-list", entry_points=groups, modules={"acme_list": GREET})

    assert cli.call("list").stdout == "no component is installed\n"
    assert "acme-list" not in cli.call("--help").stdout


def test_unknown_command_is_a_usage_error(cli: CommandLine) -> None:
    """
    A command that does not exist is exit code 2.
    """
    assert cli.call("lisst").exit_code == 2


def test_reader_that_goes_away(cli: CommandLine) -> None:
    """
    `conductor … | head -1` ends quietly, with the exit code of the command.
    """
    cli.install_shop()
    command = shlex.join(cli.python("-m", "conductor", "plan", "--json"))

    script = f"{{ {command}; echo $? >code; }} | head -c 1"
    result = subprocess.run(["sh", "-c", script], env=cli.environ, cwd=cli.folder, capture_output=True, text=True)

    assert result.stdout == "{"
    assert result.stderr == ""
    assert (cli.folder / "code").read_text() == "0\n"


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /dev/full")
def test_full_disk_is_an_error(cli: CommandLine) -> None:
    """
    What was asked for cannot be written: one message, and not exit code 0.
    """
    cli.install_shop()
    command = shlex.join(cli.python("-m", "conductor", "plan"))

    script = f"{command} >/dev/full"
    result = subprocess.run(["sh", "-c", script], env=cli.environ, cwd=cli.folder, capture_output=True, text=True)

    assert result.returncode == 1
    assert result.stderr == "Error: cannot write to standard output: no space left on device\n"


def test_no_color(cli: CommandLine) -> None:
    """
    NO_COLOR keeps colours away even where they are forced.
    """
    cli.install_shop()
    coloured = cli.call("plan", env={"FORCE_COLOR": "1"})

    assert "\x1b" not in cli.call("plan", env={"NO_COLOR": "1"}).stdout
    assert coloured.exit_code == 0


def test_thread_of_an_import_does_not_hold_a_report(cli: CommandLine) -> None:
    """
    A component that begins a thread when it is imported cannot keep `conductor plan` from ending.
    """
    source = """
        import threading, time
        from conductor import Component

        threading.Thread(target=time.sleep, args=(3600,), name="eternal").start()

        class Odd(Component):
            pass
    """
    cli.site.add(
        "acme-odd", entry_points={"conductor.components": {"odd": "odd_thread:Odd"}}, modules={"odd_thread": source}
    )

    result = cli.process("plan")

    assert result.returncode == 0
    assert "1  odd" in result.stdout
    assert "warning: still running: 'eternal'" in result.stderr
