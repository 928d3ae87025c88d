"""
What sources gave becomes what fields want, or an error that says what was expected and shows no secret.
"""

from __future__ import annotations

import abc
import collections
import dataclasses
import datetime
import decimal
import enum
import math
import traceback
import typing
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NewType

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor import Component, Secret, setting
from conductor._declaration import Field, Kind, declaration
from conductor._settings import MOST, SettingValue, load_settings
from conductor._sources import AssignmentSource, EnvironSource, Given, MappingSource, Twice
from conductor._structure import (
    check_together,
    match_setting,
    structure_setting,
    unknown_settings,
    variable_name,
)
from conductor.exceptions import SettingError, UnknownSettingError

PLACE = "conductor.toml: components.db.value"


def field_of(wanted: Any, **options: Any) -> Field:
    """
    A setting called ``value`` of a type.
    """
    attribute = attrs.fields(attrs.make_class("Some", {"value": attrs.field(type=wanted, **options)})).value
    return Field("value", "value", Kind.SETTING, wanted, wanted, attribute=attribute)


def fields_of(cls: type) -> dict[str, Field]:
    """
    The settings of a component class by name.
    """
    declared = declaration(cls)
    assert declared.problems == ()
    return {field.name: field for field in declared.fields}


def outcome(field: Field, value: Any, *, text: bool = False, trusted: bool = True) -> SettingValue | SettingError:
    """
    What becomes of a value for a field.
    """
    source = "environment: CONDUCTOR_DB__VALUE" if text else PLACE
    return structure_setting("db", field, Given(value, source, text=text, trusted=trusted))


def structured(wanted: Any, value: Any, *, text: bool = False, **options: Any) -> Any:
    """
    The value as a field of a type gets it.
    """
    found = outcome(field_of(wanted, **options), value, text=text)
    assert isinstance(found, SettingValue), str(found)
    assert found.given
    return found.value


def refused(wanted: Any, value: Any, *, text: bool = False, **options: Any) -> SettingError:
    """
    The error that a value is for a field of a type.
    """
    found = outcome(field_of(wanted, **options), value, text=text)
    assert isinstance(found, SettingError), repr(found)
    return found


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(str, enum.Enum):  # noqa: UP042  # many still write it so, and it must work
    LOW = "low"
    FIVE = "5"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


@attrs.define
class Pool:
    max_size: int = attrs.field(default=5, validator=attrs.validators.ge(1))
    name: str | None = None
    inner: list[Pool] = attrs.field(factory=list)


@attrs.define
class Account:
    user: str
    password: Secret[str]
    level: int = 1


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


T = typing.TypeVar("T")


@attrs.define
class Box(typing.Generic[T]):
    content: T


class Options(typing.TypedDict, total=False):
    size: typing.Required[int]
    name: str


class Size2D(typing.NamedTuple):
    width: int
    unit: str


Port = NewType("Port", int)


class Opaque:
    pass


OPAQUE = Opaque()
UUID = uuid.UUID(int=5)


