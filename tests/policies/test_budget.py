"""Retry budgets, each against a model that keeps everything and counts anew."""

from __future__ import annotations

import math
import random
from contextlib import suppress
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.policies.backoff import Constant
from resilience.policies.budget import RatioBudget, RetryBudgetStatistics, TokenBudget
from resilience.policies.presets import API_CALLS, DATABASE, EXTERNAL_SERVICES, Preset
from resilience.policies.retry import Retry
from resilience.policies.retry_settings import RetryStatistics

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
        returns_cost=st.booleans(),
    )
    def start(
        self,
        *,
        capacity: int,
        cost: float,
        timeout_cost: float,
        refund: float,
        loss: float,
        share: float,
        returns_cost: bool,
    ) -> None:
        self.capacity = Fraction(capacity)
        self.floor = Fraction(share) * capacity
        self.cost, self.timeout_cost, self.refund, self.loss = (
            Fraction(str(value)) for value in (cost, timeout_cost, refund, loss)
        )
        self.tokens = self.capacity
        self.returns_cost = returns_cost
        self.granted: list[tuple[Fraction, int]] = []
        self.budget = TokenBudget(
            capacity,
            cost=cost,
            timeout_cost=timeout_cost,
            returns_cost=returns_cost,
            refund=refund,
            loss=loss,
            floor=float(self.floor),
        )

    @rule(timed_out=st.booleans(), wanted=st.booleans())
    def failure(self, timed_out: bool, wanted: bool) -> None:
        cost = self.timeout_cost if timed_out else self.cost
        after = self.tokens - cost
        enough = after > self.floor if self.floor else after >= 0
        if wanted and enough:
            self.tokens = after
        else:
            self.tokens = max(Fraction(0), self.tokens - self.loss)
        error = TimeoutError() if timed_out else OSError()
        price = self.budget.spend(error, wanted=wanted)
        assert (price is not None) == (wanted and enough)
        if price is not None:
            self.granted.append((cost, price))

    @precondition(lambda self: getattr(self, "granted", None))
    @rule()
    def success_of_a_repeat(self) -> None:
        cost, price = self.granted.pop()
        self.tokens = min(self.capacity, self.tokens + (cost if self.returns_cost else self.refund))
        self.budget.release()
        self.budget.end(succeeded=True, spent=price)

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
        assert (self.budget.spend(OSError(), wanted=wanted) is not None) == expected
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
        assert (self.budget.spend(None) is not None) == expected
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
    budget = TokenBudget(10, cost=1, timeout_cost=1, returns_cost=False, refund=0.1, loss=1, floor=5)
    prices = [budget.spend(OSError()) for _ in range(6)]
    assert [price is not None for price in prices] == [True] * 4 + [False] * 2
    assert budget.tokens == 4
    for _ in range(20):
        budget.end(succeeded=True, spent=prices[0])
    assert budget.tokens == 6
    assert budget.spend(OSError()) is None
    for _ in range(11):
        budget.end(succeeded=True)
    assert budget.spend(OSError()) is not None


def test_aws_has_a_hundred_retries_or_fifty_after_timeouts() -> None:
    one, other = TokenBudget(), TokenBudget()
    assert sum(one.spend(OSError()) is not None for _ in range(200)) == 100
    assert sum(other.spend(TimeoutError()) is not None for _ in range(200)) == 50


class Quota:
    """The AWS SDKs' quota, as botocore's `RetryQuota` and `RetryQuotaChecker` state it."""

    def __init__(self) -> None:
        self.available = 500

    def acquire(self, amount: int) -> int | None:
        if amount > self.available:
            return None
        self.available -= amount
        return amount

    def success(self, acquired: int | None) -> None:
        self.available = min(500, self.available + (1 if acquired is None else acquired))


@pytest.mark.parametrize("layers", [API_CALLS, DATABASE, EXTERNAL_SERVICES])
async def test_the_presets_retry_what_the_aws_sdks_would(layers: Preset) -> None:
    chance = random.Random(8)
    quota = Quota()
    clock = ManualClock()
    made = layers.layers["retry"].make("pay", clock)
    assert isinstance(made, Retry)
    assert isinstance(made.budget, TokenBudget)
    for _ in range(3000):
        answers: list[BaseException | None] = []
        for _ in range(made.max_attempts):
            answers.append(
                chance.choice([ConnectionError(), TimeoutError()]) if chance.random() < 0.3 else None
            )
        made.reconfigure(backoff=Constant(0), on=OSError)
        sent = 0

        async def call() -> None:
            nonlocal sent
            sent += 1
            if (error := answers[sent - 1]) is not None:  # noqa: B023  called before the next turn
                raise error

        with suppress(OSError):
            await made.call(call)
        expected, acquired = 1, None
        for error in answers[:-1]:
            if error is None or (paid := quota.acquire(10 if isinstance(error, TimeoutError) else 5)) is None:
                break
            acquired, expected = paid, expected + 1
        if answers[expected - 1] is None:
            quota.success(acquired)
        assert (sent, made.budget.tokens) == (expected, quota.available)


async def test_retries_that_help_never_empty_the_budget() -> None:
    chance = random.Random(8)
    retry = Retry(3, backoff=Constant(0), budget=TokenBudget())
    failures = 0
    for _ in range(3000):
        answers: list[BaseException | None] = [OSError(), None] if chance.random() < 0.3 else [None]

        async def call(answers: list[BaseException | None] = answers) -> None:
            if (error := answers.pop(0)) is not None:
                raise error

        failures += len(answers) > 1
        await retry.call(call)
    assert failures > 800
    assert retry.statistics() == RetryStatistics(failures, {})


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
    assert [budget.spend(None) is not None for _ in range(4)] == [True, True, True, False]


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
