"""
Every error that Conductor raises.

.. code-block:: text

    ConductorError
    ├── DiscoveryError              the installed distributions could not be read at all
    ├── UsageError                  a call that cannot be meant like this (order of calls, unknown name)
    ├── SettingsFileError           a settings file that cannot be read
    ├── Problem                     one thing that is wrong with a plan
    │   ├── EntryError              an entry point that cannot be used
    │   ├── LoadError               an entry whose target does not import
    │   ├── DeclarationError        a class that cannot be understood as a component
    │   ├── UnknownComponentError   a name that no installed component has
    │   ├── ConflictError           two candidates within one layer
    │   ├── OverrideError           an override that leads nowhere or in a circle
    │   ├── ContractError           a class that cannot stand in for another
    │   ├── MissingDependencyError  nothing provides what a field needs
    │   ├── AmbiguousDependencyError  several provide what a field needs
    │   ├── CycleError              components that need each other
    │   ├── VersionError            a distribution in a version that another one does not accept
    │   ├── SettingError            a setting with a wrong value, or a missing one
    │   └── UnknownSettingError     a setting that nobody declares
    ├── ResolutionError             all problems of a plan, as one exception group
    ├── ComponentError              one failure of one component, in one phase
    │   ├── LimitError              … because it took longer than its limit
    │   └── AbandonedError          … because it did not even end when cancelled
    └── RunError                    all failures of a run, as one exception group
        ├── SetupError              set-up failed and was undone
        ├── CrashError              a component crashed while running
        └── ShutdownError           shutdown was not clean

An error is data with a sentence: its attributes say what is wrong, ``str()`` makes the text of them, and
``hint`` is the next step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import attrs

from ._text import enumerate_names, printable


class ConductorError(Exception):
    """
    The base class of every error that Conductor raises.

    .. versionadded:: 0.1
    """


class DiscoveryError(ConductorError):
    """
    The installed distributions could not be read at all.

    .. versionadded:: 0.1
    """


class UsageError(ConductorError, LookupError):
    """
    A call that cannot be meant like this: an unknown name, or the wrong order of calls.

    .. versionadded:: 0.1
    """

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


@attrs.define(eq=False, slots=False)
class SettingsFileError(ConductorError):
    """
    A settings file that cannot be read: not there, not a file, too large, not UTF-8 or not TOML.

    .. versionadded:: 0.1
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"cannot read settings from '{printable(self.path)}': {printable(self.reason)}"


@attrs.define(eq=False, slots=False, kw_only=True)
class Problem(ConductorError):
    """
    One thing that is wrong with a plan, and what to do about it.

    Attributes:
        component: name of the component that has the problem, if it is one's.
        distribution: ``name version`` of the distribution that it came from.
        message: what is wrong, one sentence.
        hint: the next step.

    .. versionadded:: 0.1
    """

    component: str | None = None
    distribution: str | None = None
    message: str = ""
    hint: str | None = None

    def sentence(self) -> str:
        """
        What is wrong, without the place and the next step.
        """
        return self.message

    def __str__(self) -> str:
        place = f"component '{self.component}'" if self.component else ""
        if self.distribution:
            place += (" " if place else "") + f"({self.distribution})"
        text = f"{place}: {self.sentence()}" if place else self.sentence()
        return printable(f"{text}\nhint: {self.hint}" if self.hint else text)

    def as_dict(self) -> dict[str, Any]:
        """
        The problem as plain values, for JSON.
        """
        return {
            "kind": type(self).__name__,
            "component": self.component,
            "distribution": self.distribution,
            "message": printable(self.sentence()),
            "hint": printable(self.hint) if self.hint else None,
        }


@attrs.define(eq=False, slots=False, kw_only=True)
class EntryError(Problem):
    """
    An entry point that cannot be used: an invalid name or a malformed target.

    .. versionadded:: 0.1
    """


@attrs.define(eq=False, slots=False, kw_only=True)
class LoadError(Problem):
    """
    An entry whose target does not import; the reason is the ``__cause__``.

    .. versionadded:: 0.1
    """