# -- types -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "value", "expected"),
    [
        (int, 5, 5),
        (float, 5, 5.0),
        (float, 2.5, 2.5),
        (bool, True, True),
        (str, "x", "x"),
        (bytes, "é", "é".encode()),
        (bytes, b"\xff", b"\xff"),
        (Path, "a/b", Path("a/b")),
        (Path, Path("a"), Path("a")),
        (Colour, "red", Colour.RED),
        (Colour, "BLUE", Colour.BLUE),
        (Colour, Colour.RED, Colour.RED),
        (Level, "low", Level.LOW),
        (Size, 2, Size.LARGE),
        (Size, "LARGE", Size.LARGE),
        (Literal["a", 5], "a", "a"),
        (Literal["a", 5], 5, 5),
        (datetime.datetime, datetime.datetime(2030, 1, 31), datetime.datetime(2030, 1, 31)),
        (datetime.date, datetime.date(2030, 1, 31), datetime.date(2030, 1, 31)),
        (datetime.time, datetime.time(12), datetime.time(12)),
        (datetime.timedelta, 90, datetime.timedelta(seconds=90)),
        (datetime.timedelta, 0.5, datetime.timedelta(seconds=0.5)),
        (datetime.timedelta, datetime.timedelta(1), datetime.timedelta(1)),
        (decimal.Decimal, "1.10", decimal.Decimal("1.10")),
        (decimal.Decimal, 1.1, decimal.Decimal("1.1")),
        (uuid.UUID, str(UUID), UUID),
        (list[int], [1, 2], [1, 2]),
        (list, [1, "a"], [1, "a"]),
        (Sequence[int], [1], [1]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[int], [1, 1], {1}),
        (frozenset[str], ["a"], frozenset({"a"})),
        (collections.deque[int], [1], collections.deque([1])),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (dict[int, str], {"8080": "a"}, {8080: "a"}),
        (dict[Colour, int], {"red": 1}, {Colour.RED: 1}),
        (Mapping[str, list[int]], {"a": [1]}, {"a": [1]}),
        (dict, {"a": {"b": [1]}}, {"a": {"b": [1]}}),
        (Pool, {"max_size": 1}, Pool(1)),
        (Pool, {"Max-Size": 1}, Pool(1)),
        (Pool, {"inner": [{"inner": [{"name": "x"}]}]}, Pool(inner=[Pool(inner=[Pool(name="x")])])),
        (Pool, Pool(3), Pool(3)),
        (Point, {"x": 1}, Point(1)),
        (Box[int], {"content": 1}, Box(1)),
        (Options, {"size": 1}, {"size": 1}),
        (Size2D, [1, "x"], Size2D(1, "x")),
        (Size2D, Size2D(1, "x"), Size2D(1, "x")),
        (collections.OrderedDict[str, int], {"a": 1}, collections.OrderedDict(a=1)),
        (collections.Counter[str], collections.Counter("a"), collections.Counter("a")),
        (int | None, 5, 5),
        (int | None, None, None),
        (int | str, 5, 5),
        (int | str, "5", "5"),
        (float | int, 5, 5),
        (Pool | None, {"max_size": 2}, Pool(2)),
        (Pool | Point, {"x": 2}, Point(2)),
        (list[int] | str, "a", "a"),
        (Any, {"a": [1]}, {"a": [1]}),
        (Port, 5, 5),
        (Annotated[int, "of something"], 5, 5),
        (Opaque, OPAQUE, OPAQUE),
        (Secret[str], "x", Secret("x")),
        (Secret[int], 5, Secret(5)),
        (Secret[str], Secret("x"), Secret("x")),
        (Secret[str] | None, "x", Secret("x")),
        (Secret[str] | None, None, None),
        (Secret[Account], {"user": "u", "password": "p"}, Secret(Account("u", Secret("p")))),
        (dict[str, Secret[str]], {"a": "x"}, {"a": Secret("x")}),
    ],
)
def test_value_fits_its_type(wanted: Any, value: Any, expected: Any) -> None:
    """
    A value that a file or code can give becomes what the type wants, and nothing that is merely equal to it.
    """
    found = structured(wanted, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("wanted", "value", "message"),
    [
        (int, True, "is true, expected an integer"),
        (int, 5.0, "is 5.0, expected an integer"),
        (int, "5", 'is "5", expected an integer'),
        (float, True, "is true, expected a number"),
        (float, "5", 'is "5", expected a number'),
        (float, 10**400, "expected a number"),
        (float, math.nan, "is nan, expected a finite number"),
        (float, -math.inf, "is -inf, expected a finite number"),
        (list[float], [1.0, math.inf], "setting 'value[1]' from conductor.toml: components.db.value is inf, expected"),
        (bool, 1, "is 1, expected true or false"),
        (bool, "yes", 'is "yes", expected true or false'),
        (str, 5, "is 5, expected a string"),
        (bytes, 5, "is 5, expected a string"),
        (Path, 5, "is 5, expected a path"),
        (Colour, "green", 'is "green", expected one of "red", "blue"'),
        (Size, True, "is true, expected one of 1, 2"),
        (Size, 1.0, "is 1.0, expected one of 1, 2"),
        (Literal["a", 5], True, 'is true, expected one of "a", 5'),
        (Literal[1], True, "is true, expected one of 1"),
        (datetime.datetime, datetime.date(2030, 1, 31), "is 2030-01-31, expected a date and time, such as"),
        (datetime.date, datetime.datetime(2030, 1, 31), "is 2030-01-31T00:00:00, expected a date, such as"),
        (datetime.date, "2030-01-31", 'is "2030-01-31", expected a date, such as 2030-01-31'),
        (datetime.timedelta, "5", 'is "5", expected a number of seconds'),
        (datetime.timedelta, 1e300, "is 1e+300, expected a number of seconds"),
        (datetime.timedelta, math.nan, "is nan, expected a number of seconds"),
        (decimal.Decimal, "x", 'is "x", expected a decimal number'),
        (decimal.Decimal, True, "is true, expected a decimal number"),
        (uuid.UUID, "x", 'is "x", expected a UUID'),
        (list[str], "abc", 'is "abc", expected a list, each value a string'),
        (list[int], {"a": 1}, "is {a = 1}, expected a list, each value an integer"),
        (tuple[int, str], [1], "is [1], expected a list of exactly 2: an integer, a string"),
        (set[Any], [[1]], "is [[1]], expected a list"),
        (dict[str, int], [1], "is [1], expected a table, each value an integer"),
        (
            dict[int, str],
            {"x": "a"},
            "setting 'value.x' from conductor.toml: components.db.value is \"x\", expected an",
        ),
        (Pool, 5, "is 5, expected a table with the keys max_size, name, inner"),
        (
            Pool,
            {"max-sise": 1},
            "setting 'value.max-sise' from conductor.toml: components.db.value.max-sise is unknown",
        ),
        (Pool, {"max_size": 1, "Max-Size": 2}, "setting 'value.max_size' from conductor.toml"),
        (Pool, {"inner": [{}, {"inner": [{"name": 5}]}]}, "setting 'value.inner[1].inner[0].name' from conductor.toml"),
        (Pool, {"max_size": 0}, "is {max_size = 0}: 'max_size' must be >= 1: 0"),
        (Point, {"y": 1}, "setting 'value.x' has no value, expected an integer"),
        (Point, {"x": 1, "z": 1}, "setting 'value.z' from conductor.toml: components.db.value.z is unknown"),
        (
            Box[int],
            {"content": "x"},
            "setting 'value.content' from conductor.toml: components.db.value.content is \"x\"",
        ),
        (Options, {"size": 1, "nam": 2}, "hint: did you mean 'name'?"),
        (Size2D, [1], "is [1], expected a list of exactly 2: an integer, a string"),
        (collections.Counter[str], {"a": 1}, "expected an object of class 'collections.Counter'"),
        (Options, {}, "setting 'value.size' has no value, expected an integer"),
        (Options, {"size": "x"}, "setting 'value.size' from"),
        (int | None, "5", 'is "5", expected an integer'),
        (int | bool, "5", 'is "5", expected an integer or true or false'),
        (Port, "5", 'is "5", expected an integer'),
        (Annotated[int, "of something"], "5", 'is "5", expected an integer'),
        (Opaque, "x", "hint: give the field a converter, or set it in code"),
    ],
)
def test_value_that_does_not_fit_is_told(wanted: Any, value: Any, message: str) -> None:
    """
    Nothing is converted that is merely similar; the error says what was given and what was expected.
    """
    error = refused(wanted, value)
    assert message in str(error)
    assert str(error).startswith("component 'db': setting 'value")


