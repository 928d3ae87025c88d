"""
Tests of `conductor.exceptions`: an error is data with a sentence.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from conductor import exceptions
from conductor.exceptions import (
    AbandonedError,
    AmbiguousDependencyError,
    ComponentError,
    ConductorError,
    ConflictError,
    CrashError,
    CycleError,
    DeclarationError,
    LimitError,
    LoadError,
    MissingDependencyError,
    Problem,
    ResolutionError,
    RunError,
    SettingError,
    SettingsFileError,
    SetupError,
    ShutdownError,
    UnknownComponentError,
    UnknownSettingError,
    UsageError,
    raise_problems,
)


def classes() -> Iterator[type[BaseException]]:
    """
    Every public error.
    """
    for name, value in vars(exceptions).items():
        if inspect.isclass(value) and issubclass(value, BaseException) and not name.startswith("_"):
            yield value


def test_every_error_is_a_conductor_error_and_in_the_tree() -> None:
    """
    One `except` catches them all, and the drawing on top of the module has every one.
    """
    for cls in classes():
        assert issubclass(cls, ConductorError)
        assert cls.__name__ in (exceptions.__doc__ or "")


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem(message="it is wrong"), "it is wrong"),
        (Problem(component="db", message="it is wrong"), "component 'db': it is wrong"),
        (
            LoadError(component="db", distribution="conductor-db 1.0", message="it fails", hint="mend it"),
            "component 'db' (conductor-db 1.0): it fails\nhint: mend it",
        ),
        (Problem(distribution="conductor-db 1.0", message="it fails"), "(conductor-db 1.0): it fails"),
        (UnknownComponentError(name="bd"), "there is no component 'bd'"),
        (
            MissingDependencyError(component="api", field="db", wanted="m:Database"),
            "component 'api': field 'db' needs 'm:Database', and nothing in the plan provides it",
        ),
        (
            AmbiguousDependencyError(field="db", wanted="m:Database", candidates=("a", "b", "c")),
            "field 'db' needs one 'm:Database', but 'a', 'b' and 'c' provide it",
        ),
        (
            CycleError(cycle=(("a", "b_field"), ("b", "a_field"))),
            "these components need each other: a --b_field--> b --a_field--> a",
        ),
        (SettingError(setting="port", expected="an integer"), "setting 'port' has no value, expected an integer"),
        (
            SettingError(setting="port", source="config", given='"x"', expected="an integer"),
            "setting 'port' from config is \"x\", expected an integer",
        ),
        (
            SettingError(setting="port", source="config", given="-1", message="it must be >= 0"),
            "setting 'port' from config is -1: it must be >= 0",
        ),
        (UnknownSettingError(setting="prot", source="config"), "unknown setting 'prot' from config"),
        (
            SettingsFileError(path="a\x1b.toml", reason="it is no TOML"),
            "cannot read settings from 'a\\x1b.toml': it is no TOML",
        ),
        (UsageError("'spawn' works from set-up to shutdown"), "'spawn' works from set-up to shutdown"),
        (ComponentError("db", "set-up", "d 1", "boom"), "component 'db' (d 1) failed in set-up: boom"),
        (
            LimitError("db", "set-up", limit=0.5, suspended=("a.py:1 in x", "b.py:2 in y")),
            "component 'db': set-up took longer than its limit of 0.5 s, suspended at b.py:2 in y",
        ),
        (
            AbandonedError("db", "shutdown", "d 1", suspended=("a.py:1 in x",)),
            "component 'db' (d 1): shutdown did not end when cancelled and was abandoned, still at a.py:1 in x",
        ),
    ],
)
def test_text_has_place_sentence_and_hint(problem: ConductorError, text: str) -> None:
    """
    `str()` makes the text of the attributes.
    """
    assert str(problem) == text


def test_text_from_strangers_is_escaped() -> None:
    """
    Names, versions, messages and hints cannot steer a terminal; nor can what a group holds.
    """
    hostile = "\x1b[2J\u202e"
    problem = DeclarationError(component=hostile, distribution=hostile, message=hostile, hint=hostile)
    group = ResolutionError("wrong", [problem, ValueError(hostile)])

    assert "\x1b" not in str(problem) + str(group)
    assert "\u202e" not in str(problem) + str(group)
    assert "\x1b" not in "".join(str(value) for value in (problem.as_dict()["message"], problem.as_dict()["hint"]))
    assert "\x1b" not in str(ComponentError(hostile, "run", hostile, hostile))


def test_problem_is_data() -> None:
    """
    Its attributes are there as they were given, and as plain values for JSON.
    """
    problem = ConflictError(component="db", message="two", hint="choose", candidates=("a", "b"))

    assert problem.candidates == ("a", "b")
    assert problem.as_dict() == {
        "kind": "ConflictError",
        "component": "db",
        "distribution": None,
        "message": "two",
        "hint": "choose",
    }


def test_problems_are_told_apart_by_identity() -> None:
    """
    Two problems of the same words are two, and each can be a key.
    """
    assert Problem(message="x") != Problem(message="x")
    assert len({Problem(message="x"), Problem(message="x")}) == 2


def test_changed_problem_is_another_one() -> None:
    """
    A record that is an exception can be evolved like any other.
    """
    problem = DeclarationError(field="x", message="wrong")
    changed = attrs.evolve(problem, component="db")

    assert (changed.component, changed.field, problem.component) == ("db", "x", None)


def test_usage_error_is_a_lookup_error() -> None:
    """
    Whoever looks a component up may catch it as Python's own, and its text has no quotes around.
    """
    error = UsageError("there is no component 'x'")

    assert isinstance(error, LookupError)
    assert str(error) == "there is no component 'x'"


# -- groups ------------------------------------------------------------------------------------------------------------


GROUPS = [ResolutionError, RunError, SetupError, CrashError, ShutdownError]


@pytest.mark.parametrize("kind", GROUPS)
def test_group_lists_everything(kind: Any) -> None:
    """
    The text has every error with its further lines indented, and how many there are.
    """
    group = kind("it is wrong", [Problem(message="one", hint="mend it"), Problem(message="two"), ValueError()])

    assert str(group).splitlines() == [
        "it is wrong (3 in all)",
        "  - one",
        "    hint: mend it",
        "  - two",
        "  - ValueError()",
    ]
    assert str(kind("it is wrong", [Problem(message="one")])) == "it is wrong\n  - one"


@pytest.mark.parametrize("kind", GROUPS)
def test_part_of_a_group_is_of_the_same_kind(kind: Any) -> None:
    """
    `except*`, `split` and `subgroup` give groups of the same class with the same message.
    """
    group = kind("it is wrong", [LoadError(message="one"), ConflictError(message="two")])

    matching, rest = group.split(LoadError)
    assert (type(matching), type(rest), matching.message) == (kind, kind, "it is wrong")
    assert [str(error) for error in rest.exceptions] == ["two"]
    caught: list[type] = []
    try:
        raise group
    except* LoadError as part:
        caught.append(type(part))
    except* ConflictError as part:
        caught.append(type(part))
    assert caught == [kind, kind]


def test_group_is_caught_as_a_conductor_error_and_as_a_group() -> None:
    """
    Both bases hold.
    """
    for kind in GROUPS:
        assert issubclass(kind, ConductorError)
        assert issubclass(kind, ExceptionGroup)


def test_resolution_error_gives_its_problems() -> None:
    """
    In the order in which they were found; whether only settings are wrong decides about the exit code.
    """
    setting = SettingError(setting="port", expected="an integer")
    unknown = UnknownSettingError(setting="prot", source="config")
    graph = LoadError(message="one")

    assert ResolutionError("wrong", [setting, graph]).problems == (setting, graph)
    assert ResolutionError("wrong", [setting, unknown]).only_settings
    assert not ResolutionError("wrong", [setting, graph]).only_settings


def test_problems_are_raised_together_or_not_at_all() -> None:
    """
    Without a problem nothing is raised; with several, one error holds them all.
    """
    raise_problems("wrong", [])
    with pytest.raises(ResolutionError) as caught:
        raise_problems("wrong", iter([LoadError(message="one"), LoadError(message="two")]))

    assert len(caught.value.problems) == 2
