"""
Where setting values come from, and what becomes of them.
"""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen
class SettingValue:
    """
    One effective setting.

    Attributes:
        name: of the field.
        alias: what the constructor calls it.
        value: the structured value; meaningless if ``given`` is false.
        given: whether a source set it; if not, the class's own default applies at construction.
        source: where it came from, as the user would look for it; ``default`` if nothing set it.
        type: the annotation, as text.
        shown: the value as it may be shown; secrets and passwords masked.
        secret: whether it is a secret.
        help: one sentence about it.
    """

    name: str
    alias: str
    value: Any = attrs.field(repr=False)
    given: bool
    source: str
    type: str
    shown: str
    secret: bool = False
    help: str = ""


@attrs.frozen
class Limits:
    """
    How long a component may take, in seconds.
    """

    setup: float = 30.0
    shutdown: float = 10.0
