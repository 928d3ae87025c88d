"""
What can go wrong with a database before anybody uses it.

.. code-block:: text

    conductor.exceptions.ConductorError
    └── DatabaseSetupError      the database cannot be reached, is none, or cannot be brought up to date
"""

from __future__ import annotations

import attrs

from conductor.exceptions import ConductorError


@attrs.define(eq=False, slots=False, kw_only=True)
class DatabaseSetupError(ConductorError):
    """
    The database cannot be reached, is none, or cannot be brought up to date.

    Attributes:
        url: where the database is, without its password.
        reason: what is wrong, without passwords as well.
        hint: the next step, if there is one.

    .. versionadded:: 0.1
    """

    url: str
    reason: str
    hint: str | None = None

    def __str__(self) -> str:
        text = f"cannot set up the database '{self.url}': {self.reason}"
        return f"{text}\nhint: {self.hint}" if self.hint else text
