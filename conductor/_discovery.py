"""
Read what is installed, import none of it: `discover`.

The scan goes distribution by distribution, because the library's own `entry_points()` raises for the whole
environment when one file in it is damaged.  `importlib_metadata` takes entry points and METADATA apart and finds
what lies in archives or elsewhere; this module lists plain folders and reads the files (`_Found`), since somebody
else's file may be anything: absent, a folder, a pipe, endless, not text.

Most distributions are strangers, which have nothing to do with Conductor.  Of those only `entry_points.txt` is
opened; of METADATA it is enough that it is there.
"""

import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

import attrs
from importlib_metadata import Distribution, DistributionFinder, EntryPoint, MetadataPathFinder, SimplePath

from ._text import nearest
from ._text import normalise as normalise
from .exceptions import DiscoveryError

GROUPS = (
    "conductor.components",
    "conductor.overrides",
    "conductor.supersedes",
    "conductor.hooks",
    "conductor.commands",
)

_PREFIX = "conductor."
# A superseded distribution has no attribute, and a plugin may be a whole module.
_WITHOUT_ATTRIBUTE = {"conductor.supersedes", "conductor.hooks"}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_DISTRIBUTION_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_END_OF_HEADERS = re.compile(r"\r?\n\r?\n")
_METADATA_FOLDERS = (".dist-info", ".egg-info")
_SITE_FOLDERS = ("site-packages", "dist-packages")
# A pipe in place of a file must not hold the scan, hence O_NONBLOCK.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CHUNK = 1 << 16
_LARGEST = 1 << 20  # bytes of a file that are read at most

_Identity = tuple[int, int]


@attrs.frozen
class Origin:
    """
    Where an entry comes from.

    Attributes:
        distribution: The name as published, for instance `conductor-db`.
        version: The version as published.
        location: The folder that METADATA lies in, for instance `/…/site-packages/conductor_db-1.0.dist-info`.
    """

    distribution: str
    version: str
    location: str


@attrs.frozen
class Entry:
    """
    One entry point of an installed distribution, not imported yet.

    Attributes:
        group: One of `GROUPS`.
        name: The name as written.
        target: `module:attribute` as written, extras stripped.
        origin: The distribution that publishes it.
        problem: Why the entry cannot be used, in one sentence; None: nothing is known against it.
    """

    group: str
    name: str
    target: str
    origin: Origin
    problem: str | None = None

    @property
    def key(self) -> str:
        """
        The normalised name; entries with equal keys collide.
        """
        return normalise(self.name)

    def load(self) -> object:
        """
        Import the target.

        Returns:
            What the target names.

        Raises:
            DiscoveryError: The entry has a problem.
            BaseException: Whatever the import raises, unchanged, `SystemExit` and `KeyboardInterrupt` included.
        """
        if self.problem is not None:
            raise DiscoveryError(f"entry '{self.name}' of '{self.origin.distribution}': {self.problem}")
        target: object = EntryPoint(name=self.name, value=self.target, group=self.group).load()
        return target


@attrs.frozen
class Damage:
    """
    What is wrong with an installed distribution, without harm to the others.

    Attributes:
        distribution: The best name that is known of it.
        location: The folder that its metadata lies in.
        message: What is wrong, in one sentence.
    """

    distribution: str
    location: str
    message: str


@attrs.frozen
class Duplicate:
    """
    A distribution that is on the path more than once.

    Attributes:
        distribution: Its name, as that of the metadata folder.
        location: The metadata that counts.
        shadowed: The metadata that does not count, in the order of the path.
    """

    distribution: str
    location: str
    shadowed: tuple[str, ...]


