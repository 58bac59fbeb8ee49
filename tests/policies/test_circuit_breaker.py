from __future__ import annotations

import asyncio
import gc
import math
import pickle
import weakref
from contextlib import suppress
from typing import Any

import pytest

from resilience.core.clock import ManualClock
from resilience.core.deadline import timeout
from resilience.core.window import CountWindow, TimeWindow
from resilience.errors import BulkheadFull, CircuitOpen, ConfigError, FailureRecord
from resilience.policies.breaker_events import BreakerTransition, ThresholdReached
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.events import CallRejected


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def make(clock: ManualClock, **options: Any) -> CircuitBreaker:
    return CircuitBreaker(
        **{"name": "b", "clock": clock, "window": CountWindow(10), "minimum_calls": 4, **options}
    )


def call(
    breaker: CircuitBreaker,
    *,
    error: BaseException | None = None,
    result: object = None,
    seconds: float = 0.0,
) -> None:
    """One call from beginning to end."""
    started = breaker.clock.monotonic()
    token = breaker.enter(started, None)
    breaker.clock.shift(seconds)
    breaker.leave(token, result, error, started, breaker.clock.monotonic())


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        call(breaker, error=ValueError("no"))


def succeed(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        call(breaker)


def heard(breaker: CircuitBreaker, kind: type = object) -> list[Any]:
    events = []
    breaker.events.subscribe(lambda event: events.append(event) if isinstance(event, kind) else None)
    return events


def half_open(breaker: CircuitBreaker) -> None:
    breaker.open()
    breaker.clock.shift(breaker.settings.open_duration)
    assert breaker.state == "half_open"


# -- closed -----------------------------------------------------------------------------------------------------


def test_it_opens_at_exactly_the_threshold(clock: ManualClock) -> None:
    breaker = make(clock, failure_rate=0.1, window=CountWindow(100), minimum_calls=30)
    succeed(breaker, 27)
    fail(breaker, 2)
    assert breaker.state == "closed"
    fail(breaker)  # 3 of 30; as floats 0.1 * 30 is above 3
    assert breaker.state == "open"


def test_it_never_opens_below_the_minimum(clock: ManualClock) -> None:
    breaker = make(clock)
    fail(breaker, 3)
    assert breaker.state == "closed"
    succeed(breaker)  # a success is judged as well
    assert breaker.state == "open"


def test_a_count_window_smaller_than_the_minimum_lowers_it(clock: ManualClock) -> None:
    breaker = make(clock, window=CountWindow(2), minimum_calls=20)
    fail(breaker, 2)
    assert breaker.state == "open"


def test_a_call_is_slow_strictly_above_the_threshold(clock: ManualClock) -> None:
    breaker = make(clock, slow_call_duration=1.0, slow_call_rate=1.0, minimum_calls=1)
    call(breaker, seconds=1.0)
    assert breaker.statistics().slow_calls == 0
    breaker.reset()
    call(breaker, seconds=1.5)
    assert breaker.state == "open"


def test_consecutive_failures_open_it_without_a_minimum_and_a_success_starts_over(clock: ManualClock) -> None:
    breaker = make(clock, failure_rate=None, consecutive_failures=3)
    fail(breaker, 2)
    succeed(breaker)
    fail(breaker, 2)
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open"


def test_failures_in_the_window_open_it_however_many_calls_succeed(clock: ManualClock) -> None:
    breaker = CircuitBreaker(failures=5, minimum_calls=10, window=60, clock=clock)
    assert breaker.settings.failure_rate is None
    fail(breaker, 5)
    succeed(breaker, 4)
    assert breaker.state == "closed"
    succeed(breaker)  # the tenth call
    assert breaker.state == "open"


def test_failures_of_alternating_calls_open_it_once_the_window_holds_enough(clock: ManualClock) -> None:
    breaker = CircuitBreaker(failures=5, minimum_calls=10, window=60, clock=clock)
    changes = heard(breaker, BreakerTransition)
    for _ in range(4):
        succeed(breaker, 10)
        fail(breaker)
    clock.shift(61)
    for _ in range(5):
        succeed(breaker, 10)
        assert breaker.state == "closed"
        fail(breaker)
    assert [(change.state, change.reason) for change in changes] == [("open", "failures")]


@pytest.mark.parametrize(
    ("permits", "outcomes", "state"),
    [
        (10, "x.x.x.x.x", "open"),
        (10, "x.x.x.x...", "closed"),
        (3, "xxx", "open"),
        (3, "x.x", "closed"),
    ],
)
def test_probes_reopen_it_by_the_number_of_failures(
    clock: ManualClock, permits: int, outcomes: str, state: str
) -> None:
    breaker = CircuitBreaker(failures=5, minimum_calls=9, half_open_permits=permits, clock=clock)
    half_open(breaker)
    for outcome in outcomes:
        if breaker.state == "half_open":
            (fail if outcome == "x" else succeed)(breaker)
    assert breaker.state == state


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"failures": 5, "consecutive_failures": 5}, "exclude each other"),
        ({"failures": 11, "window": CountWindow(10)}, "failures must be at most the 10 calls of the window"),
        ({"failures": 0}, "failures must be a whole number"),
        ({"slow_call_rate": 0.5}, "slow_call_rate has no effect without slow_call_duration"),
        ({"open_cap": 60.0}, "open_cap has no effect without an open_factor above 1"),
    ],
)
def test_options_without_an_effect_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CircuitBreaker(**options)


