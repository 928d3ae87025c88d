"""
What is done to the file of the embedded queue: functions of a connection, each called inside a transaction.

The schema and how it works are described in ``_schema``.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Collection

import attrs

from ._broker import Action, Held, Verdict
from ._message import Backlog, DeadLetter, Message
from ._schema import BEHIND, DEAD, OPEN

# Behind an earlier message of the same key, unless all that there are of it are still delayed.
_STATE = f"""
CASE WHEN :key IS NOT NULL AND :due <= :now AND EXISTS (
    SELECT 1 FROM delivery d WHERE d.group_id = g.id AND d.key = :key
    AND (d.state = {BEHIND} OR d.state = {OPEN} AND (d.due <= :now OR d.attempt > 0))
) THEN {BEHIND} ELSE {OPEN} END
"""

_ADD_DELIVERIES = f"""
INSERT INTO delivery (message_id, group_id, state, due, key)
SELECT :id, g.id, {_STATE}, :due, :key FROM consumer_group g WHERE g.topic = :topic
"""

_ADD_WAITING = f"""
INSERT INTO delivery (message_id, group_id, state, due, key)
SELECT m.id, :group, CASE WHEN m.key IS NOT NULL AND m.due <= :now AND row_number() OVER (
    PARTITION BY m.key, m.due <= :now ORDER BY m.id
) > 1 THEN {BEHIND} ELSE {OPEN} END, m.due, m.key
FROM message m WHERE m.topic = :topic
"""

_NEXT = f"""
SELECT d.message_id, d.attempt FROM delivery d
WHERE d.group_id = :group AND d.state = {OPEN} AND d.due <= :now AND (d.key IS NULL OR NOT EXISTS (
    SELECT 1 FROM delivery e
    WHERE e.group_id = d.group_id AND e.key = d.key AND e.state = {OPEN} AND e.message_id <> d.message_id
    AND (e.token IS NOT NULL AND e.due > :now OR e.message_id < d.message_id AND (e.attempt > 0 OR e.due <= :now))
))
ORDER BY d.due, d.message_id LIMIT 1
"""

_HELD = f"message_id = :id AND group_id = :group AND state = {OPEN} AND token = :token AND due > :now"


@attrs.frozen(kw_only=True)
class Token:
    """
    What proves that a consumer holds a message.
    """

    message_id: int
    group_id: int
    number: int


def add(db: sqlite3.Connection, message: Message, *, due: float, now: float) -> None:
    """
    Keep a message for each group of its topic, or for the first group to come.
    """
    headers = json.dumps(dict(message.headers))
    row = (message.id, message.topic, message.key, due, headers, message.body)
    cursor = db.execute("INSERT INTO message (uid, topic, key, due, headers, body) VALUES (?, ?, ?, ?, ?, ?)", row)
    names = {"id": cursor.lastrowid, "topic": message.topic, "key": message.key, "due": due, "now": now}
    db.execute(_ADD_DELIVERIES, names)


def register(db: sqlite3.Connection, topic: str, group: str, *, now: float) -> int:
    """
    The number of a group, which is made if it is not there.
    """
    query = "SELECT id FROM consumer_group WHERE topic = ? AND name = ?"
    found = db.execute(query, (topic, group)).fetchone()
    if found is not None:
        return int(found[0])
    first = db.execute("SELECT 1 FROM consumer_group WHERE topic = ?", (topic,)).fetchone() is None
    (number,) = db.execute(
        "INSERT INTO consumer_group (topic, name) VALUES (?, ?) RETURNING id", (topic, group)
    ).fetchone()
    if first:
        db.execute(_ADD_WAITING, {"group": number, "topic": topic, "now": now})
    return int(number)


def hand_out(db: sqlite3.Connection, group: int, *, until: float, now: float) -> Held | float | None:
    """
    The next message, held until then; if there is none, when the next one is due; None if none will be.
    """
    found = db.execute(_NEXT, {"group": group, "now": now}).fetchone()
    if found is None:
        query = f"SELECT min(due) FROM delivery WHERE group_id = ? AND state = {OPEN} AND due > ?"
        (due,) = db.execute(query, (group, now)).fetchone()
        return None if due is None else float(due)
    token = Token(message_id=found[0], group_id=group, number=secrets.randbits(62))
    db.execute(
        "UPDATE delivery SET due = ?, token = ?, attempt = attempt + 1 WHERE message_id = ? AND group_id = ?",
        (until, token.number, token.message_id, group),
    )
    return Held(message=_load(db, token.message_id), attempt=found[1] + 1, token=token)


def extend(db: sqlite3.Connection, token: Token, *, until: float, now: float) -> bool:
    """
    Hold a message longer; False if it is not held.
    """
    return _change(db, token, now, "UPDATE delivery SET due = :due", due=until)


def settle(db: sqlite3.Connection, token: Token, verdict: Verdict, *, now: float) -> bool:
    """
    Do with a message what the verdict says; False if it is not held.
    """
    match verdict.action:
        case Action.ACK:
            return _acknowledge(db, token, now)
        case Action.RETRY if verdict.delay > 0:
            return _change(db, token, now, "UPDATE delivery SET token = NULL, due = :due", due=now + verdict.delay)
        case Action.RETRY | Action.RETURN:  # at once, so in its old place
            place = "SELECT m.due FROM message m WHERE m.id = :id"
            sql = f"UPDATE delivery SET token = NULL, attempt = attempt - :undo, due = min(:now, ({place}))"
            return _change(db, token, now, sql, undo=int(verdict.action is Action.RETURN))
        case Action.DEAD:
            return _bury(db, token, verdict, now)


def _change(db: sqlite3.Connection, token: Token, now: float, sql: str, **names: object) -> bool:
    names.update(id=token.message_id, group=token.group_id, token=token.number, now=now)
    return db.execute(f"{sql} WHERE {_HELD}", names).rowcount == 1


def _acknowledge(db: sqlite3.Connection, token: Token, now: float) -> bool:
    if not _promote_after(db, token, now, "DELETE FROM delivery"):
        return False
    query = "DELETE FROM message WHERE id = :id AND NOT EXISTS (SELECT 1 FROM delivery WHERE message_id = :id)"
    db.execute(query, {"id": token.message_id})
    return True


def _bury(db: sqlite3.Connection, token: Token, verdict: Verdict, now: float) -> bool:
    sql = f"UPDATE delivery SET state = {DEAD}, token = NULL, attempt = :attempts, error = :error, died = :now"
    return _promote_after(db, token, now, sql, attempts=verdict.attempts, error=verdict.error)


def _promote_after(db: sqlite3.Connection, token: Token, now: float, sql: str, **names: object) -> bool:
    """
    Take a row out of the running, and let the oldest one behind it take its place.
    """
    place = (token.message_id, token.group_id)
    row = db.execute("SELECT key FROM delivery WHERE message_id = ? AND group_id = ?", place).fetchone()
    if not _change(db, token, now, sql, **names):
        return False
    if row[0] is not None:
        behind = f"SELECT min(message_id) FROM delivery WHERE group_id = :group AND key = :key AND state = {BEHIND}"
        query = f"UPDATE delivery SET state = {OPEN} WHERE message_id = ({behind}) AND group_id = :group"
        db.execute(query, {"group": token.group_id, "key": row[0]})
    return True


def list_dead(db: sqlite3.Connection, topic: str, group: str, *, limit: int) -> list[DeadLetter]:
    """
    The dead letters of a group, the oldest message first.
    """
    query = f"""
        SELECT d.message_id, d.attempt, d.error, d.died FROM delivery d JOIN consumer_group g ON g.id = d.group_id
        WHERE g.topic = ? AND g.name = ? AND d.state = {DEAD} ORDER BY d.message_id LIMIT ?
    """
    return [
        DeadLetter(message=_load(db, number), group=group, attempts=attempts, error=error, died=died)
        for number, attempts, error, died in db.execute(query, (topic, group, limit)).fetchall()
    ]


def replay(db: sqlite3.Connection, topic: str, group: str, *, ids: Collection[str] | None, now: float) -> int:
    """
    Make dead letters due again, as if they had never been handed out; how many.
    """
    chosen = None if ids is None else json.dumps(sorted(ids))
    query = f"""
        UPDATE delivery SET state = {OPEN}, due = ?, attempt = 0, error = NULL, died = NULL
        WHERE state = {DEAD} AND group_id = (SELECT id FROM consumer_group WHERE topic = ? AND name = ?)
        AND (? IS NULL OR message_id IN (SELECT id FROM message WHERE uid IN (SELECT value FROM json_each(?))))
    """
    return db.execute(query, (now, topic, group, chosen, chosen)).rowcount


def count(db: sqlite3.Connection, *, now: float) -> list[Backlog]:
    """
    How much there is to do, by topic and group.
    """
    query = f"""
        SELECT g.topic, g.name,
            count(*) FILTER (WHERE d.state = {BEHIND} OR d.state = {OPEN} AND (d.token IS NULL OR d.due <= :now)),
            count(*) FILTER (WHERE d.state = {OPEN} AND d.token IS NOT NULL AND d.due > :now),
            count(*) FILTER (WHERE d.state = {DEAD})
        FROM consumer_group g LEFT JOIN delivery d ON d.group_id = g.id GROUP BY g.id
        UNION ALL
        SELECT topic, NULL, count(*), 0, 0 FROM message
        WHERE topic NOT IN (SELECT topic FROM consumer_group) GROUP BY topic
        ORDER BY 1, 2
    """
    rows = db.execute(query, {"now": now}).fetchall()
    return [Backlog(topic=row[0], group=row[1], waiting=row[2], in_flight=row[3], dead=row[4]) for row in rows]


def _load(db: sqlite3.Connection, number: int) -> Message:
    query = "SELECT uid, topic, body, headers, key FROM message WHERE id = ?"
    uid, topic, body, headers, key = db.execute(query, (number,)).fetchone()
    return Message(id=uid, topic=topic, body=body, headers=json.loads(headers), key=key)
