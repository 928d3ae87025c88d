"""
Tests of `conductor._resolution`, `_inclusion` and `_binding`: what is in, who gets what, and what can be wrong.
"""

from __future__ import annotations

import abc
import itertools
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import attrs
import pytest

from conductor import Component, Secret, dependency, setting
from conductor._step import Relation
from conductor.exceptions import (
    AmbiguousDependencyError,
    ConflictError,
    ContractError,
    CycleError,
    DeclarationError,
    LoadError,
    MissingDependencyError,
    OverrideError,
    Problem,
    ResolutionError,
    SettingError,
    UnknownComponentError,
    UnknownSettingError,
)
from conductor.lifecycle import StopRequested
from tests.components import (
    BackgroundWorkers,
    Cache,
    Clock,
    Database,
    FileStorage,
    MessageQueue,
    PostgresDatabase,
    Reporting,
    Storage,
    SystemClock,
    WebAPI,
    injected,
    names,
    plan_of,
    problems_of,
    resolution_of,
)
from tests.conftest import Site

COMPONENTS, OVERRIDES = "conductor.components", "conductor.overrides"
HEAD = "from __future__ import annotations\nimport attrs\nfrom conductor import Component, dependency, setting\n"
SHOP = """
    class Database(Component):
        url: str = "sqlite://"
        def query(self, text): ...
    class Queue(Component):
        pass
    class Shop(Component):
        db: Database
        queue: Queue | None
"""


def install(site: Site, name: str, source: str, *, module: str | None = None, **entries: str) -> None:
    """
    Install a distribution with one module; an entry that begins with `over_` is an override.
    """
    module = module or name.replace("-", "_")
    groups: dict[str, dict[str, str]] = {COMPONENTS: {}, OVERRIDES: {}}
    for entry, cls in entries.items():
        group = OVERRIDES if entry.startswith("over_") else COMPONENTS
        groups[group][entry.removeprefix("over_").replace("_", "-")] = f"{module}:{cls}"
    site.add(name, entry_points=groups, modules={module: HEAD + textwrap.dedent(source)})
    if str(site.folder) not in sys.path:
        site.importable()


@pytest.fixture
def shop(site: Site) -> Site:
    """
    An installed application of three components.
    """
    install(site, "shop", SHOP, db="Database", queue="Queue", shop="Shop")
    return site


def only(problems: tuple[Problem, ...], kind: type[Problem]) -> Any:
    """
    The problem, which is the only one and of this kind.
    """
    assert [type(problem) for problem in problems] == [kind], [str(problem) for problem in problems]
    return problems[0]


# -- what is in, and why ---------------------------------------------------------------------------------------------


def test_classic_application() -> None:
    """
    Each component gets its needs, once for all, and says why it is in.
    """
    plan = plan_of(WebAPI, BackgroundWorkers)

    assert names(plan) == ["Database", "MessageQueue", "WebAPI", "BackgroundWorkers"]
    assert [step.reason for step in plan.steps] == [
        "needed by 'BackgroundWorkers' (field 'db')",
        "needed by 'BackgroundWorkers' (field 'queue')",
        "added in code",
        "added in code",
    ]
    assert plan.by_name["WebAPI"].needs == ("Database", "MessageQueue")


def test_everything_installed_is_in_without_roots(shop: Site) -> None:
    """
    Less what is excluded; whoever can do without it goes on.
    """
    assert names(plan_of(site=shop)) == ["db", "queue", "shop"]
    excluded = plan_of(site=shop, config={"exclude": ["Queue"]})
    assert names(excluded) == ["db", "shop"]
    assert injected(excluded, "shop", "queue") == ()


def test_roots_bring_what_they_need(shop: Site) -> None:
    """
    And what they use if it is installed, but nothing else; that is not even imported.
    """
    install(shop, "other", "class Other(Component): pass", other="Other")
    plan = plan_of(site=shop, config={"roots": ["shop"]})

    assert {step.name: step.reason for step in plan.steps} == {
        "db": "needed by 'shop' (field 'db')",
        "queue": "needed by 'shop' (field 'queue')",
        "shop": "root",
    }
    assert "other" not in shop.imported()


def test_nothing_takes_part_without_being_named(shop: Site) -> None:
    """
    Without autoload and roots, nothing that is installed comes in; roots bring their needs.
    """
    assert names(plan_of(site=shop, config={"autoload": False})) == []
    assert names(plan_of(site=shop, config={"autoload": False, "roots": ["db"]})) == ["db"]


def test_excluded_is_never_imported(shop: Site) -> None:
    """
    Not even to see that nothing is wrong with it.
    """
    install(shop, "bad", "raise AssertionError('it was imported')", bad="Bad")

    assert names(plan_of(site=shop, config={"exclude": ["bad"]})) == ["db", "queue", "shop"]


@pytest.mark.parametrize("roots", [None, ["shop"]])
def test_exclude_of_something_needed_is_told(shop: Site, roots: list[str] | None) -> None:
    """
    Whoever needs it, the field, and what would provide it.
    """
    config = {"exclude": ["db"]} | ({"roots": roots} if roots else {})
    problem = only(problems_of(site=shop, config=config), MissingDependencyError)

    assert (problem.component, problem.field, problem.wanted) == ("shop", "db", "shop:Database")
    assert problem.distribution == "shop 1.0"
    assert "excluded" in problem.hint


def test_exclude_of_what_would_be_created_is_told() -> None:
    """
    A class of one's own can be excluded like anything else.
    """
    problem = only(problems_of(WebAPI, config={"exclude": ["Database"]}), MissingDependencyError)

    assert problem.field == "db"
    assert "excluded" in problem.hint


@pytest.mark.parametrize("config", [{"roots": ["db"], "exclude": ["db"]}, {"exclude": ["WebAPI"]}])
def test_named_and_excluded_is_a_conflict(shop: Site, config: Mapping[str, Any]) -> None:
    """
    A root, or a class that was added, cannot be left out.
    """
    added = [] if "roots" in config else [WebAPI]
    assert any("and excluded" in str(problem) for problem in problems_of(*added, site=shop, config=config))


# -- who gets what ---------------------------------------------------------------------------------------------------