def test_a_rate_given_beside_a_number_of_failures_is_judged_too(clock: ManualClock) -> None:
    breaker = CircuitBreaker(failures=5, failure_rate=0.5, minimum_calls=2, clock=clock)
    fail(breaker, 2)
    assert breaker.state == "open"


def test_failures_that_have_left_the_time_window_count_no_more_even_without_traffic(
    clock: ManualClock,
) -> None:
    breaker = make(clock, window=TimeWindow(10.0, 10))
    fail(breaker, 3)
    clock.shift(11.0)
    assert breaker.statistics().calls == 0
    fail(breaker, 3)
    assert breaker.state == "closed"


def test_the_call_that_trips_it_raises_its_own_error(clock: ManualClock) -> None:
    async def main() -> None:
        breaker = make(clock, consecutive_failures=1)

        @breaker
        async def pay() -> None:
            raise LookupError("mine")

        with pytest.raises(LookupError, match="mine") as caught:
            await pay()
        assert breaker.state == "open"
        assert breaker.last_failure == FailureRecord("LookupError", "mine", clock.time())
        assert vars(caught.value) == {}

    asyncio.run(main())


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), BulkheadFull("inner"), KeyError("ignored"), GeneratorExit()]
)
async def test_cancelled_rejected_and_ignored_calls_count_nowhere(
    clock: ManualClock, error: BaseException | None
) -> None:
    breaker = make(clock, ignore=KeyError, consecutive_failures=1)
    call(breaker, error=error)
    assert breaker.statistics().calls == 0
    half_open(breaker)
    for _ in range(50):
        call(breaker, error=error)  # each gives its permit back
    assert breaker.state == "half_open"
    assert breaker.statistics().probes == 0


def test_errors_that_are_not_meant_are_successes_and_results_can_be_failures(clock: ManualClock) -> None:
    breaker = make(clock, on=OSError, failed_result=lambda status: status >= 500)
    call(breaker, error=ValueError())
    call(breaker, result=200)
    call(breaker, result=503)
    call(breaker, error=ConnectionError())
    statistics = breaker.statistics()
    assert (statistics.calls, statistics.failures) == (4, 2)
    assert breaker.state == "open"


def test_a_predicate_that_raises_breaks_no_call_and_keeps_no_permit(clock: ManualClock) -> None:
    def broken(_: object) -> None:
        raise RuntimeError

    breaker = make(clock, on=broken, failed_result=broken)
    half_open(breaker)
    call(breaker, result=1)
    call(breaker, error=ValueError())
    statistics = breaker.statistics()
    assert (statistics.calls, statistics.failures, statistics.probes) == (2, 1, 0)


async def test_a_timeout_around_it_is_a_failure_and_a_cancellation_from_outside_is_not() -> None:
    breaker = CircuitBreaker(consecutive_failures=1)

    @breaker
    async def hang() -> None:
        await asyncio.sleep(3600)

    task = asyncio.create_task(hang())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert breaker.state == "closed"
    with pytest.raises(TimeoutError):
        async with timeout(0.001):
            await hang()
    assert breaker.state == "open"
    assert breaker.last_failure is not None
    assert breaker.last_failure.type == "TimeoutExceeded"


