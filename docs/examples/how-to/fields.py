from conductor import Component, Conductor, dependency


class Router(Component):
    prefix: str = "/"


class Orders(Router):
    prefix: str = "/orders"


class Customers(Router):
    prefix: str = "/customers"


class Cache(Component): ...


class Clock(Component): ...


class WebAPI(Component):
    routers: list[Router]  # all of that kind, by name
    by_name: dict[str, Router]  # the same, with their names
    cache: Cache | None  # used if it is there, else None
    clock: Clock = dependency(fallback=Clock)  # this class if nothing provides it

    async def setup(self) -> None:
        print([router.prefix for router in self.routers], list(self.by_name), self.cache)


async def nothing() -> None: ...


conductor = Conductor()
for cls in (Orders, Customers, WebAPI):
    conductor.add(cls)
conductor.run(nothing())
