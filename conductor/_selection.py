"""
Who wins each name, decided on metadata alone: no choice imports anything.

Precedence, highest first: a patch in code, the application's configuration, an installed override, the
installed component.  Within one layer nothing decides but the application: two candidates are a conflict.
A choice keeps everything that lost, so that it can always be told who took whose place and why.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterable, Iterator, Mapping

import attrs

from ._declaration import class_path, is_abstract
from ._discovery import Discovery, Entry, Origin, normalise
from ._settings import Settings
from ._text import enumerate_names, nearest
from .exceptions import ConflictError, EntryError, OverrideError, Problem, UnknownComponentError


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


def names_class(target: str, cls: type) -> bool:
    """
    Whether a target names exactly this class, found out without importing anything.
    """
    module_name, _, path = target.partition(":")
    if target == class_path(cls):
        return True
    module = sys.modules.get(module_name)
    if module is None:
        return False
    first, *rest = path.split(".")
    # A lazy package gives its own class when asked; asking for anything else could import.
    own = module_name.partition(".")[0] == cls.__module__.partition(".")[0] and path == cls.__qualname__
    found = getattr(module, first, None) if own else vars(module).get(first)
    for part in rest:
        found = getattr(found, part, None)
    return found is cls


@attrs.define
class Selection:
    """
    The choices for all names, each made when it is first asked for.

    Args:
        discovery: what is installed.
        settings: what the application's configuration says.
        request: what the program asks for in code.
    """

    discovery: Discovery
    settings: Settings
    request: Request = attrs.field(factory=Request)
    problems: list[Problem] = attrs.field(factory=list, init=False)
    _components: dict[str, list[Entry]] = attrs.field(factory=dict, init=False)
    _overrides: dict[str, list[Entry]] = attrs.field(factory=dict, init=False)
    _superseded: dict[str, set[tuple[str, str]]] = attrs.field(factory=dict, init=False)
    _code: dict[str, tuple[str, type]] = attrs.field(factory=dict, init=False)
    _named: dict[type, str] = attrs.field(factory=dict, init=False)
    _choices: dict[str, Choice] = attrs.field(factory=dict, init=False)
    _published: dict[type, str | None] = attrs.field(factory=dict, init=False)
    _unpatched: dict[str, Choice] = attrs.field(factory=dict, init=False)
    _patches: Mapping[type | str, type] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._patches = dict(self.request.patches)
        for entry in self.discovery.of("conductor.components"):
            if self.is_allowed(entry.origin):
                self._components.setdefault(entry.key, []).append(entry)
        for entry in self.discovery.of("conductor.overrides"):
            if self.is_allowed(entry.origin):
                self._overrides.setdefault(entry.key, []).append(entry)
        for entry in self.discovery.of("conductor.supersedes"):
            if self.is_allowed(entry.origin) and entry.problem is None:
                pair = (normalise(entry.origin.distribution), normalise(entry.target))
                self._superseded.setdefault(entry.key, set()).add(pair)
        for cls, name in self.request.added:
            self.name_class(cls, name)

    def is_allowed(self, origin: Origin) -> bool:
        """
        Whether the application lets a distribution take part (``allow`` and ``deny``).
        """
        name = normalise(origin.distribution)
        if name in map(normalise, self.settings.deny):
            return False
        return self.settings.allow is None or name in map(normalise, self.settings.allow)

    def is_excluded(self, name: str) -> bool:
        """
        Whether the application excludes a component.
        """
        return normalise(name) in map(normalise, self.settings.exclude)

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
            return self._components[key][0].name
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

    def name_class(self, cls: type, name: str | None = None) -> str:
        """
        The name of a class: that under which it is published or was added, else one of its own.

        Args:
            cls: the class, as a field or the program names it.
            name: the name to give it.
        """
        if name is None:
            known = self._named.get(cls) or self.published_for(cls)
            if known is not None:
                return known
            name = cls.__name__
            if self.has(name):  # two classes of one name: both stay, the second one under its full name
                name = f"{cls.__module__}.{cls.__qualname__}".replace(".<locals>", "").lstrip("_")
        elif self.has(name) and self._code.get(normalise(name), (name, cls))[1] is not cls:
            self.problems.append(
                ConflictError(
                    component=name,
                    message=f"the name '{name}' that '{class_path(cls)}' is added under is taken",
                    hint="add it under another name, or use patch() to take the other's place",
                )
            )
            return name
        self._code[normalise(name)] = (name, cls)
        self._named[cls] = name
        self._published.pop(cls, None)
        return name

    def published_for(self, cls: type) -> str | None:
        """
        The name of the component that is published for a class: the one whose target it is; for an abstract
        class also the only one that its own package publishes as an implementation of it.
        """
        if cls in self._named:
            return self._named[cls]
        if cls not in self._published:
            self._published[cls] = self._find_published(cls)
        return self._published[cls]

    def is_patched(self, cls: type) -> bool:
        """
        Whether the program patches a class.
        """
        return cls in self._patches

    def _find_published(self, cls: type) -> str | None:
        exact = [key for key, entries in self._components.items() if any(names_class(e.target, cls) for e in entries)]
        if exact:
            return self.name_of(min(exact))
        if not is_abstract(cls):
            return None
        package = cls.__module__.partition(".")[0]
        beside = [
            key
            for key, entries in self._components.items()
            if any(e.target.partition(":")[0].partition(".")[0] == package for e in entries)
            and _implements(self._without_patch(key, ()), cls)
        ]
        return self.name_of(beside[0]) if len(beside) == 1 else None

    def choice(self, name: str) -> Choice:
        """
        Who takes a name.
        """
        key = normalise(name)
        if key not in self._choices:
            self._choices[key] = self._patched(key, self._without_patch(key, ()))
        return self._choices[key]

    def override_only(self) -> tuple[str, ...]:
        """
        Names that installed overrides want to replace, but that no component has.
        """
        return tuple(sorted(entries[0].name for key, entries in self._overrides.items() if not self.has(key)))

    def _without_patch(self, key: str, asked: tuple[str, ...]) -> Choice:
        if key not in self._unpatched:
            self._unpatched[key] = self._choose(key, asked)
        return self._unpatched[key]

    def _choose(self, key: str, asked: tuple[str, ...]) -> Choice:
        if key in asked:
            drawn = " -> ".join((*asked, key))
            problem = OverrideError(component=self.name_of(key), message=f"overrides lead in a circle: {drawn}")
            return Choice(self.name_of(key), problems=(problem,))
        base = self._original(key, asked)
        if base.problems:
            return base
        installed = self._installed_override(key, base)
        if installed.problems and key not in self.settings.overrides:
            return installed
        chosen = self._configured(key, attrs.evolve(installed, problems=()))
        if chosen.problems:
            return chosen
        return self._followed(key, chosen, asked)

    def _original(self, key: str, asked: tuple[str, ...]) -> Choice:
        """
        The component that has the name, before anybody takes its place.
        """
        name = self.name_of(key)
        table = self.settings.components.get(key)
        if table is not None and table.component:
            return self._instance(key, table.component, asked)
        if key in self._code:
            cls = self._code[key][1]
            return Choice(name, (Candidate(Layer.COMPONENT, class_path(cls), source="code", cls=cls),))
        entries = self._components.get(key, [])
        sound = [entry for entry in entries if entry.problem is None]
        if len(sound) == 1 or (sound and self._is_chosen(key, sound)):
            return Choice(name, (_candidate(Layer.COMPONENT, sound[0]),), _unusable(entries))
        if sound:
            return Choice(name, problems=(self._conflict(name, sound, "offer the component"),))
        if entries:
            return Choice(name, problems=tuple(_entry_error(entry) for entry in entries))
        return Choice(name, problems=(self.unknown(name),))

    def _is_chosen(self, key: str, entries: list[Entry]) -> bool:
        """
        Whether the configuration names one of several distributions; that one then comes first.
        """
        given = self.settings.overrides.get(key)
        if given is None or ":" in str(given.value):
            return given is not None
        for entry in entries:
            if normalise(entry.origin.distribution) == normalise(str(given.value)):
                entries.remove(entry)
                entries.insert(0, entry)
                return True
        return bool(self._overrides.get(key))

    def _instance(self, key: str, of: str, asked: tuple[str, ...]) -> Choice:
        name = self.name_of(key)
        if key in self._components or key in self._code:
            message = f"[components.{name}] declares an instance of '{of}', but a component '{name}' exists already"
            return Choice(name, problems=(ConflictError(component=name, message=message, hint="choose another name"),))
        if not self.has(of):
            return Choice(name, problems=(self.unknown(of, wanted_by=f'[components.{name}] component = "{of}"'),))
        chosen = self._without_patch(normalise(of), (*asked, key))
        return attrs.evolve(chosen, name=name, instance_of=self.name_of(of))

    def _installed_override(self, key: str, base: Choice) -> Choice:
        entries = self._overrides.get(key, [])
        sound = [entry for entry in entries if entry.problem is None]
        losers = _unusable(entries)
        if losers:  # never fall back to the original in silence
            errors = tuple(_entry_error(entry) for entry in entries if entry.problem is not None)
            return attrs.evolve(base, problems=errors, beaten=base.beaten + losers)
        if not self.settings.autoload:
            ignored = tuple(
                Beaten(_candidate(Layer.OVERRIDE, e), "autoload is off, and nobody names it") for e in sound
            )
            return attrs.evolve(base, beaten=base.beaten + losers + ignored)
        pairs = self._superseded.get(key, set())
        names = {normalise(entry.origin.distribution): entry for entry in sound}
        gone = {old: new for new, old in sorted(pairs) if new in names and old in names}
        left = [entry for name, entry in names.items() if name not in gone]
        losers += tuple(
            Beaten(_candidate(Layer.OVERRIDE, names[old]), f"superseded by '{names[new].origin.distribution}'")
            for old, new in gone.items()
        )
        if len(left) > 1 or (sound and not left):
            problem = self._conflict(base.name, left or sound, "override")
            return attrs.evolve(base, problems=(problem,), beaten=base.beaten + losers)
        won = tuple(_candidate(Layer.OVERRIDE, entry) for entry in left)
        return attrs.evolve(base, chain=won + base.chain, beaten=base.beaten + losers)

    def _configured(self, key: str, base: Choice) -> Choice:
        given = self.settings.overrides.get(key)
        if given is None:
            return base
        wish = str(given.value)
        if ":" in wish:
            won = Candidate(Layer.CONFIG, wish, source=given.source)
            return attrs.evolve(base, chain=(won, *base.chain))
        offers = [e for e in (*self._overrides.get(key, ()), *self._components.get(key, ())) if e.problem is None]
        for entry in offers:
            if normalise(entry.origin.distribution) == normalise(wish):
                won = Candidate(Layer.CONFIG, entry.target, entry.origin, given.source, entry)
                return self._with_chosen(base, won, offers)
        known = sorted({entry.origin.distribution for entry in offers})
        near = nearest(wish, known)
        problem = OverrideError(
            component=base.name,
            message=f"{given.source} names '{wish}', and no installed distribution of that name offers '{base.name}'",
            hint=f"did you mean '{near}'?" if near else f"these do: {enumerate_names(known)}" if known else None,
        )
        return attrs.evolve(base, problems=(problem,))

    def _with_chosen(self, base: Choice, won: Candidate, offers: Iterable[Entry]) -> Choice:
        """
        The choice in which the configuration picked one of those that are installed.
        """
        original = base.chain[-1]
        if won.target == original.target and won.origin == original.origin:
            chain: tuple[Candidate, ...] = (won,)
        else:
            chain = (won, original)
        known = {(candidate.target, candidate.origin) for candidate in chain}
        known |= {(old.candidate.target, old.candidate.origin) for old in base.beaten}
        losers = tuple(
            Beaten(_candidate(Layer.OVERRIDE, entry), won.rule)
            for entry in offers
            if (entry.target, entry.origin) not in known
        )
        return attrs.evolve(base, chain=chain, beaten=base.beaten + losers)

    def _followed(self, key: str, choice: Choice, asked: tuple[str, ...]) -> Choice:
        """
        The choice after asking who took the place of the winner under the winner's own name.
        """
        winner = choice.chain[0]
        if len(choice.chain) < 2:
            return choice
        for other, entries in self._components.items():
            if other == key or not any(entry.target == winner.target for entry in entries):
                continue
            further = self._choose(other, (*asked, key))
            if further.problems:
                return attrs.evolve(choice, problems=further.problems)
            taken = tuple(candidate for candidate in further.chain if candidate.target != winner.target)
            return attrs.evolve(choice, chain=taken + choice.chain)
        return choice

    def _patched(self, key: str, choice: Choice) -> Choice:
        if choice.problems and not choice.chain:
            return choice
        patch = self._patch_for(key, choice.chain)
        chain = choice.chain
        seen: list[type] = []
        while patch is not None:
            if patch in seen:
                drawn = " -> ".join(cls.__qualname__ for cls in (*seen, patch))
                problem = OverrideError(component=choice.name, message=f"patches lead in a circle: {drawn}")
                return attrs.evolve(choice, problems=(problem,))
            seen.append(patch)
            chain = (Candidate(Layer.PATCH, class_path(patch), source="code", cls=patch), *chain)
            patch = self._patches.get(patch)
        return attrs.evolve(choice, chain=chain, problems=() if seen else choice.problems)

    def _patch_for(self, key: str, chain: tuple[Candidate, ...]) -> type | None:
        for what, by in self._patches.items():
            if isinstance(what, str) and normalise(what) == key:
                return by
        for candidate in reversed(chain):
            for what, by in self._patches.items():
                if isinstance(what, type) and what is not by and _is_class(candidate, what):
                    return by
        for what, by in self._patches.items():
            if isinstance(what, type) and is_abstract(what) and self.published_for(what) == self.name_of(key):
                return by
        return None

    def _conflict(self, name: str, entries: Iterable[Entry], verb: str) -> ConflictError:
        offers = sorted(entries, key=lambda entry: (entry.origin.distribution, entry.target))
        names = [entry.origin.distribution for entry in offers]
        places = ", ".join(f"{shown_origin(e.origin)} with {e.target}, in {e.origin.location}" for e in offers)
        lines = " or ".join(f'{_toml_key(name)} = "{distribution}"' for distribution in names)
        return ConflictError(
            component=name,
            message=f"distributions {enumerate_names(names)} both {verb} '{name}' ({places})"
            if len(names) == 2
            else f"distributions {enumerate_names(names)} all {verb} '{name}' ({places})",
            hint=f"choose one in conductor.toml under [overrides]: {lines}; or uninstall the others",
            candidates=tuple(names),
        )

    def unknown(self, name: str, *, wanted_by: str | None = None) -> UnknownComponentError:
        """
        The error for a name that no component has.

        Args:
            name: the name.
            wanted_by: who asked for it, as the user would look for it.
        """
        near = nearest(name, self.names())
        by = f", wanted by {wanted_by}" if wanted_by else ""
        return UnknownComponentError(
            name=name,
            message=f"there is no component '{name}'{by}",
            hint=f"did you mean '{near}'?" if near else "'conductor list' shows what is installed",
        )


def _implements(choice: Choice, contract: type) -> bool:
    """
    Whether what takes a name implements a contract; asked only of names that the contract's own package,
    which is imported already, publishes.
    """
    if not choice.chain:
        return False
    winner, original = choice.chain[0], choice.chain[-1]
    module = sys.modules.get(original.target.partition(":")[0])
    try:
        found = load_candidate(original if module is not None or winner is original else winner)
    except BaseException:  # told where the component itself is asked for
        return False
    return isinstance(found, type) and contract in found.__mro__


def imported_class(target: str) -> type | None:
    """
    The class that a target names if its module is imported already; nothing is imported.
    """
    module_name, _, path = target.partition(":")
    module = sys.modules.get(module_name)
    found: object = None if module is None else vars(module).get(path.partition(".")[0])
    for part in path.split(".")[1:]:
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


def load_candidate(candidate: Candidate) -> object:
    """
    What a candidate names, imported; whatever the import raises passes through.
    """
    if candidate.cls is not None:
        return candidate.cls
    entry = candidate.entry or Entry("conductor.components", "named", candidate.target, Origin("", "", ""))
    return entry.load()


def _is_class(candidate: Candidate, cls: type) -> bool:
    return candidate.cls is cls if candidate.cls is not None else names_class(candidate.target, cls)


def _candidate(layer: Layer, entry: Entry) -> Candidate:
    return Candidate(layer, entry.target, entry.origin, entry.group, entry)


def _entry_error(entry: Entry) -> EntryError:
    return EntryError(
        component=entry.name,
        distribution=distribution_of(entry.origin),
        message=f"its entry point in '{entry.group}' cannot be used: {entry.problem}",
        hint=f"mend or uninstall '{entry.origin.distribution}', or add '{entry.name}' to exclude",
    )


def _unusable(entries: Iterable[Entry]) -> tuple[Beaten, ...]:
    return tuple(_broken(entries))


def _broken(entries: Iterable[Entry]) -> Iterator[Beaten]:
    for entry in entries:
        if entry.problem is not None:
            layer = Layer.OVERRIDE if entry.group == "conductor.overrides" else Layer.COMPONENT
            yield Beaten(_candidate(layer, entry), f"broken: {entry.problem}")


def _toml_key(name: str) -> str:
    return f'"{name}"' if "." in name else name
