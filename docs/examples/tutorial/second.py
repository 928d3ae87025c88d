import asyncio
from typing import TextIO

import attrs

from conductor import Component, Conductor, setting


class Journal(Component):
    path: str = setting(default="journal.txt", help="file to write to")
    _file: TextIO = attrs.field(init=False)

    async def setup(self) -> None:
        self._file = await self.enter(open(self.path, "a", buffering=1))

    def write(self, text: str) -> None:
        self._file.write(f"{text}\n")


class Heartbeat(Component):
    journal: Journal
    interval: float = setting(default=1.0, help="seconds between two beats")

    async def run(self) -> None:
        while True:
            self.journal.write("beat")
            print("written to", self.journal.path)
            await asyncio.sleep(self.interval)


conductor = Conductor()
conductor.add(Heartbeat)
conductor.serve()
