"""
The settings of one component: found among what the sources gave, structured, and checked by its own validators.

A value that goes through an attrs converter is handed to the constructor as the converter expects it, since the
constructor converts it again; it is converted here only to be shown and checked.

No error from here holds a secret, in no attribute and no traceback: what goes wrong inside is kept as words only,
and the error that comes out is made anew, after the last ``except`` clause has ended.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from ._declaration import Field
from ._scalars import LONGEST, Misfit, first_words, names_file, secret_text, untrusted
from ._settings import MOST, SettingValue
from ._shape import structure
from ._sources import PREFIX, Given, Twice, plain
from ._text import MASK, dotted, is_secret_name, nearest, normalise, redact, shorten
from ._toml import show
from ._types import describe, holds_secret, is_secret, type_text
from .exceptions import SettingError, UnknownSettingError

_FACTORY: Any = attrs.Factory  # a class, which the stubs of attrs call a function
_FILE = "_file"
_LONGEST_MESSAGE = 300
_PIECES = (list, tuple, set, frozenset, dict)


def match_setting(values: Mapping[str, Given], field: Field, *, known: Iterable[Field] = ()) -> Given | None:
    """
    What is given for a field: under its own name, or one that is equal but for case and ``-``, ``_`` and ``.``.

    A secret may also be given by an environment variable that names a file: ``CONDUCTOR_DB__PASSWORD_FILE``.

    Args:
        values: what is given for the component.
        field: the setting.
        known: all settings of the component; one that is itself called ``password_file`` is no such file.
    """
    found = _find(values, field.name)
    if not is_secret(field.type):
        return found
    file_name = field.name + _FILE
    file = _find(values, file_name)
    if file is None or not file.folded or normalise(file_name) in {normalise(other.name) for other in known}:
        return found
    if found is not None and found.folded:
        return attrs.evolve(found, value=Twice(), source=f"{found.source}, {file.source}", text=False)
    if found is not None and not found.trusted:
        return found
    return attrs.evolve(file, value={"file": file.value}, text=False)


def _find(values: Mapping[str, Given], name: str) -> Given | None:
    if name in values:
        return values[name]
    same = normalise(name)
    return next((given for key, given in values.items() if normalise(key) == same), None)


def unknown_settings(
    component: str, given: Mapping[str, Given], known: Iterable[Field | str], *, distribution: str | None = None
) -> list[UnknownSettingError]:
    """
    One error for each value that no setting takes, with the nearest name.

    Args:
        component: its name.
        given: what is given for it.
        known: its settings, by name or as fields; for a secret among the fields a file may be named as well.
        distribution: ``name version`` of the distribution that it came from.
    """
    known = tuple(known)
    names = [each if isinstance(each, str) else each.name for each in known]
    secrets = [each.name for each in known if isinstance(each, Field) and is_secret(each.type)]
    found: list[UnknownSettingError] = []
    for key, other_spelling in _unknown_keys(given, names, {normalise(name + _FILE) for name in secrets}):
        source = given[key].source
        problem = UnknownSettingError(component=component, distribution=distribution, setting=key, source=source)
        if other_spelling:
            problem.message = f"setting '{key}' from {source} is set already, in another spelling"
            problem.hint = "keep one of the two"
        elif len(found) < MOST:
            near = nearest(key, names)
            problem.hint = f"did you mean '{near}'?" if near else f"it has {', '.join(sorted(names)) or 'no settings'}"
        problem.setting = shorten(key)
        found.append(problem)
    for last in found[MOST : MOST + 1]:
        last.hint = f"there are {len(found) - MOST} more like this"
    return found[: MOST + 1]


def _unknown_keys(
    given: Mapping[str, Given], names: Sequence[str], files: Container[str]
) -> Iterator[tuple[str, bool]]:
    """
    The keys that no setting takes, and whether that is because another spelling of the key is taken already.
    """
    spelled = {normalise(name): name for name in names}
    taken = {name for name in names if name in given}
    for key, value in given.items():
        same = spelled.get(normalise(key))
        if key in taken or (value.folded and same is None and normalise(key) in files):
            continue
        if same is None or same in taken:
            yield key, same is not None
        else:
            taken.add(same)


def structure_setting(
    component: str, field: Field, given: Given | None, *, distribution: str | None = None
) -> SettingValue | SettingError:
    """
    The effective value of one setting, or what is wrong with it.

    Args:
        component: its name.
        field: the setting.
        given: what the sources gave; None if nothing.
        distribution: ``name version`` of the distribution that the component came from.
    """
    place = _Place(component, field, distribution)
    if given is None:
        return place.default() if field.has_default else place.missing()
    try:
        value, effective = _value(field, given)
        _validate(field, _Stranger(), effective)
        return place.given(given, value, effective)
    except Misfit as misfit:
        found = misfit
    return place.error(found, given.source)


def check_together(
    component: str,
    cls: type,
    fields: Iterable[Field],
    values: Mapping[str, SettingValue],
    *,
    distribution: str | None = None,
) -> list[SettingError]:
    """
    What validators say that look at several settings of a component.

    They see an instance that has its settings, defaults included, and nothing else: one that looks at a dependency is
    left to the construction.

    Args:
        component: its name.
        cls: its class.
        fields: its settings.
        values: their effective values, by the name of the field.
        distribution: ``name version`` of the distribution that it came from.
    """
    fields = tuple(fields)
    checked = [field for field in fields if field.attribute.validator is not None]
    instance = _bare_instance(cls, fields, values) if checked else None
    found: list[SettingError] = []
    for field in checked if instance is not None else ():
        source = values[field.name].source if field.name in values else "default"
        try:
            _validate(field, instance, getattr(instance, field.name, attrs.NOTHING))
        except Misfit as misfit:
            found.append(_Place(component, field, distribution).error(misfit, source))
    return found


class _Stranger:
    """
    Stands for the component where a single value is checked; notes whether anybody looks at it.
    """

    looked_at = False

    def __getattr__(self, name: str) -> Any:
        self.looked_at = True
        raise AttributeError(name, name=name, obj=self)


def _bare_instance(cls: Any, fields: Iterable[Field], values: Mapping[str, SettingValue]) -> Any:
    """
    An instance that nobody has constructed, with its settings on it; None if the class has none (an ABC).
    """
    try:
        instance = cls.__new__(cls)
    except Exception:  # whoever constructs it for real will say why
        return None
    for field in fields:
        setting = values.get(field.name)
        try:
            value = setting.value if setting and setting.given else _default_of(field, instance)
            value = _convert(field, value)
            if value is not attrs.NOTHING:
                object.__setattr__(instance, field.name, value)
        except Exception:  # as above
            continue
    return instance


def _default_of(field: Field, instance: Any) -> Any:
    default = field.attribute.default
    if not isinstance(default, _FACTORY):
        return default
    factory: Any = default
    return factory.factory(instance) if factory.takes_self else factory.factory()


# -- converters and validators ---------------------------------------------------------------------------------------


def _value(field: Field, given: Given) -> tuple[Any, Any]:
    """
    What the constructor gets, and what it makes of it; ``NOTHING`` if only the constructor can tell.
    """
    if field.attribute.converter is None:
        value = structure(given, field.type, finite=field.attribute.validator is None)
        return value, value
    value = _for_converter(field, given)
    try:
        return value, _convert(field, value)
    except Exception as error:
        words = first_words(error)
    raise Misfit(None, show(plain(given), longest=LONGEST), message=words, quoted=True)


def _for_converter(field: Field, given: Given) -> Any:
    """
    The value as the field's converter takes it: by the type of its parameter; else as given, text read for the
    field's own type if it can be.
    """
    secret = is_secret(field.type)
    if not given.trusted and holds_secret(field.type) and not (secret and names_file(given)):
        raise untrusted()
    unread = secret_text(given) if secret else given
    wanted = _parameter_type(field.attribute.converter)
    try:
        if wanted is not None:
            return structure(unread, wanted, finite=False)
        if isinstance(unread, Given) and not secret and (unread.text or isinstance(unread.value, Twice)):
            return structure(unread, field.type, finite=False)
    except Misfit as misfit:
        text_in_pieces = wanted is None and field.attribute.converter in _PIECES
        if text_in_pieces or isinstance(given.value, Twice) or (wanted is not None and not misfit.foreign):
            raise
    return plain(unread)


def _parameter_type(converter: Any) -> Any:
    """
    The type that a converter's parameter is annotated with; None if there is none that means anything.
    """
    function = getattr(converter, "converter", converter)
    if isinstance(function, type):
        return None
    try:
        parameter = next(iter(inspect.signature(function).parameters.values()))
        hints = typing.get_type_hints(function)
    except Exception:  # no signature, or names that are nowhere
        return None
    wanted = hints.get(parameter.name)
    return None if wanted in (Any, object) or isinstance(wanted, typing.TypeVar) else wanted


def _convert(field: Field, value: Any) -> Any:
    """
    What the field's converter makes of a value; ``NOTHING`` if it needs the component itself for that.
    """
    converter: Any = field.attribute.converter
    if converter is None or value is attrs.NOTHING:
        return value
    if not isinstance(converter, attrs.Converter):
        return converter(value)
    wrapped: Any = converter  # the stubs of attrs do not know its attributes
    if wrapped.takes_self:
        return attrs.NOTHING
    return wrapped.converter(value, field.attribute) if wrapped.takes_field else wrapped.converter(value)


def _validate(field: Field, instance: Any, value: Any) -> None:
    """
    Run a field's validators one after another; what looks at something that is not there is left to construction.
    """
    for validator in _single_validators(field.attribute.validator) if value is not attrs.NOTHING else ():
        try:
            validator(instance, field.attribute, value)
            continue
        except Exception as error:
            if getattr(instance, "looked_at", False) is True:
                continue
            if isinstance(error, AttributeError) and error.obj is instance:
                continue
            expected = _words_of(validator)
            words = "" if expected else first_words(error)
        raise Misfit(expected, show(value, longest=LONGEST), message=words, quoted=True)


def _single_validators(validator: Any) -> tuple[Callable[[Any, Any, Any], object], ...]:
    if validator is None:
        return ()
    several = getattr(validator, "_validators", None)  # of attrs.validators.and_, and of a list of validators
    return tuple(several) if isinstance(several, tuple) else (validator,)


def _words_of(validator: Any) -> str | None:
    """
    What one of attrs' own validators wants, in words; None for others, which speak for themselves.
    """
    if type(validator).__module__ != "attr.validators":
        return None
    if type(validator).__name__ == "_OptionalValidator":
        return _words_of(validator.validator)
    if hasattr(validator, "compare_op"):
        sign = {"<=": "≤", ">=": "≥"}.get(validator.compare_op, validator.compare_op)
        return f"a value {sign} {show(validator.bound)}"
    if hasattr(validator, "options"):
        return "one of " + ", ".join(sorted(map(show, validator.options)))
    if hasattr(validator, "pattern"):
        return f"text that matches '{validator.pattern.pattern}'"
    if hasattr(validator, "min_length"):
        return f"a length of at least {validator.min_length}"
    if hasattr(validator, "max_length"):
        return f"a length of at most {validator.max_length}"
    return None


# -- what comes out --------------------------------------------------------------------------------------------------


@attrs.frozen
class _Place:
    """
    One setting of one component, for whatever is to be said about it.
    """

    component: str
    field: Field
    distribution: str | None

    def given(self, given: Given, value: Any, effective: Any) -> SettingValue:
        """
        The setting with a value that a source gave.
        """
        shown = effective if effective is not attrs.NOTHING else value
        return self._setting(value=value, given=True, source=given.source, shown=self._show(shown))

    def default(self) -> SettingValue:
        """
        The setting with the default that its class declares.
        """
        return self._setting(value=None, given=False, source="default", shown=self._show_default())

    def _setting(self, *, value: Any, given: bool, source: str, shown: str) -> SettingValue:
        return SettingValue(
            name=self.field.name,
            alias=self.field.alias,
            value=value,
            given=given,
            source=source,
            type=type_text(self.field.type),
            shown=shown,
            secret=is_secret(self.field.type),
            help=self.field.help,
        )

    def _show(self, value: Any) -> str:
        hidden = is_secret(self.field.type) or is_secret_name(self.field.name)
        if holds_secret(self.field.type) and self.field.attribute.converter is not None:
            hidden = True
        return MASK if hidden and value is not None else show(value)

    def _show_default(self) -> str:
        default: Any = self.field.attribute.default
        if not isinstance(default, _FACTORY):
            return self._show(default)
        if default.factory in _PIECES:
            return self._show(default.factory())
        return MASK if is_secret(self.field.type) else "(computed)"

    def missing(self) -> SettingError:
        """
        The error of a required setting without a value.
        """
        return SettingError(
            component=self.component,
            distribution=self.distribution,
            setting=self.field.name,
            expected=describe(self.field.type),
            hint=self._how_to_set(),
        )

    def error(self, misfit: Misfit, source: str) -> SettingError:
        """
        The error of a value that does not fit.
        """
        setting = f"{self.field.name}{misfit.path}"
        source = misfit.source or source
        hidden = holds_secret(self.field.type) or any(map(is_secret_name, re.split(r"[.\[\]]", setting)))
        message, expected = shorten(redact(misfit.message), _LONGEST_MESSAGE), misfit.expected
        if misfit.quoted and hidden:
            message, expected = "", "a value that its validator accepts"
        elif misfit.shown is None and message:
            message = f"setting '{setting}' from {source} {message}"
        return SettingError(
            component=self.component,
            distribution=self.distribution,
            setting=setting,
            source=source,
            given=MASK if hidden and misfit.shown is not None else misfit.shown,
            expected=expected,
            message=message,
            hint=self._how_to_set(misfit.path) if misfit.untrusted else misfit.hint,
        )

    def _how_to_set(self, path: str = "") -> str:
        keys = [] if "[" in path else path.split(".")[1:]
        names = ["components", self.component, self.field.name, *keys]
        variable = variable_name(*names[1:])
        if path or is_secret(self.field.type):
            also = "" if path else f", or {variable}{_FILE.upper()} to the path of a file"
            return f"write '[{dotted(names)}] file = …' in conductor.toml, or set {variable} in the environment{also}"
        written = f"[{dotted(names[:-1])}] {dotted(names[-1:])} = …"
        return f"write '{written}' in conductor.toml, or set {variable} in the environment"


def variable_name(component: str, *names: str) -> str:
    """
    The environment variable that a setting, or something in it, is read from.
    """
    return PREFIX + "__".join(normalise(name).replace("-", "_").upper() for name in (component, *names))
