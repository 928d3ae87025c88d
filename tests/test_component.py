"""
Tests of `conductor._component`: what a class body becomes, what is kept secret, and what works only during a life.
"""

from __future__ import annotations

import abc
import asyncio
import copy
import inspect
import logging
import pickle
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

import attrs
import pytest

from conductor import Component, Secret, dependency, setting
from conductor.exceptions import UsageError
from tests.components import BackgroundWorkers, Cache, Database, MessageQueue, WebAPI

T = TypeVar("T")


@attrs.define
class RecordingScope:
    """
    A scope that notes what is registered.
    """

    name: str = "db"
    calls: list[Any] = attrs.field(factory=list)

    async def enter(self, cm: Any) -> Any:
        """
        Note the context manager.
        """
        self.calls.append(cm)
        return "entered"

    def defer(self, callback: Callable[[], Any]) -> None:
        """
        Note what the callback gives.
        """
        self.calls.append(callback())

    def spawn(self, coro: Coroutine[Any, Any, Any], name: str | None) -> Any:
        """
        Note the name.
        """
        coro.close()
        self.calls.append(name)
        return "task"


def in_life(component: Component, scope: RecordingScope) -> None:
    """
    Give a component its scope, as the runner does.
    """
    object.__setattr__(component, "_conductor_scope", scope)


def fields_of(cls: type[Any]) -> list[str]:
    """
    The names of the attrs fields of a class.
    """
    return [field.name for field in attrs.fields(cls)]


# -- what a class body becomes -------------------------------------------------------------------------------------


def test_plain_subclass_takes_its_fields_by_name() -> None:
    """
    A component is built in a unit test with no conductor at all.
    """
    db, queue = Database(), MessageQueue()

    api = WebAPI(db=db, queue=queue, cache=None, token=Secret("x"))

    assert (api.db, api.queue, api.port, api._requests) == (db, queue, 8080, 0)


def test_fields_are_there_before_an_instance_is() -> None:
    """
    `attrs.has` and `attrs.fields` work at once on a class that nobody has built yet.
    """

    class Fresh(Component):
        db: Database
        size: int = 3

    assert attrs.has(Fresh)
    assert fields_of(Fresh) == ["db", "size"]
    assert attrs.fields_dict(Fresh)["size"].default == 3


def test_signature_is_that_of_the_constructor() -> None:
    """
    `inspect.signature` shows the fields, keyword-only, with their defaults.
    """
    parameters = inspect.signature(WebAPI).parameters

    assert list(parameters) == ["db", "queue", "cache", "port", "token", "requests"]
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert parameters["port"].default == 8080
    assert list(inspect.signature(Component).parameters) == ["args", "kwargs"]


def test_signature_of_a_constructor_written_by_hand() -> None:
    """
    A class that writes `__init__` itself keeps it, and its subclass inherits it where it makes none.
    """

    class ByHand(Component):
        url: str

        def __init__(self, address: str) -> None:
            self.url = f"http://{address}"

    @attrs.define(init=False)
    class Below(ByHand):
        pass

    assert list(inspect.signature(ByHand).parameters) == ["address"]
    assert list(inspect.signature(Below).parameters) == ["address"]
    assert ByHand("host").url == "http://host"


def test_component_equals_only_itself() -> None:
    """
    A plain component has the identity of an object, so it can be in a set.
    """
    one, other = Database(url="x"), Database(url="x")

    assert one != other
    assert len({one, other}) == 2


