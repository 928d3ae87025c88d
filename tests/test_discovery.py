"""
Tests of `conductor._discovery`, on real metadata folders.
"""

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import attrs
import importlib_metadata
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conductor._discovery import (
    GROUPS,
    Damage,
    Discovery,
    Duplicate,
    Entry,
    Origin,
    discover,
    is_valid_name,
    normalise,
)
from conductor.exceptions import DiscoveryError
from tests.conftest import Site

DB = {"conductor.components": {"db": "fake_db:Database"}}
ENTRY_TEXT = "[conductor.components]\ndb = fake_db:Database\n"
SOUND_METADATA = "Metadata-Version: 2.1\nName: conductor-db\nVersion: 1.0\n"


def names(found: Discovery, group: str = "conductor.components") -> list[str]:
    """
    The names of the entries of one group that can be used.
    """
    return [entry.name for entry in found.of(group) if entry.problem is None]


def test_entry_knows_its_origin(site: Site) -> None:
    """
    An entry carries its name, its target, and where it comes from.
    """
    info = site.add("conductor-db", version="1.2", entry_points=DB)

    assert discover(site.path) == Discovery(
        entries=(
            Entry(
                group="conductor.components",
                name="db",
                target="fake_db:Database",
                origin=Origin(distribution="conductor-db", version="1.2", location=str(info)),
            ),
        )
    )


def test_nothing_is_imported(site: Site) -> None:
    """
    A scan imports no module that it finds.
    """
    site.add("conductor-db", entry_points=DB, modules={"fake_db": "class Database: pass"})
    site.importable()

    assert names(discover(site.path)) == ["db"]
    assert site.imported() == set()


def test_sys_path_is_searched_if_no_path_is_given(site: Site) -> None:
    """
    Without a path, the distributions that the process can import are found.
    """
    site.add("sample", entry_points={"conductor.components": {"found-on-sys-path": "m:C"}})
    before = names(discover())
    site.importable()

    assert set(names(discover())) - set(before) == {"found-on-sys-path"}


def test_all_groups_are_read_and_others_are_not(site: Site) -> None:
    """
    Each of our groups counts, whatever else a distribution publishes.
    """
    targets = {group: {"x": "package.module:attribute"} for group in GROUPS if group != "conductor.supersedes"}
    supersedes = {"conductor.supersedes": {"x": "conductor_db_other"}}
    strange = {"console_scripts": {"x": "package:main"}, "conductor_like": {"x": "package:main"}}
    site.add("many", entry_points=targets | supersedes | strange)

    found = discover(site.path)

    assert sorted(entry.group for entry in found.entries) == sorted(GROUPS)
    assert [entry.problem for entry in found.entries] == [None] * len(GROUPS)
    assert found.damages == ()


def test_entries_are_sorted_whatever_the_order_of_installation(site: Site) -> None:
    """
    The order is that of group, key and distribution, and depends on nothing else.
    """
    published = [("b-dist", "queue"), ("a-dist", "Queue"), ("c-dist", "db"), ("d-dist", "z")]
    other = site.beside("other")
    for name, component in published:
        site.add(name, entry_points={"conductor.components": {component: "m:C"}})
    for name, component in reversed(published):
        other.add(name, entry_points={"conductor.components": {component: "m:C"}})

    first, second = (
        [(entry.key, entry.origin.distribution) for entry in discover(each.path).entries] for each in (site, other)
    )

    assert first == second == [("db", "c-dist"), ("queue", "a-dist"), ("queue", "b-dist"), ("z", "d-dist")]


def test_extras_are_stripped_from_a_target(site: Site) -> None:
    """
    The target of an entry is what is loaded, without extras.
    """
    site.add("conductor-db", entry_points={"conductor.components": {"db": "fake_db : Database [sqlite, extra]"}})

    (entry,) = discover(site.path).entries

    assert (entry.target, entry.problem) == ("fake_db : Database", None)


def test_load_gives_the_target(site: Site) -> None:
    """
    Loading an entry imports its module and gives what the target names, nested attributes included.
    """
    site.add(
        "conductor-db",
        entry_points={"conductor.components": {"db": "fake_db:Outer.Database [extra]"}},
        modules={"fake_db": "class Outer:\n    Database = 'the database'"},
    )
    site.importable()
    (entry,) = discover(site.path).entries

    assert entry.load() == "the database"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("raise SystemExit(0)", SystemExit),
        ("raise KeyboardInterrupt", KeyboardInterrupt),
        ("import surely_not_there", ModuleNotFoundError),
        ("Databse = 1", AttributeError),
        ("class Database", SyntaxError),
    ],
)
def test_load_lets_everything_through(site: Site, source: str, expected: type[BaseException]) -> None:
    """
    Whatever an import raises is for the caller to judge.
    """
    site.add("conductor-db", entry_points=DB, modules={"fake_db": source})
    site.importable()
    (entry,) = discover(site.path).entries

    with pytest.raises(expected):
        entry.load()


