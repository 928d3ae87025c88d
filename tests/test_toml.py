"""
Files that nobody vouches for are read without harm, and values are written down without secrets.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import math
import os
import time
import tomllib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor import Secret
from conductor._toml import DEEPEST, LARGEST, TextError, parse_toml, parse_value, read_text, read_toml, show
from conductor.exceptions import SettingsFileError

MIB = 1 << 20


def refusal(path: Path) -> SettingsFileError:
    """
    The one error that reading a file gives, in less than two seconds of work.
    """
    begun = time.process_time()
    with pytest.raises(SettingsFileError) as caught:
        read_toml(path)
    assert time.process_time() - begun < 2
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


def test_reads_a_table(tmp_path: Path) -> None:
    """
    A good file gives its table.
    """
    path = tmp_path / "conductor.toml"
    path.write_text('[components.db]\nurl = "sqlite://"\n')
    assert read_toml(path) == {"components": {"db": {"url": "sqlite://"}}}


def test_byte_order_mark_is_tolerated(tmp_path: Path) -> None:
    """
    Some editors put a byte order mark first; it means nothing.
    """
    path = tmp_path / "conductor.toml"
    path.write_bytes(b"\xef\xbb\xbfstrict = true\n")
    assert read_toml(path) == {"strict": True}


def test_thousands_of_keys_are_fine(tmp_path: Path) -> None:
    """
    A file is refused for its depth or size, not for being long.
    """
    path = tmp_path / "conductor.toml"
    path.write_text("".join(f"key{index} = [{index}, {{a.b = 1.5}}]\n" for index in range(20_000)))
    assert len(read_toml(path)) == 20_000


def a_directory(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_loop_of_links(path: Path) -> None:
    path.symlink_to(path)


def nothing(path: Path) -> None:
    pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes and devices in the file system")
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (a_directory, "directory"),
        (a_pipe, "not a regular file"),
        (a_device, "not a regular file"),
        (a_loop_of_links, "symbolic links"),
        (nothing, "no such file"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    """
    Nothing but a regular file is opened, so nothing can block.
    """
    path = tmp_path / "conductor.toml"
    make(path)
    assert reason in refusal(path).reason


def test_path_with_a_null_character_is_refused() -> None:
    """
    A path that no file can have is like one that no file has.
    """
    with pytest.raises(SettingsFileError, match="null"):
        read_toml(Path("a\0b"))


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe",
        b'a = "\xe9"',
        b"a = 1\nb = \n",
        b"a",
        b"a = 1\na = 2",
        b"\x00",
        b'a = "' + b"x" * 100,
        b"a = " + b"9" * 5000,
        b"a = 0x" + b"f" * 5000,
        b"a = [" + b"9" * 100_000 + b"]",
        b"#" * (MIB + 1),
        b"[" * MIB,
        b"a=" + b"[" * (MIB - 2),
        b"a=" + b"{a=" * (MIB // 3 - 1),
        b"a" + b".a" * (MIB // 2 - 4) + b"=1",
        b"[a" + b".a" * (MIB // 2 - 4) + b"]",
        b"[[a" + b".a" * (MIB // 2 - 4) + b"]]",
        b'"a"' + b'."a"' * (MIB // 4 - 4) + b"=1",
        b"'a'" + b" . 'a'" * (MIB // 6 - 4) + b"=1",
        b"a={b" + b".b" * (MIB // 2 - 8) + b"=1}",
        b"a" + b".a" * 60 + b"={" + (b"a" + b".a" * 60 + b"={") * 60 + b"}" * 61,
        b'a = """' + b'\\"""' * (MIB // 4 - 10),
        b"a = '''" + b"''x" * (MIB // 3 - 10),
        b'"\\' * (MIB // 2),
        b'a = "]"\nb = """]"""\nc = \'\'\']\'\'\' # ]\nd = ' + b"[" * 10_000,
    ],
    ids=range(25),
)
def test_hostile_content_is_refused_in_time(tmp_path: Path, content: bytes) -> None:
    """
    Whatever a file holds, it costs one error that names it, and less than two seconds.
    """
    path = tmp_path / "conductor.toml"
    path.write_bytes(content)
    refusal(path)


@pytest.mark.parametrize("line", ["k{0}=1\n", "[k{0}]\n", "k{0}.a.b.c=[[],{{}}]\n", 'k{0}="\\n"\n'])
def test_largest_file_is_read_in_time(tmp_path: Path, line: str) -> None:
    """
    Even a file of the full size is read in less than two seconds.
    """
    path = tmp_path / "conductor.toml"
    text = "".join(line.format(index) for index in range(MIB // (len(line) + 4)))
    path.write_text(text[: text.rindex("\n", 0, LARGEST) + 1])
    begun = time.process_time()
    assert read_toml(path)
    assert time.process_time() - begun < 2


def test_syntax_error_names_the_line(tmp_path: Path) -> None:
    """
    A mistake in a file is found by its line.
    """
    path = tmp_path / "conductor.toml"
    path.write_text("strict = true\nroots = [\n]]\n")
    assert "line 3" in refusal(path).reason


def test_depth_error_names_the_line() -> None:
    """
    What is too deep is found by its line as well.
    """
    with pytest.raises(TextError, match="at line 2"):
        parse_toml("a = 1\nb = " + "[" * 100)


@pytest.mark.parametrize(
    ("text", "deep"),
    [("a = " + "[" * DEEPEST, "]" * DEEPEST), ("a = " + "[" * (DEEPEST - 1), "]" * (DEEPEST - 1))],
)
def test_depth_counts_lists_and_tables(text: str, deep: str) -> None:
    """
    Up to 64 levels are read, the table that the file itself is not counted.
    """
    assert parse_toml(text + deep)
    with pytest.raises(TextError):
        parse_toml("b." + text + "[" * 2 + "]" * 2 + deep)


@pytest.mark.parametrize("text", ['a = "[[["', "a = '{{{'", 'a = """[[["""""', "a = 1.5 # [[[", 'a = "\\"[[["', "a=''"])
def test_brackets_in_texts_and_comments_do_not_count(text: str) -> None:
    """
    The depth is that of tables and lists, not of what looks like them.
    """
    lines = "\n".join(text.replace("a", f"a{index}", 1) for index in range(200))
    assert len(parse_toml(lines)) == 200


def test_error_of_a_file_does_not_hold_its_content(tmp_path: Path) -> None:
    """
    A file may hold secrets, so an error about it holds neither its text nor another error that does.
    """
    path = tmp_path / "conductor.toml"
    path.write_text('token = "hunter2\n')
    error = refusal(path)
    assert error.__cause__ is None
    assert error.__context__ is None
    assert "hunter2" not in f"{error}{vars(error)}"


@given(content=st.binary(max_size=200))
def test_any_bytes_give_a_table_or_one_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """
    Arbitrary bytes are a table, or one error that names the file.
    """
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    try:
        table = read_toml(path)
    except SettingsFileError as error:
        table = {"refused": error.path}
    assert isinstance(table, dict)
    assert table.get("refused", str(path)) == str(path)


@given(text=st.text(alphabet="[]{}.=\"'\\#\n,a1 ", max_size=60))
def test_depth_check_accepts_whatever_is_shallow(text: str) -> None:
    """
    Whatever the parser itself reads, and that is not deep, is read here too.
    """
    try:
        expected = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(TextError):
            parse_toml(text)
    else:
        assert parse_toml(text) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), (" true ", True), ('"a"', "a"), ('["a",\n"b"]', ["a", "b"]), ("{a = 1}", {"a": 1})],
)
def test_one_value_is_read(text: str, value: Any) -> None:
    """
    A text means what it would mean after an equals sign in a file.
    """
    assert parse_value(text) == value


@pytest.mark.parametrize("text", ["", "a", "1\nb = 2", "1\n[c]", "[" * 1000, "9" * 5000, "1 # x\nvalue = 2"])
def test_what_is_no_value_is_refused(text: str) -> None:
    """
    A text that is no value, or smuggles in another key, is no value.
    """
    with pytest.raises(TextError):
        parse_value(text)


def test_text_of_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    """
    A text file is given with its line ends.
    """
    path = tmp_path / "secret"
    path.write_bytes(b"a\r\nb\n")
    assert read_text(path) == "a\r\nb\n"


# -- writing values down ---------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    ODD = object()


@attrs.define
class Pool:
    size: int = 5
    password: str | None = "hunter2"
    token: Secret[str] = attrs.field(factory=lambda: Secret("hunter2"))
    hidden: str = attrs.field(default="hunter2", repr=False)


class Opaque:
    def __repr__(self) -> str:
        raise RuntimeError("nobody may ask")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "none"),
        (True, "true"),
        (5, "5"),
        (2.0, "2.0"),
        (math.inf, "inf"),
        ('a "b"\n', '"a \\"b\\"\\n"'),
        ("é", '"é"'),
        ("\x1b[2J", '"\\u001b[2J"'),
        ("\u202e", '"\\u202e"'),
        (b"\xff", '"\\\\xff"'),
        (Path("a/b"), '"a/b"'),
        (Colour.RED, '"red"'),
        (Colour.ODD, '"ODD"'),
        ([1, (2,), collections.deque([3])], "[1, [2], [3]]"),
        ({"b", "a"}, '["a", "b"]'),
        ({"a": {"b c": 1}}, '{a = {"b c" = 1}}'),
        (datetime.datetime(2030, 1, 31, 12), "2030-01-31T12:00:00"),
        (datetime.timedelta(minutes=1), "60.0"),
        (decimal.Decimal("1.10"), '"1.10"'),
        (uuid.UUID(int=0), '"00000000-0000-0000-0000-000000000000"'),
        (Opaque(), "<tests.test_toml.Opaque>"),
        (1 << 20_000, "<integer of 20001 bits>"),
    ],
    ids=range(22),
)
def test_values_are_shown_much_as_in_toml(value: Any, shown: str) -> None:
    """
    Each kind of value has one way to be shown, on one line, safe for a terminal.
    """
    assert show(value) == shown.replace("tests.test_toml", Opaque.__module__)


def test_nested_secrets_are_not_shown() -> None:
    """
    A secret stays one wherever it is, by its type or by its name; a password in a URL too.
    """
    value = [Pool(), {"api-key": "hunter2", "url": "redis://:hunter2@h", "list": [Secret("hunter2")]}]
    assert "hunter2" not in show(value)
    assert "size = 5" in show(value)


def test_deep_and_circular_values_are_shown() -> None:
    """
    A value given in code may be as deep as it likes.
    """
    deep: list[Any] = []
    deep.append(deep)
    assert "…" in show(deep)


def test_long_values_are_cut() -> None:
    """
    What is shown in an error is cut, but only after passwords are masked.
    """
    shown = show("postgresql://user:" + "hunter2" * 10 + "@host/" + "x" * 100, longest=80)
    assert len(shown) == 80
    assert "hunter2" not in shown


@pytest.mark.parametrize("text", ["a" * MIB, "://a:" * (MIB // 5), "password" * (MIB // 8), "password=" + " " * MIB])
def test_masking_a_long_value_takes_linear_time(text: str) -> None:
    """
    A value as long as a file may be is shown in no time.
    """
    begun = time.process_time()
    show(text)
    assert time.process_time() - begun < 2
