"""Options that change while calls wait: what was waited for under the old ones is reckoned anew.

The one exception is a timeout: a call keeps the limit that it began with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from resilience.core.clock import ManualClock
from resilience.core.ports import CallContext
from resilience.errors import BulkheadFull, CircuitOpen, RateLimited, TimeoutExceeded
from resilience.policies.backoff import Constant
from resilience.policies.base import WrappingPolicy
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.hedge import Hedge
from resilience.policies.outlier import OutlierEjection
from resilience.policies.quantile import Quantile
from resilience.policies.rate_limiter import RateLimiter
from resilience.policies.retry import Retry
from resilience.policies.timeout import Timeout


class Asks(OSError):
    """An error with a `Retry-After`."""

    retry_after = 100.0


def script(clock: ManualClock, *answers: Any) -> Callable[[], Any]:
    """Make a function that sleeps for a number, raises an error, and returns anything else, one of them each time."""
    left = list(answers)

    async def call() -> object:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, float):
            await clock.sleep(answer)
        elif isinstance(answer, BaseException):
            raise answer
        return answer

    return call


async def full_bulkhead(clock: ManualClock, **options: Any) -> Bulkhead:
    bulkhead = Bulkhead(1, queue=1, clock=clock, **options)
    bulkhead.enter(clock.monotonic(), None)
    return bulkhead


async def empty_limiter(clock: ManualClock, **options: Any) -> RateLimiter:
    limiter = RateLimiter(1, 3600, max_wait=None, clock=clock, **options)
    limiter.enter(clock.monotonic(), None)
    return limiter


async def made(policy: WrappingPolicy) -> WrappingPolicy:
    return policy


# The policy, its call, what is changed 10 s after the call began, and after how many seconds of the call it ends how.
WAITING: dict[str, tuple[Callable[[ManualClock], Any], tuple[Any, ...], dict[str, Any], float, object]] = {
    "rate limiter, faster": (empty_limiter, ("ok",), {"per": 10.0}, 19.98, "ok"),
    "rate limiter, observing": (empty_limiter, ("ok",), {"mode": "observe"}, 10.0, "ok"),
    "bulkhead, more permits": (full_bulkhead, ("ok",), {"limit": 2}, 10.0, "ok"),
    "bulkhead, observing": (full_bulkhead, ("ok",), {"mode": "observe"}, 10.0, "ok"),
    "bulkhead, a wait that gets an end": (full_bulkhead, ("ok",), {"max_wait": 30.0}, 30.0, BulkheadFull),
    "bulkhead, a wait that is over": (full_bulkhead, ("ok",), {"max_wait": 5.0}, 10.0, BulkheadFull),
    "bulkhead, a longer wait": (
        lambda clock: full_bulkhead(clock, max_wait=20.0),
        ("ok",),
        {"max_wait": 40.0},
        40.0,
        BulkheadFull,
    ),
    "retry, a shorter wait": (
        lambda clock: made(Retry(2, backoff=Constant(3600), clock=clock)),
        (OSError(), "ok"),
        {"backoff": Constant(15)},
        15.0,
        "ok",
    ),
    "retry, a wait that is over": (
        lambda clock: made(Retry(2, backoff=Constant(3600), clock=clock)),
        (OSError(), "ok"),
        {"backoff": Constant(5)},
        10.0,
        "ok",
    ),
    "retry, a longer wait": (
        lambda clock: made(Retry(2, backoff=Constant(20), clock=clock)),
        (OSError(), "ok"),
        {"backoff": Constant(40)},
        40.0,
        "ok",
    ),
    "retry, as long as was asked": (
        lambda clock: made(Retry(2, backoff=Constant(1), max_retry_after=3600, clock=clock)),
        (Asks(), "ok"),
        {"max_retry_after": 50.0},
        50.0,
        "ok",
    ),
    "retry, whatever was asked": (
        lambda clock: made(Retry(2, backoff=Constant(20), max_retry_after=3600, clock=clock)),
        (Asks(), "ok"),
        {"respect_retry_after": False},
        20.0,
        "ok",
    ),
    "retry, observing": (
        lambda clock: made(Retry(2, backoff=Constant(3600), clock=clock)),
        (OSError(), "ok"),
        {"mode": "observe"},
        10.0,
        "ok",
    ),
    "hedge, sooner": (
        lambda clock: made(Hedge(3600, clock=clock)),
        (3600.0, "hedged"),
        {"delay": 15.0},
        15.0,
        "hedged",
    ),
    "hedge, due already": (
        lambda clock: made(Hedge(3600, clock=clock)),
        (3600.0, "hedged"),
        {"delay": 5.0},
        10.0,
        "hedged",
    ),
    "hedge, by a quantile": (
        lambda clock: made(Hedge(3600, clock=clock)),
        (3600.0, "hedged"),
        {"delay": Quantile(0.9, initial=25.0)},
        25.0,
        "hedged",
    ),
    "hedge, later": (
        lambda clock: made(Hedge(20, clock=clock)),
        (3600.0, "hedged"),
        {"delay": 40.0},
        40.0,
        "hedged",
    ),
    "hedge, observing": (
        lambda clock: made(Hedge(20, clock=clock)),
        (60.0, "hedged"),
        {"mode": "observe"},
        60.0,
        60.0,
    ),
    "timeout, as it began": (
        lambda clock: made(Timeout(60, clock=clock)),
        (3600.0,),
        {"seconds": 20.0},
        60.0,
        TimeoutExceeded,
    ),
}


@pytest.mark.parametrize("name", WAITING)
async def test_a_call_that_waits_goes_by_the_new_options(name: str) -> None:
    prepare, answers, changes, expected, outcome = WAITING[name]
    clock = ManualClock()
    policy = await prepare(clock)
    began = clock.monotonic()
    ended: list[float] = []
    call = asyncio.create_task(policy.call(script(clock, *answers)))
    call.add_done_callback(lambda _: ended.append(clock.monotonic() - began))
    await clock.advance(10)
    assert not call.done()
    policy.reconfigure(**changes)
    for _ in range(5000):
        await clock.advance(0)
        if call.done():
            break
        await clock.advance(0.02)
    assert ended == [pytest.approx(expected, abs=0.03)]
    if isinstance(outcome, type):
        assert isinstance(call.exception(), outcome)
    else:
        assert call.result() == outcome


def opened(clock: ManualClock) -> CircuitBreaker:
    breaker = CircuitBreaker(consecutive_failures=1, open_duration=3600, clock=clock)
    breaker.open()
    return breaker


def probing(clock: ManualClock) -> CircuitBreaker:
    breaker = CircuitBreaker(
        half_open_permits=1, half_open_max_wait=3600, open_duration=1, open_factor=2, clock=clock
    )
    breaker.open()
    clock.shift(1)
    breaker.enter(clock.monotonic(), None)
    return breaker


def ejected(clock: ManualClock) -> OutlierEjection:
    ejection = OutlierEjection(consecutive_failures=1, duration=3600, max_duration=3600, clock=clock)
    now = clock.monotonic()
    token = ejection.enter(now, CallContext(key="a"))
    ejection.leave(token, None, OSError(), now, now)
    return ejection


# The guard that refuses, what is changed after 10 s, and after how many seconds it admits.
REFUSING: dict[str, tuple[Callable[[ManualClock], Any], dict[str, Any], float]] = {
    "breaker, open for less": (opened, {"open_duration": 30.0}, 30.0),
    "breaker, open for less than it was": (opened, {"open_duration": 5.0}, 10.0),
    "breaker, open for longer": (opened, {"open_duration": 4000.0}, 4000.0),
    "breaker, other options": (opened, {"half_open_permits": 3}, 3600.0),
    "breaker, a probe that may hang for less": (probing, {"half_open_max_wait": 30.0}, 32.0),
    "outlier, out for less": (ejected, {"duration": 30.0}, 30.0),
    "outlier, out for less than it was": (ejected, {"duration": 5.0}, 10.0),
}


@pytest.mark.parametrize("name", REFUSING)
def test_a_guard_that_refuses_goes_by_the_new_options(name: str) -> None:
    prepare, changes, expected = REFUSING[name]
    clock = ManualClock()
    guard = prepare(clock)
    began = clock.monotonic()

    def refused() -> bool:
        try:
            guard.enter(clock.monotonic(), CallContext(key="a"))
        except (CircuitOpen, RateLimited):
            return True
        return False

    clock.shift(10)
    assert refused()
    guard.reconfigure(**changes)
    if expected > 10:
        clock.shift(began + expected - 0.01 - clock.monotonic())
        assert refused()
        clock.shift(0.01 + 1e-9)
    assert not refused()


async def test_a_growth_of_the_open_duration_goes_on_under_new_options() -> None:
    clock = ManualClock()
    breaker = CircuitBreaker(
        consecutive_failures=1, open_duration=10, open_factor=2, half_open_permits=1, clock=clock
    )
    breaker.open()
    clock.shift(10)
    now = clock.monotonic()
    breaker.leave(breaker.enter(now, None), None, OSError(), now, now)
    assert breaker.statistics().retry_after == 20
    breaker.reconfigure(open_duration=3)
    assert breaker.statistics().retry_after == 6
    breaker.reconfigure(open_cap=5)
    assert breaker.statistics().retry_after == 5
