import asyncio

from conductor import Component, Conductor


class Database(Component):
    async def setup(self) -> None:
        print("database up")

    async def shutdown(self) -> None:
        print("database down")


class WebAPI(Component):
    db: Database

    def answer(self) -> int:
        return 42


async def main() -> None:
    conductor = Conductor()
    conductor.add(WebAPI)
    async with conductor:
        print("the answer is", conductor[WebAPI].answer())


asyncio.run(main())
