"""
The types of ASGI, and its lifespan: how an application hears that serving begins and ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import attrs

from .exceptions import ApplicationError

Message = MutableMapping[str, Any]
ASGIApplication = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


@attrs.define
class Lifespan:
    """
    One conversation with an application about its beginning and its end.

    An application that knows nothing of lifespans raises an error or returns when it is asked; it is served all
    the same, as the specification has it.

    Attributes:
        application: whom to talk to.
        state: what it put in ``scope["state"]``; each request gets a copy.
    """

    application: ASGIApplication
    state: dict[str, Any] = attrs.field(factory=dict, init=False)
    _requests: asyncio.Queue[Message] = attrs.field(factory=asyncio.Queue, init=False)
    _answers: asyncio.Queue[Message] = attrs.field(factory=asyncio.Queue, init=False)
    _conversation: asyncio.Task[None] | None = attrs.field(default=None, init=False)

    async def begin(self) -> None:
        """
        Tell the application that serving begins, and wait until it is ready.

        Raises:
            ApplicationError: it said that it cannot.
        """
        self._conversation = asyncio.create_task(self._converse(), name="lifespan")
        await self._ask("startup")

    async def end(self) -> None:
        """
        Tell the application that serving has ended, and wait until it is done.

        Raises:
            ApplicationError: it said that its end failed.
        """
        if self._conversation is not None and not self._conversation.done():
            await self._ask("shutdown")

    async def cancel(self) -> None:
        """
        End the conversation, wherever it is.
        """
        if self._conversation is not None:
            self._conversation.cancel()
            await asyncio.wait([self._conversation])
            if not self._conversation.cancelled():
                self._conversation.exception()  # told already, or an application without lifespan

    async def _converse(self) -> None:
        scope: Message = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        await self.application(scope, self._requests.get, self._answers.put)

    async def _ask(self, phase: str) -> None:
        conversation = self._conversation
        assert conversation is not None
        self._requests.put_nowait({"type": f"lifespan.{phase}"})
        answer = asyncio.create_task(self._answers.get(), name="lifespan answer")
        try:
            await asyncio.wait([conversation, answer], return_when=asyncio.FIRST_COMPLETED)
            if answer.done() and answer.result()["type"] == f"lifespan.{phase}.failed":
                message = str(answer.result().get("message", "")).strip()
                raise ApplicationError(reason=message.rpartition("\n")[2] or f"its {phase} failed")
        finally:
            answer.cancel()
