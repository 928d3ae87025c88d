"""
What went wrong in one life, as errors, in the order in which it happened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from ._component import Secret
from ._node import Node
from ._step import Step
from ._suspension import suspended
from ._text import redact
from ._watch import Call
from .exceptions import AbandonedError, ComponentError, LimitError

_FACTORY: Any = attrs.Factory  # a class, which the stubs of attrs call a function


@attrs.define(eq=False)
class Failures:
    """
    The failures of one life, each recorded once.

    Args:
        steps: what runs; their secrets are masked in whatever a component says.
    """

    _steps: tuple[Step, ...]
    found: list[ComponentError] = attrs.field(factory=list, init=False)
    _secrets: frozenset[str] | None = attrs.field(default=None, init=False)

    def add_raised(self, node: Node, phase: str, error: BaseException) -> ComponentError:
        """
        Record what a component raised.
        """
        if self._secrets is None:
            self._secrets = find_secrets(self._steps)
        secrets = self._secrets | find_own_secrets(node.step, node.instance)
        failure = ComponentError(node.step.name, phase, node.distribution, describe_failure(error, secrets))
        failure.__cause__ = error
        return self._add(node, failure)

    def add_overdue(self, call: Call[Node]) -> ComponentError:
        """
        Record that a call took longer than its limit, and where it stands.
        """
        return self._add(call.owner, self._passed(LimitError, call))

    def add_abandoned(self, call: Call[Node]) -> ComponentError:
        """
        Record that a call was left behind, and where it stands.
        """
        call.owner.abandoned = True
        return self._add(call.owner, self._passed(AbandonedError, call))

    def add_not_shut_down(self, node: Node, budget: float) -> ComponentError:
        """
        Record that a component's turn to stop never came to its end, because all the time was used up.
        """
        node.abandoned = True
        message = f"it was not shut down completely, because the {budget:g} s for the whole stop were over"
        return self._add(node, ComponentError(node.step.name, "shutdown", node.distribution, message))

    def _passed(self, kind: type[LimitError], call: Call[Node]) -> LimitError:
        node = call.owner
        where = suspended(call.task) if call.task is not None else ()
        message = f"took longer than its limit of {call.limit:g} s"
        return kind(node.step.name, call.phase, node.distribution, message, limit=call.limit, suspended=where)

    def _add(self, node: Node, failure: ComponentError) -> ComponentError:
        self.found.append(failure)
        node.failure = node.failure or failure
        return failure


def describe_failure(error: BaseException, secrets: frozenset[str]) -> str:
    """
    The type and the text of what a component raised, without secrets.
    """
    try:
        text = redact(str(error), secrets)
    except BaseException:  # a `__str__` of its own may do anything
        text = "its text cannot be read"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def find_secrets(steps: Iterable[Step]) -> frozenset[str]:
    """
    Every secret text among the settings, as far as it is known before the components are built.
    """
    given = [setting.value for step in steps for setting in step.settings if setting.secret]
    declared = [
        field.default
        for step in steps
        for field in _secret_fields(step)
        if field.default is not attrs.NOTHING and not isinstance(field.default, _FACTORY)
    ]
    return _texts([*given, *declared])


def find_own_secrets(step: Step, instance: object) -> frozenset[str]:
    """
    The secret texts that a component holds, what its factories and converters have made included.
    """
    held = []
    for field in _secret_fields(step):
        with contextlib.suppress(BaseException):  # an attribute of its own may do anything
            held.append(getattr(instance, field.name))
    return _texts(held)


def _secret_fields(step: Step) -> list[attrs.Attribute[Any]]:
    names = {setting.name for setting in step.settings if setting.secret}
    return [field for field in attrs.fields(step.cls) if field.name in names] if names and attrs.has(step.cls) else []


def _texts(values: Iterable[object]) -> frozenset[str]:
    found: set[str] = set()
    work = list(values)
    while work:
        value = work.pop()
        if isinstance(value, Secret):
            work.append(value.get_secret_value())
        elif isinstance(value, Mapping):
            work.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            work.extend(value)
        elif value is not None:
            found.add(str(value))
    return frozenset(found)
