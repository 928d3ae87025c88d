"""
How much time a stop has, and how much of it one call may take.
"""

from __future__ import annotations

import math

import attrs

from ._watch import GRACE


@attrs.define(eq=False)
class Budget:
    """
    The time of a whole stop.

    A last part of it is kept back: when that begins, all that is still at work is over its limit, and what is left
    may use half of what remains, each in its turn, so that one that hangs leaves some to those below.

    Attributes:
        seconds: how long the stop may take; what an error says.
        end: when it must have ended, on the clock of the loop.
        late: when the part begins that is kept back.
    """

    seconds: float
    end: float = attrs.field(default=math.inf, init=False)
    late: float = attrs.field(default=math.inf, init=False)

    def begin(self, now: float) -> None:
        """
        Let the time run from now on.
        """
        self.end = now + self.seconds
        self.late = self.end - min(GRACE, self.seconds / 4)

    def shorten(self, seconds: float, now: float) -> bool:
        """
        Let so many seconds be left from now on, if that ends it sooner.

        Returns:
            Whether it does.
        """
        if now + seconds >= self.end:
            return False
        self.seconds = seconds
        self.begin(now)
        return True

    def allot(self, limit: float, until: float, now: float) -> tuple[float, float]:
        """
        What a call gets that begins now: at least a grace, even if its component's own time is used up.

        Args:
            limit: seconds that its component has for its whole turn.
            until: when these are over.
            now: the time.

        Returns:
            The limit that applies, in seconds, and when it passes.
        """
        own = max(until, now + GRACE)
        if now >= self.late:
            return self.seconds, now + max(0.0, self.end - now) / 2
        return (limit, own) if own <= self.late else (self.seconds, self.late)