def test_load_refuses_an_entry_with_a_problem(site: Site) -> None:
    """
    What cannot be used is not imported, and the error says why.
    """
    site.add("conductor-db", entry_points={"conductor.components": {"1st": "fake_db:Database"}})
    (entry,) = discover(site.path).entries

    with pytest.raises(DiscoveryError, match=r"entry '1st' of 'conductor-db': '1st' is not a name"):
        entry.load()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("db", "db"), ("DB", "db"), ("my_db", "my-db"), ("my.-_db", "my-db"), ("a--b__c", "a-b-c"), ("a-", "a-")],
)
def test_normalise(name: str, expected: str) -> None:
    """
    Names that differ in case and separators only are equal when normalised.
    """
    assert normalise(name) == expected


@given(st.text())
def test_normalising_twice_changes_nothing(name: str) -> None:
    """
    A normalised name that is valid is its own normalised name.
    """
    if is_valid_name(name):
        assert normalise(normalise(name)) == normalise(name)


@pytest.mark.parametrize("name", ["db", "Db2", "my-db", "my_db.x", "a-", "a.."])
def test_valid_names(name: str) -> None:
    """
    ASCII letters, digits, `-`, `_` and `.` make a name that begins with a letter.
    """
    assert is_valid_name(name)


@pytest.mark.parametrize("name", ["", "1db", "-db", "_db", ".db", "dä", "d b", "db\n", "d/b", "d:b", "ⅷ", "d\x1b[1m"])
def test_invalid_names(name: str) -> None:
    """
    Nothing else is a name.
    """
    assert not is_valid_name(name)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("just words", "the line 'just words' has no target, as in 'name = module:Class'"),
        ("bad =", "the line 'bad' has no target, as in 'name = module:Class'"),
        ("[unclosed", "the line '[unclosed' has no target, as in 'name = module:Class'"),
        ("[a] b", "the line '[a] b' has no target, as in 'name = module:Class'"),
        (
            "1st = module:Class",
            "'1st' is not a name of ASCII letters, digits, '-', '_' and '.' that begins with a letter",
        ),
        ("bad = no-module:Class", "its target 'no-module:Class' is not of the form 'module:Class'"),
        ("bad = module:Class # why", "its target 'module:Class # why' is not of the form 'module:Class'"),
        ("bad = .module:Class", "its target '.module:Class' is not of the form 'module:Class'"),
        ("bad = module:1", "its target 'module:1' is not of the form 'module:Class'"),
        ("bad = a:b:c", "its target 'a:b:c' is not of the form 'module:Class'"),
        ("bad = module", "its target 'module' names a module but nothing in it, as in 'module:Class'"),
    ],
)
def test_broken_line_is_a_problem_of_one_entry(site: Site, line: str, problem: str) -> None:
    """
    What is wrong with one line is said of that entry, and the ones before and after it can be used.
    """
    site.add("conductor-db", entry_points=f"[conductor.components]\na = m:A\n{line}\nz = m:Z\n")

    found = discover(site.path)

    assert names(found) == ["a", "z"]
    assert [entry.problem for entry in found.entries if entry.problem] == [problem]
    assert found.damages == ()


