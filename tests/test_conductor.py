"""
One application, from start to end.
"""

from __future__ import annotations

import asyncio
import importlib
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest

from conductor import Component, Conductor, hookimpl
from conductor.exceptions import (
    CrashError,
    CycleError,
    LoadError,
    ResolutionError,
    SetupError,
    ShutdownError,
    UsageError,
)
from conductor.lifecycle import State, Transition
from tests.conftest import Site

SEED = '''
from conductor import Conductor, Component

class Database(Component):

    async def setup(self):
        """ Setup database """
        print("database up", flush=True)

    async def shutdown(self):
        """ Shutdown database """
        print("database down", flush=True)

class MessageQueue(Component):

    async def setup(self):
        """ Setup message queue """
        print("queue up", flush=True)

    async def shutdown(self):
        """ Shutdown message queue """
        print("queue down", flush=True)

class WebAPI(Component):

    db: Database         # Dependencies are declared by type annotations.
    queue: MessageQueue  # Real instances of the components will be injected
                         # during setup routine.

    async def setup(self):
        """ Setup web API """
        print("api up with", type(self.db).__name__, type(self.queue).__name__, flush=True)

    async def shutdown(self):
        """ Shutdown web API """
        print("api down", flush=True)

class BackgroundWorkers(Component):

    db: Database
    queue: MessageQueue

    async def setup(self):
        """ Setup background workers """
        print("workers up with", type(self.db).__name__, type(self.queue).__name__, flush=True)

    async def shutdown(self):
        """ Shutdown background workers """
        print("workers down", flush=True)

class MessageQueueMock(Component):
    async def setup(self):
        """ Setup message queue mock """

    async def shutdown(self):
        """ Shutdown message queue mock """

conductor = Conductor(config={})
'''

ENDING = """
conductor.add(WebAPI)
conductor.add(BackgroundWorkers)
print("ready to serve", flush=True)
conductor.serve()
print("served", flush=True)
"""


def serve(script: str, *, number: int = signal.SIGINT, after: str) -> tuple[list[str], int]:
    """
    Run a script, send it a signal once it has printed a line, and return its lines and its exit code.
    """
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if lines[-1].startswith(after):
                process.send_signal(number)
        return lines, process.wait(timeout=60)


def test_the_seed_runs_word_for_word() -> None:
    """
    The example that the project grew from runs as it stands: up in order, down in reverse, Ctrl-C is no failure.
    """
    lines, code = serve(SEED + ENDING, after="workers up")
    assert code == 0, lines
    assert lines[:2] == ["ready to serve", "database up"]
    assert set(lines[1:3]) == {"database up", "queue up"}
    assert set(lines[3:5]) == {"api up with Database MessageQueue", "workers up with Database MessageQueue"}
    assert set(lines[5:7]) == {"api down", "workers down"}
    assert set(lines[7:9]) == {"database down", "queue down"}
    assert lines[9:] == ["served"]


def test_the_seed_can_be_patched() -> None:
    """
    A patch is injected instead of what it replaces, which is not built.
    """
    lines, code = serve(SEED + "conductor.patch(MessageQueue, MessageQueueMock)" + ENDING, after="workers up")
    assert code == 0, lines
    assert "api up with Database MessageQueueMock" in lines
    assert not any(line.startswith("queue") for line in lines)


class Log(Component):
    """
    A component that writes down what is done to it.
    """

    async def setup(self) -> None:
        events.append(f"{type(self).__name__} up")

    async def shutdown(self) -> None:
        events.append(f"{type(self).__name__} down")


class Database(Log):
    """
    Needed by the others.
    """


class Queue(Log):
    """
    Needed by the others.
    """


class WebAPI(Log):
    """
    Needs both.
    """

    db: Database
    queue: Queue


class Workers(Log):
    """
    Needs both.
    """

    db: Database
    queue: Queue


class FakeQueue(Log):
    """
    Stands for the queue.
    """


class Broken(Component):
    """
    Fails to be set up, after the database is up.
    """

    db: Database

    async def setup(self) -> None:
        raise RuntimeError("no luck")


events: list[str] = []


@pytest.fixture(autouse=True)
def _no_events() -> None:
    events.clear()


