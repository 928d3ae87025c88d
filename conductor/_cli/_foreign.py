"""
Whether distributions that belong to Conductor have what they require, and the package `conductor` to themselves.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from .._discovery import Discovery, Origin, normalise
from .._requirements import unmet_requirements
from .._selection import distribution_of
from .._toml import TextError, read_text
from ._checks import Finding

OURS = "conductor-core"

_OUR_FILES = re.compile(r'^"?conductor(?:/|\.py,)', re.MULTILINE)


def find_foreign(discovery: Discovery, path: Sequence[str]) -> Iterator[Finding]:
    """
    Whatever else is called `conductor` to Python: other distributions, and folders that come to be on the path.

    Args:
        discovery: what is installed.
        path: where Python looks for modules.
    """
    for origin in discovery.distributions:
        if normalise(origin.distribution) != OURS and _brings_conductor(origin):
            message = (
                f"distribution '{distribution_of(origin)}' installs a package 'conductor', too, over that of '{OURS}'"
            )
            yield Finding("foreign", message, f"uninstall '{origin.distribution}', then reinstall '{OURS}'")
    spec = importlib.util.find_spec("conductor")
    own = os.path.realpath(spec.origin) if spec is not None and spec.origin else ""
    seen = {own}
    for folder in path:
        for file in (os.path.join(folder, "conductor", "__init__.py"), os.path.join(folder, "conductor.py")):
            if os.path.isfile(file) and os.path.realpath(file) not in seen:
                seen.add(os.path.realpath(file))
                message = f"'{file}' is on the path, too, and is not the 'conductor' that runs ({own})"
                yield Finding("foreign", message, f"uninstall or rename it, or take '{folder}' off the path")


def _brings_conductor(origin: Origin) -> bool:
    if "conductor" in _read(origin, "top_level.txt").split():
        return True
    return _OUR_FILES.search(_read(origin, "RECORD")) is not None


def find_unmet(discovery: Discovery) -> Iterator[Finding]:
    """
    What distributions that publish something for Conductor require, and is not there or not in that version.
    """
    installed = {normalise(origin.distribution): origin for origin in discovery.distributions}
    concerned = {normalise(entry.origin.distribution) for entry in discovery.entries}
    concerned |= {name for name in installed if name == OURS or name.startswith("conductor-")}
    origins = [installed[name] for name in sorted(concerned & installed.keys())]
    for unmet in unmet_requirements(discovery, origins, among=installed):
        there = f"'{unmet.found.version}' is installed" if unmet.found is not None else "it is not installed"
        message = f"distribution '{distribution_of(unmet.origin)}' requires '{unmet.required}', and {there}"
        hint = f"install '{unmet.required}', or another version of '{unmet.origin.distribution}'"
        yield Finding("version", message, hint)


def _read(origin: Origin, name: str) -> str:
    """
    A file of a distribution's metadata; empty if it cannot be read, which is not what is looked for here.
    """
    try:
        return read_text(Path(origin.location, name))
    except TextError:
        return ""
