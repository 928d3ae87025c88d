"""
Whether distributions that belong to Conductor have what they require, and the package `conductor` to themselves.

Requirements are judged as far as that is certain without a library for it: plain numbers as versions, no markers.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from .._discovery import Discovery, Origin, normalise
from .._selection import distribution_of
from .._toml import TextError, read_text
from ._checks import Finding

OURS = "conductor-core"

_REQUIREMENT = re.compile(
    r"^Requires-Dist:[ \t]*([A-Za-z0-9][A-Za-z0-9._-]*)[ \t]*(?:\[[^]\n]*\])?[ \t]*\(?([^;()\n]*)\)?[ \t]*(;.*)?$",
    re.MULTILINE,
)
_SPECIFIER = re.compile(r"\s*(==|!=|>=|<=|~=|>|<)\s*v?(\d+(?:\.\d+)*)\s*")
_RELEASE = re.compile(r"v?\d+(?:\.\d+)*")
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
    for name in sorted(concerned & installed.keys()):
        origin = installed[name]
        headers = (_read(origin, "METADATA") or _read(origin, "PKG-INFO")).partition("\n\n")[0]
        for required, specifiers, marker in _REQUIREMENT.findall(headers):
            found = installed.get(normalise(required))
            if marker or (found is not None and _is_met(found.version, specifiers)):
                continue
            there = f"'{found.version}' is installed" if found is not None else "it is not installed"
            message = (
                f"distribution '{distribution_of(origin)}' requires '{f'{required} {specifiers}'.strip()}', and {there}"
            )
            yield Finding(
                "version", message, f"install '{required}{specifiers.strip()}', or another '{origin.distribution}'"
            )


def _is_met(version: str, specifiers: str) -> bool:
    """
    Whether a version is not certainly a wrong one.
    """
    if not _RELEASE.fullmatch(version):
        return True
    for specifier in specifiers.split(","):
        match = _SPECIFIER.fullmatch(specifier)
        if match is not None and not _fits(_release(version), match[1], _release(match[2])):
            return False
    return True


def _fits(version: list[int], sign: str, wanted: list[int]) -> bool:
    length = max(len(version), len(wanted))
    left, right = (numbers + [0] * (length - len(numbers)) for numbers in (version, wanted))
    match sign:
        case "==":
            return left == right
        case "!=":
            return left != right
        case ">=":
            return left >= right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case "<":
            return left < right
    return left >= right and left[: len(wanted) - 1] == wanted[:-1]


def _release(version: str) -> list[int]:
    return [int(number[:9]) for number in version.removeprefix("v").split(".")]


def _read(origin: Origin, name: str) -> str:
    """
    A file of a distribution's metadata; empty if it cannot be read, which is not what is looked for here.
    """
    try:
        return read_text(Path(origin.location, name))
    except TextError:
        return ""
