"""Bulkhead: at most so many calls at once, and a bounded queue before them."""

# ruff: noqa: ARG002  a guard is told more of a call than this one needs

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.ports import CallContext, Clock
from resilience.core.validate import choice, integer, number
from resilience.errors import BulkheadFull
from resilience.policies.base import Inline, RefusingPolicy
from resilience.policies.generate import Source
from resilience.policies.nap import Nap
from resilience.policies.settings import Mode, changed, effective, is_observing

__all__ = ["Bulkhead", "BulkheadSettings", "BulkheadStatistics"]

_PERMIT = 1  # all permits are alike


@dataclass(frozen=True, slots=True)
class BulkheadStatistics:
    """What a bulkhead knows at one moment.

    Args:
        name: name of the bulkhead.
        limit: calls allowed at once.
        in_flight: calls inside; above `limit` after it was lowered, or in `observe` mode.
        waiting: calls in the queue.
        rejected: calls refused so far; in `observe` mode, that would have been refused or made to wait.
    """

    name: str
    limit: int
    in_flight: int
    waiting: int
    rejected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkheadSettings:
    """The options of a `Bulkhead`, which describes them; validated as a whole."""

    limit: int = 25
    queue: int = 0
    max_wait: float | None = None
    order: Literal["fifo", "lifo"] = "fifo"
    mode: Mode = "normal"

    def __post_init__(self) -> None:
        integer("limit", self.limit)
        integer("queue", self.queue, low=0)
        if self.max_wait is not None:
            number("max_wait", self.max_wait, above=0)
        choice("order", self.order, ("fifo", "lifo"))
        is_observing(self.mode)

    def dormant(self) -> dict[str, str]:
        """Return the options that have no effect; see `Dormant`."""
        if self.queue:
            return {}
        used = {"max_wait": self.max_wait is not None, "order": self.order != "fifo"}
        reason = "without a queue: give queue=, the calls that may wait"
        return {option: reason for option, is_set in used.items() if is_set}


class _Waiter(Nap):
    """A call in the queue."""

    __slots__ = ("admitted",)

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.admitted = False
        """True once it has a permit."""


