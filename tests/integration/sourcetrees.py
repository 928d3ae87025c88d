"""
Source trees of small distributions, to be built, installed and uninstalled.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from tests.integration.workshop import build_wheel

BUILD_SYSTEM = """\
[build-system]
requires = ["setuptools >= 77"]
build-backend = "setuptools.build_meta"
"""


def make_wheel(folder: Path, name: str, *, source: str, entry_points: Mapping[str, Mapping[str, str]]) -> Path:
    """
    The wheel of a distribution with a single module.

    Args:
        folder: where its source tree is written.
        name: the distribution; its module is called the same, with underscores.
        source: the module; it may be indented.
        entry_points: `{group: {name: target}}`.
    """
    module = name.replace("-", "_")
    tree = folder / name
    tree.mkdir(parents=True)
    lines = ["[metadata]", f"name = {name}", "version = 1.0", "[options]", f"py_modules = {module}"]
    lines.append("[options.entry_points]")
    for group, entries in entry_points.items():
        lines += [f"{group} =", *(f"    {entry} = {target}" for entry, target in entries.items())]
    (tree / "setup.cfg").write_text("\n".join([*lines, ""]))
    (tree / "pyproject.toml").write_text(BUILD_SYSTEM)
    (tree / f"{module}.py").write_text(textwrap.dedent(source))
    return build_wheel(tree)
