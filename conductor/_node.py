"""
What the runner keeps about one component, and how its instance is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import attrs

from ._component import Scope
from ._report import Times
from ._scope import LiveScope
from ._step import Binding, Relation, Step
from ._watch import Call
from .exceptions import ComponentError
from .lifecycle import State


class Build(Protocol):
    """
    What makes the instance of a component; the scope is None for one that cannot register anything.
    """

    def __call__(self, step: Step, values: Mapping[str, object], scope: Scope | None, /) -> object: ...


Shell: TypeAlias = Callable[[Step], object]


@attrs.define(eq=False)
class Node:
    """
    One component in one life.

    Attributes:
        index: its place in the plan.
        step: its part of the plan.
        needs: what is set up before it.
        dependents: what is shut down before it, in the order of the plan.
        missing: how many of its needs are not ready yet.
        users: how many of its dependents have not finished yet.
        state: where it stands.
        instance: the component itself, once it was built.
        scope: what it registered, if it can register anything.
        call: what it is doing now, and what the runner waits for.
        run: its `run`, for as long as it lives.
        owes_shutdown: whether `shutdown` is still to be called.
        until: when its turn to stop should be over.
        failure: the first of its failures.
        abandoned: whether one of its calls was left behind.
    """

    index: int
    step: Step
    needs: tuple[Node, ...] = ()
    dependents: list[Node] = attrs.field(factory=list, init=False)
    missing: int = attrs.field(default=0, init=False)
    users: int = attrs.field(default=0, init=False)
    state: State = attrs.field(default=State.PENDING, init=False)
    instance: Any = attrs.field(default=None, init=False)
    scope: LiveScope | None = attrs.field(default=None, init=False)
    call: Call[Node] | None = attrs.field(default=None, init=False)
    run: Call[Node] | None = attrs.field(default=None, init=False)
    owes_shutdown: bool = attrs.field(default=False, init=False)
    until: float = attrs.field(default=0.0, init=False)
    failure: ComponentError | None = attrs.field(default=None, init=False)
    abandoned: bool = attrs.field(default=False, init=False)
    setup_began: float | None = attrs.field(default=None, init=False)
    setup_ended: float | None = attrs.field(default=None, init=False)
    shutdown_began: float | None = attrs.field(default=None, init=False)
    shutdown_ended: float | None = attrs.field(default=None, init=False)

    @property
    def times(self) -> Times:
        """
        When it was set up and shut down.
        """
        return Times(self.setup_began, self.setup_ended, self.shutdown_began, self.shutdown_ended)

    @property
    def distribution(self) -> str | None:
        """
        ``name version`` of the distribution that it came from, if any.
        """
        origin = self.step.origin
        return f"{origin.distribution} {origin.version}" if origin else None

    def outcome(self) -> State:
        """
        The state that it ends in.
        """
        if self.abandoned:
            return State.ABANDONED
        return State.FAILED if self.failure is not None else State.DOWN


def make_nodes(steps: tuple[Step, ...]) -> dict[str, Node]:
    """
    A node for each step, in the same order, by its name.
    """
    nodes: dict[str, Node] = {}
    for index, step in enumerate(steps):
        needs = tuple([nodes[name] for name in step.needs])
        node = nodes[step.name] = Node(index, step, needs)
        node.missing = len(needs)
        for need in needs:
            need.dependents.append(node)
            need.users += 1
    return nodes


def gather_values(step: Step, find: Callable[[str], object]) -> dict[str, object]:
    """
    What the constructor of a component gets: the components that it needs, and the settings that were given.

    Args:
        step: its part of the plan.
        find: the instance of a name.
    """
    values: dict[str, object] = {}
    for binding in step.bindings:
        if binding.relation is not Relation.AFTER and not binding.default:
            values[binding.alias] = _bind(binding, find)
    for setting in step.settings:
        if setting.given:
            values[setting.alias] = setting.value
    return values


def _bind(binding: Binding, find: Callable[[str], object]) -> object:
    if binding.many is dict:
        return {name: find(name) for name in binding.providers}
    if binding.many is not None:
        return [find(name) for name in binding.providers]
    return find(binding.providers[0]) if binding.providers else None


def make_shell(step: Step) -> object:
    """
    The instance of a component before its constructor has run.
    """
    cls: Any = step.cls
    made: object = cls.__new__(cls)
    return made


def construct(step: Step, values: Mapping[str, object], scope: Scope | None, /, shell: Shell = make_shell) -> object:
    """
    The instance of a component: its shell, given its scope and then its values.

    In this order, so that the constructor can register and log already.

    Args:
        step: its part of the plan.
        values: what the constructor gets.
        scope: where it registers what is to be undone.
        shell: makes the uninitialised instance, or finds one that was handed out before.
    """
    instance: Any = shell(step)
    if scope is not None:
        object.__setattr__(instance, "_conductor_scope", scope)
    instance.__init__(**values)
    return instance
