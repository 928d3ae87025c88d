import asyncio
import contextlib
from collections.abc import AsyncIterator

from conductor import Component, Conductor
from conductor.exceptions import SetupError


@contextlib.asynccontextmanager
async def connection() -> AsyncIterator[str]:
    print("connected")
    yield "connection"
    print("disconnected")


class Mailer(Component):
    async def setup(self) -> None:
        await self.enter(connection())  # a context manager, asynchronous or not
        self.defer(print, "deferred")  # any other clean-up
        self.spawn(self.refresh(), name="refresh")  # a task, cancelled at the component's own turn
        raise ConnectionError("the server says no")

    async def refresh(self) -> None:
        while True:
            await asyncio.sleep(60)

    async def shutdown(self) -> None:
        print("never called: set-up did not come to its end")


async def main() -> None:
    conductor = Conductor()
    conductor.add(Mailer)
    try:
        async with conductor:
            pass
    except SetupError as error:
        print(error)


asyncio.run(main())
