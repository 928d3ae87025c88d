"""
Where setting values come from: sources, each of which gives a tree with the shape of ``conductor.toml``.

Conductor has its own few sources, since every single value must keep where it came from, and errors must name that
place without showing what was there.  (``typed-settings`` has sources like these, but it structures whole classes at
once, and shows a secret that fails its conversion.)

A tree is nested tables whose leaves are :class:`Given` values.  A setting of a component is always one leaf, whatever
its shape; if several sources gave parts of one table, its value is a table of such leaves again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias, Union

import attrs

from ._text import dotted, enumerate_names, nearest, normalise, shorten
from ._toml import TextError, parse_value, read_toml
from .exceptions import SettingsFileError, UsageError

PREFIX = "CONDUCTOR_"
FILE_NAMES = ("conductor.toml", "pyproject.toml")
_LONGEST_SOURCE = 1000
_KEY_PART = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s."'=]+))\s*""")


@attrs.frozen
class Given:
    """
    One value, as one source gave it.

    Attributes:
        value: as the source had it; a table that several sources gave parts of holds a :class:`Given` for each part.
        source: where it came from, as the user would look for it.
        text: whether it is still to be read for the type that it is wanted as.
        trusted: whether it may hold a secret; false for the command line, which everybody on the machine can see.
        folded: whether the names on the way to it have lost their case, as those of environment variables.
    """

    value: Any = attrs.field(repr=False)
    source: str
    text: bool = False
    trusted: bool = True
    folded: bool = False


Tree: TypeAlias = Mapping[str, Union[Given, "Tree"]]


class Twice:
    """
    The value of a setting that one source gives twice, so that nobody can tell which one is meant.
    """


class SettingsSource(Protocol):
    """
    Something that gives settings.

    .. versionadded:: 0.1
    """

    def read(self) -> Tree:
        """
        What it gives, in the shape of ``conductor.toml``.
        """
        ...


@attrs.frozen
class MappingSource:
    """
    Settings given in code, in the shape of ``conductor.toml``.

    Attributes:
        config: the settings.
        name: what errors call it.

    .. versionadded:: 0.1
    """

    config: Mapping[str, Any] = attrs.field(repr=False)
    name: str = "config"

    def read(self) -> Tree:
        """
        What it gives, in the shape of ``conductor.toml``.
        """
        return _grow_all(Given(self.config, f"{self.name}:"))


@attrs.frozen
class TomlSource:
    """
    Settings in a file: ``conductor.toml``, or the table ``[tool.conductor]`` of a ``pyproject.toml``.

    Attributes:
        path: the file; without one, the first of the two that there is in ``directory``, or nothing.
        directory: where to look.
        profile: name of a table ``[profiles.NAME]`` of the same shape, which is laid over the rest.

    .. versionadded:: 0.1
    """

    path: Path | None = None
    directory: Path = Path()
    profile: str | None = None

    def read(self) -> Tree:
        """
        What it gives, in the shape of ``conductor.toml``.

        Raises:
            SettingsFileError: the file cannot be read, or has no such profile.
        """
        path = self.path or self.find()
        if path is None:
            if self.profile is None:
                return {}
            raise SettingsFileError(
                path=str(self.directory / FILE_NAMES[0]),
                reason=f"there is no such file, and so no profile '{self.profile}'",
            )
        given = self._application(path, read_toml(path))
        table = dict(given.value)
        profiles = table.pop("profiles", {})
        tree = _grow_all(attrs.evolve(given, value=table))
        if self.profile is None:
            return tree
        return merge(tree, self._profile(str(path), given.source, profiles))

    def find(self) -> Path | None:
        """
        The file that there is in the directory, if any; one that cannot be read counts.
        """
        return next((self.directory / name for name in FILE_NAMES if os.path.lexists(self.directory / name)), None)

    def _application(self, path: Path, document: Mapping[str, Any]) -> Given:
        """
        The part of a document that is about Conductor.
        """
        if path.name != "pyproject.toml":
            return Given(document, f"{path}:")
        tools = document.get("tool", {})
        table = tools.get("conductor", {}) if isinstance(tools, Mapping) else {}
        if not isinstance(table, Mapping):
            raise SettingsFileError(path=str(path), reason="'tool.conductor' is not a table")
        return Given(table, f"{path}: tool.conductor")

    def _profile(self, path: str, source: str, profiles: Any) -> Tree:
        name = self.profile or ""
        table = profiles.get(name) if isinstance(profiles, Mapping) else None
        if not isinstance(table, Mapping):
            known = sorted(profiles) if isinstance(profiles, Mapping) else []
            near = nearest(name, known)
            listed = f"it has {enumerate_names(known)}" if known else "it has none"
            guess = f"\nhint: did you mean '{near}'?" if near else ""
            raise SettingsFileError(path=path, reason=f"there is no profile '{name}' in it; {listed}{guess}")
        return _grow_all(Given(table, _below(_below(source, "profiles"), name)))


