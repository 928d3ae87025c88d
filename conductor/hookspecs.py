"""
The hooks that a plugin may implement to watch an application: what was found, planned, and how it moves.

A plugin is a module, or any object, with functions of these names marked by :data:`hookimpl`; a distribution
contributes one through the entry-point group ``conductor.hooks``, a program with ``conductor.hooks.register``.
Hooks are called one after another in the thread of the event loop (but for ``conductor_blocked``) and only watch:
what they return is not looked at, and one that raises is logged and disturbs nobody.  A hook that nobody implements
costs nothing.
"""

from __future__ import annotations

import logging
from typing import Any

import pluggy

from ._diagnosis import Blockage, Diagnosis
from ._discovery import Discovery
from ._plan import Plan
from ._report import Report
from .exceptions import ComponentError
from .lifecycle import Transition

hookspec = pluggy.HookspecMarker("conductor")
hookimpl = pluggy.HookimplMarker("conductor")
"""
Marks a function as the implementation of the hook that has its name.

.. versionadded:: 0.1
"""

_logger = logging.getLogger("conductor.hooks")


@hookspec
def conductor_scanned(discovery: Discovery) -> None:
    """
    The installed distributions were read; nothing is imported yet.

    .. versionadded:: 0.1
    """


@hookspec
def conductor_planned(plan: Plan) -> None:
    """
    A plan was worked out and is valid; nothing is constructed yet.

    .. versionadded:: 0.1
    """


@hookspec
def conductor_state_changed(transition: Transition) -> None:
    """
    A component moved from one state to another.

    .. versionadded:: 0.1
    """


@hookspec
def conductor_failed(error: ComponentError) -> None:
    """
    A component failed; called once for each failure, in order of occurrence.

    .. versionadded:: 0.1
    """


@hookspec
def conductor_ready(plan: Plan, seconds: float) -> None:
    """
    Every component of the plan is up, ``seconds`` after set-up began.

    .. versionadded:: 0.1
    """


@hookspec
def conductor_noticed(message: str) -> None:
    """
    Something strange happened that was put right, as when a component replaced a signal handler.

    .. versionadded:: 0.1
    """


@hookspec
def conductor_stuck(diagnosis: Diagnosis) -> None:
    """
    A component has passed a limit, and this is who waits for whom.

    Called at most once while components are set up, and once while they are shut down, before anything is cancelled.

    .. versionadded:: 0.1
    """


@hookspec
def conductor_blocked(blockage: Blockage) -> None:
    """
    Somebody has blocked the event loop for longer than ``limits.blocked`` seconds, and goes on doing so.

    Called once for each blockage, and, since the loop is blocked, in a thread of its own.

    .. versionadded:: 0.1
    """


@hookspec
def conductor_stopping(reason: str) -> None:
    """
    The application begins to shut down, for the reason given.

    .. versionadded:: 0.1
    """


@hookspec
def conductor_reported(report: Report) -> None:
    """
    The application is down, and this is what happened.

    .. versionadded:: 0.1
    """


class Hooks:
    """
    Who listens to what.

    .. versionadded:: 0.1
    """

    def __init__(self) -> None:
        self._plugins = pluggy.PluginManager("conductor")
        self._plugins.add_hookspecs(_Specs)

    def register(self, plugin: object, *, name: str | None = None) -> None:
        """
        Have a plugin's hooks called from now on.

        Args:
            plugin: a module or an object with functions marked by ``hookimpl``.
            name: what logs call it; by default pluggy's own choice.

        Raises:
            ValueError: it is registered already.
            pluggy.PluginValidationError: a hook that does not exist, or takes arguments that do not.
        """
        self._plugins.register(plugin, name)
        try:
            self._plugins.check_pending()
        except pluggy.PluginValidationError:
            self._plugins.unregister(plugin)
            raise

    def unregister(self, plugin: object) -> None:
        """
        Have a plugin's hooks not called any more.
        """
        self._plugins.unregister(plugin)

    def is_registered(self, name: str) -> bool:
        """
        Whether a plugin of that name is registered.
        """
        return self._plugins.has_plugin(name)

    def has_listener(self, hook: str) -> bool:
        """
        Whether anybody implements a hook.
        """
        return bool(getattr(self._plugins.hook, hook).get_hookimpls())

    def call(self, hook: str, **arguments: Any) -> None:
        """
        Tell everybody who implements a hook; one that raises is logged and keeps nobody else from being told.

        Implementations are called one by one, not by pluggy's own loop, which ends at the first exception.
        """
        for implementation in reversed(getattr(self._plugins.hook, hook).get_hookimpls()):  # as pluggy itself does
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except BaseException:  # a listener never breaks the application, whatever it raises
                _logger.exception("hook '%s' of plugin '%s' failed", hook, implementation.plugin_name)


class _Specs:
    """
    The hook specifications of this module as one namespace, for pluggy.
    """


for _name, _spec in list(globals().items()):
    if _name.startswith("conductor_"):
        setattr(_Specs, _name, staticmethod(_spec))
