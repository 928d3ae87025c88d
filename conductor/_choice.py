"""
Who takes a name: the candidates, the choice among them, and what it leads to.

A choice keeps everything that lost, so that it can always be told who took whose place and why.
"""

from __future__ import annotations

import enum
import inspect
import sys

import attrs

from ._declaration import class_path
from ._discovery import Entry, Origin
from .exceptions import Problem


class Layer(enum.Enum):
    """
    What kind of wish put a candidate forward, highest precedence first.
    """

    PATCH = "patch"
    CONFIG = "config"
    OVERRIDE = "override"
    COMPONENT = "component"
    FALLBACK = "fallback"


@attrs.frozen
class Candidate:
    """
    One class that could take a name.

    Attributes:
        layer: who put it forward.
        target: ``module:Class``.
        origin: the distribution it comes from; None for code and for a class named in the configuration.
        source: where the wish stands, as the user would look for it.
        entry: the entry point behind it, if there is one.
        cls: the class itself, for one that was given in code.
    """

    layer: Layer
    target: str
    origin: Origin | None = None
    source: str = ""
    entry: Entry | None = None
    cls: type | None = None

    @property
    def rule(self) -> str:
        """
        By which rule it stands where it stands, as a phrase.
        """
        match self.layer:
            case Layer.PATCH:
                return "patch in code"
            case Layer.CONFIG:
                return f"chosen by {self.source}"
            case Layer.OVERRIDE:
                return f"installed override of {shown_origin(self.origin)}"
            case Layer.FALLBACK:
                return f"fallback of {self.source}"
            case _:
                return f"installed component of {shown_origin(self.origin)}" if self.origin else "component in code"


@attrs.frozen
class Beaten:
    """
    A candidate that lost, and why.
    """

    candidate: Candidate
    why: str


@attrs.frozen
class Choice:
    """
    Who takes one name.

    Attributes:
        name: as its owner writes it.
        chain: the winner, then what it took the place of, down to the original; empty if there is no winner.
        beaten: everybody else who wanted the name.
        problems: why there is no winner.
        instance_of: the component that this is a further instance of.
    """

    name: str
    chain: tuple[Candidate, ...] = ()
    beaten: tuple[Beaten, ...] = ()
    problems: tuple[Problem, ...] = ()
    instance_of: str | None = None


@attrs.frozen
class Request:
    """
    What the program itself asks for, in code.

    Attributes:
        added: classes, each with the name it is given or None.
        patches: what is replaced, a class or a name, and by which class.
    """

    added: tuple[tuple[type, str | None], ...] = ()
    patches: tuple[tuple[type | str, type], ...] = ()


def shown_origin(origin: Origin | None) -> str:
    """
    ``'name version'`` of a distribution, for sentences.
    """
    return f"'{distribution_of(origin)}'" if origin else "code"


def distribution_of(origin: Origin | None) -> str | None:
    """
    ``name version`` of a distribution, as errors carry it.
    """
    return f"{origin.distribution} {origin.version}".strip() if origin else None


def candidate_of(entry: Entry, layer: Layer | None = None) -> Candidate:
    """
    The candidate that an entry point puts forward, by default in the layer of its group.
    """
    if layer is None:
        layer = Layer.OVERRIDE if entry.group == "conductor.overrides" else Layer.COMPONENT
    return Candidate(layer, target_of(entry), entry.origin, entry.group, entry)


def target_of(entry: Entry) -> str:
    """
    ``module:Class`` of an entry point, without the spaces that it may have.
    """
    return "".join(entry.target.split())


def package_of(target: str) -> str:
    """
    The top-level package of a target.
    """
    return target.partition(":")[0].partition(".")[0]


def is_class(candidate: Candidate, cls: type) -> bool:
    """
    Whether a candidate is exactly this class, found out without importing anything.
    """
    return candidate.cls is cls if candidate.cls is not None else names_class(candidate.target, cls)


def names_class(target: str, cls: type) -> bool:
    """
    Whether a target names exactly this class, found out without importing anything.
    """
    if target == class_path(cls) or imported_class(target) is cls:
        return True
    module_name, _, path = target.partition(":")
    module = sys.modules.get(module_name)
    # A lazy package gives its own class when asked; asking for anything else could import.
    if module is None or path != cls.__qualname__ or package_of(target) != package_of(cls.__module__):
        return False
    found: object = module
    try:
        for part in path.split("."):
            found = getattr(found, part)
    except Exception:  # whatever a lazy package raises; it is told where the component itself is asked for
        return False
    return found is cls


def imported_class(target: str) -> type | None:
    """
    The class that a target names if its module is imported already; nothing is imported.
    """
    module_name, _, path = target.partition(":")
    found: object = sys.modules.get(module_name)
    for part in path.split("."):
        found = None if found is None else inspect.getattr_static(found, part, None)
    return found if isinstance(found, type) else None


def load_candidate(candidate: Candidate) -> object:
    """
    What a candidate names, imported; whatever the import raises passes through.
    """
    if candidate.cls is not None:
        return candidate.cls
    entry = candidate.entry or Entry("conductor.components", "named", candidate.target, Origin("", "", ""))
    return entry.load()