def test_sets_up_and_shuts_down_in_a_block() -> None:
    """
    Inside the block everything is up, after it everything is down again, in reverse.
    """

    async def main() -> None:
        conductor = Conductor()
        api = conductor.add(WebAPI)
        async with conductor:
            assert api.db is conductor[Database]
            assert events == ["Database up", "Queue up", "WebAPI up"]
        assert events[3] == "WebAPI down"
        assert set(events[4:]) == {"Database down", "Queue down"}

    asyncio.run(main())


def test_can_be_set_up_again() -> None:
    """
    The same conductor has as many lives as one likes, with the same instances, each time as new.
    """

    class Counter(Component):
        async def setup(self) -> None:
            assert not hasattr(self, "used")
            self.used = True

    async def main() -> None:
        conductor = Conductor()
        counter = conductor.add(Counter)
        for _ in range(3):
            async with conductor:
                assert counter.used
                assert conductor["Counter"] is counter

    asyncio.run(main())


def test_one_patch_for_two_is_one_instance() -> None:
    """
    A class that takes the place of two is built once.
    """

    async def main() -> None:
        conductor = Conductor()
        conductor.patch(Database, FakeQueue)
        conductor.patch(Queue, FakeQueue)
        api = conductor.add(WebAPI)
        async with conductor:
            injected: list[object] = [api.db, api.queue]
            found: list[object] = [conductor[Database], conductor[Queue]]
            assert all(each is conductor[FakeQueue] for each in (*injected, *found))
        assert events.count("FakeQueue up") == events.count("FakeQueue down") == 1

    asyncio.run(main())


def test_add_returns_the_effective_instance() -> None:
    """
    What is added may be patched; then the patch is what one gets.
    """
    conductor = Conductor()
    conductor.patch(Queue, FakeQueue)
    added: object = conductor.add(Queue)
    assert type(added) is FakeQueue


def test_patch_after_handing_out_is_refused() -> None:
    """
    Once an instance is out, its class cannot be patched any more.
    """
    conductor = Conductor()
    conductor.add(Queue)
    with pytest.raises(UsageError, match="before add"):
        conductor.patch(Queue, FakeQueue)


def test_add_refuses_what_is_no_component() -> None:
    """
    A plain class is refused at once, with what to do.
    """

    class Plain:
        pass

    with pytest.raises(ResolutionError) as caught:
        Conductor().add(Plain)
    assert "derive it from conductor.Component" in str(caught.value)


def test_run_returns_what_the_work_returns() -> None:
    """
    ``run`` awaits something while the application is up, and gives what it gave.
    """
    conductor = Conductor()
    api = conductor.add(WebAPI)

    async def work() -> str:
        assert isinstance(api.db, Database)
        events.append("work")
        return "done"

    assert conductor.run(work()) == "done"
    assert events.index("WebAPI up") < events.index("work") < events.index("WebAPI down")
    assert conductor.report is not None
    assert conductor.report.exit_code == 0


def test_run_raises_what_the_work_raises() -> None:
    """
    An error of the work comes out as it is, after everything is down.
    """
    conductor = Conductor()
    conductor.add(WebAPI)

    async def work() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        conductor.run(work())
    assert "Database down" in events


def test_run_inside_a_running_loop_is_refused() -> None:
    """
    A loop within a loop is refused, and nothing is left behind.
    """

    async def main() -> None:
        with pytest.raises(UsageError, match="async with"):
            Conductor().run(asyncio.sleep(0))

    asyncio.run(main())


def test_a_failed_setup_undoes_what_was_up() -> None:
    """
    When set-up fails, what was up is shut down again, and the error says who failed.
    """

    async def main() -> None:
        conductor = Conductor()
        conductor.add(Broken)
        with pytest.raises(SetupError) as caught:
            async with conductor:
                pytest.fail("the block was entered")
        assert "Broken" in str(caught.value)
        assert "no luck" in str(caught.value)
        assert events == ["Database up", "Database down"]
        assert conductor.report is not None
        assert conductor.report.exit_code == 4

    asyncio.run(main())


def test_an_invalid_plan_constructs_nothing() -> None:
    """
    All problems of the plan come at once, before anything is built.
    """

    class Sized(Log):
        size: int
        db: Database

    conductor = Conductor(config={"components": {"Sized": {"sise": 1}, "Database": {"ulr": 1}}})
    conductor.add(Sized)
    with pytest.raises(ResolutionError) as caught:
        asyncio.run(conductor.setup())
    text = str(caught.value)
    assert all(word in text for word in ("sise", "did you mean 'size'", "ulr", "'size' has no value"))
    assert events == []


