from conductor import Component, Conductor, hookimpl
from conductor.lifecycle import Transition


class Watcher:
    @hookimpl
    def conductor_state_changed(self, transition: Transition) -> None:
        print(transition.component, transition.before.value, "->", transition.after.value)


class Database(Component): ...


async def nothing() -> None: ...


conductor = Conductor()
conductor.hooks.register(Watcher())
conductor.add(Database)
conductor.run(nothing())