def test_error_has_its_parts() -> None:
    """
    An error is data: where, what and why can be read off it.
    """
    error = structure_setting("db", field_of(list[int]), Given(["x"], PLACE), distribution="conductor-db 1.0")
    assert isinstance(error, SettingError)
    assert (error.component, error.distribution, error.setting) == ("db", "conductor-db 1.0", "value[0]")
    assert (error.source, error.given, error.expected) == (PLACE, '"x"', "an integer")


def test_long_value_is_cut_in_an_error() -> None:
    """
    An error stays readable whatever was given.
    """
    error = refused(int, ["x" * 1000] * 1000)
    assert error.given is not None
    assert len(error.given) == 80


def test_password_in_a_url_is_masked_in_value_and_error() -> None:
    """
    A URL is shown without its password even where it does not fit.
    """
    url = "postgresql://me:hunter2@host/db"
    found = outcome(field_of(str), url)
    assert isinstance(found, SettingValue)
    assert found.shown == '"postgresql://me:*******@host/db"'
    assert "hunter2" not in str(refused(int, url))


class Node:
    """
    Nested deeper than any stack allows.
    """

    deep: typing.ClassVar[list[Any]] = []


for _ in range(100_000):
    Node.deep = [Node.deep]


@pytest.mark.parametrize("wanted", [int, Any, list[Any], dict[str, Any], Pool, str | None, Secret[str]])
def test_deep_value_given_in_code_does_no_harm(wanted: Any) -> None:
    """
    A value that is nested a hundred thousand times is taken or refused, and shown, as any other.
    """
    assert str(outcome(field_of(wanted), Node.deep))


def test_class_with_a_name_that_is_nowhere_is_told() -> None:
    """
    A nested class that cannot be understood is an error of the setting, with its reason.
    """

    @attrs.define
    class Broken:
        other: Missing  # type: ignore[name-defined]  # noqa: F821  # what this test is about

    assert "Missing" in str(refused(Broken, {"other": 1}))


# -- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "text", "expected"),
    [
        (int, "5", 5),
        (int, " 0x10 ", 16),
        (float, "5", 5.0),
        (bool, "true", True),
        (bool, "Yes", True),
        (bool, "on", True),
        (bool, "1", True),
        (bool, "FALSE", False),
        (bool, "no", False),
        (bool, "off", False),
        (bool, "0", False),
        (str, "5", "5"),
        (str, "", ""),
        (str | None, "true", "true"),
        (Path, "a", Path("a")),
        (bytes, "x", b"x"),
        (decimal.Decimal, "1.10", decimal.Decimal("1.10")),
        (uuid.UUID, str(UUID), UUID),
        (Colour, "red", Colour.RED),
        (Colour, "RED", Colour.RED),
        (Level, "5", Level.FIVE),
        (Size, "2", Size.LARGE),
        (Literal["5", 5], "5", "5"),
        (Literal["a", 5], "5", 5),
        (datetime.date, "2030-01-31", datetime.date(2030, 1, 31)),
        (datetime.timedelta, "2.5", datetime.timedelta(seconds=2.5)),
        (list[str], '["a", "b"]', ["a", "b"]),
        (list[Path], '["a"]', [Path("a")]),
        (dict[str, int], "{a = 1}", {"a": 1}),
        (Pool, "{max_size = 7}", Pool(7)),
        (int | str, "5", 5),
        (int | str, "five", "five"),
        (Any, "5", 5),
        (Any, "five", "five"),
        (Secret[str], "5", Secret("5")),
        (Secret[int], "5", Secret(5)),
    ],
)
def test_text_is_read_for_its_type(wanted: Any, text: str, expected: Any) -> None:
    """
    Text from the environment is taken as it is for what is text, and read as TOML for everything else.
    """
    found = structured(wanted, text, text=True)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("wanted", "text", "message"),
    [
        (int, "five", 'is "five", expected an integer'),
        (int, "5.0", "is 5.0, expected an integer"),
        (int, "", 'is "", expected an integer'),
        (int, "5\nother = 1", "expected an integer"),
        (bool, "maybe", 'is "maybe", expected true or false'),
        (float, "nan", "is nan, expected a finite number"),
        (list[str], "a,b", 'is "a,b", expected a list, each value a string\nhint: write it as in TOML: ["a", "b"]'),
        (dict[str, int], "a=1", 'hint: write it as in TOML: { key = "value" }'),
        (list[int], "[" * 10_000, "expected a list, each value an integer"),
        (int, "9" * 10_000, "expected an integer"),
    ],
)
def test_text_that_means_nothing_is_told(wanted: Any, text: str, message: str) -> None:
    """
    Text that cannot be read for its type is shown with the way to write it.
    """
    assert message in str(refused(wanted, text, text=True))