def test_a_crash_ends_the_block() -> None:
    """
    When a component crashes, the block it is used in is cancelled, everything is shut down, and the crash comes out.
    """

    class Crashing(Component):
        async def run(self) -> None:
            raise RuntimeError("boom")

    async def main() -> None:
        conductor = Conductor()
        conductor.add(Database)
        conductor.add(Crashing)
        with pytest.raises(CrashError) as caught:
            async with conductor:
                await asyncio.get_running_loop().create_future()
        assert "boom" in str(caught.value)
        assert events == ["Database up", "Database down"]
        assert conductor.report is not None
        assert conductor.report.exit_code == 1
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

    asyncio.run(main())


def test_a_crash_ends_run() -> None:
    """
    When a component crashes, the work is cancelled, and the crash comes out of ``run``.
    """

    class Crashing(Component):
        async def run(self) -> None:
            raise RuntimeError("boom")

    cancelled = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    conductor = Conductor()
    conductor.add(Crashing)
    with pytest.raises(CrashError) as caught:
        conductor.run(work())
    assert "boom" in str(caught.value)
    assert cancelled == [True]


def test_a_shutdown_that_fails_is_told() -> None:
    """
    When shutdown fails, the others are shut down all the same, and the error comes out.
    """

    class Clinging(Component):
        db: Database

        async def shutdown(self) -> None:
            raise RuntimeError("will not")

    async def main() -> None:
        conductor = Conductor()
        conductor.add(Clinging)
        with pytest.raises(ShutdownError) as caught:
            async with conductor:
                pass
        assert "will not" in str(caught.value)
        assert events[-1] == "Database down"
        assert conductor.report is not None
        assert conductor.report.exit_code == 5

    asyncio.run(main())


def test_hooks_are_told_in_order() -> None:
    """
    A listener hears of the plan, of each move, of readiness, of the stop, and gets the report.
    """

    class Listener:
        def __init__(self) -> None:
            self.told: list[Any] = []

        @hookimpl
        def conductor_planned(self) -> None:
            self.told.append("planned")

        @hookimpl
        def conductor_state_changed(self, transition: Transition) -> None:
            self.told.append((transition.component, transition.after))

        @hookimpl
        def conductor_ready(self, seconds: float) -> None:
            assert seconds >= 0
            self.told.append("ready")

        @hookimpl
        def conductor_stopping(self) -> None:
            self.told.append("stopping")

        @hookimpl
        def conductor_reported(self) -> None:
            self.told.append("reported")

    conductor, listener = Conductor(), Listener()
    conductor.hooks.register(listener)
    conductor.add(Database)
    conductor.run(asyncio.sleep(0))
    assert listener.told == [
        "planned",
        ("Database", State.SETTING_UP),
        ("Database", State.READY),
        "ready",
        "stopping",
        ("Database", State.SHUTTING_DOWN),
        ("Database", State.DOWN),
        "reported",
    ]


def test_failures_are_told_to_hooks() -> None:
    """
    A listener hears of each failure once.
    """
    told = []

    class Listener:
        @hookimpl
        def conductor_failed(self, error: Exception) -> None:
            told.append(str(error))

    conductor = Conductor()
    conductor.hooks.register(Listener())
    conductor.add(Broken)
    with pytest.raises(SetupError):
        conductor.run(asyncio.sleep(0))
    assert len(told) == 1
    assert "no luck" in told[0]


def test_installed_finds_what_is_installed(site: Site) -> None:
    """
    What is installed makes the application, with no code that names it.
    """
    site.add(
        "shop-db",
        entry_points={"conductor.components": {"db": "shop_db:Database"}},
        modules={"shop_db": "from conductor import Component\nclass Database(Component):\n    url: str = 'here'\n"},
    )
    site.add(
        "shop-api",
        entry_points={"conductor.components": {"api": "shop_api:API"}},
        modules={
            "shop_api": "from conductor import Component\nfrom shop_db import Database\n"
            "class API(Component):\n    db: Database\n"
        },
    )
    site.importable()
    conductor = Conductor.installed(path=site.path, directory=site.folder, environ={"CONDUCTOR_DB__URL": "there"})

    async def work() -> None:
        assert conductor["api"].db is conductor["db"]
        assert conductor["db"].url == "there"

    conductor.run(work())