class Bulkhead(RefusingPolicy[int]):
    """Keeps one slow dependency from taking every task of the process: at most `limit` calls at once.

    What comes beyond waits in a queue of at most `queue` calls, or is refused. A permit goes straight from the call that
    ends to the next in the queue, so nobody overtakes; a cancelled call or waiter loses none. It belongs to one thread;
    its callers may be on different event loops.

    Args:
        limit: calls at once, at least 1. Default 25, as resilience4j.
        queue: calls that may wait, at least 0. Default 0, as Polly: a queue hides an overload until it is long.
        max_wait: seconds a call waits at most, above 0, where there is a queue; None (default): until its turn.
        order: `fifo`, or `lifo`: newest first, since under overload the oldest have often been given up already
            (as Netflix's blocking limiter). Default `fifo`.
        name: what events, errors and statistics call it.
        mode: `normal`, or `observe`: all the same, but nobody waits or is refused.
        clock: where time comes from.

    Raises:
        ConfigError: an option is outside its range.

    Example:
        >>> import asyncio
        >>> async def main():
        ...     bulkhead = Bulkhead(1, queue=1)
        ...     async def work():
        ...         await asyncio.sleep(0)
        ...         return "done"
        ...     return await asyncio.gather(*(bulkhead.call(work) for _ in range(3)), return_exceptions=True)
        >>> asyncio.run(main())
        ['done', 'done', BulkheadFull("bulkhead 'bulkhead' is full")]
    """

    kind = "bulkhead"
    inline: ClassVar[Inline | None] = Inline(
        "{guard}._in_flight < {guard}._limit",
        enters="{guard}._in_flight += 1",
        leaves="{guard}._release()",
    )

    def __init__(
        self,
        limit: int = 25,
        *,
        queue: int = 0,
        max_wait: float | None = None,
        order: Literal["fifo", "lifo"] = "fifo",
        name: str | None = None,
        mode: Mode = "normal",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(name=name, clock=clock)
        self._in_flight = 0
        # An OrderedDict, since both ends and any waiter in between can be taken out at once.
        self._waiters: OrderedDict[_Waiter, None] = OrderedDict()
        settings = BulkheadSettings(limit=limit, queue=queue, max_wait=max_wait, order=order, mode=mode)
        self._apply(effective(settings))

    def _apply(self, settings: BulkheadSettings) -> None:
        self.settings = settings
        self._limit = settings.limit
        self._observing = is_observing(settings.mode)

    def enter(self, now: float, context: CallContext | None) -> int | None:
        """Take a permit; None when the call has to wait for one.

        Raises:
            BulkheadFull: the queue is full too.
        """
        if self._in_flight < self._limit:
            self._in_flight += 1
            return _PERMIT
        if not self._observing and len(self._waiters) < self.settings.queue:
            return None
        self._reject("full", now)
        self._in_flight += 1  # observing: it goes on
        return _PERMIT

    def _reject(self, reason: str, now: float) -> None:
        """Refuse, or when observing only say so."""
        if self._refuses(reason, now):
            raise BulkheadFull(f"bulkhead {self.name!r} is full", policy=self.name)

    async def wait(self, context: CallContext | None) -> int:
        """Wait in the queue for a permit; cancelled, leave nothing behind.

        Raises:
            BulkheadFull: it took longer than `max_wait`.
        """
        waiter = _Waiter(self.clock)
        monotonic = self.clock.monotonic
        arrived = monotonic()
        self._waiters[waiter] = None
        try:
            while not waiter.admitted:
                max_wait = self.settings.max_wait
                until = math.inf if max_wait is None else arrived + max_wait
                if monotonic() >= until:
                    break
                await waiter.sleep(until)
        except BaseException:
            self._waiters.pop(waiter, None)
            if waiter.admitted:
                self._release()  # the permit had come, but the task was cancelled before it could run
            raise
        if not waiter.admitted:
            self._waiters.pop(waiter, None)
            self._reject("waited", monotonic())
        return _PERMIT

    def leave(
        self,
        token: int,
        result: object,
        error: BaseException | None,
        started: float,
        now: float,
    ) -> None:
        """Give the permit to the next in the queue, or back."""
        self._release()

    def _release(self) -> None:
        self._in_flight -= 1
        if self._waiters:
            self._admit_waiters()

    def _admit_waiters(self) -> None:
        newest_first = self.settings.order == "lifo"
        while self._waiters and (self._in_flight < self._limit or self._observing):
            waiter, _ = self._waiters.popitem(last=newest_first)
            # A cancelled waiter has not run yet to take itself out; a closed loop will never run again.
            if not waiter.cancelled and not waiter.loop.is_closed():
                self._in_flight += 1
                waiter.admitted = True
                waiter.wake()

    @property
    def unrolls(self) -> bool:
        """Whether `unroll` says all of what it does."""
        return type(self) is Bulkhead

    def unroll(self, source: Source, index: int, limits: tuple[int, ...], attempt: str) -> None:
        """Write the layer into a generated pipeline; see `generate.Unrolled`."""
        name = f"bulkhead{index}"
        source.names[name] = self
        with source.block(f"if {name}._in_flight < {name}._limit:"):
            source.line(f"{name}._in_flight += 1")
        with source.block(f"elif {name}.enter({name}.clock.monotonic(), context) is None:"):
            with source.armed(limits):
                source.line(f"await {name}.wait(context)")
            source.look_at_the_clock(limits)
        with source.block("try:"):
            source.layers(index + 1, limits, attempt=attempt)
        with source.block("finally:"):
            source.line(f"{name}._in_flight -= 1")
            with source.block(f"if {name}._waiters:"):
                source.line(f"{name}._admit_waiters()")

    def statistics(self) -> BulkheadStatistics:
        """Say how it stands."""
        return BulkheadStatistics(self.name, self._limit, self._in_flight, len(self._waiters), self._rejected)

    def reconfigure(self, **options: Any) -> None:
        """Change options while it works: calls in flight stay, and so do those that wait.

        How long a call may wait is reckoned anew from when it came.

        Raises:
            ConfigError: an option is unknown or outside its range; nothing was changed.
        """
        before = self.settings
        self._apply(changed(before, options))
        self._admit_waiters()
        if self.settings.max_wait != before.max_wait:
            for waiter in self._waiters:
                waiter.wake()
