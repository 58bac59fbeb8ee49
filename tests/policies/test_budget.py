"""Retry budgets, each against a model that keeps everything and counts anew."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.policies.budget import RatioBudget, RetryBudgetStatistics, TokenBudget

thousandths = st.integers(0, 20_000).map(lambda number: number / 1000)


class TokenBudgetModel(RuleBasedStateMachine):
    """Tokens as exact fractions, with the rule written out for each of the two cases."""

    @initialize(
        capacity=st.integers(1, 50),
        cost=thousandths,
        timeout_cost=thousandths,
        refund=thousandths,
        loss=thousandths,
        share=st.sampled_from([0, 0.25, 0.5]),
    )
    def start(
        self, *, capacity: int, cost: float, timeout_cost: float, refund: float, loss: float, share: float
    ) -> None:
        self.capacity = Fraction(capacity)
        self.floor = Fraction(share) * capacity
        self.cost, self.timeout_cost, self.refund, self.loss = (
            Fraction(str(value)) for value in (cost, timeout_cost, refund, loss)
        )
        self.tokens = self.capacity
        self.budget = TokenBudget(
            capacity,
            cost=cost,
            timeout_cost=timeout_cost,
            refund=refund,
            loss=loss,
            floor=float(self.floor),
        )

    @rule(timed_out=st.booleans(), wanted=st.booleans())
    def failure(self, timed_out: bool, wanted: bool) -> None:
        after = self.tokens - (self.timeout_cost if timed_out else self.cost)
        enough = after > self.floor if self.floor else after >= 0
        if wanted and enough:
            self.tokens = after
        else:
            self.tokens = max(Fraction(0), self.tokens - self.loss)
        error = TimeoutError() if timed_out else OSError()
        assert self.budget.spend(error, wanted=wanted) == (wanted and enough)

    @rule()
    def success(self) -> None:
        self.tokens = min(self.capacity, self.tokens + self.refund)
        self.budget.end(succeeded=True)

    @rule()
    def neutral(self) -> None:
        self.budget.begin()
        self.budget.release()
        self.budget.end(succeeded=False)

    @invariant()
    def tokens_agree(self) -> None:
        if hasattr(self, "budget"):
            assert self.budget.tokens == pytest.approx(float(self.tokens), abs=1e-9)
            assert 0 <= self.budget.tokens <= self.capacity


class RatioBudgetOverTime(RuleBasedStateMachine):
    """Every call and repeat with its tenth of the ttl."""

    @initialize(
        percent=st.integers(0, 300),
        reserve=st.integers(0, 3),
        floor=st.integers(0, 3),
        ttl=st.integers(1, 20),
    )
    def start(self, percent: int, reserve: int, floor: int, ttl: int) -> None:
        self.clock = ManualClock(monotonic=0.0)
        self.ratio, self.reserved, self.floor, self.ttl = Fraction(percent, 100), reserve * ttl, floor, ttl
        self.calls: list[int] = []
        self.repeats: list[int] = []
        self.budget = RatioBudget(percent / 100, ttl=ttl, reserve=reserve, floor=floor, clock=self.clock)

    def present(self) -> int:
        return math.floor(self.clock.monotonic() * 10 / self.ttl)

    def live(self, events: list[int]) -> int:
        return sum(1 for event in events if event > self.present() - 10)

    def allowed(self) -> int:
        return max(self.floor, math.floor(self.ratio * self.live(self.calls) + self.reserved))

    @rule()
    def call(self) -> None:
        self.calls.append(self.present())
        self.budget.begin()
        self.budget.end(succeeded=True)

    @rule(wanted=st.booleans())
    def repeat(self, wanted: bool) -> None:
        expected = wanted and self.live(self.repeats) < self.allowed()
        if expected:
            self.repeats.append(self.present())
        assert self.budget.spend(OSError(), wanted=wanted) == expected
        if expected:
            self.budget.release()

    @rule(quarters=st.integers(0, 50))
    def time_passes(self, quarters: int) -> None:
        self.clock.shift(quarters / 4)

    @invariant()
    def balances_agree(self) -> None:
        if hasattr(self, "budget"):
            assert self.budget.balance == max(0, self.allowed() - self.live(self.repeats))
            assert len(self.budget._slices) <= 10


class RatioBudgetInFlight(RuleBasedStateMachine):
    """Calls and repeats that are under way."""

    @initialize(percent=st.integers(0, 100), floor=st.integers(0, 3))
    def start(self, percent: int, floor: int) -> None:
        self.ratio, self.floor, self.calls, self.repeats = Fraction(percent, 100), floor, 0, 0
        self.budget = RatioBudget(percent / 100, ttl=None, floor=floor)

    @rule()
    def begin(self) -> None:
        self.calls += 1
        self.budget.begin()

    @rule()
    def repeat(self) -> None:
        expected = self.repeats < max(self.floor, math.floor(self.ratio * self.calls))
        assert self.budget.spend(None) == expected
        self.repeats += expected

    @precondition(lambda self: getattr(self, "repeats", 0))
    @rule()
    def release(self) -> None:
        self.repeats -= 1
        self.budget.release()

    @precondition(lambda self: getattr(self, "calls", 0))
    @rule(succeeded=st.booleans())
    def end(self, succeeded: bool) -> None:
        self.calls -= 1
        self.budget.end(succeeded=succeeded)

    @invariant()
    def balances_agree(self) -> None:
        if hasattr(self, "budget"):
            allowed = max(self.floor, math.floor(self.ratio * self.calls))
            assert self.budget.balance == max(0, allowed - self.repeats)


TestTokenBudgetModel = TokenBudgetModel.TestCase
TestRatioBudgetOverTime = RatioBudgetOverTime.TestCase
TestRatioBudgetInFlight = RatioBudgetInFlight.TestCase


def test_grpc_throttles_at_half_and_needs_ten_successes_for_a_failure() -> None:
    budget = TokenBudget(10, cost=1, timeout_cost=1, refund=0.1, loss=1, floor=5)
    assert [budget.spend(OSError()) for _ in range(6)] == [True] * 4 + [False] * 2
    assert budget.tokens == 4
    for _ in range(20):
        budget.end(succeeded=True)
    assert budget.tokens == 6
    assert not budget.spend(OSError())
    for _ in range(11):
        budget.end(succeeded=True)
    assert budget.spend(OSError())


def test_aws_has_a_hundred_retries_or_fifty_after_timeouts() -> None:
    assert sum(TokenBudget().spend(OSError()) for _ in range(1)) == 1
    one, other = TokenBudget(), TokenBudget()
    assert sum(one.spend(OSError()) for _ in range(200)) == 100
    assert sum(other.spend(TimeoutError()) for _ in range(200)) == 50


def test_finagle_grants_its_reserve_and_a_fifth_of_the_calls() -> None:
    clock = ManualClock()
    budget = RatioBudget(clock=clock)
    for _ in range(50):
        budget.begin()
    assert budget.balance == 110
    clock.shift(20)
    assert budget.balance == 100


def test_a_share_that_is_a_whole_number_is_not_rounded_down_by_binary_fractions() -> None:
    budget = RatioBudget(0.29, ttl=None)
    for _ in range(100):
        budget.begin()
    assert budget.balance == 29


def test_envoy_grants_three_however_few_calls_there_are() -> None:
    budget = RatioBudget(0.2, ttl=None, floor=3)
    budget.begin()
    assert [budget.spend(None) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (TokenBudget, {"capacity": 0}),
        (TokenBudget, {"cost": -1}),
        (TokenBudget, {"timeout_cost": float("inf")}),
        (TokenBudget, {"refund": True}),
        (TokenBudget, {"loss": -1}),
        (TokenBudget, {"capacity": 10, "floor": 10}),
        (RatioBudget, {"ratio": -0.1}),
        (RatioBudget, {"ratio": 1001}),
        (RatioBudget, {"ttl": 0}),
        (RatioBudget, {"reserve": -1}),
        (RatioBudget, {"floor": 1.5}),
    ],
)
def test_nonsense_is_refused_by_name(kind: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=list(options)[-1]):
        kind(**options)


def test_a_budget_shows_what_is_left() -> None:
    tokens = TokenBudget(10, cost=5)
    tokens.spend(None)
    assert repr(tokens) == "<TokenBudget: 5 of 10 tokens>"
    assert repr(RatioBudget(0, floor=3)) == "<RatioBudget: 100 repeats would be granted>"


def test_says_what_is_left_of_how_much() -> None:
    bucket = TokenBudget(10, cost=4)
    bucket.spend(OSError())
    assert bucket.statistics() == RetryBudgetStatistics(6, 10, "tokens")
    share = RatioBudget(0.5, ttl=None)
    for _ in range(4):
        share.begin()
    share.spend(None)
    assert share.statistics() == RetryBudgetStatistics(1, 2, "repeats")
