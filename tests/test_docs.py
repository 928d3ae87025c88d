"""
README and documentation: every block is a file, every file is run, everything public is documented.
"""

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import types
import zlib
from collections.abc import Iterator
from pathlib import Path

import attrs
import click
import pytest

import conductor
from conductor import exceptions, hookspecs, lifecycle, testing
from conductor._cli import commands
from conductor._declaration import Kind, declaration
from conductor._discovery import GROUPS
from conductor._report import ExitCode
from conductor._settings import Limits, load_settings
from conductor._sources import MappingSource, TomlSource

pexpect = pytest.importorskip("pexpect", reason="sessions need a terminal")

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
README = ROOT / "README.md"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)

SERVING = {"tutorial/first.py", "tutorial/second.py", "readme/classic.py"}
PROGRAMS = [
    path
    for path in sorted(EXAMPLES.rglob("*.py"))
    if path.parent.name in ("how-to", "readme", "tutorial") and path.relative_to(EXAMPLES).as_posix() not in SERVING
]
SETTINGS = [path for path in sorted(EXAMPLES.rglob("*.toml")) if path.name != "pyproject.toml"]
LIMIT = 120  # seconds after which a command of a session is given up


def text_of(path: Path) -> str:
    """
    The text of a file of the project.
    """
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    """
    What a parametrised test is called.
    """
    return path.relative_to(EXAMPLES).as_posix()


def those_of_tests(paths: list[Path], *, wanted: bool) -> list[Path]:
    """
    Those that hold tests, or those that do not.
    """
    return [path for path in paths if path.name.startswith("test_") is wanted]


# -- text as it is expected --------------------------------------------------------------------------------------------

_VOLATILE = (
    (re.compile(r"\x1b\[[0-9;?]*[A-Za-z]"), ""),
    (re.compile(r"\d\d:\d\d:\d\d"), "12:00:00"),
    (re.compile(r"\d+\.\d{3} s\b"), "0.000 s"),
    (re.compile(r"\bdigest [0-9a-f]{12}\b"), "digest 000000000000"),
    (re.compile(r"\b\d{10}\b"), "1000000000"),
    (re.compile(r"Python \d+\.\d+\.\d+"), "Python 3.11.0"),
    (re.compile(r"\bin \d+\.\d+s"), "in 0.00s"),
    (re.compile(r"\d+ distributions"), "20 distributions"),
    (re.compile(r" *\[100%\]"), " [100%]"),
)


def steady(text: str) -> str:
    """
    The text with times and other things in it that are different each time made the same.
    """
    for pattern, same in _VOLATILE:
        text = pattern.sub(same, text)
    return "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").strip().splitlines())


def pattern_of(expected: str) -> str:
    """
    A regular expression for what is expected; ``...`` stands for anything.
    """
    return ".*?".join(re.escape(part) for part in steady(expected).split("..."))


def check_text(found: str, expected: str) -> None:
    """
    Fail, and show both, if the text is not what is expected.
    """
    if re.fullmatch(pattern_of(expected), steady(found), re.DOTALL) is None:
        assert steady(found) == steady(expected)


