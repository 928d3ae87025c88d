"""
Whether installed distributions accept each other's versions.

Installers see to that when they install one thing after another, but not when one is replaced later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion

from ._discovery import Discovery, Origin
from ._text import normalise


@attrs.frozen
class Unmet:
    """
    One requirement that is not met.

    Attributes:
        origin: the distribution that requires something.
        required: what, as it states it.
        name: the name of the distribution that is required.
        found: the one that is installed, in another version; None if there is none.
    """

    origin: Origin
    required: str
    name: str
    found: Origin | None


def unmet_requirements(
    discovery: Discovery, origins: Iterable[Origin], *, among: Mapping[str, Origin]
) -> Iterator[Unmet]:
    """
    What some distributions require, and is not there or not in that version; optional extras are left out.

    A requirement that cannot be read, or a version that cannot be compared, is not held against anybody.

    Args:
        discovery: what is installed.
        origins: the distributions whose requirements are looked at.
        among: the installed distributions that count, by normalised name.
    """
    for origin in origins:
        for line in discovery.requirements_of(origin):
            try:
                requirement = Requirement(line)
                if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                    continue
                found = among.get(normalise(requirement.name))
                if found is not None and requirement.specifier.contains(found.version, prereleases=True):
                    continue
            except (InvalidRequirement, InvalidVersion):
                continue
            yield Unmet(origin, str(requirement), requirement.name, found)
