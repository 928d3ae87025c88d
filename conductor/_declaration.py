"""
What a component class says about itself: its dependencies, its settings, its phases, and what is wrong with it.

A field is one of four:

- *own state*: ``init=False``, or a name with a leading underscore and a default; nobody but the class sets it.
- *dependency*: marked by ``dependency()``, or its type is a component class.
- *maybe*: its type is a class that an installed component could be or fulfil; it is a dependency if the plan
  has such a component (the resolution decides), else a setting.
- *setting*: everything else.
"""

from __future__ import annotations

import abc
import enum
import inspect
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import attrs

from ._component import MARK, MIXED, NAMESPACE, Component, DependencyMark, Secret, SettingMark
from .exceptions import DeclarationError

PHASES = ("setup", "shutdown", "run", "health")
RESERVED = frozenset({"component", "bind", "limits", "after"})


class Kind(enum.Enum):
    """
    What a field of a component is.
    """

    STATE = "state"
    DEPENDENCY = "dependency"
    MAYBE = "maybe"
    SETTING = "setting"


@attrs.frozen
class Field:
    """
    One field of a component class.

    Attributes:
        name: as declared; the identity in settings, plans and errors.
        alias: what the constructor calls it.
        kind: dependency, setting, or one that the resolution decides on.
        type: the annotation, resolved.
        wanted: the class that a dependency is looked up by, without ``None``, ``list`` and ``dict`` around it.
        optional: whether None is a legal value.
        many: ``list`` or ``dict`` if all components of the class are wanted.
        instance: name of the instance that is wanted, if one is named.
        fallback: the class to use if nothing provides the wanted one.
        attribute: the attrs attribute behind it.
    """

    name: str
    alias: str
    kind: Kind
    type: Any
    wanted: Any = None
    optional: bool = False
    many: type | None = None
    instance: str | None = None
    fallback: type | None = None
    attribute: Any = attrs.field(default=None, repr=False, eq=False)

    @property
    def has_default(self) -> bool:
        """
        Whether the constructor can do without it.
        """
        return self.attribute.default is not attrs.NOTHING

    @property
    def secret(self) -> bool:
        """
        Whether its value is never shown.
        """
        return self.wanted is Secret or typing.get_origin(self.wanted) is Secret

    @property
    def help(self) -> str:
        """
        One sentence about the setting.
        """
        mark = self.attribute.metadata.get(MARK)
        return mark.help if isinstance(mark, SettingMark) else ""


@attrs.frozen
class Declaration:
    """
    What a component class says about itself.

    Attributes:
        cls: the class.
        fields: its fields in order of declaration, own state left out.
        phases: which of ``setup``, ``shutdown``, ``run`` and ``health`` it has.
        after: what is set up before it if it is there.
        problems: what is wrong with the class.
    """

    cls: type
    fields: tuple[Field, ...]
    phases: frozenset[str]
    after: tuple[type | str, ...]
    problems: tuple[DeclarationError, ...]


_declarations: WeakKeyDictionary[type, Declaration] = WeakKeyDictionary()


def declaration(cls: type) -> Declaration:
    """
    What a class declares; all that is wrong with it stands in ``problems``.
    """
    found = _declarations.get(cls)
    if found is None:
        found = _declarations[cls] = _read_declaration(cls)
    return found


def is_component_class(cls: object) -> bool:
    """
    Whether an object can be a component: any attrs class, whoever wrote it.
    """
    return isinstance(cls, type) and cls is not Component and attrs.has(cls)


def _read_declaration(cls: type) -> Declaration:
    where = f"{cls.__module__}:{cls.__qualname__}"
    try:
        attributes = attrs.fields(cls) if is_component_class(cls) else None
    except Exception as error:  # attrs itself refused the class body
        problem = DeclarationError(message=f"class '{where}' cannot be made an attrs class: {error}")
        return Declaration(cls, (), frozenset(), (), (problem,))
    if attributes is None:
        problem = DeclarationError(
            message=f"'{where}' is not an attrs class, so it cannot be a component",
            hint="derive it from conductor.Component or decorate it with @attrs.define",
        )
        return Declaration(cls, (), frozenset(), (), (problem,))
    problems: list[DeclarationError] = []
    fields: list[Field] = []
    for attribute in attributes:
        try:
            field = _read_field(cls, attribute)
        except DeclarationError as problem:
            problems.append(problem)
        else:
            if field.kind is not Kind.STATE:
                fields.append(field)
    names = {attribute.name for attribute in attributes}
    phases = frozenset(phase for phase in PHASES if phase not in names and callable(getattr(cls, phase, None)))
    problems.extend(_wrong_phases(cls, phases))
    after = tuple(cls.after) if issubclass(cls, Component) else ()
    return Declaration(cls, tuple(fields), phases, after, tuple(problems))


def _wrong_phases(cls: type, phases: frozenset[str]) -> Iterator[DeclarationError]:
    for phase in sorted(phases):
        if not inspect.iscoroutinefunction(getattr(cls, phase)):
            yield DeclarationError(
                field=phase,
                message=f"method '{phase}' of class '{cls.__module__}:{cls.__qualname__}' is not a coroutine function",
                hint=f"write 'async def {phase}(self)'",
            )