@attrs.define(eq=False, slots=False, kw_only=True)
class DeclarationError(Problem):
    """
    A class that cannot be understood as a component: a field without a type that can be resolved, a
    ``setup`` that is not a coroutine function, a class that is not an attrs class.

    .. versionadded:: 0.1
    """

    field: str | None = None


@attrs.define(eq=False, slots=False, kw_only=True)
class UnknownComponentError(Problem):
    """
    A name that no installed component has.

    .. versionadded:: 0.1
    """

    name: str

    def sentence(self) -> str:
        return self.message or f"there is no component '{self.name}'"


@attrs.define(eq=False, slots=False, kw_only=True)
class ConflictError(Problem):
    """
    Two candidates within one layer, between which nobody has chosen.

    .. versionadded:: 0.1
    """

    candidates: tuple[str, ...] = ()


@attrs.define(eq=False, slots=False, kw_only=True)
class OverrideError(Problem):
    """
    An override that leads nowhere or in a circle.

    .. versionadded:: 0.1
    """


@attrs.define(eq=False, slots=False, kw_only=True)
class ContractError(Problem):
    """
    A class that cannot stand in for the one that it replaces.

    .. versionadded:: 0.1
    """

    missing: tuple[str, ...] = ()


@attrs.define(eq=False, slots=False, kw_only=True)
class MissingDependencyError(Problem):
    """
    Nothing in the plan provides what a field needs.

    .. versionadded:: 0.1
    """

    field: str
    wanted: str

    def sentence(self) -> str:
        return self.message or f"field '{self.field}' needs '{self.wanted}', and nothing in the plan provides it"


@attrs.define(eq=False, slots=False, kw_only=True)
class AmbiguousDependencyError(Problem):
    """
    Several components provide what a field needs.

    .. versionadded:: 0.1
    """

    field: str
    wanted: str
    candidates: tuple[str, ...]

    def sentence(self) -> str:
        return f"field '{self.field}' needs one '{self.wanted}', but {enumerate_names(self.candidates)} provide it"


@attrs.define(eq=False, slots=False, kw_only=True)
class CycleError(Problem):
    """
    Components that need each other, so that none could be set up first.

    Attributes:
        cycle: ``(component, field)`` for each edge, in order; the last one leads back to the first.

    .. versionadded:: 0.1
    """

    cycle: tuple[tuple[str, str], ...]

    def sentence(self) -> str:
        drawn = " ".join(f"{name} --{field}-->" for name, field in self.cycle)
        return f"these components need each other: {drawn} {self.cycle[0][0]}"


@attrs.define(eq=False, slots=False, kw_only=True)
class VersionError(Problem):
    """
    A distribution that takes part in a version that another one does not accept.

    Attributes:
        required: the requirement, as the distribution states it.
        found: the version that is installed.

    .. versionadded:: 0.1
    """

    required: str
    found: str

    def sentence(self) -> str:
        return f"it requires '{self.required}', and version {self.found} is installed"


@attrs.define(eq=False, slots=False, kw_only=True)
class SettingError(Problem):
    """
    A setting with a value that does not fit, or a required one without a value.

    Attributes:
        setting: the name, dotted if it is nested.
        source: where the value came from, as the user would look for it.
        given: the value as it may be shown; secrets are masked.
        expected: what would fit.

    .. versionadded:: 0.1
    """

    setting: str
    source: str | None = None
    given: str | None = None
    expected: str | None = None

    def sentence(self) -> str:
        if self.given is None:
            return self.message or f"setting '{self.setting}' has no value, expected {self.expected}"
        text = f"setting '{self.setting}' from {self.source} is {self.given}"
        return f"{text}, expected {self.expected}" if self.expected else f"{text}: {self.message}"


@attrs.define(eq=False, slots=False, kw_only=True)
class UnknownSettingError(Problem):
    """
    A setting that nobody declares.

    .. versionadded:: 0.1
    """

    setting: str
    source: str

    def sentence(self) -> str:
        return self.message or f"unknown setting '{self.setting}' from {self.source}"