# -- programs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", those_of_tests(PROGRAMS, wanted=False), ids=name_of)
def test_every_program_runs_and_says_what_stands_beside_it(path: Path, tmp_path: Path) -> None:
    """
    An example ends with 0 and without a warning, and writes what its `.out` file holds.
    """
    run = subprocess.run(
        [sys.executable, "-W", "error", path], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert run.returncode == 0, run.stderr
    check_text(run.stdout, text_of(path.with_suffix(".out")))


@pytest.mark.parametrize(
    "path", [path for path in those_of_tests(PROGRAMS, wanted=True) if path.parent.name == "how-to"]
)
def test_every_example_of_tests_passes(path: Path, tmp_path: Path) -> None:
    """
    The tests that the documentation shows pass.
    """
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", tmp_path, path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert run.returncode == 0, run.stdout


def test_the_classic_example_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    """
    The program on README's first screen sets up in the order of the needs, and Ctrl-C ends it with 0.
    """
    shell = Shell(tmp_path)
    found = shell.run(f"{shlex.quote(sys.executable)} {EXAMPLES / 'readme/classic.py'}", until=["workers at work"])
    assert re.match(r"database up: sqlite:///app.db\n(API up, with .*MessageQueueMock.*|workers at work)\n", found)
    check_text(shell.run("echo $?"), "0")
    shell.close()


# -- sessions ----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Typed:
    """
    One command of a session, with what it is expected to write.
    """

    command: str
    expected: str


def read_session(path: Path) -> Iterator[Typed]:
    """
    The commands of a `.console` file.
    """
    for block in re.split(r"^\$ ", text_of(path), flags=re.MULTILINE)[1:]:
        command, _, expected = block.partition("\n")
        yield Typed(command, expected)


class Shell:
    """
    A shell at a terminal, in a folder that is taken for the checkout.
    """

    def __init__(self, folder: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_", "LC_"))}
        environ = {
            **kept,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "HOME": os.environ.get("HOME", str(folder)),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "PS1": "<ready>",
            "TERM": "xterm",
            "VIRTUAL_ENV_DISABLE_PROMPT": "1",
        }
        self._folder = folder
        self._child = pexpect.spawn(
            "bash",
            ["--norc", "--noprofile", "--noediting"],
            cwd=str(folder),
            env=environ,
            encoding="utf-8",
            echo=False,
            timeout=LIMIT,
            dimensions=(100, 300),
        )
        self._child.expect_exact("<ready>")

    def run(self, command: str, *, until: list[str] | None = None) -> str:
        """
        What a command writes.

        Args:
            command: what is typed.
            until: lines to wait for, one after the other, before Ctrl-C is pressed.
        """
        self._child.sendline(command)
        found = ""
        for line in until or ():
            self._child.expect(pattern_of(line).replace("12:00:00", "[0-9:]{8}").replace(r"0\.000", r"\d+\.\d{3}"))
            found += self._child.before + self._child.after
        if until is not None:
            self._child.sendintr()
        self._child.expect_exact("<ready>")
        return str(found + self._child.before).replace("\r\n", "\n")

    def play(self, path: Path) -> None:
        """
        Type a session, and check what it shows.
        """
        for typed in read_session(path):
            before, interrupted, after = typed.expected.partition("^C\n")
            if interrupted:
                found = self.run(typed.command, until=[line for line in before.splitlines() if line != "..."])
                check_text(found, f"{before.rstrip()}...{after}")
            else:
                check_text(self.run(typed.command), typed.expected)
            assert self.run("last=$?; echo $last; (exit $last)") == "0\n", typed.command

    def close(self) -> None:
        """
        End the shell, and what still runs in it.
        """
        self._child.close(force=True)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A copy of what is needed to install from a checkout.
    """
    copy = tmp_path_factory.mktemp("docs") / "checkout"
    unwanted = shutil.ignore_patterns("*.egg-info", "build", "__pycache__", "_build", "*.db", "*.db-*")
    for name in ("conductor", "plugins", "examples", "docs"):
        shutil.copytree(ROOT / name, copy / name, ignore=unwanted)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    return copy


def play_all(checkout: Path, tmp_path: Path, paths: list[Path], *, folder: str = "", at: int = 1) -> None:
    """
    Play sessions in one shell, with ``uv`` for ``pip`` and a folder of the test for the environment.

    Args:
        checkout: where the first session begins.
        tmp_path: what takes the place of ``/tmp`` in the sessions.
        paths: the sessions.
        folder: where those after the first ``at`` ones are played.
        at: see there.
    """
    played = []
    for path in paths:
        own = tmp_path / path.name
        own.write_text(text_of(path).replace("/tmp/", f"{tmp_path}/"), encoding="utf-8")
        played.append(own)
    shell = Shell(checkout)
    try:
        uv = shlex.quote(str(Path(sys.executable).with_name("uv")))
        shell.run(f'pip() {{ local words=("$@"); {uv} pip "${{words[@]/#--yes/-q}}"; }}')  # uv never asks
        for number, path in enumerate(played):
            if number == at and folder:
                shell.run(f"cd {shlex.quote(str(checkout / folder))}")
            shell.play(path)
    finally:
        shell.close()


def test_the_tutorial_does_what_it_says(checkout: Path, tmp_path: Path) -> None:
    """
    The commands of the tutorial, typed one after another into a new environment, show what it shows.
    """
    play_all(checkout, tmp_path, sorted((EXAMPLES / "tutorial").glob("*.console")))


def test_the_example_application_is_put_together_as_readme_says(checkout: Path, tmp_path: Path) -> None:
    """
    README's installation, and then the sessions of the how-to guides in that environment.
    """
    sessions = [EXAMPLES / "readme/install.console", *sorted((EXAMPLES / "how-to").glob("*.console"))]
    play_all(checkout, tmp_path, sessions, folder="docs/examples/how-to")


@pytest.mark.skipif(shutil.which("curl") is None, reason="the session uses curl")
def test_orders_are_taken_as_readme_says(tmp_path: Path) -> None:
    """
    README's requests, sent to the example application, get the answers that stand there.
    """
    server = subprocess.Popen(
        [sys.executable, "-m", "conductor", "run", "orders-api", "orders-workers", "--set", "orders-api.port=0"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None
        url = next(found.group() for line in server.stderr if (found := re.search(r"http://127.0.0.1:\d+", line)))
        next(line for line in server.stderr if "components up" in line)
        post, get = read_session(EXAMPLES / "readme/orders.console")
        check_text(ask(post.command, url), post.expected)
        answers = (ask(get.command, url) for _ in range(1000))
        check_text(next(answer for answer in answers if '"done"' in answer), get.expected)
    finally:
        server.terminate()
        server.communicate(timeout=LIMIT)
    assert server.returncode == 0


def ask(command: str, url: str) -> str:
    """
    What one of README's requests answers.
    """
    words = shlex.split(command.replace("http://127.0.0.1:8000", url))
    return subprocess.run(words, capture_output=True, text=True, timeout=LIMIT, check=True).stdout


# -- other files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SETTINGS, ids=name_of)
def test_every_settings_file_can_be_read(path: Path) -> None:
    """
    A settings file that is shown has no unknown key, in none of its profiles.
    """
    profiles = re.findall(r"^\[profiles\.(\w+)", text_of(path), flags=re.MULTILINE)
    for profile in (None, *profiles):
        assert load_settings([TomlSource(path=path, profile=profile)]).problems == ()


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.cfg")), ids=name_of)
def test_every_entry_point_is_in_a_group_that_there_is(path: Path) -> None:
    """
    The metadata that is shown speaks of groups that Conductor reads.
    """
    groups = read_ini(path)["options.entry_points"]
    assert set(groups) <= set(GROUPS)
    assert all(
        re.fullmatch(r"[\w-]+ = [\w:]+", line) for lines in groups.values() for line in lines.strip().split("\n")
    )


def test_the_unit_of_systemd_fits_the_program() -> None:
    """
    systemd waits longer than the whole stop takes, and calls a command that exists with an option that exists.
    """
    unit = read_ini(EXAMPLES / "production/orders.service")["Service"]
    assert float(unit["TimeoutStopSec"]) > load_settings([]).stop + 1
    _, command, *words = shlex.split(unit["ExecStart"])
    run = commands.get_command(click.Context(commands), command)
    assert run is not None
    assert set(words[::2]) <= {option for parameter in run.params for option in parameter.opts}
    assert {int(code) for code in unit["RestartPreventExitStatus"].split()} == {ExitCode.USAGE, ExitCode.PLAN}


def read_ini(path: Path) -> configparser.ConfigParser:
    """
    A file of sections, with the case of its keys kept.
    """
    parser = configparser.ConfigParser(interpolation=None, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser's own documentation does
    parser.read_string(text_of(path))
    return parser


def test_no_example_is_left_over() -> None:
    """
    Every file below `docs/examples` is shown on some page, or stands in README.
    """
    told = "".join(map(text_of, PAGES))
    shown = {path for path in EXAMPLES.rglob("*") if f"examples/{name_of(path)}" in told}
    left = {name_of(path) for path in EXAMPLES.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    left -= {name_of(path) for path in shown}
    left -= {name_of(path) for path in (EXAMPLES / "readme").iterdir()}
    assert {name for name in left if not name.endswith("/pyproject.toml")} == set()


# -- pages -------------------------------------------------------------------------------------------------------------


def blocks(text: str) -> list[tuple[str, str]]:
    """
    The fenced blocks of a page: what follows the fence, and what is inside.
    """
    return re.findall(r"^```([^\n]*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def test_every_block_of_readme_is_a_file_that_is_run() -> None:
    """
    README's blocks are, word for word, the files of which the other tests run each.
    """
    files = {text_of(path) for path in (EXAMPLES / "readme").iterdir() if path.is_file()}
    assert {content for _, content in blocks(text_of(README))} == files


def test_make_has_the_targets_that_readme_names() -> None:
    """
    What README says to make can be made.
    """
    named = set(re.findall(r"`make (\w+)`|^\$ make (\w+)", text_of(README), flags=re.MULTILINE))
    targets = set(re.findall(r"^(\w+):", text_of(ROOT / "Makefile"), flags=re.MULTILINE))
    assert {"".join(pair) for pair in named} <= targets
    assert named


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_every_block_of_a_page_is_included(path: Path) -> None:
    """
    No page holds code of its own.
    """
    kinds = {kind.split()[0] for kind, _ in blocks(text_of(path))}
    assert kinds <= {"{literalinclude}", "{eval-rst}", "{toctree}"}


def test_nothing_says_to_install_somebody_elses_conductor() -> None:
    """
    The name `conductor` on PyPI is not ours, so nothing tells anybody to install it.
    """
    told = [README, *PAGES, *(path for path in EXAMPLES.rglob("*") if path.is_file() and path.suffix != ".pyc")]
    told += [path for name in ("plugins", "examples") for path in (ROOT / name).rglob("README.md")]
    told += [ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
    install = re.compile(r"(pip|uv|pipx|poetry|pdm)\b[^\n`]*\b(install|add)\b[^\n`]*[\s'\"]conductor(?![-\w/])")
    assert [str(path) for path in told if install.search(text_of(path))] == []


@pytest.mark.parametrize("path", [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    """
    The links of the pages that are not built by Sphinx lead to files that are there.
    """
    links = re.findall(r"\]\(([^)\s]+)\)", text_of(path))
    files = [link.partition("#")[0] for link in links if "://" not in link]
    assert [link for link in files if link and not (path.parent / link).exists()] == []


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """
    Every name that the built documentation has an entry for; building it raises no warning.
    """
    built = tmp_path_factory.mktemp("html")
    pytest.importorskip("sphinx")
    run = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", built / "trees", DOCS, built],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    inventory = (built / "objects.inv").read_bytes().split(b"\n", 4)[4]
    return {line.split()[0] for line in zlib.decompress(inventory).decode().splitlines()}


def public(module: object, *, of: type = object) -> set[str]:
    """
    The public classes and functions that a module defines.
    """
    name = getattr(module, "__name__", "")
    found = {key: value for key, value in vars(module).items() if not key.startswith("_")}
    kinds = (type, types.FunctionType)
    own = {key: value for key, value in found.items() if isinstance(value, kinds) and value.__module__ == name}
    return {
        f"{name}.{key}"
        for key, value in own.items()
        if of is object or (isinstance(value, type) and issubclass(value, of))
    }


def test_every_public_name_is_documented(documented: set[str]) -> None:
    """
    The face, the errors, the states, the hooks and the helpers for tests have an entry each.
    """
    wanted = {f"conductor.{name}" for name in conductor.__all__} - {"conductor.ConductorError"}
    wanted |= public(exceptions, of=exceptions.ConductorError) | {"conductor.exceptions.ConductorError"}
    wanted |= public(lifecycle) - {"conductor.lifecycle.check_move"} | {"conductor.lifecycle.TRANSITIONS"}
    wanted |= public(hookspecs) | public(testing)
    assert wanted - documented == set()


@pytest.mark.parametrize("name", ["conductor_db", "conductor_mq", "conductor_mq.testing", "conductor_web"])
def test_every_public_name_of_our_components_is_documented(name: str, documented: set[str]) -> None:
    """
    What our distributions export has an entry, under the name of the package or of its `exceptions`.
    """
    module = pytest.importorskip(name)
    entries = {entry.rpartition(".")[2] for entry in documented if entry.startswith(name.partition(".")[0])}
    assert set(module.__all__) - entries == set()


@pytest.mark.parametrize(
    "target", ["conductor_db:Database", "conductor_mq:SQLiteMessageQueue", "conductor_web:WebServer"]
)
def test_every_setting_of_our_components_is_documented(target: str) -> None:
    """
    Each setting stands in a table with its help text, and with its default.
    """
    module, _, name = target.partition(":")
    cls = getattr(pytest.importorskip(module), name)
    page = text_of(DOCS / "reference/components.md")
    for field in declaration(cls).fields:
        if field.kind is Kind.SETTING:
            row = next((line for line in page.splitlines() if line.startswith(f"| `{field.name}` |")), "")
            assert field.help
            assert row.endswith(f"| {field.help} |")
            assert field.attribute.default is None or str(field.attribute.default).lower() in row.lower()


def test_every_key_of_the_settings_file_is_documented() -> None:
    """
    What the program names as the known keys, and the limits with their defaults, stand in the tables.
    """
    page = text_of(DOCS / "reference/settings.md")
    [problem] = load_settings([MappingSource({"zzzzzzzz": 1})]).problems
    known = str(problem.hint).partition(": ")[2].split(", ")
    assert "roots" in known
    for key in {*known, "profiles"} - {"limits"}:
        assert re.search(rf"^\| `{key}(\.NAME)?` \|", page, flags=re.MULTILINE), key
    limits = {"setup": Limits().setup, "shutdown": Limits().shutdown}
    limits |= {key: getattr(load_settings([]), key) for key in ("stop", "health", "blocked")}
    for key, seconds in limits.items():
        assert f"| `limits.{key}` | seconds | `{seconds}` |" in page


def test_every_command_and_option_is_documented() -> None:
    """
    The page about the command line has each command with its arguments, and each option.
    """
    page = text_of(DOCS / "reference/command-line.md")
    context = click.Context(commands)
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        assert command is not None
        row = re.search(rf"^\| `conductor {name}\b([^`]*)` \|", page, flags=re.MULTILINE)
        assert row is not None, name
        for parameter in command.params:
            if isinstance(parameter, click.Argument):
                assert parameter.make_metavar(context).strip("{}").upper().split("|")[0] in row.group(1) + " BASH"
            else:
                assert all(f"`{option}" in page for option in (*parameter.opts, *parameter.secondary_opts))


def test_the_table_of_states_is_the_programs() -> None:
    """
    The page about states shows the moves that are allowed, and no other.
    """
    rows = re.findall(
        r"^\| `([\w-]+)` \| [^|]+ \|([^|]*)\|$", text_of(DOCS / "reference/states.md"), flags=re.MULTILINE
    )
    shown = {state: set(re.findall(r"`([\w-]+)`", after)) for state, after in rows}
    assert shown == {state.value: {after.value for after in moves} for state, moves in lifecycle.TRANSITIONS.items()}


def test_every_exit_code_is_documented() -> None:
    """
    The page about exit codes has a row for each.
    """
    page = text_of(DOCS / "reference/exit-codes.md")
    assert {int(code) for code in re.findall(r"^\| (\d) \|", page, flags=re.MULTILINE)} == set(map(int, ExitCode))


def test_every_group_of_entry_points_is_documented() -> None:
    """
    The page about entry points has a row for each group.
    """
    page = text_of(DOCS / "reference/entry-points.md")
    assert set(re.findall(r"^\| `(conductor\.\w+)` \|", page, flags=re.MULTILINE)) == set(GROUPS)