def test_hooks_of_installed_distributions_are_used(site: Site) -> None:
    """
    A distribution contributes listeners; one that does not import is left out and the application goes on.
    """
    site.add(
        "listening",
        entry_points={"conductor.hooks": {"ear": "listening_ear"}},
        modules={
            "listening_ear": "from conductor import hookimpl\ntold = []\n"
            "@hookimpl\ndef conductor_scanned(discovery):\n    told.append(len(discovery.entries))\n"
        },
    )
    site.add("deaf", entry_points={"conductor.hooks": {"ear": "deaf_ear"}}, modules={"deaf_ear": "raise SystemExit(0)"})
    site.importable()
    Conductor.installed(path=site.path, directory=site.folder, environ={}).plan()
    assert importlib.import_module("listening_ear").told == [2]


def test_import_failures_are_problems_of_the_plan(site: Site) -> None:
    """
    A component that does not import makes the plan invalid, whatever the import raises.
    """
    site.add(
        "bad", entry_points={"conductor.components": {"bad": "bad_one:X"}}, modules={"bad_one": "raise SystemExit(0)"}
    )
    site.importable()
    with pytest.raises(ResolutionError) as caught:
        Conductor.installed(path=site.path, directory=site.folder, environ={}).plan()
    (problem,) = caught.value.problems
    assert isinstance(problem, LoadError)
    assert problem.distribution == "bad 1.0"


def test_lookup_names_the_nearest() -> None:
    """
    A name that is not there is an error with the nearest one.
    """
    conductor = Conductor()
    conductor.add(Database)
    with pytest.raises(UsageError, match="did you mean 'Database'"):
        conductor["Databse"]


def test_foreign_attrs_classes_are_components() -> None:
    """
    An attrs class of somebody who does not know Conductor works as a component.
    """

    @attrs.define
    class Foreign:
        db: Database
        size: int = 3

    async def main() -> None:
        conductor = Conductor(config={"components": {"Foreign": {"size": 5}}})
        foreign = conductor.add(Foreign)
        async with conductor:
            assert (foreign.size, foreign.db) == (5, conductor[Database])

    asyncio.run(main())


def test_a_cycle_is_drawn() -> None:
    """
    Components that need each other are refused, with the fields that say so.
    """
    script = """
    from __future__ import annotations
    from conductor import Component, Conductor

    class Left(Component):
        right: Right

    class Right(Component):
        left: Left

    conductor = Conductor()
    conductor.add(Left)
    try:
        conductor.plan()
    except Exception as error:
        print(type(error.exceptions[0]).__name__, error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(CycleError.__name__)
    assert "Left --right--> Right --left--> Left" in done.stdout


def test_works_in_another_thread(tmp_path: Path) -> None:
    """
    Outside the main thread an application runs as well; it just hears no signals.
    """
    results: list[str] = []

    def live() -> None:
        conductor = Conductor()
        conductor.add(Database)

        async def work() -> str:
            return "fine"

        results.append(conductor.run(work()))

    thread = threading.Thread(target=live)
    thread.start()
    thread.join()
    assert results == ["fine"]


def test_settings_of_what_was_replaced_are_left_alone() -> None:
    """
    A setting that only the replaced class has is told of, but does not keep its replacement from being used.
    """

    class OnDisk(Component):
        path: str = "here"

    class InMemory(Component):
        size: int = 3

    config = {"components": {"OnDisk": {"path": "there", "size": 5}}}
    conductor = Conductor(config)
    conductor.patch(OnDisk, InMemory)
    conductor.add(OnDisk)
    (warning,) = conductor.plan().warnings
    assert "setting 'path' of 'OnDisk'" in warning
    assert "has no effect" in warning
    strict = Conductor({**config, "strict": True})
    strict.patch(OnDisk, InMemory)
    strict.add(OnDisk)
    with pytest.raises(ResolutionError):
        strict.plan()


def test_an_application_of_nothing_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """
    When no component takes part, that is said, with where to look.
    """
    with caplog.at_level("INFO", logger="conductor"):
        Conductor().run(asyncio.sleep(0))
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "conductor list" in warning.getMessage()
