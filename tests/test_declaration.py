"""
Tests of `conductor._declaration`: what each field of a class is, and what is wrong with a class.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
import gc
import importlib
import sys
import textwrap
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Final, Generic, Literal, NamedTuple, NewType, Protocol, TypedDict, TypeVar

import attrs
import pytest

from conductor import Component, Secret, dependency, setting
from conductor._declaration import Field, Kind, class_path, declaration, is_abstract, is_component_class
from tests.components import Cache, Clock, Database, MessageQueue, Storage, WebAPI
from tests.conftest import Site

T = TypeVar("T")
U = TypeVar("U")
Port = NewType("Port", int)


class Color(enum.Enum):
    """
    An enumeration, whose members are values.
    """

    RED = "red"


@attrs.define
class Pool:
    """
    A foreign attrs class, which may be a table of settings or a component.
    """

    size: int = 5


@dataclasses.dataclass
class Credentials:
    """
    A foreign dataclass.
    """

    user: str


class Options(TypedDict):
    """
    A typed dictionary.
    """

    verbose: bool


class Pair(NamedTuple):
    """
    A named tuple.
    """

    left: int
    right: int


def fields(cls: type) -> dict[str, Field]:
    """
    The fields of a class that is sound.
    """
    declared = declaration(cls)
    assert declared.problems == ()
    return {field.name: field for field in declared.fields}


def wrong(cls: type) -> list[str]:
    """
    What is wrong with a class, one text for each problem.
    """
    return [str(problem) for problem in declaration(cls).problems]


def load(site: Site, source: str, *, future: bool, name: str = "sample") -> ModuleType:
    """
    A module of this source, with or without postponed annotations.
    """
    head = "from __future__ import annotations\n" if future else ""
    site.add_modules({name: head + textwrap.dedent(source)})
    if str(site.folder) not in sys.path:
        site.importable()
    return importlib.import_module(name)


# -- what each field is --------------------------------------------------------------------------------------------


EVERYTHING = """
    from typing import ClassVar
    import attrs
    from conductor import Component, Secret, dependency, setting
    from tests.components import Cache, Clock, Database, MessageQueue, WebAPI
    from tests.test_declaration import Pool

    class Everything(Component):
        after: ClassVar[tuple] = (WebAPI, "cache")
        limit: ClassVar[int] = 3
        db: Database
        cache: Cache | None
        lazy: Cache | None = None
        all_of: list[Database]
        by_name: dict[str, Database]
        reports: Database = dependency("reports")
        spare: Cache = dependency(fallback=Cache)
        anything: int = dependency("number")
        clock: Clock
        pool: Pool
        pools: list[Pool]
        url: str = "x"
        token: Secret[str]
        port: int = setting(default=1, help="TCP port")
        chosen: Database = setting(default=None)
        _engine: Database | None = None
        _secret_queue: MessageQueue
        made: int = attrs.field(init=False)

        async def setup(self) -> None: ...
        async def health(self) -> None: ...
