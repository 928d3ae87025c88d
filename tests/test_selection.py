"""
Tests of `conductor._selection` and what it is made of, on real distributions: who wins each name.
"""

from __future__ import annotations

import abc
import importlib
import itertools
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from conductor import Component
from conductor._choice import Choice, Layer, candidate_of, imported_class, load_candidate, names_class
from conductor._discovery import Discovery, Entry, Origin, discover
from conductor._selection import Selection
from conductor.exceptions import ConflictError, DeclarationError, EntryError, OverrideError, UnknownComponentError
from conductor.lifecycle import StopRequested
from tests.components import Database, MessageQueue, PostgresDatabase, Storage, WebAPI, request_of, select, settings_of
from tests.conftest import Site

COMPONENTS, OVERRIDES, SUPERSEDES = "conductor.components", "conductor.overrides", "conductor.supersedes"
MODULE = "from conductor import Component\n\nclass {}(Component):\n    pass\n"


def install(site: Site, name: str, *, group: str = COMPONENTS, supersedes: Iterable[str] = (), **entries: str) -> None:
    """
    Install a distribution that publishes classes; each module that it names has the class that is asked for.
    """
    groups: dict[str, Mapping[str, str]] = {group: {key.replace("__", "-"): to for key, to in entries.items()}}
    if supersedes:
        groups[SUPERSEDES] = {key: old for key in entries for old in supersedes}
    modules: dict[str, str] = {}
    for target in entries.values():
        module, _, cls = target.partition(":")
        modules[module] = modules.get(module, "") + MODULE.format(cls)
    site.add(name, entry_points=groups, modules=modules)


def targets(choice: Choice) -> list[str]:
    """
    The chain of a choice that has a winner.
    """
    assert choice.problems == ()
    return [candidate.target for candidate in choice.chain]


def losers(choice: Choice) -> dict[str, str]:
    """
    Who lost, and why.
    """
    return {loser.candidate.target: loser.why for loser in choice.beaten}


@pytest.fixture
def installed(site: Site) -> Site:
    """
    A database and one override of it.
    """
    install(site, "conductor-db", db="stock:Database")
    install(site, "conductor-db-postgres", group=OVERRIDES, db="pg:Database")
    return site


# -- precedence ------------------------------------------------------------------------------------------------------


def test_component_wins_its_own_name(site: Site) -> None:
    """
    Without anybody else, the installed component has its name, with its origin and the rule.
    """
    install(site, "conductor-db", db="stock:Database")
    (candidate,) = select(site=site).choice("db").chain

    assert (candidate.target, candidate.layer) == ("stock:Database", Layer.COMPONENT)
    assert candidate.origin is not None
    assert candidate.origin.distribution == "conductor-db"
    assert candidate.rule == "installed component of 'conductor-db 1.0'"


def test_installed_override_takes_the_place(installed: Site) -> None:
    """
    The override comes first in the chain, the original after it.
    """
    choice = select(site=installed).choice("db")

    assert targets(choice) == ["pg:Database", "stock:Database"]
    assert choice.chain[0].rule == "installed override of 'conductor-db-postgres 1.0'"
    assert installed.imported() == set()


def test_every_layer_beats_the_ones_below(installed: Site) -> None:
    """
    Code beats configuration beats installed override beats component, and what lost stays in the chain.
    """
    config = {"overrides": {"db": "mine:Database"}}
    configured = select(site=installed, config=config).choice("db")
    patched = select(site=installed, config=config, patches=[("db", Database)]).choice("db")

    assert targets(configured) == ["mine:Database", "pg:Database", "stock:Database"]
    assert targets(patched) == ["tests.components:Database", *targets(configured)]
    assert [candidate.layer for candidate in patched.chain] == list(Layer)[:4]
    assert configured.chain[0].rule == "chosen by config: overrides.db"
    assert patched.chain[0].rule == "patch in code"


def test_configuration_chooses_among_distributions(installed: Site) -> None:
    """
    Any of those that are installed can be named, the original too; who is not named has lost to the configuration.
    """
    install(installed, "conductor-db-mysql", group=OVERRIDES, db="my:Database")
    chosen = select(site=installed, config={"overrides": {"db": "Conductor_DB.mysql"}}).choice("db")
    original = select(site=installed, config={"overrides": {"db": "conductor-db"}}).choice("db")

    assert targets(chosen) == ["my:Database", "stock:Database"]
    assert losers(chosen) == {"pg:Database": "chosen by config: overrides.db"}
    assert targets(original) == ["stock:Database"]
    assert set(losers(original)) == {"pg:Database", "my:Database"}