@attrs.frozen
class EnvironSource:
    """
    Settings of components in environment variables: ``CONDUCTOR_DB__URL``, ``CONDUCTOR_DB__POOL__SIZE``.

    Case does not count, and ``_`` stands for ``-`` and ``.`` as well.  ``CONDUCTOR_LIMITS__STOP`` and its like set the
    limits of the application.  Names without ``__`` are somebody else's.

    Attributes:
        environ: the variables.

    .. versionadded:: 0.1
    """

    environ: Mapping[str, str] = attrs.field(repr=False)

    def read(self) -> Tree:
        """
        What it gives, in the shape of ``conductor.toml``.
        """
        paths: dict[tuple[str, ...], tuple[str, ...]] = {}
        found: dict[tuple[str, ...], Given] = {}
        for name in sorted(self.environ):
            words = name.removeprefix(PREFIX).split("__")
            if not name.startswith(PREFIX) or len(words) < 2:
                continue
            path = (normalise(words[0]), *(word.lower() for word in words[1:]))
            path = path if path[0] == "limits" else ("components", *path)
            same = tuple(map(normalise, path))
            given = Given(self.environ[name], f"environment: {name}", text=True, folded=True)
            if same in found:
                given = attrs.evolve(given, value=Twice(), source=_both(found[same], given), text=False)
            found[same] = given
            paths.setdefault(same, path)
        return _merge_all([_branch(paths[same], given) for same, given in found.items()])


@attrs.frozen
class AssignmentSource:
    """
    Settings on the command line: ``db.url=sqlite://``, ``limits.stop=20``, ``strict=true``.

    The first dot ends the component's name, unless the name is quoted as in TOML: ``"a.b".url=…``.

    Attributes:
        assignments: what was written.
        option: the option that it was written with, for errors.
        under: the table that all of it goes to; then everything up to the equals sign is one name.

    Raises:
        UsageError: something is not an assignment.

    .. versionadded:: 0.1
    """

    assignments: Sequence[str] = attrs.field(repr=False)
    option: str = "--set"
    under: str | None = None
    _pairs: tuple[tuple[tuple[str, ...], str], ...] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        pairs = tuple(map(self._split, self.assignments))
        object.__setattr__(self, "_pairs", pairs)  # as attrs advises for frozen classes

    @classmethod
    def overriding(cls, assignments: Sequence[str]) -> Self:
        """
        What ``--override NAME=DISTRIBUTION`` and ``--override NAME=package.module:Class`` give.
        """
        return cls(assignments, option="--override", under="overrides")

    def read(self) -> Tree:
        """
        What it gives, in the shape of ``conductor.toml``.
        """
        tree: Tree = {}
        for names, value in self._pairs:
            source = f"command line: {self.option} {dotted(names)}"
            given = Given(value, source, text=True, trusted=False)
            tree = merge(tree, _branch(self._path(names), given))
        return tree

    def _path(self, names: tuple[str, ...]) -> tuple[str, ...]:
        if self.under:
            return self.under, *names
        match names:
            case ("overrides", first, *rest):
                return "overrides", ".".join((first, *rest))
            case (_,) | ("limits" | "components", *_):
                return names
        return "components", *names

    def _split(self, assignment: str) -> tuple[tuple[str, ...], str]:
        if self.under:
            name, equals, value = assignment.partition("=")
            if name.strip() and equals:
                return (name.strip(),), value.strip()
            raise self._unclear(name)
        names: list[str] = []
        position = 0
        while match := _KEY_PART.match(assignment, position):
            names.append(next(group for group in match.groups() if group is not None))
            position = match.end() + 1
            sign = assignment[match.end() : position]
            if sign == "=":
                return tuple(names), assignment[position:]
            if sign != ".":
                break
        raise self._unclear(dotted(names))

    def _unclear(self, start: str) -> UsageError:
        form = "NAME=DISTRIBUTION or NAME=package.module:Class" if self.under else "COMPONENT.SETTING=VALUE"
        return UsageError(f"what begins with '{start}' is not an assignment\nhint: write {self.option} {form}")