# -- open -------------------------------------------------------------------------------------------------------


def test_an_open_breaker_says_who_why_and_until_when(clock: ManualClock) -> None:
    breaker = make(clock, name="payments", consecutive_failures=1, open_duration=30.0)
    events = heard(breaker, CallRejected)
    fail(breaker)
    clock.shift(12.0)
    with pytest.raises(CircuitOpen, match=r"^circuit breaker 'payments' is open$") as caught:
        breaker.enter(clock.monotonic(), None)
    error = caught.value
    assert (error.policy, error.state, error.retry_after) == ("payments", "open", 18.0)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.last_failure) == (str(error), error.last_failure)
    assert error.last_failure is not None
    assert error.last_failure.type == "ValueError"
    assert events == [CallRejected("payments", "circuit_breaker", "open", clock.monotonic(), 18.0, False)]
    assert breaker.statistics().rejected == 1


def test_a_refusal_leaves_nothing_to_the_garbage_collector(clock: ManualClock) -> None:
    breaker = make(clock)
    breaker.open()

    def refused() -> weakref.ref[CircuitOpen]:
        try:
            breaker.enter(clock.monotonic(), None)
        except CircuitOpen as error:
            return weakref.ref(error)
        raise AssertionError

    gc.disable()
    try:
        assert refused()() is None
    finally:
        gc.enable()


def test_it_lets_a_probe_through_from_exactly_the_end_of_the_wait(clock: ManualClock) -> None:
    breaker = make(clock, open_duration=30.0)
    breaker.open()
    end = clock.monotonic() + 30.0
    with pytest.raises(CircuitOpen):
        breaker.enter(math.nextafter(end, 0), None)
    assert breaker.enter(end, None)
    assert breaker.state == "half_open"


def test_its_state_is_honest_though_nobody_calls(clock: ManualClock) -> None:
    breaker = make(clock, open_duration=30.0)
    breaker.open()
    clock.shift(30.0)
    assert breaker.state == "half_open"
    assert breaker.statistics().retry_after is None


def test_the_open_duration_grows_to_its_cap_and_is_reset_once_closed(clock: ManualClock) -> None:
    breaker = make(
        clock, consecutive_failures=1, open_duration=10.0, open_factor=2.0, open_cap=35.0, half_open_permits=1
    )
    waits = []
    for _ in range(4):
        fail(breaker)
        waits.append(breaker.statistics().retry_after)
        clock.shift(waits[-1])
    succeed(breaker)
    assert breaker.state == "closed"
    fail(breaker)
    assert [*waits, breaker.statistics().retry_after] == [10.0, 20.0, 35.0, 35.0, 10.0]


@pytest.mark.parametrize(("drawn", "wait"), [(0.0, 8.0), (0.5, 10.0), (0.75, 11.0)])
def test_jitter_spreads_the_open_duration_both_ways(clock: ManualClock, drawn: float, wait: float) -> None:
    breaker = make(clock, open_duration=10.0, open_jitter=0.2, random=lambda: drawn)
    breaker.open()
    assert breaker.statistics().retry_after == pytest.approx(wait)


async def test_a_concurrent_trip_is_one_event(clock: ManualClock) -> None:
    breaker = make(clock, minimum_calls=1)
    events = heard(breaker, BreakerTransition)
    gate = asyncio.Event()

    @breaker
    async def work() -> None:
        await gate.wait()
        raise ValueError

    tasks = [asyncio.create_task(work()) for _ in range(20)]
    await asyncio.sleep(0)
    gate.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(error) for error in errors} == {ValueError}
    assert [(event.previous, event.state, event.reason) for event in events] == [
        ("closed", "open", "failure_rate")
    ]
    assert events[0].failure_rate == 1.0


# -- half open --------------------------------------------------------------------------------------------------


async def test_of_twenty_callers_at_half_open_exactly_the_permits_run(clock: ManualClock) -> None:
    breaker = make(clock, half_open_permits=3, minimum_calls=3)
    half_open(breaker)
    ran = 0

    @breaker
    async def probe() -> None:
        nonlocal ran
        ran += 1
        await asyncio.sleep(0)

    results = await asyncio.gather(*(probe() for _ in range(20)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, CircuitOpen)]
    assert (ran, len(refused)) == (3, 17)
    assert {(error.state, error.retry_after) for error in refused} == {("half_open", 30.0)}
    assert breaker.state == "closed"


