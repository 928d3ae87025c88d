"""
The command `conductor`: one module for each subcommand, imported when it is called.
"""

from ._commands import commands
from ._end import main

__all__ = ["commands", "main"]
