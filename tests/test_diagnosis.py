"""
Who is at work and who waits for whom, as text and as plain values.
"""

from __future__ import annotations

import json

from conductor._diagnosis import DEEPEST, Blockage, Diagnosis, Waiting, find_blamed

STUCK = (
    Waiting("db", "set-up", 2.5, ("/app/db.py:12 in Database.setup", "/app/db.py:40 in connect")),
    Waiting("mq", "set-up", 1.0, tasks=(("poll", ("/app/mq.py:7 in poll",)), ("gone", ()))),
    Waiting("web", None, on=("db", "mq")),
)


def test_the_tree_shows_who_waits_for_whom() -> None:
    """
    Whom nobody waits for comes first, and below each stands whom it waits for, with where that is suspended.
    """
    assert str(Diagnosis(STUCK)).splitlines() == [
        "web: waits for 'db' and 'mq'",
        "├─ db: sets up for 2.500 s",
        "│       at /app/db.py:12 in Database.setup",
        "│       at /app/db.py:40 in connect",
        "└─ mq: sets up for 1.000 s",
        "        task 'poll'",
        "          at /app/mq.py:7 in poll",
        "        task 'gone'",
    ]


def test_who_is_waited_for_twice_is_drawn_once() -> None:
    """
    A component that was drawn is only named where another one waits for it.
    """
    waiting = (
        Waiting("db", "set-up", 1.0, ("f:1 in g",)),
        Waiting("a", None, on=("db",)),
        Waiting("b", None, on=("db",)),
    )
    assert str(Diagnosis(waiting)).splitlines() == [
        "b: waits for 'db'",
        "└─ db: sets up for 1.000 s",
        "        at f:1 in g",
        "a: waits for 'db'",
        "└─ db: sets up for 1.000 s (see above)",
    ]


def test_a_long_chain_is_drawn_in_parts() -> None:
    """
    Ten thousand that wait for one another are all drawn, and no line gets longer than a level's lead.
    """
    first = Waiting("c0", "set-up", 1.0)
    chain = (first, *(Waiting(f"c{number}", None, on=(f"c{number - 1}",)) for number in range(1, 10_000)))
    lines = str(Diagnosis(chain)).splitlines()
    assert sum(line.endswith("(see below)") for line in lines) == len(lines) - 10_000
    assert max(map(len, lines)) < DEEPEST * 3 + 60
    assert lines[-1].endswith("c0: sets up for 1.000 s")


def test_nobody_at_work_is_said_in_words() -> None:
    """
    An empty diagnosis is not an empty text.
    """
    assert str(Diagnosis()) == "nobody is at work, and nobody waits"


def test_a_blockage_comes_first_with_its_stack() -> None:
    """
    What blocks the loop is named with the component, or else with the task, or else as a callback.
    """
    blocked = Blockage("db", "db", 1.25, ("/app/db.py:12 in work",))
    assert str(Diagnosis(STUCK, blocked)).startswith(
        "component 'db' has blocked the event loop for 1.250 s\n  at /app/db.py:12 in work\nweb: waits"
    )
    assert str(Blockage(None, "Task-3", 2.0)) == "task 'Task-3' has blocked the event loop for 2.000 s"
    assert str(Blockage(None, None, 2.0)) == "a callback has blocked the event loop for 2.000 s"


def test_json_has_everything() -> None:
    """
    The plain values survive JSON and hold what the text holds.
    """
    told = json.loads(json.dumps(Diagnosis(STUCK, Blockage(None, "t", 1.0, ("f:1 in g",))).as_dict()))
    assert told["blockage"] == {"component": None, "task": "t", "seconds": 1.0, "stack": ["f:1 in g"]}
    assert told["waiting"][1]["tasks"][0] == {"name": "poll", "suspended": ["/app/mq.py:7 in poll"]}
    assert told["waiting"][2]["on"] == ["db", "mq"]


def test_secrets_and_controls_stay_inside() -> None:
    """
    A secret in the name of a task, a password in a path and what steers a terminal do not come out.
    """
    told = Diagnosis(
        (Waiting("db", "run", 1.0, ("x://u:sesame@h:1 in g",), (("poll t0ken \x1b[2J", ()),)),),
        Blockage("db", "t0ken", 1.0, ("t0ken:1 in g",)),
    ).without(frozenset({"t0ken"}))
    shown = str(told) + json.dumps(told.as_dict())
    assert "t0ken" not in shown
    assert "sesame" not in shown
    assert "\x1b" not in shown
    assert "poll" in shown


def test_the_innermost_module_tells_who_is_to_blame() -> None:
    """
    The component from that module, else the only one from its package; if several might be it, nobody is blamed.
    """
    modules = {"api": "orders.api", "workers": "orders.workers", "db": "conductor_db._database", "plain": "site"}
    assert find_blamed(modules, iter(["sqlite3", "conductor_db._pool", "orders.api"])) == "db"
    assert find_blamed(modules, iter(["time", "orders.api", "conductor_db._pool"])) == "api"
    assert find_blamed(modules, iter(["orders.tools", "conductor_db._pool"])) is None
    assert find_blamed(modules, iter(["asyncio.base_events"])) is None