def _read_field(cls: type, attribute: attrs.Attribute[Any]) -> Field:
    mark = attribute.metadata.get(MARK)
    alias = attribute.alias or attribute.name
    if not attribute.init:
        return Field(attribute.name, alias, Kind.STATE, attribute.type, attribute=attribute)
    private = attribute.name.startswith("_")
    if private and mark is None and attribute.default is not attrs.NOTHING and not _names_component(cls, attribute):
        return Field(attribute.name, alias, Kind.STATE, attribute.type, attribute=attribute)
    annotation = resolve_type(cls, attribute)
    wanted, optional, many = _unwrap(annotation)
    kind = _kind(wanted, mark)
    if private and kind is not Kind.DEPENDENCY and mark is None:
        raise _wrong_field(cls, attribute.name, "begins with an underscore, but has no default", "give it one")
    if kind is Kind.SETTING and attribute.name in RESERVED:
        raise _wrong_field(cls, attribute.name, "has a name that settings files use themselves", "rename it")
    if kind is Kind.DEPENDENCY and not isinstance(wanted, type):
        raise _wrong_field(cls, attribute.name, f"is a dependency, but '{annotation}' is not one class", "name one")
    if kind is Kind.SETTING:
        wanted, many = _without_none(annotation), None
    return Field(
        name=attribute.name,
        alias=alias,
        kind=kind,
        type=annotation,
        wanted=wanted,
        optional=optional,
        many=many,
        instance=mark.name if isinstance(mark, DependencyMark) else None,
        fallback=mark.fallback if isinstance(mark, DependencyMark) else None,
        attribute=attribute,
    )


def _wrong_field(cls: type, field: str, message: str, hint: str) -> DeclarationError:
    text = f"field '{field}' of class '{cls.__module__}:{cls.__qualname__}' {message}"
    return DeclarationError(field=field, message=text, hint=hint)


def _names_component(cls: type, attribute: attrs.Attribute[Any]) -> bool:
    try:
        wanted, _, _ = _unwrap(resolve_type(cls, attribute))
    except DeclarationError:
        return False
    return isinstance(wanted, type) and issubclass(wanted, Component)


def _kind(wanted: Any, mark: object) -> Kind:
    if isinstance(mark, DependencyMark):
        return Kind.DEPENDENCY
    if isinstance(mark, SettingMark) or not isinstance(wanted, type) or wanted is Secret:
        return Kind.SETTING
    if issubclass(wanted, Component):
        return Kind.DEPENDENCY
    return Kind.MAYBE if _may_be_provided(wanted) else Kind.SETTING


def _may_be_provided(cls: type) -> bool:
    """
    Whether a class that is no component class could still be provided by one: any class but the standard
    library's own (``Path``, ``datetime``, ``Iterable`` …) and enumerations, which are values.
    """
    if issubclass(cls, enum.Enum):
        return False
    return cls.__module__.partition(".")[0] not in sys.stdlib_module_names or cls.__module__ == "__main__"


def is_abstract(cls: type) -> bool:
    """
    Whether a class is a contract only: an ABC with abstract methods, or a protocol.
    """
    return inspect.isabstract(cls) or bool(getattr(cls, "_is_protocol", False)) or abc.ABC in cls.__bases__


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        rest = tuple(arg for arg in typing.get_args(annotation) if arg is not type(None))
        if len(rest) == 1:
            return rest[0]
    return annotation


def _unwrap(annotation: Any) -> tuple[Any, bool, type | None]:
    """
    The class inside ``Annotated``, ``T | None``, ``list[T]`` and ``dict[str, T]``, and which of these it was in.
    """
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    inner = _without_none(annotation)
    optional = inner is not annotation
    origin, args = typing.get_origin(inner), typing.get_args(inner)
    if origin is list and isinstance(args[0], type):
        return args[0], optional, list
    if origin is dict and args[0] is str and isinstance(args[1], type):
        return args[1], optional, dict
    return inner, optional, None


def resolve_type(cls: type, attribute: attrs.Attribute[Any]) -> Any:
    """
    The annotation of a field as an object, looked up where the field was declared.

    Raises:
        DeclarationError: a name in it cannot be resolved; the error names class, field and name.
    """
    annotation: Any = attribute.type
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return annotation
    if annotation is None:
        raise _wrong_field(cls, attribute.name, "has no type", f"annotate it: '{attribute.name}: SomeType'")
    owner, namespace = _declared_in(cls, attribute.name)
    module = sys.modules.get(owner.__module__)
    try:
        holder = types.SimpleNamespace(__annotations__={attribute.name: annotation})
        hints = typing.get_type_hints(holder, vars(module) if module else {}, namespace, include_extras=True)
    except NameError as error:
        raise _wrong_field(
            owner,
            attribute.name,
            f"has the type '{annotation}', in which '{error.name}' cannot be resolved",
            f"import '{error.name}' at run time (not under TYPE_CHECKING), before the class is used",
        ) from error
    except Exception as error:
        raise _wrong_field(
            owner,
            attribute.name,
            f"has the type '{annotation}', which cannot be resolved: {error}",
            "mend it",
        ) from error
    return hints[attribute.name]


def _declared_in(cls: type, field: str) -> tuple[type, Mapping[str, Any]]:
    """
    The class whose body declares a field, and the local names that its annotations may use.
    """
    for owner in cls.__mro__:
        if field in inspect.get_annotations(owner):
            mixin = owner.__dict__.get(MIXED, {}).get(field, owner)
            seen = {
                **owner.__dict__.get(NAMESPACE, {}),
                **mixin.__dict__.get(NAMESPACE, {}),
                mixin.__name__: mixin,
            }
            return mixin, seen
    return cls, {}


def class_path(cls: type) -> str:
    """
    ``module:qualified.name`` of a class, as an entry point would name it.
    """
    return f"{cls.__module__}:{cls.__qualname__}"
