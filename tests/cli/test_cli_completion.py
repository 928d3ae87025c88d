"""
`conductor completion`, and what shells get to complete.
"""

import shlex
import shutil

import pytest

from tests.cli.conftest import CommandLine


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(cli: CommandLine, shell: str) -> None:
    """
    There is a script for each shell, which asks the command itself.
    """
    if shell == "bash" and shutil.which("bash") is None:
        pytest.skip("there is no bash here")
    result = cli.call("completion", shell)

    assert result.exit_code == 0
    assert "_CONDUCTOR_COMPLETE" in result.stdout


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("conductor pl", ["plan"]),
        ("conductor gr", ["graph", "greet"]),
        ("conductor why s", ["shop"]),
        ("conductor plan db q", ["queue"]),
        ("conductor run --exclude d", ["db"]),
        ("conductor graph --format d", ["dot"]),
    ],
)
def test_completion(cli: CommandLine, typed: str, expected: list[str]) -> None:
    """
    Commands, options, component names and choices are completed; nothing is imported for it.
    """
    cli.install_shop()
    cli.site.add(
        "acme-greet",
        entry_points={"conductor.commands": {"greet": "acme_greet:greet"}},
        modules={"acme_greet": "raise SystemExit(0)"},
    )
    words = shlex.split(typed)
    env = {"_CONDUCTOR_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}

    result = cli.process(env=env)

    assert [line.partition(",")[2] for line in result.stdout.splitlines()] == expected
