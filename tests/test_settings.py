"""
Sources say what is set and where; all of them together make the settings of an application.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor._settings import MOST, ComponentSettings, Limits, Settings, load_settings
from conductor._sources import (
    AssignmentSource,
    EnvironSource,
    Given,
    MappingSource,
    SettingsSource,
    TomlSource,
    Twice,
    plain,
)
from conductor.exceptions import SettingError, SettingsFileError, UnknownSettingError, UsageError


def write(path: Path, text: str) -> Path:
    """
    A file with a text.
    """
    path.write_text(text)
    return path


def load(*sources: SettingsSource | Mapping[str, Any]) -> Settings:
    """
    The settings of sources, in which a plain mapping stands for settings given in code.
    """
    return load_settings(MappingSource(source) if isinstance(source, Mapping) else source for source in sources)


def environ(**variables: str) -> EnvironSource:
    """
    A source of environment variables, named without their prefix.
    """
    return EnvironSource({f"CONDUCTOR_{name}": value for name, value in variables.items()})


def values(settings: Settings, component: str = "db") -> dict[str, Any]:
    """
    What is set for a component, without any note of where it came from.
    """
    return {name: plain(value) for name, value in settings.components[component].values.items()}


# -- what all sources say together -----------------------------------------------------------------------------------


def test_nothing_given_leaves_the_defaults() -> None:
    """
    Without any source, an application has the settings that it is documented to have.
    """
    assert load() == Settings(
        roots=None, exclude=(), strict=False, autoload=True, limits=Limits(setup=30.0, shutdown=10.0), stop=25.0
    )


def test_application_settings_are_read(tmp_path: Path) -> None:
    """
    Each key of an application's own arrives, with the place that it came from.
    """
    path = write(
        tmp_path / "conductor.toml",
        """
        roots = ["orders-api"]
        exclude = ["orders-metrics"]
        strict = true
        autoload = false
        allow = ["orders"]
        deny = ["evil"]
        [overrides]
        Data_Base = "conductor-db-postgres"
        [limits]
        setup = 3
        shutdown = 4.5
        stop = 20
        health = 2
        blocked = 0.5
        """,
    )
    settings = load(TomlSource(path))
    assert settings.problems == ()
    assert (settings.roots, settings.exclude, settings.strict) == (("orders-api",), ("orders-metrics",), True)
    assert (settings.autoload, settings.allow, settings.deny) == (False, ("orders",), ("evil",))
    assert settings.overrides["data-base"].value == "conductor-db-postgres"
    assert (settings.limits, settings.stop) == (Limits(3.0, 4.5), 20.0)
    assert (settings.health, settings.blocked) == (2.0, 0.5)
    assert settings.sources["limits.stop"] == f"{path}: limits.stop"


def test_component_table_is_read() -> None:
    """
    What Conductor itself wants to know of a component is told apart from the component's settings.
    """
    settings = load(
        {
            "components": {
                "Reports_DB": {
                    "component": "db",
                    "bind": {"queue": "fast"},
                    "limits": {"setup": 5},
                    "after": ["cache"],
                    "url": "sqlite://",
                }
            }
        }
    )
    assert settings.problems == ()
    assert settings.components == {
        "reports-db": ComponentSettings(
            name="Reports_DB",
            component="db",
            bind={"queue": "fast"},
            limits={"setup": 5.0},
            after=("cache",),
            values={"url": Given("sqlite://", "config: components.Reports_DB.url")},
            sources={
                "component": "config: components.Reports_DB.component",
                "bind.queue": "config: components.Reports_DB.bind.queue",
                "limits.setup": "config: components.Reports_DB.limits.setup",
                "after": "config: components.Reports_DB.after",
            },
        )
    }
    assert settings.sources["components.reports-db.bind"] == "config: components.Reports_DB.bind.queue"


def test_later_sources_win(tmp_path: Path) -> None:
    """
    Defaults are beaten by the file, the file by its profile, that by the environment, that by the command line.
    """
    path = write(
        tmp_path / "conductor.toml",
        "[components.db]\na = 1\nb = 1\nc = 1\nd = 1\n[profiles.test.components.db]\nb = 2\nc = 2\nd = 2\n",
    )
    settings = load(TomlSource(path, profile="test"), environ(DB__C="3", DB__D="3"), AssignmentSource(["db.d=4"]))
    given = settings.components["db"].values
    assert {name: (value.value, value.source) for name, value in given.items()} == {
        "a": (1, f"{path}: components.db.a"),
        "b": (2, f"{path}: profiles.test.components.db.b"),
        "c": ("3", "environment: CONDUCTOR_DB__C"),
        "d": ("4", "command line: --set db.d"),
    }


names = st.sampled_from(["a", "b", "c"])
trees = st.dictionaries(names, st.dictionaries(names, st.integers() | st.lists(st.integers(), max_size=2)))


@given(layers=st.lists(trees, max_size=4))
def test_each_setting_is_that_of_the_last_source_that_gives_it(layers: list[dict[str, dict[str, Any]]]) -> None:
    """
    Whatever the sources give, each setting has the value of the last one that gives it, and no other is there.
    """
    expected: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for component, settings in layer.items():
            expected.setdefault(component, {}).update(settings)
    found = load(*({"components": layer} for layer in layers))
    assert {name: values(found, name) for name in found.components} == expected


nested = st.recursive(st.integers(), lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3), max_leaves=6)


@given(layers=st.lists(st.dictionaries(names, nested, max_size=3), max_size=4))
def test_tables_are_merged_key_by_key(layers: list[dict[str, Any]]) -> None:
    """
    However deep a setting is, tables in it are merged and everything else is replaced.
    """

    def merged(lower: Any, upper: Any) -> Any:
        if not (isinstance(lower, dict) and isinstance(upper, dict)):
            return upper
        return {**lower, **{key: merged(lower.get(key), value) for key, value in upper.items()}}

    expected: Any = {}
    for layer in layers:
        expected = merged(expected, layer)
    assert values(load({"components": {"db": {}}}, *({"components": {"db": layer}} for layer in layers))) == expected


def test_merged_table_names_all_its_sources() -> None:
    """
    Of a table that several sources gave parts of, each part knows its own source, and the whole knows all.
    """
    settings = load({"components": {"db": {"pool": {"size": 1, "name": "x"}}}}, environ(DB__POOL__SIZE="5"))
    pool = settings.components["db"].values["pool"]
    assert pool.source == "config: components.db.pool, environment: CONDUCTOR_DB__POOL__SIZE"
    assert pool.value["size"] == Given("5", "environment: CONDUCTOR_DB__POOL__SIZE", text=True, folded=True)
    assert pool.value["name"] == Given("x", "config: components.db.pool.name")


def test_text_replaces_a_table_only_if_it_is_none() -> None:
    """
    A table written on one line in the environment is merged like any other; other text replaces.
    """
    config = {"components": {"db": {"pool": {"size": 1, "name": "x"}}}}
    assert values(load(config, environ(DB__POOL="{size = 5}"))) == {"pool": {"size": 5, "name": "x"}}
    assert values(load(config, environ(DB__POOL="{size = "))) == {"pool": "{size = "}
    assert values(load(config, environ(DB__POOL="5"))) == {"pool": "5"}


def test_spellings_of_one_name_are_one_name() -> None:
    """
    Case and the kind of separator do not make another component or setting, from whatever source.
    """
    settings = load(
        {"components": {"Orders.API": {"page-size": 1}}},
        {"components": {"orders_api": {"Page_Size": 2}}},
        environ(ORDERS_API__PAGE_SIZE="3"),
    )
    assert settings.problems == ()
    assert {name: value.value for name, value in settings.components["orders-api"].values.items()} == {"page-size": "3"}
    assert settings.components["orders-api"].name == "Orders.API"


def test_two_spellings_in_one_source_are_a_problem() -> None:
    """
    One source that has a component twice contradicts itself.
    """
    settings = load({"components": {"my-db": {}, "My_DB": {}}, "overrides": {"a.b": "x", "a-b": "y"}})
    assert [str(problem).splitlines()[0] for problem in settings.problems] == [
        "'components' has 'my-db' and 'My_DB', which are one name",
        "'overrides' has 'a.b' and 'a-b', which are one name",
    ]


def test_two_spellings_in_a_profile_and_below_are_fine(tmp_path: Path) -> None:
    """
    A profile may spell a component in its own way, as any other source may.
    """
    path = write(tmp_path / "conductor.toml", "[components.my-db]\na = 1\n[profiles.p.components.My_DB]\na = 2\n")
    settings = load(TomlSource(path, profile="p"))
    assert settings.problems == ()
    assert values(settings, "my-db") == {"a": 2}


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"roots": "a"}, """setting 'roots' from config: roots is "a", expected a list of names, such as ["a", "b"]"""),
        ({"roots": ["a", 1]}, """setting 'roots' from config: roots is ["a", 1], expected a list of names"""),
        ({"strict": 1}, "setting 'strict' from config: strict is 1, expected true or false"),
        ({"limits": 5}, "setting 'limits' from config: limits is 5, expected a table"),
        ({"limits": {"stop": 0}}, "setting 'limits.stop' from config: limits.stop is 0, expected a number of seconds"),
        ({"limits": {"stop": True}}, "is true, expected a number of seconds, greater than 0"),
        ({"limits": {"stop": float("nan")}}, "is nan, expected a number of seconds"),
        ({"limits": {"stop": float("inf")}}, "is inf, expected a number of seconds"),
        ({"limits": {"stop": 10**400}}, "expected a number of seconds"),
        ({"overrides": {"db": 5}}, "setting 'overrides.db' from config: overrides.db is 5, expected a name in quotes"),
        ({"components": []}, "setting 'components' from config: components is [], expected a table"),
        ({"components": {"db": 5}}, "setting 'components.db' from config: components.db is 5, expected a table"),
        ({"components": {"password": "hunter2"}}, "is *******, expected a table"),
        ({"components": {"db": {"component": ""}}}, "component 'db': setting 'component' from config: components.db."),
        (
            {"components": {"db": {"bind": {"a": 1}}}},
            "component 'db': setting 'bind.a' from config: components.db.bind",
        ),
        ({"components": {"db": {"limits": {"setup": -1}}}}, "component 'db': setting 'limits.setup' from config: "),
        ({"components": {"db": {"after": "x"}}}, "component 'db': setting 'after' from config: components.db.after is"),
    ],
)
def test_wrong_kind_of_value_is_a_problem(config: dict[str, Any], text: str) -> None:
    """
    A value of the wrong kind is told with its place, what was given and what was expected; the default remains.
    """
    settings = load(config)
    (problem,) = settings.problems
    assert isinstance(problem, SettingError)
    assert text in str(problem)
    assert settings.stop == 25.0


@pytest.mark.parametrize(
    ("config", "setting", "hint"),
    [
        ({"root": ["a"]}, "root", "did you mean 'roots'?"),
        ({"limits": {"shut-down": 5}}, "limits.shut-down", "did you mean 'shutdown'?"),
        ({"components": {"db": {"limits": {"stop": 5}}}}, "limits.stop", "did you mean 'setup'?"),
        ({"xyz": {"a": {"b": 1}}}, "xyz", "known here: roots, exclude"),
        ({"profiles": {}}, "profiles", "known here: roots"),
    ],
)
def test_unknown_key_is_a_problem_with_the_nearest_name(config: dict[str, Any], setting: str, hint: str) -> None:
    """
    A key that means nothing is never passed over in silence.
    """
    (problem,) = load(config).problems
    assert isinstance(problem, UnknownSettingError)
    assert problem.setting == setting
    assert problem.source.startswith("config")
    assert hint in str(problem)


def test_thousands_of_unknown_keys_are_a_short_list() -> None:
    """
    A file of another kind costs a screenful of problems, not a hundred thousand.
    """
    problems = load({f"key{index}": 1 for index in range(50_000)}).problems
    assert len(problems) == MOST + 1
    assert "49980 more" in str(problems[-1])


def test_values_are_not_in_the_repr() -> None:
    """
    Nothing is known yet about which value is a secret, so none is shown.
    """
    sources = (
        MappingSource({"components": {"db": {"password": "hunter2"}}}),
        environ(DB__TOKEN="hunter2"),
        AssignmentSource(["db.url=hunter2"]),
    )
    settings = load(*sources)
    assert "hunter2" not in f"{settings!r}{sources!r}"


# -- files -----------------------------------------------------------------------------------------------------------


def test_file_is_found_in_a_directory(tmp_path: Path) -> None:
    """
    Without a name, ``conductor.toml`` is read if it is there, else ``pyproject.toml``, else nothing.
    """
    source = TomlSource(directory=tmp_path)
    assert load(source).roots is None
    write(tmp_path / "pyproject.toml", '[tool.conductor]\nroots = ["project"]\n[tool.other]\nroots = 5\n')
    assert load(source).roots == ("project",)
    assert load(source).sources["roots"] == f"{tmp_path}/pyproject.toml: tool.conductor.roots"
    write(tmp_path / "conductor.toml", 'roots = ["own"]\n')
    assert load(source).roots == ("own",)


@pytest.mark.parametrize("text", ["", "[tool]\n", "tool = 5\n", "[project]\nname = 'x'\n"])
def test_project_file_without_a_table_says_nothing(tmp_path: Path, text: str) -> None:
    """
    A ``pyproject.toml`` of a project that does not speak of Conductor is no source.
    """
    write(tmp_path / "pyproject.toml", text)
    assert load(TomlSource(directory=tmp_path)) == Settings()


def test_project_file_with_something_else_is_an_error(tmp_path: Path) -> None:
    """
    What stands where the table should be is named.
    """
    path = write(tmp_path / "pyproject.toml", "tool.conductor = 5\n")
    with pytest.raises(SettingsFileError, match=r"'tool\.conductor' is not a table"):
        load(TomlSource(path))


def test_named_file_must_be_there(tmp_path: Path) -> None:
    """
    A file that is named and missing is an error, one that is merely looked for is not.
    """
    with pytest.raises(SettingsFileError, match="no such file"):
        load(TomlSource(tmp_path / "conductor.toml"))


def test_broken_file_that_is_found_is_an_error(tmp_path: Path) -> None:
    """
    A link that leads nowhere is not passed over for the next file.
    """
    (tmp_path / "conductor.toml").symlink_to("nowhere")
    write(tmp_path / "pyproject.toml", "")
    with pytest.raises(SettingsFileError, match="no such file"):
        load(TomlSource(directory=tmp_path))


@pytest.mark.parametrize("name", ["tset", "../test", "", "TEST"])
def test_unknown_profile_names_the_known_ones(tmp_path: Path, name: str) -> None:
    """
    A profile that is not in the file is an error, whatever its name looks like.
    """
    path = write(tmp_path / "conductor.toml", "[profiles.test]\nstrict = true\n[profiles.live]\n")
    with pytest.raises(SettingsFileError, match="it has 'live' and 'test'"):
        load(TomlSource(path, profile=name))


def test_profile_without_a_file_is_an_error(tmp_path: Path) -> None:
    """
    A profile that is asked for is never passed over in silence.
    """
    with pytest.raises(SettingsFileError, match="no profile 'test'"):
        load(TomlSource(directory=tmp_path, profile="test"))


def test_profile_is_laid_over_the_rest(tmp_path: Path) -> None:
    """
    A profile has the shape of the file itself; the others do not count.
    """
    path = write(
        tmp_path / "pyproject.toml",
        """
        [tool.conductor]
        roots = ["a"]
        strict = true
        [tool.conductor.profiles.test]
        roots = ["b"]
        overrides.mq = "fake"
        [tool.conductor.profiles.other]
        nonsense = 5
        """,
    )
    settings = load(TomlSource(path, profile="test"))
    assert settings.problems == ()
    assert (settings.roots, settings.strict) == (("b",), True)
    assert settings.overrides["mq"].source == f"{path}: tool.conductor.profiles.test.overrides.mq"


def test_names_in_sources_are_quoted_as_in_the_file() -> None:
    """
    The place of a value can be searched for in the file.
    """
    settings = load({"components": {"a.b": {"x y": 1}}})
    assert settings.components["a-b"].values["x y"].source == 'config: components."a.b"."x y"'


# -- environment -----------------------------------------------------------------------------------------------------


def test_only_names_with_two_underscores_count() -> None:
    """
    Variables that steer Conductor itself, and those of others, are left alone.
    """
    variables = {"CONDUCTOR_PROFILE": "x", "CONDUCTOR_CONFIG": "y", "DB__URL": "z", "PATH": "", "conductor_DB__URL": ""}
    assert load(EnvironSource(variables)) == Settings()


def test_environment_gives_text_in_lower_case() -> None:
    """
    The name of a variable says component, setting and keys in it; the value is still to be read.
    """
    settings = load(environ(ORDERS_API__URL="5", ORDERS_API__POOL__MAX_SIZE="6"))
    table = settings.components["orders-api"]
    assert table.values["url"] == Given("5", "environment: CONDUCTOR_ORDERS_API__URL", text=True, folded=True)
    assert plain(table.values["pool"]) == {"max_size": "6"}


def test_environment_sets_limits_and_bindings() -> None:
    """
    What Conductor itself wants to know can be set by the environment as well.
    """
    settings = load(
        environ(
            LIMITS__STOP="20", DB__LIMITS__SETUP="2.5", DB__BIND__QUEUE="fast", DB__AFTER='["x"]', DB__COMPONENT="y"
        ),
        environ(WEB__BIND='{db = "reports", mq = "fast"}'),
    )
    assert settings.problems == ()
    assert settings.stop == 20.0
    table = settings.components["db"]
    assert (table.limits, table.bind, table.after) == ({"setup": 2.5}, {"queue": "fast"}, ("x",))
    assert table.component == "y"
    assert settings.components["web"].bind == {"db": "reports", "mq": "fast"}


def test_environment_finds_keys_of_any_spelling() -> None:
    """
    Since names of variables have lost their case, they meet whatever key is equal but for it.
    """
    config = {"components": {"web": {"headers": {"X-Frame": "1", "other": "2"}}}}
    assert values(load(config, environ(WEB__HEADERS__X_FRAME="3")), "web") == {
        "headers": {"X-Frame": "3", "other": "2"}
    }


def test_two_variables_for_one_setting_contradict_each_other() -> None:
    """
    Neither of two variables that differ in case only wins by chance.
    """
    given = load(environ(DB__URL="a", Db__url="b")).components["db"].values["url"]
    assert isinstance(given.value, Twice)
    assert given.source == "environment: CONDUCTOR_DB__URL, environment: CONDUCTOR_Db__url"
    (problem,) = load(environ(LIMITS__STOP="1", LIMITS__Stop="2")).problems
    assert "is set twice" in str(problem)


@pytest.mark.parametrize("name", ["__URL", "___URL", "_____", "__"])
def test_variable_without_a_component_is_a_problem(name: str) -> None:
    """
    A variable that looks like a setting and names no component is not passed over in silence.
    """
    (problem,) = load(environ(**{name: "x"})).problems
    assert isinstance(problem, UnknownSettingError)
    assert f"environment: CONDUCTOR_{name}" in str(problem)


@given(variables=st.dictionaries(st.text(alphabet="AbC_0é", max_size=8), st.text(max_size=8), max_size=6))
def test_any_environment_can_be_read(variables: dict[str, str]) -> None:
    """
    Whatever variables there are, they give settings or problems, and reading them never fails.
    """
    settings = load(environ(**variables))
    told = f"{[value.source for table in settings.components.values() for value in table.values.values()]}"
    told += f"{settings.sources}{settings.problems}{[str(problem) for problem in settings.problems]}"
    for name in variables:
        assert "__" not in name or f"CONDUCTOR_{name}" in told


# -- command line ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignment", "component", "expected"),
    [
        ("db.url=sqlite://?a=b", "db", {"url": "sqlite://?a=b"}),
        ("db.pool.size=5", "db", {"pool": {"size": "5"}}),
        ('"a.b".url=x', "a-b", {"url": "x"}),
        ("'a.b' . url =x", "a-b", {"url": "x"}),
        ('db.headers."X.Y"=x', "db", {"headers": {"X.Y": "x"}}),
        ("components.limits.url=x", "limits", {"url": "x"}),
        ("db.url=", "db", {"url": ""}),
    ],
)
def test_assignment_sets_a_component(assignment: str, component: str, expected: dict[str, Any]) -> None:
    """
    The first dot outside of quotes ends the component's name, the first equals sign the setting's.
    """
    settings = load(AssignmentSource([assignment]))
    assert settings.problems == ()
    assert values(settings, component) == expected


def test_assignment_is_not_trusted_with_secrets() -> None:
    """
    What stands on the command line is known to be from there, down to its last part.
    """
    table = load(AssignmentSource(["db.url=x", "db.pool.size=5"])).components["db"]
    assert table.values["url"] == Given("x", "command line: --set db.url", text=True, trusted=False)
    assert not table.values["pool"].trusted
    assert not table.values["pool"].value["size"].trusted


def test_assignment_sets_the_application() -> None:
    """
    The application's own keys can be set as well, written as in TOML.
    """
    settings = load(
        AssignmentSource(
            ["strict=true", 'roots=["a"]', "limits.stop=20", "overrides.my.db=pkg.mod:Cls", "overrides.mq=fake"]
        )
    )
    assert settings.problems == ()
    assert (settings.strict, settings.roots, settings.stop) == (True, ("a",), 20.0)
    assert {name: value.value for name, value in settings.overrides.items()} == {"my-db": "pkg.mod:Cls", "mq": "fake"}


def test_overrides_have_an_option_of_their_own() -> None:
    """
    ``--override`` takes a name with dots in it as it is, and is named as the source.
    """
    settings = load(AssignmentSource.overriding(["my.db=pkg.mod:Cls"]))
    given = settings.overrides["my-db"]
    assert (given.value, given.source) == ("pkg.mod:Cls", 'command line: --override "my.db"')


def test_last_assignment_wins() -> None:
    """
    An option that is repeated means its last value, as with other commands.
    """
    assert values(load(AssignmentSource(["db.url=a", "db.url=b"]))) == {"url": "b"}


@pytest.mark.parametrize("assignment", ["", "db.url", "=x", "db..url=x", ".url=x", "db.=x", "db url=x", 'db."url=x'])
def test_what_is_no_assignment_is_refused(assignment: str) -> None:
    """
    A wrong use of the option is told at once, with the form that it has.
    """
    with pytest.raises(UsageError, match=r"hint: write --set COMPONENT\.SETTING=VALUE"):
        AssignmentSource([assignment])


def test_refused_assignment_does_not_show_its_value() -> None:
    """
    What was meant as a value may be a secret.
    """
    with pytest.raises(UsageError) as caught:
        AssignmentSource(["db.password: hunter2"])
    assert "hunter2" not in str(caught.value)
    with pytest.raises(UsageError, match="--override NAME=DISTRIBUTION"):
        AssignmentSource.overriding(["db"])


@given(assignment=st.text(alphabet="ab.\"= '-", max_size=12))
def test_any_assignment_is_read_or_refused(assignment: str) -> None:
    """
    Whatever is written, it sets something, is a problem, or is refused.
    """
    try:
        settings = load(AssignmentSource([assignment]))
    except UsageError:
        return
    assert settings.components or settings.problems