def test_parts_of_a_table_are_read_each_for_its_own_type() -> None:
    """
    Text from the environment that is one key of a table becomes that key's type, and its errors name the variable.
    """
    config = {"components": {"db": {"value": {"max-size": 1, "name": "x"}}}}

    def found(**variables: str) -> SettingValue | SettingError:
        environ = EnvironSource({f"CONDUCTOR_DB__VALUE__{name}": value for name, value in variables.items()})
        settings = load_settings([MappingSource(config), environ])
        field = field_of(Pool)
        return structure_setting("db", field, match_setting(settings.components["db"].values, field))

    good, bad = found(MAX_SIZE="5"), found(MAX_SIZE="x")
    assert isinstance(good, SettingValue)
    assert good.value == Pool(5, "x")
    assert "setting 'value.max_size' from environment: CONDUCTOR_DB__VALUE__MAX_SIZE is \"x\"" in str(bad)


def test_setting_that_is_given_twice_is_told() -> None:
    """
    Two variables that contradict each other are both named.
    """
    error = structure_setting("db", field_of(int), Given(Twice(), "environment: A, environment: a"))
    assert "setting 'value' from environment: A, environment: a is set twice" in str(error)


# -- converters and validators ---------------------------------------------------------------------------------------


def split(text: str) -> list[str]:
    return text.split(",")


def split_any(value):  # type: ignore[no-untyped-def]  # what it takes is not to be known
    return value.split(",") if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("wanted", "converter", "value", "text", "expected", "shown"),
    [
        (list[str], split, "a,b", False, "a,b", '["a", "b"]'),
        (list[str], split, "a,b", True, "a,b", '["a", "b"]'),
        (list[str], split_any, ["a"], False, ["a"], '["a"]'),
        (list[str], split_any, "a,b", True, "a,b", '["a", "b"]'),
        (list[str], split_any, '["a"]', True, ["a"], '["a"]'),
        (tuple[str, ...], tuple, ["a"], False, ["a"], '["a"]'),
        (tuple[str, ...], tuple, '["a"]', True, ("a",), '["a"]'),
        (int, int, "5", False, "5", "5"),
        (int, int, "5", True, 5, "5"),
        (bool, attrs.converters.to_bool, "y", True, "y", "true"),
        (int | None, attrs.converters.optional(int), None, False, None, "none"),
        (Opaque, lambda text: OPAQUE, "x", True, "x", f"<{__name__}.Opaque>"),
        (Path, Path, "a", True, Path("a"), '"a"'),
        (int, attrs.Converter(lambda value, field: len(field.name), takes_field=True), "x", False, "x", "5"),
        (int, attrs.Converter(lambda value, self: 5, takes_self=True), "x", False, "x", '"x"'),
    ],
)
def test_converter_is_honoured(wanted: Any, converter: Any, value: Any, text: bool, expected: Any, shown: str) -> None:
    """
    The constructor gets what the converter expects, and what is shown is what it will make of it.
    """
    found = outcome(field_of(wanted, converter=converter), value, text=text)
    assert isinstance(found, SettingValue), str(found)
    assert (found.value, found.shown) == (expected, shown)


@pytest.mark.parametrize(
    ("wanted", "converter", "value", "text", "message"),
    [
        (list[str], split, ["a"], False, 'is ["a"], expected a string'),
        (int, int, "x", False, "is \"x\": invalid literal for int() with base 10: 'x'"),
        (tuple[str, ...], tuple, "a,b", True, 'is "a,b", expected a list, each value a string'),
        (bool, attrs.converters.to_bool, "maybe", True, 'is "maybe": Cannot convert value to bool'),
    ],
)
def test_value_that_a_converter_refuses_is_told(
    wanted: Any, converter: Any, value: Any, text: bool, message: str
) -> None:
    """
    What a converter cannot take is an error of the setting, before anything is built.
    """
    assert message in str(refused(wanted, value, text=text, converter=converter))


