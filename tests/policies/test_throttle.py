from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.core.clock import ManualClock
from resilience.errors import BulkheadFull, ConfigError, LoadShed
from resilience.policies.events import CallRejected
from resilience.policies.throttle import AdaptiveThrottle


def call(throttle: AdaptiveThrottle, error: BaseException | None = None, result: object = None) -> None:
    now = throttle.clock.monotonic()
    throttle.leave(throttle.enter(now, None), result, error, now, now)


def make(draw: float, **options: Any) -> AdaptiveThrottle:
    return AdaptiveThrottle(clock=ManualClock(), random=lambda: draw, **options)


def test_a_healthy_server_is_never_throttled() -> None:
    throttle = make(0.0)
    for number in range(100):
        call(throttle, ConnectionError() if number % 2 else None)
    statistics = throttle.statistics()
    assert (statistics.requests, statistics.accepts, statistics.probability) == (100, 50, 0.0)


@given(outcomes=st.lists(st.booleans(), max_size=60), multiplier=st.sampled_from([1.0, 1.5, 2.0]))
def test_the_probability_is_that_of_the_sre_book(outcomes: list[bool], multiplier: float) -> None:
    throttle = make(0.999999, multiplier=multiplier)
    for accepted in outcomes:
        call(throttle, None if accepted else ConnectionError())
    requests, accepts = len(outcomes), sum(outcomes)
    expected = max(0.0, (requests - multiplier * accepts) / (requests + 1))
    assert throttle.statistics().probability == pytest.approx(expected)


def test_chance_decides_and_what_is_refused_counts_as_a_request() -> None:
    throttle = make(0.49)
    call(throttle, ConnectionError())  # 1 of 1: the probability is a half
    with pytest.raises(LoadShed, match="refuses 50% of calls now"):
        call(throttle)
    statistics = throttle.statistics()
    assert (statistics.requests, statistics.accepts, statistics.rejected) == (2, 0, 1)
    lucky = make(0.5)
    call(lucky, ConnectionError())
    call(lucky)
    assert lucky.statistics().accepts == 1


def test_what_happened_is_forgotten_after_the_window_even_without_traffic() -> None:
    clock = ManualClock()
    throttle = AdaptiveThrottle(clock=clock, random=lambda: 0.0)
    call(throttle, ConnectionError())
    clock.shift(121.0)
    call(throttle)
    clock.shift(121.0)
    assert throttle.statistics().requests == 0


async def test_cancelled_rejected_and_ignored_calls_count_nowhere() -> None:
    throttle = make(0.0, ignore=KeyError)
    for error in (asyncio.CancelledError(), BulkheadFull("inside"), KeyError()):
        call(throttle, error)
    assert throttle.statistics().requests == 0


def test_results_can_say_that_the_server_refused() -> None:
    throttle = make(0.9, failed_result=lambda status: status == 429)
    call(throttle, result=200)
    call(throttle, result=429)
    assert throttle.statistics().accepts == 1


def test_observing_it_refuses_nothing() -> None:
    throttle = make(0.0, mode="observe")
    events: list[object] = []
    throttle.events.subscribe(events.append)
    call(throttle, ConnectionError())
    call(throttle)
    now = throttle.clock.monotonic()
    assert events == [CallRejected("throttle", "throttle", "throttled", now, None, observed=True)]
    assert throttle.statistics().requests == 2


def test_options_change_while_it_works() -> None:
    throttle = make(0.9)
    call(throttle, ConnectionError())
    throttle.reconfigure(multiplier=1.5)
    assert throttle.statistics().requests == 1
    throttle.reconfigure(window=60.0)
    assert throttle.statistics().requests == 0


@pytest.mark.parametrize(
    "options", [{"multiplier": 0.9}, {"window": 0}, {"on": 3}, {"failed_result": 3}, {"mode": "off"}]
)
def test_nonsense_is_refused_and_changes_nothing(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        AdaptiveThrottle(**options)
    throttle = make(0.5)
    before = throttle.settings
    with pytest.raises(ConfigError):
        throttle.reconfigure(**{"multiplier": 3.0, **options})
    assert throttle.settings is before
