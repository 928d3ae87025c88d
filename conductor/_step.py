"""
One component of the plan, with everything that was decided about it.
"""

from __future__ import annotations

import enum

import attrs

from ._discovery import Origin
from ._settings import Limits, SettingValue


class Relation(enum.Enum):
    """
    What an edge of the graph means.
    """

    NEEDS = "needs"
    USES = "uses if present"
    ALL = "all of"
    AFTER = "after"


@attrs.frozen
class Binding:
    """
    Which components one field gets.

    Attributes:
        field: name of the field; ``after`` for an edge that is order only.
        alias: what the constructor calls it.
        relation: what the edge means.
        wanted: the class that was looked up, as ``module:Class``.
        providers: names of the components that it gets, in name order; empty for an optional one that is absent.
        many: ``list`` or ``dict`` if the field takes several.
        rule: by which rule they were found.
        default: whether the field's own default applies, because there is nothing to inject.
    """

    field: str
    alias: str
    relation: Relation
    wanted: str
    providers: tuple[str, ...]
    many: type | None = None
    rule: str = ""
    default: bool = False


@attrs.frozen
class Step:
    """
    One component of the plan.

    Attributes:
        name: its identity.
        aliases: other names under which the same instance is known.
        cls: the class that is built.
        origin: the distribution that it came from; None if it was added in code.
        target: ``module:Class`` of what is built.
        reason: why it is in the plan.
        rule: by which rule this class won the name.
        bindings: which components its fields get.
        settings: its effective settings.
        phases: which of ``setup``, ``shutdown``, ``run`` and ``health`` it has.
        limits: how long it may take.
        needs: names of the components that are set up before it, by any relation, sorted.
    """

    name: str
    cls: type
    origin: Origin | None = None
    target: str = ""
    aliases: tuple[str, ...] = ()
    reason: str = ""
    rule: str = ""
    bindings: tuple[Binding, ...] = ()
    settings: tuple[SettingValue, ...] = ()
    phases: frozenset[str] = frozenset()
    limits: Limits = attrs.field(factory=Limits)
    needs: tuple[str, ...] = ()
