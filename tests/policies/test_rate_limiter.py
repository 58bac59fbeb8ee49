from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience.core.clock import ManualClock
from resilience.errors import ConfigError, RateLimited
from resilience.policies.events import CallRejected
from resilience.policies.rate_limiter import RateLimiter

EVERY = pytest.mark.parametrize("algorithm", ["token_bucket", "gcra", "sliding_window"])


def allowed(limiter: RateLimiter) -> bool:
    try:
        limiter.enter(limiter.clock.monotonic(), None)
    except RateLimited:
        return False
    return True


def retry_after(limiter: RateLimiter) -> float:
    with pytest.raises(RateLimited) as caught:
        limiter.enter(limiter.clock.monotonic(), None)
    assert caught.value.retry_after is not None
    return caught.value.retry_after


@EVERY
def test_a_burst_goes_at_once_and_what_exceeds_it_is_told_when_to_come_again(algorithm: Any) -> None:
    clock = ManualClock()
    limiter = RateLimiter(10, burst=5, algorithm=algorithm, clock=clock, name="api")
    assert [allowed(limiter) for _ in range(6)] == [True] * 5 + [False]
    wait = 0.5 if algorithm == "sliding_window" else 0.1
    assert retry_after(limiter) == pytest.approx(wait)
    clock.shift(wait - 0.01)
    assert not allowed(limiter)
    clock.shift(0.01)
    assert allowed(limiter)
    assert limiter.statistics().rejected == 3


def test_a_full_bucket_holds_no_more_than_its_burst() -> None:
    clock = ManualClock()
    limiter = RateLimiter(10, burst=2, clock=clock)
    clock.shift(1e6)
    assert [allowed(limiter) for _ in range(3)] == [True, True, False]


def test_a_fresh_limiter_is_ready() -> None:
    assert RateLimiter(1, algorithm="sliding_window").statistics().retry_after == 0


def test_burst_is_by_default_what_the_rate_lets_by() -> None:
    assert RateLimiter(2.5).statistics().burst == 3
    assert RateLimiter(0.1, per=60).statistics().burst == 1


def test_a_sliding_window_never_holds_more_than_its_burst() -> None:
    clock = ManualClock()
    limiter = RateLimiter(4, algorithm="sliding_window", clock=clock)
    clock.shift(0.9)
    assert [allowed(limiter) for _ in range(5)] == [True] * 4 + [False]
    clock.shift(0.2)  # a fixed window would have begun anew
    assert not allowed(limiter)


@settings(max_examples=200, deadline=None)
@given(
    algorithm=st.sampled_from(["token_bucket", "gcra"]),
    rate=st.floats(0.1, 1000),
    per=st.sampled_from([0.5, 1.0, 60.0]),
    burst=st.integers(1, 6),
    gaps=st.lists(st.one_of(st.just(0.0), st.floats(0, 3)), max_size=60),
)
def test_bucket_and_gcra_agree_with_a_bucket_that_drips_exactly(
    algorithm: Any, rate: float, per: float, burst: int, gaps: list[float]
) -> None:
    clock = ManualClock()
    limiter = RateLimiter(rate, per, burst=burst, algorithm=algorithm, clock=clock)
    tokens, interval = float(burst), per / rate
    for gap in gaps:
        clock.shift(gap * interval)
        tokens = min(burst, tokens + gap)
        if abs(tokens - 1) < 1e-6:  # on the edge floats may fall to either side
            clock.shift(interval * 0.01)
            tokens = min(burst, tokens + 0.01)
        assert allowed(limiter) == (tokens >= 1)
        if tokens >= 1:
            tokens -= 1
        else:
            assert limiter.statistics().retry_after == pytest.approx((1 - tokens) * interval, abs=1e-6)