def even(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value % 2:
        raise ValueError(f"{value} is odd", attribute, value)


@pytest.mark.parametrize(
    ("validator", "value", "message"),
    [
        (attrs.validators.ge(0), -1, "is -1, expected a value ≥ 0"),
        (attrs.validators.lt(5), 5, "is 5, expected a value < 5"),
        (attrs.validators.in_([1, 2]), 5, "is 5, expected one of 1, 2"),
        (attrs.validators.optional(attrs.validators.gt(0)), 0, "is 0, expected a value > 0"),
        (attrs.validators.and_(attrs.validators.ge(0), attrs.validators.le(9)), 10, "is 10, expected a value ≤ 9"),
        ([attrs.validators.ge(0), even], 3, "is 3: 3 is odd"),
        (attrs.validators.not_(attrs.validators.in_([1])), 1, "is 1: "),
    ],
)
def test_validator_is_run(validator: Any, value: Any, message: str) -> None:
    """
    Values are checked before anything is built; attrs' own validators are put into words.
    """
    assert message in str(refused(int, value, validator=validator))
    assert structured(int, 2, validator=attrs.validators.ge(0)) == 2


@pytest.mark.parametrize(
    ("validator", "message"),
    [
        (attrs.validators.matches_re("[a-z]+"), "expected text that matches '[a-z]+'"),
        (attrs.validators.min_len(5), "expected a length of at least 5"),
        (attrs.validators.max_len(1), "expected a length of at most 1"),
    ],
)
def test_validator_of_text_is_put_into_words(validator: Any, message: str) -> None:
    """
    The rules for text that attrs knows are told in words as well.
    """
    assert message in str(refused(str, "X1", validator=validator))


def test_validator_decides_on_infinity() -> None:
    """
    Infinity is fine where a validator accepts it; without one, nobody has said so.
    """
    assert structured(float, math.inf, validator=attrs.validators.gt(0)) == math.inf
    assert "expected a value > 0" in str(refused(float, math.nan, validator=attrs.validators.gt(0)))


def test_validator_sees_the_converted_value() -> None:
    """
    As in the constructor, converters come before validators.
    """
    options: dict[str, Any] = {"converter": split, "validator": attrs.validators.max_len(2)}
    assert structured(list[str], "a,b", **options) == "a,b"
    assert "a length of at most 2" in str(refused(list[str], "a,b,c", **options))


class Other(Component):
    pass


def check_high(instance: Range, attribute: attrs.Attribute[int], value: int) -> None:
    if value < instance.low:
        raise ValueError(f"{value} is below {instance.low}")


def check_names(instance: Range, attribute: attrs.Attribute[list[str]], value: list[str]) -> None:
    if value and value[0] == str(instance.other):
        raise ValueError("never seen")


class Range(Component):
    low: int = 0
    high: int = setting(default=10, validator=check_high)
    names: list[str] = setting(factory=list, validator=check_names)
    other: Other


def checked(cls: type, given: Mapping[str, Any]) -> list[SettingError]:
    """
    What validators say about the settings of a component together.
    """
    fields = [field for field in fields_of(cls).values() if field.kind is Kind.SETTING]
    values: dict[str, SettingValue] = {}
    for field in fields:
        raw = given.get(field.name)
        found = structure_setting("range", field, None if raw is None else Given(raw, f"config: {field.name}"))
        assert isinstance(found, SettingValue), str(found)
        values[field.name] = found
    return check_together("range", cls, fields, values, distribution="some 1.0")


def test_validator_may_compare_settings() -> None:
    """
    A validator that looks at another setting sees its effective value.
    """
    assert checked(Range, {"low": 5, "high": 7}) == []
    (error,) = checked(Range, {"low": 5, "high": 2})
    assert str(error) == "component 'range' (some 1.0): setting 'high' from config: high is 2: 2 is below 5"


def test_validator_sees_defaults() -> None:
    """
    A default takes part, whether it is the one that is compared with or the one that no longer fits.
    """
    (error,) = checked(Range, {"high": -1})
    assert "-1 is below 0" in str(error)
    (error,) = checked(Range, {"low": 50})
    assert "setting 'high' from default is 10: 10 is below 50" in str(error)


def test_validator_that_looks_at_a_dependency_is_left_to_construction() -> None:
    """
    What cannot be known before the component is built is no problem of its settings.
    """
    assert checked(Range, {"names": ["x"]}) == []


def test_validators_of_an_abstract_class_are_left_to_construction() -> None:
    """
    A class that cannot have an instance is somebody else's problem.
    """

    class Abstract(Component, abc.ABC):
        size: int = setting(default=1, validator=attrs.validators.ge(5))

        @abc.abstractmethod
        def work(self) -> None: ...

    assert checked(Abstract, {}) == []


def test_checking_does_not_run_the_class() -> None:
    """
    Neither the constructor nor what follows it runs while settings are checked.
    """

    class Loud(Component):
        size: int = setting(default=1, validator=attrs.validators.ge(0))

        def __attrs_post_init__(self) -> None:
            raise AssertionError("constructed")

    assert checked(Loud, {"size": 5}) == []


# -- secrets ---------------------------------------------------------------------------------------------------------

HOLDERS: list[tuple[Any, Any]] = [
    (Secret[int], "{}"),
    (Secret[Path], ["{}"]),
    (Secret[str], ["{}"]),
    (Secret[str], {"{}": 1}),
    (Secret[str] | None, ["{}"]),
    (Secret[Colour], "{}"),
    (Secret[Literal["a"]], "{}"),
    (Secret[uuid.UUID], "{}"),
    (Secret[list[int]], ["{}"]),
    (Secret[dict[int, str]], {"{}": "x"}),
    (Secret[Pool], {"{}": 1}),
    (Secret[Opaque], "{}"),
    (Account, "{}"),
    (Account, {"user": "x", "password": ["{}"]}),
    (Account, {"user": "x", "password": 5, "pasword": "{}"}),
    (Account, {"user": ["{}"], "password": 5}),
    (Account | None, "{}"),
    (list[Secret[str]], "{}"),
    (list[Secret[str]], [["{}"]]),
    (dict[str, Secret[int]], {"a": "{}"}),
    (Account | int, "{}"),
]


def fill(shape: Any, secret: str) -> Any:
    """
    A value with a secret in each place that is marked.
    """
    if isinstance(shape, str):
        return secret if shape == "{}" else shape
    if isinstance(shape, dict):
        return {fill(key, secret): fill(value, secret) for key, value in shape.items()}
    return [fill(item, secret) for item in shape] if isinstance(shape, list) else shape


def everything_about(error: BaseException) -> str:
    """
    All that a report, a debugger or a log could show of an exception.
    """
    seen = [str(error), repr(error), f"{error.args!r}", f"{vars(error)!r}", "".join(traceback.format_exception(error))]
    assert error.__cause__ is None
    assert error.__context__ is None
    assert error.__traceback__ is None
    return "".join(seen)


@pytest.mark.parametrize(
    ("wanted", "shape", "text"),
    [
        *((wanted, shape, False) for wanted, shape in HOLDERS),
        *((wanted, shape, True) for wanted, shape in HOLDERS if isinstance(shape, str)),
    ],
)
def test_secret_that_does_not_fit_never_comes_out(wanted: Any, shape: Any, text: bool) -> None:
    """
    Wherever a secret is and whatever is wrong with it, the error holds nothing of it.
    """
    error = refused(wanted, fill(shape, "hunter2"), text=text)
    assert "hunter2" not in everything_about(error)
    assert error.given in (None, "*******")


@given(secret=st.text(min_size=6, alphabet=st.characters(blacklist_categories=["Cs"])), holder=st.sampled_from(HOLDERS))
def test_no_secret_ever_comes_out(secret: str, holder: tuple[Any, Any]) -> None:
    """
    The same for any text that somebody may have as a secret.
    """
    wanted, shape = holder
    found = outcome(field_of(wanted), fill(shape, f"«{secret}»"))
    assert isinstance(found, SettingError)
    told = everything_about(found)
    assert f"«{secret}»" not in told
    assert repr(f"«{secret}»")[1:-1] not in told


def leaking(value: Any) -> Any:
    raise ValueError(f"cannot use {value}")


def leaking_validator(instance: object, attribute: object, value: Any) -> None:
    secret = value.get_secret_value() if isinstance(value, Secret) else value
    raise ValueError(f"cannot use {secret}", secret)


@pytest.mark.parametrize("options", [{"converter": leaking}, {"validator": leaking_validator}])
@pytest.mark.parametrize("wanted", [Secret[str], Secret[str] | None])
def test_code_of_others_cannot_give_a_secret_away(wanted: Any, options: Any) -> None:
    """
    What a converter or validator says about a secret is not repeated.
    """
    error = refused(wanted, "hunter2", **options)
    assert error.given == "*******"
    assert "hunter2" not in everything_about(error)


@attrs.define
class Leaking:
    password: Secret[str]

    def __attrs_post_init__(self) -> None:
        raise ValueError(f"cannot use {self.password.get_secret_value()}")


def test_nested_class_cannot_give_a_secret_away() -> None:
    """
    Nor is what a class with a secret in it says about itself.
    """
    assert "hunter2" not in everything_about(refused(Leaking, {"password": "hunter2"}))


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        (Secret[str], "hunter2"),
        (Secret[str] | None, "hunter2"),
        (Account, {"user": "u", "password": "hunter2"}),
        (list[Secret[str]], ["hunter2"]),
        (dict[str, str], {"api_token": "hunter2"}),
    ],
)
def test_secret_is_masked_where_it_is_shown(wanted: Any, value: Any) -> None:
    """
    A good secret arrives, and is nowhere in what is shown of it.
    """
    found = outcome(field_of(wanted), value)
    assert isinstance(found, SettingValue)
    assert "*******" in found.shown
    assert "hunter2" not in f"{found}{found!r}"


