"""
What a component has registered to be undone: managers that it entered, callbacks, tasks.

Rules:

1. Everything is undone once, newest first, one after another.  The runner takes the entries out one by one; each
   is a call of its own, so that one that fails or hangs does not keep the rest from being undone.
2. What ``setup`` entered is left in the task, and so in the context, that entered it: many managers are bound to
   their task (cancel scopes, task groups, timeouts, context variables).  That task is kept for it after set-up.
   It is not when it was abandoned; then, and for what was entered in any other task, a fresh task does it.
3. Managers are left without an exception, as by ``unittest``'s ``enterContext``, whatever happened.
4. Callbacks run in a fresh task each, with a clean context.
5. A spawned task has the context of whoever spawned it.  If it raises, its component has crashed.  If somebody
   cancels it through its handle, it has just ended, as in a task group.
6. A manager whose entering ends only after the component has been given up is left again at once.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import attrs

from ._watch import Call, Watch, calm_down
from .exceptions import UsageError


class Keeper(Protocol):
    """
    Whom a scope reports to.
    """

    def task_ended(self, call: Call[Any]) -> None: ...

    def kept_task_cancelled(self, owner: Any, error: BaseException) -> None: ...


@attrs.frozen(eq=False)
class Entered:
    """
    A context manager that was entered.

    Attributes:
        cm: the manager.
        kept: whether the task that entered it is kept to leave it.
    """

    cm: Any
    kept: bool

    async def undo(self) -> None:
        """
        Leave it.
        """
        if hasattr(type(self.cm), "__aexit__"):
            await type(self.cm).__aexit__(self.cm, None, None, None)
        else:
            type(self.cm).__exit__(self.cm, None, None, None)


@attrs.frozen(eq=False)
class Deferred:
    """
    A callback that was registered.
    """

    callback: Callable[[], Any]
    kept: bool = attrs.field(default=False, init=False)

    async def undo(self) -> None:
        """
        Call it, and await what it gives if that can be awaited.
        """
        result = self.callback()
        if inspect.isawaitable(result):
            await result


@attrs.define(eq=False)
class LiveScope:
    """
    Where one component registers what is to be undone at its own turn.

    Attributes:
        name: of the component.
        owner: the runner's record of the component.
        keeper: whom to report to.
        watch: what runs the tasks.
        closed: whether nothing can be registered any more.
        task: the task of set-up, while it is needed.
    """

    name: str
    owner: Any
    keeper: Keeper
    watch: Watch[Any]
    closed: bool = False
    task: asyncio.Task[Any] | None = None
    _entries: dict[Entered | Deferred | Call[Any], None] | None = None
    _held: int = 0
    _struck: bool = False
    _order: asyncio.Future[tuple[Call[Any], Entered]] | None = None

    async def enter(self, cm: Any) -> Any:
        """
        Enter an (async) context manager.

        Returns:
            What it gives.

        Raises:
            TypeError: it is none.
            UsageError: the component is down, or was given up in the meantime.
        """
        self._check("enter")
        kind = type(cm)
        if hasattr(kind, "__aenter__") and hasattr(kind, "__aexit__"):
            value = await kind.__aenter__(cm)
        elif hasattr(kind, "__enter__") and hasattr(kind, "__exit__"):
            value = kind.__enter__(cm)
        else:
            raise TypeError(f"'{kind.__qualname__}' object is not a context manager, asynchronous or not")
        kept = self.task is not None and asyncio.current_task() is self.task
        entered = Entered(cm, kept)
        if self.closed:
            await entered.undo()
            self._check("enter")
        self._held += kept
        self._push(entered)
        return value

    def defer(self, callback: Callable[[], Any]) -> None:
        """
        Register a callback.
        """
        self._check("defer")
        self._push(Deferred(callback))

    def spawn(self, coro: Coroutine[Any, Any, Any], name: str | None) -> asyncio.Task[Any]:
        """
        Run a coroutine in the background.
        """
        if not asyncio.iscoroutine(coro):
            raise TypeError(f"a coroutine was expected, got {coro!r}")
        try:
            self._check("spawn")
        except UsageError:
            coro.close()
            raise
        call = Call[Any](self.owner, "task", self._task_ended, self.watch.loop.time())
        label = name or str(getattr(coro, "__qualname__", self.name))
        task = self.watch.begin(call, _run_spawned(call, coro), name=label)
        # A task that is cancelled before its first step leaves its coroutine untouched, which would warn.
        task.add_done_callback(lambda _: coro.close())
        self._push(call)
        return task

    def pop(self) -> Entered | Deferred | Call[Any] | None:
        """
        Take out the newest of what is still to be undone.
        """
        return self._entries.popitem()[0] if self._entries else None

    def tasks(self) -> list[Call[Any]]:
        """
        The spawned tasks that are at work and not being undone yet, oldest first.
        """
        return [entry for entry in self._entries or () if isinstance(entry, Call)]

    @property
    def empty(self) -> bool:
        """
        Whether nothing is left to be undone.
        """
        return not self._entries

    def close(self) -> None:
        """
        Take no more registrations; the kept task ends.
        """
        self.closed = True
        self.release()

    def release(self) -> None:
        """
        Do without the task of set-up from here on.
        """
        task, self.task = self.task, None
        if task is not None and self._order is not None:
            task.cancel()

    def hand_over(self, call: Call[Any], entered: Entered) -> bool:
        """
        Have the kept task leave what it entered, as this call.

        Returns:
            Whether there is such a task.
        """
        if self.task is None or self._order is None or self._order.done():
            return False
        call.task, call.begun = self.task, True
        self._order.set_result((call, entered))
        return True

    @property
    def holding(self) -> bool:
        """
        Whether the task of set-up is needed to leave what it entered.
        """
        return self._held > 0 and not self.closed and self.task is not None

    async def hold(self, call: Call[Any]) -> None:
        """
        Report the call of set-up as ended, and live on in its task until all is left that it entered.
        """
        await calm_down()
        self._report(call)
        while self.holding:
            if self._order is None or self._order.done():
                self._order = self.watch.loop.create_future()
            try:
                await asyncio.shield(self._order)  # a cancellation must not take the order with it
            except asyncio.CancelledError as error:
                # Our own cancellation of a call may arrive only here, after the call has ended.
                if not call.asked and self.holding and not self._order.done() and not self._struck:
                    self._struck = True
                    self.keeper.kept_task_cancelled(self.owner, error)
                await calm_down()
            if self._order.done():
                call, entered = self._order.result()
                await self._leave(call, entered)

    async def _leave(self, call: Call[Any], entered: Entered) -> None:
        self._held -= 1
        try:
            await entered.undo()
        except BaseException as error:
            call.error = error
        await calm_down()
        self._report(call)

    def _report(self, call: Call[Any]) -> None:
        self.watch.loop.call_soon(call.report, context=self.watch.context)

    def _task_ended(self, call: Call[Any]) -> None:
        if self._entries is not None:
            self._entries.pop(call, None)
        if call.task is not None and call.task.cancelling():
            call.asked = True
        self.keeper.task_ended(call)

    def _push(self, entry: Entered | Deferred | Call[Any]) -> None:
        if self._entries is None:
            self._entries = {}
        self._entries[entry] = None

    def _check(self, verb: str) -> None:
        if self.closed:
            raise UsageError(f"'{verb}' works from set-up to shutdown, and component '{self.name}' is down")


async def _run_spawned(call: Call[Any], coro: Coroutine[Any, Any, Any]) -> Any:
    call.begun = True
    try:
        return await coro
    except (SystemExit, KeyboardInterrupt) as error:
        call.error = error
        # Whoever awaits the task gets something that asyncio does not re-raise out of the loop.
        raise RuntimeError(f"a spawned task raised {type(error).__name__}") from error
    except BaseException as error:
        call.error = error
        raise
