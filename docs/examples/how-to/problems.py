from typing import Protocol

from conductor import Component, Conductor
from conductor.exceptions import ResolutionError


class Clock(Protocol):
    def now(self) -> float: ...


class Egg(Component):
    hen: "Hen"


class Hen(Component):
    egg: Egg


class Heartbeat(Component):
    clock: Clock
    interval: float


conductor = Conductor(config={"components": {"heartbeat": {"intervall": 1}}})
for cls in (Hen, Heartbeat):
    conductor.add(cls)
try:
    conductor.plan()
except ResolutionError as error:
    print(error)
