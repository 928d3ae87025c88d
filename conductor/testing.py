"""
What it takes to test components: bring one up alone, or an application with fakes in it.

.. code-block:: python

    async with running(WebAPI(db=fake, queue=fake, token=Secret("t"))) as api:
        ...
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

from ._component import Scope
from ._declaration import declaration
from ._plan import Plan
from ._runner import Runner
from ._settings import Limits
from ._step import Step
from .exceptions import CrashError

C = TypeVar("C")


@contextlib.asynccontextmanager
async def running(component: C, *, name: str | None = None, limits: Limits | None = None) -> AsyncIterator[C]:
    """
    A component that was built by hand, set up and running for as long as the block lasts.

    Whatever the runner does for a component it does here: ``enter``, ``defer`` and ``spawn`` work, ``run`` is
    running, and everything is undone when the block is left.

    Args:
        component: the instance.
        name: what logs and errors call it; by default the name of its class.
        limits: how long it may take, in seconds.

    Raises:
        SetupError: set-up failed; what it had registered is undone.
        CrashError: ``run`` or a spawned task failed meanwhile.
        ShutdownError: shutdown was not clean.

    .. versionadded:: 0.1
    """
    cls = type(component)
    step = Step(
        name=name or cls.__name__,
        cls=cls,
        phases=declaration(cls).phases,
        limits=limits or Limits(),
    )
    runner = Runner(Plan((step,)), build=_Given(component))
    await runner.setup()
    try:
        yield component
    finally:
        crashed = runner.failures
        await runner.shutdown()
    if crashed:
        raise CrashError(f"component '{step.name}' crashed", crashed)


class _Given:
    """
    Builds a component that was built already: gives it its scope.
    """

    def __init__(self, component: object) -> None:
        self._component = component

    def __call__(self, step: Step, values: Mapping[str, object], scope: Scope | None, /) -> Any:
        if scope is not None:
            object.__setattr__(self._component, "_conductor_scope", scope)
        return self._component
