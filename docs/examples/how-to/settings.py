import enum
from pathlib import Path

import attrs

from conductor import Component, Conductor, Secret, setting
from conductor.exceptions import ResolutionError


class Level(enum.Enum):
    QUIET = "quiet"
    LOUD = "loud"


@attrs.frozen
class Retry:
    attempts: int = 3
    pause: float = 1.0


class Mailer(Component):
    host: str  # required: it has no default
    token: Secret[str]
    port: int = setting(default=25, validator=attrs.validators.ge(1), help="TCP port of the server")
    level: Level = Level.QUIET
    retry: Retry = setting(factory=Retry, help="what to do when the server is busy")
    templates: list[Path] = setting(factory=list, help="folders with templates")


conductor = Conductor(
    config={
        "components": {
            "mailer": {
                "port": 0,
                "level": "deafening",
                "retry": {"attempts": "many"},
                "template": ["a", "b"],
            }
        }
    }
)
conductor.add(Mailer)
try:
    conductor.plan()
except ResolutionError as error:
    print(error)