@settings(max_examples=200, deadline=None)
@given(rate=st.integers(1, 6), gaps=st.lists(st.integers(0, 30), max_size=80))
def test_the_sliding_window_agrees_with_a_list_of_all_calls(rate: int, gaps: list[int]) -> None:
    clock = ManualClock(0.0)
    limiter = RateLimiter(rate, 8.0, algorithm="sliding_window", clock=clock)
    went: list[float] = []
    for gap in gaps:
        clock.shift(gap / 8)  # exact in binary
        now = clock.monotonic()
        fits = sum(now - moment < 8.0 for moment in went) < rate
        assert allowed(limiter) == fits
        if fits:
            went.append(now)


@settings(max_examples=200, deadline=None)
@given(
    algorithm=st.sampled_from(["token_bucket", "gcra", "sliding_window"]),
    rate=st.floats(0.01, 10_000),
    burst=st.integers(1, 5),
    start=st.floats(0, 1e6),
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=30),
)
def test_who_waits_exactly_as_told_is_let_through(
    algorithm: Any, rate: float, burst: int, start: float, gaps: list[float]
) -> None:
    clock = ManualClock(start)
    limiter = RateLimiter(rate, burst=burst, algorithm=algorithm, clock=clock)
    for gap in gaps:
        clock.shift(gap / rate)
        if not allowed(limiter):
            clock.shift(retry_after(limiter))
            assert allowed(limiter)


@EVERY
async def test_those_that_wait_go_in_order_at_their_times(algorithm: Any) -> None:
    clock = ManualClock()
    limiter = RateLimiter(2, burst=1, max_wait=None, algorithm=algorithm, clock=clock)
    began = clock.monotonic()
    went: list[tuple[int, float]] = []

    async def work(number: int) -> None:
        went.append((number, clock.monotonic() - began))

    tasks = [asyncio.create_task(limiter.call(work, number)) for number in range(4)]
    await clock.advance()
    assert limiter.statistics().waiting == 3
    assert limiter.statistics().retry_after == pytest.approx(2.0)
    await clock.advance(5)
    await asyncio.gather(*tasks)
    assert went == [(number, pytest.approx(number / 2)) for number in range(4)]


async def test_only_those_wait_whose_turn_comes_soon_enough() -> None:
    clock = ManualClock()
    limiter = RateLimiter(1, max_wait=2.0, clock=clock)
    tasks = [asyncio.create_task(limiter.call(asyncio.sleep, 0)) for _ in range(4)]
    await clock.advance()
    assert [task.done() for task in tasks] == [True, False, False, True]
    with pytest.raises(RateLimited) as caught:
        await tasks[3]
    assert caught.value.retry_after == pytest.approx(3.0)
    await clock.advance(2)
    await asyncio.gather(*tasks[:3])


async def test_a_newcomer_does_not_overtake_who_is_about_to_wake() -> None:
    clock = ManualClock()
    limiter = RateLimiter(1, max_wait=None, clock=clock)
    assert allowed(limiter)
    waiter = asyncio.create_task(limiter.call(asyncio.sleep, 0))
    await clock.advance()
    clock.shift(1.0)  # its turn has come, and it has not run yet
    assert limiter.enter(clock.monotonic(), None) is None
    await waiter


@pytest.mark.parametrize("algorithm", ["token_bucket", "gcra"])
@pytest.mark.parametrize("rate", [3, 7, 10, 30])
def test_an_even_stream_at_the_rate_is_never_refused(algorithm: Any, rate: int) -> None:
    clock = ManualClock()
    limiter = RateLimiter(rate, algorithm=algorithm, clock=clock)
    assert all(allowed(limiter) for _ in range(rate))
    for _ in range(200):
        clock.shift(1 / rate)
        assert allowed(limiter)


@pytest.mark.parametrize("victims", [[1], [2], [3], [1, 2], [2, 3], [1, 3], [1, 2, 3]])
@pytest.mark.parametrize("waited", [0.0, 0.5, 1.5])
async def test_a_cancelled_waiter_costs_no_call_and_stops_nobody(victims: list[int], waited: float) -> None:
    clock = ManualClock()
    limiter = RateLimiter(1, max_wait=None, clock=clock)
    began = clock.monotonic()
    went: dict[int, float] = {}

    async def work(number: int) -> None:
        went[number] = clock.monotonic() - began

    tasks = [asyncio.create_task(limiter.call(work, number)) for number in range(5)]
    await clock.advance(waited)
    early = dict(went)
    for victim in victims:
        tasks[victim].cancel()
    await clock.advance(10)
    await asyncio.gather(*tasks, return_exceptions=True)
    rest = [number for number in range(5) if number not in victims and number not in early]
    first = len(early)
    assert {number: went[number] for number in rest} == {
        number: pytest.approx(float(first + place)) for place, number in enumerate(rest)
    }
    assert limiter.statistics().waiting == 0


