import abc
from typing import TextIO

import attrs

from conductor import Component, setting


class Journal(Component, abc.ABC):
    """
    Keeps lines of text.
    """

    @abc.abstractmethod
    def write(self, text: str) -> None:
        """
        Keep one line.
        """


class FileJournal(Journal):
    """
    Keeps them in a file.
    """

    path: str = setting(default="journal.txt", help="file to write to")
    _file: TextIO = attrs.field(init=False)

    async def setup(self) -> None:
        self._file = await self.enter(open(self.path, "a", buffering=1))

    def write(self, text: str) -> None:
        self._file.write(f"{text}\n")