def test_published_class_beats_its_subclasses(site: Site) -> None:
    """
    Exactly the wanted class, though others of the kind are in the plan.
    """
    source = """
        class Base(Component): pass
        class Special(Base): pass
        class User(Component):
            base: Base
    """
    install(site, "sample", source, base="Base", special="Special", user="User")
    plan = plan_of(site=site)

    assert injected(plan, "user", "base") == ("base",)
    assert plan.by_name["user"].bindings[0].rule == "published for exactly this class"


def test_the_one_subclass_in_the_plan() -> None:
    """
    A class that nothing provides exactly is provided by the only one of its kind, instead of one of its own.
    """
    plan = plan_of(WebAPI, PostgresDatabase)

    assert injected(plan, "WebAPI", "db") == ("PostgresDatabase",)
    assert "Database" not in names(plan)


def test_several_of_a_kind_are_ambiguous() -> None:
    """
    All are listed, with the line to write, which then helps.
    """

    class MySQL(Database):
        pass

    problem = only(problems_of(WebAPI, PostgresDatabase, MySQL), AmbiguousDependencyError)
    line = {"components": {"WebAPI": {"bind": {"db": "MySQL"}}}}

    assert problem.candidates == ("MySQL", "PostgresDatabase")
    assert problem.hint == 'choose one: [components.WebAPI] bind = { db = "MySQL" }'
    assert injected(plan_of(WebAPI, PostgresDatabase, MySQL, config=line), "WebAPI", "db") == ("MySQL",)


def test_class_published_twice_is_ambiguous(site: Site) -> None:
    """
    The alphabet does not decide between two names for one class; excluding one does.
    """
    source = "class Base(Component): pass\nclass User(Component):\n    base: Base\n"
    install(site, "sample", source, one="Base", two="Base", user="User")

    assert only(problems_of(site=site), AmbiguousDependencyError).candidates == ("one", "two")
    assert injected(plan_of(site=site, config={"exclude": ["one"]}), "user", "base") == ("two",)


def test_abc_and_protocol_are_provided_by_what_fulfils_them() -> None:
    """
    By inheritance or by shape.
    """

    class User(Component):
        storage: Storage
        clock: Clock

    plan = plan_of(User, FileStorage, SystemClock, Database)

    assert injected(plan, "User", "storage") == ("FileStorage",)
    assert injected(plan, "User", "clock") == ("SystemClock",)
    assert {problem.sentence().split("'")[1] for problem in problems_of(User)} == {"storage", "clock"}


def test_contract_brings_the_default_beside_it(site: Site) -> None:
    """
    A root that needs a contract gets what the contract's package publishes, or whatever took its place.
    """
    source = """
        import abc
        class Queue(Component, abc.ABC):
            @abc.abstractmethod
            def publish(self): ...
        class Stored(Queue):
            def publish(self): ...
        class User(Component):
            queue: Queue
    """
    install(site, "mq", source, mq="Stored", user="User")
    config = {"roots": ["user"]}
    assert injected(plan_of(site=site, config=config), "user", "queue") == ("mq",)

    over = "import mq\nclass Rabbit(mq.Queue):\n    def publish(self): ...\n"
    install(site, "rabbit", over, over_mq="Rabbit")
    assert plan_of(site=site, config=config).by_name["mq"].target == "rabbit:Rabbit"


def test_optional_is_none_or_the_default_if_absent() -> None:
    """
    And what is there otherwise, whatever its name.
    """

    class User(Component):
        cache: Cache | None
        spare: Cache | None = None
        own: Cache = attrs.field(factory=Cache)

    absent, present = plan_of(User), plan_of(User, (Cache, "fast"))

    assert {binding.field: binding.default for binding in absent.by_name["User"].bindings} == {
        "cache": False,
        "spare": True,
        "own": True,
    }
    assert names(absent) == ["User"]
    for field in ("cache", "spare", "own"):
        assert injected(present, "User", field) == ("fast",)
    assert [binding.relation for binding in present.by_name["User"].bindings] == [
        Relation.USES,
        Relation.NEEDS,
        Relation.USES,
    ]


def test_fallback_is_used_if_nothing_provides_the_type() -> None:
    """
    And only then.
    """

    class User(Component):
        storage: Storage = dependency(fallback=FileStorage)

    class Other(Component, Storage):
        async def put(self, key: str, value: bytes) -> None:
            """
            Nothing to do.
            """

    assert injected(plan_of(User), "User", "storage") == ("FileStorage",)
    assert injected(plan_of(User, Other), "User", "storage") == ("Other",)
    assert plan_of(User).by_name["User"].bindings[0].rule == "fallback of field 'storage'"


def test_most_derived_class_is_created_first() -> None:
    """
    What needs a class gets what another one needs of its kind, instead of a second one.
    """

    class One(Component):
        db: Database

    class Two(Component):
        db: PostgresDatabase

    for added in ((One, Two), (Two, One)):
        plan = plan_of(*added)
        assert names(plan) == ["PostgresDatabase", "One", "Two"]


def test_all_of_a_kind_come_in_name_order(site: Site) -> None:
    """
    As a list, or by name; the asking one is left out; those of a root come in for it.
    """
    source = """
        class Router(Component): pass
        class B(Router): pass
        class A(Router): pass
        class Api(Router):
            routers: list[Router]
            by_name: dict[str, Router]
    """
    install(site, "sample", source, z_router="A", a_router="B", api="Api")
    install(site, "strange", "class Strange(Component): pass", strange="Strange")

    for config in ({}, {"roots": ["api"]}):
        plan = plan_of(site=site, config=config)
        for field in ("routers", "by_name"):
            assert injected(plan, "api", field) == ("a-router", "z-router")
        bindings = {binding.field: binding for binding in plan.by_name["api"].bindings}
        assert (bindings["routers"].many, bindings["by_name"].many) == (list, dict)
        assert bindings["routers"].relation is Relation.ALL
        assert ("strange" in names(plan)) is not bool(config)


def test_all_of_nothing_is_empty() -> None:
    """
    A list of a contract that nobody fulfils is no error.
    """

    class User(Component):
        clocks: list[Clock]

    assert injected(plan_of(User), "User", "clocks") == ()


