"""
When a message is tried again, and when that is given up.
"""

from __future__ import annotations

import attrs

from ._broker import Action, Verdict


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """
    How long a message is held, and what happens when it is not acknowledged.

    Attributes:
        visibility: seconds for which a message is held.
        max_attempts: a message that was handed out so many times in vain is dead.
        first: seconds of the first pause between two attempts.
        factor: how much longer each further pause is.
        limit: seconds that no pause exceeds.
    """

    visibility: float
    max_attempts: int
    first: float
    factor: float
    limit: float

    def pause(self, attempt: int) -> float:
        """
        Seconds to wait after an attempt failed; the first attempt is 1.
        """
        try:
            return min(self.limit, self.first * self.factor ** (attempt - 1))
        except OverflowError:
            return self.limit

    def after_failure(self, attempt: int, *, delay: float | None, error: str) -> Verdict:
        """
        The verdict on a message whose attempt failed: another one later, or none.
        """
        if attempt >= self.max_attempts:
            return Verdict(action=Action.DEAD, attempts=attempt, error=error or "not acknowledged by its consumer")
        return Verdict(action=Action.RETRY, delay=self.pause(attempt) if delay is None else delay)

    def after_silence(self, attempts: int) -> Verdict:
        """
        The verdict on a message whose last attempt ended without a word.
        """
        error = f"not acknowledged within {self.visibility:g} s"
        return Verdict(action=Action.DEAD, attempts=attempts, error=error)
