"""
`conductor completion`: what a shell reads to complete commands, options and component names.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ._commands import ExampleCommand
from ._output import echo

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    cls=ExampleCommand,
    short_help="Write the completion script for a shell.",
    examples={
        'eval "$(conductor completion bash)"': "in ~/.bashrc",
        'eval "$(conductor completion zsh)"': "in ~/.zshrc",
        "conductor completion fish | source": "in ~/.config/fish/config.fish",
    },
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, *, shell: str) -> None:
    """
    Write the script that has a SHELL complete commands, options and component names.
    """
    found = get_completion_class(shell)
    assert found is not None
    echo(found(ctx.find_root().command, {}, "conductor", "_CONDUCTOR_COMPLETE").source())
