"""
Who wins, who provides what, with which settings: from what is installed to the parts of a plan.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from ._binding import Binder, refusal
from ._choice import Choice, Layer, Request, distribution_of, imported_class, shown_origin
from ._contract import unmet
from ._declaration import class_path, declaration
from ._discovery import Discovery, normalise
from ._graph import sort_graph
from ._inclusion import Inclusion, Node
from ._requirements import unmet_requirements
from ._selection import Selection
from ._settings import ComponentSettings, Limits, Settings, SettingValue
from ._sources import Given
from ._step import Binding, Relation, Step
from ._structure import check_together, match_setting, structure_setting, unknown_settings
from ._text import dotted, enumerate_names, nearest
from .exceptions import (
    ConflictError,
    CycleError,
    OverrideError,
    Problem,
    SettingError,
    UnknownSettingError,
    VersionError,
    raise_problems,
)


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
    resolver = Resolver(Inclusion(Selection(discovery, settings, request or Request())))
    resolver.include_roots()
    Binder(resolver.inclusion).bind_all()
    resolver.check_nodes()
    steps = tuple(resolver.make_steps())
    warnings = tuple(resolver.find_oddities())
    resolver.problems.extend(find_cycles(steps))
    resolver.problems.extend(find_wrong_versions(discovery, steps))
    raise_problems("the plan is not valid", resolver.problems_found())
    choices = {name: choice for node in resolver.nodes for name, choice in node.choices.items()}
    choices |= {node.name: node.choice for node in resolver.nodes}
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


@attrs.define
class Resolver:
    """
    Works out a plan: what is in, and, once it is bound, the steps and what is wrong or strange.
    """

    inclusion: Inclusion
    _nodes: list[Node] | None = attrs.field(default=None, init=False)
    _idle: list[str] = attrs.field(factory=list, init=False)

    @property
    def selection(self) -> Selection:
        """
        Who wins each name.
        """
        return self.inclusion.selection

    @property
    def settings(self) -> Settings:
        """
        The application's configuration.
        """
        return self.selection.settings

    @property
    def problems(self) -> list[Problem]:
        """
        What went wrong on the way.
        """
        return self.inclusion.problems

    @property
    def nodes(self) -> Sequence[Node]:
        """
        The components that are in, by name; to be asked for when no more comes in.
        """
        if self._nodes is None:
            self._nodes = self.inclusion.nodes()
        return self._nodes

    def problems_found(self) -> Iterator[Problem]:
        """
        All problems, each once, those of the components by name.
        """
        seen: set[str] = set()
        own = sorted(self.problems, key=_place)
        for problem in (*self.settings.problems, *self.selection.problems, *own):
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
            name = self.selection.name_class(cls, given)
            self._refuse_excluded(name, "added in code")
            self.inclusion.include(name, "added in code")
        if self.settings.roots is None:
            for name in self.selection.names() if self.settings.autoload else ():
                if not self.selection.is_excluded(name):
                    self.inclusion.include(name, "installed")
            return
        for name in self.settings.roots:
            self._refuse_excluded(name, "a root")
            if not self.selection.has(name):
                self.problems.append(self.selection.unknown(name, wanted_by=self._source("roots")))
            elif not self.selection.is_excluded(name):
                self.inclusion.include(name, "root")

    def _refuse_excluded(self, name: str, what: str) -> None:
        if self.selection.is_excluded(name):
            message = f"'{name}' is both {what} and excluded ({self._source('exclude')})"
            self.problems.append(ConflictError(component=name, message=message, hint="take it out of one of them"))

    def check_nodes(self) -> None:
        """
        Find what is wrong with the components by themselves, and with the places that they took.
        """
        self.problems.extend(self.inclusion.find_clashes())
        for node in self.nodes:
            for problem in node.declares.problems:
                own = attrs.evolve(problem, component=node.name, distribution=node.distribution)
                own.__cause__ = problem.__cause__
                self.problems.append(own)
            abstract = sorted(getattr(node.cls, "__abstractmethods__", ())) if inspect.isabstract(node.cls) else []
            if abstract:
                lacks = (f"it lacks {enumerate_names(abstract)}",)
                self.problems.append(refusal(node, "is abstract and cannot be built", lacks))
            self._check_stand_in(node)

    def _check_stand_in(self, node: Node) -> None:
        """
        Whether a component can stand in for the original, if that one is imported; it is not on this account.
        """
        original = node.choice.chain[-1]
        if node.candidate is original or node.candidate.layer is Layer.PATCH:
            return
        replaced = original.cls or imported_class(original.target)
        lacks = tuple(unmet(node.cls, replaced)) if replaced is not None else ()
        if lacks:
            self.problems.append(refusal(node, f"cannot take the place of '{original.target}'", lacks))

    # -- the steps ---------------------------------------------------------------------------------------

    def make_steps(self) -> Iterator[Step]:
        """
        One step for each component, by name, its settings structured and checked.
        """
        reasons = self._reasons()
        families: dict[str, list[Node]] = defaultdict(list)
        for node in self.nodes:
            families[node.base_name].append(node)
        for node in self.nodes:
            table = self.inclusion.table(node)
            values = tuple(self._structure(node, table))
            if not node.depth:
                self._check_table(node, table, families[node.base_name])
            bindings = tuple(_bindings(node))
            yield Step(
                name=node.name,
                cls=node.cls,
                origin=node.candidate.origin,
                target=node.candidate.target,
                aliases=node.aliases,
                reason=reasons[node],
                rule=node.candidate.rule,
                bindings=bindings,
                settings=values,
                phases=node.declares.phases,
                limits=Limits(
                    setup=table.limits.get("setup", self.settings.limits.setup),
                    shutdown=table.limits.get("shutdown", self.settings.limits.shutdown),
                ),
                needs=tuple(sorted({name for binding in bindings for name in binding.providers})),
            )

    def _reasons(self) -> dict[Node, str]:
        """
        Why each component is in: by itself, or for the first by name of those whose fields it is in.
        """
        needed_by: dict[Node, tuple[str, str]] = {}
        for node in self.nodes:
            for bound in node.bound.values():
                for provider in bound.providers:
                    place = (node.name, bound.field.name)
                    needed_by[provider] = min(needed_by.get(provider, place), place)
        reasons = {node: node.why for node in self.nodes}
        for node, (name, field) in needed_by.items():
            wraps = node.wrapper is not None and node.wrapper.name == name
            verb = f"wrapped by '{name}'" if wraps else f"needed by '{name}' (field '{field}')"
            reasons[node] = reasons.get(node) or verb
        return reasons

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
            self.problems.extend(
                check_together(node.name, node.cls, node.settings, values, distribution=node.distribution)
            )

    def _check_table(self, node: Node, table: ComponentSettings, family: Iterable[Node]) -> None:
        """
        Refuse what no component of a family, a component and what it wraps, takes.
        """
        members = tuple(family)
        fields = [field for member in members for field in member.settings]
        settings = {field.name for field in fields}
        values = dict(self._without_idle(node, table.values, settings))
        self.problems.extend(unknown_settings(node.name, values, fields, distribution=node.distribution))
        bindable = [f.name for member in members for f in member.declares.fields if f.name not in settings]
        for name in table.bind:
            if name not in bindable:
                near = nearest(name, bindable)
                self.problems.append(
                    UnknownSettingError(
                        component=node.name,
                        distribution=node.distribution,
                        setting=f"bind.{name}",
                        source=table.sources.get(f"bind.{name}", "the settings"),
                        message=f"bind names '{name}', which is not a dependency of '{node.name}'",
                        hint=f"did you mean '{near}'?" if near else f"it has {enumerate_names(bindable) or 'none'}",
                    )
                )

    def _without_idle(
        self, node: Node, values: Mapping[str, Given], known: Iterable[str]
    ) -> Iterator[tuple[str, Given]]:
        """
        What is given for a component, but for settings that only those have whose place it took.

        So an override can be installed and removed with the settings left as they are.  Whoever was replaced is
        asked only if it is imported already, for it is not on this account.
        """
        replaced: dict[str, str] = {}
        for candidate in node.choice.chain[1:]:
            cls = candidate.cls or imported_class(candidate.target)
            for field in declaration(cls).fields if cls is not None else ():
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
        What is strange but harmless; with ``strict``, a setting or an override of nothing is a problem instead.
        """
        for damage in self.selection.discovery.damages:
            yield f"distribution '{damage.distribution}' ({damage.location}): {damage.message}"
        for entry in self.selection.discovery.entries:
            if entry.problem is not None and not self.inclusion.has_failed(entry.name):
                yield f"entry '{entry.name}' of {shown_origin(entry.origin)} is ignored: {entry.problem}"
        for sentence in (*self._inert(), *self._names_of_nothing()):
            if self.settings.strict:
                self.problems.append(OverrideError(message=sentence, hint="mend it, or set strict = false"))
            else:
                yield sentence
        for name, given in self.settings.overrides.items():
            if not self.selection.has(name):
                self.problems.append(self.selection.unknown(name, wanted_by=given.source))
        self._check_tables()

    def _inert(self) -> Iterator[str]:
        yield from self._idle
        for name in self.selection.override_only():
            yield f"override '{name}' has no effect: no component of that name is installed"
        reached = {c.cls for node in self.nodes for c in node.choice.chain if c.layer is Layer.PATCH}
        for what, by in self.selection.request.patches:
            if by not in reached:
                shown = what if isinstance(what, str) else class_path(what)
                yield f"the patch of '{shown}' by '{class_path(by)}' has no effect: nothing in the plan uses it"

    def _names_of_nothing(self) -> Iterator[str]:
        distributions = {entry.origin.distribution for entry in self.selection.discovery.entries}
        for key in ("allow", "deny"):
            for name in getattr(self.settings, key) or ():
                if normalise(name) not in map(normalise, distributions):
                    hint = _did_you_mean(name, distributions)
                    yield f"'{name}' in {key} ({self._source(key)}) is no distribution with components{hint}"
        for name in self.settings.exclude:
            if not self.selection.has(name) and self.selection.refused(name) is None:
                hint = _did_you_mean(name, self.selection.names())
                yield f"'{name}' is excluded ({self._source('exclude')}), but no component has that name{hint}"
        for table in self.settings.components.values():
            for name in table.after:
                if not self.selection.has(name) and self.selection.refused(name) is None:
                    source = self._source(f"components.{table.name}.after")
                    hint = _did_you_mean(name, self.selection.names())
                    yield f"'{table.name}' comes after '{name}' ({source}), but no component has that name{hint}"

    def _check_tables(self) -> None:
        for key, table in self.settings.components.items():
            known = self.inclusion.find(key) is not None or self.selection.has(key)
            if known or table.component or self.selection.refused(key) is not None:
                continue
            near = nearest(table.name, self.selection.names())
            source = next((given.source for given in table.values.values()), "")
            source = source or next(iter(table.sources.values()), "the settings")
            self.problems.append(
                UnknownSettingError(
                    setting=f"components.{dotted([table.name])}",
                    source=source,
                    message=f"{source} sets the component '{table.name}', and there is none of that name",
                    hint=f"did you mean '{near}'?" if near else "'conductor list' shows what is installed",
                )
            )


def _bindings(node: Node) -> Iterator[Binding]:
    """
    What the fields of a component get, by name, and what merely comes before.
    """
    for name, bound in sorted(node.bound.items()):
        yield Binding(
            field=name,
            alias=bound.field.alias,
            relation=bound.relation,
            wanted=class_path(bound.field.wanted),
            providers=tuple(provider.name for provider in bound.providers),
            many=bound.field.many,
            rule=bound.rule,
            default=bound.default,
        )
    after = tuple(sorted({other.name for other in node.after}))
    if after:
        yield Binding("after", "", Relation.AFTER, "", after, None, "order only")


def _place(problem: Problem) -> tuple[bool, str, bool, str]:
    """
    What puts problems in order: by component, settings last and as the class has them; what is nobody's at the end.
    """
    of_setting = isinstance(problem, SettingError | UnknownSettingError)
    return problem.component is None, problem.component or "", of_setting, "" if of_setting else str(problem)


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = nearest(name, known)
    return f"; did you mean '{near}'?" if near else ""