def test_secret_default_is_masked() -> None:
    """
    A secret that the class itself declares is not shown either.
    """

    class Weak(Component):
        token: Secret[str] = Secret("hunter2")
        password: str = "hunter2"
        key: Secret[str] = setting(factory=lambda: Secret("hunter2"))
        none: Secret[str] | None = None

    found = {name: structure_setting("weak", field, None) for name, field in fields_of(Weak).items()}
    assert all(isinstance(value, SettingValue) for value in found.values())
    assert {name: getattr(value, "shown", "") for name, value in found.items()} == {
        "token": "*******",
        "password": "*******",
        "key": "*******",
        "none": "none",
    }


@pytest.mark.parametrize(
    ("wanted", "assignment", "variable"),
    [
        (Secret[str], "db.value=hunter2", "CONDUCTOR_DB__VALUE "),
        (Secret[str] | None, "db.value=hunter2", "CONDUCTOR_DB__VALUE "),
        (Account, "db.value.password=hunter2", "CONDUCTOR_DB__VALUE__PASSWORD "),
        (Account, 'db.value={user = "x", password = "hunter2"}', "CONDUCTOR_DB__VALUE__PASSWORD "),
        (list[Secret[str]], 'db.value=["hunter2"]', "CONDUCTOR_DB__VALUE "),
        (dict[str, Secret[str]], "db.value.a=hunter2", "CONDUCTOR_DB__VALUE__A "),
    ],
)
def test_secret_is_not_taken_from_the_command_line(wanted: Any, assignment: str, variable: str) -> None:
    """
    Everybody on the machine can see the command line, so a secret on it is refused with a better place named.
    """
    config = {"components": {"db": {"value": {"user": "x"}}}} if wanted is Account else {}
    field = field_of(wanted)
    settings = load_settings([MappingSource(config), AssignmentSource([assignment])])
    error = structure_setting("db", field, match_setting(settings.components["db"].values, field))
    assert isinstance(error, SettingError)
    assert "never from the command line" in str(error)
    assert f"set {variable}in the environment" in str(error)
    assert "hunter2" not in everything_about(error)


def test_neighbours_of_a_secret_may_stand_on_the_command_line() -> None:
    """
    What is not secret itself can be set anywhere.
    """
    config = {"components": {"db": {"value": {"user": "x", "password": "hunter2"}}}}
    field = field_of(Account)
    settings = load_settings([MappingSource(config), AssignmentSource(["db.value.level=5"])])
    found = structure_setting("db", field, match_setting(settings.components["db"].values, field))
    assert isinstance(found, SettingValue)
    assert found.value == Account("x", Secret("hunter2"), 5)


