"""
Where a coroutine is suspended: the file, line and function of each frame that waits for the next one.

``Task.get_stack()`` stops at the outermost frame of a suspended coroutine.  This walks all the way in: through
awaited coroutines, generators, asynchronous generators and other tasks.
"""

from __future__ import annotations

import asyncio
import gc
import os
import types
from typing import Any

_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
_ASYNCIO = os.path.dirname(os.path.abspath(asyncio.__file__)) + os.sep
_LINKS = (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType, asyncio.Task)
_DEEPEST = 1000


def suspended(task: asyncio.Task[Any]) -> tuple[str, ...]:
    """
    Where a task stands, as ``file:line in function``, innermost last; empty if it has ended.

    Frames of Conductor itself, and those of asyncio that nobody's frame follows, are left out.
    """
    frames: list[types.FrameType] = []
    seen: set[int] = set()
    link: object = task
    while link is not None and id(link) not in seen and len(seen) < _DEEPEST:
        seen.add(id(link))
        frame, link = _step_in(link)
        if frame is not None:
            frames.append(frame)
    shown = [frame for frame in frames if not frame.f_code.co_filename.startswith(_OWN)]
    while len(shown) > 1 and shown[-1].f_code.co_filename.startswith(_ASYNCIO):
        shown.pop()
    return tuple(f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}" for frame in shown)


def _step_in(link: object) -> tuple[types.FrameType | None, object]:
    """
    The frame of what waits, if it has one, and what it waits for.
    """
    if isinstance(link, asyncio.Task):
        return None, None if link.done() else link.get_coro()
    if isinstance(link, types.CoroutineType):
        return link.cr_frame, link.cr_await
    if isinstance(link, types.GeneratorType):
        return link.gi_frame, link.gi_yieldfrom
    if isinstance(link, types.AsyncGeneratorType):
        return link.ag_frame, link.ag_await
    # Iterators in between (of an `asend`, a future, an `__await__`) do not say whom they stand for, except to
    # the garbage collector.
    return None, next((found for found in gc.get_referents(link) if isinstance(found, _LINKS)), None)