def test_it_works_on_a_second_loop_though_the_first_ended_with_waiters() -> None:
    limiter = RateLimiter(1000, burst=1, max_wait=None)
    first = asyncio.new_event_loop()
    tasks = [first.create_task(limiter.call(asyncio.sleep, 3600)) for _ in range(3)]
    first.run_until_complete(asyncio.sleep(0))
    assert limiter.statistics().waiting == 2
    first.close()

    async def answer() -> str:
        return "second"

    async def second() -> list[str]:
        return await asyncio.gather(*(limiter.call(answer) for _ in range(3)))

    assert asyncio.run(second()) == ["second"] * 3
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # left behind on purpose
        task.get_coro().close()  # type: ignore[union-attr]  # the loop that would is closed
    assert limiter.statistics().waiting == 0


async def test_observing_nobody_waits_or_is_refused() -> None:
    clock = ManualClock()
    limiter = RateLimiter(1, max_wait=None, mode="observe", clock=clock)
    events: list[object] = []
    limiter.events.subscribe(events.append)
    for _ in range(3):
        await limiter.call(asyncio.sleep, 0)
    assert limiter.statistics().rejected == 2
    now = clock.monotonic()
    assert events == [CallRejected("rate_limiter", "rate_limiter", "rate", now, 1.0, observed=True)] * 2


@EVERY
def test_figures_change_while_it_works_and_what_was_counted_stays(algorithm: Any) -> None:
    clock = ManualClock()
    limiter = RateLimiter(4, burst=4, algorithm=algorithm, clock=clock)
    assert [allowed(limiter) for _ in range(4)] == [True] * 4
    limiter.reconfigure(rate=8, burst=4)
    assert not allowed(limiter)
    clock.shift(0.5)
    assert [allowed(limiter) for _ in range(5)] == [True] * 4 + [False]
    limiter.reconfigure(rate=1, burst=1)
    assert not allowed(limiter)
    clock.shift(1.0)
    assert [allowed(limiter) for _ in range(2)] == [True, False]


