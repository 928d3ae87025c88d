"""
Which components are in a plan while it is being worked out, and how they came in.

A component comes in by its name, under which it is imported; nothing else is.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator

import attrs

from ._choice import Candidate, Choice, Layer, distribution_of, load_candidate
from ._contract import fulfils
from ._declaration import Declaration, Field, class_path, declaration, is_abstract, is_component_class
from ._discovery import normalise
from ._selection import Selection
from ._settings import ComponentSettings, Settings
from ._step import Relation
from ._text import redact
from .exceptions import ConflictError, LoadError, Problem
from .lifecycle import StopRequested


@attrs.frozen(eq=False)
class Bound:
    """
    Which components one field gets.

    Attributes:
        field: the field.
        relation: what the edge means.
        providers: what it gets.
        rule: by which rule they were found.
        default: whether the field's own default applies instead.
    """

    field: Field
    relation: Relation
    providers: tuple[Node, ...]
    rule: str
    default: bool = False


@attrs.define(eq=False)
class Node:
    """
    One component while the plan is being worked out.

    Attributes:
        cls: its class.
        declares: what the class says about itself.
        choices: who took each of its names, by name; one patch may take several.
        why: why it is in, if no field needs it.
        wrapper: what took its place and names it in a field.
        wrapped: what it took the place of, if it names that in a field.
        depth: its place in the chain of its choice; above 0 it is what a wrapper wraps.
        bound: what its fields get, by name of the field.
        after: what is set up before it without being needed.
        settings: its fields that are settings.
    """

    cls: type
    declares: Declaration
    choices: dict[str, Choice]
    why: str = ""
    wrapper: Node | None = None
    wrapped: Node | None = None
    depth: int = 0
    bound: dict[str, Bound] = attrs.field(factory=dict)
    after: list[Node] = attrs.field(factory=list)
    settings: list[Field] = attrs.field(factory=list)

    @property
    def base_name(self) -> str:
        """
        The name that it, or what wraps it, is known by; of several the first, whichever came in first.
        """
        return min(self.choices)

    @property
    def name(self) -> str:
        """
        Its identity in the plan.
        """
        return self.base_name + ".wrapped" * self.depth

    @property
    def aliases(self) -> tuple[str, ...]:
        """
        Its other names.
        """
        return tuple(sorted(self.choices)[1:]) if not self.depth else ()

    @property
    def choice(self) -> Choice:
        """
        Who took its name.
        """
        return self.choices[self.base_name]

    @property
    def candidate(self) -> Candidate:
        """
        The candidate of the choice that this component is.
        """
        return self.choice.chain[self.depth]

    @property
    def distribution(self) -> str | None:
        """
        ``name version`` of where it comes from.
        """
        return distribution_of(self.candidate.origin)

    @property
    def is_patch(self) -> bool:
        """
        Whether the program put it, or what wraps it, in the place of something else.
        """
        return self.choice.chain[0].layer is Layer.PATCH

    @property
    def is_found_by_type(self) -> bool:
        """
        Whether a field gets it without naming it; further instances and wrapped ones are named.
        """
        return self.depth == 0 and self.choice.instance_of is None


@attrs.define
class Inclusion:
    """
    The components that are in.

    Attributes:
        selection: who wins each name.
        problems: what went wrong on the way.
        arrived: the components that came in and whose fields nobody has looked at yet.
    """

    selection: Selection
    problems: list[Problem] = attrs.field(factory=list, init=False)
    arrived: deque[Node] = attrs.field(factory=deque, init=False)
    _all: list[Node] = attrs.field(factory=list, init=False)
    _by_key: dict[str, Node] = attrs.field(factory=dict, init=False)
    _by_class: dict[type, list[Node]] = attrs.field(factory=lambda: defaultdict(list), init=False)
    _by_patch: dict[type, Node] = attrs.field(factory=dict, init=False)
    _by_contract: dict[type, list[Node]] = attrs.field(factory=lambda: defaultdict(list), init=False)
    _looked_at: dict[type, int] = attrs.field(factory=dict, init=False)
    _failed: set[str] = attrs.field(factory=set, init=False)
    _loaded: dict[str, type | None] = attrs.field(factory=dict, init=False)

    @property
    def settings(self) -> Settings:
        """
        The application's configuration.
        """
        return self.selection.settings

    def nodes(self) -> list[Node]:
        """
        The components that are in, by name.
        """
        return sorted(self._all, key=lambda node: node.name)

    def find(self, name: str) -> Node | None:
        """
        The component of a name, if it is in.
        """
        return self._by_key.get(normalise(name))

    def has_failed(self, name: str) -> bool:
        """
        Whether the component of a name should be in, but cannot be.
        """
        return normalise(name) in self._failed

    def of_kind(self, kind: type) -> list[Node]:
        """
        The components that are in and of a kind.
        """
        if not is_abstract(kind):
            return self._by_class[kind]
        found, done = self._by_contract[kind], self._looked_at.get(kind, 0)
        found.extend(node for node in self._all[done:] if fulfils(node.cls, kind))
        self._looked_at[kind] = len(self._all)
        return found

    def include(self, name: str, why: str = "") -> Node | None:
        """
        The component of a name, taken in if it was not yet; None if it cannot be, which is then a problem.
        """
        key = normalise(name)
        if key in self._by_key or key in self._failed:
            return self._by_key.get(key)
        choice, cls = self.winner(name)
        if cls is None:
            self._failed.add(key)
            return None
        shared = choice.chain[0].layer is Layer.PATCH and choice.instance_of is None
        known = self._by_patch.get(cls) if shared else None
        if known is not None:
            self._by_key[key] = known
            known.choices[choice.name] = choice
            known.why = known.why or why
            return known
        node = self._take_in(Node(cls, declaration(cls), {choice.name: choice}, why))
        if shared:
            self._by_patch[cls] = node
        return node

    def winner(self, name: str) -> tuple[Choice, type | None]:
        """
        Who takes a name, and the class, imported; None if there is none, which is then a problem.
        """
        choice = self.selection.choice(name)
        self.problems.extend(choice.problems)
        return choice, None if choice.problems else self._load(choice.name, choice.chain[0])

    def include_wrapped(self, node: Node) -> Node | None:
        """
        What a component took the place of, taken in under a name of its own.
        """
        if node.wrapped is None:
            depth = node.depth + 1
            cls = self._load(node.base_name, node.choice.chain[depth])
            if cls is not None:
                node.wrapped = Node(cls, declaration(cls), node.choices, wrapper=node, depth=depth)
                self._take_in(node.wrapped)
        return node.wrapped

    def table(self, node: Node) -> ComponentSettings:
        """
        What the configuration says of a component; a wrapped one shares the table of its wrapper.
        """
        names = dict.fromkeys(map(normalise, (*sorted(node.choices), node.name)))
        tables = [self.settings.components[key] for key in names if key in self.settings.components]
        if not tables:
            return ComponentSettings(name=node.base_name)
        merged, *others = tables
        for table in others:
            merged = attrs.evolve(
                merged,
                name=table.name,
                bind={**merged.bind, **table.bind},
                limits={**merged.limits, **table.limits},
                after=merged.after + table.after,
                values={**merged.values, **table.values},
                sources={**merged.sources, **table.sources},
            )
        return merged

    def find_clashes(self) -> Iterator[Problem]:
        """
        What went wrong with the names of those that are in.
        """
        for node in self.nodes():
            if node.depth and self.selection.has(node.name):
                message = f"what '{node.base_name}' wraps is called '{node.name}', as another component is"
                yield ConflictError(component=node.name, message=message, hint="rename that one")
            if node.wrapper is not None and node.depth == 1 and len(node.choices) > 1:
                message = f"'{class_path(node.wrapper.cls)}' took several places, so what it wraps is not certain"
                hint = "patch each place with a class of its own"
                yield ConflictError(component=node.base_name, message=message, hint=hint)

    def _take_in(self, node: Node) -> Node:
        self._all.append(node)
        self._by_key[normalise(node.name)] = node
        for base in node.cls.__mro__:
            self._by_class[base].append(node)
        self.arrived.append(node)
        return node

    def _load(self, name: str, candidate: Candidate) -> type | None:
        if candidate.cls is not None:
            return candidate.cls
        if candidate.target not in self._loaded:
            self._loaded[candidate.target] = self._import(name, candidate)
        return self._loaded[candidate.target]

    def _import(self, name: str, candidate: Candidate) -> type | None:
        try:
            loaded = load_candidate(candidate)
        except StopRequested:
            raise
        except BaseException as error:
            message = f"importing '{candidate.target}' failed: {type(error).__name__}: {_words_of(error)}"
            self.problems.append(_load_error(name, candidate, message, error))
            return None
        if isinstance(loaded, type) and is_component_class(loaded):
            return loaded
        problems = declaration(loaded).problems if isinstance(loaded, type) else ()
        message = problems[0].message if problems else f"'{candidate.target}' is not a class"
        self.problems.append(_load_error(name, candidate, message))
        return None


def _load_error(name: str, candidate: Candidate, message: str, cause: BaseException | None = None) -> LoadError:
    hint = f"look at {candidate.source}"
    if candidate.origin is not None:
        hint = f"mend or uninstall '{candidate.origin.distribution}', or add '{name}' to exclude"
    problem = LoadError(
        component=name, distribution=distribution_of(candidate.origin), message=message.rstrip(": "), hint=hint
    )
    problem.__cause__ = cause
    return problem


def _words_of(error: BaseException) -> str:
    """
    What an exception says, without passwords; a stranger's may not even say that.
    """
    try:
        return redact(str(error))
    except Exception:
        return "it cannot say what"