def test_the_verdict_falls_with_the_smaller_of_permits_and_minimum(clock: ManualClock) -> None:
    breaker = make(clock, half_open_permits=10, minimum_calls=4)
    half_open(breaker)
    succeed(breaker, 3)
    assert breaker.state == "half_open"
    succeed(breaker)
    assert breaker.state == "closed"
    assert breaker.statistics().calls == 0  # closing clears the window

    half_open(breaker)
    fail(breaker, 2)
    succeed(breaker, 2)
    assert breaker.state == "open"  # at exactly the threshold


def test_probes_can_be_limited_to_one_at_a_time(clock: ManualClock) -> None:
    breaker = make(clock, half_open_permits=3, half_open_concurrency=1, minimum_calls=3)
    half_open(breaker)
    now = clock.monotonic()
    token = breaker.enter(now, None)
    with pytest.raises(CircuitOpen):
        breaker.enter(now, None)
    breaker.leave(token, None, None, now, now)
    succeed(breaker, 2)
    assert breaker.state == "closed"


def test_a_hung_probe_opens_it_again_and_its_late_result_counts_nowhere(clock: ManualClock) -> None:
    breaker = make(clock, half_open_permits=1, half_open_max_wait=60.0, open_duration=5.0)
    events = heard(breaker, BreakerTransition)
    half_open(breaker)
    started = clock.monotonic()
    token = breaker.enter(started, None)
    clock.shift(60.0)
    assert breaker.state == "open"
    assert events[-1].reason == "probe_timeout"
    clock.shift(5.0)
    assert breaker.state == "half_open"
    breaker.leave(token, None, None, started, clock.monotonic())
    assert breaker.state == "half_open"
    assert breaker.statistics().calls == 0


@pytest.mark.parametrize(("later", "state"), [(59.9, "half_open"), (60.0, "open"), (64.9, "open")])
def test_a_hung_probe_opens_it_when_its_time_is_up_though_nobody_looks(
    clock: ManualClock, later: float, state: str
) -> None:
    breaker = make(clock, half_open_permits=1, half_open_max_wait=60.0, open_duration=5.0)
    half_open(breaker)
    began = clock.monotonic()
    breaker.enter(began, None)
    clock.shift(later)
    with pytest.raises(CircuitOpen) as caught:
        breaker.enter(clock.monotonic(), None)
    assert caught.value.state == state
    assert caught.value.retry_after == pytest.approx(
        min(65.0 - later, 5.0) if state == "open" else 60.0 - later
    )


def test_an_hour_after_a_probe_hung_the_next_call_is_a_probe(clock: ManualClock) -> None:
    breaker = make(clock, half_open_permits=1, half_open_max_wait=60.0, open_duration=300.0)
    events = heard(breaker, BreakerTransition)
    half_open(breaker)
    began = clock.monotonic()
    breaker.enter(began, None)
    clock.shift(3600.0)
    breaker.enter(clock.monotonic(), None)
    assert [(event.state, event.at - began) for event in events[-2:]] == [
        ("open", 60.0),
        ("half_open", 3600.0),
    ]


def test_a_refusal_beside_probes_says_when_to_come_again(clock: ManualClock) -> None:
    breaker = make(clock, half_open_permits=1, half_open_max_wait=60.0, open_duration=5.0)
    half_open(breaker)
    events = heard(breaker, CallRejected)
    breaker.enter(clock.monotonic(), None)
    for passed, expected in ((0.0, 5.0), (57.0, 3.0)):
        clock.shift(passed)
        with pytest.raises(CircuitOpen) as caught:
            breaker.enter(clock.monotonic(), None)
        assert (caught.value.state, caught.value.retry_after) == ("half_open", expected)
        assert events[-1].retry_after == expected


