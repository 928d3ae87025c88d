import asyncio

from conductor import Component, Conductor
from conductor.exceptions import SetupError


class Database(Component):
    async def shutdown(self) -> None:
        print("database down")


class Search(Component):
    db: Database

    async def setup(self) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            print("search: set-up cancelled")
            raise


class Mailer(Component):
    db: Database

    async def setup(self) -> None:
        await asyncio.sleep(0.01)
        raise ConnectionError("the server says no")


class WebAPI(Component):
    search: Search
    mailer: Mailer

    async def setup(self) -> None:
        print("never set up")


conductor = Conductor()
conductor.add(WebAPI)
try:
    conductor.serve()
except SetupError as error:
    print(error)
if conductor.report is not None:
    for outcome in conductor.report.outcomes:
        print(outcome.component, outcome.state.value)
    print("exit code", conductor.report.exit_code)
