import asyncio

from conductor import Component, Conductor, setting


class Heartbeat(Component):
    interval: float = setting(default=1.0, help="seconds between two beats")

    async def run(self) -> None:
        while True:
            print("beat")
            await asyncio.sleep(self.interval)


conductor = Conductor(config={"components": {"heartbeat": {"interval": 0.5}}})
conductor.add(Heartbeat)
conductor.serve()