@pytest.mark.parametrize("separator", ["\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_broken_line_ends_where_the_parser_ends_it(site: Site, separator: str) -> None:
    """
    A line without `=` is harmless whatever ends it.
    """
    text = separator.join(["[conductor.components]", "a = m:A", "broken", "z = m:Z"])
    site.add("conductor-db", entry_points=text)

    assert names(discover(site.path)) == ["a", "z"]


def test_comments_and_a_byte_order_mark_are_no_damage(site: Site) -> None:
    """
    Both kinds of comment lines are skipped, and so is what some editors write first.
    """
    site.add("conductor-db", entry_points="\ufeff[conductor.components]\n# one\n; two\n\ndb = m:C\n")

    found = discover(site.path)

    assert [(entry.name, entry.problem) for entry in found.entries] == [("db", None)]
    assert found.damages == ()


@pytest.mark.parametrize("group", ["conductor.components", "conductor.overrides", "conductor.commands"])
def test_module_alone_is_no_target_where_an_object_is_needed(site: Site, group: str) -> None:
    """
    Components, overrides and commands are things in a module.
    """
    site.add("x", entry_points={group: {"x": "package.module"}})

    (entry,) = discover(site.path).entries

    assert entry.problem == (
        "its target 'package.module' names a module but nothing in it, as in 'package.module:Class'"
    )


def test_module_alone_is_a_plugin(site: Site) -> None:
    """
    A hook implementation may be a whole module.
    """
    site.add("x", entry_points={"conductor.hooks": {"x": "package.module"}})

    assert names(discover(site.path), "conductor.hooks") == ["x"]


def test_superseded_distribution_is_not_a_class(site: Site) -> None:
    """
    The target of `conductor.supersedes` is the name of a distribution, a digit at its beginning included.
    """
    site.add("x", entry_points={"conductor.supersedes": {"db": "3d_db", "mq": "conductor_mq:Class"}})

    good, bad = discover(site.path).entries

    assert (good.name, good.problem) == ("db", None)
    assert bad.problem == "its target 'conductor_mq:Class' is not the name of a distribution"


def test_name_published_twice_by_one_distribution_is_refused(site: Site) -> None:
    """
    Neither of two equal names in one group counts, since nothing tells which one is meant.
    """
    components = "[conductor.components]\nmy-db = m:A\nMy.Db = m:B\nother = m:C\n"
    site.add("x", entry_points=f"{components}[conductor.overrides]\nmy-db = m:D\n")

    found = discover(site.path)

    assert names(found) == ["other"]
    assert names(found, "conductor.overrides") == ["my-db"]
    assert [entry.problem for entry in found.entries if entry.problem] == [
        "its distribution publishes the name 'My.Db' more than once",
        "its distribution publishes the name 'my-db' more than once",
    ]


def test_equal_names_of_two_distributions_are_left_to_the_resolution(site: Site) -> None:
    """
    Discovery keeps both of two distributions that publish the same name.
    """
    site.add("a", entry_points=DB)
    site.add("b", entry_points=DB)

    assert [(e.origin.distribution, e.problem) for e in discover(site.path).entries] == [("a", None), ("b", None)]


def test_misspelt_group_is_reported(site: Site) -> None:
    """
    A group that looks like one of ours is named, with the one that is probably meant.
    """
    info = site.add("x", entry_points={"conductor.component": {"x": "m:C"}, "conductor.zzzzzz": {"x": "m:C"}})

    assert discover(site.path).damages == (
        Damage(
            distribution="x",
            location=str(info),
            message="its group 'conductor.component' is unknown, probably 'conductor.components' is meant",
        ),
    )


def test_unclosed_group_is_reported(site: Site) -> None:
    """
    A distribution whose entries are lost because their group has no end is named.
    """
    site.add("x", entry_points="[conductor.components\ndb = m:C\n")

    found = discover(site.path)

    assert found.entries == ()
    assert [damage.message for damage in found.damages] == [
        "entry_points.txt has a line without '=': '[conductor.components'"
    ]


def stranger_without_equals(site: Site) -> Path:
    """
    A line that is no pair.
    """
    return site.add("stranger", entry_points="[console_scripts]\nno equals sign\n")


def stranger_not_utf8(site: Site) -> Path:
    """
    Bytes that are no text.
    """
    return site.add("stranger", entry_points=b"[console_scripts]\nx = caf\xe9:main\n")


def stranger_without_metadata(site: Site) -> Path:
    """
    A folder that an incomplete uninstall leaves.
    """
    return site.add_raw("stranger-1.0.dist-info", {"RECORD": ""})


def stranger_with_empty_metadata(site: Site) -> Path:
    """
    A file that a full disk leaves.
    """
    return site.add("stranger", metadata="")


def stranger_with_folder_as_metadata(site: Site) -> Path:
    """
    A folder in place of METADATA.
    """
    info = site.add_raw("stranger-1.0.dist-info", {})
    (info / "METADATA").mkdir()
    return info


def stranger_with_folder_as_entry_points(site: Site) -> Path:
    """
    A folder in place of entry_points.txt.
    """
    info = site.add("stranger")
    (info / "entry_points.txt").mkdir()
    return info


def stranger_too_large(site: Site) -> Path:
    """
    A file larger than any real one.
    """
    return site.add("stranger", entry_points=b"# " + b"x" * (1 << 20) + b"\n[conductor.components]\nx = m:C\n")


DAMAGED = [
    (stranger_without_equals, "entry_points.txt has a line without '=': 'no equals sign'"),
    (stranger_not_utf8, "entry_points.txt is not UTF-8"),
    (stranger_without_metadata, "it has no METADATA"),
    (stranger_with_empty_metadata, "it has no METADATA"),
    (stranger_with_folder_as_metadata, "it has no METADATA"),
    (stranger_with_folder_as_entry_points, "entry_points.txt cannot be read: Is a directory"),
    (stranger_too_large, "entry_points.txt is larger than 1048576 bytes"),
]


@pytest.mark.parametrize(("damaged", "message"), DAMAGED, ids=lambda value: getattr(value, "__name__", ""))
def test_damaged_stranger_costs_one_warning(site: Site, damaged: object, message: str) -> None:
    """
    What is wrong with a stranger is said once, with its name and place, and hides nothing.
    """
    site.add("conductor-db", entry_points=DB)
    assert callable(damaged)
    info = damaged(site)

    found = discover(site.path)

    assert found.damages == (Damage(distribution="stranger", location=str(info), message=message),)
    assert names(found) == ["db"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["entry_points.txt", "METADATA"])
def test_pipe_in_place_of_a_file_does_not_hold_the_scan(site: Site, name: str) -> None:
    """
    A scan does not wait for somebody to write into a pipe.
    """
    site.add("conductor-db", entry_points=DB)
    files = {"METADATA": SOUND_METADATA, "entry_points.txt": "[conductor.components]\nx = m:C\n"}
    info = site.add_raw("stranger-1.0.dist-info", {key: text for key, text in files.items() if key != name})
    os.mkfifo(info / name)

    assert names(discover(site.path)) == ["db"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="everything is permitted to this user")
def test_forbidden_file_costs_one_warning(site: Site) -> None:
    """
    A file that may not be read is named.
    """
    site.add("conductor-db", entry_points=DB)
    info = site.add("stranger", entry_points=DB)
    (info / "entry_points.txt").chmod(0)

    found = discover(site.path)

    assert [damage.message for damage in found.damages] == ["entry_points.txt cannot be read: Permission denied"]
    assert names(found) == ["db"]


def test_forbidden_file_is_reported_whoever_reads(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What the operating system refuses to open is named with its reason.
    """
    site.add("conductor-db", entry_points=DB)
    info = site.add("stranger", entry_points={"console_scripts": {"x": "m:main"}})
    real = os.open

    def refuse(path: str, flags: int) -> int:
        if path.startswith(str(info)):
            raise PermissionError(13, "Permission denied")
        return real(path, flags)

    monkeypatch.setattr("os.open", refuse)
    found = discover(site.path)

    assert [damage.message for damage in found.damages] == ["entry_points.txt cannot be read: Permission denied"]
    assert names(found) == ["db"]


def test_bytes_that_are_not_utf8_cost_one_entry(site: Site) -> None:
    """
    The lines around bytes that are no text can be used.
    """
    site.add("x", entry_points=b"[conductor.components]\na = m:A\nb = m:\xff\xfe\nc = m:C\n")

    found = discover(site.path)

    assert names(found) == ["a", "c"]
    assert [entry.name for entry in found.entries if entry.problem] == ["b"]
    assert [damage.message for damage in found.damages] == ["entry_points.txt is not UTF-8"]


def test_entries_without_metadata_are_not_used(site: Site) -> None:
    """
    Of a distribution without METADATA the folder tells name and version, and nothing of it is used.
    """
    info = site.add_raw("half_there-2.0.dist-info", {"entry_points.txt": "[conductor.components]\nx = m:C\n"})

    found = discover(site.path)

    assert found.entries == (
        Entry(
            group="conductor.components",
            name="x",
            target="m:C",
            origin=Origin(distribution="half_there", version="2.0", location=str(info)),
            problem="its distribution has no METADATA, so it is not completely installed",
        ),
    )
    assert [damage.message for damage in found.damages] == ["it has no METADATA"]


@pytest.mark.parametrize(
    ("metadata", "name", "version"),
    [
        ("Name: conductor.DB\nVersion: 3\n\nText", "conductor.DB", "3"),
        ("Name: conductor.DB\r\nVersion: 3\r\n\r\nName: other\r\n", "conductor.DB", "3"),
        ("Version: 3\n", "conductor_db", "3"),
        ("Name: conductor.DB\n", "conductor.DB", "1.0"),
        ("Name: \x1b[31mred\nVersion: 3\n", "conductor_db", "3"),
        (b"Name: conductor.DB\nVersion: 3\nAuthor: \xe9\n", "conductor.DB", "3"),
        ("no header at all", "conductor_db", "1.0"),
    ],
)
def test_name_and_version_are_those_published(site: Site, metadata: str | bytes, name: str, version: str) -> None:
    """
    METADATA tells name and version as far as it can, and the folder's name the rest.
    """
    info = site.add("conductor-db", entry_points=DB, metadata=metadata)

    (entry,) = discover(site.path).entries

    assert entry.origin == Origin(distribution=name, version=version, location=str(info))


def test_metadata_of_strangers_is_not_opened(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A scan opens METADATA only of those that publish something for Conductor.
    """
    site.add("conductor-db", entry_points=DB)
    site.add("stranger", entry_points={"console_scripts": {"x": "m:main"}})
    site.add("other-stranger")
    opened: list[str] = []
    real = os.open

    def note(path: str, flags: int) -> int:
        opened.append(path)
        return real(path, flags)

    monkeypatch.setattr("os.open", note)

    found = discover(site.path)
    scanned = [path for path in opened if path.endswith("METADATA")]
    listed = [origin.distribution for origin in found.distributions]

    assert [Path(path).parent.name for path in scanned] == ["conductor_db-1.0.dist-info"]
    assert listed == ["conductor-db", "other-stranger", "stranger"]


@settings(
    max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(
    entry_points=st.one_of(
        st.binary(),
        st.lists(
            st.sampled_from(
                [b"[conductor.components]", b"[conductor.x", b"a = m:A", b"db = m:A", b"=", b"a", b"\xff", b"[", b"[]"]
            )
            | st.binary(max_size=8)
        ).map(b"\n".join),
    ),
    metadata=st.one_of(
        st.binary(),
        st.lists(
            st.sampled_from(
                [b"Name: x", b"Name: conductor-db", b"Content-Type: multipart/mixed; boundary=a", b"--a", b"", b" y"]
            )
            | st.binary(max_size=8)
        ).map(b"\n".join),
    ),
)
@example(entry_points=b"[conductor.components]\n", metadata=b"Content-Type: message/rfc822\n\n" * 3)
def test_no_stranger_hides_a_sound_distribution(site: Site, entry_points: bytes, metadata: bytes) -> None:
    """
    Whatever bytes a stranger consists of, the scan ends, and a sound distribution is found as if it were alone.
    """
    if not (site.folder / "conductor_db-1.0.dist-info").exists():
        site.add("conductor-db", entry_points=DB)
        site.add_raw("stranger-1.0.dist-info", {})
    (site.folder / "stranger-1.0.dist-info" / "entry_points.txt").write_bytes(entry_points)
    (site.folder / "stranger-1.0.dist-info" / "METADATA").write_bytes(metadata)

    found = discover(site.path)

    (sound,) = (entry for entry in found.entries if entry.origin.location.endswith("conductor_db-1.0.dist-info"))
    assert (sound.name, sound.target, sound.problem) == ("db", "fake_db:Database", None)
    assert sound.origin.distribution == "conductor-db"
    assert len(found.distributions) == 2
    assert len(found.damages) <= 1


def test_first_on_the_path_wins(site: Site) -> None:
    """
    A distribution that is on the path twice counts once, as for import, whatever the spelling of its name.
    """
    other = site.beside("other")
    first = site.add("Conductor.DB", version="1.0", entry_points=DB)
    second = other.add("conductor-db", version="2.0", entry_points=DB)

    one = discover([*site.path, *other.path])
    two = discover([*other.path, *site.path])

    assert [entry.origin.version for entry in one.entries] == ["1.0"]
    assert one.duplicates == (Duplicate("Conductor_DB", str(first), shadowed=(str(second),)),)
    assert [entry.origin.version for entry in two.entries] == ["2.0"]
    assert two.duplicates == (Duplicate("conductor_db", str(second), shadowed=(str(first),)),)


def test_earlier_stranger_shadows_a_later_one_with_entries(site: Site) -> None:
    """
    An old version without entry points that is imported first takes those of the later one away.
    """
    other = site.beside("other")
    site.add("conductor-db", version="0.1")
    other.add("conductor-db", version="1.0", entry_points=DB)

    assert discover([*site.path, *other.path]).entries == ()


@pytest.mark.parametrize(
    ("newest", "older"), [("1.10", ["1.9", "1.8"]), ("2.0", ["1.99.9", "1.0"]), ("10", ["9", "009"])]
)
def test_newest_of_one_folder_wins(site: Site, newest: str, older: list[str]) -> None:
    """
    Of two versions in one folder the newest counts, since the order in a directory must not decide.
    """
    for version in [*older, newest]:
        site.add("conductor-db", version=version, entry_points=DB)

    found = discover(site.path)

    assert [entry.origin.version for entry in found.entries] == [newest]
    assert [len(duplicate.shadowed) for duplicate in found.duplicates] == [2]


def test_rest_without_metadata_shadows_nothing(site: Site) -> None:
    """
    A folder that an incomplete uninstall has left is named, and a sound one further on counts.
    """
    other = site.beside("other")
    rest = site.add_raw("conductor_db-9.0.dist-info", {"entry_points.txt": "[conductor.components]\nold = m:C\n"})
    other.add("conductor-db", entry_points=DB)

    found = discover([*site.path, *other.path])

    assert names(found) == ["db"]
    assert found.damages == (Damage("conductor_db", str(rest), "it is the rest of an incomplete uninstall"),)
    assert found.duplicates == ()


def test_what_pip_is_about_to_delete_does_not_count(site: Site) -> None:
    """
    A folder that pip has renamed and not deleted is named and not used.
    """
    files = {"METADATA": SOUND_METADATA, "entry_points.txt": "[conductor.components]\nold = m:C\n"}
    rest = site.add_raw("~onductor_db-1.0.dist-info", files)

    found = discover(site.path)

    assert found.entries == ()
    assert found.damages == (Damage("conductor-db", str(rest), "it is the rest of an incomplete uninstall"),)


def test_same_folder_twice_is_no_duplicate(site: Site, tmp_path: Path) -> None:
    """
    A folder that is on the path repeatedly, or through a link, is one folder.
    """
    site.add("conductor-db", entry_points=DB)
    link = tmp_path / "link"
    link.symlink_to(site.folder, target_is_directory=True)

    found = discover([f"{site.folder}/", str(link), *site.path])

    assert [entry.origin.location for entry in found.entries] == [f"{site.folder}/conductor_db-1.0.dist-info"]
    assert found.duplicates == ()


def test_linked_metadata_is_no_duplicate(site: Site) -> None:
    """
    Metadata that is linked into a second folder is one and the same.
    """
    other = site.beside("other")
    info = site.add("conductor-db", entry_points=DB)
    (other.folder / info.name).symlink_to(info, target_is_directory=True)

    found = discover([*site.path, *other.path])

    assert names(found) == ["db"]
    assert found.duplicates == ()


@pytest.mark.parametrize("entry", ["", ".", "{cwd}", "{cwd}/", "{cwd}/../project"])
def test_working_directory_is_no_place_to_find_components_in(site: Site, entry: str) -> None:
    """
    What lies in the working directory is not found, however the path names it.
    """
    project = site.beside("project")
    project.add("in-project", entry_points={"conductor.components": {"stale": "m:C"}})
    project.add_raw(
        "old.egg-info", {"PKG-INFO": "Name: old\n", "entry_points.txt": "[conductor.components]\nold = m:C"}
    )
    site.add("conductor-db", entry_points=DB)
    cwd = str(project.folder)

    found = discover([entry.format(cwd=cwd), *site.path], cwd=cwd)

    assert names(found) == ["db"]
    assert [origin.distribution for origin in found.distributions] == ["conductor-db"]


def test_working_directory_of_the_process_counts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without a given one, the working directory is that of the process.
    """
    project = site.beside("project")
    project.add("in-project", entry_points=DB)
    monkeypatch.chdir(project.folder)

    assert discover(["", *project.path]).entries == ()


def test_relative_entries_are_below_the_working_directory(site: Site) -> None:
    """
    A relative entry of the path is a folder of the working directory.
    """
    site.add("conductor-db", entry_points=DB)

    assert names(discover([site.folder.name], cwd=str(site.folder.parent))) == ["db"]


def test_working_directory_in_a_pth_file_is_an_editable_install(site: Site) -> None:
    """
    Metadata in the working directory counts if a `.pth` file of a site folder puts it on the path.
    """
    project = site.beside("project")
    project.add_raw("mine.egg-info", {"PKG-INFO": "Name: mine\nVersion: 1\n", "entry_points.txt": ENTRY_TEXT})
    cwd = str(project.folder)
    (site.folder / "easy-install.pth").write_text(f"# comment\nimport sys\n\n{cwd}\n", encoding="utf-8")

    found = discover([cwd, *site.path], cwd=cwd)

    assert [(entry.name, entry.origin.distribution) for entry in found.entries] == [("db", "mine")]


def test_pth_file_counts_only_in_a_site_folder(site: Site) -> None:
    """
    A `.pth` file somewhere else on the path has no effect, as it has none on import.
    """
    project, other = site.beside("project"), site.beside("other")
    project.add("in-project", entry_points=DB)
    (other.folder / "x.pth").write_text(f"{project.folder}\n", encoding="utf-8")

    assert discover([*project.path, *other.path], cwd=str(project.folder)).entries == ()


@pytest.mark.parametrize("in_project", [True, False])
def test_editable_install_counts_by_its_metadata_in_the_site_folder(site: Site, in_project: bool) -> None:
    """
    What setuptools builds in a project's folder is stale next to the metadata that it installs, and no duplicate.
    """
    project = site.beside("project")
    for name in ("mine", "former_name"):
        text = "[conductor.components]\nstale = m:C\n"
        project.add_raw(f"{name}.egg-info", {"PKG-INFO": f"Name: {name}\n", "entry_points.txt": text})
    site.add("mine", entry_points=DB)
    (site.folder / "__editable__.mine-1.0.pth").write_text(f"{project.folder}\n", encoding="utf-8")
    cwd = str(project.folder if in_project else site.folder.parent)

    found = discover([*project.path, *site.path], cwd=cwd)

    assert names(found) == ["db"]
    assert (found.duplicates, found.damages) == ((), ())


def test_built_egg_yields_to_what_is_installed(site: Site) -> None:
    """
    An `egg-info` in a project's folder loses to the installed metadata, and is no duplicate.
    """
    project = site.beside("project")
    text = "[conductor.components]\nstale = m:C\n"
    project.add_raw("mine.egg-info", {"PKG-INFO": "Name: mine\n", "entry_points.txt": text})
    site.add("mine", entry_points=DB)

    found = discover([*project.path, *site.path])

    assert names(found) == ["db"]
    assert found.duplicates == ()


def test_working_directory_that_is_a_site_folder_counts(site: Site) -> None:
    """
    Whoever stands in `site-packages` finds what is installed there.
    """
    site.add("conductor-db", entry_points=DB)

    assert names(discover(site.path, cwd=str(site.folder))) == ["db"]


def test_deleted_working_directory_is_no_obstacle(site: Site) -> None:
    """
    A process whose working directory is gone finds what is installed.
    """
    site.add("conductor-db", entry_points=DB)
    gone = site.beside("gone").folder
    code = (
        "import os, sys; from conductor._discovery import discover; os.chdir(sys.argv[1]); os.rmdir(sys.argv[1]); "
        "print(len(discover(['', '.', sys.argv[2]]).entries))"
    )
    root = str(Path(__file__).parent.parent)

    process = subprocess.run(
        [sys.executable, "-c", code, str(gone), str(site.folder)],
        env=os.environ | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )

    assert process.stdout == "1\n"


def test_path_entries_that_are_no_folders_are_ignored(site: Site, tmp_path: Path) -> None:
    """
    What import ignores is ignored: an entry that is not there, a file, no path at all.
    """
    site.add("conductor-db", entry_points=DB)
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and no more")

    found = discover(
        [str(tmp_path / "absent"), str(tmp_path / "file"), str(tmp_path / "broken.zip"), "a\0b", "\ud800", *site.path]
    )

    assert names(found) == ["db"]
    assert found.damages == ()


def test_zip_file_on_the_path(site: Site, tmp_path: Path) -> None:
    """
    Distributions in a zip file are found, damaged ones cost a warning, and location says where they are.
    """
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("conductor_db-1.0.dist-info/METADATA", SOUND_METADATA)
        writer.writestr("conductor_db-1.0.dist-info/entry_points.txt", ENTRY_TEXT)
        writer.writestr("stranger-1.0.dist-info/METADATA", "Name: stranger\n")
        writer.writestr("stranger-1.0.dist-info/entry_points.txt", b"\xff")
        writer.writestr("half-1.0.dist-info/RECORD", "")

    found = discover([str(archive), *site.path])

    (entry,) = found.entries
    assert entry.origin == Origin("conductor-db", "1.0", f"{archive}/conductor_db-1.0.dist-info")
    assert [(damage.distribution, damage.message.split(":")[0]) for damage in found.damages] == [
        ("half", "it has no METADATA"),
        ("stranger", "entry_points.txt cannot be read"),
    ]


def test_eggs_are_found(site: Site) -> None:
    """
    The older forms of metadata count: an `egg-info` folder, an `egg-info` file, and an egg on the path.
    """
    site.add_raw("one-1.0.egg-info", {"PKG-INFO": "Name: one\nVersion: 1\n", "entry_points.txt": ENTRY_TEXT})
    (site.folder / "two-2.0-py3.11.egg-info").write_text("Name: two\nVersion: 2.0\n", encoding="utf-8")
    egg = site.beside("three-3.0-py3.11.egg")
    egg.add_raw("EGG-INFO", {"PKG-INFO": "Name: three\nVersion: 3.0\n", "entry_points.txt": ENTRY_TEXT})

    found = discover([*site.path, *egg.path])

    assert [entry.origin.distribution for entry in found.entries] == ["one", "three"]
    assert [(each.distribution, each.version) for each in found.distributions] == [
        ("one", "1"),
        ("three", "3.0"),
        ("two", "2.0"),
    ]
    assert found.damages == ()


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names of any bytes")
def test_names_that_are_not_utf8_do_no_harm(site: Site) -> None:
    """
    A folder whose name is no text is read, and what is told of it can be encoded.
    """
    site.add("conductor-db", entry_points=DB)
    folder = os.fsencode(site.folder) + b"/caf\xe9-1.0.dist-info"
    os.mkdir(folder)
    Path(os.fsdecode(folder), "entry_points.txt").write_text("[conductor.components]\nx = m:C\n", encoding="utf-8")

    found = discover(site.path)

    assert names(found) == ["db"]
    (damage,) = found.damages
    assert damage.distribution == "caf\\xe9"
    assert repr(found).encode()
    assert found.distributions[0].location.encode()


class Elsewhere(importlib_metadata.Distribution):
    """
    A distribution that lies in no folder.
    """

    def read_text(self, filename: str | os.PathLike[str]) -> str | None:
        """
        The files, as constants.
        """
        return {"METADATA": SOUND_METADATA, "entry_points.txt": ENTRY_TEXT}.get(str(filename))

    def locate_file(self, path: str | os.PathLike[str]) -> importlib_metadata.SimplePath:
        """
        Nothing can be located.
        """
        raise NotImplementedError


@attrs.frozen
class Finder:
    """
    What a third party may put on `sys.meta_path`.
    """

    error: Exception | None = None

    def find_spec(self, *args: object) -> None:
        """
        It finds no modules.
        """

    def find_distributions(self, context: object) -> Iterable[importlib_metadata.Distribution]:
        """
        One distribution, or an error.
        """
        yield Elsewhere()
        if self.error is not None:
            raise self.error


def test_distributions_of_other_finders_are_found(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A finder of a third party may know distributions that lie in no folder.
    """
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])

    found = discover(site.path)

    assert names(found) == ["db"]
    assert found.entries[0].origin == Origin("conductor-db", "1.0", f"{Elsewhere.__module__}.Elsewhere")


def test_finder_that_raises_costs_one_warning(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A finder of a third party that fails hides nothing of the others.
    """
    site.add("conductor-db", entry_points=DB)
    monkeypatch.setattr(sys, "meta_path", [Finder(ValueError("broken")), *sys.meta_path])

    found = discover(site.path)

    assert names(found) == ["db"]
    assert found.damages == (Damage("", "", "'Finder' in 'sys.meta_path' failed: broken"),)


def test_what_is_installed_meanwhile_is_found(site: Site) -> None:
    """
    A second scan sees what has been installed since the first.
    """
    assert discover(site.path).entries == ()
    site.add("conductor-db", entry_points=DB)

    assert names(discover(site.path)) == ["db"]


def test_zip_file_that_changes_meanwhile_is_read_again(tmp_path: Path) -> None:
    """
    A second scan sees what has changed since the first, even if the time of change is the same.
    """
    archive = tmp_path / "all.zip"

    def write(folder: str) -> None:
        with zipfile.ZipFile(archive, "w") as writer:
            writer.writestr(f"{folder}-1.0.dist-info/METADATA", f"Name: {folder}\nVersion: 1.0\n")
            writer.writestr(f"{folder}-1.0.dist-info/entry_points.txt", ENTRY_TEXT)
        os.utime(archive, (0, 0))

    found = []
    for folder in ("first", "second"):
        write(folder)
        found += [entry.origin.distribution for entry in discover([str(archive)]).entries]

    assert found == ["first", "second"]