def test_all_of_takes_only_what_may_take_part(site: Site) -> None:
    """
    Without autoload nothing is brought in, or imported, for a list; excluded ones never are.
    """
    source = "class Router(Component): pass\nclass Api(Component):\n    routers: list[Router]\n"
    install(site, "sample", source, api="Api", one="Router")
    install(site, "other", "import sample\nclass Two(sample.Router): pass", two="Two")
    excluded = plan_of(site=site, config={"roots": ["api"], "exclude": ["two"]})

    assert injected(excluded, "api", "routers") == ("one",)
    named = plan_of(site=site, config={"roots": ["api"], "autoload": False})
    assert injected(named, "api", "routers") == ()
    assert "other" not in site.imported()


def test_foreign_attrs_class_is_a_setting_unless_something_provides_it() -> None:
    """
    A class that could be either is decided by what is in the plan.
    """

    @attrs.define
    class Pool:
        size: int = 5

    class User(Component):
        pool: Pool
        pools: list[Pool]
        maybe: Pool | None

    table = {"components": {"User": {"pool": {"size": 7}, "pools": [{"size": 1}]}}}
    as_settings, as_components = plan_of(User, config=table), plan_of(User, (Pool, "pool"))

    assert {value.name: value.value for value in as_settings.by_name["User"].settings} == {
        "pool": Pool(7),
        "pools": [Pool(1)],
    }
    assert injected(as_settings, "User", "maybe") == ()
    for field in ("pool", "pools", "maybe"):
        assert injected(as_components, "User", field) == ("pool",)
    given = plan_of(User, config={"components": {"User": {"pool": {}, "pools": [], "maybe": {"size": 2}}}})
    assert {value.name: value.value for value in given.by_name["User"].settings}["maybe"] == Pool(2)


def test_contract_with_a_default_is_no_setting() -> None:
    """
    No file can write a protocol, so its default applies, and nobody is asked for a value.
    """

    class User(Component):
        clock: Clock = attrs.field(factory=SystemClock)

    plan = plan_of(User)

    assert plan.by_name["User"].settings == ()
    assert plan.by_name["User"].bindings[0].default


# -- by name ---------------------------------------------------------------------------------------------------------


REPORTS = {"components": {"reports": {"component": "Database", "url": "sqlite:///reports.db"}}}


def test_field_names_its_instance() -> None:
    """
    Which is declared in the settings, has settings of its own, and is not found by type.
    """
    plan = plan_of(WebAPI, Reporting, (Database, "Database"), config=REPORTS)

    assert injected(plan, "Reporting", "reports") == ("reports",)
    assert injected(plan, "WebAPI", "db") == ("Database",)
    assert [plan.by_name[name].settings[0].shown for name in ("reports", "Database")] == [
        '"sqlite:///reports.db"',
        '"sqlite:///app.db"',
    ]


def test_application_binds_a_field_to_an_instance() -> None:
    """
    `bind` beats the type, and what the field itself names.
    """
    tables = REPORTS["components"] | {
        "WebAPI": {"bind": {"db": "reports"}},
        "Reporting": {"bind": {"reports": "Database"}},
    }
    plan = plan_of(WebAPI, Reporting, Database, config={"components": tables})

    assert injected(plan, "WebAPI", "db") == ("reports",)
    assert injected(plan, "Reporting", "reports") == ("Database",)
    assert plan.by_name["WebAPI"].bindings[1].rule == "named by bind in config: components.WebAPI.bind.db"


def test_binding_a_list_keeps_it_one() -> None:
    """
    A field that takes several gets a list of the one that is named.
    """

    class User(Component):
        dbs: list[Database]

    config = {"components": {"User": {"bind": {"dbs": "one"}}}}
    plan = plan_of(User, (Database, "one"), (Database, "two"), config=config)

    assert injected(plan, "User", "dbs") == ("one",)
    assert plan.by_name["User"].bindings[0].many is list


@pytest.mark.parametrize(
    ("config", "words", "hint"),
    [
        ({}, "needs the instance 'reports' (field 'reports'), and there is none", "declare it: [components.reports]"),
        (
            {"components": {"report": {"component": "Database"}}},
            "there is none",
            "did you mean 'report'? or declare it",
        ),
        (REPORTS | {"exclude": ["reports"]}, "it is excluded", "take it out of exclude"),
    ],
)
def test_missing_instance_is_told(config: Mapping[str, Any], words: str, hint: str) -> None:
    """
    With what to declare, the nearest name, or that it is excluded.
    """
    problem = only(problems_of(Reporting, Database, config=config), MissingDependencyError)

    assert words in problem.sentence()
    assert hint in problem.hint


def test_bind_to_nothing_is_told_even_if_the_field_is_optional() -> None:
    """
    What the application writes is meant.
    """
    config = {"components": {"WebAPI": {"bind": {"cache": "fats"}}}}
    problem = only(problems_of(WebAPI, (Cache, "fast"), config=config), MissingDependencyError)

    assert "bind in config: components.WebAPI.bind.cache" in problem.sentence()
    assert problem.hint.startswith("did you mean 'fast'?")


def test_optional_named_instance_may_be_absent() -> None:
    """
    A field that names an instance, but can do without, gets None.
    """

    class User(Component):
        reports: Database | None = dependency("reports")

    assert injected(plan_of(User), "User", "reports") == ()


def test_bind_to_the_wrong_kind_is_a_contract_error() -> None:
    """
    With the methods that are missing.
    """
    config = {"components": {"WebAPI": {"bind": {"db": "MessageQueue"}}}}
    problem = only(problems_of(WebAPI, MessageQueue, config=config), ContractError)

    assert problem.component == "MessageQueue"
    assert problem.missing == ("it has no 'query'",)


@pytest.mark.parametrize("field", ["prot", "port"])
def test_bind_of_what_is_no_dependency_is_told(field: str) -> None:
    """
    An unknown field, or a setting.
    """
    config = {"components": {"WebAPI": {"bind": {field: "Database"}}}}
    problem = only(problems_of(WebAPI, Database, config=config), UnknownSettingError)

    assert problem.setting == f"bind.{field}"
    assert "db" in problem.hint or "cache" in problem.hint


