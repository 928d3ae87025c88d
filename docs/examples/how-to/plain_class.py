import attrs

from conductor import Component, Conductor


@attrs.define
class Clock:  # knows nothing of Conductor
    zone: str = "UTC"

    async def setup(self) -> None:
        print("clock up:", self.zone)


class Heartbeat(Component):
    clock: Clock

    async def setup(self) -> None:
        print("heartbeat in", self.clock.zone)


async def nothing() -> None: ...


conductor = Conductor()
conductor.add(Clock)
conductor.add(Heartbeat)
conductor.run(nothing())
