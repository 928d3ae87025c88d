"""
Tests of `conductor._text`: text from outside, made fit to show.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor._text import MASK, dotted, enumerate_names, is_secret_name, nearest, normalise, printable, redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("grün, 数据库, emoji 🙂", "grün, 数据库, emoji 🙂"),
        ("two\nlines", "two\nlines"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\r\t\x00", "\\x0d\\x09\\x00"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("lone \ud800", "lone \\ud800"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("private \ue000", "private \\ue000"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    """
    Controls, bidirectional controls, invisible characters and lone surrogates cannot steer a terminal.
    """
    assert printable(text) == shown


@given(st.text())
def test_printable_text_can_be_encoded_and_stays_as_it_is(text: str) -> None:
    """
    Whatever comes in, what comes out is UTF-8, has no control but line feeds, and is not escaped twice.
    """
    shown = printable(text)

    shown.encode()
    assert all(char == "\n" or (char >= " " and not "\x7f" <= char <= "\x9f") for char in shown)
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:hunter2@host/db", f"postgresql://me:{MASK}@host/db"),
        ("redis://:hunter2@host", f"redis://:{MASK}@host"),
        ("smtp://me@example.com:hunter2@host:25", f"smtp://me@example.com:{MASK}@host:25"),
        ("http://me@host:8080/a@b", "http://me@host:8080/a@b"),
        ("x://me:hun@ter2@host/db?mail=a@b", f"x://me:{MASK}@host/db?mail=a@b"),
        ("x://me:hunter#2/3?4@host/db", f"x://me:{MASK}@host/db"),
        ("cannot reach 'x://me:hunter2@host'", f"cannot reach 'x://me:{MASK}@host'"),
        ("http://host:8080/me@home", "http://host:8080/me@home"),
        ("http://host:8080", "http://host:8080"),
        ("me@home and http://host/", "me@home and http://host/"),
        ("x://me@host/db", "x://me@host/db"),
        ("host=h password=hunter2 user=me", f"host=h password={MASK} user=me"),
        ("Password = hunter2", f"Password = {MASK}"),
        ("?api_key=hunter2&page=2", f"?api_key={MASK}&page=2"),
        ("connect(user='me', password='hunter2')", f"connect(user='me', password={MASK})"),
        ("password='hun ter2'", f"password={MASK}"),
        ("{'token': 'hunter2', 'n': 1}", f"{{'token': {MASK}, 'n': 1}}"),
        ('{"secret": "hunter2"}', f'{{"secret": {MASK}}}'),
        ("invalid token: unexpected end", "invalid token: unexpected end"),
    ],
)
def test_passwords_are_masked(text: str, shown: str) -> None:
    """
    Passwords in URLs and in pairs of a telling name are masked, ports, paths and prose are not.
    """
    assert redact(text) == shown


def test_known_secrets_are_masked_wherever_they_stand() -> None:
    """
    Longer ones first, so that nothing is left of one that holds another; an empty one masks nothing.
    """
    assert redact("got hunter2x and hunter2", ["hunter2", "hunter2x", ""]) == f"got {MASK} and {MASK}"


@pytest.mark.parametrize("part", ["://a:", "password=", "://a:b", "'token': ", "@", "://a:b/" * 3])
def test_hostile_text_costs_no_time(part: str) -> None:
    """
    A text that is made to be slow is masked within a second.
    """
    text = part * (200_000 // len(part))

    began = time.perf_counter()
    redact(text)
    assert time.perf_counter() - began < 1.0


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("databse", "database"),
        ("DATABASE", "database"),
        ("web", "web-api"),
        ("BD", "db"),
        ("zzz", None),
        ("", None),
    ],
)
def test_nearest(name: str, found: str | None) -> None:
    """
    A misspelt name leads to the one that is meant, a strange one to nothing.
    """
    assert nearest(name, ["web-api", "database", "queue", "db"]) == found


def test_nearest_does_not_depend_on_order() -> None:
    """
    Of two names equally near, one is chosen, always the same.
    """
    assert nearest("ab", ["abx", "aby"]) == nearest("ab", ["aby", "abx"])


def test_names_are_enumerated_as_in_a_sentence() -> None:
    """
    None, one, two and three.
    """
    found = [enumerate_names(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])]

    assert found == ["", "'a'", "'a' and 'b'", "'a', 'b' and 'c'"]


def test_equal_names_are_equal() -> None:
    """
    Case and separators do not count.
    """
    assert {normalise(name) for name in ("My-Db", "my_db", "my.db", "MY--DB", "my-_.db")} == {"my-db"}


def test_keys_are_quoted_as_toml_wants_it() -> None:
    """
    Only those that need it.
    """
    assert dotted(["components", "a.b", "url", 'c"d']) == 'components."a.b".url."c\\"d"'


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("password", True),
        ("db_password", True),
        ("api-key", True),
        ("Auth.Token", True),
        ("tokens", False),
        ("x", False),
    ],
)
def test_telling_names(name: str, secret: bool) -> None:
    """
    A name that ends in a telling word is better not shown.
    """
    assert is_secret_name(name) is secret
