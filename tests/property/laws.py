"""
Random applications with hostile components, and a judge who knows nothing of how they are run.

A `Scenario` says what is in the application and what goes wrong; `play` runs it on a virtual clock and gives a
`Story`, what the components wrote down and what came out; `judge` tells which laws were broken.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import math
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import attrs

from conductor._plan import Plan
from conductor._runner import Runner
from conductor._settings import Limits
from conductor._step import Step
from conductor.exceptions import ComponentError, LimitError, SetupError, ShutdownError
from conductor.lifecycle import TRANSITIONS, State, Transition
from tests.virtual_time import VirtualLoop, sweep

PLACES = ("init", "set-up", "run", "shutdown", "callback", "leave", "task")
PHASES = {"init": "set-up", "callback": "undo", "leave": "undo"}
EPSILON = 1e-6
GRACE = 1.0


class Fault(enum.Enum):
    """
    What a component does wrong.
    """

    RAISE = "raise Exception"
    CANCELLED = "raise CancelledError"
    EXIT = "raise SystemExit"
    INTERRUPT = "raise KeyboardInterrupt"
    GENERATOR = "raise GeneratorExit"
    GROUP = "raise an exception group"
    HANG = "hang"
    STUBBORN = "swallow three cancellations, then end"
    FOREVER = "swallow every cancellation"
    LATE_ERROR = "hang, and raise when cancelled"
    CANCEL_ALL = "cancel every task there is"


RAISED: Mapping[Fault, Any] = {
    Fault.RAISE: lambda: RuntimeError("fault"),
    Fault.CANCELLED: asyncio.CancelledError,
    Fault.EXIT: lambda: SystemExit(0),
    Fault.INTERRUPT: KeyboardInterrupt,
    Fault.GENERATOR: GeneratorExit,
    Fault.GROUP: lambda: BaseExceptionGroup("fault", [KeyboardInterrupt(), ValueError()]),
}
IMMEDIATE = (*RAISED, Fault.CANCEL_ALL)


@attrs.frozen
class Part:
    """
    One component of a scenario.

    Attributes:
        needs: indexes of earlier parts.
        phases: what it has.
        pause: seconds that each of its calls takes; None: it returns without awaiting.
        faults: what it does wrong, and where.
        registers: what its set-up registers: `callback`, `leave` (a manager) or `task`.
        limits: how long it may take.
    """

    needs: tuple[int, ...] = ()
    phases: frozenset[str] = frozenset({"setup", "shutdown"})
    pause: float | None = 0.0
    faults: Mapping[str, Fault] = attrs.field(factory=dict)
    registers: tuple[str, ...] = ()
    limits: Limits = attrs.field(factory=Limits)


@attrs.frozen
class Scenario:
    """
    An application, what goes wrong in it, and what happens to it from outside.

    Attributes:
        parts: the components, each after all that it needs.
        stop: seconds for the whole stop.
        lasts: seconds that the application stays up.
        events: what happens when: `cancel` (the caller), `stop`, `shutdown` (by somebody else) or `hurry`.
    """

    parts: tuple[Part, ...]
    stop: float = 25.0
    lasts: float = 3.0
    events: tuple[tuple[float, str], ...] = ()


@attrs.frozen
class Event:
    """
    One line of what the components wrote down.

    Attributes:
        at: when.
        part: who.
        what: `began`, `ended`, `raised`, `registered` or `swallowed`.
        place: where.
        error: what was raised.
        own: whether that was its own doing.
        entry: which registration it is about.
    """

    at: float
    part: int
    what: str
    place: str
    error: BaseException | None = None
    own: bool = False
    entry: int | None = None


@attrs.define
class Story:
    """
    What happened.
    """

    scenario: Scenario
    log: list[Event] = attrs.field(factory=list)
    moves: list[Transition] = attrs.field(factory=list)
    states: tuple[State, ...] = ()
    failures: tuple[ComponentError, ...] = ()
    raised: BaseException | None = None
    raised_later: BaseException | None = None
    is_up: bool | None = None
    cancelled: bool = False
    stopped_by: list[float] = attrs.field(factory=list)
    began: float = 0.0
    ended: float = 0.0
    hurried: float = math.inf
    tasks_left: int = 0
    wrong: list[str] = attrs.field(factory=list)
    released: bool = False


def make_scenario(
    seed: int, *, faults: int = 4, events: int = 3, stops: tuple[float, ...] = (25.0, 25.0, 5.0, 1.5, 0.0)
) -> Scenario:
    """
    A random application of 1 to 40 components, the same for the same seed.

    Args:
        seed: what it is drawn from.
        faults: how many components are hostile, at most.
        events: how many interventions there are from outside, at most.
        stops: seconds for the whole stop, to choose from.
    """
    random = Random(seed)
    size = random.choice((random.randint(1, 6), random.randint(1, 40)))
    hostile = set(random.sample(range(size), random.randint(0, min(faults, size)) if faults > 1 else faults))
    parts = tuple(_make_part(random, index, index in hostile) for index in range(size))
    kinds = ("cancel", "cancel", "stop", "shutdown", "hurry")
    outside = [(round(random.uniform(0, 12), 1), random.choice(kinds)) for _ in range(random.randint(0, events))]
    return Scenario(parts, random.choice(stops), random.choice((0.0, 1.0, 5.0)), tuple(sorted(outside)))


def _make_part(random: Random, index: int, hostile: bool) -> Part:
    faults: dict[str, Fault] = {}
    phases = {phase for phase in ("setup", "shutdown", "run") if random.random() < 0.6}
    registers = tuple(random.choice(("callback", "leave", "task")) for _ in range(random.randint(0, 4)))
    if hostile:
        for place in random.sample(PLACES, random.randint(1, 2)):
            faults[place] = random.choice(list(RAISED) if place == "init" else list(Fault))
            phases |= {{"set-up": "setup", "callback": "setup", "leave": "setup", "task": "setup"}.get(place, place)}
            registers += (place,) if place in ("callback", "leave", "task") else ()
    return Part(
        tuple(sorted(random.sample(range(index), random.randint(0, min(index, 4))))),
        frozenset(phases),
        random.choice((None, 0.0, 0.0, 0.1, 0.5)),
        faults,
        registers,
        Limits(setup=random.choice((30.0, 4.0)), shutdown=random.choice((10.0, 3.0))),
    )


class Actor:
    """
    A component that does what its part says, and writes it down.
    """

    _conductor_scope: Any = None

    def __init__(self, story: Story, index: int) -> None:
        self._story = story
        self._index = index
        self._part = story.scenario.parts[index]
        self._entries = 0
        self._note("began", "init")
        fault = self._part.faults.get("init")
        if fault is not None and fault in RAISED:
            raise self._blame(RAISED[fault](), "init")
        self._note("ended", "init")

    async def setup(self) -> None:
        """
        Register everything, then act.
        """
        self._note("began", "set-up")
        for kind in self._part.registers:
            await self._register(kind)
        await self._act("set-up")

    async def run(self) -> None:
        """
        Act, then wait for ever if there was no fault.
        """
        self._note("began", "run")
        await self._act("run", forever=True)

    async def shutdown(self) -> None:
        """
        Act.
        """
        self._note("began", "shutdown")
        await self._act("shutdown")

    async def _register(self, kind: str) -> None:
        self._entries += 1
        entry = self._entries
        if kind == "callback":
            self._conductor_scope.defer(lambda: self._undo("callback", entry))
        elif kind == "leave":
            await self._conductor_scope.enter(Manager(self, entry))
        else:
            self._conductor_scope.spawn(self._work(entry), None)
        self._note("registered", kind, entry=entry)

    async def _undo(self, kind: str, entry: int) -> None:
        self._note("began", kind, entry=entry)
        await self._act(kind, entry=entry)

    async def _work(self, entry: int) -> None:
        self._note("began", "task", entry=entry)
        await self._act("task", entry=entry, forever=True)

    async def _act(self, place: str, *, entry: int | None = None, forever: bool = False) -> None:
        fault = self._part.faults.get(place)
        try:
            if self._part.pause is not None:
                await asyncio.sleep(self._part.pause)
            if fault is not None and fault in RAISED:
                raise self._blame(RAISED[fault](), place)
            if fault is Fault.CANCEL_ALL:
                for task in asyncio.all_tasks():
                    task.cancel()
                if self._part.pause is not None:
                    await asyncio.sleep(0)
            if fault is not None:
                await self._resist(fault, place)
            elif forever:
                await asyncio.get_running_loop().create_future()
        except BaseException as error:
            if not any(event.error is error for event in self._story.log):
                self._note("raised", place, error=error, entry=entry)
            raise
        self._note("ended", place, entry=entry)

    async def _resist(self, fault: Fault, place: str) -> None:
        swallows = {Fault.STUBBORN: 3, Fault.FOREVER: 10**9}.get(fault, 0)
        while fault in (Fault.HANG, Fault.STUBBORN, Fault.FOREVER, Fault.LATE_ERROR):
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self._note("swallowed", place)
                if fault is Fault.LATE_ERROR:
                    raise self._blame(ValueError("late"), place) from None
                if fault is Fault.HANG or self._story.released:
                    raise
                swallows -= 1
                if not swallows:
                    return

    def _blame(self, error: BaseException, place: str) -> BaseException:
        self._note("raised", place, error=error, own=True)
        return error

    def _note(self, what: str, place: str, **more: Any) -> None:
        if not self._story.released:
            now = asyncio.get_running_loop().time()
            self._story.log.append(Event(now, self._index, what, place, **more))


class Manager:
    """
    An asynchronous context manager that wants to be left in the task that entered it.
    """

    def __init__(self, actor: Actor, entry: int) -> None:
        self._actor = actor
        self._entry = entry
        self._task: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()

    async def __aexit__(self, *details: object) -> None:
        actor = self._actor
        hung = {Fault.FOREVER, Fault.STUBBORN} & set(actor._part.faults.values())
        if self._task is not asyncio.current_task() and not hung and not actor._story.released:
            actor._story.wrong.append(f"part {actor._index} left a manager in another task")
        await actor._undo("leave", self._entry)


def play(scenario: Scenario) -> Story:
    """
    Run a scenario to its end on a virtual clock.
    """
    story = Story(scenario)
    loop = VirtualLoop()
    loop.set_exception_handler(lambda _, context: story.wrong.append(f"the loop says: {context['message']}"))
    try:
        _live(story, loop)
    finally:
        story.released = True
        sweep(loop)
        loop.close()
    return story


def _live(story: Story, loop: VirtualLoop) -> None:
    story.began = loop.time()
    runner = make_runner(story)
    caller = loop.create_task(_call(story, runner))
    caller.add_done_callback(lambda _: loop.stop())
    for delay, kind in story.scenario.events:
        loop.call_at(story.began + delay, _intervene, story, runner, caller, kind)
    while not caller.done():
        loop.run_forever()
    caller.result()
    story.ended = loop.time()
    story.states = tuple(runner.states.values())
    story.failures = runner.failures
    for _ in range(3):
        loop.call_soon(loop.stop)
        loop.run_forever()
    story.tasks_left = len(asyncio.all_tasks(loop))


def make_runner(story: Story) -> Runner:
    """
    A runner of the scenario, whose components and moves go into the story.
    """
    steps = tuple(
        Step(
            name=f"c{index}",
            cls=Actor,
            phases=part.phases,
            limits=part.limits,
            needs=tuple(f"c{need}" for need in part.needs),
        )
        for index, part in enumerate(story.scenario.parts)
    )

    def build(step: Step, values: Mapping[str, object], scope: Any, /) -> object:
        actor = Actor.__new__(Actor)
        actor._conductor_scope = scope
        actor.__init__(story, int(step.name[1:]))  # type: ignore[misc]  # as the runner's own way of building does
        return actor

    def crashed(error: ComponentError) -> None:
        story.stopped_by.append(asyncio.get_running_loop().time())
        runner.request_stop()

    runner = Runner(Plan(steps, stop=story.scenario.stop), build=build, notify=story.moves.append, on_crash=crashed)
    return runner


async def _call(story: Story, runner: Runner) -> None:
    try:
        story.is_up = await runner.setup()
        if story.is_up:
            await _stay_up(story)
    except BaseException as error:
        story.raised = error
    story.stopped_by.append(asyncio.get_running_loop().time())
    while True:
        try:
            await runner.shutdown()
        except asyncio.CancelledError:
            if not all(state.final for state in runner.states.values()):
                raise
        except ShutdownError as error:
            story.raised_later = error
        break


async def _stay_up(story: Story) -> None:
    for _ in range(30):
        await asyncio.sleep(story.scenario.lasts / 30)
        if story.stopped_by:
            break


def _intervene(story: Story, runner: Runner, caller: asyncio.Task[None], kind: str) -> None:
    now = asyncio.get_running_loop().time()
    if caller.done():
        return
    story.stopped_by.append(now)
    if kind == "cancel":
        story.cancelled = True
        caller.cancel()
    elif kind == "stop":
        runner.request_stop()
    elif kind == "hurry":
        runner.hurry(1.0)
        story.hurried = min(story.hurried, now + 1.0)
    else:
        task = asyncio.get_running_loop().create_task(_shut_down_too(runner))
        caller.add_done_callback(lambda _: task)


async def _shut_down_too(runner: Runner) -> None:
    with contextlib.suppress(ShutdownError, asyncio.CancelledError):
        await runner.shutdown()


def judge(story: Story) -> list[str]:
    """
    Which laws were broken, one sentence for each; none if all is well.
    """
    laws = (
        _check_set_up_order,
        _check_stop_order,
        _check_shutdown,
        _check_undone,
        _check_own_end,
        _check_time,
        _check_reported,
        _check_explained,
        _check_first_cause,
        _check_states,
        _check_outcome,
        _check_left,
    )
    return [*story.wrong, *(broken for law in laws for broken in law(story))]


def _events(story: Story, part: int, what: str, place: str) -> list[int]:
    return [
        number
        for number, event in enumerate(story.log)
        if event.part == part and event.what == what and event.place == place
    ]


def _completed(story: Story, part: int) -> bool:
    if "setup" not in story.scenario.parts[part].phases:
        return bool(_events(story, part, "ended", "init"))
    return bool(_events(story, part, "ended", "set-up")) and not _set_up_abandoned(story, part)


def _set_up_abandoned(story: Story, part: int) -> bool:
    return any(
        error.component == f"c{part}" and error.phase == "set-up" and type(error).__name__ == "AbandonedError"
        for error in story.failures
    )


def _given_up(story: Story, part: int) -> bool:
    return story.states[part] is State.ABANDONED


def _squeezed(story: Story, part: int) -> bool:
    """
    Whether a component is reported as not shut down for want of time.
    """
    return any(e.component == f"c{part}" and "not shut down" in e.message for e in story.failures)


def _stop_events(story: Story, part: int) -> list[int]:
    """
    What a component noticed of being stopped after it was ready.
    """
    return [
        number
        for number, event in enumerate(story.log)
        if event.part == part
        and (
            (event.what == "began" and event.place in ("shutdown", "callback", "leave"))
            or (event.what in ("raised", "swallowed") and event.place in ("run", "task") and not event.own)
        )
    ]


def _stray(story: Story) -> bool:
    return any(Fault.CANCEL_ALL in part.faults.values() for part in story.scenario.parts)


def _check_set_up_order(story: Story) -> Iterator[str]:
    for index, part in enumerate(story.scenario.parts):
        for number in _events(story, index, "began", "init"):
            for need in part.needs:
                place = "set-up" if "setup" in story.scenario.parts[need].phases else "init"
                ready = [n for n in _events(story, need, "ended", place) if n < number]
                if not ready:
                    yield f"c{index} was set up before c{need} was ready"
                if not _stray(story) and any(n < number for n in _stop_events(story, need)):
                    yield f"c{index} was set up when c{need} was stopping"


def _check_stop_order(story: Story) -> Iterator[str]:
    for index, part in enumerate(story.scenario.parts):
        if _given_up(story, index):
            continue
        last = max((number for number, event in enumerate(story.log) if event.part == index), default=-1)
        for need in part.needs:
            stops = _stop_events(story, need)
            if _stray(story):
                stops = [n for n in stops if story.log[n].what == "began"]
            if stops and stops[0] < last:
                yield f"c{need} stopped while c{index} was still there"


def _check_shutdown(story: Story) -> Iterator[str]:
    for index, part in enumerate(story.scenario.parts):
        calls = len(_events(story, index, "began", "shutdown"))
        due = _completed(story, index) and "shutdown" in part.phases
        if calls > due:
            yield f"c{index} was shut down {calls} times, due {int(due)}"
        if calls < due and not _squeezed(story, index):
            yield f"c{index} was set up and not shut down"


def _check_undone(story: Story) -> Iterator[str]:
    for index in range(len(story.scenario.parts)):
        registered = [e.entry for e in story.log if e.part == index and e.what == "registered" and e.place != "task"]
        undone = [
            e.entry
            for e in story.log
            if e.part == index and e.what == "began" and e.place in ("callback", "leave") and e.entry is not None
        ]
        if _squeezed(story, index) and len(undone) < len(registered):
            continue
        if undone != registered[::-1]:
            yield f"c{index} registered {registered} and undid {undone}"


def _check_own_end(story: Story) -> Iterator[str]:
    """
    What has no fault of its own comes to its own end, unless it ran out of time, which is reported.
    """
    for index, part in enumerate(story.scenario.parts):
        for place in ("shutdown", "callback", "leave"):
            cut = len(_events(story, index, "began", place)) - len(_events(story, index, "ended", place))
            if not cut or place in part.faults or _stray(story):
                continue
            phase = PHASES.get(place, place)
            late = [e for e in story.failures if isinstance(e, LimitError) and e.component == f"c{index}"]
            if not any(error.phase == phase for error in late):
                yield f"{place} of c{index} was cut short"


def _stop_began(story: Story) -> float:
    """
    When the stop began at the latest.
    """
    causes = list(story.stopped_by)
    causes += [e.at for e in story.log if e.own and e.place in ("init", "set-up", "run", "task")]
    for index, part in enumerate(story.scenario.parts):
        if not _completed(story, index):
            causes += [story.log[n].at + part.limits.setup for n in _events(story, index, "began", "set-up")]
    return min(causes)


def _check_time(story: Story) -> Iterator[str]:
    began = _stop_began(story)
    late = story.moves[-1].at - min(story.hurried, began + story.scenario.stop)
    if late > EPSILON:
        yield f"the stop ended {late:.3f} s too late"
    for index, part in enumerate(story.scenario.parts):
        ended = [story.log[n].at for n in _events(story, index, "ended", "set-up")]
        if "set-up" not in part.faults and any(at > began + EPSILON for at in ended):
            yield f"the set-up of c{index} went on after the stop had begun"


def _check_reported(story: Story) -> Iterator[str]:
    """
    Every fault is reported, once.
    """
    stop = min((move.at for move in story.moves if move.after is State.SHUTTING_DOWN), default=story.ended)
    for event in story.log:
        if event.error is None:
            continue
        found = [error for error in story.failures if error.__cause__ is event.error]
        cancelled = isinstance(event.error, asyncio.CancelledError)
        if len(found) > 1:
            yield f"{event} is reported {len(found)} times"
        if found and (found[0].component != f"c{event.part}" or found[0].phase != PHASES.get(event.place, event.place)):
            yield f"{event} is reported as {found[0]}"
        excused = (cancelled and (not event.own or event.at >= _first_stop(story, stop))) or _given_up(
            story, event.part
        )
        if not found and not excused:
            yield f"{event} is not reported"


def _first_stop(story: Story, stop: float) -> float:
    return min([stop, *story.stopped_by, *(e.at for e in story.log if e.own)])


def _check_explained(story: Story) -> Iterator[str]:
    """
    Every failure that is reported has a reason.
    """
    causes = {id(event.error) for event in story.log if event.error is not None}
    for error in story.failures:
        part = story.scenario.parts[int(error.component[1:])]
        if error.__cause__ is not None and id(error.__cause__) not in causes and not _stray(story):
            yield f"{error} has a cause that nobody raised"
        if isinstance(error.__cause__, asyncio.CancelledError) and not part.faults and not _stray(story):
            yield f"{error} blames a component for having been cancelled"
        slow = (
            story.scenario.stop < 25
            or story.hurried < math.inf
            or (part.pause or 0.0) * (len(part.registers) + 2) >= part.limits.shutdown
        )
        if isinstance(error, LimitError) and not part.faults and not slow and not _all_hang(story):
            yield f"{error} blames a component that was quick"


def _all_hang(story: Story) -> bool:
    lasting = [part for part in story.scenario.parts if set(part.faults.values()) - set(IMMEDIATE)]
    return len(lasting) > 1


def _check_first_cause(story: Story) -> Iterator[str]:
    if not story.failures:
        return
    first = next((e for e in story.log if e.own and not isinstance(e.error, asyncio.CancelledError)), None)
    error = story.failures[0]
    causes = [e.at for e in story.log if e.error is error.__cause__]
    if error.__cause__ is not None and first is not None and causes and causes[0] > first.at:
        yield f"the first cause was {first}, reported first is {error}"
    for group in (story.raised, story.raised_later):
        if isinstance(group, SetupError) and group.exceptions != story.failures:
            yield "the group does not hold all failures in their order"


def _check_states(story: Story) -> Iterator[str]:
    reached = {f"c{index}": State.PENDING for index in range(len(story.scenario.parts))}
    for move in story.moves:
        if move.before is not reached[move.component] or move.after not in TRANSITIONS[move.before]:
            yield f"{move} is not allowed"
        reached[move.component] = move.after
    for index, state in enumerate(story.states):
        failed = any(error.component == f"c{index}" for error in story.failures)
        begun = bool(_events(story, index, "began", "init")) or any(
            m.component == f"c{index}" and m.after is State.SETTING_UP for m in story.moves
        )
        if state is not reached[f"c{index}"]:
            yield f"c{index} is {state} and said {reached[f'c{index}']}"
        if state not in ((State.FAILED, State.ABANDONED) if failed else (State.DOWN,) if begun else (State.SKIPPED,)):
            yield f"c{index} ended as {state}, failed: {failed}, begun: {begun}"


def _check_outcome(story: Story) -> Iterator[str]:
    told: list[ComponentError] = []
    for group in (story.raised, story.raised_later, getattr(story.raised, "__cause__", None)):
        if isinstance(group, SetupError | ShutdownError):
            told += [error for error in group.exceptions if isinstance(error, ComponentError)]
    if isinstance(story.raised, asyncio.CancelledError) and not (story.cancelled or _stray(story)):
        yield "the caller was told that it was cancelled, and it was not"
    if story.cancelled and story.is_up is None and story.raised is None:
        yield "the caller was cancelled and not told"
    if story.raised is not None and not isinstance(story.raised, SetupError | ShutdownError | asyncio.CancelledError):
        yield f"the caller got {story.raised!r}"
    crashed = {id(error) for error in story.failures if error.phase in ("run", "task")}
    silent = [e for e in story.failures if id(e) not in crashed and not any(e is known for known in told)]
    if silent and not (story.cancelled or _stray(story)):
        yield f"nobody was told of {silent}"


def _check_left(story: Story) -> Iterator[str]:
    abandoned = sum(state is State.ABANDONED for state in story.states)
    if story.tasks_left and not abandoned:
        yield f"{story.tasks_left} tasks are left"
