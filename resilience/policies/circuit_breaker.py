"""Circuit breaker: stop calling what keeps failing, and try it again carefully."""

from __future__ import annotations

import math
import random as _random
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from resilience.core.callbacks import BROKEN, callback_failed, number_of
from resilience.core.classify import ErrorFilter
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.deadline import reason
from resilience.core.ports import CallContext, Clock
from resilience.core.validate import callback
from resilience.core.verdict import Verdict
from resilience.core.window import CountWindow, Window
from resilience.errors import CircuitOpen, FailureRecord
from resilience.policies.base import GuardPolicy
from resilience.policies.breaker_events import (
    BreakerState,
    BreakerStatistics,
    BreakerTransition,
    ThresholdReached,
)
from resilience.policies.breaker_settings import BreakerSettings
from resilience.policies.events import CallRejected
from resilience.policies.generate import Source
from resilience.policies.settings import Mode, changed, effective, is_observing

__all__ = ["CircuitBreaker"]

CLOSED, OPEN, HALF_OPEN, FORCED_OPEN, DISABLED, METRICS_ONLY = BreakerState

# The token of a call that was let through but counts nowhere; generations start at 1.
_UNCOUNTED = -1


class CircuitBreaker(GuardPolicy[int]):
    """Refuses calls while what they call keeps failing.

    Closed, it counts calls in a sliding window, and opens at the call that brings a rate to its threshold. Open, it
    refuses; from `open_duration` on it is half open and lets a few probes through, whose rates decide whether it closes
    (with an empty window) or opens again. A call that was cancelled, ignored or refused by a policy inside it counts
    nowhere and gives its permit back, and so does the late result of a call from before the last change of state.

    Args:
        name: what events, errors and statistics call it.
        failure_rate: ratio of failed calls at which it opens, in (0, 1]; None: not judged. Default `auto`: 0.5, as
            resilience4j, and None where `failures` is given.
        failures: failed calls in the window at which it opens, however many succeeded, once the window holds
            `minimum_calls` (Failsafe's `withFailureThreshold(failures, minimum_calls, window)`); not together with
            `consecutive_failures`. Half open, as many of the probes, or all where there are fewer. None (default): not
            judged.
        window: `CountWindow(calls)`, `TimeWindow(seconds)`, or just seconds. Default the last 60 s: failures of yesterday's quiet night
            say nothing about now, as a count window would have it.
        minimum_calls: calls the window must hold before its rates are judged (a count window smaller than that: its
            size). Default 20, as Hystrix; the 100 of resilience4j and Polly are seldom reached by one worker.
        slow_call_duration: seconds strictly above which a call is slow; None (default): no call is.
        slow_call_rate: share of slow calls at which it opens, in (0, 1]. Default 1.0, as resilience4j.
        consecutive_failures: failures in a row at which it opens, without a minimum of calls; None (default): not
            judged.
        open_duration: seconds it stays open, above 0. Default 30, between Polly's 5 and resilience4j's 60.
        open_factor: by what the open duration grows each time it opens again before it closed, at least 1. Default 1.0.
        open_cap: seconds at which that growth stops. Default 300, as Envoy's outlier ejection.
        open_jitter: share by which each open duration is made randomly shorter or longer, 0..1. Default 0.0.
        half_open_permits: probes let through while half open; the verdict falls once `min(permits, minimum_calls)` of
            them have come back. Default 10, as resilience4j.
        half_open_concurrency: how many of them at a time; None (default): all.
        half_open_max_wait: seconds without news from the newest probe after which it has opened again, whether or not
            anybody looks then, so that a hung probe cannot hold it for ever. Default 60, twice the longest call of
            .NET's standard handler.
        on: what counts as a failure: exception types or a predicate. Default every `Exception`.
        ignore: what counts as nothing; looked at before `on`.
        failed_result: says of a returned value that it is a failure (a 503, say).
        mode: `normal`, or `observe`: all the same, but nothing is refused.
        clock: where time comes from.
        random: a function that gives a float in [0, 1), for the jitter.

    Raises:
        ConfigError: an option is outside its range.

    Example:
        >>> import asyncio
        >>> breaker = CircuitBreaker(name="payments", consecutive_failures=1)
        >>> @breaker
        ... async def pay():
        ...     raise ConnectionError("refused")
        ...
        >>> async def main():
        ...     for _ in range(2):
        ...         try:
        ...             await pay()
        ...         except Exception as error:
        ...             print(type(error).__name__, error)
        >>> asyncio.run(main())
        ConnectionError refused
        CircuitOpen circuit breaker 'payments' is open
    """

    kind = "circuit_breaker"
    shortcut: ClassVar[str | None] = "_passing"
    # Beside the base's dict: slots stay fast once something has looked at `__dict__`, as functools.update_wrapper does.
    __slots__ = (
        "_admitted",
        "_consecutive",
        "_counts",
        "_failed_result",
        "_generation",
        "_growth",
        "_last_failure",
        "_observing",
        "_opened",
        "_passing",
        "_permits",
        "_probes",
        "_random",
        "_refusal",
        "_rejected",
        "_since",
        "_slow_after",
        "_state",
        "_told",
        "_until",
        "_verdict",
        "_window",
        "settings",
    )

    def __init__(
        self,
        *,
        name: str | None = None,
        failure_rate: float | Literal["auto"] | None = "auto",
        failures: int | None = None,
        window: Window | float = 60.0,
        minimum_calls: int = 20,
        slow_call_duration: float | None = None,
        slow_call_rate: float = 1.0,
        consecutive_failures: int | None = None,
        open_duration: float = 30.0,
        open_factor: float = 1.0,
        open_cap: float = 300.0,
        open_jitter: float = 0.0,
        half_open_permits: int = 10,
        half_open_concurrency: int | None = None,
        half_open_max_wait: float = 60.0,
        on: ErrorFilter = Exception,
        ignore: ErrorFilter = (),
        failed_result: Callable[[Any], bool] | None = None,
        mode: Mode = "normal",
        clock: Clock = SYSTEM_CLOCK,
        random: Callable[[], float] = _random.random,
    ) -> None:
        super().__init__(name=name, clock=clock)
        self._random = callback("random", random)
        self._state = CLOSED
        self._generation = 1
        self._growth = 0.0  # by how much the open duration has grown; 0 before it first opens
        self._since = -math.inf  # open: when it opened; half open: when the newest probe began
        self._until = math.inf  # open: when it may probe; half open: when the newest probe counts as hung
        self._permits = 0
        self._admitted = 0
        self._probes = 0
        self._consecutive = 0
        self._rejected = 0
        self._opened = 0
        self._told = False
        self._last_failure: FailureRecord | None = None
        usual = 0.5 if failures is None else None
        self._apply(
            effective(
                BreakerSettings(
                    failure_rate=usual if failure_rate == "auto" else failure_rate,
                    failures=failures,
                    window=window,
                    minimum_calls=minimum_calls,
                    slow_call_duration=slow_call_duration,
                    slow_call_rate=slow_call_rate,
                    consecutive_failures=consecutive_failures,
                    open_duration=open_duration,
                    open_factor=open_factor,
                    open_cap=open_cap,
                    open_jitter=open_jitter,
                    half_open_permits=half_open_permits,
                    half_open_concurrency=half_open_concurrency,
                    half_open_max_wait=half_open_max_wait,
                    on=on,
                    ignore=ignore,
                    failed_result=failed_result,
                    mode=mode,
                )
            )
        )
        self._counts = self._window.start()
        # The token of calls that need no look; 0 when each needs one.
        self._passing = self._generation

    def _default(self, option: str, declared: object) -> object:
        if option == "failure_rate":
            return 0.5 if self.settings.failures is None else None
        return declared

    def _apply(self, settings: BreakerSettings) -> None:
        self.settings: BreakerSettings = settings
        self._window = settings.shape
        self._verdict = settings.judge(self.name)
        self._failed_result = settings.failed_result
        self._slow_after = math.inf if settings.slow_call_duration is None else settings.slow_call_duration
        self._observing = is_observing(settings.mode)

    # -- calls --------------------------------------------------------------------------------------------------

    def enter(self, now: float, context: CallContext | None) -> int:  # noqa: ARG002  one breaker for all calls
        """Admit one call; see `core.ports.Guard`.

        Raises:
            CircuitOpen: it is open, or half open with every permit taken.
        """
        if self._passing:
            return self._passing
        if self._state is not OPEN or now >= self._until:
            token = self._look(now)
            if token is not None:
                return token
        state = self._state
        # `_retry_after`, for what nearly every refusal is.
        retry_after = self._until - now if state is OPEN else self._retry_after(now)
        self._rejected += 1
        if self.events.listeners:
            self.events.emit(CallRejected(self.name, self.kind, state, now, retry_after, self._observing))
        if self._observing:
            return _UNCOUNTED
        raise self._error(state, retry_after)

    def _retry_after(self, now: float) -> float | None:
        """Seconds until another call may be admitted, or the longest that it takes; None where only a person knows."""
        if self._state is OPEN:
            return self._until - now
        if self._state is HALF_OPEN and self._until < math.inf:
            # The newest probe may hang for much longer than it is usual to stay away.
            return min(self._until - now, self._open_duration())
        return None

    def _error(self, state: BreakerState, retry_after: float | None) -> CircuitOpen:
        # Without its constructor, which would cost as much as all the rest of a refusal; and not where it is raised,
        # since a frame that names an error which names the frame is left to the garbage collector.
        error = CircuitOpen.__new__(CircuitOpen, self._refusal)
        error.policy = self.name
        error.retry_after = retry_after
        error.state = state
        error.last_failure = self._last_failure
        return error

    def _look(self, now: float) -> int | None:
        """Admit a call where that is not clear at a glance; None: refuse it."""
        self._catch_up(now)
        if self._state is HALF_OPEN:
            concurrency = self.settings.half_open_concurrency or self._permits
            if self._admitted >= self._permits or self._probes >= concurrency:
                return None
            self._admitted += 1
            self._probes += 1
            self._since = now
            self._until = now + self.settings.half_open_max_wait
            return self._generation
        if self._state is DISABLED:
            return _UNCOUNTED
        return self._passing or None  # a listener may have closed it while it was told of a change

    def leave(
        self, token: int, result: object, error: BaseException | None, started: float, now: float
    ) -> None:
        """Count how the call ended, unless it belongs to an earlier state; see `core.ports.Guard`."""
        if token != self._generation:
            return
        failed = False
        if error is None:
            if self._failed_result is not None:
                try:
                    failed = bool(self._failed_result(result))
                except BROKEN as broken:
                    callback_failed(self.name, "failed_result", broken)
        else:
            verdict = self._verdict(result, error)
            if verdict is Verdict.FAILURE:
                failed = True
                self._last_failure = FailureRecord.of(reason(error), self.clock.time())
            elif verdict is not Verdict.SUCCESS:
                if self._state is HALF_OPEN:
                    self._admitted -= 1
                    self._return_probe()
                return
        counts = self._counts
        counts.record(failed, now - started > self._slow_after, now)
        self._consecutive = self._consecutive + 1 if failed else 0
        if token != self._passing:
            self._return_probe()
            self._judge_probes(now)
        elif counts.failures or counts.slow_calls:
            self._judge(now)

    def unroll_return(self, source: Source, index: int) -> None:
        """Write `leave` of a call that returned; where all is well, it is one more of the window; see `generate.Returning`."""
        guard, token, started = f"guard{index}", f"token{index}", f"started{index}"
        leave = f"leave{index}({token}, result, None, {started}, ended)"
        if type(self).leave is not CircuitBreaker.leave:
            source.line(leave)
            return
        fine = source.fine(index, self._failed_result, f"{guard}._failed_result")
        with source.block(
            f"if {token} == {guard}._passing and ended < {guard}._counts.quiet_until"
            f" and ended - {started} <= {guard}._slow_after and {fine}:"
        ):
            source.line(f"{guard}._counts.calls += 1")
            source.line(f"{guard}._consecutive = 0")
        with source.block("else:"):
            source.line(leave)

    def _return_probe(self) -> None:
        self._probes -= 1
        if not self._probes:
            self._until = math.inf

    # -- verdicts -----------------------------------------------------------------------------------------------

    def _fault(self, needed: int) -> str | None:
        """What speaks for opening, once the window holds `needed` calls."""
        settings = self.settings
        counts = self._counts
        if settings.consecutive_failures is not None and self._consecutive >= settings.consecutive_failures:
            return "consecutive_failures"
        if counts.calls >= needed:
            if settings.failures is not None and counts.failures >= settings.failures:
                return "failures"
            # Divided, not multiplied: 3 of 30 is 0.1 exactly as written, but 0.1 * 30 is above 3.
            if settings.failure_rate is not None and counts.failures / counts.calls >= settings.failure_rate:
                return "failure_rate"
            if counts.slow_calls and counts.slow_calls / counts.calls >= settings.slow_call_rate:
                return "slow_call_rate"
        return None

    def _judge(self, now: float) -> None:
        fault = self._fault(self.settings.needed)
        if fault is None:
            return
        if self._state is CLOSED:
            self._go(OPEN, fault, now)
        elif not self._told:
            self._told = True
            self.events.emit(ThresholdReached(self.name, now, fault, *self._rates()))

    def _judge_probes(self, now: float) -> None:
        settings = self.settings
        needed = min(self._permits, settings.needed)
        fault = self._fault(needed)
        if fault is not None:
            self._go(OPEN, fault, now)
        elif self._counts.calls >= needed:
            # Where only numbers of failures are judged, fewer probes than that must still be able to say no.
            counted = settings.consecutive_failures is not None or settings.failures is not None
            if counted and self._consecutive == self._counts.calls:
                self._go(OPEN, "consecutive_failures" if settings.failures is None else "failures", now)
            else:
                self._go(CLOSED, "recovered", now)

    def _rates(self) -> tuple[float, float]:
        counts = self._counts
        calls = counts.calls or 1
        return counts.failures / calls, counts.slow_calls / calls

    # -- states -------------------------------------------------------------------------------------------------

    def _catch_up(self, now: float) -> None:
        """Make the changes of state that time alone has brought about, as of when it did."""
        if now >= self._until and self._state is HALF_OPEN:
            self._go(OPEN, "probe_timeout", self._until)
        if now >= self._until and self._state is OPEN:
            self._go(HALF_OPEN, "waited", now)

    def _go(self, state: BreakerState, why: str, now: float) -> None:
        previous = self._state
        self._counts.expire(now)
        rates = self._rates()
        self._state = state
        self._generation += 1
        self._passing = self._generation if state is CLOSED or state is METRICS_ONLY else 0
        self._refusal = f"{self.kind.replace('_', ' ')} {self.name!r} is {state.replace('_', ' ')}"
        self._until = math.inf
        self._admitted = self._probes = 0
        if state is OPEN:
            self._opened += 1
            self._growth = max(1.0, self._growth * self.settings.open_factor)
            self._since = now
            self._until = now + self._open_duration() * self._jitter()
        elif state is HALF_OPEN:
            # Kept for as long as it is half open: a new figure would unhinge the verdict.
            self._permits = self.settings.half_open_permits
            self._counts = CountWindow(self._permits).start()
            self._consecutive = 0
        elif state is not FORCED_OPEN:
            self._start_over()
        if self.events:
            self.events.emit(BreakerTransition(self.name, previous, state, now, why, *rates))

    def _jitter(self) -> float:
        jitter = self.settings.open_jitter
        return 1 + jitter * (2 * number_of(self.name, "random", 0.5, self._random) - 1) if jitter else 1.0

    def _open_duration(self) -> float:
        settings = self.settings
        return max(settings.open_duration, min(settings.open_duration * self._growth, settings.open_cap))

    def _start_over(self) -> None:
        self._counts = self._window.start()
        self._consecutive = 0
        self._growth = 0.0
        self._told = False
        self._last_failure = None

    @property
    def state(self) -> BreakerState:
        """What it would do with a call now: `closed`, `open`, `half_open`, `forced_open`, `disabled`, `metrics_only`."""
        self._catch_up(self.clock.monotonic())
        return self._state

    @property
    def last_failure(self) -> FailureRecord | None:
        """Record of the exception that it last counted as a failure, until it closes."""
        return self._last_failure

    def statistics(self) -> BreakerStatistics:
        """Say how it stands."""
        now = self.clock.monotonic()
        self._catch_up(now)
        counts = self._counts
        counts.expire(now)
        return BreakerStatistics(
            self.name,
            self._state,
            counts.calls,
            counts.failures,
            counts.slow_calls,
            *self._rates(),
            self._consecutive,
            self._probes,
            self._rejected,
            self._opened,
            self._until - now if self._state is OPEN else None,
        )

    # -- control ------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open it now; it goes half open after the open duration."""
        self._set(OPEN)

    def close(self) -> None:
        """Close it now, with an empty window."""
        self._set(CLOSED)

    def isolate(self) -> None:
        """Refuse every call until told otherwise, however long that takes: `forced_open`."""
        self._set(FORCED_OPEN)

    def disable(self) -> None:
        """Let every call through, count nothing, tell nothing more, until told otherwise."""
        self._set(DISABLED)

    def metrics_only(self) -> None:
        """Let every call through, count, and tell once when it would have opened: `metrics_only`."""
        self._set(METRICS_ONLY)

    def reset(self) -> None:
        """Begin anew: closed, with an empty window and all counters at zero."""
        self._rejected = self._opened = 0
        self._set(CLOSED)

    def _set(self, state: BreakerState) -> None:
        now = self.clock.monotonic()
        self._catch_up(now)
        if self._state is not state:
            self._go(state, "manual", now)
        elif state is CLOSED:
            # Calls in flight began before, so that they no longer count.
            self._generation += 1
            self._passing = self._generation
            self._start_over()

    def reconfigure(self, **options: Any) -> None:
        """Change options while it works: its state and the calls in flight stay, and so do its counts unless the window changes.

        How long it is open, and how long a probe may take, is reckoned anew from when it opened or the probe began.

        Raises:
            ConfigError: an option is unknown or outside its range; nothing was changed.
        """
        before, window = self.settings, self._window
        self._apply(changed(before, options))
        if self._window != window and self._passing:
            self._counts = self._window.start()
        if self._state is OPEN and self.settings.opening != before.opening:
            self._until = self._since + self._open_duration() * self._jitter()
        elif self._probes:
            self._until = self._since + self.settings.half_open_max_wait
