"""
Who wins each name, decided on metadata alone: no choice imports anything.

Precedence, highest first: a patch in code, the application's configuration, an installed override, the
installed component.  Within one layer nothing decides but the application: two candidates are a conflict.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs

from ._catalogue import Catalogue, wrong_name
from ._choice import Beaten as Beaten
from ._choice import Candidate as Candidate
from ._choice import Choice as Choice
from ._choice import Layer as Layer
from ._choice import Request as Request
from ._choice import (
    candidate_of,
    imported_class,
    is_class,
    shown_origin,
    target_of,
)
from ._choice import distribution_of as distribution_of
from ._choice import load_candidate as load_candidate
from ._declaration import class_path, is_abstract
from ._discovery import Entry, is_valid_name, normalise
from ._text import dotted, enumerate_names, nearest
from .exceptions import ConflictError, EntryError, OverrideError
from .lifecycle import StopRequested

Asking: TypeAlias = Generator[str, Any, Choice]

_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


@attrs.define
class Selection(Catalogue):
    """
    The choices for all names, each made when it is first asked for.
    """

    _superseded: dict[str, set[tuple[str, str]]] = attrs.field(factory=dict, init=False)
    _patches: Mapping[type | str, type] = attrs.field(factory=dict, init=False)
    _default_names: dict[type, str] = attrs.field(factory=dict, init=False)
    _given_names: dict[type, set[str]] = attrs.field(factory=dict, init=False)
    _beside: dict[type, tuple[str, ...]] = attrs.field(factory=dict, init=False)
    _choices: dict[str, Choice] = attrs.field(factory=dict, init=False)
    _unpatched: dict[str, Choice] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._patches = dict(self.request.patches)
        for entry in self.discovery.of("conductor.supersedes"):
            if self.is_allowed(entry.origin) and entry.problem is None:
                pair = (normalise(entry.origin.distribution), normalise(entry.target))
                self._superseded.setdefault(entry.key, set()).add(pair)
        for cls, name in self.request.added:
            self.name_class(cls, name)

    # -- the names of classes ------------------------------------------------------------------------------

    def published_names(self, cls: type) -> tuple[str, ...]:
        """
        The names of the components published for exactly this class: in code by default, installed, or else in
        code under given names.
        """
        if cls in self._default_names:
            return (self._default_names[cls],)
        installed = tuple(self.name_of(key) for key in self._publications.exact(cls))
        return installed or tuple(sorted(self._given_names.get(cls, ())))

    def published_for(self, cls: type) -> str | None:
        """
        The name of the component published for exactly this class, if there is one and only one.

        An abstract contract is published by what its own package publishes as its implementation.
        """
        names = self.published_names(cls) or self.published_beside(cls)
        return names[0] if len(names) == 1 else None

    def published_beside(self, cls: type) -> tuple[str, ...]:
        """
        The names of the components that the package of an abstract contract publishes as its implementations.
        """
        if not is_abstract(cls):
            return ()
        if cls not in self._beside:
            verdicts = {key: self._implements(key, cls) for key in self._publications.beside(cls)}
            keys = [key for key, verdict in verdicts.items() if verdict]
            keys = keys or [key for key, verdict in verdicts.items() if verdict is None]
            self._beside[cls] = tuple(self.name_of(key) for key in keys)
        return self._beside[cls]

    def is_patched(self, cls: type) -> bool:
        """
        Whether the program patches a class.
        """
        return cls in self._patches

    def name_class(self, cls: type, name: str | None = None) -> str:
        """
        The name of a class that is added: that under which it is published, else one of its own.

        Args:
            cls: the class.
            name: the name to give it.
        """
        if name is not None:
            self._given_names.setdefault(cls, set()).add(self.register(cls, name))
            return name
        known = self._default_names.get(cls) or self._published(cls)
        return known or self._name_by_default(cls, strict=True)

    def name_needed(self, cls: type) -> str:
        """
        The name of a class that a field needs and nothing publishes; its full one if its own is taken.
        """
        known = self._default_names.get(cls) or self._published(cls)
        return known or self._name_by_default(cls, strict=False)

    def _published(self, cls: type) -> str | None:
        names = tuple(self.name_of(key) for key in self._publications.exact(cls)) or self.published_beside(cls)
        if len(names) > 1 and not is_abstract(cls):
            message = f"'{class_path(cls)}' is published as {enumerate_names(names)}"
            hint = "name one of them as a root, or bind it to a field"
            self.problems.append(ConflictError(component=names[0], message=message, hint=hint, candidates=names))
            return names[0]
        return names[0] if len(names) == 1 else None

    def _name_by_default(self, cls: type, *, strict: bool) -> str:
        name = cls.__name__.lstrip("_") or cls.__name__
        taken_in_code = normalise(name) in self._code
        if self.has(name) and not (strict and taken_in_code):
            name = f"{cls.__module__}.{cls.__qualname__}".replace(".<locals>", "").lstrip("_")
        self._default_names[cls] = self.register(cls, name)
        return name

    def register(self, cls: type, name: str) -> str:
        """
        Give a class of the program's a name; what is wrong with the name is noted.
        """
        for choices in (self._choices, self._unpatched):
            choices.pop(normalise(name), None)
        return super().register(cls, name)

    def _implements(self, key: str, contract: type) -> bool | None:
        """
        Whether a component implements a contract of its own package, which is imported already.

        None: it does not import; that is told when the component itself is asked for.
        """
        for entry in self._components[key]:
            found: object = imported_class(target_of(entry))
            if found is None and entry.problem is None and not self.is_excluded(key):
                chain = self._without_patch(key).chain
                try:
                    found = load_candidate(chain[0] if chain else candidate_of(entry))
                except StopRequested:
                    raise
                except BaseException:
                    return None
            if isinstance(found, type) and contract in found.__mro__:
                return True
        return False

    # -- the choices -----------------------------------------------------------------------------------------

    def choice(self, name: str) -> Choice:
        """
        Who takes a name.
        """
        key = normalise(name)
        if key not in self._choices:
            self._choices[key] = self._patched(key, self._without_patch(key))
        return self._choices[key]

    def _without_patch(self, key: str) -> Choice:
        """
        Who takes a name if the program patches nothing.

        Choices that lead to others give them up one by one, so that a chain of any length needs no deep stack.
        """
        asked: dict[str, Asking] = {key: self._choose(key)}
        answer: Choice | None = self._unpatched.get(key)
        while asked and key not in self._unpatched:
            name, asking = next(reversed(asked.items()))
            try:
                other = asking.send(answer)
            except StopIteration as done:
                del asked[name]
                answer = self._unpatched[name] = done.value
                continue
            answer = self._unpatched.get(other)
            if other in asked:
                names = list(asked)
                answer = Choice(self.name_of(other), problems=(self._circle(names[names.index(other) :]),))
            elif answer is None:
                asked[other] = self._choose(other)
        return self._unpatched[key]

    def _circle(self, keys: list[str]) -> OverrideError:
        first = keys.index(min(keys))
        names = [self.name_of(key) for key in (*keys[first:], *keys[:first], keys[first])]
        return OverrideError(component=names[0], message=f"overrides lead in a circle: {' -> '.join(names)}")

    def _choose(self, key: str) -> Asking:
        """
        Who takes a name; gives up each other name whose choice is needed for it, and is sent that.
        """
        base = yield from self._original(key)
        if base.problems:
            return base
        installed = self._installed_override(key, base)
        if installed.problems and key not in self.settings.overrides:
            return installed
        chosen = self._configured(key, attrs.evolve(installed, problems=()))
        if chosen.problems:
            return chosen
        return (yield from self._followed(key, chosen))

    def _original(self, key: str) -> Asking:
        """
        The component that has the name, before anybody takes its place.
        """
        name = self.name_of(key)
        table = self.settings.components.get(key)
        if table is not None and table.component:
            return (yield from self._instance(key, table.component))
        if key in self._code:
            cls = self._code[key][1]
            return Choice(name, (Candidate(Layer.COMPONENT, class_path(cls), source="code", cls=cls),))
        entries = self._components.get(key, [])
        sound = [entry for entry in entries if entry.problem is None]
        if len(sound) == 1:
            return Choice(name, (candidate_of(sound[0]),), tuple(_broken(entries)))
        if sound:
            return self._original_of_several(key, name, sound)
        if entries:
            return Choice(name, problems=tuple(_entry_error(entry) for entry in entries))
        return Choice(name, problems=(self.unknown(name),))

    def _original_of_several(self, key: str, name: str, entries: list[Entry]) -> Choice:
        """
        The original that the configuration chooses; none at all if it chooses what takes the place of any of them.
        """
        given = self.settings.overrides.get(key)
        wish = str(given.value) if given is not None else ""
        if given is not None and (":" in wish or _of_distribution(wish, self._overrides.get(key, ()))):
            return Choice(name, beaten=tuple(Beaten(candidate_of(e), f"chosen by {given.source}") for e in entries))
        chosen = _of_distribution(wish, entries)
        if chosen is not None:
            return Choice(name, (candidate_of(chosen),))
        return Choice(name, problems=(self._conflict(name, entries, "offer the component"),))

    def _instance(self, key: str, of: str) -> Asking:
        name = self.name_of(key)
        table = self.settings.components[key].name
        if key in self._components or key in self._code:
            message = f"[components.{dotted([table])}] declares an instance of '{of}', but '{name}' exists already"
            return Choice(name, problems=(ConflictError(component=name, message=message, hint="choose another name"),))
        if not is_valid_name(name):
            return Choice(name, problems=(wrong_name(name),))
        if not self.has(of):
            wanted_by = f'[components.{dotted([table])}] component = "{of}"'
            return Choice(name, problems=(self.unknown(of, wanted_by=wanted_by),))
        chosen: Choice = yield normalise(of)
        return attrs.evolve(chosen, name=name, instance_of=self.name_of(of))

    def _installed_override(self, key: str, base: Choice) -> Choice:
        entries = self._overrides.get(key, [])
        if not self.settings.autoload:
            ignored = tuple(Beaten(candidate_of(entry), "autoload is off, and nobody names it") for entry in entries)
            return attrs.evolve(base, beaten=base.beaten + ignored)
        broken = tuple(_broken(entries))
        if broken:  # never fall back to the original in silence
            errors = tuple(_entry_error(entry) for entry in entries if entry.problem is not None)
            return attrs.evolve(base, problems=errors, beaten=base.beaten + broken)
        names = {normalise(entry.origin.distribution): entry for entry in entries}
        gone = _beaten_by(self._superseded.get(key, set()), names)
        left = [entry for name, entry in names.items() if name not in gone]
        losers = tuple(
            Beaten(candidate_of(names[old]), f"superseded by '{names[new].origin.distribution}'")
            for old, new in sorted(gone.items())
        )
        if len(left) > 1:
            problem = self._conflict(base.name, left, "override")
            return attrs.evolve(base, problems=(problem,), beaten=base.beaten + losers)
        won = tuple(map(candidate_of, left))
        return attrs.evolve(base, chain=won + base.chain, beaten=base.beaten + losers)

    def _configured(self, key: str, base: Choice) -> Choice:
        given = self.settings.overrides.get(key)
        if given is None:
            return base
        wish = str(given.value)
        if ":" in wish:
            if not _TARGET.fullmatch(wish):
                message = f"{given.source} names '{wish}', which is not of the form 'module:Class'"
                return attrs.evolve(base, problems=(OverrideError(component=base.name, message=message),))
            won = Candidate(Layer.CONFIG, wish, source=given.source)
            return attrs.evolve(base, chain=(won, *base.chain))
        offers = (*self._overrides.get(key, ()), *self._components.get(key, ()))
        entry = _of_distribution(wish, offers)
        if entry is not None and entry.problem is not None:
            return attrs.evolve(base, problems=(_entry_error(entry),))
        if entry is not None:
            won = Candidate(Layer.CONFIG, target_of(entry), entry.origin, given.source, entry)
            return _with_chosen(base, won, offers)
        known = sorted({entry.origin.distribution for entry in offers})
        near = nearest(wish, known)
        problem = OverrideError(
            component=base.name,
            message=f"{given.source} names '{wish}', and no installed distribution of that name offers '{base.name}'",
            hint=f"did you mean '{near}'?" if near else f"these do: {enumerate_names(known)}" if known else None,
        )
        return attrs.evolve(base, problems=(problem,))

    def _followed(self, key: str, choice: Choice) -> Asking:
        """
        The choice after asking who took the place of the winner under the winner's own name.
        """
        target = choice.chain[0].target
        for other in self._publications.of_target(target) if len(choice.chain) > 1 else ():
            if other != key:
                further: Choice = yield other
                if further.problems:
                    return attrs.evolve(choice, problems=further.problems)
                taken = tuple(candidate for candidate in further.chain if candidate.target != target)
                return attrs.evolve(choice, chain=taken + choice.chain)
        return choice

    def _patched(self, key: str, choice: Choice) -> Choice:
        """
        The choice after the program's patches, which stand in for a name that nobody else could be chosen for, too.
        """
        chain = choice.chain or tuple(map(candidate_of, self._components.get(key, ())))
        patches = self._patches_for(key, choice, chain)
        if len(patches) > 1:
            names = tuple(class_path(patch) for patch in patches)
            message = f"{enumerate_names(names)} are both patched in for '{choice.name}'"
            conflict = ConflictError(component=choice.name, message=message, hint="keep one patch()", candidates=names)
            return attrs.evolve(choice, problems=(conflict,))
        if not patches:
            return choice
        seen = [patches[0]]
        while (further := self._patches.get(seen[-1], seen[-1])) is not seen[-1]:
            if further in seen:
                drawn = " -> ".join(cls.__qualname__ for cls in (*seen, further))
                problem = OverrideError(component=choice.name, message=f"patches lead in a circle: {drawn}")
                return attrs.evolve(choice, problems=(problem,))
            seen.append(further)
        won = [Candidate(Layer.PATCH, class_path(patch), source="code", cls=patch) for patch in reversed(seen)]
        return attrs.evolve(choice, chain=(*won, *choice.chain), problems=())

    def _patches_for(self, key: str, choice: Choice, chain: tuple[Candidate, ...]) -> list[type]:
        """
        The patches of a name, the closest ones: by its name, by that of what it is an instance of, by a class of its
        chain, or by a contract that it is published for.
        """
        by_name = {normalise(what): by for what, by in self._patches.items() if isinstance(what, str)}
        for name in (key, normalise(choice.instance_of or key)):
            if name in by_name:
                return [by_name[name]]
        by_class = {what: by for what, by in self._patches.items() if isinstance(what, type) and what is not by}
        closest = [by for what, by in by_class.items() if any(is_class(candidate, what) for candidate in chain)]
        contracts = [what for what in by_class if not closest and is_abstract(what)]
        closest += [by_class[what] for what in contracts if self.published_for(what) == self.name_of(key)]
        return list(dict.fromkeys(closest))

    def _conflict(self, name: str, entries: Iterable[Entry], verb: str) -> ConflictError:
        offers = sorted(entries, key=lambda entry: (entry.origin.distribution, entry.target))
        names = [entry.origin.distribution for entry in offers]
        places = ", ".join(f"{shown_origin(e.origin)} with {target_of(e)}, in {e.origin.location}" for e in offers)
        lines = " or ".join(f'{dotted([name])} = "{distribution}"' for distribution in names)
        both = "both" if len(names) == 2 else "all"
        return ConflictError(
            component=name,
            message=f"distributions {enumerate_names(names)} {both} {verb} '{name}' ({places})",
            hint=f"choose one in conductor.toml under [overrides]: {lines}; or uninstall the others",
            candidates=tuple(names),
        )


def _of_distribution(name: str, entries: Iterable[Entry]) -> Entry | None:
    """
    The entry of a distribution.
    """
    return next((entry for entry in entries if normalise(entry.origin.distribution) == normalise(name)), None)


def _with_chosen(base: Choice, won: Candidate, offers: Iterable[Entry]) -> Choice:
    """
    The choice in which the configuration picked one of those that are installed.
    """
    chain = (won, *(original for original in base.chain[-1:] if original.entry is not won.entry))
    known = [candidate.entry for candidate in chain] + [old.candidate.entry for old in base.beaten]
    losers = tuple(
        Beaten(candidate_of(entry), won.rule) for entry in offers if not any(entry is other for other in known)
    )
    return attrs.evolve(base, chain=chain, beaten=base.beaten + losers)


def _beaten_by(pairs: Iterable[tuple[str, str]], names: Iterable[str]) -> dict[str, str]:
    """
    Which overrides are superseded, each with one that supersedes it; those that supersede each other are not.
    """
    known = set(names)
    beats = {(new, old) for new, old in pairs if new in known and old in known}
    while more := {(a, d) for (a, b), (c, d) in itertools.product(beats, beats) if b == c} - beats:
        beats |= more
    return {old: new for new, old in sorted(beats, reverse=True) if (old, new) not in beats}


def _entry_error(entry: Entry) -> EntryError:
    return EntryError(
        component=entry.name,
        distribution=distribution_of(entry.origin),
        message=f"its entry point in '{entry.group}' cannot be used: {entry.problem}",
        hint=f"mend or uninstall '{entry.origin.distribution}', or add '{entry.name}' to exclude",
    )


def _broken(entries: Iterable[Entry]) -> Iterator[Beaten]:
    for entry in entries:
        if entry.problem is not None:
            yield Beaten(candidate_of(entry), f"broken: {entry.problem}")
