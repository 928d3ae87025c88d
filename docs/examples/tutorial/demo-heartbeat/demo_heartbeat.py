import asyncio

from demo_journal import Journal

from conductor import Component, setting


class Heartbeat(Component):
    """
    Writes a line to the journal every now and then.
    """

    journal: Journal
    interval: float = setting(default=1.0, help="seconds between two beats")

    async def run(self) -> None:
        while True:
            self.journal.write("beat")
            await asyncio.sleep(self.interval)