# -- overrides and wrappers ------------------------------------------------------------------------------------------


def test_override_is_used_and_the_original_not_imported(shop: Site) -> None:
    """
    Nothing is imported on the original's account.
    """
    install(shop, "fast", "class Fast(Component): pass", over_queue="Fast")
    install(shop, "alone", "class Alone(Component): pass", alone="Alone", over_alone="Alone")
    install(shop, "over", "class Over(Component): pass", over_alone="Over")
    plan = plan_of(site=shop, config={"roots": ["alone"], "overrides": {"alone": "over"}})

    assert plan.by_name["alone"].target == "over:Over"
    assert shop.imported() == {"over"}


def test_override_that_lacks_methods_is_told(shop: Site) -> None:
    """
    With what is missing, once for the place and once for the field, if the original is imported anyway.
    """
    install(shop, "bad", "class Bad(Component):\n    def query(self): ...\n", over_db="Bad")
    problems = problems_of(site=shop, config={"roots": ["shop"]})

    assert {type(problem) for problem in problems} == {ContractError}
    assert any("cannot take the place of 'shop:Database'" in str(problem) for problem in problems)
    assert all(problem.distribution == "bad 1.0" for problem in problems)


WRAPPER = """
    import shop
    class Wrapper(shop.Database):
        inner: shop.Database
        level: int = 1
"""


def test_wrapper_gets_the_original_and_others_the_wrapper(shop: Site) -> None:
    """
    The original has the wrapper's name with `.wrapped`, and both have the settings of the table.
    """
    install(shop, "wrapper", WRAPPER, over_db="Wrapper")
    install(shop, "late", "import shop\nclass Late(Component):\n    after = (shop.Database,)\n", late="Late")
    table = {"components": {"db": {"url": "mine", "level": 2}}}
    plan = plan_of(site=shop, config=table)

    assert injected(plan, "shop", "db") == ("db",)
    assert injected(plan, "db", "inner") == ("db.wrapped",)
    assert plan.by_name["db.wrapped"].target == "shop:Database"
    assert plan.by_name["db.wrapped"].reason == "wrapped by 'db'"
    assert plan.by_name["late"].needs == ("db",)
    assert {value.name: value.value for value in plan.by_name["db"].settings} == {"url": "mine", "level": 2}
    assert plan.by_name["db.wrapped"].settings[0].value == "mine"
    only(problems_of(site=shop, config={"components": {"db": {"levle": 2}}}), UnknownSettingError)


def test_wrapped_can_have_a_table_of_its_own(shop: Site) -> None:
    """
    It is laid over that of the name.
    """
    install(shop, "wrapper", WRAPPER, over_db="Wrapper")
    plan = plan_of(site=shop, config={"components": {"db": {"url": "mine"}, "db.wrapped": {"url": "deep"}}})

    assert plan.by_name["db.wrapped"].settings[0].value == "deep"
    assert plan.by_name["db"].settings[0].value == "mine"


@pytest.mark.parametrize("named", [False, True])
def test_wrapper_of_a_wrapper(shop: Site, named: bool) -> None:
    """
    In two stages, by type or by the name that they all have.
    """
    field = 'inner: shop.Database = dependency("db")' if named else "inner: shop.Database"
    install(shop, "first", f"import shop\nclass First(shop.Database):\n    {field}\n", first="First", over_db="First")
    install(shop, "second", f"import shop\nclass Second(shop.Database):\n    {field}\n", over_first="Second")
    plan = plan_of(site=shop, config={"roots": ["shop"]})

    assert [plan.by_name[name].target for name in ("db", "db.wrapped", "db.wrapped.wrapped")] == [
        "second:Second",
        "first:First",
        "shop:Database",
    ]
    assert injected(plan, "db", "inner") == ("db.wrapped",)
    assert injected(plan, "db.wrapped", "inner") == ("db.wrapped.wrapped",)


def test_wrapper_need_not_be_of_the_kind() -> None:
    """
    A patch that names what it replaces gets that, whatever it is itself.
    """

    class Recorder(Component):
        real: Database

    plan = plan_of(WebAPI, Database, patches=[(Database, Recorder)])

    assert injected(plan, "WebAPI", "db") == ("Database",)
    assert injected(plan, "Database", "real") == ("Database.wrapped",)
    assert plan.by_name["Database"].cls is Recorder


def test_wrapper_of_an_instance_wraps_that_instance(shop: Site) -> None:
    """
    Each instance has a wrapper and a wrapped one of its own.
    """
    install(shop, "wrapper", WRAPPER, over_db="Wrapper")
    plan = plan_of(site=shop, config={"components": {"reports": {"component": "db", "url": "reports"}}})

    assert injected(plan, "reports", "inner") == ("reports.wrapped",)
    assert plan.by_name["reports.wrapped"].settings[0].value == "reports"


def test_name_of_what_is_wrapped_may_be_taken(shop: Site) -> None:
    """
    Then it is told.
    """
    install(shop, "wrapper", WRAPPER, over_db="Wrapper")
    install(shop, "other", "class Other(Component): pass", db_wrapped="Other")

    assert any("wraps is called" in str(problem) for problem in problems_of(site=shop))


def test_pure_replacement_that_shares_a_protocol_is_no_wrapper(site: Site) -> None:
    """
    A field of a protocol that the override happens to fulfil itself is not taken for what it replaces.
    """
    source = """
        from typing import Protocol
        class Closable(Protocol):
            def close(self): ...
        class Database(Component):
            def close(self): ...
        class Handle(Component):
            def close(self): ...
        class Other(Component):
            handle: Closable
            def close(self): ...
    """
    install(site, "sample", source, db="Database", handle="Handle", over_db="Other")

    plan = plan_of(site=site)
    assert injected(plan, "db", "handle") == ("handle",)


# -- patches ---------------------------------------------------------------------------------------------------------


