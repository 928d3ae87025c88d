import asyncio
from pathlib import Path

import attrs
from demo_journal import FileJournal, Journal

from conductor import Conductor
from conductor.testing import running


class MemoryJournal(Journal):
    lines: asyncio.Queue[str] = attrs.field(init=False, factory=asyncio.Queue)

    def write(self, text: str) -> None:
        self.lines.put_nowait(text)


def test_a_journal_writes_lines(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(FileJournal(path=str(tmp_path / "journal.txt"))) as journal:
            journal.write("tea")

    asyncio.run(main())
    assert (tmp_path / "journal.txt").read_text() == "tea\n"


def test_a_heart_beats(tmp_path: Path) -> None:
    async def main() -> None:
        conductor = Conductor.installed("heartbeat", directory=tmp_path, environ={})
        conductor.patch("journal", MemoryJournal)
        async with conductor:
            assert await conductor[MemoryJournal].lines.get() == "beat"

    asyncio.run(main())
