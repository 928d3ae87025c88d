"""
The rules of the house that a machine can hold.
"""

from __future__ import annotations

import ast
import configparser
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import conductor
from conductor import exceptions, hookspecs

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "conductor"

ORDER = (
    "_path",
    "_text",
    "exceptions",
    "lifecycle",
    "_component",
    "_declaration",
    "_contract",
    "_graph",
    "_toml",
    "_sources",
    "_types",
    "_scalars",
    "_shape",
    "_settings",
    "_structure",
    "_discovery",
    "_requirements",
    "_choice",
    "_catalogue",
    "_selection",
    "_step",
    "_inclusion",
    "_binding",
    "_resolution",
    "_plan",
    "_report",
    "_diagnosis",
    "hookspecs",
    "_log",
    "_status",
    "_suspension",
    "_watch",
    "_budget",
    "_scope",
    "_node",
    "_failures",
    "_engine",
    "_runner",
    "_health",
    "_heartbeat",
    "_notify",
    "_vitals",
    "_signals",
    "_dump",
    "_supervisor",
    "_conductor",
    "_cli",
    "testing",
)
"""
Each module imports only from those before it.
"""

DOORS = {
    "importlib_metadata": {"_discovery"},
    "packaging": {"_requirements"},
    "cattrs": {"_structure", "_shape"},
    "pluggy": {"hookspecs", "_conductor"},
    "pytest": {"testing"},
    "click": {"_cli"},
    "rich": {"_cli"},
    "asyncio": set(ORDER[ORDER.index("_suspension") :]),
}
"""
Who may import a dependency; everybody may import the others.
"""


def modules() -> Iterator[tuple[str, Path]]:
    """
    The modules of the core by the name that stands in the order, and their files.
    """
    for path in sorted(PACKAGE.rglob("*.py")):
        inner = path.relative_to(PACKAGE)
        if inner.name not in ("__init__.py", "__main__.py") or len(inner.parts) > 1:
            yield inner.parts[0].removesuffix(".py"), path