def test_patch_takes_the_place_of_a_class_that_is_not_installed() -> None:
    """
    The seed's way: what is added needs the class, and gets the mock, which may be of any kind.
    """

    class Mock(Component):
        pass

    plan = plan_of(WebAPI, patches=[(MessageQueue, Mock)])

    assert plan.by_name["MessageQueue"].cls is Mock
    assert injected(plan, "WebAPI", "queue") == ("MessageQueue",)
    assert plan.by_name["MessageQueue"].rule == "patch in code"


def test_patch_reaches_an_optional_field() -> None:
    """
    A field that would be None without it.
    """

    class Mock(Cache):
        pass

    plan = plan_of(WebAPI, patches=[(Cache, Mock)])

    assert injected(plan, "WebAPI", "cache") == ("Cache",)


def test_patch_of_a_contract() -> None:
    """
    Nothing but the patch provides it.
    """

    class User(Component):
        storage: Storage
        clock: Clock

    plan = plan_of(User, patches=[(Storage, FileStorage), (Clock, SystemClock)])

    assert [step.cls for step in plan.steps] == [SystemClock, FileStorage, User]


class QueueFirst(Component):
    """
    Asks for the queue before the database.
    """

    queue: MessageQueue
    db: Database


@pytest.mark.parametrize("patches", list(itertools.permutations([(Database, Cache), (MessageQueue, Cache)])))
@pytest.mark.parametrize("added", [*itertools.permutations([WebAPI, Database, MessageQueue]), (WebAPI, QueueFirst)])
def test_one_patch_for_two_classes_is_one_instance(added: Any, patches: Any) -> None:
    """
    It is known by both names, whichever was asked for first, and both names can be looked up.
    """
    plan = plan_of(*added, patches=patches)
    step = plan.by_name["Database"]

    assert (step.cls, step.aliases) == (Cache, ("MessageQueue",))
    assert injected(plan, "WebAPI", "queue") == ("Database",)
    assert {"Database", "MessageQueue"} <= set(plan.choices)


def test_patch_of_a_component_with_instances_is_one_for_each() -> None:
    """
    Instances stay apart.
    """
    plan = plan_of(WebAPI, Reporting, Database, config=REPORTS, patches=[(Database, PostgresDatabase)])

    assert plan.by_name["reports"].cls is plan.by_name["Database"].cls is PostgresDatabase
    assert {value.name: value.value for value in plan.by_name["reports"].settings}["url"] == "sqlite:///reports.db"


def test_shared_patch_that_wraps_is_told() -> None:
    """
    Nobody can tell which of the two it should get.
    """

    class Both(Component):
        inner: Database

    problems = problems_of(WebAPI, patches=[(Database, Both), (MessageQueue, Both)])

    assert any("took several places" in str(problem) for problem in problems)


def test_patch_without_effect_is_told() -> None:
    """
    As a warning, or with strict as an error.
    """
    (warning,) = plan_of(WebAPI, patches=[(SystemClock, Cache)]).warnings
    problem = only(problems_of(WebAPI, patches=[("zzz", Cache)], config={"strict": True}), OverrideError)

    assert "the patch of 'tests.components:SystemClock' by 'tests.components:Cache' has no effect" in warning
    assert "the patch of 'zzz'" in problem.message


# -- order only ------------------------------------------------------------------------------------------------------


class Late(Component):
    """
    Comes after others, by class and by name.
    """

    after: ClassVar[tuple[type | str, ...]] = (Database, Clock, "queue", "absent")


def test_after_orders_what_is_there() -> None:
    """
    By class, by contract and by name; what is absent is passed over, and nothing is brought in.
    """
    plan = plan_of(Late, Database, SystemClock, (MessageQueue, "queue"))

    assert names(plan)[-1] == "Late"
    (binding,) = plan.by_name["Late"].bindings
    assert (binding.relation, binding.providers) == (Relation.AFTER, ("Database", "SystemClock", "queue"))
    assert names(plan_of(Late)) == ["Late"]


def test_after_follows_what_took_the_place() -> None:
    """
    A patch of another kind still comes first.
    """
    plan = plan_of(Late, Database, patches=[(Database, Cache)])

    assert plan.by_name["Late"].needs == ("Database",)


def test_after_in_the_settings() -> None:
    """
    The application may add to the order, and is told of a name that is none.
    """
    config = {"components": {"Database": {"after": ["MessageQueue", "MessageQeue"]}}}
    plan = plan_of(Database, MessageQueue, config=config)

    assert plan.by_name["Database"].needs == ("MessageQueue",)
    assert "did you mean 'MessageQueue'?" in plan.warnings[0]


# -- what can be wrong -----------------------------------------------------------------------------------------------


class Hen(Component):
    """
    Needs the egg.
    """

    egg: Egg


class Egg(Component):
    """
    Needs the hen.
    """

    hen: Hen


class Chick(Component):
    """
    Comes after itself through another.
    """

    after: ClassVar[tuple[type | str, ...]] = ("Feed",)


class Feed(Component):
    """
    Uses the chick.
    """

    chick: Chick | None


def test_cycles_are_drawn_with_the_field_of_each_edge() -> None:
    """
    All of them, order only and optional use included.
    """
    problems = problems_of(Hen, Chick, Feed)

    assert [problem.sentence() for problem in problems if isinstance(problem, CycleError)] == [
        "these components need each other: Chick --after--> Feed --chick--> Chick",
        "these components need each other: Egg --hen--> Hen --egg--> Egg",
    ]


class Link(Component):
    """
    Could have another one above.
    """

    upper: Link | None


class Root(Component):
    """
    Must have another one above.
    """

    upper: Root


def test_nobody_is_what_it_needs() -> None:
    """
    A field of one's own class gets another instance or nothing, never the asking one.
    """
    assert injected(plan_of(Link), "Link", "upper") == ()
    assert only(problems_of(Root), MissingDependencyError).field == "upper"
    config = {"components": {"top": {"component": "Root", "bind": {"upper": "Root"}}}}
    assert isinstance(only(problems_of(Root, config=config), MissingDependencyError), Problem)
    both = {"components": {"below": {"component": "Link", "bind": {"upper": "Link"}}}}
    assert injected(plan_of(Link, config=both), "below", "upper") == ("Link",)


