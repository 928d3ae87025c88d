"""
Fixtures shared by all tests of the core.

`site` is a place to install into: it writes real `*.dist-info` folders and real modules, so that discovery is
tested as it happens and not against a stand-in.
"""

import base64
import hashlib
import importlib
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

Groups = Mapping[str, Mapping[str, str]]


@attrs.define
class Site:
    """
    A folder like `site-packages` that tests install distributions into.
    """

    folder: Path
    _monkeypatch: pytest.MonkeyPatch
    _modules: set[str] = attrs.field(factory=set)

    @property
    def path(self) -> list[str]:
        """
        The search path for `discover`: this folder and nothing else.
        """
        return [str(self.folder)]

    def add(
        self,
        name: str,
        *,
        version: str = "1.0",
        entry_points: Groups | str | bytes | None = None,
        modules: Mapping[str, str] | None = None,
        metadata: str | bytes | None = None,
    ) -> Path:
        """
        Install a distribution.

        Args:
            name: The name as published, for instance `conductor-db`.
            version: Its version.
            entry_points: `{group: {name: target}}`, or the text or the bytes of `entry_points.txt`; None: no
                such file.
            modules: `{dotted module name: source}`; the source may be indented. A package's own source goes
                under the package's name.
            metadata: The whole of `METADATA`; None: a sound one. Leave files out with `add_raw`.

        Returns:
            The `dist-info` folder.
        """
        written = self.add_modules(modules or {})
        if metadata is None:
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        files: dict[str, str | bytes] = {"METADATA": metadata, "INSTALLER": "pip\n"}
        if entry_points is not None:
            text = entry_points if isinstance(entry_points, str | bytes) else entry_points_text(entry_points)
            files["entry_points.txt"] = text
        info = self.add_raw(f"{re.sub(r'[-_.]+', '_', name)}-{version}.dist-info", files)
        self._write_record(info, [*written, *(info / file for file in files)])
        return info

    def add_raw(self, folder: str, files: Mapping[str, str | bytes]) -> Path:
        """
        Write a metadata folder exactly as given, for whatever is damaged, missing or old-fashioned.

        Args:
            folder: Its full name, for instance `broken-1.0.dist-info` or `old.egg-info`.
            files: `{file name: content}`; what is not named does not exist.

        Returns:
            The folder.
        """
        info = self.folder / folder
        info.mkdir(parents=True)
        for name, content in files.items():
            (info / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        importlib.invalidate_caches()
        return info

    def add_modules(self, modules: Mapping[str, str]) -> list[Path]:
        """
        Write modules, with the packages that they lie in.

        Args:
            modules: `{dotted module name: source}`; the source may be indented. They are forgotten after the
                test, so no name may be that of a module that is already imported.

        Returns:
            The files.
        """
        packages = {parent for name in modules for parent in parents(name)}
        sources = dict.fromkeys(packages, "") | dict(modules)
        files = []
        for name, source in sorted(sources.items()):
            base = self.folder.joinpath(*name.split("."))
            file = base / "__init__.py" if name in packages else base.with_name(f"{base.name}.py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(source), encoding="utf-8")
            files.append(file)
        fresh = {name.partition(".")[0] for name in modules} - self._modules
        if taken := fresh & sys.modules.keys():
            raise ValueError(f"a test must not take the place of {sorted(taken)}")
        self._modules |= fresh
        importlib.invalidate_caches()
        return files

    def importable(self) -> None:
        """
        Put the folder first on `sys.path` until the test ends; its modules are forgotten then.
        """
        self._monkeypatch.syspath_prepend(str(self.folder))

    def beside(self, folder: str) -> "Site":
        """
        Another place to install into, next to this one.

        Args:
            folder: The name of its folder.
        """
        other = Site(self.folder.parent / folder, self._monkeypatch, self._modules)
        other.folder.mkdir()
        return other

    def imported(self) -> set[str]:
        """
        Names of the installed modules (those beside included) that have been imported.
        """
        return {name for name in sys.modules if name.partition(".")[0] in self._modules}

    def forget(self) -> None:
        """
        Make all installed modules unimported again.
        """
        for name in self.imported():
            del sys.modules[name]

    def _write_record(self, info: Path, files: list[Path]) -> None:
        lines = []
        for file in files:
            content = file.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            lines.append(f"{file.relative_to(self.folder).as_posix()},sha256={digest},{len(content)}\n")
        lines.append(f"{info.name}/RECORD,,\n")
        (info / "RECORD").write_text("".join(lines), encoding="utf-8")


def entry_points_text(groups: Groups) -> str:
    """
    The text of an `entry_points.txt`.
    """
    lines = []
    for group, entries in groups.items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items()), ""]
    return "\n".join(lines)


def parents(module: str) -> list[str]:
    """
    The dotted names of the packages that a module lies in.
    """
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """
    An empty place to install distributions into.
    """
    made = Site(tmp_path / "site-packages", monkeypatch)
    made.folder.mkdir()
    yield made
    made.forget()