@pytest.mark.parametrize("kw_only", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("slots", [True, False])
def test_class_that_carries_define_itself(slots: bool, frozen: bool, kw_only: bool) -> None:
    """
    `@attrs.define` on a component does its own work on the class body, whatever its arguments.
    """

    class Body(Component):
        db: Database
        size: int = attrs.field(default=3, converter=int)
        url: str = setting(default="x")

    made: Any = attrs.define(Body, slots=slots, frozen=frozen, kw_only=kw_only)
    instance = made(db=Database(), size="4")

    assert fields_of(made) == ["db", "size", "url"]
    assert (instance.size, instance.url) == (4, "x")
    assert attrs.fields_dict(made)["db"].kw_only is kw_only
    assert (made is Body) is not slots
    if frozen:
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            instance.size = 5


@pytest.mark.parametrize("options", [{}, {"slots": False}, {"frozen": True}, {"kw_only": True}], ids=str)
def test_inheritance_mixes_plain_and_defined_classes(options: Any) -> None:
    """
    A plain class below a defined one below a plain one has all fields, and all can be set.
    """

    class Top(Component):
        db: Database

    class Middle(Top):
        size: int = 3

    middle: Any = attrs.define(Middle, **options)

    class Bottom(middle):  # type: ignore[misc]  # mypy cannot know what the decorator gave
        url: str = "x"

    bottom = Bottom(db=Database(), size=4, url="y")

    assert fields_of(Bottom) == ["db", "size", "url"]
    assert (bottom.size, bottom.url) == (4, "y")


def test_subclass_redeclares_a_field() -> None:
    """
    A subclass may narrow a dependency and give a setting another default.
    """

    class Narrow(WebAPI):
        db: SpecialDatabase  # pyright: ignore[reportIncompatibleVariableOverride]  # mypy allows to narrow a field
        port: int = 9000

    assert inspect.signature(Narrow).parameters["port"].default == 9000
    assert fields_of(Narrow).count("db") == 1


class SpecialDatabase(Database):
    """
    A narrower kind of database.
    """


class Addressed:
    """
    A plain mixin with settings.
    """

    host: str = "127.0.0.1"
    aliases: list[str] = attrs.field(factory=list)


class Stored:
    """
    A plain mixin with a dependency.
    """

    db: Database


def test_fields_of_plain_mixins_are_collected() -> None:
    """
    Dependencies and defaults come from plain mixins, too, and those before what the class declares itself.
    """

    class Api(Component, Addressed, Stored):
        port: int = 1

    make: Any = Api  # type checkers do not know of the mixins' fields
    one, other = make(db=Database()), make(db=Database(), host="h")

    assert fields_of(Api) == ["db", "host", "aliases", "port"]
    assert (one.host, one.aliases, other.host) == ("127.0.0.1", [], "h")
    assert one.aliases is not other.aliases
    assert Addressed.host == "127.0.0.1"


def test_mixins_work_below_define_and_in_a_second_generation() -> None:
    """
    A mixin's required field may come with an own default in a class whose fields are positional.
    """

    @attrs.define
    class Api(Component, Stored):
        port: int = 1

    class Child(Api, Addressed):
        pass

    make_api: Any = Api  # type checkers do not know of the mixins' fields
    make_child: Any = Child

    assert make_api(Database(), 2).port == 2
    assert set(fields_of(Child)) == {"db", "port", "host", "aliases"}
    assert make_child(db=Database(), host="h").host == "h"


def test_mixin_yields_to_what_is_nearer() -> None:
    """
    A class before the mixin decides: with an annotation, with a bare value, or with a property instead of a field.
    """

    class Nearer(Addressed):
        host = "nearer"

    class Annotated(Component, Addressed):
        host: str = "own"

    class Bare(Component, Nearer):
        pass

    class Fixed(Component, Addressed):
        @property
        def host(self) -> str:  # type: ignore[override]  # a property in place of a field is the point
            return "fixed"

    assert Annotated().host == "own"

    class Child(Annotated):
        pass

    assert Child().host == "own"
    assert Bare().host == "nearer"
    assert Fixed().host == "fixed"
    assert "host" not in fields_of(Fixed)


def test_class_variables_are_no_fields() -> None:
    """
    What is annotated as a class variable, in a mixin too, stays on the class.
    """
    assert "after" not in fields_of(BackgroundWorkers)
    assert BackgroundWorkers.after == (WebAPI,)


def test_abstract_component_is_not_built() -> None:
    """
    An ABC keeps its abstract methods, and its implementation is an attrs class like any other.
    """

    class Contract(Component, abc.ABC):
        url: str = "x"

        @abc.abstractmethod
        def get(self) -> str:
            """
            What is asked for.
            """

    class Real(Contract):
        size: int = 1

        def get(self) -> str:
            return self.url

    with pytest.raises(TypeError, match="abstract"):
        Contract()  # type: ignore[abstract]  # that it cannot be built is the point
    assert Real(url="y").get() == "y"


def test_generic_component_is_an_attrs_class() -> None:
    """
    A generic class and its subclass with an argument take their fields.
    """

    class Box(Component, Generic[T]):
        value: T

    class IntBox(Box[int]):
        size: int = 1

    assert Box(value="x").value == "x"
    assert (IntBox(value=3).value, fields_of(IntBox)) == (3, ["value", "size"])


def test_subclass_hook_of_a_class_in_between_runs() -> None:
    """
    A class of the user's with an `__init_subclass__` of its own does not get in the way.
    """
    seen: list[str] = []

    class Counted(Component):
        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            seen.append(cls.__name__)

    class Below(Counted):
        db: Cache

    assert seen == ["Below"]
    assert fields_of(Below) == ["db"]


def test_field_without_annotation_is_refused_and_drops_no_other() -> None:
    """
    One field without an annotation is an error that names it; attrs alone would pass over all annotated ones.
    """

    class Forgetful(Component):
        db: Database
        port = setting(default=1)  # pyright: ignore[reportGeneralTypeIssues]  # that it is wrong is the point

    with pytest.raises(attrs.exceptions.UnannotatedAttributeError, match="port"):
        Forgetful()  # type: ignore[call-arg]  # it is refused whatever is given


def test_marks_take_what_attrs_takes() -> None:
    """
    `setting` hands default, factory, validator and converter on; `dependency` is keyword-only.
    """

    class Marked(Component):
        sizes: list[int] = setting(factory=list)
        port: int = setting(default="80", converter=int, validator=attrs.validators.lt(100))
        db: Database = dependency("reports", fallback=Database)

    made = Marked(db=Database())

    assert (made.sizes, made.port) == ([], 80)
    with pytest.raises(ValueError, match="< 100"):
        Marked(db=Database(), port=100)


# -- what is kept secret ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "show",
    [repr, str, "{}".format, "{:>20}".format, "{!r}".format, lambda secret: f"{secret}"],
)
def test_secret_never_shows_its_value(show: Callable[[object], str]) -> None:
    """
    However a secret is made text, there is a mask that tells neither value nor length nor first letters.
    """
    assert show(Secret("hunter2")) == show(Secret("a much longer one"))
    assert "hunter2" not in show(Secret("hunter2"))
    assert "***" in show(Secret("hunter2"))