def test_all_problems_are_told_at_once(site: Site) -> None:
    """
    One group for missing, ambiguous, contract, cycle, declaration, load, settings and unknown names.
    """
    source = """
        import abc
        class Contract(abc.ABC):
            @abc.abstractmethod
            def get(self): ...
        class Missing(Component):
            contract: Contract
        class Twice(Component):
            base: "Base"
        class Base(Component): pass
        class One(Base): pass
        class Two(Base): pass
        class Sync(Component):
            def setup(self): ...
        class Nameless(Component):
            x: Nowhere
        class Port(Component):
            port: int
            size: int = 1
        class Hen(Component):
            egg: Egg
        class Egg(Component):
            hen: Hen
    """
    classes = ["Missing", "Twice", "One", "Two", "Sync", "Nameless", "Port", "Hen", "Egg"]
    install(site, "sample", source, **{name.lower(): name for name in classes})
    install(site, "broken", "raise RuntimeError('not today')", broken="Broken")
    config = {
        "roots": [*map(str.lower, classes), "broken", "prot"],
        "overrides": {"prot": "x:Y"},
        "components": {"port": {"size": "x", "szie": 1}, "pork": {"x": 1}},
    }

    assert {(type(problem), problem.component) for problem in problems_of(site=site, config=config)} == {
        (MissingDependencyError, "missing"),
        (AmbiguousDependencyError, "twice"),
        (DeclarationError, "sync"),
        (DeclarationError, "nameless"),
        (SettingError, "port"),
        (UnknownSettingError, "port"),
        (UnknownSettingError, None),
        (CycleError, None),
        (LoadError, "broken"),
        (UnknownComponentError, None),
    }


@pytest.mark.parametrize("name", ["db", "queue", "shop"])
def test_unknown_names_get_the_nearest(shop: Site, name: str) -> None:
    """
    Roots, excludes, overrides and tables, each with its source.
    """
    wrong = name[1] + name[0] + name[2:]
    expected = f"did you mean '{name}'?"

    assert expected in str(only(problems_of(site=shop, config={"roots": [wrong]}), UnknownComponentError))
    override = {"overrides": {wrong: "x:Y"}}
    assert expected in str(only(problems_of(site=shop, config=override), UnknownComponentError))
    table = {"components": {wrong: {"url": "x"}}}
    problem = only(problems_of(site=shop, config=table), UnknownSettingError)
    assert expected in str(problem)
    assert problem.source == f"config: components.{wrong}.url"
    (warning,) = plan_of(site=shop, config={"exclude": [wrong]}).warnings
    assert expected in warning
    assert "config: exclude" in warning
    assert isinstance(only(problems_of(site=shop, config={"exclude": [wrong], "strict": True}), OverrideError), Problem)


def test_unknown_distributions_are_told(shop: Site) -> None:
    """
    A misspelt name in deny would let somebody in.
    """
    (warning,) = plan_of(site=shop, config={"deny": ["shpo"]}).warnings

    assert "'shpo' in deny (config: deny) is no distribution with components; did you mean 'shop'?" in warning


def test_class_of_a_denied_distribution_is_not_built(shop: Site) -> None:
    """
    What is denied does not come in again as a component of its own that a field needs.
    """
    source = "from shop import Queue\n\nclass Other(Component):\n    queue: Queue"
    install(shop, "other", source, other="Other")

    problem = only(problems_of(site=shop, config={"deny": ["shop"]}), MissingDependencyError)

    assert (problem.component, problem.field) == ("other", "queue")
    assert problem.hint == "'shop' offers it, but allow or deny keep that out"


def test_table_of_whom_is_refused_is_left_alone(shop: Site) -> None:
    """
    A distribution can be denied without taking its settings out.
    """
    install(shop, "other", "class Other(Component): pass", other="Other")
    config = {"deny": ["other"], "components": {"other": {"x": 1}}, "exclude": ["other"]}

    assert plan_of(site=shop, config=config).warnings == ()


def test_unknown_setting_gets_the_nearest() -> None:
    """
    With the component and where it stands.
    """
    problem = only(problems_of(Database, config={"components": {"Database": {"ulr": "x"}}}), UnknownSettingError)

    assert (problem.component, problem.setting, problem.source) == (
        "Database",
        "ulr",
        "config: components.Database.ulr",
    )
    assert problem.hint == "did you mean 'url'?"


def test_table_name_may_be_spelt_in_any_equal_way() -> None:
    """
    As everywhere.
    """
    plan = plan_of(Database, config={"components": {"DATABASE": {"url": "x", "limits": {"setup": 3}}}})

    assert plan.by_name["Database"].settings[0].value == "x"
    assert (plan.by_name["Database"].limits.setup, plan.by_name["Database"].limits.shutdown) == (3.0, 10.0)


def test_setting_of_the_wrong_type_is_told_with_its_source() -> None:
    """
    Before anything is built.
    """
    config = {"components": {"WebAPI": {"port": "many"}}}
    problem = only(problems_of(WebAPI, config=config), SettingError)

    assert (problem.component, problem.setting, problem.source) == ("WebAPI", "port", "config: components.WebAPI.port")


def test_reserved_name_of_a_field_that_turns_out_to_be_a_setting() -> None:
    """
    It could have been a dependency, so only the plan can tell.
    """

    @attrs.define
    class Pool:
        size: int = 5

    class User(Component):
        limits: Pool

    assert only(problems_of(User), DeclarationError).field == "limits"
    assert injected(plan_of(User, Pool), "User", "limits") == ("Pool",)


def test_abstract_winner_is_refused() -> None:
    """
    It could not be built, so it is told now, with what it lacks.
    """

    class Half(Component, Storage):
        pass

    problem = only(problems_of(Half), ContractError)
    assert problem.missing == ("it lacks 'put'",)


