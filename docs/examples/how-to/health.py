import asyncio

from conductor import Component, Conductor


class Database(Component):
    reachable: bool = True

    async def health(self) -> None:
        if not self.reachable:
            raise ConnectionError("the server does not answer")


class Shop(Component):
    db: Database


async def main() -> None:
    conductor = Conductor(config={"components": {"Database": {"reachable": False}}})
    conductor.add(Shop)
    async with conductor:
        health = await conductor.health()
    print(health.live, health.started, health.ready)
    print(health)


asyncio.run(main())