def test_another_algorithm_starts_fresh() -> None:
    limiter = RateLimiter(1, clock=ManualClock())
    assert [allowed(limiter) for _ in range(2)] == [True, False]
    limiter.reconfigure(algorithm="gcra")
    assert [allowed(limiter) for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 0},
        {"rate": math.inf},
        {"per": 0},
        {"burst": 0},
        {"algorithm": "leaky"},
        {"max_wait": -1},
        {"mode": "off"},
    ],
)
def test_nonsense_is_refused_and_changes_nothing(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        RateLimiter(**{"rate": 1, **options})
    limiter = RateLimiter(3)
    with pytest.raises(ConfigError):
        limiter.reconfigure(**{"rate": 5, **options})
    assert limiter.statistics().rate == 3


# -- those that wait, when the options change ---------------------------------------------------------------------


async def waiting(limiter: RateLimiter, count: int) -> list[asyncio.Task[None]]:
    """Take the one token there is, and let `count` calls wait for the next."""
    clock = limiter.clock
    assert isinstance(clock, ManualClock)
    assert allowed(limiter)
    tasks = [asyncio.create_task(limiter.call(asyncio.sleep, 0)) for _ in range(count)]
    await clock.advance(0)
    assert limiter.statistics().waiting == count
    return tasks


@EVERY
async def test_those_that_wait_go_at_the_new_rate(algorithm: Any) -> None:
    clock = ManualClock()
    limiter = RateLimiter(1, 3600, max_wait=None, algorithm=algorithm, clock=clock)
    tasks = await waiting(limiter, 3)
    limiter.reconfigure(rate=1, per=1.0)
    for done in range(1, 4):
        await clock.advance(1)
        assert [task.done() for task in tasks] == [number < done for number in range(3)]


async def test_a_newcomer_waits_no_longer_than_its_max_wait_behind_those_that_slept() -> None:
    clock = ManualClock()
    limiter = RateLimiter(1, 3600, max_wait=None, clock=clock)
    sleeper = (await waiting(limiter, 1))[0]
    limiter.reconfigure(rate=10, per=1.0, max_wait=1.0)
    newcomer = asyncio.create_task(limiter.call(asyncio.sleep, 0))
    await clock.advance(1)
    assert sleeper.done()
    assert newcomer.done()


async def test_those_that_wait_go_at_once_when_it_only_observes() -> None:
    clock = ManualClock()
    limiter = RateLimiter(1, 3600, max_wait=None, clock=clock)
    tasks = await waiting(limiter, 3)
    limiter.reconfigure(mode="observe")
    await clock.advance(0)
    assert all(task.done() for task in tasks)
    assert limiter.statistics().waiting == 0


async def test_another_algorithm_lets_those_that_wait_go() -> None:
    clock = ManualClock()
    limiter = RateLimiter(1, 3600, burst=1, max_wait=None, clock=clock)
    tasks = await waiting(limiter, 2)
    limiter.reconfigure(algorithm="sliding_window")
    await clock.advance(0)
    assert [task.done() for task in tasks] == [True, False]
    await clock.advance(3600)
    assert tasks[1].done()


async def test_who_would_now_wait_longer_than_it_may_is_refused() -> None:
    clock = ManualClock()
    limiter = RateLimiter(1, max_wait=2.0, clock=clock)
    tasks = await waiting(limiter, 2)
    limiter.reconfigure(per=1.5)
    await clock.advance(0)
    assert [task.done() for task in tasks] == [False, True]
    with pytest.raises(RateLimited) as caught:
        await tasks[1]
    assert caught.value.retry_after == pytest.approx(3.0)
    await clock.advance(1.5)
    assert tasks[0].done()
    assert limiter.statistics().waiting == 0


async def test_nothing_new_wakes_nobody_early() -> None:
    clock = ManualClock()
    limiter = RateLimiter(1, max_wait=3.0, clock=clock)
    tasks = await waiting(limiter, 3)
    await clock.advance(0.5)
    limiter.reconfigure(max_wait=0.0)
    limiter.reconfigure(max_wait=3.0)
    for second in range(1, 4):
        await clock.advance(0.49)
        assert sum(task.done() for task in tasks) == second - 1
        await clock.advance(0.51)
    await asyncio.gather(*tasks)


# -- long uptimes -------------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("uptime", [0.0, 1e3, 3e7, 1e9])
@pytest.mark.parametrize(("rate", "burst"), [(10, 10), (3, 7), (7, 100), (1000, 1000)])
def test_the_whole_burst_goes_however_long_the_machine_has_run(
    algorithm: Any, uptime: float, rate: int, burst: int
) -> None:
    clock = ManualClock(uptime)
    limiter = RateLimiter(rate, burst=burst, algorithm=algorithm, clock=clock)
    for _ in range(3):
        assert [allowed(limiter) for _ in range(burst + 1)] == [True] * burst + [False]
        clock.shift(burst / rate + 1e-6)


@pytest.mark.parametrize("uptime", [0.0, 3e7, 1e9])
@pytest.mark.parametrize("rate", [3, 7, 30, 1000])
def test_an_even_stream_is_neither_refused_nor_faster_at_long_uptimes(uptime: float, rate: int) -> None:
    clock = ManualClock(uptime)
    limiter = RateLimiter(rate, burst=1, clock=clock)
    for number in range(1, 2000):
        assert allowed(limiter)
        assert not allowed(limiter)
        clock.shift(uptime + number / rate - clock.monotonic())