def test_declaration_problems_have_component_and_distribution(site: Site) -> None:
    """
    And the cause, where there is one.
    """
    install(site, "sample", "class Sample(Component):\n    x: Nowhere\n", sample="Sample")
    problem = only(problems_of(site=site), DeclarationError)

    assert str(problem).startswith("component 'sample' (sample 1.0): field 'x' of class 'sample:Sample'")
    assert isinstance(problem.__cause__, NameError)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise RuntimeError('not today')", "failed: RuntimeError: not today"),
        ("import sys\nsys.exit(0)", "failed: SystemExit: 0"),
        ("raise KeyboardInterrupt", "failed: KeyboardInterrupt"),
        ("raise GeneratorExit", "failed: GeneratorExit"),
        ("import nowhere_at_all", "No module named 'nowhere_at_all'"),
        ("def f(:", "failed: SyntaxError"),
        ("x = 1", "has no attribute 'Bad'"),
        ("Bad = 3", "'bad:Bad' is not a class"),
        ("class Bad: pass", "is not an attrs class"),
        ("raise RuntimeError('postgresql://me:hunter2@host')", "postgresql://me:*******@host"),
        (
            "class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute",
            "Mute: it cannot say what",
        ),
    ],
)
def test_import_that_fails_is_that_components_failure(shop: Site, source: str, words: str) -> None:
    """
    Whatever it raises: the distribution is named, with the remedies, and the others go on.
    """
    install(shop, "bad", source, bad="Bad")
    problem = only(problems_of(site=shop), LoadError)

    assert (problem.component, problem.distribution) == ("bad", "bad 1.0")
    assert words in problem.message
    assert problem.hint == "mend or uninstall 'bad', or add 'bad' to exclude"


def test_failed_import_is_told_once(shop: Site) -> None:
    """
    Though several need it, and nobody is said to miss it.
    """
    install(shop, "bad", "raise RuntimeError('not today')", over_db="Bad")
    install(shop, "user", "import shop\nclass User(Component):\n    db: shop.Database\n", user="User")
    problem = only(problems_of(site=shop), LoadError)

    assert problem.component == "db"


def test_target_of_two_names_is_imported_once(shop: Site) -> None:
    """
    If that fails, it is one failure.
    """
    install(shop, "bad", "raise RuntimeError('not today')", one="Bad", two="Bad")

    assert only(problems_of(site=shop), LoadError).component == "one"


def test_every_problem_is_told_once(site: Site) -> None:
    """
    Also if a root and a list come across it.
    """
    install(site, "api", "class Router(Component): pass\nclass Api(Component):\n    all: list[Router]\n", api="Api")
    install(site, "one", "class A(Component): pass", clash="A")
    install(site, "two", "class B(Component): pass", clash="B")

    assert only(problems_of(site=site, config={"roots": ["api", "clash"]}), ConflictError).component == "clash"


def test_request_to_stop_passes_through(shop: Site) -> None:
    """
    A signal while a component is imported is no failure of it.
    """
    install(shop, "slow", "from conductor.lifecycle import StopRequested\nraise StopRequested()", slow="Slow")

    with pytest.raises(StopRequested):
        plan_of(site=shop)


def test_override_of_nothing_is_told(shop: Site) -> None:
    """
    It is inert, or with strict an error.
    """
    install(shop, "over", "class Over(Component): pass", over_dbx="Over")
    (warning,) = plan_of(site=shop).warnings
    problem = only(problems_of(site=shop, config={"strict": True}), OverrideError)

    assert warning == problem.message == "override 'dbx' has no effect: no component of that name is installed"


def test_conflict_of_whom_nobody_needs_is_no_problem(shop: Site) -> None:
    """
    With roots named, only what is in counts.
    """
    install(shop, "one", "class A(Component): pass", clash="A")
    install(shop, "two", "class B(Component): pass", clash="B")

    assert problems_of(site=shop, config={"roots": ["shop"]}) == ()
    assert isinstance(only(problems_of(site=shop), ConflictError), ConflictError)
    assert not {"one", "two"} & shop.imported()


def test_damaged_distribution_costs_one_warning(shop: Site) -> None:
    """
    It is named, and the others go on.
    """
    shop.add_raw("broken-1.0.dist-info", {})
    shop.add("odd", entry_points=f"[{COMPONENTS}]\nspare = \n[conductor.hooks]\nx = not a target\n")
    config = {"roots": ["shop"]}
    warnings = plan_of(site=shop, config=config).warnings

    assert len(warnings) == 3
    assert "distribution 'broken'" in warnings[0]
    assert all("of 'odd 1.0' is ignored" in warning for warning in warnings[1:])


# -- order does not decide -------------------------------------------------------------------------------------------


class Alone(Component):
    """
    Uses what others bring.
    """

    db: Database | None
    storage: Storage | None
    queue: MessageQueue


CLASSES = (WebAPI, BackgroundWorkers, Alone, FileStorage)


@pytest.mark.parametrize("added", list(itertools.permutations(CLASSES)), ids=lambda added: added[0].__name__)
def test_order_of_adding_does_not_decide(added: tuple[type, ...]) -> None:
    """
    The same plan, to the last word, and the same digest.
    """
    assert plan_of(*added) == plan_of(*CLASSES)
    assert plan_of(*added).digest == plan_of(*CLASSES).digest


@pytest.mark.parametrize("order", list(itertools.permutations(["a: Database", "b: Cache | None", "c: Special"])))
def test_order_of_fields_does_not_decide(order: tuple[str, ...]) -> None:
    """
    What a class needs is the same in any order of its fields.
    """
    types = {"Database": Database, "Cache | None": Cache | None, "Special": PostgresDatabase}
    annotations = {line.partition(": ")[0]: types[line.partition(": ")[2]] for line in order}
    cls = type("User", (Component,), {"__annotations__": annotations, "__module__": __name__})
    plan = plan_of(cls)

    assert names(plan) == ["PostgresDatabase", "User"]
    assert injected(plan, "User", "a") == ("PostgresDatabase",)


@pytest.mark.parametrize("first", ["facade", "user"])
def test_order_of_imports_does_not_decide(site: Site, first: str) -> None:
    """
    A class that somebody else publishes is found, though only an import shows it, and whichever comes in first.
    """
    install(site, "impl", "class Database(Component): pass")
    install(site, "user", "import impl\nclass User(Component):\n    db: impl.Database\n    x: 'impl.Database | None'\n")
    install(site, "facade", "from impl import Database as Db", facade="Db")
    site.add("names", entry_points={COMPONENTS: {("a" if first == "user" else "z") + "-user": "user:User"}})
    plan = plan_of(site=site)

    assert injected(plan, names(plan)[-1], "db") == ("facade",)
    assert len(plan.steps) == 2


