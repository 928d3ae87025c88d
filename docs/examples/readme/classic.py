from conductor import Component, Conductor


class Database(Component):
    url: str = "sqlite:///app.db"  # a setting, with its default

    async def setup(self) -> None:
        print("database up:", self.url)


class MessageQueue(Component): ...


class MessageQueueMock(MessageQueue): ...


class WebAPI(Component):
    db: Database  # a need: the real instance is injected
    queue: MessageQueue

    async def setup(self) -> None:
        print("API up, with", self.db, "and", self.queue)


class BackgroundWorkers(Component):
    db: Database
    queue: MessageQueue

    async def run(self) -> None:
        print("workers at work")


conductor = Conductor(config={})
conductor.patch(MessageQueue, MessageQueueMock)
conductor.add(WebAPI)
conductor.add(BackgroundWorkers)
conductor.serve()  # until Ctrl-C