def test_secret_is_masked_in_the_repr_of_what_holds_it() -> None:
    """
    An attrs component with a generated `repr` and a container keep it to themselves, too.
    """

    @attrs.define
    class Holder(Component):
        token: Secret[str]

    assert "hunter2" not in repr(Holder(token=Secret("hunter2"))) + repr([Secret("hunter2")])


def test_secret_gives_its_value_to_who_asks() -> None:
    """
    Secrets compare by value, count as one in a set, and may be copied within the process.
    """
    secret = Secret("hunter2")

    assert secret.get_secret_value() == "hunter2"
    assert secret == Secret("hunter2") != Secret("other")
    assert secret != "hunter2"
    assert len({secret, Secret("hunter2")}) == 1
    assert copy.deepcopy([secret]) == [copy.copy(secret)]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_secret_is_not_pickled(protocol: int) -> None:
    """
    A secret does not leave the process by pickling.
    """
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Secret("hunter2"), protocol)


def test_secret_has_nothing_else() -> None:
    """
    There is no dictionary in which the value would show.
    """
    with pytest.raises(TypeError):
        vars(Secret("hunter2"))


# -- what works only during a life ----------------------------------------------------------------------------------


def test_registrations_go_to_the_scope() -> None:
    """
    `enter`, `defer` and `spawn` hand over to the scope of the component, arguments bound.
    """
    component, scope = Database(), RecordingScope()
    in_life(component, scope)

    async def work() -> None:
        """
        Nothing to do.
        """

    async def main() -> None:
        assert await component.enter(work) == "entered"  # type: ignore[call-overload]  # the scope takes anything
        component.defer(max, 1, 2, key=lambda value: -value)
        assert component.spawn(work(), name="n") == "task"

    asyncio.run(main())
    assert scope.calls == [work, 1, "n"]


def test_scope_reaches_frozen_and_slotted_components() -> None:
    """
    A frozen component with slots can register as well.
    """

    @attrs.frozen
    class Frozen(Component):
        size: int = 1

    component, scope = Frozen(), RecordingScope()
    in_life(component, scope)
    component.defer(len, "abc")

    assert scope.calls == [3]


def test_registering_outside_a_life_says_what_to_do() -> None:
    """
    Each of the three names itself, the component and the way to do it in a unit test.
    """
    component = Database()

    async def work() -> None:
        """
        Never begun.
        """

    with pytest.raises(UsageError, match=r"'defer' works from set-up to shutdown.*Database.*\n.*running"):
        component.defer(print)
    with pytest.raises(UsageError, match="'spawn' works"):
        component.spawn(work())
    with pytest.raises(UsageError, match="'enter' works"):
        asyncio.run(component.enter(open))  # type: ignore[call-overload]  # it is never looked at


def test_logger_is_named_after_the_component() -> None:
    """
    In a life the logger has the component's name, before it that of the class.
    """
    component = Database()
    assert component.logger is logging.getLogger("conductor.components.Database")

    in_life(component, RecordingScope(name="reports"))
    assert component.logger.name == "conductor.components.reports"


def test_repr_names_class_and_component() -> None:
    """
    The `repr` shows no setting, since a URL may hold a password.
    """
    component = Database(url="postgresql://me:hunter2@host/db")
    assert repr(component) == "<tests.components.Database>"

    in_life(component, RecordingScope())
    assert repr(component) == "<tests.components.Database 'db'>"