@pytest.mark.parametrize("wanted", ["impl.Database", "impl.Database | None"])
@pytest.mark.parametrize("reverse", [False, True])
def test_what_an_import_shows_is_looked_at_again(site: Site, reverse: bool, wanted: str) -> None:
    """
    A class that turns out to be published once another component is imported is found, in any order of the fields.
    """
    fields = [f"db: {wanted}", 'third: Component = dependency("third")']
    lines = "".join(f"    {field}\n" for field in (fields[::-1] if reverse else fields))
    install(site, "impl", "class Database(Component): pass")
    install(site, "user", f"import impl\nclass User(Component):\n{lines}", user="User")
    install(site, "facade", "from impl import Database as Db", facade="Db")
    install(site, "third", "import facade\nclass Third(Component): pass", third="Third")
    plan = plan_of(site=site, config={"roots": ["user"]})

    assert injected(plan, "user", "db") == ("facade",)


def test_classes_of_one_name_are_told_apart_by_their_modules(site: Site) -> None:
    """
    Whichever is asked for first.
    """
    for module in ("beta", "alpha"):
        install(site, module, "class Client(Component): pass")
    fields = ["a: alpha.Client", "b: beta.Client"]
    for number, order in enumerate((fields, fields[::-1])):
        source = "import alpha, beta\nclass User(Component):\n    {}\n    {}\n".format(*order)
        install(site, f"user-{number}", source, user="User")
        plan = plan_of(site=site, config={"overrides": {"user": f"user-{number}"}})
        assert injected(plan, "user", "a") == ("Client",)
        assert injected(plan, "user", "b") == ("beta.Client",)


def test_problems_come_in_the_same_order_too() -> None:
    """
    Whatever was added first.
    """

    class One(Component):
        storage: Storage
        clock: Clock

    class Two(Component):
        clock: Clock
        port: int

    assert [str(problem) for problem in problems_of(One, Two)] == [str(problem) for problem in problems_of(Two, One)]


def test_plan_does_not_depend_on_where_things_lie(site: Site) -> None:
    """
    Two places with the same distributions give the same digest.
    """
    install(site, "shop", SHOP, db="Database", queue="Queue", shop="Shop")
    first = plan_of(site=site)
    site.forget()
    other = site.beside("elsewhere")
    install(other, "shop", SHOP, db="Database", queue="Queue", shop="Shop")
    second = plan_of(site=other)

    assert first.steps[0].origin != second.steps[0].origin
    assert first.digest == second.digest


def test_plan_is_the_same_in_another_process(shop: Site) -> None:
    """
    With any seed of the hashes, the digest is the same.
    """
    source = f"""
        import sys
        sys.path[:0] = [{str(shop.folder)!r}, {sys.path[0]!r}]
        from conductor._discovery import discover
        from conductor._plan import make_plan
        from conductor._resolution import resolve
        from conductor._settings import Settings
        print(make_plan(resolve(discover([{str(shop.folder)!r}]), Settings())).digest)
    """
    digests = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(source)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(digests) == 1


def test_resolving_leaves_no_trace() -> None:
    """
    Nothing is constructed, and a second time gives the same.
    """
    built: list[object] = []

    class Counted(Component):
        port: int = setting(factory=lambda: 1)
        token: Secret[str] = Secret("x")

        def __attrs_post_init__(self) -> None:
            built.append(self)

    assert resolution_of(Counted) == resolution_of(Counted)
    assert built == []


# -- size ------------------------------------------------------------------------------------------------------------


def chain(length: int, *, optional: bool = False) -> list[type]:
    """
    Component classes of which each needs the one before.
    """
    made: list[type] = []
    for number in range(length):
        annotations: dict[str, Any] = {"before": made[-1]} if made else {}
        if optional:
            annotations["cache"] = Cache | None
        body = {"__annotations__": annotations, "__module__": __name__}
        made.append(type(f"C{number:05}", (Component,), body))
    return made


@pytest.mark.parametrize("optional", [False, True])
def test_chain_of_ten_thousand(optional: bool) -> None:
    """
    Depth is unlimited, and the time is that of making the classes.
    """
    classes = chain(10_000, optional=optional)

    began = time.process_time()
    plan = plan_of(classes[-1])
    assert time.process_time() - began < 30
    assert names(plan) == [cls.__name__ for cls in classes]


@pytest.mark.parametrize("contract", [None, Clock])
def test_ten_thousand_side_by_side(contract: type | None) -> None:
    """
    Independent ones, or ones that all use one contract, take no more.
    """
    annotations = {"clock": contract} if contract else {}
    classes: list[type] = [
        type(f"C{number:05}", (Component,), {"__annotations__": annotations, "__module__": __name__})
        for number in range(10_000)
    ]

    began = time.process_time()
    plan = plan_of(*classes, *([SystemClock] if contract else []))
    assert time.process_time() - began < 30
    assert len(plan.steps) == 10_000 + bool(contract)


def test_thousand_mistakes_take_no_time() -> None:
    """
    Telling all of them, each with the nearest name, is bounded too.
    """
    tables = {f"c{number}x": {"x": 1} for number in range(300)}
    classes: list[type] = [type(f"D{number}", (Component,), {"__module__": __name__}) for number in range(1000)]

    began = time.process_time()
    assert len(problems_of(*classes, config={"components": tables})) == 300
    assert time.process_time() - began < 30


def test_error_is_one_group() -> None:
    """
    It says so in its first line, and holds nothing but problems.
    """

    class Shape(Protocol):
        def get(self) -> None:
            """
            What is asked for.
            """

    class Contract(abc.ABC):
        @abc.abstractmethod
        def get(self) -> None:
            """
            What is asked for.
            """

    class User(Component):
        shape: Shape
        contract: Contract

    with pytest.raises(ResolutionError) as caught:
        plan_of(User)
    assert str(caught.value).startswith("the plan is not valid (2 in all)\n  - component 'User'")
    assert all(isinstance(problem, MissingDependencyError) for problem in caught.value.exceptions)
