"""Coalesce (single flight): callers that want the same thing at the same time share one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias, TypeVar

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.deadline import innermost
from resilience.core.log import log
from resilience.core.ports import Call, CallContext, Clock
from resilience.core.validate import callback
from resilience.policies.base import WrappingPolicy
from resilience.policies.identity import UNIDENTIFIED, identify
from resilience.policies.settings import Mode, changed, is_observing

__all__ = ["CallJoined", "Coalesce", "CoalesceSettings", "CoalesceStatistics"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CallJoined:
    """A call joined one under way instead of being made.

    Args:
        name: name of the policy.
        key: what the two have in common.
        waiters: how many callers now wait for the one call.
        observed: the policy only observes: the call was made all the same.
    """

    name: str
    key: Hashable
    waiters: int
    observed: bool


@dataclass(frozen=True, slots=True)
class CoalesceStatistics:
    """What a policy has done so far.

    Args:
        calls: calls that were made.
        joined: callers that were served by another's (observed: that would have been).
        in_flight: calls under way.
    """

    calls: int
    joined: int
    in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CoalesceSettings:
    """The options of a `Coalesce`, valid as a whole; described there."""

    key: Callable[..., Hashable] | None
    mode: Mode

    def __post_init__(self) -> None:
        if self.key is not None:
            callback("key", self.key)
        is_observing(self.mode)


_Place: TypeAlias = tuple[asyncio.AbstractEventLoop, Hashable]


class _Flight:
    """One call in flight, the number of its waiters, and the flights that it waits for itself."""

    __slots__ = ("awaits", "place", "policy", "running", "task", "waiters")

    def __init__(self, policy: Coalesce, place: _Place) -> None:
        self.policy = policy
        self.place = place
        self.task: asyncio.Task[Any] | None = None
        self.waiters = 0
        self.running = True
        self.awaits: dict[object, _Flight] = {}  # by ticket: one flight may be awaited several times

    def needs(self, others: tuple[_Flight, ...]) -> bool:
        """Return whether this flight is one of `others`, or waits for one directly or through further flights."""
        found = {self}
        pending = [self]
        while pending:
            for flight in pending.pop().awaits.values():
                if flight not in found:
                    found.add(flight)
                    pending.append(flight)
        return any(other in found for other in others)


_around: ContextVar[tuple[_Flight, ...]] = ContextVar("coalesced_flights", default=())
"""The flights that the current code is a part of, outermost first."""


def _flights_around() -> tuple[_Flight, ...]:
    # A task that outlives the flight that started it is no part of a flight any more.
    around = _around.get()
    return tuple(flight for flight in around if flight.running) if around else around


class Coalesce(WrappingPolicy):
    """Let callers of the same call share one call, and what it returns or raises.

    The call runs in a task of its own, in a copy of the first caller's context
    (without its deadline: each caller waits as long as its own allows). A caller that is cancelled leaves the
    others waiting, whoever came first; when the last has gone, the call is cancelled and has ended before that
    cancellation goes on. Nothing is kept once it has ended: this is no cache. Give it only calls whose result may be
    shared: reads, and results that nobody changes.

    A call that is made inside a flight, and would wait for that flight, runs without joining: a token refresh that
    repeats its own request, for example. So does a call that would join a flight which waits for its own.

    Args:
        key: a function of the call's arguments; None to tell calls apart by the function and all of its arguments.
        mode: `observe` counts and reports who would join, and makes every call.
        name: what events and statistics call it.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of its range; at a call: that nothing tells it apart.

    Example:
        >>> import asyncio
        >>> @Coalesce()
        ... async def load(number):
        ...     print("loading", number)
        ...     await asyncio.sleep(0)
        ...     return number * 2
        >>> async def main():
        ...     return await asyncio.gather(load(1), load(1), load(2))
        >>> asyncio.run(main())
        loading 1
        loading 2
        [2, 2, 4]
    """

    kind: ClassVar[str] = "coalesce"
    needs_identity: bool = True

    def __init__(
        self,
        *,
        key: Callable[..., Hashable] | None = None,
        mode: Mode = "normal",
        name: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(name=name, clock=clock)
        self.settings: CoalesceSettings = CoalesceSettings(key=key, mode=mode)
        self._flights: dict[_Place, _Flight] = {}
        self._calls = 0
        self._joined = 0

    def reconfigure(self, **options: Any) -> None:
        """Change options while calls are under way; what is not named stays.

        Raises:
            ConfigError: an option is unknown or out of its range; nothing is changed then.
        """
        self.settings = changed(self.settings, options)

    def statistics(self) -> CoalesceStatistics:
        """Count calls and those who joined them."""
        return CoalesceStatistics(self._calls, self._joined, len(self._flights))

    async def execute(self, call: Call[T], context: CallContext | None = None) -> T:
        """Run `call`, or wait for the one of its key that is under way."""
        key = identify(self.name, self.settings.key, call, context)
        # A task of one loop cannot be waited for in another.
        place = (asyncio.get_running_loop(), key)
        flight = self._flights.get(place)
        around = _flights_around()
        if key is UNIDENTIFIED or (around and self._would_wait_for_itself(place, flight, around)):
            self._calls += 1
            return await call()
        observed = is_observing(self.settings.mode)
        if flight is None:
            self._calls += 1
            flight = self._flights[place] = _Flight(self, place)
        else:
            self._joined += 1
            if self.events:
                self.events.emit(CallJoined(self.name, key, flight.waiters + 1, observed))
        flight.waiters += 1
        ticket = object()
        for outer in around:
            outer.awaits[ticket] = flight
        try:
            if observed:
                token = _around.set((*around, flight))
                try:
                    return await call()
                finally:
                    _around.reset(token)
            if flight.task is None:
                flight.task = asyncio.create_task(self._run(flight, call))
            return await self._wait(flight, flight.task)
        finally:
            for outer in around:
                del outer.awaits[ticket]
            flight.waiters -= 1
            if not flight.waiters:
                self._land(flight)

    def _would_wait_for_itself(
        self, place: _Place, flight: _Flight | None, around: tuple[_Flight, ...]
    ) -> bool:
        # A flight that was given up is in `around`, but no longer in the table.
        inside_its_own = any(each.policy is self and each.place == place for each in around)
        return inside_its_own or (flight is not None and flight.needs(around))

    async def _run(self, flight: _Flight, call: Call[T]) -> T:
        # The first caller's deadline is not the others': each caller waits as long as its own allows.
        innermost.set(None)
        _around.set((*_flights_around(), flight))
        try:
            return await call()
        finally:
            self._land(flight)

    async def _wait(self, flight: _Flight, task: asyncio.Task[T]) -> T:
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            if flight.waiters == 1:
                # The next caller begins anew, because this flight is given up.
                self._leave_table(flight)
                await _end(task)
            raise
        try:
            return task.result()
        finally:
            del task  # the error's traceback names this frame: with its task in it, both would wait for the collector

    def _land(self, flight: _Flight) -> None:
        """Mark a flight as ended; the next caller begins anew."""
        flight.running = False
        flight.task = None  # the task's context holds the flight: no cycle may stay
        self._leave_table(flight)

    def _leave_table(self, flight: _Flight) -> None:
        if self._flights.get(flight.place) is flight:
            del self._flights[flight.place]


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended, however often the caller is cancelled meanwhile."""
    task.cancel()
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            task.cancel()
    if not task.cancelled() and (error := task.exception()) is not None:
        log(__name__).debug("coalesced_call_lost", error=repr(error))