class _Found(Distribution):
    """
    A distribution whose files are read leniently and up to a bound.
    """

    def __init__(self, location: str, elsewhere: Distribution | None = None) -> None:
        self.location = location
        self._elsewhere = elsewhere  # what reads the files if they do not lie in a plain folder
        stem, _, _ = os.path.basename(location).rpartition(".")
        self.name_of_folder, _, self.version_of_folder = stem.partition("-")
        if elsewhere is None:
            self.sound = self._has_metadata()
        else:
            self.sound = any(self.read_text(name) for name in ("METADATA", "PKG-INFO", ""))
            self.name_of_folder = self.name_of_folder or self.published.distribution  # of an egg, for instance

    def read(self, filename: str) -> bytes | None:
        """
        The beginning of a file of the metadata; None: there is no such file.

        Raises:
            Exception: The file cannot be read.
        """
        if self._elsewhere is not None:
            text = self._elsewhere.read_text(filename)
            return None if text is None else text.encode()
        try:
            return _read_beginning(f"{self.location}/{filename}" if filename else self.location)
        except (FileNotFoundError, NotADirectoryError):  # an old egg-info is itself a file
            return None

    def read_text(self, filename: str | os.PathLike[str]) -> str | None:
        """
        A file of the metadata as text, made fit to be taken apart; None: there is nothing to read.

        What is not UTF-8 is escaped. Of METADATA only the headers count, not the description.
        """
        try:
            content = self.read(os.fspath(filename))
        except Exception:  # of a damaged zip file, too
            return None
        if content is None:
            return None
        text = _decoded(content)
        return _in_pairs(text) if filename == "entry_points.txt" else _END_OF_HEADERS.split(text, 1)[0]

    def locate_file(self, path: str | os.PathLike[str]) -> SimplePath:
        """
        Where an installed file of the distribution is.
        """
        return (self._elsewhere or Distribution.at(self.location)).locate_file(path)

    def _has_metadata(self) -> bool:
        name = "METADATA" if self.location.endswith(".dist-info") else "PKG-INFO"
        try:
            status = os.stat(f"{self.location}/{name}")
        except NotADirectoryError:
            return not self.location.endswith(".dist-info")
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size > 0

    @cached_property
    def published(self) -> Origin:
        """
        Name and version as published, or as the folder has them if METADATA does not tell.
        """
        name, version = _encodable(self.name_of_folder), _encodable(self.version_of_folder)
        try:
            headers = self.metadata
            given = str(headers.get("Name", "")).strip()
            name = given if _DISTRIBUTION_NAME.fullmatch(given) else name
            version = str(headers.get("Version", "")).strip() or version
        except Exception:  # METADATA may be any text, and the e-mail parser does not say what it raises
            pass
        return Origin(distribution=name, version=version, location=_encodable(self.location))


