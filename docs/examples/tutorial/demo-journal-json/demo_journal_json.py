import json
import time
from typing import TextIO

import attrs
from demo_journal import Journal

from conductor import setting


class JSONJournal(Journal):
    """
    Keeps lines as JSON, each with its time.
    """

    path: str = setting(default="journal.json", help="file to write to")
    _file: TextIO = attrs.field(init=False)

    async def setup(self) -> None:
        self._file = await self.enter(open(self.path, "a", buffering=1))

    def write(self, text: str) -> None:
        self._file.write(json.dumps({"at": round(time.time()), "text": text}) + "\n")
