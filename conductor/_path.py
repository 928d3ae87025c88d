"""
Takes the working directory off the module path when `python -m conductor` put it there.

Importing this does it, and the face imports this before anything else: with -m the interpreter puts the working
directory first, and by the time that `__main__` runs, every library has been imported from there if it could be.
A program that puts the working directory there for itself, as `python -m theirs`, keeps it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def is_own_program(arguments: Sequence[str], words: Sequence[str]) -> bool:
    """
    Whether the interpreter is about to run this package by -m.

    Args:
        arguments: as in `sys.argv`, whose first one is "-m" until the module is found.
        words: the whole command line of the interpreter.
    """
    if arguments[:1] != ["-m"] or len(words) < len(arguments):
        return False
    last = words[-len(arguments)]
    return last == "conductor" or (last.startswith("-") and last.endswith("mconductor"))


if not sys.flags.safe_path and is_own_program(sys.argv, sys.orig_argv):
    del sys.path[:1]
