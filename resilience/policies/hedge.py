"""Hedge: when an answer is late, ask again beside it, and take whichever comes first."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from resilience.core.callbacks import callback_failed
from resilience.core.classify import ErrorFilter, matcher
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.log import log
from resilience.core.ports import Call, CallContext, Clock
from resilience.core.validate import callback, integer, number, shown
from resilience.core.verdict import Verdict
from resilience.errors import ConfigError
from resilience.policies.base import WrappingPolicy
from resilience.policies.budget import RetryBudget, guarded_budget
from resilience.policies.judge import Judge
from resilience.policies.quantile import LiveQuantile, Quantile
from resilience.policies.settings import Mode, changed, is_observing

__all__ = ["Hedge", "HedgeSent", "HedgeSettings", "HedgeStatistics"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HedgeSent:
    """A further attempt was sent beside those under way.

    Args:
        name: name of the hedge.
        attempt: which attempt it is: 2 for the first hedge.
        elapsed: seconds since the first attempt began.
        error: the failure that made it go at once; None when the delay was over.
        observed: the hedge only observes: nothing was sent.
    """

    name: str
    attempt: int
    elapsed: float
    error: BaseException | None
    observed: bool


@dataclass(frozen=True, slots=True)
class HedgeStatistics:
    """What a hedge has done so far.

    Args:
        hedges: attempts sent beside the first (observed: that would have been).
        wins: calls that a hedge answered.
        refused: hedges that the budget did not grant.
    """

    hedges: int
    wins: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeSettings:
    """The options of a `Hedge`, valid as a whole; described there."""

    delay: float | Quantile
    max_hedges: int
    on: ErrorFilter
    on_result: Callable[[Any], bool] | None
    discard: Callable[[Any], object] | None
    budget: RetryBudget | None
    mode: Mode

    def __post_init__(self) -> None:
        if not isinstance(self.delay, Quantile):
            number("delay", self.delay, low=0)
        integer("max_hedges", self.max_hedges)
        matcher("on", self.on)
        for option, function in (("on_result", self.on_result), ("discard", self.discard)):
            if function is not None:
                callback(option, function)
        if self.budget is not None and not callable(getattr(self.budget, "spend", None)):
            raise ConfigError(
                f"budget must be a TokenBudget or another retry budget, got {shown(self.budget)}"
            )
        is_observing(self.mode)

    def judge(self, owner: str) -> Judge:
        """Make the judge of attempts: a failure makes room for the next; anything that is not meant decides the call."""
        return Judge(
            owner,
            on=self.on,
            failed_result=self.on_result,
            unclear=Verdict.IGNORED,
            result_option="on_result",
        )


class Hedge(WrappingPolicy):
    """Send a further attempt when the ones under way are late, and return what comes first.

    Only for calls that may be made twice; one whose context says that it is not idempotent is made once. A failure
    sends the next attempt at once (as gRPC's non-fatal status), unless it is a refusal by a policy inside. When all
    have failed, the last failure is raised itself. The attempts that lost are cancelled, and have ended when the call
    returns; so have all of them when it is cancelled. Each attempt runs in a task of its own, in a copy of the
    caller's context.

    Args:
        delay: seconds after which the next attempt goes, or a `Quantile` of the latencies seen so far; 2 (Polly).
        max_hedges: attempts beside the first; 1 (Polly).
        on: which exceptions make room for another attempt; any other ends the call. Types, or a function.
        on_result: says of a returned value that the attempt failed.
        discard: told, and awaited where it is async, of each result that nobody gets: a response to release.
        budget: what may be sent again over all calls; share one with retries.
        mode: `observe` counts and reports the hedges that would be sent for being late, and sends none.
        name: what events and statistics call it.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of its range.

    Example:
        >>> import asyncio
        >>> waits = iter([60.0, 0.0])
        >>> async def answer():
        ...     await asyncio.sleep(next(waits))
        ...     return "ok"
        >>> asyncio.run(Hedge(0.01).call(answer))
        'ok'
    """

    kind: ClassVar[str] = "hedge"
    repeats: bool = True

    def __init__(
        self,
        delay: float | Quantile = 2.0,
        *,
        max_hedges: int = 1,
        on: ErrorFilter = Exception,
        on_result: Callable[[Any], bool] | None = None,
        discard: Callable[[Any], object] | None = None,
        budget: RetryBudget | None = None,
        mode: Mode = "normal",
        name: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(name=name, clock=clock)
        self._hedges = 0
        self._wins = 0
        self._refused = 0
        self._latency: LiveQuantile | None = None
        self._races: set[_Race[Any]] = set()
        self._use(
            HedgeSettings(
                delay=delay,
                max_hedges=max_hedges,
                on=on,
                on_result=on_result,
                discard=discard,
                budget=budget,
                mode=mode,
            )
        )

    def _use(self, settings: HedgeSettings) -> None:
        self.settings = settings
        self.judge: Judge = settings.judge(self.name)
        self.budget: RetryBudget | None = guarded_budget(self.name, settings.budget)
        if not isinstance(settings.delay, Quantile):
            self._latency = None
        elif self._latency is None or self._latency.quantile != settings.delay:
            self._latency = LiveQuantile(settings.delay)  # one that stays keeps what it has learned

    def reconfigure(self, **options: Any) -> None:
        """Change options while calls are under way; what is not named stays, and the budget cannot be exchanged.

        When the next attempt of a call goes that is under way is reckoned anew from the one before.

        Raises:
            ConfigError: an option is unknown or out of its range; nothing is changed then.
        """
        if options.get("budget", self.settings.budget) is not self.settings.budget:
            raise ConfigError("budget must stay the one that the hedge was made with")
        self._use(changed(self.settings, options))
        for race in self._races:
            race.reconsider()

    @property
    def delay(self) -> float:
        """Seconds after which a call that began now would be hedged."""
        delay = self.settings.delay
        if isinstance(delay, Quantile):
            return delay.initial if self._latency is None else self._latency.value()
        return delay

    def statistics(self) -> HedgeStatistics:
        """Count the hedges so far."""
        return HedgeStatistics(self._hedges, self._wins, self._refused)

    async def execute(self, call: Call[T], context: CallContext | None = None) -> T:
        """Run `call`, and again beside it when it is late; see the class."""
        if context is not None and context.idempotent is False:
            return await call()
        if is_observing(self.settings.mode):
            return await self._observe(call)
        budget = self.budget
        if budget is not None:
            budget.begin()
        race = _Race(self, call)
        won: asyncio.Task[T] | None = None
        self._races.add(race)
        try:
            won = await race.run()
        finally:
            self._races.discard(race)
            answered = won is not None and race.judge(won) is Verdict.SUCCESS
            if budget is not None:
                # Not what a hedge cost that won: no call has failed, so what is sent for mere slowness stays bounded.
                budget.end(succeeded=answered)
            self._count(race, won if answered else None)
            await race.settle(won)
        try:
            return won.result()
        finally:
            # The error's traceback names this frame: with the tasks in it, which hold their errors, both would stay
            # until the garbage collector comes.
            del race, won

    def _count(self, race: _Race[T], answer: asyncio.Task[T] | None) -> None:
        self._hedges += len(race.attempts) - 1
        self._refused += race.refused
        if answer is not None:
            self._wins += answer is not race.attempts[0]
            if self._latency is not None and race.timely:
                self._latency.record(race.elapsed())

    async def _observe(self, call: Call[T]) -> T:
        delay = self.delay
        started = self.clock.monotonic()
        try:
            result = await call()
            if self._latency is not None:
                self._latency.record(self.clock.monotonic() - started)
            return result
        finally:
            if (elapsed := self.clock.monotonic() - started) > delay:
                self._hedges += 1
                if self.events:
                    self.events.emit(HedgeSent(self.name, 2, elapsed, None, observed=True))


class _Race(Generic[T]):
    """The attempts of one call; those that lost have ended once `settle` returns."""

    def __init__(self, hedge: Hedge, call: Call[T]) -> None:
        self._hedge = hedge
        self._settings = hedge.settings
        self._judge = hedge.judge
        self._budget = hedge.budget
        self._call = call
        self._changed = asyncio.Event()
        self._started = hedge.clock.monotonic()
        self._sent = self._started  # when the newest attempt went
        self._due = self._started + hedge.delay  # when the next goes, if none has failed before
        self.attempts: list[asyncio.Task[T]] = []
        self.refused = 0
        self.timely = True
        """Whether the time up to the answer says something of the first attempt's: it did not fail before."""

    def elapsed(self) -> float:
        """Seconds since the first attempt began."""
        return self._hedge.clock.monotonic() - self._started

    def judge(self, task: asyncio.Task[T]) -> Verdict:
        """What an attempt that has ended came to."""
        if task.cancelled():
            return Verdict.CANCELLED
        error = task.exception()
        return self._judge(task.result() if error is None else None, error)

    async def run(self) -> asyncio.Task[T]:
        """Send attempts until one has decided the call or none is left; return that one's task, or the last's."""
        running = [self._send()]
        clock = self._hedge.clock
        while True:
            await self._wait(self._due)
            hasten, error = clock.monotonic() >= self._due, None
            for task in [task for task in running if task.done()]:
                running.remove(last := task)
                verdict = self.judge(task)
                if verdict not in {Verdict.FAILURE, Verdict.REJECTED}:
                    return task
                self.timely = self.timely and task is not self.attempts[0]
                error = None if task.cancelled() else task.exception()
                # What a policy inside refuses now, it would refuse again at once.
                hasten = hasten or verdict is Verdict.FAILURE
            if hasten:
                self._due = math.inf
                if self._grants(error):
                    self._sent = clock.monotonic()
                    self._due = self._sent + self._hedge.delay
                    running.append(self._send(error))
            if not running:
                return last

    def reconsider(self) -> None:
        """Go on with the hedge's options as they are now."""
        hedge = self._hedge
        self._settings, self._judge = hedge.settings, hedge.judge
        if is_observing(self._settings.mode):
            self._due = math.inf
        elif self._due < math.inf:
            self._due = self._sent + hedge.delay
        self._changed.set()

    async def settle(self, kept: asyncio.Task[T] | None) -> None:
        """End all attempts but the one whose outcome is kept, and let go of the results that nobody gets.

        Raises:
            CancelledError: the caller was cancelled meanwhile; then nobody gets the kept one either.
        """
        for task in self.attempts:
            task.cancel()
        cancelled = await _ended(self.attempts)
        unwanted = [
            task for task in self.attempts if (cancelled or task is not kept) and not task.cancelled()
        ]
        discards = []
        for task in unwanted:
            if (error := task.exception()) is not None:
                log(__name__).debug("hedge_attempt_lost", name=self._hedge.name, error=repr(error))
            elif self._settings.discard is not None:
                discards.append(asyncio.create_task(self._discard(self._settings.discard, task.result())))
        cancelled = await _ended(discards) or cancelled
        if cancelled is not None:
            raise cancelled

    def _send(self, error: BaseException | None = None) -> asyncio.Task[T]:
        hedge, budget = self._hedge, self._budget
        task = asyncio.create_task(_attempt(self._call))
        task.add_done_callback(lambda _: self._changed.set())
        if self.attempts and budget is not None:
            task.add_done_callback(lambda _: budget.release())
        self.attempts.append(task)
        if hedge.events and len(self.attempts) > 1:
            event = HedgeSent(hedge.name, len(self.attempts), self.elapsed(), error, observed=False)
            hedge.events.emit(event)
        return task

    def _grants(self, error: BaseException | None) -> bool:
        """Whether one more attempt may be sent."""
        wanted = len(self.attempts) <= self._settings.max_hedges
        budget = self._budget
        # A budget of the user's own may grant more than what is wanted.
        granted = (budget is None or budget.spend(error, wanted=wanted) is not None) and wanted
        self.refused += wanted and not granted
        return granted

    async def _wait(self, due: float) -> None:
        """Wait until an attempt has ended or it is `due`."""
        timer = None
        if due < math.inf:
            timer = self._hedge.clock.call_at(due, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self._changed.clear()

    async def _discard(self, discard: Callable[[Any], object], result: T) -> None:
        try:
            answer = discard(result)
            if inspect.isawaitable(answer):
                await answer
        except Exception as error:  # noqa: BLE001  a user's callback never breaks a call
            callback_failed(self._hedge.name, "discard", error)


async def _attempt(call: Call[T]) -> T:
    return await call()


async def _ended(tasks: Collection[asyncio.Task[Any]]) -> asyncio.CancelledError | None:
    """Wait until all tasks have ended, even when the caller is cancelled (again): they are told, and it is returned."""
    cancelled = None
    while pending := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
            for task in pending:
                task.cancel()
    return cancelled
