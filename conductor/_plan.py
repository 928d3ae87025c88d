"""
The dependency graph as a frozen value that can be printed, compared and run.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import attrs

from ._graph import sort_graph
from ._resolution import Resolution, find_cycles
from ._selection import Choice
from ._step import Binding as Binding
from ._step import Relation as Relation
from ._step import Step as Step
from .exceptions import raise_problems


@attrs.frozen
class Plan:
    """
    What is set up, in which order, and why.

    Attributes:
        steps: in one valid set-up order, the same one each time.
        stop: seconds that the whole stop may take.
        choices: who took which name, by name of the step.
        warnings: what is strange but harmless, one sentence each.
    """

    steps: tuple[Step, ...]
    stop: float = 25.0
    choices: Mapping[str, Choice] = attrs.field(factory=dict, repr=False)
    warnings: tuple[str, ...] = ()

    @functools.cached_property
    def by_name(self) -> Mapping[str, Step]:
        """
        The steps by their name.
        """
        return {step.name: step for step in self.steps}

    @functools.cached_property
    def digest(self) -> str:
        """
        A SHA-256 over everything that decides what runs, in hexadecimal; the same for the same installed
        distributions and settings, wherever these lie.  Secrets do not go into it.
        """
        told = [_told(step) for step in self.steps]
        text = json.dumps({"stop": self.stop, "steps": told}, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


def make_plan(resolution: Resolution) -> Plan:
    """
    The plan: every step after all that it needs, independent ones by name.

    Raises:
        ResolutionError: components need each other; holds a :class:`CycleError` for each such group.
    """
    raise_problems("the plan is not valid", find_cycles(resolution.steps))
    by_name = {step.name: step for step in resolution.steps}
    order = sort_graph({name: step.needs for name, step in by_name.items()}).order
    return Plan(tuple(by_name[name] for name in order), resolution.stop, resolution.choices, resolution.warnings)


def _told(step: Step) -> dict[str, Any]:
    origin = step.origin
    return {
        "name": step.name,
        "aliases": step.aliases,
        "target": step.target,
        "distribution": [origin.distribution, origin.version] if origin else None,
        "bindings": {b.field: [b.relation.value, b.providers, b.many and b.many.__name__] for b in step.bindings},
        "settings": {value.name: value.shown for value in step.settings},
        "phases": sorted(step.phases),
        "limits": [step.limits.setup, step.limits.shutdown],
        "needs": step.needs,
    }
