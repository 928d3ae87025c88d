"""
What all sources say together: the application's own settings, and one table for each component.

The sources are laid over each other in the order in which they are given.  Nothing is known about any component
here: the values of its settings are kept as they were given, until its class is loaded and says what they must be.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from ._sources import Given, SettingsSource, Tree, Twice, merge, plain
from ._text import MASK, is_secret_name, nearest, normalise, shorten
from ._toml import TextError, parse_value, show
from .exceptions import Problem, SettingError, UnknownSettingError

STOP = 25.0
HEALTH = 5.0
BLOCKED = 1.0
SHOWN = 80
MOST = 20
"""
Unknown keys of one table that are reported one by one.
"""
_TOP = ("roots", "exclude", "strict", "autoload", "allow", "deny", "overrides", "components", "limits")
_LIMITS = ("setup", "shutdown", "stop", "health", "blocked")


@attrs.frozen
class SettingValue:
    """
    One effective setting.

    Attributes:
        name: of the field.
        alias: what the constructor calls it.
        value: the structured value, before the field's own converter; meaningless if ``given`` is false.
        given: whether a source set it; if not, the class's own default applies at construction.
        source: where it came from, as the user would look for it; ``default`` if nothing set it.
        type: the annotation, as text.
        shown: the value as it may be shown; secrets and passwords masked.
        secret: whether it is a secret.
        help: one sentence about it.
    """

    name: str
    alias: str
    value: Any = attrs.field(repr=False)
    given: bool
    source: str
    type: str
    shown: str
    secret: bool = False
    help: str = ""


@attrs.frozen
class Limits:
    """
    How long a component may take, in seconds.
    """

    setup: float = 30.0
    shutdown: float = 10.0


@attrs.frozen
class ComponentSettings:
    """
    What is set for one component: a ``[components.NAME]`` table.

    Attributes:
        name: as written.
        component: the component that this is a further instance of, if it is one.
        bind: name of the instance that a field gets, by the field's name.
        limits: seconds for ``setup`` and ``shutdown``, as far as they are given.
        after: names of components that are set up before it.
        values: everything else, by name as written.
        sources: where the first four came from: ``component``, ``bind.FIELD``, ``limits.KEY``, ``after``.
    """

    name: str
    component: str | None = None
    bind: Mapping[str, str] = attrs.field(factory=dict)
    limits: Mapping[str, float] = attrs.field(factory=dict)
    after: tuple[str, ...] = ()
    values: Mapping[str, Given] = attrs.field(factory=dict)
    sources: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Settings:
    """
    What all sources say together.

    Attributes:
        roots: names of the components to start; None if nobody named any.
        exclude: names of components that are left out.
        strict: whether an override of something that is not installed is an error.
        autoload: whether what is installed takes part without being named.
        allow: distributions that alone may take part; None for all.
        deny: distributions that may not take part.
        overrides: what takes the place of a component, by normalised name.
        components: what is set for each component, by normalised name.
        limits: how long a component may take if it has no limits of its own.
        stop: seconds that the whole stop may take.
        health: seconds that each ``health()`` may take.
        blocked: seconds that nobody may block the event loop.
        sources: where each of these came from: ``roots``, ``limits.stop`` and so on.
        problems: what is wrong with them.
    """

    roots: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    strict: bool = False
    autoload: bool = True
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    overrides: Mapping[str, Given] = attrs.field(factory=dict)
    components: Mapping[str, ComponentSettings] = attrs.field(factory=dict)
    limits: Limits = attrs.field(factory=Limits)
    stop: float = STOP
    health: float = HEALTH
    blocked: float = BLOCKED
    sources: Mapping[str, str] = attrs.field(factory=dict)
    problems: tuple[Problem, ...] = ()


def load_settings(sources: Iterable[SettingsSource]) -> Settings:
    """
    What the sources say together, later ones over earlier ones.

    Raises:
        SettingsFileError: a file cannot be read, or does not have the profile that was asked for.
    """
    whole: Tree = {}
    problems: list[Problem] = []
    for source in sources:
        tree = source.read()
        for table in ("components", "overrides"):
            problems.extend(_two_spellings(table, tree.get(table)))
        whole = merge(whole, tree)
    return _read_settings(whole, problems)


def _two_spellings(table: str, tree: Given | Tree | None) -> Iterable[Problem]:
    """
    One problem for each component that one source has under two names.
    """
    first: dict[str, str] = {}
    for name in tree if isinstance(tree, Mapping) else ():
        same = first.setdefault(normalise(name), name)
        if same != name:
            yield SettingError(
                setting=f"{table}.{name}",
                message=f"'{table}' has '{same}' and '{name}', which are one name",
                hint="keep one of the two",
            )


def _read_settings(tree: Tree, problems: list[Problem]) -> Settings:
    table = _Table(tree, problems)
    table.refuse_unknown(_TOP)
    limits = table.below("limits")
    limits.refuse_unknown(_LIMITS)
    seconds = limits.numbers()
    components = _read_components(table.below("components"))
    return Settings(
        roots=table.names("roots"),
        exclude=table.names("exclude") or (),
        strict=table.flag("strict", False),
        autoload=table.flag("autoload", True),
        allow=table.names("allow"),
        deny=table.names("deny") or (),
        overrides={normalise(key): value for key, value in table.below("overrides").texts().items()},
        components=components,
        limits=Limits(seconds.get("setup", Limits().setup), seconds.get("shutdown", Limits().shutdown)),
        stop=seconds.get("stop", STOP),
        health=seconds.get("health", HEALTH),
        blocked=seconds.get("blocked", BLOCKED),
        sources={**table.sources, **_component_sources(components)},
        problems=tuple(problems),
    )


def _read_components(tables: _Table) -> dict[str, ComponentSettings]:
    found: dict[str, ComponentSettings] = {}
    for name in tables.tree:
        if not normalise(name).strip("-"):
            tables.refuse_nameless(name)
            continue
        table = tables.below(name, component=name)
        settings = _read_component(name, table)
        found.setdefault(normalise(name), settings)
    return found


def _component_sources(components: Mapping[str, ComponentSettings]) -> dict[str, str]:
    """
    Where ``components.NAME.bind`` and its like came from, for the name as written and normalised.
    """
    found: dict[str, str] = {}
    for key, settings in components.items():
        for name, (place, source) in itertools.product((settings.name, key), settings.sources.items()):
            found[f"components.{name}.{place}"] = source
            found.setdefault(f"components.{name}.{place.partition('.')[0]}", source)
    return found


def _read_component(name: str, table: _Table) -> ComponentSettings:
    limits = table.below("limits")
    limits.refuse_unknown(("setup", "shutdown"))
    component = table.text("component")
    return ComponentSettings(
        name=name,
        component=component,
        bind={field: str(given.value) for field, given in table.below("bind").texts().items()},
        limits={key: value for key, value in limits.numbers().items() if key in ("setup", "shutdown")},
        after=table.names("after") or (),
        values={
            key: given
            for key, given in table.tree.items()
            if key not in ("component", "bind", "limits", "after") and isinstance(given, Given)
        },
        sources=table.sources,
    )


@attrs.frozen
class _Table:
    """
    One table while it is being read; what is wrong with it goes to a list that all tables share.

    Attributes:
        tree: what the sources said.
        problems: where what is wrong goes.
        path: names of the tables that it is in, below the component if it is one's.
        component: the component that it is about.
        sources: where each value came from, by its dotted name; shared with the tables in it.
    """

    tree: Tree
    problems: list[Problem]
    path: tuple[str, ...] = ()
    component: str | None = None
    sources: dict[str, str] = attrs.field(factory=dict)

    def below(self, key: str, *, component: str | None = None) -> _Table:
        """
        A table in this one; empty if there is none.
        """
        node = self.tree.get(key, {})
        if isinstance(node, Given):
            self._refuse(key, node, "a table")
            node = {}
        if component is not None:
            return _Table(node, self.problems, component=component)
        return _Table(node, self.problems, (*self.path, key), self.component, self.sources)

    def refuse_unknown(self, known: Iterable[str]) -> None:
        """
        Note a problem for each key that means nothing here.
        """
        unknown = [key for key in self.tree if key not in known]
        for key in unknown[:MOST]:
            near = nearest(key, known)
            hint = f"did you mean '{near}'?" if near else f"known here: {', '.join(known)}"
            self._unknown(key, self.tree[key], hint)
        for key in unknown[MOST : MOST + 1]:
            self._unknown(key, self.tree[key], f"there are {len(unknown) - MOST} more like this")

    def refuse_nameless(self, key: str) -> None:
        """
        Note a problem for each entry of a component whose key is no name at all.
        """
        node = self.tree[key]
        for inner in [node] if isinstance(node, Given) or not node else list(node.values())[:MOST]:
            self._unknown(key, inner, "write CONDUCTOR_COMPONENT__SETTING in the environment, a name elsewhere")

    def _unknown(self, key: str, node: Given | Tree, hint: str) -> None:
        problem = UnknownSettingError(
            component=self.component, setting=shorten(self._dotted(key)), source=_first_source(node), hint=hint
        )
        self.problems.append(problem)

    def names(self, key: str) -> tuple[str, ...] | None:
        """
        A list of texts, or None if it is not given.
        """
        value = self._value(key, 'a list of names, such as ["a", "b"]', _is_list_of_texts)
        return None if value is None else tuple(value)

    def flag(self, key: str, default: bool) -> bool:
        """
        A truth value.
        """
        value = self._value(key, "true or false", lambda value: isinstance(value, bool))
        return default if value is None else bool(value)

    def text(self, key: str) -> str | None:
        """
        A text, or None if it is not given.
        """
        given = self.tree.get(key)
        if isinstance(given, Given) and given.text:
            given = attrs.evolve(given, text=False)
        value = self._value(key, "a name in quotes", lambda value: isinstance(value, str) and value != "", given)
        return None if value is None else str(value)

    def texts(self) -> dict[str, Given]:
        """
        All entries of a table of texts.
        """
        found = {key: (self.text(key), given) for key, given in self.tree.items()}
        return {key: given for key, (text, given) in found.items() if text is not None and isinstance(given, Given)}

    def numbers(self) -> dict[str, float]:
        """
        The entries of a table of seconds.
        """
        found = {key: self._value(key, "a number of seconds, greater than 0", _is_seconds) for key in _LIMITS}
        return {key: float(value) for key, value in found.items() if value is not None}

    def _value(self, key: str, expected: str, fits: Any, given: Given | Tree | None = None) -> Any:
        given = self.tree.get(key) if given is None else given
        if not isinstance(given, Given):
            return None
        try:
            value = parse_value(given.value) if given.text else given.value
        except TextError:
            value = given
        if not fits(value):
            self._refuse(key, given, expected)
            return None
        self.sources[self._dotted(key)] = given.source
        return value

    def _refuse(self, key: str, given: Given, expected: str) -> None:
        setting = self._dotted(key)
        problem = SettingError(component=self.component, setting=setting, source=given.source)
        if isinstance(given.value, Twice):
            problem.message = f"setting '{setting}' from {given.source} is set twice"
            problem.hint = "keep one of the two"
        else:
            problem.given = MASK if is_secret_name(key) else show(plain(given), longest=SHOWN)
            problem.expected = expected
        self.problems.append(problem)

    def _dotted(self, key: str) -> str:
        return ".".join((*self.path, key))


def _first_source(node: Given | Tree) -> str:
    while not isinstance(node, Given):
        if not node:
            return "an empty table"
        node = next(iter(node.values()))
    return node.source


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _is_seconds(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value <= 1e9 and math.isfinite(value)
