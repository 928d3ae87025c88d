import asyncio

import attrs
import pytest

from conductor import Component, Conductor
from conductor.exceptions import CrashError
from conductor.testing import running


class Mailer(Component):
    async def send(self, text: str) -> None:
        raise NotImplementedError


class Reminder(Component):
    mailer: Mailer
    text: str = "tea time"

    async def run(self) -> None:
        await self.mailer.send(self.text)


class FakeMailer(Mailer):
    sent: list[str] = attrs.field(init=False, factory=list)

    async def send(self, text: str) -> None:
        self.sent.append(text)


class DeafMailer(Mailer):
    async def send(self, text: str) -> None:
        raise ConnectionError("nobody listens")


def test_the_class_alone() -> None:
    mailer = FakeMailer()
    asyncio.run(Reminder(mailer=mailer, text="dinner").run())
    assert mailer.sent == ["dinner"]


def test_one_component_set_up() -> None:
    async def main() -> None:
        async with running(Reminder(mailer=DeafMailer())):
            await asyncio.sleep(0)

    with pytest.raises(CrashError) as caught:
        asyncio.run(main())
    assert "nobody listens" in str(caught.value.exceptions[0])


def test_an_application_with_a_fake() -> None:
    async def main() -> None:
        conductor = Conductor()
        conductor.patch(Mailer, FakeMailer)
        conductor.add(Reminder)
        async with conductor:
            await asyncio.sleep(0)
        assert conductor.report is not None
        assert conductor.report.exit_code == 0

    asyncio.run(main())
