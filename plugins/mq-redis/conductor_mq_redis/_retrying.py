"""
Trying again, with growing pauses and jitter, and without a word about each attempt.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE, JITTER = 0.1, 5.0, 0.5


async def insist(
    function: Callable[[], Awaitable[T]],
    *,
    on: Callable[[Exception], bool],
    limit: float | None,
    tell: Callable[[str], None] = lambda _: None,
) -> T:
    """
    What a coroutine function gives, which is called until it does.

    Args:
        function: what to call.
        on: tells the errors after which it is called again.
        limit: seconds after which it is not; None: never.
        tell: told what an error says, once until it says something else.
    """
    told = ""

    def may_pass(error: Exception) -> bool:
        nonlocal told
        if not on(error):
            return False
        if told != (told := str(error)):
            tell(told)
        return True

    try:
        return await function()  # without ado, as that will do mostly
    except Exception as error:
        if not may_pass(error):
            raise
    caller = stamina.AsyncRetryingCaller(
        attempts=None, timeout=limit, wait_initial=FIRST_PAUSE, wait_max=LONGEST_PAUSE, wait_jitter=JITTER
    )
    quiet = _quiet.set(True)
    try:
        return await caller(may_pass, function)
    finally:
        _quiet.reset(quiet)


def _is_not_ours(record: logging.LogRecord) -> bool:
    """
    Whether stamina speaks of the attempts of others: ours are told once, with a reason.
    """
    return not _quiet.get()


_quiet = contextvars.ContextVar("_quiet", default=False)
logging.getLogger("stamina").addFilter(_is_not_ours)