def parts(given: Given) -> dict[Any, Given] | None:
    """
    The entries of a table, each as a value of its own; None if it is no table.
    """
    value = given.value
    if given.text and value.lstrip().startswith("{"):
        try:
            value = parse_value(value)
        except TextError:
            return None
    if not isinstance(value, Mapping):
        return None
    return {
        key: child
        if isinstance(child, Given)
        else Given(child, _below(given.source, str(key)), trusted=given.trusted, folded=given.folded)
        for key, child in value.items()
    }


def plain(value: Any) -> Any:
    """
    The value without any note of where its parts came from.
    """
    if isinstance(value, Given):
        return plain(value.value)
    if isinstance(value, Mapping) and any(isinstance(child, Given) for child in value.values()):
        return {key: plain(child) for key, child in value.items()}
    return value


def merge(lower: Tree, upper: Tree) -> Tree:
    """
    Both trees in one: tables are merged, everything else in the upper one replaces what is in the lower one.

    Names that are equal but for case and ``-``, ``_`` and ``.`` are one name, in the spelling that came first, unless
    one source itself tells them apart.
    """
    merged = dict(lower)
    spellings: dict[str, str] | None = None
    for key, new in upper.items():
        found: str | None = key
        if key not in merged:
            if spellings is None:
                spellings = {normalise(known): known for known in lower if known not in upper}
            found = spellings.pop(normalise(key), None)
        if found is None:
            merged[key] = new
        else:
            merged[found] = _lay_over(merged[found], new)
    return merged


def _merge_all(trees: Sequence[Tree]) -> Tree:
    """
    All trees in one, by halves: one after another would copy what is there already for each of thousands.
    """
    if len(trees) < 2:
        return trees[0] if trees else {}
    half = len(trees) // 2
    return merge(_merge_all(trees[:half]), _merge_all(trees[half:]))


def _lay_over(old: Given | Tree, new: Given | Tree) -> Given | Tree:
    if isinstance(old, Given) and isinstance(new, Given):
        return _merge_values(old, new)
    if isinstance(old, Given) or isinstance(new, Given):
        return new
    return merge(old, new)


def _merge_values(old: Given, new: Given) -> Given:
    """
    Merge two tables that are one setting; a text counts as a table only if the other one certainly is one.
    """
    if not (isinstance(old.value, Mapping) or isinstance(new.value, Mapping)):
        return new
    merged, upper = parts(old), parts(new)
    if merged is None or upper is None:
        return new
    spellings = {normalise(str(key)): key for key in merged} if new.folded else {}
    for key, child in upper.items():
        if key not in merged and child.folded:
            key = spellings.get(normalise(str(key)), key)
        merged[key] = _merge_values(merged[key], child) if key in merged else child
    return Given(merged, _both(old, new), trusted=old.trusted and new.trusted, folded=old.folded and new.folded)


def _both(old: Given, new: Given) -> str:
    if len(old.source) > _LONGEST_SOURCE:
        return old.source if old.source.endswith("…") else f"{old.source}, …"
    return f"{old.source}, {new.source}"


def _branch(path: tuple[str, ...], given: Given) -> Tree:
    """
    A tree with one leaf, at the end of a path.
    """
    height = next((index for index in range(1, len(path)) if not _is_table(path[:index])), len(path))
    nested = given
    for key in reversed(path[height:]):
        nested = attrs.evolve(given, value={key: nested}, text=False)
    node = _grow(nested, path[:height])
    for key in reversed(path[:height]):
        node = {key: node}
    assert not isinstance(node, Given)
    return node


def _grow_all(given: Given) -> Tree:
    node = _grow(given, ())
    assert not isinstance(node, Given)
    return node


def _grow(given: Given, path: tuple[str, ...]) -> Given | Tree:
    """
    A tree out of one table: a leaf for each setting, and for whatever is no table where there should be one.
    """
    table = parts(given) if _is_table(path) else None
    if table is None:
        return given
    return {str(key): _grow(child, (*path, str(key))) for key, child in table.items()}


def _is_table(path: tuple[str, ...]) -> bool:
    """
    Whether what is at a path is a table of Conductor's own, and not one setting.
    """
    match path:
        case () | ("limits" | "overrides" | "components",) | ("components", _):
            return True
        case ("components", _, "bind" | "limits"):
            return True
    return False


def _below(source: str, key: str) -> str:
    """
    The place of an entry in the table that is at a place.
    """
    return f"{source}{' ' if source.endswith(':') else '.'}{dotted([shorten(key)])}"