@attrs.frozen
class Discovery:
    """
    What one scan found.

    Attributes:
        entries: The entries of all `GROUPS`, broken ones included, sorted by group, key and distribution.
        damages: One for each distribution with which something is wrong, strangers included.
        duplicates: The distributions that are on the path more than once.
    """

    entries: tuple[Entry, ...]
    damages: tuple[Damage, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    _installed: tuple[_Found, ...] = attrs.field(default=(), eq=False, repr=False, alias="installed")

    def of(self, group: str) -> tuple[Entry, ...]:
        """
        The entries of one group.
        """
        return tuple(entry for entry in self.entries if entry.group == group)

    @cached_property
    def distributions(self) -> tuple[Origin, ...]:
        """
        Every distribution that counts, strangers included, sorted by name; reads METADATA of them all.
        """
        return tuple(sorted((found.published for found in self._installed), key=_by_distribution))

    def requirements_of(self, origin: Origin) -> tuple[str, ...]:
        """
        What a distribution requires, as it says in METADATA; nothing if that cannot be read.
        """
        for found in self._installed:
            if _encodable(found.location) == origin.location:
                try:
                    return tuple(found.requires or ())
                except Exception:  # METADATA may be any text, and the e-mail parser does not say what it raises
                    return ()
        return ()


def is_valid_name(name: str) -> bool:
    """
    Whether this can name a component: ASCII letters, digits, `-`, `_` and `.`, beginning with a letter.
    """
    return _NAME.fullmatch(name) is not None


def discover(path: Sequence[str] | None = None, *, cwd: str | None = None) -> Discovery:
    """
    Read the entry points of all installed distributions, without importing any of them.

    Args:
        path: Where to look, in order of precedence; None: `sys.path`.
        cwd: The working directory, in which nothing is found unless it is there by an editable install; None:
            that of the process.

    Returns:
        The entries, and everything that is wrong with what is installed. A damaged distribution never raises.
    """
    folders = _folders(sys.path if path is None else path, _working_directory() if cwd is None else cwd)
    found, damages = _find(folders)
    counted, left_over, duplicates = _choose(found, folders)
    damages += [_damage(distribution, "it is the rest of an incomplete uninstall") for distribution in left_over]
    entries: list[Entry] = []
    for distribution in counted:
        published, messages = _examine(distribution)
        entries += published
        if messages:
            damages.append(_damage(distribution, "; ".join(messages)))
    return Discovery(
        entries=tuple(sorted(entries, key=_by_identity)),
        damages=tuple(sorted(damages, key=lambda damage: (normalise(damage.distribution), damage.location))),
        duplicates=tuple(sorted(duplicates, key=lambda duplicate: normalise(duplicate.distribution))),
        installed=tuple(counted),
    )


def _find(folders: list[str]) -> tuple[list[_Found], list[Damage]]:
    """
    All metadata on the path, and the finders of others that fail.

    A plain folder is listed here, without an object for each path: nearly all of them are of no interest.
    """
    plain = [folder for folder in folders if not folder.endswith(".egg") and os.path.isdir(folder)]
    found = [_Found(f"{folder}/{name}") for folder in plain for name in _children(folder, _METADATA_FOLDERS)]
    damages = []
    MetadataPathFinder.invalidate_caches()  # they go by the time of change, which is coarse
    for finder in sys.meta_path:
        name = getattr(finder, "__name__", type(finder).__name__)
        # By name, since setuptools brings a copy of the library that puts a finder of its own there.
        path = [folder for folder in folders if folder not in plain] if name == "MetadataPathFinder" else folders
        try:
            found += _find_elsewhere(finder, path)
        except Exception as error:  # anybody may have put it there
            damages.append(Damage("", "", f"'{name}' in 'sys.meta_path' failed: {_reason(error)}"))
    return found, damages


def _find_elsewhere(finder: object, path: list[str]) -> list[_Found]:
    find = getattr(finder, "find_distributions", None)
    if find is None:
        return []
    context = DistributionFinder.Context(path=path)  # type: ignore[no-untyped-call]  # it has no annotations
    return [_Found(_location(distribution), distribution) for distribution in find(context)]


# What counts: folders, then distributions in them.


def _folders(path: Iterable[str], cwd: str) -> list[str]:
    """
    The folders and archives to look into: each once, and the working directory only if it is installed.
    """
    folders: dict[_Identity, str] = {}
    for entry in path:
        joined = os.path.join(cwd, entry)
        folder = joined.rstrip("/") or joined
        identity = _identity(folder)
        if identity is not None:  # otherwise it is ignored as by import
            folders.setdefault(identity, folder)
    here = _identity(cwd)
    if here in folders and not _is_site(folders[here]) and here not in _folders_in_pth(folders.values())[0]:
        del folders[here]
    return list(folders.values())


def _choose(found: list[_Found], folders: list[str]) -> tuple[list[_Found], list[_Found], list[Duplicate]]:
    """
    The distributions that count, those that are no distribution any more, and those that are there repeatedly.
    """
    by_name: dict[str, list[_Found]] = {}
    left_over = []
    for distribution in _without_stale_eggs(found, folders):
        if distribution.name_of_folder.startswith("~"):  # so pip renames what it is about to delete
            left_over.append(distribution)
        else:
            by_name.setdefault(normalise(distribution.name_of_folder), []).append(distribution)
    counted, duplicates = [], []
    order = {folder: position for position, folder in enumerate(folders)}
    for same in by_name.values():
        first, *others = _ranked(same, order) if len(same) > 1 else same
        counted.append(first)
        left_over += [other for other in others if first.sound and not other.sound]
        shadowed = [other for other in others if other.sound == first.sound and not _yields(other, first)]
        if shadowed:
            locations = tuple(_encodable(other.location) for other in shadowed)
            duplicates.append(Duplicate(_encodable(first.name_of_folder), _encodable(first.location), locations))
    return counted, left_over, duplicates


def _ranked(same: list[_Found], order: dict[str, int]) -> list[_Found]:
    """
    The one that counts first: one with METADATA, installed rather than built in place, earlier on the path.

    Within one folder the path does not decide, and the order in a directory must not: the newest version is first.
    """

    def rank(found: _Found) -> tuple[bool, bool, int]:
        position = order.get(os.path.dirname(found.location), len(order))
        return not found.sound, _is_built_in_place(found), position

    newest_first = sorted(same, key=lambda found: (_version_key(found.version_of_folder), found.location))[::-1]
    places: dict[object, _Found] = {}
    for found in sorted(newest_first, key=rank):
        places.setdefault(_identity(found.location) or found.location, found)  # once, whatever links lead there
    return list(places.values())


def _yields(other: _Found, first: _Found) -> bool:
    """
    Whether this is what an editable install leaves in the project's folder when it is built.
    """
    return _is_built_in_place(other) and not _is_built_in_place(first)


def _without_stale_eggs(found: list[_Found], folders: list[str]) -> list[_Found]:
    """
    All but the `egg-info` in project folders of which the metadata that counts is in `site-packages`.
    """
    built = [distribution for distribution in found if _is_built_in_place(distribution)]
    if not built:
        return found
    named, edited = _folders_in_pth(folders)
    stale = [egg for egg in built if _identity(os.path.dirname(egg.location)) in edited - named]
    return [distribution for distribution in found if distribution not in stale]


def _is_built_in_place(found: _Found) -> bool:
    return found.location.endswith(".egg-info") and not _is_site(os.path.dirname(found.location))


def _is_site(folder: str) -> bool:
    return os.path.basename(folder) in _SITE_FOLDERS


def _folders_in_pth(folders: Iterable[str]) -> tuple[set[_Identity], set[_Identity]]:
    """
    The folders that the `.pth` files of site folders add to the path.

    Returns:
        Those that may hold metadata themselves, and those of which setuptools keeps it in the site folder.
    """
    named: set[_Identity] = set()
    edited: set[_Identity] = set()
    for folder in filter(_is_site, folders):
        for file in _children(folder, ".pth"):
            lines = _lines_of(os.path.join(folder, file))
            targets = (line for line in lines if line and not line.startswith(("#", "import ", "import\t")))
            identities = {_identity(os.path.join(folder, target)) for target in targets} - {None}
            (edited if file.startswith("__editable__") else named).update(filter(None, identities))
    return named, edited


# What a distribution publishes.


def _examine(found: _Found) -> tuple[list[Entry], list[str]]:
    """
    The entries of one distribution, and what is wrong with it.
    """
    messages = [] if found.sound else ["it has no METADATA"]
    try:
        content = found.read("entry_points.txt") or b""
    except Exception as error:  # of a damaged zip file, too
        return [], [*messages, f"entry_points.txt cannot be read: {_reason(error)}"]
    if not content:
        return [], messages
    if len(content) > _LARGEST:
        return [], [*messages, f"entry_points.txt is larger than {_LARGEST} bytes"]
    text = _decoded(content)
    if text.encode() != content.removeprefix(_BYTE_ORDER_MARK):
        messages.append("entry_points.txt is not UTF-8")
    broken = [line.strip() for line in text.splitlines() if _is_broken(line)]
    entries: list[Entry] = []
    if _PREFIX in text:
        points = tuple(found.entry_points)
        entries = _entries(found, points)
        messages += _unknown_groups(points)
        broken = [line for line in broken if line not in {entry.name for entry in entries}]
    if broken:
        messages.append(f"entry_points.txt has a line without '=': '{broken[0][:80]}'")
    return entries, messages


def _entries(found: _Found, points: Iterable[EntryPoint]) -> list[Entry]:
    points = [point for point in points if point.group.strip() in GROUPS]
    times = Counter((point.group.strip(), normalise(point.name)) for point in points)
    entries = []
    for point in points:
        group = point.group.strip()
        problem = _problem_of(point, group)
        if problem is None and times[group, normalise(point.name)] > 1:
            problem = f"its distribution publishes the name '{point.name}' more than once"
        if problem is None and not found.sound:
            problem = "its distribution has no METADATA, so it is not completely installed"
        target = point.value.partition("[")[0].strip()
        entries.append(Entry(group, point.name, target, found.published, problem))
    return entries


def _problem_of(point: EntryPoint, group: str) -> str | None:
    """
    What is wrong with an entry point by itself, in one sentence.
    """
    if not point.value:
        return f"the line '{point.name}' has no target, as in 'name = module:Class'"
    if not is_valid_name(point.name):
        return f"'{point.name}' is not a name of ASCII letters, digits, '-', '_' and '.' that begins with a letter"
    try:
        module, attribute = point.module, point.attr
    except ValueError:
        return f"its target '{point.value}' is not of the form 'module:Class'"
    if group == "conductor.supersedes":
        return f"its target '{point.value}' is not the name of a distribution" if attribute else None
    parts = [*module.split("."), *(attribute or "x").split(".")]
    if not all(part.isidentifier() for part in parts):
        return f"its target '{point.value}' is not of the form 'module:Class'"
    if not attribute and group not in _WITHOUT_ATTRIBUTE:
        return f"its target '{point.value}' names a module but nothing in it, as in '{point.value}:Class'"
    return None


def _unknown_groups(points: Iterable[EntryPoint]) -> list[str]:
    """
    A sentence for each group that looks like a misspelt one of ours.
    """
    messages = []
    known = [group.removeprefix(_PREFIX) for group in GROUPS]
    for group in sorted({point.group.strip() for point in points} - set(GROUPS)):
        meant = nearest(group.removeprefix(_PREFIX), known) if group.startswith(_PREFIX) else None
        if meant is not None:
            messages.append(f"its group '{group}' is unknown, probably '{_PREFIX}{meant}' is meant")
    return messages


def _is_broken(line: str) -> bool:
    """
    Whether a line of `entry_points.txt` is neither a pair nor a section nor a comment.
    """
    if "=" in line:
        return False
    line = line.strip()
    return bool(line) and line[0] not in "#;" and not (line[0] == "[" and line[-1] == "]")


def _in_pairs(text: str) -> str:
    """
    The text such that `importlib_metadata` can take it apart: it raises for a line without `=`.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(";")]
    return "\n".join(f"{line} =" if _is_broken(line) else line for line in lines)


def _damage(found: _Found, message: str) -> Damage:
    return Damage(found.published.distribution, found.published.location, message)


# Files and folders of others.


def _read_beginning(file: str) -> bytes:
    """
    The content of a file, up to a little more than what is accepted.
    """
    descriptor = os.open(file, _FLAGS)
    try:
        content = chunk = os.read(descriptor, _CHUNK)
        while chunk and len(content) <= _LARGEST:
            chunk = os.read(descriptor, _CHUNK)
            content += chunk
        return content
    finally:
        os.close(descriptor)


def _decoded(content: bytes) -> str:
    """
    The text of a file, with what is not UTF-8 escaped.
    """
    return content.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "backslashreplace")


def _lines_of(file: str) -> list[str]:
    try:
        return [line.rstrip() for line in _decoded(_read_beginning(file)).splitlines()]
    except OSError:
        return []


def _children(folder: str, ending: str | tuple[str, ...]) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.endswith(ending)]
    except OSError:
        return []


def _identity(file: str) -> _Identity | None:
    """
    What is equal for all paths to one file; None: there is no such file.
    """
    try:
        status = os.stat(file)
    except (OSError, ValueError):  # ValueError: no path at all, for instance with a zero byte
        return None
    return status.st_dev, status.st_ino


def _location(distribution: Distribution) -> str:
    """
    Where a distribution says that it is; if it does not say, its class, since an address differs in each run.
    """
    kind = type(distribution)
    return f"{kind.__module__}.{kind.__qualname__}" if kind.__str__ is object.__str__ else str(distribution).rstrip("/")


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it has been deleted
        return ""


def _encodable(text: str) -> str:
    """
    A file name without the lone surrogates that stand for bytes which are not UTF-8.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _version_key(version: str) -> list[tuple[int, str]]:
    """
    What orders versions: numbers by value, without a limit to their length.
    """
    parts = [part.lstrip("0") if part.isdecimal() else part for part in re.split(r"([0-9]+)", version)]
    return [(len(part) if part.isdecimal() else 0, part) for part in parts]


def _by_identity(entry: Entry) -> tuple[str, ...]:
    origin = entry.origin
    return entry.group, entry.key, normalise(origin.distribution), entry.name, entry.target, origin.location


def _by_distribution(origin: Origin) -> tuple[str, str]:
    return normalise(origin.distribution), origin.location