@pytest.mark.parametrize(
    ("wanted", "content", "expected"),
    [
        (Secret[str], "hunter2\n", Secret("hunter2")),
        (Secret[str], "hunter2\r\n", Secret("hunter2")),
        (Secret[str], "hunter2\n\n", Secret("hunter2\n")),
        (Secret[str], "\ufeff5", Secret("5")),
        (Secret[int], "5\n", Secret(5)),
        (Secret[bytes] | None, "5\n", Secret(b"5")),
        (dict[str, Secret[str]], "x", {"a": Secret("x")}),
    ],
)
def test_secret_is_read_from_a_file_of_its_own(tmp_path: Path, wanted: Any, content: str, expected: Any) -> None:
    """
    A table with the one key ``file`` names the file that holds the secret; one line end is cut.
    """
    path = tmp_path / "secret"
    path.write_bytes(content.encode())
    table = {"file": str(path)}
    assert structured(wanted, {"a": table} if isinstance(expected, dict) else table) == expected


def test_file_of_a_secret_may_stand_on_the_command_line(tmp_path: Path) -> None:
    """
    The path of a secret's file is no secret.
    """
    path = tmp_path / "secret"
    path.write_text("hunter2\n")
    settings = load_settings([AssignmentSource([f"db.value.file={path}"])])
    for options, expected in (({}, Secret("hunter2")), ({"converter": Secret}, "hunter2")):
        field = field_of(Secret[str], **options)
        found = structure_setting("db", field, match_setting(settings.components["db"].values, field))
        assert isinstance(found, SettingValue)
        assert found.value == expected


def test_secret_file_goes_through_the_converter(tmp_path: Path) -> None:
    """
    A converter of a secret gets the content of the file, as it would get the value itself.
    """
    path = tmp_path / "secret"
    path.write_text("hunter2\n")
    assert structured(Secret[str], {"file": str(path)}, converter=Secret) == "hunter2"


@pytest.mark.parametrize("make", ["nothing", "directory", "binary", "large", "number"])
def test_secret_file_that_cannot_be_read_is_told(tmp_path: Path, make: str) -> None:
    """
    The error names the file and nothing that is in it.
    """
    path = tmp_path / "secret"
    if make == "directory":
        path.mkdir()
    if make in ("binary", "large"):
        path.write_bytes(b"hunter2\xff" if make == "binary" else b"hunter2" * 200_000)
    error = refused(Secret[str], {"file": 5 if make == "number" else str(path)})
    told = everything_about(error)
    assert "hunter2" not in told
    assert "the path of a file" in told


def test_only_secrets_are_read_from_files(tmp_path: Path) -> None:
    """
    A setting that is no secret has no file of its own, so that no setting reads files by surprise.
    """
    path = tmp_path / "name"
    path.write_text("x")
    assert "expected a string" in str(refused(str, {"file": str(path)}))
    assert structured(dict[str, str], {"file": str(path)}) == {"file": str(path)}


# -- one component's settings ----------------------------------------------------------------------------------------


class Database(Component):
    url: str
    pool_size: int = setting(default=5, help="connections kept open")
    password: Secret[str] = Secret("")


def test_default_is_told() -> None:
    """
    A setting that nobody sets has the default of its class, and says so.
    """
    found = structure_setting("db", fields_of(Database)["pool_size"], None)
    assert found == SettingValue(
        name="pool_size",
        alias="pool_size",
        value=None,
        given=False,
        source="default",
        type="int",
        shown="5",
        help="connections kept open",
    )


def test_default_that_is_made_anew_is_not_made_for_show() -> None:
    """
    A factory that nobody knows is not called only to show what it would give.
    """

    def make() -> str:
        raise AssertionError("called")

    class Made(Component):
        name: str = setting(factory=make)
        names: list[str] = setting(factory=list)

    found = [structure_setting("made", field, None) for field in fields_of(Made).values()]
    assert [getattr(value, "shown", "") for value in found] == ["(computed)", "[]"]


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (int, "int"),
        (str | None, "str | None"),
        (typing.Optional[int], "int | None"),  # noqa: UP045  # many still write it so
        (list[dict[str, Path]], "list[dict[str, Path]]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Literal["a", 5], "Literal['a', 5]"),
        (Secret[str] | None, "Secret[str] | None"),
        (Annotated[int, "x"], "int"),
        (Any, "Any"),
        (Pool, "Pool"),
        (Port, "Port"),
    ],
)
def test_type_is_told_as_it_is_written(wanted: Any, text: str) -> None:
    """
    The type of a setting is shown as its author wrote it.
    """
    found = structure_setting("db", field_of(wanted, default=None), None)
    assert isinstance(found, SettingValue)
    assert found.type == text


def test_required_setting_without_a_value_says_how_to_give_one() -> None:
    """
    The line to write and the variable to set are both in the error.
    """
    error = structure_setting("orders.api", fields_of(Database)["url"], None)
    assert str(error) == (
        "component 'orders.api': setting 'url' has no value, expected a string\n"
        "hint: write '[components.\"orders.api\"] url = …' in conductor.toml, "
        "or set CONDUCTOR_ORDERS_API__URL in the environment"
    )


def test_required_secret_without_a_value_says_how_to_give_one() -> None:
    """
    For a secret, the better places are named.
    """
    error = structure_setting("db", field_of(Secret[str]), None)
    assert str(error).endswith(
        "hint: write '[components.db.value] file = …' in conductor.toml, or set CONDUCTOR_DB__VALUE in the "
        "environment, or CONDUCTOR_DB__VALUE_FILE to the path of a file"
    )