@pytest.mark.parametrize("name", ["db", "DB", "d_b"])
def test_names_are_normalised(site: Site, name: str) -> None:
    """
    An override may spell the name that it replaces in any equal way; the owner's spelling stays.
    """
    spelled = {"db": "db", "DB": "Db", "d_b": "D.b"}[name]
    site.add("a", entry_points={COMPONENTS: {spelled: "stock:Database"}})
    site.add("b", entry_points={OVERRIDES: {name: "pg:Database"}})
    choice = select(site=site).choice(name.lower())

    assert (choice.name, targets(choice)) == (spelled, ["pg:Database", "stock:Database"])


# -- conflicts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(["conductor-db", "a-override", "z-override"])), ids=str)
def test_two_overrides_are_a_conflict(site: Site, order: tuple[str, ...]) -> None:
    """
    Both are named, with the lines to write, whatever was installed first; nothing is imported.
    """
    for name in order:
        if name == "conductor-db":
            install(site, name, db="stock:Database")
        else:
            install(site, name, group=OVERRIDES, db=f"{name[0]}_module:Database")
    site.importable()
    (problem,) = select(site=site).choice("db").problems

    assert isinstance(problem, ConflictError)
    assert problem.candidates == ("a-override", "z-override")
    assert "distributions 'a-override' and 'z-override' both override 'db'" in problem.message
    assert problem.hint == (
        "choose one in conductor.toml under [overrides]: "
        'db = "a-override" or db = "z-override"; or uninstall the others'
    )
    assert site.imported() == set()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("group", [COMPONENTS, OVERRIDES])
def test_order_on_the_path_does_not_decide(site: Site, reverse: bool, group: str) -> None:
    """
    Two folders in either order give the same conflict, of components as well as of overrides.
    """
    other = site.beside("other")
    if group == OVERRIDES:
        install(site, "conductor-db", db="stock:Database")
    install(site, "one", group=group, db="one:Database")
    install(other, "two", group=group, db="two:Database")
    path = [*other.path, *site.path] if reverse else [*site.path, *other.path]
    (problem,) = Selection(discover(path), settings_of()).choice("db").problems

    assert isinstance(problem, ConflictError)
    assert problem.candidates == ("one", "two")


