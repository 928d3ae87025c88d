import asyncio

from conductor import Component, Conductor
from conductor.exceptions import SetupError


class Stubborn(Component):
    async def setup(self) -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                print("not me")


conductor = Conductor(config={"components": {"stubborn": {"limits": {"setup": 0.1}}}})
conductor.add(Stubborn)
try:
    conductor.serve()
except SetupError as error:
    print(error)
