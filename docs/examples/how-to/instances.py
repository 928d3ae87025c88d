from conductor import Component, Conductor, dependency


class Database(Component):
    url: str = "sqlite:///app.db"


class WebAPI(Component):
    db: Database
    reports: Database = dependency("reports")  # the instance of that name

    async def setup(self) -> None:
        print("API:", self.db.url, "and", self.reports.url)


class Export(Component):
    db: Database  # which one, the application says

    async def setup(self) -> None:
        print("export:", self.db.url)


conductor = Conductor(
    config={
        "components": {
            "reports": {"component": "database", "url": "sqlite:///reports.db"},
            "export": {"bind": {"db": "reports"}},
        }
    }
)
for cls in (Database, WebAPI, Export):
    conductor.add(cls)


async def nothing() -> None: ...


conductor.run(nothing())