def test_closing_it_while_it_is_closed_empties_its_window(clock: ManualClock) -> None:
    breaker = make(clock, failure_rate=0.5, minimum_calls=4)
    events = heard(breaker, BreakerTransition)
    early = breaker.enter(clock.monotonic(), None)
    fail(breaker, 3)
    breaker.close()
    assert breaker.statistics().calls == 0
    assert breaker.last_failure is None
    breaker.leave(early, None, ValueError(), clock.monotonic(), clock.monotonic())
    fail(breaker, 3)
    assert (breaker.state, breaker.statistics().calls, events) == ("closed", 3, [])


def test_what_failed_is_not_kept_in_memory(clock: ManualClock) -> None:
    class Local:
        pass

    breaker = make(clock, name="pay")
    gc.disable()
    try:

        async def pay() -> None:
            local = Local()
            kept.append(weakref.ref(local))
            raise ValueError("x" * 10_000)

        kept: list[weakref.ref[Local]] = []
        for _ in range(3):
            with suppress(ValueError):
                breaker.call(pay).send(None)
        assert [reference() for reference in kept] == [None] * 3
        assert breaker.last_failure is not None
        assert breaker.last_failure.text == "x" * 1024
    finally:
        gc.enable()


def test_little_traffic_is_no_hung_probe(clock: ManualClock) -> None:
    breaker = make(clock, half_open_permits=2, half_open_max_wait=60.0, minimum_calls=2)
    half_open(breaker)
    succeed(breaker)
    clock.shift(3600.0)
    assert breaker.state == "half_open"
    succeed(breaker)
    assert breaker.state == "closed"


def test_a_result_from_before_the_trip_decides_nothing(clock: ManualClock) -> None:
    breaker = make(clock, minimum_calls=1, half_open_permits=1)
    started = clock.monotonic()
    early = [breaker.enter(started, None) for _ in range(3)]
    fail(breaker)
    clock.shift(30.0)
    assert breaker.state == "half_open"
    for token in early:
        breaker.leave(token, None, None, started, clock.monotonic())
    assert breaker.state == "half_open"
    assert breaker.statistics().calls == 0


def test_probes_that_all_fail_open_it_though_only_failures_in_a_row_are_judged(clock: ManualClock) -> None:
    breaker = make(clock, failure_rate=None, consecutive_failures=5, half_open_permits=1)
    half_open(breaker)
    fail(breaker)
    assert breaker.state == "open"


