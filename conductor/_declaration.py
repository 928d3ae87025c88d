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
import dataclasses
import enum
import inspect
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import attrs

from ._component import (
    MARK,
    MIXED,
    NAMESPACE,
    Component,
    DependencyMark,
    Secret,
    SettingMark,
    is_class_variable,
)
from .exceptions import DeclarationError

PHASES = ("setup", "shutdown", "run", "health")
RESERVED = frozenset({"component", "bind", "limits", "after"})
OWN = frozenset({"enter", "defer", "spawn", "logger"})

_MODULES_OF_TYPES = frozenset({"typing", "types", "typing_extensions", "dataclasses"})


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
        wanted = _bare(_without_none(_bare(self.type)))
        return wanted is Secret or typing.get_origin(wanted) is Secret

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
        fields: its fields in order of declaration, own state left out.
        phases: which of ``setup``, ``shutdown``, ``run`` and ``health`` it has.
        after: what is set up before it if it is there.
        problems: what is wrong with the class.
    """

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
        found = _read_declaration(cls)
        if not found.problems:  # what is missing now may be there when the module has been imported completely
            _declarations[cls] = found
    return found


def is_component_class(cls: object) -> bool:
    """
    Whether an object can be a component: any attrs class, whoever wrote it.
    """
    if not isinstance(cls, type) or cls is Component:
        return False
    return issubclass(cls, Component) or attrs.has(cls)


def _read_declaration(cls: type) -> Declaration:
    where = class_path(cls)
    try:
        attributes = attrs.fields(cls) if is_component_class(cls) else None
    except Exception as error:  # attrs itself refused the class body
        problem = DeclarationError(message=f"class '{where}' cannot be made an attrs class: {error}")
        return Declaration((), frozenset(), (), (problem,))
    if attributes is None:
        problem = DeclarationError(
            message=f"'{where}' is not an attrs class, so it cannot be a component",
            hint="derive it from conductor.Component or decorate it with @attrs.define",
        )
        return Declaration((), frozenset(), (), (problem,))
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
    phases = frozenset(phase for phase in PHASES if phase not in names and getattr(cls, phase, None) is not None)
    problems.extend(_wrong_phases(cls, phases))
    problems.extend(_lost_fields(cls, names))
    after, wrong = _read_after(cls, names)
    return Declaration(tuple(fields), phases, after, (*problems, *wrong))


def _wrong_phases(cls: type, phases: frozenset[str]) -> Iterator[DeclarationError]:
    for phase in sorted(phases):
        method = inspect.getattr_static(cls, phase)
        function = getattr(cls, phase)
        wrong = None
        if not inspect.iscoroutinefunction(function):
            wrong = "is not a coroutine function"
        elif inspect.isfunction(method) and _takes_more(method):
            wrong = "takes more than 'self'"
        if wrong:
            yield DeclarationError(
                field=phase,
                message=f"method '{phase}' of class '{class_path(cls)}' {wrong}",
                hint=f"write 'async def {phase}(self)'",
            )


def _takes_more(method: types.FunctionType) -> bool:
    """
    Whether a method needs more arguments than the instance.
    """
    code = method.__code__
    keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    needed = code.co_argcount - len(method.__defaults__ or ())
    return needed > 1 or any(name not in (method.__kwdefaults__ or {}) for name in keywords)


def _lost_fields(cls: type, names: set[str]) -> Iterator[DeclarationError]:
    """
    What reads like a field and is none, or not the one that counts.
    """
    if not issubclass(cls, Component):
        return
    for owner in cls.__mro__[: cls.__mro__.index(Component)]:
        annotations = inspect.get_annotations(owner) if issubclass(owner, Component) else {}
        for name, annotation in annotations.items():
            if name not in names and not is_class_variable(annotation):
                yield _wrong_field(
                    owner,
                    name,
                    "is passed over by attrs, since a field beside it has no annotation",
                    "annotate that one, too",
                )
    for name in sorted(names):
        if name in OWN:
            yield _wrong_field(cls, name, f"hides 'Component.{name}'", "rename it")
        owner = next((base for base in cls.__mro__ if name in vars(base) or name in inspect.get_annotations(base)), cls)
        in_vain = name in vars(owner) and name not in inspect.get_annotations(owner)
        if in_vain and not hasattr(vars(owner)[name], "__set__"):
            yield _wrong_field(owner, name, "is set there without an annotation", f"write '{name}: … = …'")


def _read_after(cls: type, names: set[str]) -> tuple[tuple[type | str, ...], Iterable[DeclarationError]]:
    """
    What is to be set up before, if it is there, and what is wrong with that.
    """
    if not issubclass(cls, Component):
        return (), ()
    given: Any = cls.after
    if "after" in names:
        wrong = _wrong_field(cls, "after", "is a field, but it tells the order of components", "drop the annotation")
        return (), (wrong,)
    if isinstance(given, list | tuple | set | frozenset) and all(isinstance(each, str | type) for each in given):
        return tuple(given), ()
    message = f"'after' of class '{class_path(cls)}' is not a sequence of classes and names"
    return (), (DeclarationError(field="after", message=message, hint="write 'after = (SomeClass, \"name\")'"),)


def _read_field(cls: type, attribute: attrs.Attribute[Any]) -> Field:
    mark = attribute.metadata.get(MARK)
    alias = attribute.alias or attribute.name
    private = attribute.name.startswith("_") and mark is None
    if not attribute.init or (private and attribute.default is not attrs.NOTHING):
        return Field(attribute.name, alias, Kind.STATE, attribute.type, attribute=attribute)
    annotation = resolve_type(cls, attribute)
    wanted, optional, many = _unwrap(annotation)
    kind = _kind(wanted, mark)
    _check_field(cls, attribute, annotation, kind, wanted)
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


def _check_field(cls: type, attribute: attrs.Attribute[Any], annotation: Any, kind: Kind, wanted: Any) -> None:
    """
    Refuse a field that cannot be meant as it is written.
    """
    name, mark = attribute.name, attribute.metadata.get(MARK)
    if isinstance(annotation, dataclasses.InitVar):
        raise _wrong_field(cls, name, "is an InitVar, which attrs does not know", "use a plain field, or a converter")
    if name.startswith("_") and mark is None and kind is not Kind.DEPENDENCY:
        hint = "give it one, or say what it is with setting() or dependency()"
        raise _wrong_field(cls, name, "begins with an underscore, but has no default", hint)
    if kind is Kind.SETTING and name in RESERVED and name != "after":
        raise _wrong_field(cls, name, "has a name that settings files use themselves", "rename it")
    if kind is Kind.DEPENDENCY and not isinstance(wanted, type):
        raise _wrong_field(cls, name, f"is a dependency, but '{_shown(annotation)}' is not one class", "name one")
    if kind is Kind.SETTING and mark is None and attribute.default is attrs.NOTHING:
        component = next(_component_classes(annotation), None)
        if component is not None:
            shown = component.__qualname__
            text = f"has the type '{_shown(annotation)}', which is neither a setting nor a dependency"
            hint = f"write '{shown}', '{shown} | None', 'list[{shown}]' or 'dict[str, {shown}]'; a setting is marked so"
            raise _wrong_field(cls, name, text, hint)


def _shown(annotation: Any) -> str:
    return class_path(annotation) if isinstance(annotation, type) else str(annotation)


def _component_classes(annotation: Any) -> Iterator[type]:
    """
    The component classes anywhere in an annotation.
    """
    work = [annotation]
    while work:
        each = work.pop()
        if isinstance(each, type) and not typing.get_args(each):
            if issubclass(each, Component):
                yield each
        elif typing.get_origin(each) is not typing.Literal:
            work.extend(arg for arg in reversed(typing.get_args(each)) if not isinstance(arg, list))


def _wrong_field(cls: type, field: str, message: str, hint: str) -> DeclarationError:
    text = f"field '{field}' of class '{class_path(cls)}' {message}"
    return DeclarationError(field=field, message=text, hint=hint)


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
    return cls.__module__.partition(".")[0] not in sys.stdlib_module_names


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
    bare = _bare(annotation)
    inner = _bare(_without_none(bare))
    optional = inner is not bare
    origin, args = typing.get_origin(inner), tuple(map(_class_of, typing.get_args(inner)))
    if origin is list and isinstance(args[0], type):
        return args[0], optional, list
    if origin is dict and args[0] is str and isinstance(args[1], type):
        return args[1], optional, dict
    return _class_of(inner), optional, None


def _bare(annotation: Any) -> Any:
    """
    The type inside ``Annotated``, ``Final`` and type aliases.
    """
    while True:
        if typing.get_origin(annotation) in (typing.Annotated, typing.Final):
            annotation = typing.get_args(annotation)[0]
        elif type(annotation).__name__ == "TypeAliasType":  # typing has it from 3.12 on
            annotation = annotation.__value__
        else:
            return annotation


def _class_of(annotation: Any) -> Any:
    """
    The class itself for a generic class of one's own with arguments; anything else as it is.
    """
    annotation = _bare(annotation)
    origin = typing.get_origin(annotation)
    return origin if isinstance(origin, type) and origin is not Secret and _may_be_provided(origin) else annotation


def resolve_type(cls: type, attribute: attrs.Attribute[Any]) -> Any:
    """
    The annotation of a field as an object, looked up where the field was declared.

    Raises:
        DeclarationError: a name in it cannot be resolved; the error names class, field and name.
    """
    annotation: Any = attribute.type
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation
    if annotation is None:
        raise _wrong_field(cls, attribute.name, "has no type", f"annotate it: '{attribute.name}: SomeType'")
    owner, namespace = _declared_in(cls, attribute.name)
    found = _evaluate(owner, attribute.name, annotation, dict(namespace))
    return _filled_in(cls, owner, found) if getattr(found, "__parameters__", ()) or _is_variable(found) else found


def _evaluate(owner: type, name: str, annotation: Any, namespace: dict[str, Any]) -> Any:
    module = sys.modules.get(owner.__module__)
    # A class, since only there may an annotation be 'Final'.
    holder = type("holder", (), {"__annotations__": {name: annotation}})
    text = f"has the type '{annotation}',"
    hint = "write a type that can be evaluated at run time"
    try:
        hints = typing.get_type_hints(holder, vars(module) if module else {}, namespace, include_extras=True)
    except NameError as error:
        hint = f"import '{error.name}' at run time (not under TYPE_CHECKING), before the class is used"
        raise _wrong_field(owner, name, f"{text} in which '{error.name}' cannot be resolved", hint) from error
    except Exception as error:  # an annotation is any expression
        raise _wrong_field(owner, name, f"{text} which cannot be resolved: {error}", hint) from error
    found = hints[name]
    if isinstance(found, type) or typing.get_origin(found) or type(found).__module__ in _MODULES_OF_TYPES:
        return found
    raise _wrong_field(owner, name, f"{text} which cannot be resolved: it is not a type", hint)


def _declared_in(cls: type, field: str) -> tuple[type, Mapping[str, Any]]:
    """
    The class whose body declares a field, and the local names that its annotations may use.
    """
    for owner in cls.__mro__:
        if field in inspect.get_annotations(owner):
            mixin = owner.__dict__.get(MIXED, {}).get(field, owner)
            inside = {name: value for name, value in vars(mixin).items() if isinstance(value, type)}
            variables = {variable.__name__: variable for variable in getattr(mixin, "__type_params__", ())}
            seen = {
                mixin.__name__: mixin,
                **variables,
                **owner.__dict__.get(NAMESPACE, {}),
                **mixin.__dict__.get(NAMESPACE, {}),
                **inside,
            }
            return mixin, seen
    return cls, {}


def _is_variable(annotation: Any) -> bool:
    return isinstance(annotation, typing.TypeVar)


def _filled_in(cls: type, owner: type, annotation: Any) -> Any:
    """
    The annotation of a field of a generic class, with what a subclass has put in for its type variables.
    """
    known: dict[Any, Any] = {}
    for base in cls.__mro__:
        for alias in getattr(base, "__orig_bases__", ()) if "__orig_bases__" in vars(base) else ():
            origin = typing.get_origin(alias)
            parameters = getattr(origin, "__parameters__", ())
            for variable, arg in zip(parameters, typing.get_args(alias), strict=False):
                known.setdefault((origin, variable), known.get((base, arg), arg) if _is_variable(arg) else arg)
    variables = (annotation,) if _is_variable(annotation) else annotation.__parameters__
    args = tuple(known.get((owner, variable), variable) for variable in variables)
    if _is_variable(annotation):
        return args[0]
    return annotation[args] if args != variables else annotation


def class_path(cls: type) -> str:
    """
    ``module:qualified.name`` of a class, as an entry point would name it.
    """
    return f"{cls.__module__}:{cls.__qualname__}"
