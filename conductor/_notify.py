"""
What systemd is told through the socket that it names in ``NOTIFY_SOCKET``.

Rules:

1. ``READY=1`` is sent once, after the last set-up, and never if one failed; ``STOPPING=1`` once, when the stop begins.
2. ``WATCHDOG=1`` is sent by the event loop, twice in the time that systemd allows; so it is not while the loop is
   blocked.  It is for the process that ``WATCHDOG_PID`` names.
3. While components are set up or shut down, the loop asks for more time again and again.  What hangs is ended by its
   own limit, and a blocked loop asks for nothing.
4. Nothing that systemd does, or does not do, disturbs the application: what cannot be sent at once is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Self

import attrs

from ._plan import Plan
from ._report import Report
from ._text import printable, redact, shorten
from .hookspecs import hookimpl
from .lifecycle import State, Transition

OFTEN = 5.0
"""
Seconds between two requests for more time.
"""
MORE = 3 * OFTEN
"""
Seconds that are asked for.
"""


@attrs.define(eq=False)
class Notifier:
    """
    Tells systemd what happens, as a listener of hooks.

    Args:
        address: of the socket; what begins with ``@`` is in the abstract namespace.
        watchdog: seconds within which systemd wants a sign of life; None: it wants none.
    """

    address: str
    watchdog: float | None = None
    _ready: bool = attrs.field(default=False, init=False)
    _stopping: bool = attrs.field(default=False, init=False)
    _moving: bool = attrs.field(default=True, init=False)
    _count: int = attrs.field(default=0, init=False)
    _up: set[str] = attrs.field(factory=set, init=False)
    _timers: dict[str, asyncio.TimerHandle] = attrs.field(factory=dict, init=False)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self | None:
        """
        The one that the environment variables ask for; None if they ask for none.
        """
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
            return None
        usec, process = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        ours = process in ("", str(os.getpid()))
        given = ours and usec.isascii() and usec.isdecimal() and int(usec) > 0
        return cls(address, int(usec) / 1e6 if given else None)

    @hookimpl
    def conductor_planned(self, plan: Plan) -> None:
        """
        Say how much there is to set up.
        """
        self._count = len(plan.steps)
        self._say("setting up", EXTEND_TIMEOUT_USEC=_microseconds(MORE))

    @hookimpl
    def conductor_state_changed(self, transition: Transition) -> None:
        """
        Say how far it is; the first move begins to keep systemd patient.
        """
        self._attach()
        if transition.after is State.READY:
            self._up.add(transition.component)
        elif transition.before is State.READY:
            self._up.discard(transition.component)
        else:
            return
        doing = "shutting down" if self._stopping else "setting up"
        of_all = f" of {self._count}" if self._count else ""  # the plan may have been made before anybody listened
        self._say(f"{doing}: {len(self._up)}{of_all} components are up")

    @hookimpl
    def conductor_ready(self, plan: Plan) -> None:
        """
        Say that all is up.
        """
        self._moving = False
        self._attach()
        fields = {} if self._ready else {"READY": "1"}
        self._ready = True
        self._say(f"ready: {len(plan.steps)} components are up", **fields)

    @hookimpl
    def conductor_stopping(self, reason: str) -> None:
        """
        Say that the end begins, and why.
        """
        fields = {} if self._stopping else {"STOPPING": "1"}
        self._stopping = self._moving = True
        self._say(f"shutting down: {reason}", **fields, EXTEND_TIMEOUT_USEC=_microseconds(MORE))

    @hookimpl
    def conductor_reported(self, report: Report) -> None:
        """
        Say how it ended; no sign of life comes after that.
        """
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._say(f"down: {report.reason} (exit code {report.exit_code})")

    def _attach(self) -> None:
        """
        Begin to send signs of life in the running loop.
        """
        if not self._timers:
            self._extend()
            self._live()

    def _extend(self) -> None:
        self._timers["extend"] = asyncio.get_running_loop().call_later(OFTEN, self._extend)
        if self._moving:
            self._send(EXTEND_TIMEOUT_USEC=_microseconds(MORE))

    def _live(self) -> None:
        if self.watchdog is not None:
            self._timers["live"] = asyncio.get_running_loop().call_later(self.watchdog / 2, self._live)
            self._send(WATCHDOG="1")

    def _say(self, status: str, **fields: str) -> None:
        self._send(**fields, STATUS=shorten(printable(redact(status)).replace("\n", "; "), 200))

    def _send(self, **fields: str) -> None:
        message = "\n".join(f"{key}={value}" for key, value in fields.items())
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(message.encode("utf-8", "backslashreplace"), address)


def _microseconds(seconds: float) -> str:
    return str(int(seconds * 1e6))