async def test_a_probe_cancelled_at_any_point_returns_its_permit(clock: ManualClock) -> None:
    breaker = make(clock, half_open_permits=1)
    half_open(breaker)

    @breaker
    async def probe(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    for turns in range(1, 4):
        for waited in range(turns):
            task = asyncio.create_task(probe(turns))
            for _ in range(waited):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert breaker.statistics().probes == 0
    assert breaker.state == "half_open"
    await probe(1)
    assert breaker.state == "closed"


# -- control ----------------------------------------------------------------------------------------------------


def test_isolated_it_refuses_however_long_it_takes(clock: ManualClock) -> None:
    breaker = make(clock)
    breaker.isolate()
    clock.shift(1e6)
    with pytest.raises(CircuitOpen) as caught:
        breaker.enter(clock.monotonic(), None)
    assert (caught.value.state, caught.value.retry_after) == ("forced_open", None)
    breaker.close()
    succeed(breaker)


def test_opened_by_hand_after_its_wait_it_waits_again(clock: ManualClock) -> None:
    breaker = make(clock, open_duration=30.0)
    breaker.open()
    clock.shift(31.0)
    breaker.open()
    assert breaker.statistics().retry_after == 30.0


def test_disabled_it_neither_counts_nor_tells(clock: ManualClock) -> None:
    breaker = make(clock, consecutive_failures=1)
    breaker.disable()
    events = heard(breaker)
    fail(breaker, 20)
    assert events == []
    assert (breaker.state, breaker.statistics().calls) == ("disabled", 0)


def test_metrics_only_counts_refuses_nothing_and_tells_once(clock: ManualClock) -> None:
    breaker = make(clock)
    breaker.metrics_only()
    events = heard(breaker)
    fail(breaker, 20)
    assert events == [ThresholdReached("b", clock.monotonic(), "failure_rate", 1.0, 0.0)]
    assert breaker.statistics().failures == 10
    assert breaker.state == "metrics_only"


def test_observing_it_goes_through_all_states_and_refuses_nothing(clock: ManualClock) -> None:
    breaker = make(clock, mode="observe", half_open_permits=1, minimum_calls=2)
    events = heard(breaker)
    fail(breaker, 5)
    assert breaker.state == "open"
    clock.shift(30.0)
    succeed(breaker)
    assert breaker.state == "closed"
    assert [type(event).__name__ for event in events] == [
        "BreakerTransition",
        *["CallRejected"] * 3,
        *["BreakerTransition"] * 2,
    ]
    assert all(event.observed for event in events if isinstance(event, CallRejected))


def test_reset_begins_anew(clock: ManualClock) -> None:
    breaker = make(clock)
    early = breaker.enter(clock.monotonic(), None)
    fail(breaker, 4)
    with pytest.raises(CircuitOpen):
        succeed(breaker)
    breaker.reset()
    statistics = breaker.statistics()
    assert (statistics.state, statistics.calls, statistics.rejected, statistics.opened) == ("closed", 0, 0, 0)
    assert breaker.last_failure is None
    breaker.leave(early, None, None, 0.0, clock.monotonic())
    assert breaker.statistics().calls == 0


def test_a_listener_may_act_on_the_breaker_that_tells_it(clock: ManualClock) -> None:
    breaker = make(clock, consecutive_failures=1)
    breaker.events.subscribe(lambda event: breaker.close() if event.state == "half_open" else None)
    fail(breaker)
    clock.shift(30.0)
    succeed(breaker)
    assert breaker.state == "closed"


def test_options_change_while_it_works_and_counts_stay(clock: ManualClock) -> None:
    breaker = make(clock)
    fail(breaker, 3)
    breaker.reconfigure(minimum_calls=10, open_duration=5.0)
    fail(breaker, 6)
    assert (breaker.state, breaker.statistics().failures) == ("closed", 9)
    fail(breaker)
    assert breaker.statistics().retry_after == 5.0


def test_a_new_window_starts_empty_and_the_same_window_keeps_its_counts(clock: ManualClock) -> None:
    breaker = make(clock)
    fail(breaker, 3)
    breaker.reconfigure(window=CountWindow(10))
    assert breaker.statistics().calls == 3
    breaker.reconfigure(window=CountWindow(20))
    assert breaker.statistics().calls == 0


@pytest.mark.parametrize("permits", [1, 10])
def test_new_permits_while_half_open_wait_for_the_next_time(clock: ManualClock, permits: int) -> None:
    breaker = make(clock, half_open_permits=2, minimum_calls=5)
    half_open(breaker)
    breaker.reconfigure(half_open_permits=permits)
    succeed(breaker, 2)
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    "options",
    [
        {"failure_rate": 0.0},
        {"failure_rate": 1.1},
        {"failure_rate": math.nan},
        {"failure_rate": True},
        {"failure_rate": None},
        {"window": 0},
        {"window": "60"},
        {"minimum_calls": 0},
        {"slow_call_duration": 0},
        {"slow_call_rate": 0},
        {"consecutive_failures": 0},
        {"open_duration": -1},
        {"open_factor": 0.5},
        {"open_cap": 0},
        {"open_jitter": 1.5},
        {"half_open_permits": 0},
        {"half_open_concurrency": 11},
        {"half_open_max_wait": 0},
        {"on": "ValueError"},
        {"ignore": 3},
        {"failed_result": 3},
        {"mode": "off"},
    ],
)
def test_nonsense_is_refused_and_changes_nothing(clock: ManualClock, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        CircuitBreaker(**options)
    breaker = CircuitBreaker(clock=clock)
    before = breaker.settings
    with pytest.raises(ConfigError):
        breaker.reconfigure(**{"minimum_calls": 3, "open_duration": 1.0, **options})
    assert breaker.settings is before
    with pytest.raises(ConfigError, match="unknown option 'permits'"):
        breaker.reconfigure(permits=3)


async def test_it_guards_blocks_any_number_at_once(clock: ManualClock) -> None:
    breaker = make(clock, minimum_calls=2)
    async with breaker.guard(), breaker.guard():
        pass
    with pytest.raises(ValueError, match="mine"):
        async with breaker.guard():
            raise ValueError("mine")
    assert breaker.statistics().calls == 3


def test_a_plain_function_is_refused() -> None:
    with pytest.raises(ConfigError, match="async def"):
        CircuitBreaker()(lambda: 1)
