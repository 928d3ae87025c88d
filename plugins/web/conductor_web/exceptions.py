"""
What keeps a server from serving.

.. code-block:: text

    conductor.exceptions.ConductorError
    ├── ListenError         the address cannot be listened on
    └── ApplicationError    the application's own start or end failed
"""

from __future__ import annotations

import attrs

from conductor.exceptions import ConductorError


@attrs.define(eq=False, slots=False, kw_only=True)
class ListenError(ConductorError):
    """
    The address cannot be listened on: in use, not this machine's, or not allowed.

    Attributes:
        host: the setting ``host``.
        port: the setting ``port``.
        reason: what the system says.

    .. versionadded:: 0.1
    """

    host: str
    port: int
    reason: str

    def __str__(self) -> str:
        text = f"cannot listen on '{self.host}' port {self.port}: {self.reason}"
        return f"{text}\nhint: choose another address with the settings 'host' and 'port'"


@attrs.define(eq=False, slots=False, kw_only=True)
class ApplicationError(ConductorError):
    """
    The application's own start or end (ASGI lifespan) failed.

    Attributes:
        reason: what the application says.

    .. versionadded:: 0.1
    """

    reason: str

    def __str__(self) -> str:
        return f"the application refused to serve: {self.reason}"
