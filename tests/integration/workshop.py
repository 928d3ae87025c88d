"""
Builds the wheels of the checkout and an environment to run them in, and keeps both until a source changes.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import uv

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".cache" / "integration" / f"{sys.version_info.major}.{sys.version_info.minor}"

UV = (
    uv.find_uv_bin()
)  # asked for once: on Python 3.11 two threads that ask for the first time can get in each other's way

FOLDERS = {
    "conductor-core": ".",
    "conductor-db": "plugins/db",
    "conductor-mq": "plugins/mq",
    "conductor-web": "plugins/web",
    "orders-api": "examples/orders/orders-api",
    "orders-workers": "examples/orders/orders-workers",
    "orders-discounts": "examples/orders/orders-discounts",
}
APPLICATION = tuple(name for name in FOLDERS if name != "orders-discounts")
SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "conductor", "plugins", "examples")
MADE = ("__pycache__", "*.pyc", "*.egg-info", "build", "dist", ".*", "*.db", "*.db-wal", "*.db-shm")


@attrs.frozen
class Workshop:
    """
    Where wheels are built, and environments are made of them.

    Attributes:
        sources: a copy of the checkout; the wheel of each distribution lies in its folder `dist`.
        requirements: versions of everything else, those of the running environment.
    """

    sources: Path
    requirements: Path

    def wheel(self, name: str) -> Path:
        """
        The wheel of one of our distributions.
        """
        [wheel] = (self.sources / FOLDERS[name] / "dist").glob("*.whl")
        return wheel

    def make_environment(self, folder: Path, names: Iterable[str], *, compile_all: bool = False) -> None:
        """
        Make a virtual environment with some of our distributions, and what these require.

        Args:
            folder: the environment.
            names: the distributions.
            compile_all: whether everything is compiled now, and not when it is first imported.
        """
        call_uv("venv", "--python", sys.executable, str(folder))
        wheels = [str(self.wheel(name)) for name in names]
        options = ["--compile-bytecode"] if compile_all else []
        install = ["pip", "install", "--python", str(folder), "--constraints", str(self.requirements), *options]
        try:
            call_uv(*install, "--offline", *wheels)
        except subprocess.CalledProcessError:  # not everything that is installed here is still in the cache
            call_uv(*install, *wheels)


def open_workshop() -> tuple[Workshop, Path]:
    """
    The workshop with all wheels, and an environment with the example application: the kept ones if they are current.
    """
    folder = KEPT / fingerprint()
    environment, done = folder / "environment", folder / "done"
    workshop = Workshop(folder / "sources", folder / "requirements.txt")
    if not done.exists():
        shutil.rmtree(KEPT, ignore_errors=True)
        folder.mkdir(parents=True)
        workshop.requirements.write_text("\n".join(installed_versions()))
        copy_sources(workshop.sources)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(build_wheel, (workshop.sources / place for place in FOLDERS.values())))
        workshop.make_environment(environment, APPLICATION, compile_all=True)
        done.touch()
    return workshop, environment


def build_wheel(source: Path) -> Path:
    """
    Build the wheel of a source tree with the tools of the running environment.

    Args:
        source: the tree; the wheel comes to lie in its folder `dist`, and nothing else may be there.
    """
    made = source / "dist"
    call_uv(
        *("build", "--wheel", "--no-build-isolation", "--offline", "--python", sys.executable),
        *("--out-dir", str(made), str(source)),
    )
    [wheel] = made.glob("*.whl")
    return wheel


def call_uv(*arguments: str) -> None:
    """
    Call uv; what it says is shown if it fails.
    """
    done = subprocess.run([UV, *arguments], capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
        done.check_returncode()


def copy_sources(target: Path) -> None:
    """
    Copy what wheels are built of, so that nothing of an earlier build gets into them and nothing new into the checkout.
    """
    target.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns(*MADE))
        elif source.exists():
            shutil.copy(source, target / name)


def fingerprint() -> str:
    """
    A name for everything that wheels and environment depend on.
    """
    digest = hashlib.sha256("\n".join([sys.version, sys.base_prefix, str(ROOT), *installed_versions()]).encode())
    for path in (Path(__file__), *source_files()):
        digest.update(f"\n{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return digest.hexdigest()[:16]


def source_files() -> Iterator[Path]:
    """
    The files that wheels are built of, in the same order each time.
    """
    ignored = shutil.ignore_patterns(*MADE, "tests")
    for name in SOURCES:
        if (ROOT / name).is_file():
            yield ROOT / name
        for folder, folders, files in os.walk(ROOT / name):
            skipped = ignored(folder, [*folders, *files])
            folders[:] = sorted(set(folders) - skipped)
            yield from (Path(folder, file) for file in sorted(set(files) - skipped))


def installed_versions() -> list[str]:
    """
    Everything in the running environment that is not ours, as requirements.
    """
    found = {each.metadata["Name"]: each.version for each in importlib.metadata.distributions()}
    return sorted(f"{name}=={version}" for name, version in found.items() if name and name not in FOLDERS)
