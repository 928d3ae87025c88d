"""
Laws of the tables behind the embedded queue, whatever happens in whatever order.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conductor_mq import Action, Held, Message, Verdict
from conductor_mq import _statements as statements
from conductor_mq._schema import BEHIND, OPEN, TABLES

VISIBILITY = 10.0


@contextlib.contextmanager
def tables() -> Iterator[sqlite3.Connection]:
    """
    The empty tables, in memory.
    """
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.executescript(TABLES)
        yield db


def message(number: int, key: str | None = None) -> Message:
    """
    A small message.
    """
    return Message(id=f"m{number}", topic="t", body=b"%d" % number, headers={}, key=key)


@attrs.define
class Known:
    """
    What is known of a message that is not done: when it is due, and whether it was handed out before.
    """

    number: int
    key: str | None
    due: float
    attempts: int = 0
    held: bool = False
    dead: bool = False

    def precedes(self, other: Known, now: float) -> bool:
        """
        Whether another message of the key has to wait for this one.
        """
        if self.dead or self.key is None or self.key != other.key or self is other:
            return False
        started = self.attempts > 0 or self.due <= now
        return (self.held and self.due > now) or (self.number < other.number and started)


@attrs.define
class World:
    """
    Tables, a clock, and what consumers believe to hold.
    """

    db: sqlite3.Connection
    now: float = 1000.0
    known: dict[str, Known] = attrs.field(factory=dict)
    published: int = 0
    holding: list[tuple[Held, float]] = attrs.field(factory=list)

    def publish(self, key: str | None, delay: float) -> None:
        """
        Publish one more message.
        """
        due = self.now + delay
        statements.add(self.db, message(self.published, key), due=due, now=self.now)
        self.known[f"m{self.published}"] = Known(self.published, key, due)
        self.published += 1

    def take(self, group: int) -> bool:
        """
        Hand out the next message; False if there is none now.
        """
        found = statements.hand_out(self.db, group, until=self.now + VISIBILITY, now=self.now)
        free = [each for each in self.known.values() if self.is_free(each)]
        assert isinstance(found, Held) == bool(free), "something is handed out exactly if something is free"
        if not isinstance(found, Held):
            return False
        known = self.known[found.message.id]
        assert known in free
        known.attempts, known.held, known.due = known.attempts + 1, True, self.now + VISIBILITY
        assert found.attempt == known.attempts
        self.holding.append((found, known.due))
        return True

    def is_free(self, known: Known) -> bool:
        """
        Whether a message may be handed out now.
        """
        due = not known.dead and known.due <= self.now
        return due and not any(each.precedes(known, self.now) for each in self.known.values())

    def settle(self, which: int, verdict: Verdict) -> None:
        """
        Settle something that is or was held; it counts exactly if it still is.
        """
        if not self.holding:
            return
        held, until = self.holding.pop(which % len(self.holding))
        accepted = statements.settle(self.db, held.token, verdict, now=self.now)  # type: ignore[arg-type]  # a Token
        assert accepted == (until > self.now)
        if accepted:
            self.note(held.message.id, verdict)

    def note(self, id: str, verdict: Verdict) -> None:
        """
        Remember what a verdict means for a message.
        """
        known = self.known[id]
        known.held, known.due = False, self.now + verdict.delay
        if verdict.action is Action.ACK:
            del self.known[id]
        elif verdict.action is Action.RETURN:
            known.attempts -= 1
        known.dead = verdict.action is Action.DEAD

    def replay(self) -> None:
        """
        Hand dead letters out again.
        """
        statements.replay(self.db, "t", "g", ids=None, now=self.now)
        for each in self.known.values():
            if each.dead:
                each.dead, each.due, each.attempts = False, self.now, 0

    def check(self) -> None:
        """
        Assert what holds at any time.
        """
        query = f"""
            SELECT key, sum(state = {OPEN}), sum(state = {BEHIND}) FROM delivery WHERE key IS NOT NULL GROUP BY key
        """
        for key, free, behind in self.db.execute(query):
            assert free or not behind, f"nothing of key {key!r} can ever be handed out"


verdicts = st.sampled_from(
    [
        Verdict(action=Action.ACK),
        Verdict(action=Action.RETRY),
        Verdict(action=Action.RETRY, delay=30.0),
        Verdict(action=Action.RETURN),
        Verdict(action=Action.DEAD, attempts=1, error="bad"),
    ]
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from([None, "a", "a", "b"]), st.sampled_from([0.0, 0.0, 5.0])),
        st.tuples(st.just("take all"), st.none(), st.none()),
        st.tuples(st.just("settle"), st.integers(0, 9), verdicts),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 6.0, 11.0]), st.none()),
        st.tuples(st.just("replay"), st.none(), st.none()),
    ),
    max_size=50,
)


@settings(deadline=None, max_examples=300)
@given(early=st.integers(0, 4), steps=steps)
@example(  # a delayed message becomes due while an earlier one of its key waits for its next attempt
    early=0,
    steps=[
        ("publish", "a", 0.0),
        ("publish", "a", 5.0),
        ("take all", None, None),
        ("settle", 0, Verdict(action=Action.RETRY, delay=30.0)),
        ("wait", 6.0, None),
        ("take all", None, None),
    ],
)
def test_every_message_is_held_once_and_handled_in_the_end(early: int, steps: list[tuple[str, object, object]]) -> None:
    """
    Nobody gets what another one holds, keys go one by one, and in the end every message is handed out.
    """
    with tables() as db:
        world = World(db)
        for number in range(early):
            world.publish("a" if number % 2 else None, 5.0 if number == 1 else 0.0)
        group = statements.register(db, "t", "g", now=world.now)
        for step in steps:
            match step:
                case ("publish", str() | None as key, float() as delay):
                    world.publish(key, delay)
                case ("settle", int() as which, Verdict() as verdict):
                    world.settle(which, verdict)
                case ("wait", float() as seconds, _):
                    world.now += seconds
                case ("replay", _, _):
                    world.replay()
                case _:
                    while world.take(group):
                        pass
            world.check()
        world.replay()
        world.now += 100
        world.holding.clear()
        while world.take(group):
            world.settle(0, Verdict(action=Action.ACK))
            world.check()
        assert world.known == {}
        for table in ("delivery", "message"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), "something is left over"


@settings(deadline=None)
@given(keys=st.lists(st.sampled_from([None, "a", "b"]), max_size=20))
def test_keys_keep_their_order(keys: list[str | None]) -> None:
    """
    The messages of each key are handed out in the order of publication, refused ones included.
    """
    with tables() as db:
        group = statements.register(db, "t", "g", now=0.0)
        for number, key in enumerate(keys):
            statements.add(db, message(number, key), due=float(number), now=float(number))
        got: dict[str | None, list[str]] = {}
        refused: set[str] = set()
        now = 100.0
        while isinstance(found := statements.hand_out(db, group, until=now + 1, now=now), Held | float):
            if isinstance(found, float):
                now = found
                continue
            first = found.message.id not in refused
            refused.add(found.message.id)
            verdict = Verdict(action=Action.RETRY, delay=5.0) if first else Verdict(action=Action.ACK)
            assert isinstance(found.token, statements.Token)
            assert statements.settle(db, found.token, verdict, now=now)
            if not first:
                got.setdefault(found.message.key, []).append(found.message.id)
        for key in {"a", "b"} & set(keys):
            assert got[key] == [f"m{number}" for number, each in enumerate(keys) if each == key]


def test_taking_is_quick_behind_a_long_line() -> None:
    """
    Finding the next message costs the same, however many wait behind it for their key or their time.
    """
    with tables() as db:
        group = statements.register(db, "t", "g", now=0.0)
        for number in range(3000):
            statements.add(db, message(number, "k"), due=0.0, now=0.0)
            statements.add(db, message(number), due=1e9, now=0.0)
        assert isinstance(statements.hand_out(db, group, until=100.0, now=1.0), Held)
        ticks = 0

        def count() -> None:
            nonlocal ticks
            ticks += 1

        db.set_progress_handler(count, 100)
        assert statements.hand_out(db, group, until=100.0, now=1.0) == 100.0
        db.set_progress_handler(None, 0)
        assert ticks < 10


@pytest.mark.parametrize("key", [None, "k"])
def test_message_goes_with_its_last_group(key: str | None) -> None:
    """
    A message is kept until the last group has acknowledged it, and not longer.
    """
    with tables() as db:
        groups = [statements.register(db, "t", name, now=0.0) for name in "ab"]
        statements.add(db, message(1, key), due=0.0, now=0.0)
        for left, group in zip((1, 0), groups, strict=True):
            held = statements.hand_out(db, group, until=9.0, now=1.0)
            assert isinstance(held, Held)
            assert isinstance(held.token, statements.Token)
            assert statements.settle(db, held.token, Verdict(action=Action.ACK), now=2.0)
            assert db.execute("SELECT count(*) FROM message").fetchone() == (left,)
