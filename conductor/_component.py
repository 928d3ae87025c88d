"""
What a component is: an attrs class whose fields say what it needs and how it is set.

A plain subclass of :class:`Component` becomes an attrs class the first time that somebody looks at it as one
(builds it, or asks for its fields), not while it is being declared.  The class body is left as it was written
until then, so ``@attrs.define`` on the same class finds it untouched and does its own work on it.
"""

from __future__ import annotations

import abc
import contextlib
import inspect
import logging
import re
import sys
import types
import typing
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar, dataclass_transform

import attrs

from ._text import MASK
from .exceptions import UsageError

T = TypeVar("T")

LOGGER = "conductor.components"

MARK = "conductor"
MIXED = "__conductor_mixed__"
NAMESPACE = "__conductor_namespace__"

_WORD = re.compile(r"\w+")
_NO_MIXINS: tuple[object, ...] = (object, Generic, Protocol, abc.ABC)


class Secret(Generic[T]):
    """
    A setting's value that is never shown: not in logs, plans, status, tracebacks or ``repr``.

    Args:
        value: what :meth:`get_secret_value` gives back.

    .. versionadded:: 0.1
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def get_secret_value(self) -> T:
        """
        The value itself, for the one place that needs it.
        """
        return self._value

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> typing.NoReturn:
        raise TypeError("a secret cannot be pickled")


@attrs.frozen
class SettingMark:
    """
    What :func:`setting` notes on a field.
    """

    help: str = ""


@attrs.frozen
class DependencyMark:
    """
    What :func:`dependency` notes on a field.
    """

    name: str | None = None
    fallback: type | None = None


def setting(
    *,
    default: Any = attrs.NOTHING,
    factory: Callable[[], Any] | None = None,
    help: str = "",
    validator: Any = None,
    converter: Any = None,
    kw_only: bool = True,
) -> Any:
    """
    A field that is set from outside, whatever its type.

    Args:
        default: its value if no source sets it; without one the setting is required.
        factory: makes the default, for values that can change.
        help: one sentence for ``conductor config``.
        validator: one attrs validator or a list of them; run before anything starts.
        converter: an attrs converter, given the value as the source had it.
        kw_only: whether the constructor takes it by name only.

    .. versionadded:: 0.1
    """
    return attrs.field(
        default=default,
        factory=factory,
        validator=validator,
        converter=converter,
        kw_only=kw_only,
        metadata={MARK: SettingMark(help)},
    )


def dependency(name: str | None = None, *, fallback: type | None = None, kw_only: bool = True) -> Any:
    """
    A field that another component is injected into, whatever its type.

    Args:
        name: the named instance to inject; without it the field's type decides.
        fallback: the class to use if nothing in the plan provides the type.
        kw_only: whether the constructor takes it by name only.

    .. versionadded:: 0.1
    """
    return attrs.field(kw_only=kw_only, metadata={MARK: DependencyMark(name, fallback)})


class Scope(Protocol):
    """
    Where a component registers what is to be undone at its own turn; the runner provides one for each.
    """

    @property
    def name(self) -> str: ...

    async def enter(self, cm: Any) -> Any: ...

    def defer(self, callback: Callable[[], Any]) -> None: ...

    def spawn(self, coro: Coroutine[Any, Any, Any], name: str | None) -> Any: ...


class _LazyFields:
    """
    Stands for ``__attrs_attrs__`` until somebody asks, then makes the class an attrs class.
    """

    def __get__(self, instance: object, owner: type) -> Any:
        _make_attrs_class(owner)
        return owner.__dict__["__attrs_attrs__"]


class _LazySignature:
    """
    Gives a component class the signature of its generated constructor.
    """

    def __get__(self, instance: object, owner: type) -> inspect.Signature:
        if instance is not None:
            raise AttributeError("__signature__")
        _make_attrs_class(owner)
        constructor = next(vars(base)["__init__"] for base in owner.__mro__ if "__init__" in vars(base))
        signature = inspect.signature(constructor)
        return signature.replace(parameters=list(signature.parameters.values())[1:], return_annotation=owner)


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(attrs.field, setting, dependency))
class Component:
    """
    The convenient way to write a component: a subclass is an attrs class, and can register what it opened.

    All of ``setup``, ``shutdown``, ``run`` and ``health`` are optional coroutine methods.

    Attributes:
        after: classes or names of components that are set up before this one if they are there at all.

    .. versionadded:: 0.1
    """

    after: ClassVar[tuple[type | str, ...]] = ()
    _conductor_scope: ClassVar[Scope | None] = None

    if not TYPE_CHECKING:
        __signature__ = _LazySignature()

        def __new__(cls, *args: Any, **kwargs: Any) -> Self:
            _make_attrs_class(cls)
            return super().__new__(cls)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__attrs_attrs__" in cls.__dict__:  # attrs makes a slotted class anew, with its fields already in it
            return
        _collect_mixins(cls)
        _remember_namespace(cls, sys._getframe(1))
        cls.__attrs_attrs__ = _LazyFields()  # type: ignore[attr-defined]  # attrs has no public name for it

    def __repr__(self) -> str:
        scope = self._conductor_scope
        return f"<{type(self).__module__}.{type(self).__qualname__}{f' {scope.name!r}' if scope else ''}>"

    @property
    def logger(self) -> logging.Logger:
        """
        A logger named after the component, below ``conductor.components``.
        """
        scope = self._conductor_scope
        return logging.getLogger(f"{LOGGER}.{scope.name if scope else type(self).__name__}")

    @typing.overload
    async def enter(self, cm: contextlib.AbstractAsyncContextManager[T, Any]) -> T: ...

    @typing.overload
    async def enter(self, cm: contextlib.AbstractContextManager[T, Any]) -> T: ...

    async def enter(self, cm: Any) -> Any:
        """
        What the (async) context manager gives; it is left at this component's own turn, newest first.

        Also when set-up fails halfway.
        """
        return await self._scope("enter").enter(cm)

    def defer(self, callback: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
        """
        Have a callback, a coroutine function or not, called at this component's own turn, newest first.

        Also when set-up fails halfway.
        """
        self._scope("defer").defer(lambda: callback(*args, **kwargs))

    def spawn(self, coro: Coroutine[Any, Any, T], /, *, name: str | None = None) -> Any:
        """
        A task (``asyncio.Task``) that is cancelled and awaited at this component's own turn.

        If it raises, the component has crashed.

        Args:
            coro: the coroutine to run.
            name: for logs and reports; by default the coroutine's own.
        """
        try:
            scope = self._scope("spawn")
        except UsageError:
            coro.close()
            raise
        return scope.spawn(coro, name)

    def _scope(self, verb: str) -> Scope:
        if self._conductor_scope is None:
            raise UsageError(
                f"'{verb}' works from set-up to shutdown, and {self!r} is not being set up\n"
                "hint: in a unit test, use 'async with conductor.testing.running(component)'"
            )
        return self._conductor_scope


def _make_attrs_class(cls: type) -> None:
    """
    Turn a plain subclass into an attrs class, in place; nothing if it is one already.
    """
    if cls is Component or not isinstance(cls.__dict__.get("__attrs_attrs__"), _LazyFields):
        return
    for parent in reversed(cls.__mro__[1:]):
        _make_attrs_class(parent)
    # Without auto_attribs=True, one field without an annotation would make attrs pass over all that have one.
    attrs.define(cls, slots=False, eq=False, repr=False, kw_only=True, auto_attribs=True)


def _collect_mixins(cls: type) -> None:
    """
    Copy the annotated fields of plain mixins (neither attrs classes nor components) into the class body.

    As with attrs, what is inherited comes before what the class declares itself.
    """
    mixed: dict[str, type] = {}
    copied: dict[str, Any] = {}
    own = inspect.get_annotations(cls)
    for mixin in reversed(cls.__mro__[1:]):
        if issubclass(mixin, Component) or "__attrs_attrs__" in mixin.__dict__ or mixin in _NO_MIXINS:
            continue
        for name, annotation in inspect.get_annotations(mixin).items():
            if name in own or is_class_variable(annotation) or _nearer(cls, mixin, name):
                continue
            value = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), attrs.NOTHING)
            if hasattr(value, "__get__"):  # a property, say: no field, but what stands in for one
                continue
            mixed[name] = mixin
            copied[name] = annotation
            if value is not attrs.NOTHING:
                setattr(cls, name, value)
    if mixed:
        cls.__annotations__ = {**copied, **own}
        setattr(cls, MIXED, mixed)


def _nearer(cls: type, mixin: type, name: str) -> bool:
    """
    Whether a class before the mixin in the order of inheritance declares the field too.
    """
    before = cls.__mro__[1 : cls.__mro__.index(mixin)]
    return any(name in inspect.get_annotations(base) for base in before)


def is_class_variable(annotation: Any) -> bool:
    """
    Whether attrs would take it for a class variable; it looks at the text, too.
    """
    text = annotation.strip("'\"") if isinstance(annotation, str) else str(annotation)
    return text.startswith(("ClassVar", "typing.ClassVar", "t.ClassVar", "typing_extensions.ClassVar"))


def _remember_namespace(cls: type, frame: types.FrameType | None) -> None:
    """
    Keep the local names that textual annotations of a class inside a function speak of.

    The scopes around the class are found by their qualified names, since the frames in between may be those of a
    metaclass or of somebody else's ``__init_subclass__``.
    """
    if "." not in cls.__qualname__:
        return
    texts = " ".join(text for text in inspect.get_annotations(cls).values() if isinstance(text, str))
    words = set(_WORD.findall(texts))
    seen: dict[str, Any] = {}
    scopes = _scopes_around(cls.__qualname__)
    while frame is not None and scopes and words:
        if frame.f_code.co_qualname == scopes[-1] and frame.f_globals.get("__name__") == cls.__module__:
            scopes.pop()
            for word in words.intersection(frame.f_locals):
                seen.setdefault(word, frame.f_locals[word])
        frame = frame.f_back
    if seen:
        setattr(cls, NAMESPACE, seen)


def _scopes_around(name: str) -> list[str]:
    """
    The qualified names of the functions and classes that a class lies in, outermost first.
    """
    parts = name.split(".")
    places = [".".join(parts[:end]) for end in range(1, len(parts))]
    return [place for place in places if not place.endswith("<locals>")]
