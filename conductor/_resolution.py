"""
Who wins, who provides what, with which settings: from what is installed to the parts of a plan.

Theory of operation.  Components come in by name: the roots first, then whatever a field of one that is in needs.
A field is bound by the first rule that applies:

1. the instance that the application names for it (``bind``), or that the field names itself;
2. what the component took the place of, if it is of the wanted kind itself (a wrapper);
3. the component published for the wanted class;
4. the one component in the plan that is of the wanted kind;
5. the fallback that the field declares, or its default;
6. for a concrete component class, one of its own.

Rules 1 to 3 can only add components, so they run to a fixed point first.  Then rules 5 and 6 add what nothing in
the plan provides, most derived classes first, and the fixed point is sought again.  Rule 4 is applied at the very
end, to the whole plan.  So the order in which components come in never decides.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from ._component import Component
from ._contract import fulfils, unmet
from ._declaration import Declaration, Field, Kind, class_path, declaration, is_abstract, is_component_class
from ._discovery import Discovery, normalise
from ._graph import sort_graph
from ._requirements import unmet_requirements
from ._selection import (
    Candidate,
    Choice,
    Layer,
    Request,
    Selection,
    distribution_of,
    imported_class,
    load_candidate,
    shown_origin,
)
from ._settings import ComponentSettings, Limits, Settings, SettingValue
from ._sources import Given
from ._step import Binding, Relation, Step
from ._structure import check_together, match_setting, structure_setting, unknown_settings
from ._text import enumerate_names, nearest, redact
from .exceptions import (
    AmbiguousDependencyError,
    ConflictError,
    ContractError,
    CycleError,
    LoadError,
    MissingDependencyError,
    OverrideError,
    Problem,
    SettingError,
    UnknownSettingError,
    VersionError,
    raise_problems,
)
from .lifecycle import StopRequested


@attrs.frozen
class Resolution:
    """
    What was decided: the parts of a plan, not yet in order.

    Attributes:
        steps: one for each component, by name.
        choices: who took which name, for every component in the plan, by name.
        warnings: what is strange but harmless, one sentence each.
        stop: seconds that the whole stop may take.
    """

    steps: tuple[Step, ...]
    choices: Mapping[str, Choice]
    warnings: tuple[str, ...]
    stop: float


def resolve(discovery: Discovery, settings: Settings, *, request: Request | None = None) -> Resolution:
    """
    The parts of a plan: overridden, loaded, bound and configured.

    Args:
        discovery: what is installed.
        settings: what the application's configuration says.
        request: what the program adds and patches in code.

    Raises:
        ResolutionError: all problems at once.
    """
    resolver = Resolver(Selection(discovery, settings, request or Request()))
    resolver.include_roots()
    resolver.bind_all()
    steps = tuple(resolver.make_steps())
    warnings = tuple(resolver.find_oddities())
    resolver.problems.extend(find_cycles(steps))
    resolver.problems.extend(find_wrong_versions(discovery, steps))
    raise_problems("the plan is not valid", resolver.problems_found())
    choices = {node.name: node.choice for node in resolver.nodes()}
    choices |= {name: resolver.selection.choice(name) for node in resolver.nodes() for name in node.aliases}
    return Resolution(steps, choices, warnings, settings.stop)


def find_cycles(steps: Iterable[Step]) -> Iterator[CycleError]:
    """
    One error for each group of components that need each other.
    """
    by_name = {step.name: step for step in steps}
    for cycle in sort_graph({step.name: step.needs for step in by_name.values()}).cycles:
        pairs = zip(cycle, (*cycle[1:], cycle[0]), strict=True)
        drawn = tuple((name, _field_between(by_name[name], needed)) for name, needed in pairs)
        yield CycleError(cycle=drawn, hint="make one of these fields optional, or take what both need into a third one")


def find_wrong_versions(discovery: Discovery, steps: Iterable[Step]) -> Iterator[VersionError]:
    """
    One error for each distribution that takes part in a version that another one which does so does not accept.
    """
    taking_part = {entry.origin for entry in discovery.entries}
    among = {normalise(origin.distribution): origin for origin in taking_part}
    origins = {step.origin: step.name for step in reversed(tuple(steps)) if step.origin is not None}
    for wrong in unmet_requirements(discovery, sorted(origins, key=lambda origin: origins[origin]), among=among):
        if wrong.found is not None:
            yield VersionError(
                component=origins[wrong.origin],
                distribution=distribution_of(wrong.origin),
                required=wrong.required,
                found=wrong.found.version,
                hint=f"pip install '{wrong.required}', or another version of '{wrong.origin.distribution}'",
            )


def _field_between(step: Step, needed: str) -> str:
    return next(binding.field for binding in step.bindings if needed in binding.providers)


@attrs.define(eq=False)
class Node:
    """
    One component while the plan is being worked out.

    Attributes:
        depth: its place in the chain of its choice; above 0 it is what a wrapper wraps.
    """

    name: str
    cls: type
    choice: Choice
    reason: str
    declares: Declaration
    depth: int = 0
    aliases: set[str] = attrs.field(factory=set)
    bindings: dict[str, Binding] = attrs.field(factory=dict)
    after: dict[str, None] = attrs.field(factory=dict)
    settings: list[Field] = attrs.field(factory=list)

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
    def is_found_by_type(self) -> bool:
        """
        Whether a field gets it without naming it; further instances and wrapped ones are named.
        """
        return self.depth == 0 and self.choice.instance_of is None


@attrs.define
class Resolver:
    """
    Works out a plan; see the theory of operation above.
    """

    selection: Selection
    problems: list[Problem] = attrs.field(factory=list, init=False)
    _nodes: dict[str, Node] = attrs.field(factory=dict, init=False)
    _failed: set[str] = attrs.field(factory=set, init=False)
    _by_class: dict[type, list[Node]] = attrs.field(factory=lambda: defaultdict(list), init=False)
    _loaded: dict[str, type | None] = attrs.field(factory=dict, init=False)
    _patched: dict[type, Node] = attrs.field(factory=dict, init=False)
    _fields: deque[tuple[Node, Field]] = attrs.field(factory=deque, init=False)
    _creatable: list[tuple[Node, Field]] = attrs.field(factory=list, init=False)
    _last: list[tuple[Node, Field]] = attrs.field(factory=list, init=False)
    _collecting: list[tuple[Node, Field]] = attrs.field(factory=list, init=False)
    _idle: list[str] = attrs.field(factory=list, init=False)

    @property
    def settings(self) -> Settings:
        """
        The application's configuration.
        """
        return self.selection.settings

    def nodes(self) -> tuple[Node, ...]:
        """
        The components that are in, by name.
        """
        return tuple(sorted({id(node): node for node in self._nodes.values()}.values(), key=lambda node: node.name))

    def problems_found(self) -> Iterator[Problem]:
        """
        All problems, each once.
        """
        seen: set[str] = set()
        for problem in (*self.settings.problems, *self.selection.problems, *self.problems):
            if str(problem) not in seen:
                seen.add(str(problem))
                yield problem

    def _source(self, key: str) -> str:
        return self.settings.sources.get(key, "the settings")

    # -- which components are in -------------------------------------------------------------------------

    def include_roots(self) -> None:
        """
        Take in what the application names, or everything installed if it names nothing.
        """
        for cls, given in self.selection.request.added:
            self.include(given or self.selection.name_class(cls), "added in code")
        if self.settings.roots is None:
            if self.settings.autoload:
                for name in self.selection.names():
                    if not self.selection.is_excluded(name):
                        self.include(name, "installed")
            return
        for name in self.settings.roots:
            if self.selection.is_excluded(name):
                message = f"'{name}' is both a root and excluded"
                self.problems.append(ConflictError(component=name, message=message, hint="take it out of one of them"))
            elif not self.selection.has(name):
                self.problems.append(self.selection.unknown(name, wanted_by=self._source("roots")))
            else:
                self.include(name, "root")

    def include(self, name: str, reason: str) -> Node | None:
        """
        The component of a name, taken in if it was not yet; None if it cannot be, which is then a problem.
        """
        key = normalise(name)
        if key in self._nodes or key in self._failed:
            return self._nodes.get(key)
        choice = self.selection.choice(name)
        self.problems.extend(choice.problems)
        cls = self._load(choice.name, choice.chain[0]) if choice.chain and not choice.problems else None
        if cls is None:
            self._failed.add(key)
            return None
        if choice.chain[0].layer is Layer.PATCH and cls in self._patched:
            self._nodes[key] = node = self._patched[cls]
            node.aliases.add(choice.name)
            return node
        return self._take_in(Node(choice.name, cls, choice, reason, declaration(cls)))

    def _take_in(self, node: Node) -> Node:
        self._nodes[normalise(node.name)] = node
        if node.candidate.layer is Layer.PATCH:
            self._patched.setdefault(node.cls, node)
        for problem in node.declares.problems:
            self.problems.append(attrs.evolve(problem, component=node.name, distribution=node.distribution))
        self._check_stand_in(node)
        if node.is_found_by_type:
            for base in node.cls.__mro__:
                self._by_class[base].append(node)
        for field in node.declares.fields:
            self._fields.append((node, field))
        return node

    def _check_stand_in(self, node: Node) -> None:
        """
        Whether a component can stand in for the original; asked if that one is imported, for it is not on this account.
        """
        original = node.choice.chain[-1]
        if node.candidate is original or node.candidate.layer is Layer.PATCH:
            return
        replaced = original.cls or imported_class(original.target)
        lacks = tuple(unmet(node.cls, replaced)) if replaced is not None else ()
        if lacks:
            self._refuse(node, f"cannot take the place of '{original.target}'", lacks)

    def _wrapped(self, node: Node) -> Node | None:
        """
        What a component took the place of, taken in under a name of its own.
        """
        name = f"{node.name}.wrapped"
        if normalise(name) in self._nodes:
            return self._nodes[normalise(name)]
        depth = node.depth + 1
        cls = self._load(node.name, node.choice.chain[depth])
        if cls is None:
            return None
        reason = f"wrapped by '{node.name}'"
        return self._take_in(Node(name, cls, node.choice, reason, declaration(cls), depth=depth))

    def _load(self, name: str, candidate: Candidate) -> type | None:
        if candidate.cls is not None:
            return candidate.cls
        if candidate.target not in self._loaded:
            self._loaded[candidate.target] = self._import(name, candidate)
        return self._loaded[candidate.target]

    def _import(self, name: str, candidate: Candidate) -> type | None:
        distribution = distribution_of(candidate.origin)
        hint = f"mend or uninstall '{candidate.origin.distribution}'" if candidate.origin else None
        hint = f"{hint}, or add '{name}' to exclude" if hint else f"look at {candidate.source}"
        try:
            loaded = load_candidate(candidate)
        except StopRequested:
            raise
        except BaseException as error:
            message = f"importing '{candidate.target}' failed: {type(error).__name__}: {redact(str(error))}"
            problem = LoadError(component=name, distribution=distribution, message=message, hint=hint)
            problem.__cause__ = error
            self.problems.append(problem)
            return None
        if isinstance(loaded, type) and is_component_class(loaded):
            return loaded
        problems = declaration(loaded).problems if isinstance(loaded, type) else ()
        message = problems[0].message if problems else f"'{candidate.target}' is not a class"
        self.problems.append(LoadError(component=name, distribution=distribution, message=message, hint=hint))
        return None

    # -- who gets what -----------------------------------------------------------------------------------

    def bind_all(self) -> None:
        """
        Bind every field of every component that is in, taking in what they need.
        """
        while self._fields or self._creatable:
            while self._fields:
                self._bind_certain(*self._fields.popleft())
            self._create_missing()
        for node, field in self._last:
            self._bind_by_type(node, field)
        for node, field in self._collecting:
            self._bind_all_of(node, field)
        for node in self.nodes():
            self._order_after(node)

    def _bind_certain(self, node: Node, field: Field) -> None:
        """
        Rules 1 to 3, which do not depend on what else is in the plan.
        """
        named = self._named_instance(node, field) if isinstance(field.wanted, type) else None
        if named is not None:
            name, source = named
            self._bind_named(node, field, name, source)
        elif field.kind is Kind.SETTING:
            node.settings.append(field)
        elif field.many:
            certain = field.kind is Kind.DEPENDENCY or is_abstract(field.wanted)
            if self.settings.roots is not None and certain:
                self._include_all_of(node, field)
            self._collecting.append((node, field))
        elif node.depth + 1 < len(node.choice.chain) and fulfils(node.cls, field.wanted):
            provider = self._wrapped(node)
            if provider is not None:
                self._bind(node, field, provider, "what it took the place of")
        else:
            self._bind_published(node, field)

    def _named_instance(self, node: Node, field: Field) -> tuple[str, str] | None:
        table = self.settings.components.get(normalise(node.name))
        if table is not None and field.name in table.bind:
            return table.bind[field.name], f"bind in {self._source(f'components.{table.name}.bind')}"
        return (field.instance, f"field '{field.name}'") if field.instance is not None else None

    def _bind_named(self, node: Node, field: Field, name: str, source: str) -> None:
        if normalise(name) == normalise(node.name) and node.depth + 1 < len(node.choice.chain):
            provider = self._wrapped(node)
        elif self.selection.has(name) and not self.selection.is_excluded(name):
            provider = self.include(name, _needed_by(node, field))
        elif field.optional or field.has_default:
            return self._bind_nothing(node, field)
        else:
            near = nearest(name, self.selection.names())
            hint = f"did you mean '{near}'?" if near else f"declare it: [components.{name}] component = …"
            message = f"field '{field.name}' needs the instance '{name}' ({source}), and there is none"
            return self._miss(node, field, message, hint)
        if provider is not None:
            self._bind(node, field, provider, f"named by {source}")
        return None

    def _bind_published(self, node: Node, field: Field) -> None:
        wanted = field.wanted
        if self.selection.is_patched(wanted):
            self.selection.name_class(wanted)
        name = self.selection.published_for(wanted)
        if name is None:
            needed = field.kind is Kind.DEPENDENCY and not (field.optional or field.has_default)
            (self._creatable if needed or field.fallback else self._last).append((node, field))
        elif self.selection.is_excluded(name):
            self._last.append((node, field))
        else:
            provider = self.include(name, _needed_by(node, field))
            if provider is not None:
                exact = class_path(wanted) == provider.choice.chain[-1].target
                rule = "published for exactly this class" if exact else "published for this class"
                self._bind(node, field, provider, rule)

    def _create_missing(self) -> None:
        """
        Rules 5 and 6: fallbacks, and components of their own for concrete classes that nothing provides.
        """
        waiting: list[tuple[Node, Field]] = []
        for node, field in self._creatable:
            (self._last if self._providers(node, field.wanted) else waiting).append((node, field))
        with_fallback = [pair for pair in waiting if pair[1].fallback is not None]
        if with_fallback:
            self._creatable = [pair for pair in waiting if pair[1].fallback is None]
            for node, field in with_fallback:
                self._create(node, field)
            return
        above = {base for _, field in waiting if _can_be_created(field.wanted) for base in field.wanted.__mro__[1:]}
        self._creatable = []
        for node, field in waiting:
            if not _can_be_created(field.wanted):
                self._last.append((node, field))
            elif field.wanted in above:  # what is derived from it may do, so that goes first
                self._creatable.append((node, field))
            else:
                self._create(node, field)

    def _create(self, node: Node, field: Field) -> None:
        if field.fallback is not None:
            name = self.selection.name_class(field.fallback)
            rule = f"fallback of field '{field.name}'"
        else:
            name, rule = self.selection.name_class(field.wanted), "a component of its own class"
        provider = self.include(name, _needed_by(node, field))
        if provider is not None:
            self._bind(node, field, provider, rule)

    def _bind_by_type(self, node: Node, field: Field) -> None:
        """
        Rule 4, and what is to be done if it finds nothing or too much.
        """
        providers = self._providers(node, field.wanted)
        if len(providers) == 1:
            return self._bind(node, field, providers[0], "the one of this kind in the plan")
        if providers:
            names = tuple(provider.name for provider in providers)
            problem = AmbiguousDependencyError(
                component=node.name,
                distribution=node.distribution,
                field=field.name,
                wanted=class_path(field.wanted),
                candidates=names,
                hint=f'choose one: [components.{node.name}] bind = {{ {field.name} = "{names[0]}" }}',
            )
            return self.problems.append(problem)
        if field.kind is Kind.MAYBE and (field.has_default or not is_abstract(field.wanted)) and not field.optional:
            return node.settings.append(field)
        if field.optional or field.has_default:
            return self._bind_nothing(node, field)
        return self._miss(node, field, "", self._how_to_provide(field.wanted))

    def _how_to_provide(self, wanted: type) -> str:
        name = self.selection.published_for(wanted)
        if name is not None and self.selection.is_excluded(name):
            return f"'{name}' provides it, but is excluded; take it out of exclude"
        package = wanted.__module__.partition(".")[0]
        return f"install or add a component that is a '{wanted.__name__}' (the class is in '{package}')"

    def _miss(self, node: Node, field: Field, message: str, hint: str) -> None:
        self.problems.append(
            MissingDependencyError(
                component=node.name,
                distribution=node.distribution,
                field=field.name,
                wanted=class_path(field.wanted),
                message=message,
                hint=hint,
            )
        )

    def _include_all_of(self, node: Node, field: Field) -> None:
        """
        Take in every installed component of the kind that a ``list`` or ``dict`` field collects.

        Whether a class is of a kind cannot be known without importing it, so this imports what is installed.
        """
        for name in self.selection.names():
            if normalise(name) in self._nodes or self.selection.is_excluded(name):
                continue
            choice = self.selection.choice(name)
            self.problems.extend(choice.problems)
            cls = self._load(name, choice.chain[0]) if choice.chain and not choice.problems else None
            if cls is not None and fulfils(cls, field.wanted):
                self.include(name, _needed_by(node, field))

    def _bind_all_of(self, node: Node, field: Field) -> None:
        kind = self._providers(node, field.wanted, by_type=False)
        if not kind and field.kind is Kind.MAYBE and (field.has_default or not is_abstract(field.wanted)):
            return node.settings.append(attrs.evolve(field, wanted=field.type, many=None))
        names = tuple(provider.name for provider in kind)
        rule = "every component of this kind"
        node.bindings[field.name] = Binding(
            field.name, field.alias, Relation.ALL, class_path(field.wanted), names, field.many, rule
        )
        return None

    def _bind(self, node: Node, field: Field, provider: Node, rule: str) -> None:
        relation = Relation.USES if field.optional else Relation.NEEDS
        wanted = class_path(field.wanted)
        node.bindings[field.name] = Binding(field.name, field.alias, relation, wanted, (provider.name,), None, rule)
        if provider.candidate.layer is not Layer.PATCH:
            lacks = tuple(unmet(provider.cls, field.wanted)) if not fulfils(provider.cls, field.wanted) else ()
            if lacks:
                by = f"field '{field.name}' of '{node.name}' needs"
                self._refuse(provider, f"cannot be the '{class_path(field.wanted)}' that {by}", lacks)

    def _refuse(self, provider: Node, what: str, lacks: tuple[str, ...]) -> None:
        problem = ContractError(
            component=provider.name,
            distribution=provider.distribution,
            message=f"'{provider.candidate.target}' {what}: {'; '.join(lacks)}",
            hint="derive it from that class, or give it the same public methods",
            missing=lacks,
        )
        self.problems.append(problem)

    def _bind_nothing(self, node: Node, field: Field) -> None:
        wanted = class_path(field.wanted)
        rule = "absent, so the default" if field.has_default else "absent, so None"
        node.bindings[field.name] = Binding(
            field.name, field.alias, Relation.USES, wanted, (), None, rule, default=field.has_default
        )

    def _providers(self, node: Node, wanted: type, *, by_type: bool = True) -> list[Node]:
        """
        The components in the plan that are of a kind, the asking one left out, by name.
        """
        found = self._by_class.get(wanted, [])
        if not by_type or is_abstract(wanted):
            found = [other for other in self.nodes() if other.depth == 0 and fulfils(other.cls, wanted)]
            if by_type:
                found = [other for other in found if other.is_found_by_type]
        return sorted((other for other in found if other is not node), key=lambda other: other.name)

    def _order_after(self, node: Node) -> None:
        table = self.settings.components.get(normalise(node.name))
        for what in (*node.declares.after, *(table.after if table else ())):
            if isinstance(what, str):
                found = [self._nodes[normalise(what)]] if normalise(what) in self._nodes else []
            else:
                found = [other for other in self.nodes() if other.depth == 0 and fulfils(other.cls, what)]
            for other in found:
                if other is not node:
                    node.after[other.name] = None

    # -- with which settings -----------------------------------------------------------------------------

    def make_steps(self) -> Iterator[Step]:
        """
        One step for each component, by name, its settings structured and checked.
        """
        for node in self.nodes():
            table = self._table(node)
            values = tuple(self._structure(node, table))
            self._check_table(node, table)
            after = tuple(sorted(node.after))
            bindings = tuple(sorted(node.bindings.values(), key=lambda binding: binding.field))
            if after:
                bindings += (Binding("after", "", Relation.AFTER, "", after, None, "order only"),)
            needs = sorted({name for binding in bindings for name in binding.providers})
            yield Step(
                name=node.name,
                cls=node.cls,
                origin=node.candidate.origin,
                target=node.candidate.target,
                aliases=tuple(sorted(node.aliases)),
                reason=node.reason,
                rule=node.candidate.rule,
                bindings=bindings,
                settings=values,
                phases=node.declares.phases,
                limits=Limits(
                    setup=table.limits.get("setup", self.settings.limits.setup),
                    shutdown=table.limits.get("shutdown", self.settings.limits.shutdown),
                ),
                needs=tuple(needs),
            )

    def _table(self, node: Node) -> ComponentSettings:
        """
        What the configuration says of a component; a wrapped one shares the table of its name.
        """
        names = [node.name, *sorted(node.aliases)]
        if node.depth:
            names.insert(0, node.name.removesuffix(".wrapped" * node.depth))
        tables = [self.settings.components[key] for key in map(normalise, names) if key in self.settings.components]
        merged = ComponentSettings(name=node.name)
        for table in tables:
            merged = attrs.evolve(
                merged,
                bind={**merged.bind, **table.bind},
                limits={**merged.limits, **table.limits},
                after=merged.after + table.after,
                values={**merged.values, **table.values},
            )
        return merged

    def _structure(self, node: Node, table: ComponentSettings) -> Iterator[SettingValue]:
        values: dict[str, SettingValue] = {}
        for field in node.settings:
            given = match_setting(table.values, field, known=node.settings)
            value = structure_setting(node.name, field, given, distribution=node.distribution)
            if isinstance(value, SettingError):
                self.problems.append(value)
            else:
                values[field.name] = value
                yield value
        if len(values) == len(node.settings):
            self.problems.extend(check_together(node.name, node.cls, node.settings, values))

    def _check_table(self, node: Node, table: ComponentSettings) -> None:
        if node.depth:
            return
        family = [node]
        while wrapped := self._nodes.get(normalise(f"{family[-1].name}.wrapped")):
            family.append(wrapped)
        fields = [field for member in family for field in member.settings]
        known = [field.name for field in fields]
        values = dict(self._without_idle(node, table.values, known))
        self.problems.extend(unknown_settings(node.name, values, fields, distribution=node.distribution))
        bindable = [field.name for field in node.declares.fields if field.name not in known]
        for name in table.bind:
            if name not in bindable:
                near = nearest(name, bindable)
                self.problems.append(
                    UnknownSettingError(
                        component=node.name,
                        setting=f"bind.{name}",
                        source=self._source(f"components.{table.name}.bind"),
                        message=f"bind names '{name}', which is not a dependency of '{node.name}'",
                        hint=f"did you mean '{near}'?" if near else f"it has {enumerate_names(bindable) or 'none'}",
                    )
                )

    def _without_idle(self, node: Node, values: Mapping[str, Given], known: list[str]) -> Iterator[tuple[str, Given]]:
        """
        What is given for a component, but for settings that only those have whose place it took.

        So an override can be installed and removed with the settings left as they are.  Whoever was replaced is
        asked only if it is imported already, for it is not on this account.
        """
        replaced: dict[str, str] = {}
        for candidate in node.choice.chain[1:]:
            cls = candidate.cls or imported_class(candidate.target)
            if cls is not None:
                for field in declaration(cls).fields:
                    replaced.setdefault(normalise(field.name), candidate.target)
        mine = set(map(normalise, known))
        for key, given in values.items():
            if normalise(key) in mine or normalise(key) not in replaced:
                yield key, given
            else:
                self._idle.append(
                    f"setting '{key}' of '{node.name}' from {given.source} has no effect: it is one of "
                    f"'{replaced[normalise(key)]}', whose place '{node.candidate.target}' takes"
                )

    # -- what is strange ---------------------------------------------------------------------------------

    def find_oddities(self) -> Iterator[str]:
        """
        What is strange but harmless; with ``strict``, an override of nothing is a problem instead.
        """
        for damage in self.selection.discovery.damages:
            yield f"distribution '{damage.distribution}' ({damage.location}): {damage.message}"
        for entry in self.selection.discovery.entries:
            if entry.problem is not None and normalise(entry.name) not in self._failed:
                yield f"entry '{entry.name}' of {shown_origin(entry.origin)} is ignored: {entry.problem}"
        for sentence in (*self._inert(), *self._names_of_nothing()):
            if self.settings.strict:
                self.problems.append(OverrideError(message=sentence, hint="mend it, or set strict = false"))
            else:
                yield sentence
        self._check_tables()

    def _inert(self) -> Iterator[str]:
        yield from self._idle
        for name in self.selection.override_only():
            yield f"override '{name}' has no effect: no component of that name is installed"
        reached = {c.cls for node in self.nodes() for c in node.choice.chain if c.layer is Layer.PATCH}
        for what, by in self.selection.request.patches:
            if by not in reached:
                shown = what if isinstance(what, str) else class_path(what)
                yield f"the patch of '{shown}' by '{class_path(by)}' has no effect: nothing in the plan uses it"
        for name, given in self.settings.overrides.items():
            if not self.selection.has(name):
                self.problems.append(self.selection.unknown(name, wanted_by=given.source))

    def _names_of_nothing(self) -> Iterator[str]:
        for name in self.settings.exclude:
            if not self.selection.has(name):
                yield f"'{name}' is excluded ({self._source('exclude')}), but no component has that name"

    def _check_tables(self) -> None:
        for key, table in self.settings.components.items():
            if key in self._nodes or self.selection.has(key) or table.component:
                continue
            near = nearest(table.name, self.selection.names())
            source = _any_source(table.values.values()) or self._source(f"components.{table.name}")
            self.problems.append(
                UnknownSettingError(
                    setting=f"components.{table.name}",
                    source=source,
                    message=f"{source} sets the component '{table.name}', and there is none of that name",
                    hint=f"did you mean '{near}'?" if near else "'conductor list' shows what is installed",
                )
            )


def _any_source(values: Iterable[Given]) -> str | None:
    return next((given.source for given in values), None)


def _needed_by(node: Node, field: Field) -> str:
    return f"needed by '{node.name}' (field '{field.name}')"


def _can_be_created(wanted: Any) -> bool:
    return is_component_class(wanted) and not is_abstract(wanted) and wanted is not Component
