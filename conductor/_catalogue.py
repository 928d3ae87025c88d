"""
What has which name, before anybody takes anybody's place: installed components, instances declared in the
settings, and classes given in code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import attrs

from ._choice import Request, imported_class, names_class, package_of, target_of
from ._declaration import class_path
from ._discovery import Discovery, Entry, Origin, is_valid_name, normalise
from ._settings import Settings
from ._text import nearest
from .exceptions import ConflictError, DeclarationError, Problem, UnknownComponentError


@attrs.define
class Publications:
    """
    Which names a class is published under, found out without importing anything.

    A target may name a class that is defined elsewhere; that is known only once its module has been imported.
    """

    _by_target: dict[str, list[str]] = attrs.field(factory=dict, init=False)
    _by_path: dict[tuple[str, str], list[tuple[str, str]]] = attrs.field(factory=dict, init=False)
    _by_package: dict[str, list[str]] = attrs.field(factory=dict, init=False)
    _by_class: dict[type, list[str]] = attrs.field(factory=dict, init=False)
    _unknown: list[tuple[str, str]] = attrs.field(factory=list, init=False)
    _fresh: list[type] = attrs.field(factory=list, init=False)
    _modules: int = attrs.field(default=-1, init=False)

    def note(self, entry: Entry) -> None:
        """
        Take a component in.
        """
        key, target = entry.key, target_of(entry)
        package, path = package_of(target), target.partition(":")[2]
        self._by_target.setdefault(target, []).append(key)
        self._by_path.setdefault((package, path), []).append((key, target))
        self._by_package.setdefault(package, []).append(key)
        self._unknown.append((key, target))

    def of_target(self, target: str) -> tuple[str, ...]:
        """
        The normalised names under which a target is published, sorted.
        """
        return tuple(sorted(set(self._by_target.get(target, ()))))

    def exact(self, cls: type) -> tuple[str, ...]:
        """
        The normalised names under which exactly this class is published, sorted.
        """
        self._look_again()
        keys = {*self._by_target.get(class_path(cls), ()), *self._by_class.get(cls, ())}
        lazy = self._by_path.get((package_of(cls.__module__), cls.__qualname__), ())
        keys |= {key for key, target in lazy if names_class(target, cls)}
        return tuple(sorted(keys))

    def newly_known(self) -> frozenset[type]:
        """
        The classes that turned out to be published somewhere else than where they are defined, each told once.
        """
        self._look_again()
        fresh, self._fresh = frozenset(self._fresh), []
        return fresh

    def beside(self, cls: type) -> tuple[str, ...]:
        """
        The normalised names that the package of a class publishes, sorted.
        """
        return tuple(sorted(set(self._by_package.get(package_of(cls.__module__), ()))))

    def _look_again(self) -> None:
        """
        Find the classes of those modules that have been imported since.
        """
        if len(sys.modules) == self._modules:
            return
        self._modules = len(sys.modules)
        unknown, self._unknown = self._unknown, []
        for key, target in unknown:
            cls = imported_class(target) if target.partition(":")[0] in sys.modules else None
            if cls is None:
                self._unknown.append((key, target))
            else:
                self._by_class.setdefault(cls, []).append(key)
                if class_path(cls) != target:
                    self._fresh.append(cls)


@attrs.define
class Catalogue:
    """
    What has which name.

    Args:
        discovery: what is installed.
        settings: what the application's configuration says.
        request: what the program asks for in code.

    Attributes:
        problems: what is wrong with the names themselves.
    """

    discovery: Discovery
    settings: Settings
    request: Request = attrs.field(factory=Request)
    problems: list[Problem] = attrs.field(factory=list, init=False)
    _components: dict[str, list[Entry]] = attrs.field(factory=dict, init=False)
    _overrides: dict[str, list[Entry]] = attrs.field(factory=dict, init=False)
    _refused: dict[str, Entry] = attrs.field(factory=dict, init=False)
    _publications: Publications = attrs.field(factory=Publications, init=False)
    _code: dict[str, tuple[str, type]] = attrs.field(factory=dict, init=False)
    _allow: frozenset[str] | None = attrs.field(default=None, init=False)
    _deny: frozenset[str] = attrs.field(default=frozenset(), init=False)
    _exclude: frozenset[str] = attrs.field(default=frozenset(), init=False)

    def __attrs_post_init__(self) -> None:
        self._allow = None if self.settings.allow is None else _keys(self.settings.allow)
        self._deny, self._exclude = _keys(self.settings.deny), _keys(self.settings.exclude)
        for entry in self.discovery.of("conductor.components"):
            if self.is_allowed(entry.origin):
                self._components.setdefault(entry.key, []).append(entry)
                self._publications.note(entry)
            else:
                self._refused.setdefault(entry.key, entry)
        for entry in self.discovery.of("conductor.overrides"):
            if self.is_allowed(entry.origin):
                self._overrides.setdefault(entry.key, []).append(entry)

    def is_allowed(self, origin: Origin) -> bool:
        """
        Whether the application lets a distribution take part (``allow`` and ``deny``).
        """
        name = normalise(origin.distribution)
        return name not in self._deny and (self._allow is None or name in self._allow)

    def is_excluded(self, name: str) -> bool:
        """
        Whether the application excludes a component.
        """
        return normalise(name) in self._exclude

    def names(self) -> tuple[str, ...]:
        """
        Every name that a component has: installed, declared as an instance or given in code; sorted.
        """
        keys = self._components.keys() | self._code.keys()
        keys |= {key for key, table in self.settings.components.items() if table.component}
        return tuple(sorted(self.name_of(key) for key in keys))

    def name_of(self, key: str) -> str:
        """
        The name as its owner writes it.
        """
        key = normalise(key)
        if key in self._components:
            return min(entry.name for entry in self._components[key])
        if key in self._code:
            return self._code[key][0]
        table = self.settings.components.get(key)
        return table.name if table else key

    def has(self, name: str) -> bool:
        """
        Whether some component has the name.
        """
        key = normalise(name)
        table = self.settings.components.get(key)
        return key in self._components or key in self._code or bool(table and table.component)

    def override_only(self) -> tuple[str, ...]:
        """
        Names that installed overrides want to replace, but that no component has.
        """
        return tuple(sorted(entries[0].name for key, entries in self._overrides.items() if not self.has(key)))

    def refused(self, name: str) -> Entry | None:
        """
        The component of a name that the application does not allow.
        """
        return self._refused.get(normalise(name))

    def refused_class(self, cls: type) -> Entry | None:
        """
        The component that is exactly this class, and that the application does not allow.
        """
        return next((entry for entry in self._refused.values() if names_class(target_of(entry), cls)), None)

    def newly_known(self) -> frozenset[type]:
        """
        The classes that turned out to be published since this was asked last.
        """
        return self._publications.newly_known()

    def register(self, cls: type, name: str) -> str:
        """
        Give a class of the program's a name; what is wrong with the name is noted.
        """
        same = self._code.get(normalise(name))
        if self.has(name) and (same is None or same[1] is not cls):
            message = f"the name '{name}' that '{class_path(cls)}' is added under is taken"
            hint = "add it under another name, or use patch() to take the other's place"
            if same is not None and same[0] == name:
                message = f"'{class_path(same[1])}' and '{class_path(cls)}' both have the name '{name}'"
                hint = "add one of them under another name: add(cls, name=…)"
            self.problems.append(ConflictError(component=name, message=message, hint=hint))
            return name
        if not is_valid_name(name):
            message = (
                f"'{name}' cannot name a component: ASCII letters, digits, '-', '_' and '.', beginning with a letter"
            )
            hint = f"add '{class_path(cls)}' under another name: add(cls, name=…)"
            self.problems.append(DeclarationError(component=name, message=message, hint=hint))
        self._code[normalise(name)] = (name, cls)
        return name

    def unknown(self, name: str, *, wanted_by: str | None = None) -> UnknownComponentError:
        """
        The error for a name that no component has.

        Args:
            name: the name.
            wanted_by: who asked for it, as the user would look for it.
        """
        near = nearest(name, self.names())
        by = f", wanted by {wanted_by}" if wanted_by else ""
        refused = self.refused(name)
        hint = f"did you mean '{near}'?" if near else "'conductor list' shows what is installed"
        if refused is not None:
            hint = f"'{refused.origin.distribution}' offers it, but allow or deny keep that out"
        return UnknownComponentError(name=name, message=f"there is no component '{name}'{by}", hint=hint)


def wrong_name(name: str, hint: str | None = None) -> DeclarationError:
    """
    The error for what can be no component's name.
    """
    form = "ASCII letters, digits, '-', '_' and '.', beginning with a letter"
    return DeclarationError(component=name, message=f"'{name}' cannot name a component: {form}", hint=hint)


def _keys(names: Iterable[str]) -> frozenset[str]:
    return frozenset(map(normalise, names))