def test_order_in_the_directory_does_not_decide(installed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    However the file system lists a folder, the choice is the same.
    """
    install(installed, "another", group=OVERRIDES, db="another:Database")
    plain, seen = os.listdir, set()
    for order in (sorted, lambda names: sorted(names, reverse=True)):
        monkeypatch.setattr(os, "listdir", lambda path, order=order: order(plain(path)))
        seen.add(str(select(site=installed).choice("db").problems[0]))

    assert len(seen) == 1


def test_two_components_of_one_name_are_refused_before_import(site: Site) -> None:
    """
    The message names both with target and place, and the configuration can choose.
    """
    install(site, "one", db="one:Database")
    install(site, "two", Db="two:Database")
    site.importable()
    (problem,) = select(site=site).choice("db").problems
    chosen = select(site=site, config={"overrides": {"db": "two"}}).choice("db")

    assert isinstance(problem, ConflictError)
    assert "both offer the component" in problem.message
    assert "'one 1.0' with one:Database, in " in problem.message
    assert targets(chosen) == ["two:Database"]
    assert losers(chosen) == {"one:Database": "chosen by config: overrides.db"}
    assert site.imported() == set()


def test_three_are_all_named(site: Site) -> None:
    """
    More than two are told as such.
    """
    for name in ("one", "two", "three"):
        install(site, name, db=f"{name}:Database")

    assert "all offer the component" in str(select(site=site).choice("db").problems[0])


@pytest.mark.parametrize("wish", ["mine:Database", "over"])
def test_what_replaces_any_of_several_originals_ends_their_conflict(site: Site, wish: str) -> None:
    """
    A class or an override that the configuration names needs no original; none is taken by chance.
    """
    for name in ("one", "two"):
        install(site, name, db=f"{name}:Database")
    install(site, "over", group=OVERRIDES, db="mine:Database")
    choice = select(site=site, config={"overrides": {"db": wish}}).choice("db")

    assert targets(choice)[-1] == "mine:Database"
    assert {"one:Database", "two:Database"} <= set(losers(choice))


@pytest.mark.parametrize("group", [COMPONENTS, OVERRIDES])
def test_patch_ends_a_conflict(installed: Site, group: str) -> None:
    """
    A patch in code beats all layers, so it also beats two that could not be told apart.
    """
    install(installed, "another", group=group, db="another:Database")

    assert select(site=installed).choice("db").problems
    assert targets(select(site=installed, patches=[("db", Database)]).choice("db"))[0] == "tests.components:Database"


# -- supersedes ------------------------------------------------------------------------------------------------------


def test_override_supersedes_another_by_name(installed: Site) -> None:
    """
    The newer one wins, and the older one is told to be superseded.
    """
    install(installed, "newer", group=OVERRIDES, supersedes=["conductor_db_postgres"], db="newer:Database")
    choice = select(site=installed).choice("db")

    assert targets(choice) == ["newer:Database", "stock:Database"]
    assert losers(choice) == {"pg:Database": "superseded by 'newer'"}


def test_superseding_is_transitive_and_leaves_others_in_conflict(installed: Site) -> None:
    """
    What supersedes the one that supersedes a third beats both; a stranger still conflicts.
    """
    install(installed, "newer", group=OVERRIDES, supersedes=["conductor_db_postgres"], db="newer:Database")
    install(installed, "newest", group=OVERRIDES, supersedes=["newer"], db="newest:Database")
    assert targets(select(site=installed).choice("db")) == ["newest:Database", "stock:Database"]

    install(installed, "stranger", group=OVERRIDES, db="stranger:Database")
    (problem,) = select(site=installed).choice("db").problems
    assert isinstance(problem, ConflictError)
    assert problem.candidates == ("newest", "stranger")


@pytest.mark.parametrize("third", [False, True])
def test_mutual_superseding_decides_nothing(site: Site, third: bool) -> None:
    """
    Two that supersede each other, directly or through a third, are in conflict.
    """
    install(site, "conductor-db", db="stock:Database")
    circle = ["one", "two", "three"] if third else ["one", "two"]
    for name, old in zip(circle, (*circle[1:], circle[0]), strict=True):
        install(site, name, group=OVERRIDES, supersedes=[old], db=f"{name}:Database")
    (problem,) = select(site=site).choice("db").problems

    assert isinstance(problem, ConflictError)
    assert set(problem.candidates) == set(circle)


def test_superseding_oneself_or_the_absent_is_nothing(installed: Site) -> None:
    """
    Such a declaration neither removes nor decides.
    """
    install(installed, "odd", group=OVERRIDES, supersedes=["odd", "gone"], db="odd:Database")

    assert isinstance(select(site=installed).choice("db").problems[0], ConflictError)
    assert targets(select(site=installed, config={"deny": ["odd"]}).choice("db"))[0] == "pg:Database"


# -- chains ----------------------------------------------------------------------------------------------------------


def test_override_of_an_override_is_followed(site: Site) -> None:
    """
    What overrides the name under which an override is itself published takes the place in the end.
    """
    install(site, "conductor-db", db="stock:Database")
    site.add("pg", entry_points={COMPONENTS: {"pg": "pg:Database"}, OVERRIDES: {"db": "pg : Database"}})
    site.add("fast", entry_points={COMPONENTS: {"fast": "fast:Database"}, OVERRIDES: {"pg": "fast:Database"}})
    install(site, "faster", group=OVERRIDES, fast="faster:Database")
    selection = select(site=site)

    assert targets(selection.choice("db")) == ["faster:Database", "fast:Database", "pg:Database", "stock:Database"]
    assert targets(selection.choice("pg")) == ["faster:Database", "fast:Database", "pg:Database"]


def test_conflict_further_up_the_chain_is_one(site: Site) -> None:
    """
    If nobody can tell who takes the place of the override, nobody can for the original.
    """
    install(site, "conductor-db", db="stock:Database")
    site.add("pg", entry_points={COMPONENTS: {"pg": "pg:Database"}, OVERRIDES: {"db": "pg:Database"}})
    install(site, "one", group=OVERRIDES, pg="one:Database")
    install(site, "two", group=OVERRIDES, pg="two:Database")

    assert isinstance(select(site=site).choice("db").problems[0], ConflictError)


@pytest.mark.parametrize("first", ["a", "b", "c"])
def test_circle_of_overrides_is_an_error(site: Site, first: str) -> None:
    """
    It is drawn from its first name, whichever was asked for first.
    """
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        site.add(name, entry_points={COMPONENTS: {name: f"{name}:C"}, OVERRIDES: {other: f"{name}:C"}})
    (problem,) = select(site=site).choice(first).problems

    assert isinstance(problem, OverrideError)
    assert problem.message == "overrides lead in a circle: a -> c -> b -> a"


def test_patch_of_a_patch_is_followed() -> None:
    """
    The last one wins, and all are in the chain.
    """

    class Fake(Database):
        pass

    class Faker(Fake):
        pass

    choice = select(Database, patches=[(Database, Fake), (Fake, Faker)]).choice("Database")

    assert [candidate.cls for candidate in choice.chain] == [Faker, Fake, Database]


def test_circle_of_patches_is_an_error() -> None:
    """
    Two patches that lead to each other are told; one of a class by itself is nothing.
    """
    circle = [(Database, PostgresDatabase), (PostgresDatabase, Database)]
    (problem,) = select(Database, patches=circle).choice("Database").problems

    assert isinstance(problem, OverrideError)
    assert "patches lead in a circle" in problem.message
    assert len(select(Database, patches=[(Database, Database)]).choice("Database").chain) == 1


# -- patches ---------------------------------------------------------------------------------------------------------


class Contract(abc.ABC):
    """
    A contract in this package.
    """

    @abc.abstractmethod
    def get(self) -> None:
        """
        What is asked for.
        """


def test_patch_by_class_reaches_every_member_of_the_chain(installed: Site) -> None:
    """
    Whoever knows the original or its override by class can replace it.
    """
    installed.importable()
    for module in ("stock", "pg"):
        cls = load_candidate(candidate_of(Entry(COMPONENTS, "x", f"{module}:Database", Origin("", "", ""))))
        assert isinstance(cls, type)
        choice = select(site=installed, patches=[(cls, MessageQueue)]).choice("db")
        assert targets(choice) == ["tests.components:MessageQueue", "pg:Database", "stock:Database"]


def test_patch_by_name_beats_one_by_class() -> None:
    """
    The name says more precisely what is meant.
    """
    patches: list[tuple[type | str, type]] = [(Database, MessageQueue), ("database", PostgresDatabase)]

    for ordered in (patches, patches[::-1]):
        assert select(Database, patches=ordered).choice("Database").chain[0].cls is PostgresDatabase


def test_two_patches_of_one_chain_are_a_conflict() -> None:
    """
    Original and override patched by different classes: nobody can tell which one is meant.
    """
    config = {"overrides": {"Database": "tests.components:PostgresDatabase"}}
    patches: list[tuple[type | str, type]] = [(Database, MessageQueue), (PostgresDatabase, WebAPI)]
    (problem,) = select(Database, config=config, patches=patches).choice("Database").problems

    assert isinstance(problem, ConflictError)
    assert problem.candidates == ("tests.components:MessageQueue", "tests.components:WebAPI")


def test_patch_by_contract(site: Site) -> None:
    """
    Who patches an abstract contract replaces what its package publishes beside it.
    """
    source = """
        import abc
        from conductor import Component
        class Queue(Component, abc.ABC):
            @abc.abstractmethod
            async def publish(self): ...
        class Stored(Queue):
            async def publish(self): ...
        class Other(Component):
            pass
    """
    site.add(
        "mq",
        entry_points={COMPONENTS: {"mq": "mq_package:Stored", "other": "mq_package:Other"}},
        modules={"mq_package": source},
    )
    site.importable()
    queue = importlib.import_module("mq_package").Queue

    selection = select(site=site, patches=[(queue, MessageQueue)])

    assert targets(selection.choice("mq")) == ["tests.components:MessageQueue", "mq_package:Stored"]
    assert targets(selection.choice("other")) == ["mq_package:Other"]


def test_patch_of_a_component_reaches_its_instances(installed: Site) -> None:
    """
    By name of the component, and closer by name of the instance.
    """
    config = {"components": {"reports": {"component": "db"}}}
    patches: list[tuple[type | str, type]] = [("db", Database), ("reports", MessageQueue)]
    one = select(site=installed, config=config, patches=patches[:1])
    both = select(site=installed, config=config, patches=patches)

    assert [one.choice(name).chain[0].cls for name in ("db", "reports")] == [Database, Database]
    assert [both.choice(name).chain[0].cls for name in ("db", "reports")] == [Database, MessageQueue]


# -- broken, inert, unknown --------------------------------------------------------------------------------------------


def test_broken_override_never_falls_back(installed: Site) -> None:
    """
    An override that cannot be used is a problem of the name, though the original could be.
    """
    installed.add("broken", entry_points=f"[{OVERRIDES}]\ndb = not a target\n")
    (problem,) = select(site=installed).choice("db").problems

    assert isinstance(problem, EntryError)
    assert problem.distribution == "broken 1.0"
    assert "not of the form" in problem.message


def test_broken_override_yields_to_the_configuration(installed: Site) -> None:
    """
    Who is named by the application is not kept out by somebody else's broken entry, but not saved from an own one.
    """
    installed.add("broken", entry_points=f"[{OVERRIDES}]\ndb = not a target\n")

    chosen = select(site=installed, config={"overrides": {"db": "conductor-db-postgres"}}).choice("db")
    assert targets(chosen) == ["pg:Database", "stock:Database"]
    assert losers(chosen) == {"notatarget": "broken: " + chosen.beaten[0].candidate.entry.problem}  # type: ignore[union-attr,operator]  # it has both
    (problem,) = select(site=installed, config={"overrides": {"db": "broken"}}).choice("db").problems
    assert isinstance(problem, EntryError)


def test_broken_component_is_a_problem_of_its_name(site: Site) -> None:
    """
    It is told with its distribution; a sound one of the same name takes it.
    """
    site.add("broken", entry_points=f"[{COMPONENTS}]\ndb = not a target\n")
    assert isinstance(select(site=site).choice("db").problems[0], EntryError)

    install(site, "sound", db="stock:Database")
    choice = select(site=site).choice("db")
    assert targets(choice) == ["stock:Database"]
    assert len(choice.beaten) == 1


def test_override_of_nothing_is_inert(site: Site) -> None:
    """
    It is listed as such, and makes no component.
    """
    install(site, "over", group=OVERRIDES, db="pg:Database")
    selection = select(site=site)

    assert selection.override_only() == ("db",)
    assert selection.names() == ()
    assert isinstance(selection.choice("db").problems[0], UnknownComponentError)


@pytest.mark.parametrize(
    ("wish", "words", "hint"),
    [
        ("conductor-db-postgre", "no installed distribution of that name offers 'db'", "'conductor-db-postgres'?"),
        ("zzz", "no installed distribution of that name", "these do: 'conductor-db' and 'conductor-db-postgres'"),
        ("pg:", "not of the form 'module:Class'", None),
        (":Database", "not of the form 'module:Class'", None),
        ("pg: Database", "not of the form 'module:Class'", None),
    ],
)
def test_unknown_wish_of_the_configuration(installed: Site, wish: str, words: str, hint: str | None) -> None:
    """
    It is an error that says where the wish stands, with the nearest name; never a silent fallback.
    """
    (problem,) = select(site=installed, config={"overrides": {"db": wish}}).choice("db").problems

    assert isinstance(problem, OverrideError)
    assert words in problem.message
    assert "config: overrides.db" in problem.message
    assert (hint or "") in (problem.hint or "")


def test_unknown_name_gets_the_nearest(installed: Site) -> None:
    """
    With a hint at what is meant, or at what is there but refused.
    """
    assert select(site=installed).unknown("bd").hint == "did you mean 'db'?"
    assert "conductor list" in (select(site=installed).unknown("zzz").hint or "")
    denied = select(site=installed, config={"deny": ["conductor-db"]})
    assert denied.unknown("db").hint == "'conductor-db' offers it, but allow or deny keep that out"


# -- what takes part -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "chain"),
    [
        ({"allow": ["Conductor.DB"]}, ["stock:Database"]),
        ({"deny": ["conductor_db_postgres"]}, ["stock:Database"]),
        ({"autoload": False}, ["stock:Database"]),
        ({"autoload": False, "overrides": {"db": "conductor-db-postgres"}}, ["pg:Database", "stock:Database"]),
        ({"allow": ["conductor-db", "conductor-db-postgres"]}, ["pg:Database", "stock:Database"]),
        ({"allow": ["conductor-db-postgres"]}, None),
    ],
)
def test_allow_deny_and_autoload(installed: Site, config: Mapping[str, Any], chain: list[str] | None) -> None:
    """
    Whom the application does not allow is not there; without autoload, only those that it names.
    """
    choice = select(site=installed, config=config).choice("db")

    if chain is None:
        assert isinstance(choice.problems[0], UnknownComponentError)
    else:
        assert targets(choice) == chain


def test_ignored_override_is_told(installed: Site) -> None:
    """
    Without autoload it has lost, with the reason, broken or not.
    """
    installed.add("broken", entry_points=f"[{OVERRIDES}]\ndb = not a target\n")

    assert set(losers(select(site=installed, config={"autoload": False}).choice("db")).values()) == {
        "autoload is off, and nobody names it"
    }


def test_superseding_by_whom_is_not_allowed_counts_for_nothing(installed: Site) -> None:
    """
    A denied distribution cannot remove another one.
    """
    install(installed, "newer", group=OVERRIDES, supersedes=["conductor_db_postgres"], db="newer:Database")

    assert targets(select(site=installed, config={"deny": ["newer"]}).choice("db"))[0] == "pg:Database"


# -- further instances -----------------------------------------------------------------------------------------------


def test_instance_has_the_chain_of_its_component(installed: Site) -> None:
    """
    It is one more of whatever takes the component's name, under its own.
    """
    config = {"components": {"reports": {"component": "db"}, "more": {"component": "reports"}}}
    selection = select(site=installed, config=config)

    assert selection.names() == ("db", "more", "reports")
    assert targets(selection.choice("reports")) == ["pg:Database", "stock:Database"]
    assert (selection.choice("reports").instance_of, selection.choice("more").instance_of) == ("db", "reports")
    assert targets(selection.choice("more")) == ["pg:Database", "stock:Database"]


@pytest.mark.parametrize(
    ("tables", "kind", "words"),
    [
        ({"db": {"component": "queue"}}, ConflictError, "'db' exists already"),
        ({"reports": {"component": "bd"}}, UnknownComponentError, "there is no component 'bd', wanted by"),
        ({"one": {"component": "two"}, "two": {"component": "one"}}, OverrideError, "in a circle: one -> two -> one"),
        ({"no name": {"component": "db"}}, DeclarationError, "cannot name a component"),
    ],
)
def test_wrong_instance(installed: Site, tables: Mapping[str, Any], kind: type, words: str) -> None:
    """
    An instance of nothing, of itself, under a taken name or under none is told.
    """
    install(installed, "conductor-mq", queue="mq:Queue")
    (problem,) = select(site=installed, config={"components": tables}).choice(next(iter(tables))).problems

    assert isinstance(problem, kind)
    assert words in problem.sentence()


# -- classes and names -----------------------------------------------------------------------------------------------


def test_added_class_has_its_own_name_or_the_one_it_is_published_under(site: Site) -> None:
    """
    A class in code is known by the name of the class, and a published one by its entry.
    """
    site.add("sample", entry_points={COMPONENTS: {"queue": "tests.components:MessageQueue"}})
    selection = select(Database, MessageQueue, (PostgresDatabase, "pg"), site=site)

    assert selection.names() == ("Database", "pg", "queue")
    assert [selection.published_for(cls) for cls in (Database, MessageQueue, PostgresDatabase, WebAPI)] == [
        "Database",
        "queue",
        "pg",
        None,
    ]


@pytest.mark.parametrize("reverse", [False, True])
def test_class_under_two_names_is_two_components(reverse: bool) -> None:
    """
    One under its own name and one under a given one, whichever was added first; the own name is found by type.
    """
    added: list[type | tuple[type, str]] = [Database, (Database, "second")]
    selection = select(*(added[::-1] if reverse else added))

    assert selection.names() == ("Database", "second")
    assert selection.published_for(Database) == "Database"
    assert select((Database, "one"), (Database, "two")).published_for(Database) is None


def test_wrong_names_of_added_classes() -> None:
    """
    A taken name, two classes of one name and a name that is none are told with the way out.
    """
    other = type("Database", (Component,), {"__module__": "elsewhere"})

    def problem(*added: type | tuple[type, str]) -> str:
        (found,) = select(*added).problems
        return str(found)

    assert "'tests.components:Database' and 'elsewhere:Database' both have the name" in problem(Database, other)
    assert "the name 'DataBase' that 'tests.components:WebAPI' is added under is taken" in problem(
        Database, (WebAPI, "DataBase")
    )
    assert "cannot name a component" in problem((WebAPI, "web api"))
    assert "cannot name a component" in problem(type("Größe", (Component,), {}))
    assert select(Database, Database).problems == []


def test_class_named_like_something_installed_gets_its_full_name(site: Site) -> None:
    """
    Both stay, and can be told apart.
    """
    install(site, "conductor-db", database="stock:Database")

    assert select(Database, site=site).names() == ("database", "tests.components.Database")


def test_class_that_is_published_twice_is_told(site: Site) -> None:
    """
    Nobody can say which of the two names is meant by the class; the alphabet does not decide.
    """
    site.add("sample", entry_points={COMPONENTS: {"a": "tests.components:Database", "b": "tests.components:Database"}})
    selection = select(site=site)

    assert selection.published_names(Database) == ("a", "b")
    assert selection.published_for(Database) is None
    assert isinstance(select(Database, site=site).problems[0], ConflictError)


def test_published_elsewhere_than_defined(site: Site) -> None:
    """
    A class that a package re-exports is known to be published as soon as that package is imported, and not before.
    """
    site.add(
        "sample",
        entry_points={COMPONENTS: {"db": "facade:Db"}},
        modules={"facade": "from tests.components import Database as Db"},
    )
    site.importable()
    selection = select(site=site)

    assert selection.published_for(Database) is None
    importlib.import_module("facade")
    assert selection.newly_known() == {Database}
    assert selection.newly_known() == set()
    assert selection.published_for(Database) == "db"


def test_lazy_package_is_asked_for_its_own_class_only(site: Site) -> None:
    """
    A package that imports on demand gives its own class, but is not made to import anything else, and may fail.
    """
    lazy = """
        asked = []
        def __getattr__(name):
            asked.append(name)
            if name == "Broken":
                raise RuntimeError("not today")
            from lazy._database import Database
            return Database
    """
    own = MODULE.format("Database") + "\nclass Broken(Component):\n    pass\n"
    entries = {"db": "lazy:Database", "other": "lazy:Other", "broken": "lazy:Broken"}
    site.add("sample", entry_points={COMPONENTS: entries}, modules={"lazy": lazy, "lazy._database": own})
    site.importable()
    lazy_database = importlib.import_module("lazy._database")
    own, broken = lazy_database.Database, lazy_database.Broken

    selection = select(site=site)

    assert selection.published_for(own) == "db"
    assert not names_class("lazy:Other", own)
    assert "Other" not in sys.modules["lazy"].asked
    assert selection.published_for(Database) is None
    assert selection.published_for(broken) is None


CONTRACT = """
    import abc
    class Store(abc.ABC):
        @abc.abstractmethod
        def get(self): ...
"""
IMPLEMENTATION = """
    from conductor import Component
    from store._contract import Store
    class {}(Component, Store):
        def get(self): ...
"""


def store(site: Site, **implementations: str) -> type:
    """
    Install a package with an abstract contract and implementations in modules of their own; gives the contract.
    """
    modules = {"store": "", "store._contract": CONTRACT}
    entries = {}
    for name, source in implementations.items():
        modules[f"store.{name}"] = source
        entries[name] = f"store.{name}:{name.title()}"
    site.add("store", entry_points={COMPONENTS: entries}, modules=modules)
    site.importable()
    importlib.import_module("store._contract")
    contract = sys.modules["store._contract"].Store
    assert isinstance(contract, type)
    return contract


def test_contract_is_published_by_its_packages_default(site: Site) -> None:
    """
    An abstract class stands for the one component that its own package publishes as its implementation.
    """
    contract = store(site, files=IMPLEMENTATION.format("Files"), other=MODULE.format("Other"))

    assert select(site=site).published_for(contract) == "files"
    assert select(site=site).published_names(contract) == ()
    assert select(site=site).published_for(Storage) is None


def test_contract_with_two_defaults_is_published_by_none(site: Site) -> None:
    """
    Two implementations beside a contract: nobody can tell.
    """
    contract = store(site, files=IMPLEMENTATION.format("Files"), cloud=IMPLEMENTATION.format("Cloud"))
    selection = select(site=site)

    assert selection.published_beside(contract) == ("cloud", "files")
    assert selection.published_for(contract) is None


def test_default_of_a_contract_is_not_imported_if_it_is_replaced_or_excluded(site: Site) -> None:
    """
    Looking for what implements a contract imports the winner of a name, nobody who lost, and nothing excluded.
    """
    contract = store(site, files=IMPLEMENTATION.format("Files"), cloud=IMPLEMENTATION.format("Cloud"))
    site.add(
        "mine",
        entry_points={OVERRIDES: {"files": "mine:Files"}},
        modules={"mine": IMPLEMENTATION.format("Files")},
    )

    assert select(site=site, config={"exclude": ["cloud"]}).published_for(contract) == "files"
    assert not {"store.files", "store.cloud"} & site.imported()


def test_default_that_does_not_import_is_still_the_default(site: Site) -> None:
    """
    So its failure is told where it is asked for; but what imports goes first.
    """
    contract = store(site, files="raise RuntimeError('not today')")
    assert select(site=site).published_for(contract) == "files"

    site.forget()
    other = site.beside("other")
    other.add("more", entry_points={COMPONENTS: {"more": "store.more:More"}})
    site.add_modules({"store.more": IMPLEMENTATION.format("More")})
    importlib.import_module("store._contract")
    both = Selection(discover([*site.path, *other.path]), settings_of())
    assert both.published_for(sys.modules["store._contract"].Store) == "more"


def test_request_to_stop_passes_through_the_search_for_a_default(site: Site) -> None:
    """
    A signal during such an import is no failure of the component.
    """
    contract = store(site, files="from conductor.lifecycle import StopRequested\nraise StopRequested()")

    with pytest.raises(StopRequested):
        select(site=site).published_for(contract)


def test_exclude_is_known_by_any_spelling() -> None:
    """
    Names are normalised here as everywhere.
    """
    assert select(config={"exclude": ["My_Db"]}).is_excluded("my.db")


# -- targets ---------------------------------------------------------------------------------------------------------


class Outer:
    """
    Holds a nested class.
    """

    class Inner(Component):
        """
        A nested component.
        """


def test_targets_name_classes_without_importing() -> None:
    """
    By path, by identity under another name, nested; what is not imported names nothing yet.
    """
    assert names_class(f"{__name__}:Outer.Inner", Outer.Inner)
    assert imported_class(f"{__name__}:Outer.Inner") is Outer.Inner
    assert names_class(f"{__name__}:Database", Database)
    assert not names_class(f"{__name__}:Database", MessageQueue)
    assert imported_class("not_imported:Database") is None
    assert imported_class(f"{__name__}:names_class") is None
    assert imported_class(f"{__name__}:Outer.Missing.More") is None


def test_selection_scales(site: Site) -> None:
    """
    A thousand names and as many questions by class need no time to speak of.
    """
    lines = "\n".join(f"c{number} = many:C{number}" for number in range(1000))
    site.add("many", entry_points=f"[{COMPONENTS}]\n{lines}\n")
    selection = Selection(discover(site.path), settings_of(), request_of([Database]))
    classes = [type(f"C{number}", (Component,), {"__module__": "many"}) for number in range(1000)]

    assert [selection.published_for(cls) for cls in classes] == [f"c{number}" for number in range(1000)]
    assert sum(len(selection.choice(name).chain) for name in selection.names()) == 1001


def test_chains_may_be_long() -> None:
    """
    A thousand overrides of overrides and as many instances of instances need no deep stack.
    """
    entries = []
    for number in range(1000):
        origin = Origin(f"d{number}", "1.0", f"/d{number}")
        entries.append(Entry(COMPONENTS, f"c{number}", f"m{number}:C", origin))
        if number:
            entries.append(Entry(OVERRIDES, f"c{number - 1}", f"m{number}:C", origin))
    tables = {f"i{number}": {"component": f"i{number + 1}" if number < 999 else "c0"} for number in range(1000)}
    selection = Selection(Discovery(tuple(entries)), settings_of({"components": tables}))

    assert targets(selection.choice("i0")) == [f"m{number}:C" for number in reversed(range(1000))]
    assert len(selection.choice("c500").chain) == 500
