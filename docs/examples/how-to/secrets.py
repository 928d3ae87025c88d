from conductor import Component, Conductor, Secret


class Mailer(Component):
    token: Secret[str]

    async def setup(self) -> None:
        print("the mailer has", self.token)
        print("it sends", len(self.token.get_secret_value()), "characters")


async def nothing() -> None: ...


conductor = Conductor.installed(environ={"CONDUCTOR_MAILER__TOKEN": "s3cr3t"}, path=[])
conductor.add(Mailer)
conductor.run(nothing())
