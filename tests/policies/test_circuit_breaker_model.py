"""The circuit breaker against a model that keeps every call in a list and knows no fast path."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from resilience.core.clock import ManualClock
from resilience.core.verdict import Verdict
from resilience.core.window import CountWindow, TimeWindow
from resilience.errors import BulkheadFull, CircuitOpen
from resilience.policies.breaker_events import BreakerTransition
from resilience.policies.circuit_breaker import CircuitBreaker

ERRORS = {
    Verdict.SUCCESS: None,
    Verdict.FAILURE: ValueError("no"),
    Verdict.IGNORED: KeyError("ignored"),
    Verdict.REJECTED: BulkheadFull("inside"),
}


@dataclass
class Model:
    """A breaker as one would explain it."""

    window: CountWindow | TimeWindow
    minimum: int
    permits: int
    concurrency: int
    open_duration: float
    max_wait: float
    state: str = "closed"
    era: int = 0
    opened_at: float = 0.0
    probe_at: float = 0.0
    probes: int = 0
    admitted: int = 0
    calls: list[tuple[float, bool, bool]] = field(default_factory=list)
    path: list[str] = field(default_factory=list)

    def go(self, state: str, now: float) -> None:
        self.path.append(state)
        self.state = state
        self.era += 1
        self.probes = self.admitted = 0
        if state == "open":
            self.opened_at = now
        elif state != "forced_open":
            self.calls = []

    def look(self, now: float) -> None:
        if self.state == "half_open" and self.probes and now >= self.probe_at + self.max_wait:
            self.go("open", self.probe_at + self.max_wait)  # then, whether or not anybody looked
        if self.state == "open" and now >= self.opened_at + self.open_duration:
            self.go("half_open", now)

    def admits(self, now: float) -> bool:
        self.look(now)
        if self.state == "half_open":
            if self.admitted >= self.permits or self.probes >= self.concurrency:
                return False
            self.admitted += 1
            self.probes += 1
            self.probe_at = now
        return self.state in ("closed", "half_open")

    def held(self, now: float) -> list[tuple[float, bool, bool]]:
        if isinstance(self.window, CountWindow):
            return self.calls[-self.window.size :]
        width = self.window.seconds / self.window.buckets
        return [call for call in self.calls if now // width - call[0] // width < self.window.buckets]

    def ended(self, era: int, verdict: Verdict, slow: bool, now: float) -> None:
        if era != self.era:
            return
        probing = self.state == "half_open"
        if probing:
            self.probes -= 1
        if verdict not in (Verdict.SUCCESS, Verdict.FAILURE):
            self.admitted -= probing
            return
        self.calls.append((now, verdict is Verdict.FAILURE, slow))
        held = self.calls if probing else self.held(now)
        if len(held) >= (min(self.permits, self.minimum) if probing else self.minimum):
            if sum(call[1] for call in held) * 2 >= len(held) or all(call[2] for call in held):
                self.go("open", now)
            elif probing:
                self.go("closed", now)


class BreakerMachine(RuleBasedStateMachine):
    @initialize(
        window=st.sampled_from([CountWindow(6), TimeWindow(8.0, 4)]),
        minimum=st.integers(1, 6),
        permits=st.integers(1, 5),
        data=st.data(),
    )
    def begin(
        self, window: CountWindow | TimeWindow, minimum: int, permits: int, data: st.DataObject
    ) -> None:
        concurrency = data.draw(st.integers(1, permits))
        self.clock = ManualClock()
        self.model = Model(window, minimum, permits, concurrency, 10.0, 16.0)
        self.breaker = CircuitBreaker(
            window=window,
            minimum_calls=minimum,
            slow_call_duration=2.0,
            ignore=KeyError,
            open_duration=10.0,
            half_open_permits=permits,
            half_open_concurrency=concurrency,
            half_open_max_wait=16.0,
            clock=self.clock,
        )
        self.path: list[str] = []
        self.breaker.events.subscribe(self.hear)
        self.running: list[tuple[int, int, float]] = []

    def hear(self, event: object) -> None:
        if isinstance(event, BreakerTransition):
            assert event.previous != event.state
            self.path.append(event.state)

    @rule()
    def enter(self) -> None:
        now = self.clock.monotonic()
        admitted = self.model.admits(now)
        if admitted:
            self.running.append((self.breaker.enter(now, None), self.model.era, now))
            return
        with pytest.raises(CircuitOpen) as caught:
            self.breaker.enter(now, None)
        error = caught.value
        assert error.state == self.model.state
        if self.model.state == "half_open":
            hung = self.model.probe_at + self.model.max_wait
            assert error.retry_after == min(hung - now, self.model.open_duration)
        elif self.model.state == "open":
            assert now + error.retry_after == self.model.opened_at + self.model.open_duration
        else:
            assert error.retry_after is None

    @precondition(lambda self: self.running)
    @rule(data=st.data(), verdict=st.sampled_from(list(ERRORS)))
    def leave(self, data: st.DataObject, verdict: Verdict) -> None:
        token, era, started = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        now = self.clock.monotonic()
        self.breaker.leave(token, None, ERRORS[verdict], started, now)
        self.model.ended(era, verdict, now - started > 2.0, now)

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.5, 2.0, 7.0, 10.0, 16.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.shift(seconds)

    @rule(state=st.sampled_from(["open", "close", "isolate"]))
    def by_hand(self, state: str) -> None:
        now = self.clock.monotonic()
        self.model.look(now)
        assert self.breaker.state == self.model.state
        getattr(self.breaker, state)()
        target = {"open": "open", "close": "closed", "isolate": "forced_open"}[state]
        if self.model.state != target:
            self.model.go(target, now)
        elif target == "closed":
            self.model.era += 1
            self.model.calls = []

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "breaker"):
            return
        now = self.clock.monotonic()
        self.model.look(now)
        statistics = self.breaker.statistics()
        assert statistics.state == self.model.state
        assert self.path == self.model.path
        assert statistics.probes == self.model.probes <= self.model.concurrency
        if self.model.state in ("closed", "half_open"):
            held = self.model.held(now) if self.model.state == "closed" else self.model.calls
            assert statistics.calls == len(held)
            assert statistics.failures == sum(call[1] for call in held)
            assert statistics.slow_calls == sum(call[2] for call in held)
        assert statistics.retry_after is None or 0 < statistics.retry_after < math.inf


BreakerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_the_breaker_agrees_with_its_model = BreakerMachine.TestCase