def imports(path: Path) -> Iterator[tuple[ast.Import | ast.ImportFrom, list[str]]]:
    """
    The imports of a file, each with the absolute names of the modules that it may mean.
    """
    package = ("conductor", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield node, [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join((*above, *((node.module,) if node.module else ())))
            inner = [f"{source}.{alias.name}" for alias in node.names] if source == "conductor" else []
            yield node, inner or [source]


def test_every_module_has_its_place() -> None:
    """
    The order names every module of the core and no other.
    """
    assert {name for name, _ in modules()} == set(ORDER)


def test_the_map_is_whole() -> None:
    """
    The face draws the map of the package: every module, in the order.
    """
    assert tuple(re.findall(r"^``(\w+)``  ", conductor.__doc__ or "", re.MULTILINE)) == ORDER


def test_arrows_point_down() -> None:
    """
    A module imports only from those before it, and nobody imports the face.
    """
    wrong = []
    for name, path in modules():
        for _, targets in imports(path):
            for target in targets:
                parts = target.split(".")
                if parts[0] != "conductor" or (len(parts) > 1 and parts[1] == name):
                    continue
                if len(parts) == 1 or ORDER.index(parts[1]) > ORDER.index(name):
                    wrong.append(f"{path.relative_to(ROOT)} imports {target}")
    assert not wrong


def test_one_door_for_each_dependency() -> None:
    """
    A dependency is imported only where its door is.
    """
    wrong = [
        f"{path.relative_to(ROOT)} imports {target}"
        for name, path in modules()
        for _, targets in imports(path)
        for target in targets
        if name not in DOORS.get(target.split(".")[0], set(ORDER))
    ]
    assert not wrong


def test_imports_stand_at_the_top() -> None:
    """
    Nobody imports inside a function, but for a heavy library in the command line, and nobody under TYPE_CHECKING.
    """
    wrong = []
    for name, path in modules():
        tree = ast.parse(path.read_text())
        inside = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        inside_if = [
            node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        ]
        for block in [*([] if name == "_cli" else inside), *inside_if]:
            for node in ast.walk(block):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not wrong


def public_modules() -> Iterator[str]:
    """
    The modules whose names promise something.
    """
    yield "conductor"
    for name in ORDER:
        if not name.startswith("_"):
            yield f"conductor.{name}"


@pytest.mark.parametrize("name", list(public_modules()))
def test_public_names_say_what_they_give(name: str) -> None:
    """
    Every public class and function has a docstring with the version that it came in, every method a docstring.
    """
    module = importlib.import_module(name)
    for attribute in getattr(module, "__all__", None) or vars(module):
        value = getattr(module, attribute)
        ours = getattr(value, "__module__", "").startswith("conductor")
        elsewhere = name != "conductor" and getattr(value, "__module__", "") != name
        if attribute.startswith("_") or not ours or elsewhere or not callable(value):
            continue
        text = inspect.getdoc(value) or ""
        assert text, f"{name}.{attribute} has no docstring"
        if inspect.isclass(value) or inspect.isfunction(value):
            internal = attribute in ("raise_problems", "check_move")
            assert internal or ".. versionadded::" in text, f"{name}.{attribute} does not say since when"
        if inspect.isclass(value):
            for method, function in vars(value).items():
                if not method.startswith("_") and inspect.isfunction(function):
                    assert inspect.getdoc(function), f"{name}.{attribute}.{method} has no docstring"


def test_the_face_is_what_is_promised() -> None:
    """
    The public face is exactly this.
    """
    assert sorted(conductor.__all__) == [
        "Component",
        "Conductor",
        "ConductorError",
        "Secret",
        "dependency",
        "hookimpl",
        "setting",
    ]
    for name in conductor.__all__:
        assert getattr(conductor, name)


def test_every_error_is_one_of_ours() -> None:
    """
    Every error derives from ConductorError and stands in the tree at the top of its module.
    """
    errors = [
        value
        for value in vars(exceptions).values()
        if inspect.isclass(value) and value.__module__ == exceptions.__name__
    ]
    assert errors
    for error in errors:
        assert issubclass(error, exceptions.ConductorError)
        assert error.__name__.startswith("_") or error.__name__ in (exceptions.__doc__ or "")


def test_every_hook_has_a_test() -> None:
    """
    Every hook is spoken of in a test.
    """
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path.name != "test_house.py")
    hooks = [name for name in vars(hookspecs) if name.startswith("conductor_")]
    assert hooks
    assert [name for name in hooks if name not in tests] == []


def test_the_face_is_light() -> None:
    """
    ``import conductor`` pulls in neither the command line's libraries nor any plugin.
    """
    heavy = ("click", "rich", "conductor_db", "conductor_mq", "conductor_web", "sqlalchemy", "pytest", "conductor._cli")
    script = f"import sys, conductor; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_versions_go_in_lockstep() -> None:
    """
    All distributions have the same version, and need exactly that version of each other.
    """
    versions = set()
    for path in [ROOT / "setup.cfg", *ROOT.glob("plugins/*/setup.cfg"), *ROOT.glob("examples/**/setup.cfg")]:
        settings = configparser.ConfigParser()
        settings.read(path)
        versions.add(settings["metadata"]["version"])
        extras = settings["options.extras_require"].values() if "options.extras_require" in settings else ()
        for wanted in "\n".join([settings["options"].get("install_requires", ""), *extras]).split("\n"):
            name, _, version = wanted.partition("==")
            if name.startswith(("conductor-", "orders-")):
                assert version, f"{path}: '{wanted}' is not pinned"
                versions.add(version.strip())
    assert len(versions) == 1


def test_wheels_carry_their_types() -> None:
    """
    Every package of ours ships ``py.typed``.
    """
    packages = [PACKAGE, *ROOT.glob("plugins/*/conductor_*"), *ROOT.glob("examples/*/*/orders_*")]
    assert len(packages) > 1
    assert [path.name for path in packages if path.suffix != ".egg-info" and not (path / "py.typed").exists()] == []
