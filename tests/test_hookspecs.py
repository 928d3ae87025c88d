"""
Who is told what.
"""

from __future__ import annotations

import logging

import pluggy
import pytest

from conductor.hookspecs import Hooks, hookimpl


class Listener:
    """
    Keeps what it is told.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    @hookimpl
    def conductor_stopping(self, reason: str) -> None:
        """
        Keep the reason.
        """
        self.told.append(reason)


class Raising:
    """
    Raises when it is told something.
    """

    @hookimpl
    def conductor_stopping(self) -> None:
        """
        Raise what is hardest to hold.
        """
        raise SystemExit("from a hook")


def test_a_registered_plugin_is_told() -> None:
    """
    A plugin's hook is called with what it asks for.
    """
    hooks, listener = Hooks(), Listener()
    hooks.register(listener)
    hooks.call("conductor_stopping", reason="because")
    assert listener.told == ["because"]


def test_an_unregistered_plugin_is_not_told() -> None:
    """
    After it is unregistered, a plugin hears nothing.
    """
    hooks, listener = Hooks(), Listener()
    hooks.register(listener)
    hooks.unregister(listener)
    hooks.call("conductor_stopping", reason="because")
    assert listener.told == []


def test_listeners_are_known() -> None:
    """
    It can be asked whether anybody listens, so that nothing is done for nobody.
    """
    hooks = Hooks()
    assert not hooks.has_listener("conductor_stopping")
    hooks.register(Listener())
    assert hooks.has_listener("conductor_stopping")
    assert not hooks.has_listener("conductor_ready")


def test_a_hook_that_raises_keeps_nobody_from_being_told(caplog: pytest.LogCaptureFixture) -> None:
    """
    Whatever a hook raises is logged with the plugin's name, and the others are told all the same.
    """
    hooks, first, last = Hooks(), Listener(), Listener()
    hooks.register(first)
    hooks.register(Raising(), name="the-raising-one")
    hooks.register(last)
    with caplog.at_level(logging.ERROR, logger="conductor.hooks"):
        hooks.call("conductor_stopping", reason="because")
    assert first.told == last.told == ["because"]
    assert "the-raising-one" in caplog.text


def test_a_hook_that_does_not_exist_is_refused() -> None:
    """
    A misspelt hook is an error, and the plugin is not registered by half.
    """

    class Misspelt:
        @hookimpl
        def conductor_stoping(self) -> None: ...

    hooks, plugin = Hooks(), Misspelt()
    with pytest.raises(pluggy.PluginValidationError, match="conductor_stoping"):
        hooks.register(plugin)
    with pytest.raises(pluggy.PluginValidationError):
        hooks.register(plugin)


def test_a_hook_with_an_unknown_argument_is_refused() -> None:
    """
    A hook that asks for what there is not is an error.
    """

    class Curious:
        @hookimpl
        def conductor_stopping(self, why: str) -> None: ...

    with pytest.raises(pluggy.PluginValidationError, match="why"):
        Hooks().register(Curious())


def test_order_is_that_of_pluggy() -> None:
    """
    Who was registered last is told first, and who asks to be told first or last is.
    """
    told = []

    def listener(name: str, *, tryfirst: bool = False, trylast: bool = False) -> object:
        class Noting:
            @hookimpl(tryfirst=tryfirst, trylast=trylast)
            def conductor_stopping(self) -> None:
                told.append(name)

        return Noting()

    hooks = Hooks()
    for plugin in (listener("last", trylast=True), listener("first", tryfirst=True), listener("old"), listener("new")):
        hooks.register(plugin)
    hooks.call("conductor_stopping", reason="because")
    assert told == ["first", "new", "old", "last"]