@given(
    component=st.from_regex(r"[a-z]([a-z0-9]|[-_.][a-z0-9])*", fullmatch=True), name=st.sampled_from(["url", "_a_b"])
)
def test_variable_that_is_named_is_the_one_that_is_read(component: str, name: str) -> None:
    """
    Whoever sets the variable that an error names has set the setting.
    """
    settings = load_settings([EnvironSource({variable_name(component, name): "x"})])
    (table,) = settings.components.values()
    field = attrs.evolve(field_of(str), name=name)
    found = match_setting(table.values, field)
    assert found is not None
    assert found.value == "x"
    assert list(load_settings([MappingSource({"components": {component: {}}})]).components) == list(settings.components)


@pytest.mark.parametrize("name", ["pool_size", "pool-size", "Pool.Size"])
def test_setting_is_found_by_any_spelling(name: str) -> None:
    """
    Case and the kind of separator do not make another setting.
    """
    given = Given(5, PLACE)
    assert match_setting({"other": Given(1, ""), name: given}, fields_of(Database)["pool_size"]) is given
    assert match_setting({"poolsize": given}, fields_of(Database)["pool_size"]) is None


def test_exact_spelling_is_found_first() -> None:
    """
    Of two spellings, the one that the class itself uses is meant.
    """
    given = {"pool-size": Given(1, "a"), "pool_size": Given(2, "b")}
    assert match_setting(given, fields_of(Database)["pool_size"]) == Given(2, "b")


def test_unknown_setting_is_told_with_the_nearest_name() -> None:
    """
    A setting that no field takes is never passed over in silence.
    """
    given = {"pool-size": Given(5, PLACE), "Url": Given("x", PLACE), "pasword": Given("hunter2", PLACE)}
    (error,) = unknown_settings("db", given, fields_of(Database).values(), distribution="conductor-db 1.0")
    assert isinstance(error, UnknownSettingError)
    assert str(error) == (
        "component 'db' (conductor-db 1.0): unknown setting 'pasword' from conductor.toml: components.db.value\n"
        "hint: did you mean 'password'?"
    )
    assert len(unknown_settings("db", given, ["url"])) == 2


def test_unknown_setting_that_is_like_none_names_them_all() -> None:
    """
    Without a nearest name, the names that there are help.
    """
    (error,) = unknown_settings("db", {"xyz": Given(1, PLACE)}, ["url", "echo"])
    assert error.hint == "it has echo, url"
    (error,) = unknown_settings("db", {"xyz": Given(1, PLACE)}, [])
    assert error.hint == "it has no settings"


def test_second_spelling_of_one_setting_is_told() -> None:
    """
    Of two spellings in one table, the one that does not count is named.
    """
    for first, second in (("pool_size", "pool-size"), ("Pool-Size", "pool-size")):
        given = {first: Given(1, "a"), second: Given(2, "b")}
        (error,) = unknown_settings("db", given, ["pool_size"])
        assert error.setting == second
        assert "set already, in another spelling" in str(error)
        assert match_setting(given, fields_of(Database)["pool_size"]) == Given(1, "a")


def test_many_unknown_settings_are_a_short_list() -> None:
    """
    A table that is not for this component at all costs a screenful of problems.
    """
    errors = unknown_settings("db", {f"key{index}": Given(1, PLACE) for index in range(5000)}, ["url"])
    assert len(errors) == MOST + 1
    assert "there are 4980 more" in str(errors[-1])


def secret_file(*, known: bool = True, config: Mapping[str, Any] | None = None, **variables: str) -> Any:
    """
    What is given for the password, and which settings are unknown.
    """
    fields = fields_of(Database)
    environ = EnvironSource({f"CONDUCTOR_DB__{name}": value for name, value in variables.items()})
    table = load_settings([MappingSource({"components": {"db": config or {}}}), environ]).components["db"]
    extra = [] if known else [attrs.evolve(field_of(str), name="password_file")]
    found = match_setting(table.values, fields["password"], known=[*fields.values(), *extra])
    return found, unknown_settings("db", table.values, [*fields.values(), *extra])


def test_variable_may_name_the_file_of_a_secret(tmp_path: Path) -> None:
    """
    ``CONDUCTOR_DB__PASSWORD_FILE`` gives the password, and beats what a settings file says.
    """
    path = tmp_path / "password"
    path.write_text("hunter2\n")
    for config in ({}, {"password": "other"}):
        found, unknown = secret_file(config=config, PASSWORD_FILE=str(path))
        assert unknown == []
        value = structure_setting("db", fields_of(Database)["password"], found)
        assert isinstance(value, SettingValue)
        assert value.value == Secret("hunter2")
        assert value.source == "environment: CONDUCTOR_DB__PASSWORD_FILE"


def test_variable_of_a_setting_that_is_called_so_names_no_file() -> None:
    """
    If the class has a setting ``password_file`` itself, the variable is that setting's.
    """
    assert secret_file(known=False, PASSWORD_FILE="x") == (None, [])


def test_variable_and_variable_of_the_file_contradict_each_other() -> None:
    """
    Neither of the two wins by chance.
    """
    found, _ = secret_file(PASSWORD="a", PASSWORD_FILE="b")
    error = structure_setting("db", fields_of(Database)["password"], found)
    assert "CONDUCTOR_DB__PASSWORD, environment: CONDUCTOR_DB__PASSWORD_FILE is set twice" in str(error)


def test_only_the_environment_names_files_so() -> None:
    """
    In a settings file there is a better way to name the file, so the key is unknown there.
    """
    found, (error,) = secret_file(config={"password_file": "x"})
    assert found is None
    assert error.setting == "password_file"
