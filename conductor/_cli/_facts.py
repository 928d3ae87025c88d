"""
What is known about a component of a plan, as plain values for JSON and as sentences.
"""

from __future__ import annotations

from typing import Any

from .._discovery import Origin
from .._plan import Plan
from .._selection import Candidate, Choice, distribution_of
from .._settings import SettingValue
from .._step import Binding, Step


def origin_as_dict(origin: Origin | None) -> dict[str, str] | None:
    """
    Where something comes from; None for code.
    """
    if origin is None:
        return None
    return {"distribution": origin.distribution, "version": origin.version, "location": origin.location}


def candidate_as_dict(candidate: Candidate) -> dict[str, Any]:
    """
    One class that wanted a name.
    """
    return {
        "target": candidate.target,
        "origin": origin_as_dict(candidate.origin),
        "layer": candidate.layer.value,
        "rule": candidate.rule,
    }


def choice_as_dict(choice: Choice) -> dict[str, Any]:
    """
    Who took a name, and who lost; nobody took it if there are problems.
    """
    chain = () if choice.problems else choice.chain
    return {
        "name": choice.name,
        "instance_of": choice.instance_of,
        "chain": [candidate_as_dict(candidate) for candidate in chain],
        "beaten": [{**candidate_as_dict(loser.candidate), "why": loser.why} for loser in choice.beaten],
        "problems": [problem.as_dict() for problem in choice.problems],
    }


def setting_as_dict(value: SettingValue) -> dict[str, Any]:
    """
    One effective setting, as it may be shown.
    """
    return {
        "name": value.name,
        "value": value.shown,
        "given": value.given,
        "source": value.source,
        "type": value.type,
        "secret": value.secret,
        "help": value.help,
    }


def binding_as_dict(binding: Binding) -> dict[str, Any]:
    """
    What one field gets.
    """
    return {
        "field": binding.field,
        "relation": binding.relation.value,
        "wanted": binding.wanted,
        "providers": list(binding.providers),
        "many": binding.many.__name__ if binding.many else None,
        "rule": binding.rule,
    }


def step_as_dict(plan: Plan, step: Step) -> dict[str, Any]:
    """
    One component of a plan, with everything that was decided about it.
    """
    choice = plan.choices.get(step.name)
    return {
        "name": step.name,
        "aliases": list(step.aliases),
        "target": step.target,
        "origin": origin_as_dict(step.origin),
        "reason": step.reason,
        "rule": step.rule,
        "choice": choice_as_dict(choice) if choice else None,
        "bindings": [binding_as_dict(binding) for binding in step.bindings],
        "settings": [setting_as_dict(value) for value in step.settings],
        "phases": sorted(step.phases),
        "limits": {"setup": step.limits.setup, "shutdown": step.limits.shutdown},
        "needs": list(step.needs),
    }


def came_from(step: Step) -> str:
    """
    The distribution of a component, or its class if it was added in code or named in the settings.
    """
    return distribution_of(step.origin) or step.target


def took_place(step: Step, choice: Choice | None) -> list[str]:
    """
    One sentence for each class whose place a component took, and for each that wanted the name and lost.
    """
    if choice is None:
        return []
    sentences = []
    positions = [number for number, candidate in enumerate(choice.chain) if candidate.target == step.target]
    for candidate in choice.chain[positions[0] + 1 if positions else 1 :]:
        sentences.append(f"in place of {shown_candidate(candidate)}")
    if sentences:
        sentences[0] = f"{step.rule}, {sentences[0]}"
    return sentences + [f"{shown_candidate(loser.candidate)} lost: {loser.why}" for loser in choice.beaten]


def shown_candidate(candidate: Candidate) -> str:
    """
    One class that wanted a name, by its distribution and target.
    """
    place = distribution_of(candidate.origin)
    return f"{place} ({candidate.target})" if place else candidate.target
