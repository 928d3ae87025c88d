"""
Who is at work, who waits for whom, and who holds everybody up, as values that print well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import attrs

from ._text import enumerate_names, printable, redact

T = TypeVar("T")

DEEPEST = 40
"""
Levels of the tree that are drawn below each other; what lies deeper is drawn as a tree of its own.
"""

_PHASES = {"set-up": "sets up", "run": "runs", "shutdown": "shuts down", "undo": "undoes what it entered"}


@attrs.frozen
class Waiting:
    """
    What one component is doing, or waiting for.

    Attributes:
        component: its name.
        phase: what it does, in the words of ``ComponentError``; None if it does nothing that others wait for.
        seconds: for how long.
        suspended: where its coroutine stands, innermost last, as ``file:line in function``.
        tasks: the same for each task that it spawned, by name.
        on: the components that it waits for.
    """

    component: str
    phase: str | None
    seconds: float = 0.0
    suspended: tuple[str, ...] = ()
    tasks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    on: tuple[str, ...] = ()

    @property
    def doing(self) -> str:
        """
        The same as a phrase.
        """
        if self.phase is not None:
            return f"{_PHASES.get(self.phase, self.phase)} for {self.seconds:.3f} s"
        return f"waits for {enumerate_names(self.on)}" if self.on else "is about to begin"


@attrs.frozen
class Blockage:
    """
    That the event loop does not get on, because a piece of code does not let it.

    Attributes:
        component: whose code that is, if it can be told.
        task: the name of the task that is at work, if there is one.
        seconds: for how long the loop has not answered.
        stack: where its thread stands, innermost last, as ``file:line in function``.

    .. versionadded:: 0.1
    """

    component: str | None
    task: str | None
    seconds: float
    stack: tuple[str, ...] = ()

    def __str__(self) -> str:
        whom = (
            f"component '{self.component}'" if self.component else f"task '{self.task}'" if self.task else "a callback"
        )
        lines = [f"{whom} has blocked the event loop for {self.seconds:.3f} s"]
        lines.extend(f"  at {place}" for place in self.stack)
        return printable("\n".join(lines))

    def as_dict(self) -> dict[str, Any]:
        """
        The same as plain values, for JSON.
        """
        return attrs.asdict(self)


@attrs.frozen
class Diagnosis:
    """
    Who is at work, who waits for whom, and who holds everybody up.

    Attributes:
        waiting: what each component is doing, in the order of the plan; nobody who has nothing to do.
        blockage: what blocks the event loop, if something does.

    .. versionadded:: 0.1
    """

    waiting: tuple[Waiting, ...] = ()
    blockage: Blockage | None = None

    def __str__(self) -> str:
        lines = [] if self.blockage is None else str(self.blockage).splitlines()
        lines.extend(printable(line) for line in _tree(self.waiting))
        return "\n".join(lines) or "nobody is at work, and nobody waits"

    def as_dict(self) -> dict[str, Any]:
        """
        The same as plain values, for JSON.
        """
        return {
            "waiting": [{**attrs.asdict(each), "tasks": _tasks_as_dicts(each)} for each in self.waiting],
            "blockage": None if self.blockage is None else self.blockage.as_dict(),
        }

    def without(self, secrets: frozenset[str]) -> Diagnosis:
        """
        The same with secrets masked; a task may have one in its name, and a file in its path.
        """
        return _clean(self, lambda text: redact(text, secrets))


def _clean(value: T, clean: Callable[[str], str]) -> T:
    """
    A value with every text in it changed.
    """
    changed: Any = value
    if isinstance(value, str):
        changed = clean(value)
    elif isinstance(value, tuple):
        changed = tuple(_clean(item, clean) for item in value)
    elif isinstance(value, Waiting | Blockage | Diagnosis):
        fields = (field.name for field in attrs.fields(type(value)))
        changed = type(value)(**{name: _clean(getattr(value, name), clean) for name in fields})
    found: T = changed
    return found


def _tasks_as_dicts(waiting: Waiting) -> list[dict[str, Any]]:
    return [{"name": name, "suspended": list(places)} for name, places in waiting.tasks]


def _tree(waiting: tuple[Waiting, ...]) -> Iterator[str]:
    """
    Whom nobody waits for first, and below each whom it waits for; who was drawn already is not drawn again below.
    """
    known = {each.component: each for each in waiting}
    awaited = {name for each in waiting for name in each.on}
    tops = [each.component for each in reversed(waiting) if each.component not in awaited]
    drawn: set[str] = set()
    for top in tops:
        stack = [(top, "", 0)]
        while stack:
            name, lead, depth = stack.pop()
            each = known.get(name, Waiting(name, None))
            again = "see above" if name in drawn else "see below" if depth >= DEEPEST and each.on else ""
            yield f"{lead}{name}: {each.doing}{f' ({again})' if again else ''}"
            if again == "see below":
                tops.append(name)
            elif not again:
                drawn.add(name)
                yield from _places(each, _stem(lead) + ("│    " if each.on else "     "))
                stack += reversed(list(_below(each.on, _stem(lead), depth)))


def _below(names: tuple[str, ...], stem: str, depth: int) -> Iterator[tuple[str, str, int]]:
    for number, name in enumerate(names, 1):
        yield name, stem + ("└─ " if number == len(names) else "├─ "), depth + 1


def _stem(lead: str) -> str:
    """
    What stands before the lines below one with this lead.
    """
    return lead.replace("├─ ", "│  ").replace("└─ ", "   ")


def _places(each: Waiting, lead: str) -> Iterator[str]:
    for place in each.suspended:
        yield f"{lead}at {place}"
    for name, places in each.tasks:
        yield f"{lead}task '{name}'"
        for place in places:
            yield f"{lead}  at {place}"


def find_blamed(modules: Mapping[str, str], stack: Iterator[str]) -> str | None:
    """
    The component to whose code a stack leads.

    Args:
        modules: the module that the class of each component is from, by the component's name.
        stack: names of the modules on the stack, innermost first.

    Returns:
        The only one from the innermost module that any is from, or from the package of that; None: it cannot be told.
    """
    for name in stack:
        exact = [component for component, module in modules.items() if module == name]
        package = name.partition(".")[0]
        near = [component for component, module in modules.items() if module.partition(".")[0] == package]
        for found in (exact, near):
            if len(found) == 1:
                return found[0]
        if near:
            return None
    return None