class _Group(ExceptionGroup[Exception], ConductorError):
    """
    An exception group whose text lists what it holds.
    """

    def __new__(cls, message: str, errors: Sequence[Exception]) -> Self:
        return super().__new__(cls, message, list(errors))

    def derive(self, errors: Sequence[Exception]) -> Self:  # type: ignore[override]  # always of the same kind
        return type(self)(self.message, errors)

    def __str__(self) -> str:
        lines = [f"{self.message} ({len(self.exceptions)} in all)" if len(self.exceptions) > 1 else self.message]
        for error in self.exceptions:
            first, *rest = str(error).splitlines() or [repr(error)]
            lines.append(f"  - {first}")
            lines.extend(f"    {line}" for line in rest)
        return printable("\n".join(lines))


class ResolutionError(_Group):
    """
    All problems of a plan at once; ``exceptions`` are :class:`Problem` objects.

    .. versionadded:: 0.1
    """

    @property
    def problems(self) -> tuple[Problem, ...]:
        """
        The problems, in the order in which they are shown.
        """
        return tuple(error for error in self.exceptions if isinstance(error, Problem))

    @property
    def only_settings(self) -> bool:
        """
        Whether the settings alone are wrong (exit code 2) and the graph itself is sound.
        """
        return all(isinstance(error, SettingError | UnknownSettingError) for error in self.exceptions)


@attrs.define(eq=False, slots=False)
class ComponentError(ConductorError):
    """
    One failure of one component; what it raised is the ``__cause__``.

    Attributes:
        component: its name.
        phase: ``set-up``, ``run``, ``task``, ``health``, ``shutdown`` or ``undo``.
        distribution: ``name version`` of the distribution that it came from, if any.
        message: what happened; secrets are masked.

    .. versionadded:: 0.1
    """

    component: str
    phase: str
    distribution: str | None = None
    message: str = ""

    def __str__(self) -> str:
        place = f" ({self.distribution})" if self.distribution else ""
        return printable(f"component '{self.component}'{place} failed in {self.phase}: {self.message}")


@attrs.define(eq=False, slots=False)
class LimitError(ComponentError):
    """
    A component took longer than its limit.

    Attributes:
        limit: seconds that it had.
        suspended: where its coroutine stood, innermost last, as ``file:line in function``.

    .. versionadded:: 0.1
    """

    limit: float = 0.0
    suspended: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f", suspended at {self.suspended[-1]}" if self.suspended else ""
        place = f" ({self.distribution})" if self.distribution else ""
        text = f"component '{self.component}'{place}: {self.phase} took longer than its limit of {self.limit:g} s"
        return printable(f"{text}{where}")


@attrs.define(eq=False, slots=False)
class AbandonedError(LimitError):
    """
    A component did not even end when it was cancelled; it was left behind and may still be at work.

    .. versionadded:: 0.1
    """

    def __str__(self) -> str:
        where = f", still at {self.suspended[-1]}" if self.suspended else ""
        place = f" ({self.distribution})" if self.distribution else ""
        return printable(
            f"component '{self.component}'{place}: {self.phase} did not end when cancelled and was abandoned{where}"
        )


class RunError(_Group):
    """
    All failures of a run, the first cause first; ``exceptions`` are :class:`ComponentError` objects.

    .. versionadded:: 0.1
    """


class SetupError(RunError):
    """
    Set-up failed; everything that was already up has been shut down again.

    .. versionadded:: 0.1
    """


class CrashError(RunError):
    """
    A component crashed while running; the application was shut down in order.

    .. versionadded:: 0.1
    """


class ShutdownError(RunError):
    """
    Shutdown was not clean; everything that could be shut down was.

    .. versionadded:: 0.1
    """


def raise_problems(message: str, problems: Iterable[Problem]) -> None:
    """
    Raise all problems as one :class:`ResolutionError`, or do nothing if there are none.
    """
    found = tuple(problems)
    if found:
        raise ResolutionError(message, found)
