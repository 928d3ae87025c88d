import abc

from conductor import Component, Conductor


class Journal(Component, abc.ABC):
    @abc.abstractmethod
    def write(self, text: str) -> None: ...


class PlainJournal(Journal):
    def write(self, text: str) -> None:
        print(text)


class LoudJournal(Journal):
    inner: Journal  # what it took the place of

    def write(self, text: str) -> None:
        self.inner.write(text.upper())


class Heartbeat(Component):
    journal: Journal

    async def setup(self) -> None:
        self.journal.write("beat")


conductor = Conductor()
conductor.patch(PlainJournal, LoudJournal)  # installed: an entry point in conductor.overrides
conductor.add(PlainJournal)
conductor.add(Heartbeat)
for step in conductor.plan().steps:
    print(step.name, "is", step.cls.__name__)


async def nothing() -> None: ...


conductor.run(nothing())
