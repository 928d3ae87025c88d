"""
The dependency graph as a frozen value that can be printed, compared and run.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ._step import Binding as Binding
from ._step import Relation as Relation
from ._step import Step as Step


@attrs.frozen
class Plan:
    """
    What is set up, in which order, and why.

    Attributes:
        steps: in one valid set-up order, the same one each time.
        stop: seconds that the whole stop may take.
    """

    steps: tuple[Step, ...]
    stop: float = 25.0

    @property
    def by_name(self) -> Mapping[str, Step]:
        """
        The steps by their name.
        """
        return {step.name: step for step in self.steps}
