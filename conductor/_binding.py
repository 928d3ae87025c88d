"""
Which component each field gets.

Theory of operation.  Components come in by name: the roots first, then whatever a field of one that is in needs.
A field is bound by the first rule that applies:

1. the instance that the application names for it (``bind``), or that the field names itself;
2. what the component took the place of, if that is of the wanted kind (a wrapper);
3. the component published for the wanted class;
4. the one component in the plan that is of the wanted kind;
5. the fallback that the field declares, or its default;
6. for a concrete component class, one of its own.

Rules 1 to 3 can only add components, so they run to a fixed point first.  Then rules 5 and 6 add what nothing in
the plan provides, most derived classes first, and the fixed point is sought again.  Rule 4 is applied at the very
end, to the whole plan.  So the order in which components come in never decides.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs

from ._component import Component
from ._contract import fulfils, unmet
from ._declaration import RESERVED, Field, Kind, class_path, is_abstract, is_component_class
from ._discovery import normalise
from ._inclusion import Bound, Inclusion, Node
from ._step import Relation
from ._text import dotted, enumerate_names, nearest
from .exceptions import AmbiguousDependencyError, ContractError, DeclarationError, MissingDependencyError

Wish: TypeAlias = tuple[Node, Field]


@attrs.define
class Binder:
    """
    Binds the fields of all components that are in; see the theory of operation above.
    """

    inclusion: Inclusion
    _creatable: list[Wish] = attrs.field(factory=list, init=False)
    _last: list[Wish] = attrs.field(factory=list, init=False)
    _collecting: list[Wish] = attrs.field(factory=list, init=False)
    _collected: set[type] = attrs.field(factory=set, init=False)

    def bind_all(self) -> None:
        """
        Bind every field of every component that is in, taking in what they need.
        """
        while self.inclusion.arrived or self._creatable:
            while self.inclusion.arrived:
                node = self.inclusion.arrived.popleft()
                for field in node.declares.fields:
                    self._bind_certain(node, field)
            if not self._look_again():
                self._create_missing()
        for node, field in self._last:
            self._bind_by_type(node, field)
        for node, field in self._collecting:
            self._bind_all_of(node, field)
        for node in self.inclusion.nodes():
            self._order_after(node)

    # -- rules 1 to 3 ----------------------------------------------------------------------------------------

    def _bind_certain(self, node: Node, field: Field) -> None:
        """
        Rules 1 to 3, which do not depend on what else is in the plan.
        """
        if field.kind is Kind.SETTING:
            self._set(node, field)
        elif self._bind_named(node, field):
            pass
        elif field.many:
            self._include_all_of(field)
            self._collecting.append((node, field))
        elif self._wraps(node, field.wanted):
            provider = self.inclusion.include_wrapped(node)
            if provider is not None:
                self._bind(node, field, provider, "what it took the place of")
        elif not self._bind_published(node, field):
            needed = field.kind is Kind.DEPENDENCY and not (field.optional or field.has_default)
            patched = self.inclusion.selection.is_patched(field.wanted)
            (self._creatable if needed or field.fallback or patched else self._last).append((node, field))

    def _bind_named(self, node: Node, field: Field) -> bool:
        table = self.inclusion.table(node)
        name, source, certain = field.instance, f"field '{field.name}'", False
        if field.name in table.bind:
            place = table.sources.get(f"bind.{field.name}", f"[components.{dotted([table.name])}]")
            name, source, certain = table.bind[field.name], f"bind in {place}", True
        if name is None:
            return False
        selection = self.inclusion.selection
        excluded = selection.is_excluded(name)
        if normalise(name) == normalise(node.base_name) and node.depth + 1 < len(node.choice.chain):
            provider = self.inclusion.include_wrapped(node)
        elif selection.has(name) and not excluded:
            provider = self.inclusion.include(name)
        elif not certain and (field.optional or field.has_default):
            self._bind_nothing(node, field)
            return True
        else:
            near = nearest(name, selection.names())
            hint = f"did you mean '{near}'? or " if near else ""
            hint += f"declare it: [components.{dotted([name])}] component = …"
            hint = "take it out of exclude" if excluded and selection.has(name) else hint
            reason = "it is excluded" if excluded and selection.has(name) else "there is none"
            self._miss(node, field, f"field '{field.name}' needs the instance '{name}' ({source}), and {reason}", hint)
            return True
        if provider is not None:
            self._bind(node, field, provider, f"named by {source}")
        return True

    def _wraps(self, node: Node, wanted: type) -> bool:
        """
        Whether a field of this class is for what the component took the place of.
        """
        if node.depth + 1 >= len(node.choice.chain) or wanted is Component:
            return False
        names = {normalise(node.base_name), normalise(node.choice.instance_of or node.base_name)}
        published = self.inclusion.selection.published_for(wanted)
        return wanted in node.cls.__mro__ or (published is not None and normalise(published) in names)

    def _bind_published(self, node: Node, field: Field) -> bool:
        selection, wanted = self.inclusion.selection, field.wanted
        others = (name for name in selection.published_names(wanted) if self.inclusion.find(name) is not node)
        exact = [name for name in others if not selection.is_excluded(name)]
        if len(exact) > 1:
            self._tell_ambiguous(node, field, tuple(exact))
            return True
        name = exact[0] if exact else selection.published_for(wanted)
        if name is None or selection.is_excluded(name) or self.inclusion.find(name) is node:
            return False
        provider = self.inclusion.include(name)
        if provider is not None:
            rule = "published for exactly this class" if exact else "published for this class"
            self._bind(node, field, provider, rule)
        return True

    def _look_again(self) -> bool:
        """
        Whether the imports so far have shown that something is published for a class after all.
        """
        fresh = self.inclusion.selection.newly_known()
        found = False
        for waiting in (self._creatable, self._last) if fresh else ():
            left = [wish for wish in waiting if wish[1].wanted not in fresh or not self._bind_published(*wish)]
            found = found or len(left) < len(waiting)
            waiting[:] = left
        return found

    def _include_all_of(self, field: Field) -> None:
        """
        Take in every installed component of the kind that a ``list`` or ``dict`` field collects.

        Whether a class is of a kind cannot be known without importing it, so this imports what is installed.
        """
        settings, selection = self.inclusion.settings, self.inclusion.selection
        certain = field.kind is Kind.DEPENDENCY or is_abstract(field.wanted)
        if settings.roots is None or not settings.autoload or not certain or field.wanted in self._collected:
            return
        self._collected.add(field.wanted)
        for name in selection.names():
            if not selection.is_excluded(name):
                _, cls = self.inclusion.winner(name)
                if cls is not None and fulfils(cls, field.wanted):
                    self.inclusion.include(name)

    # -- rules 5 and 6 ---------------------------------------------------------------------------------------

    def _create_missing(self) -> None:
        """
        Rules 5 and 6: fallbacks, and components of their own for concrete classes that nothing provides.

        Classes that the program patches go first, since what stands in for them provides them.
        """
        waiting: list[Wish] = []
        for wish in sorted(self._creatable, key=_by_class_path):
            provided = self._providers(*wish) and not self.inclusion.selection.is_patched(wish[1].wanted)
            (self._last if provided else waiting).append(wish)
        self._creatable = []
        patched = [wish for wish in waiting if self.inclusion.selection.is_patched(wish[1].wanted)]
        first = patched or [wish for wish in waiting if wish[1].fallback is not None]
        if first:
            self._creatable = [wish for wish in waiting if wish not in first]
            for wish in first:
                self._create(*wish)
            return
        above = {base for _, field in waiting if _can_be_created(field.wanted) for base in field.wanted.__mro__[1:]}
        for wish in waiting:  # what is derived from a class may do in its place, so that goes first
            if not _can_be_created(wish[1].wanted):
                self._last.append(wish)
            elif wish[1].wanted in above:
                self._creatable.append(wish)
            else:
                self._create(*wish)

    def _create(self, node: Node, field: Field) -> None:
        patched = self.inclusion.selection.is_patched(field.wanted)
        by_fallback = field.fallback is not None and not patched
        cls, rule = field.wanted, "a patch of this class" if patched else "a component of its own class"
        if field.fallback is not None and by_fallback:
            cls, rule = field.fallback, f"fallback of field '{field.name}'"
        if not patched and self.inclusion.selection.refused_class(cls) is not None:
            self._last.append((node, field))
            return
        name = self.inclusion.selection.name_needed(cls)
        if self.inclusion.selection.is_excluded(name) or self.inclusion.find(name) is node:
            self._last.append((node, field))
            return
        provider = self.inclusion.include(name)
        if provider is not None:
            self._bind(node, field, provider, rule)

    # -- rule 4, and what is left ----------------------------------------------------------------------------

    def _bind_by_type(self, node: Node, field: Field) -> None:
        """
        Rule 4, and what is to be done if it finds nothing or too much.
        """
        providers = self._providers(node, field)
        if len(providers) == 1:
            self._bind(node, field, providers[0], "the one of this kind in the plan")
        elif providers:
            self._tell_ambiguous(node, field, tuple(provider.name for provider in providers))
        elif self._may_be_set(node, field):
            self._set(node, field)
        elif field.optional or field.has_default:
            self._bind_nothing(node, field)
        else:
            self._miss(node, field, "", self._how_to_provide(field.wanted))

    def _may_be_set(self, node: Node, field: Field) -> bool:
        """
        Whether a field that could be a dependency, but has nothing to inject, is a setting.
        """
        if field.kind is not Kind.MAYBE or is_abstract(field.wanted):
            return False
        given = normalise(field.name) in map(normalise, self.inclusion.table(node).values)
        return given or field.has_default or not field.optional

    def _set(self, node: Node, field: Field) -> None:
        if field.name in RESERVED:
            self.inclusion.problems.append(
                DeclarationError(
                    component=node.name,
                    distribution=node.distribution,
                    field=field.name,
                    message=f"field '{field.name}' has a name that settings files use themselves",
                    hint="rename it",
                )
            )
        else:
            node.settings.append(field)

    def _bind_all_of(self, node: Node, field: Field) -> None:
        providers = [other for other in self.inclusion.of_kind(field.wanted) if other.depth == 0 and other is not node]
        if not providers and field.kind is Kind.MAYBE and (field.has_default or not is_abstract(field.wanted)):
            self._set(node, attrs.evolve(field, wanted=field.type, many=None))
        else:
            ordered = tuple(sorted(providers, key=lambda other: other.name))
            node.bound[field.name] = Bound(field, Relation.ALL, ordered, "every component of this kind")

    def _providers(self, node: Node, field: Field) -> list[Node]:
        """
        The components in the plan that are of the wanted kind, the asking one left out, by name.
        """
        found = [
            other for other in self.inclusion.of_kind(field.wanted) if other.is_found_by_type and other is not node
        ]
        return sorted(found, key=lambda other: other.name)

    def _order_after(self, node: Node) -> None:
        for what in (*node.declares.after, *self.inclusion.table(node).after):
            if isinstance(what, str):
                named = self.inclusion.find(what)
                found = [named] if named is not None else []
            else:
                published = self.inclusion.find(self.inclusion.selection.published_for(what) or "")
                found = [*self.inclusion.of_kind(what), *([published] if published is not None else [])]
            node.after.extend(other for other in found if other is not node and other.depth == 0)

    # -- what comes of it ------------------------------------------------------------------------------------

    def _bind(self, node: Node, field: Field, provider: Node, rule: str) -> None:
        relation = Relation.USES if field.optional else Relation.NEEDS
        node.bound[field.name] = Bound(field, relation, (provider,), rule)
        if not provider.is_patch and not fulfils(provider.cls, field.wanted):
            lacks = tuple(unmet(provider.cls, field.wanted))
            if lacks:
                what = f"cannot be the '{class_path(field.wanted)}' that field '{field.name}' of '{node.name}' needs"
                self.inclusion.problems.append(refusal(provider, what, lacks))

    def _bind_nothing(self, node: Node, field: Field) -> None:
        rule = "absent, so the default" if field.has_default else "absent, so None"
        node.bound[field.name] = Bound(field, Relation.USES, (), rule, default=field.has_default)

    def _tell_ambiguous(self, node: Node, field: Field, names: tuple[str, ...]) -> None:
        line = f'[components.{dotted([node.base_name])}] bind = {{ {field.name} = "{names[0]}" }}'
        self.inclusion.problems.append(
            AmbiguousDependencyError(
                component=node.name,
                distribution=node.distribution,
                field=field.name,
                wanted=class_path(field.wanted),
                candidates=names,
                hint=f"choose one: {line}",
            )
        )

    def _how_to_provide(self, wanted: Any) -> str:
        selection = self.inclusion.selection
        known = selection.published_names(wanted) or selection.published_beside(wanted)
        excluded = [name for name in known if selection.is_excluded(name)]
        if excluded:
            return f"{enumerate_names(excluded)} would provide it, but is excluded"
        if known:
            return f"{enumerate_names(known)} provide it: bind one, or make one a root"
        refused = selection.refused_class(wanted)
        if refused is not None:
            return f"'{refused.origin.distribution}' offers it, but allow or deny keep that out"
        if selection.is_excluded(wanted.__name__):
            return f"'{wanted.__name__}' would provide it, but is excluded"
        package = wanted.__module__.partition(".")[0]
        return f"install or add a component that is a '{wanted.__name__}' (the class is in '{package}')"

    def _miss(self, node: Node, field: Field, message: str, hint: str) -> None:
        self.inclusion.problems.append(
            MissingDependencyError(
                component=node.name,
                distribution=node.distribution,
                field=field.name,
                wanted=class_path(field.wanted),
                message=message,
                hint=hint,
            )
        )


def refusal(provider: Node, what: str, lacks: tuple[str, ...]) -> ContractError:
    """
    The error for a component that is not what it is taken for.

    Args:
        provider: the component.
        what: what it cannot do, as a phrase.
        lacks: one phrase for each thing that it lacks.
    """
    return ContractError(
        component=provider.name,
        distribution=provider.distribution,
        message=f"'{provider.candidate.target}' {what}: {'; '.join(lacks)}",
        hint="derive it from that class, or give it the same public methods",
        missing=lacks,
    )


def _by_class_path(wish: Wish) -> tuple[str, str]:
    return class_path(wish[1].wanted), wish[0].name


def _can_be_created(wanted: Any) -> bool:
    return is_component_class(wanted) and not is_abstract(wanted)