"""


@pytest.mark.parametrize("future", [False, True])
def test_every_kind_of_field_is_told(site: Site, future: bool) -> None:
    """
    Each field is what its annotation and its mark say, postponed annotations or not.
    """
    found = fields(load(site, EVERYTHING, future=future).Everything)

    assert {name: (field.kind, field.wanted) for name, field in found.items()} == {
        "db": (Kind.DEPENDENCY, Database),
        "cache": (Kind.DEPENDENCY, Cache),
        "lazy": (Kind.DEPENDENCY, Cache),
        "all_of": (Kind.DEPENDENCY, Database),
        "by_name": (Kind.DEPENDENCY, Database),
        "reports": (Kind.DEPENDENCY, Database),
        "spare": (Kind.DEPENDENCY, Cache),
        "anything": (Kind.DEPENDENCY, int),
        "clock": (Kind.MAYBE, Clock),
        "pool": (Kind.MAYBE, Pool),
        "pools": (Kind.MAYBE, Pool),
        "url": (Kind.SETTING, str),
        "token": (Kind.SETTING, Secret[str]),
        "port": (Kind.SETTING, int),
        "chosen": (Kind.SETTING, Database),
        "_secret_queue": (Kind.DEPENDENCY, MessageQueue),
    }


@pytest.mark.parametrize("future", [False, True])
def test_details_of_fields(site: Site, future: bool) -> None:
    """
    Whether a field is optional, has a default, takes several, names an instance or is a secret.
    """
    cls = load(site, EVERYTHING, future=future).Everything
    found, declared = fields(cls), declaration(cls)

    assert [name for name, field in found.items() if field.optional] == ["cache", "lazy"]
    assert [name for name, field in found.items() if field.has_default] == ["lazy", "url", "port", "chosen"]
    assert {name: field.many for name, field in found.items() if field.many} == {
        "all_of": list,
        "by_name": dict,
        "pools": list,
    }
    assert (found["reports"].instance, found["spare"].fallback) == ("reports", Cache)
    assert (found["_secret_queue"].alias, found["port"].help) == ("secret_queue", "TCP port")
    assert [name for name, field in found.items() if field.secret] == ["token"]
    assert declared.phases == {"setup", "health"}
    assert declared.after == (WebAPI, "cache")


def kind_of(annotation: Any) -> tuple[Kind, Any, bool, type | None]:
    """
    What a field of this type and without a default is.
    """
    cls = type("Sample", (Component,), {"__annotations__": {"x": annotation}, "__module__": __name__})
    found = fields(cls)["x"]
    return found.kind, found.wanted, found.optional, found.many


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Annotated[Database, "x"], (Kind.DEPENDENCY, Database, False, None)),
        ("Annotated[Database, 'x'] | None", (Kind.DEPENDENCY, Database, True, None)),
        (Annotated[Database | None, "x"], (Kind.DEPENDENCY, Database, True, None)),
        (list[Annotated[Database, "x"]], (Kind.DEPENDENCY, Database, False, list)),
        (dict[str, Database] | None, (Kind.DEPENDENCY, Database, True, dict)),
        (Final[Database], (Kind.DEPENDENCY, Database, False, None)),
        (Storage, (Kind.MAYBE, Storage, False, None)),
        (list[Clock], (Kind.MAYBE, Clock, False, list)),
        (Credentials, (Kind.MAYBE, Credentials, False, None)),
        (Options, (Kind.MAYBE, Options, False, None)),
        (Pair, (Kind.MAYBE, Pair, False, None)),
        (Component, (Kind.DEPENDENCY, Component, False, None)),
        (Color, (Kind.SETTING, Color, False, None)),
        (Path, (Kind.SETTING, Path, False, None)),
        (Port, (Kind.SETTING, Port, False, None)),
        (Any, (Kind.SETTING, Any, False, None)),
        (list[str], (Kind.SETTING, list[str], False, None)),
        (list, (Kind.SETTING, list, False, None)),
        (dict[str, int] | None, (Kind.SETTING, dict[str, int], True, None)),
        (dict[int, Pool], (Kind.SETTING, dict[int, Pool], False, None)),
        (int | str, (Kind.SETTING, int | str, False, None)),
        (Literal["a", "b"], (Kind.SETTING, Literal["a", "b"], False, None)),
        (Secret, (Kind.SETTING, Secret, False, None)),
        (Secret[str] | None, (Kind.SETTING, Secret[str], True, None)),
        (Sequence[int], (Kind.SETTING, Sequence[int], False, None)),
        (Callable[[], int], (Kind.SETTING, Callable[[], int], False, None)),
    ],
    ids=str,
)
def test_type_decides(annotation: Any, expected: tuple[Kind, Any, bool, type | None]) -> None:
    """
    A component class is a dependency, a class that one could fulfil may be one, everything else is a setting.
    """
    assert kind_of(annotation) == expected


@pytest.mark.parametrize("annotation", [Secret[str], Secret, Secret[int] | None, Annotated[Secret[str], "x"]], ids=str)
def test_secret_is_one_in_any_wrapping(annotation: Any) -> None:
    """
    A secret stays one when it is optional or annotated.
    """
    cls = type("Sample", (Component,), {"__annotations__": {"x": annotation}})
    assert fields(cls)["x"].secret


def test_underscore_and_default_make_own_state() -> None:
    """
    Nobody but the class sets such a field, whatever its type; a mark says otherwise.
    """

    class Stateful(Component):
        _db: Database | None = None
        _unresolvable: Nowhere | None = None  # type: ignore[name-defined]  # noqa: F821  # a name that is nowhere
        _port: int = setting(default=1)
        _cache: Cache = dependency()

    found = fields(Stateful)

    assert {name: field.kind for name, field in found.items()} == {"_port": Kind.SETTING, "_cache": Kind.DEPENDENCY}


def test_foreign_attrs_class_is_a_component() -> None:
    """
    An attrs class that has never heard of Conductor has fields and phases all the same.
    """

    @attrs.define
    class Foreign:
        db: Database
        size: int = 1
        after: tuple[str, ...] = ()

        async def setup(self) -> None:
            """
            Nothing to do.
            """

    assert is_component_class(Foreign)
    assert {name: field.kind for name, field in fields(Pool).items()} == {"size": Kind.SETTING}
    assert declaration(Foreign).phases == {"setup"}
    assert declaration(Foreign).after == ()


def test_old_style_attrs_class_is_a_component() -> None:
    """
    `attr.ib(type=...)` without an annotation will do.
    """
    made = attrs.make_class("Made", {"db": attrs.field(type=Database), "size": attrs.field(type=int, default=1)})

    assert {name: field.kind for name, field in fields(made).items()} == {
        "db": Kind.DEPENDENCY,
        "size": Kind.SETTING,
    }


@pytest.mark.parametrize("thing", [Component, Credentials, Clock, int, "Database", None, list[int], Database()])
def test_what_is_no_component_class(thing: object) -> None:
    """
    A dataclass, a protocol, a builtin, an instance and `Component` itself are none.
    """
    assert not is_component_class(thing)


def test_field_named_like_a_phase_is_a_field() -> None:
    """
    A dependency called `health` does not make a phase of its name.
    """

    @attrs.define
    class Named:
        health: Database

    assert list(fields(Named)) == ["health"]
    assert declaration(Named).phases == frozenset()


# -- where names are looked up ------------------------------------------------------------------------------------


def test_local_classes_are_resolved() -> None:
    """
    Postponed annotations of a class in a function speak of the function's names, and of the class itself.
    """

    class Local(Component):
        x: int = 1

    def inner() -> type:
        class Inner(Component):
            local: Local
            me: Inner | None

        return Inner

    found = fields(inner_cls := inner())

    assert (found["local"].wanted, found["me"].wanted) == (Local, inner_cls)


def make_hiding_class() -> type:
    """
    A class whose annotation names something that this function does not know.
    """

    class Made(Component):
        hidden: Hidden  # type: ignore[name-defined]  # noqa: F821  # it is a name of the caller's

    return Made


def test_local_names_are_those_around_the_class_not_of_its_caller() -> None:
    """
    A name of whoever calls the function is not in scope, even if it is the right one by accident.
    """

    class Hidden(Component):
        """
        Seen by the caller only.
        """

    assert Hidden is not None
    assert "'Hidden' cannot be resolved" in wrong(make_hiding_class())[0]


def test_local_names_are_found_through_metaclasses_and_decorators() -> None:
    """
    The frames of a metaclass, of a hook in between and of attrs do not hide the function's names.
    """

    class Local(Component):
        x: int = 1

    class Hooked(Component):
        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)

    class Abstract(Hooked, abc.ABC):
        local: Local

    @attrs.define
    class Defined(Hooked):
        local: Local

    assert fields(Abstract)["local"].wanted is Local
    assert fields(Defined)["local"].wanted is Local


def test_names_of_the_class_body_are_resolved() -> None:
    """
    An annotation may speak of a class that is nested in the component.
    """

    class Outer(Component):
        class Mode(enum.Enum):
            FAST = "fast"

        mode: Mode = Mode.FAST

    assert fields(Outer)["mode"].wanted is Outer.Mode


def test_names_are_looked_up_where_the_field_was_declared(site: Site) -> None:
    """
    An inherited field and a mixin's are resolved in their own modules.
    """
    source = """
        from conductor import Component
        class Hidden(Component):
            x: int = 1
        class Mixin:
            mixed: Hidden
        class Parent(Component):
            inherited: Hidden
    """
    module = load(site, source, future=True)
    child = type("Child", (module.Parent, module.Mixin), {"__module__": __name__})

    assert {name: field.wanted for name, field in fields(child).items()} == {
        "inherited": module.Hidden,
        "mixed": module.Hidden,
    }


@pytest.mark.parametrize("base", ["Component", "Slotted"])
def test_missing_name_is_told_with_class_and_field(site: Site, base: str) -> None:
    """
    A field whose type cannot be resolved is a problem that names class, field and the missing name; others stay.
    """
    source = f"""
        import attrs
        from typing import TYPE_CHECKING
        from conductor import Component
        if TYPE_CHECKING:
            from somewhere import Missing
        Slotted = Component
        class Sample({base}):
            first: Missing | None
            second: list[Missing]
            port: int = 1
        {"Sample = attrs.define(Sample)" if base == "Slotted" else ""}
    """
    declared = declaration(load(site, source, future=True).Sample)

    assert [problem.field for problem in declared.problems] == ["first", "second"]
    assert [field.name for field in declared.fields] == ["port"]
    assert str(declared.problems[0]) == (
        "field 'first' of class 'sample:Sample' has the type 'Missing | None', in which 'Missing' cannot be resolved\n"
        "hint: import 'Missing' at run time (not under TYPE_CHECKING), before the class is used"
    )


def test_problem_is_not_kept_for_ever(site: Site) -> None:
    """
    A class that was asked while its module was half imported is sound afterwards.
    """
    source = """
        from conductor import Component
        from conductor._declaration import declaration
        class Early(Component):
            late: Late
        before = declaration(Early)
        class Late(Component):
            x: int = 1
    """
    module = load(site, source, future=True)

    assert len(module.before.problems) == 1
    assert fields(module.Early)["late"].wanted is module.Late


@pytest.mark.parametrize("annotation", ["list[", "1 / 0", "Database()", "[]"])
def test_type_that_cannot_be_evaluated_is_a_problem(annotation: str) -> None:
    """
    Whatever an annotation raises, it is told with class, field and text.
    """
    cls = type("Sample", (Component,), {"__annotations__": {"x": annotation}, "__module__": __name__})
    assert f"field 'x' of class '{__name__}:Sample' has the type '{annotation}', which cannot be" in wrong(cls)[0]


def test_field_without_a_type_is_a_problem() -> None:
    """
    An attrs field that nobody annotated has no type that could decide.
    """
    assert "field 'x' of class" in wrong(attrs.make_class("Made", ["x"]))[0]


# -- generic classes ------------------------------------------------------------------------------------------------


class Repository(Component, Generic[T]):
    """
    A generic component.
    """

    item: T
    items: list[T]


class Between(Repository[U], Generic[U]):
    """
    Passes its argument on.
    """


class DatabaseRepository(Between[Database]):
    """
    Knows what it holds.
    """


def test_generic_class_with_an_argument_is_its_class() -> None:
    """
    A field of type `Repository[int]` is a dependency on `Repository`.
    """
    assert kind_of(Repository[int]) == (Kind.DEPENDENCY, Repository, False, None)
    assert kind_of(list[Repository[int]]) == (Kind.DEPENDENCY, Repository, False, list)


def test_type_variables_are_filled_in() -> None:
    """
    What a subclass puts in for a type variable is the type of the field, through the generations.
    """
    found = fields(DatabaseRepository)

    assert (found["item"].kind, found["item"].wanted) == (Kind.DEPENDENCY, Database)
    assert (found["items"].wanted, found["items"].many) == (Database, list)
    assert fields(Repository)["item"].wanted is T


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax came with Python 3.12")
@pytest.mark.parametrize("future", [False, True])
def test_new_syntax_for_generics_and_aliases(site: Site, future: bool) -> None:
    """
    `class Box[T]` and `type X = …` mean the same as the older spellings.
    """
    source = """
        from conductor import Component
        from tests.components import Database
        type Db = Database
        class Box[T](Component):
            value: T
        class DbBox(Box[Database]):
            alias: Db
            both: list[Db] | None
    """
    found = fields(load(site, source, future=future).DbBox)

    assert {name: (field.wanted, field.optional) for name, field in found.items()} == {
        "value": (Database, False),
        "alias": (Database, False),
        "both": (Database, True),
    }


# -- what is wrong with a class ---------------------------------------------------------------------------------------


def test_phase_that_is_no_coroutine_function_is_a_problem() -> None:
    """
    All four are looked at: plain functions, generators, and what is no function at all.
    """

    class Wrong(Component):
        def setup(self) -> None:
            """
            Not a coroutine function.
            """

        async def run(self) -> Any:
            """
            An asynchronous generator.
            """
            yield 1

        shutdown = 3
        health = None

    assert wrong(Wrong) == [
        f"method '{phase}' of class '{class_path(Wrong)}' is not a coroutine function\n"
        f"hint: write 'async def {phase}(self)'"
        for phase in ("run", "setup", "shutdown")
    ]


@pytest.mark.parametrize(
    ("signature", "right"),
    [
        ("self", True),
        ("self, timeout=1.0", True),
        ("self, *, timeout=1.0", True),
        ("self, *args, **kwargs", True),
        ("self, app", False),
        ("self, *, app", False),
        ("self, app, timeout=1.0", False),
    ],
)
def test_phase_takes_the_instance_only(site: Site, signature: str, right: bool) -> None:
    """
    A phase that needs further arguments could never be called.
    """
    source = f"""
        from conductor import Component
        class Sample(Component):
            async def setup({signature}): ...
    """
    found = wrong(load(site, source, future=False).Sample)

    assert [" takes more than 'self'" in text for text in found] == ([] if right else [True])


def test_name_that_settings_files_use_is_refused_for_a_setting() -> None:
    """
    `bind`, `limits` and `component` cannot be set, but can be dependencies.
    """

    class Reserved(Component):
        bind: str = "x"
        limits: Database
        component: str | None = None

    assert [problem.field for problem in declaration(Reserved).problems] == ["bind", "component"]


def test_field_that_hides_what_component_offers_is_refused() -> None:
    """
    A field called `logger` or `enter` would take the place of the method.
    """

    class Hiding(Component):
        logger: str = "x"  # type: ignore[assignment]  # that it does not fit is the point
        spawn: Database  # type: ignore[assignment]  # the same

    assert sorted(str(problem.field) for problem in declaration(Hiding).problems) == ["logger", "spawn"]


def test_private_field_without_default_needs_a_word() -> None:
    """
    A field that is neither own state nor a dependency nor marked is refused, not guessed at.
    """

    class Private(Component):
        _port: int
        _clock: Clock

    assert [problem.field for problem in declaration(Private).problems] == ["_port", "_clock"]


@pytest.mark.parametrize("annotation", [tuple[Database, ...], Sequence[Database], Database | Cache, type[Database]])
def test_component_class_in_a_strange_place_is_told(annotation: Any) -> None:
    """
    A type that names a component class, but in no way that can be injected, is told with the ways that can.
    """
    cls = type("Sample", (Component,), {"__annotations__": {"x": annotation}})
    (text,) = wrong(cls)

    assert "neither a setting nor a dependency" in text
    assert "'list[Database]'" in text


def test_component_class_in_a_strange_place_may_be_a_setting() -> None:
    """
    With a mark or a default it is the author's own affair.
    """

    class Marked(Component):
        kinds: tuple[type[Database], ...] = (Database,)
        make: Callable[[], Database] = setting()

    assert {field.kind for field in fields(Marked).values()} == {Kind.SETTING}


def test_dependency_needs_one_class() -> None:
    """
    `dependency()` on a type that is no class is refused.
    """

    class Vague(Component):
        either: Database | Cache = dependency()

    assert "is a dependency, but" in wrong(Vague)[0]


def test_init_var_is_refused() -> None:
    """
    `InitVar` belongs to dataclasses; attrs would keep it as an ordinary field.
    """
    cls = type("Sample", (Component,), {"__annotations__": {"x": dataclasses.InitVar[int]}})
    assert "is an InitVar" in wrong(cls)[0]


def test_field_that_attrs_passes_over_is_told() -> None:
    """
    `@attrs.define` drops annotated fields if one beside them has no annotation; here this is a problem.
    """

    class Forgetful(Component):
        db: Database
        port = setting(default=1)  # pyright: ignore[reportGeneralTypeIssues]  # that it is wrong is the point

    made = attrs.define(Forgetful)
    assert any("field 'db'" in text and "passed over by attrs" in text for text in wrong(made))


def test_plain_class_with_a_bare_field_is_a_problem_not_a_crash() -> None:
    """
    A class body that attrs refuses is told with the reason of attrs.
    """

    class Bare(Component):
        port = setting(default=1)  # pyright: ignore[reportGeneralTypeIssues]  # that it is wrong is the point

    assert is_component_class(Bare)
    assert "cannot be made an attrs class" in wrong(Bare)[0]
    assert "port" in wrong(Bare)[0]


def test_value_without_annotation_in_a_subclass_is_told() -> None:
    """
    Such a value would not change the default, so it is not left to be found out later.
    """

    class Fake(Database):
        url = "sqlite://"

    (text,) = wrong(Fake)
    assert "field 'url'" in text
    assert "without an annotation" in text


@pytest.mark.parametrize("after", ["db", Database, (1,), 5, None], ids=str)
def test_after_must_be_a_sequence_of_classes_and_names(after: Any) -> None:
    """
    A lone name or class, or anything else, is told instead of taken letter by letter.
    """
    cls = type("Sample", (Component,), {"after": after})

    assert declaration(cls).after == ()
    assert "'after' of class" in wrong(cls)[0]


def test_after_as_a_field_is_told() -> None:
    """
    An annotation makes a field of it, which hides the order.
    """

    @attrs.define
    class Annotated(Component):
        after: tuple[type, ...] = (Database,)  # type: ignore[misc]  # that it hides a class variable is the point

    assert "drop the annotation" in wrong(Annotated)[0]


@pytest.mark.parametrize("cls", [Credentials, int, Clock])
def test_class_that_is_no_attrs_class(cls: type) -> None:
    """
    What is no attrs class is told with both remedies.
    """
    (problem,) = declaration(cls).problems

    assert class_path(cls) in problem.message
    assert problem.hint == "derive it from conductor.Component or decorate it with @attrs.define"


def test_all_problems_of_a_class_are_told_at_once() -> None:
    """
    One class with four mistakes has four problems.
    """

    class Wrong(Component):
        first: Nowhere  # type: ignore[name-defined]  # noqa: F821  # a name that is nowhere
        second: Elsewhere  # type: ignore[name-defined]  # noqa: F821  # the same
        bind: str = "x"

        def setup(self) -> None:
            """
            Not a coroutine function.
            """

    assert [problem.field for problem in declaration(Wrong).problems] == ["first", "second", "bind", "setup"]


# -- contracts, and what it costs -----------------------------------------------------------------------------------


def test_what_is_abstract() -> None:
    """
    ABCs and protocols are contracts only; what implements them is not.
    """

    class Real(Storage):
        async def put(self, key: str, value: bytes) -> None:
            """
            Nothing to do.
            """

    class Shape(Protocol):
        """
        A protocol.
        """

    assert [is_abstract(cls) for cls in (Storage, Clock, Shape, Real, Database, WebAPI)] == [True] * 3 + [False] * 3


def test_declaration_is_read_once() -> None:
    """
    Asking again gives the same object, and costs next to nothing.
    """
    first = declaration(WebAPI)

    began = time.perf_counter()
    for _ in range(10_000):
        assert declaration(WebAPI) is first
    assert time.perf_counter() - began < 1.0


def test_declaration_does_not_keep_its_class_alive() -> None:
    """
    A class that nobody uses any more is collected, though it was declared.
    """
    cls = type("Short", (Component,), {"__annotations__": {"db": Database}})
    declaration(cls)
    gone = weakref.ref(cls)

    del cls
    gc.collect()

    assert gone() is None
