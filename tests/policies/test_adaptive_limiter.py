from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from resilience.core.clock import ManualClock
from resilience.core.deadline import timeout
from resilience.errors import ConfigError, LimitReached
from resilience.policies.adaptive_limiter import AdaptiveLimiter, LimitChanged
from resilience.policies.events import CallRejected
from resilience.policies.limit_algorithms import Aimd, Gradient2, LimitAlgorithm, LimitSample, Vegas

ALGORITHMS = pytest.mark.parametrize("algorithm", [Aimd(minimum=1), Gradient2(minimum=1), Vegas()])


def window(
    limiter: AdaptiveLimiter, latency: float, calls: int = 10, error: BaseException | None = None
) -> None:
    """One window of calls, all at once."""
    started = limiter.clock.monotonic()
    tokens = [limiter.enter(started, None) for _ in range(calls)]
    limiter.clock.shift(latency)
    for token in tokens:
        limiter.leave(token, None, error, started, limiter.clock.monotonic())


# -- the limiter ------------------------------------------------------------------------------------------------


def test_what_exceeds_the_limit_is_refused_and_room_comes_back() -> None:
    limiter = AdaptiveLimiter(Aimd(initial=2, minimum=1), name="db")
    events: list[object] = []
    limiter.events.subscribe(events.append)
    tokens = [limiter.enter(0.0, None) for _ in range(2)]
    with pytest.raises(LimitReached, match="'db' allows 2 calls"):
        limiter.enter(0.0, None)
    assert [type(event) for event in events] == [CallRejected]
    limiter.leave(tokens[0], None, None, 0.0, 0.0)
    assert limiter.enter(0.0, None)
    assert limiter.statistics().rejected == 1


def test_a_window_needs_its_time_and_its_calls() -> None:
    limiter = AdaptiveLimiter(Aimd(initial=10, minimum=1), window=1.0, minimum_calls=10, clock=ManualClock())
    window(limiter, 0.5)  # calls enough, too early
    assert limiter.limit == 10
    window(limiter, 0.6, calls=1)
    assert limiter.limit == 11  # now it is time
    window(limiter, 2.0, calls=9)  # time enough, too few calls
    assert limiter.limit == 11
    window(limiter, 0.0, calls=1)
    assert limiter.limit == 12
    assert limiter.statistics().latency == pytest.approx(1.8)


def test_calls_that_are_still_inside_count_for_the_next_window() -> None:
    clock = ManualClock()
    limiter = AdaptiveLimiter(Aimd(initial=10, minimum=1), minimum_calls=1, clock=clock)
    started = clock.monotonic()
    tokens = [limiter.enter(started, None) for _ in range(10)]
    for token in tokens[:2]:
        clock.shift(1.0)
        limiter.leave(token, None, None, started, clock.monotonic())
    assert limiter.limit == 12


def test_failed_calls_measure_nothing_and_dropped_ones_count_against_the_limit() -> None:
    limiter = AdaptiveLimiter(Aimd(initial=10, minimum=1), clock=ManualClock())
    events: list[object] = []
    limiter.events.subscribe(events.append)
    window(limiter, 2.0, error=ValueError())
    assert limiter.limit == 10
    window(limiter, 2.0, error=TimeoutError())
    assert limiter.limit == 9
    assert events == [LimitChanged("adaptive_limiter", 10, 9, limiter.clock.monotonic())]
    assert limiter.statistics().latency is None


async def test_a_timeout_around_the_call_is_a_drop_and_a_cancellation_is_not() -> None:
    limiter = AdaptiveLimiter(Aimd(initial=10, minimum=1), minimum_calls=1, window=1e-9)

    @limiter
    async def hang() -> None:
        await asyncio.sleep(3600)

    task = asyncio.create_task(hang())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (limiter.limit, limiter.statistics().in_flight) == (10, 0)
    with pytest.raises(TimeoutError):
        async with timeout(0.001):
            await hang()
    assert (limiter.limit, limiter.statistics().in_flight) == (9, 0)


def test_a_predicate_that_raises_breaks_no_call() -> None:
    def broken(_: BaseException) -> bool:
        raise RuntimeError

    limiter = AdaptiveLimiter(dropped=broken)
    limiter.leave(limiter.enter(0.0, None), None, ValueError(), 0.0, 1.0)
    assert limiter.statistics().in_flight == 0


def test_observing_it_refuses_nothing() -> None:
    limiter = AdaptiveLimiter(Aimd(initial=1, minimum=1), mode="observe")
    tokens = [limiter.enter(0.0, None) for _ in range(3)]
    assert limiter.statistics().rejected == 2
    for token in tokens:
        limiter.leave(token, None, None, 0.0, 0.0)
    assert limiter.statistics().in_flight == 0


def test_limiters_learn_apart_though_they_were_given_one_algorithm() -> None:
    algorithm = Aimd(initial=10, minimum=1)
    one, other = (AdaptiveLimiter(algorithm, clock=ManualClock()) for _ in range(2))
    window(one, 2.0)
    assert (one.limit, other.limit, algorithm.limit) == (11, 10, 10)


@pytest.mark.parametrize(("name", "kind"), [("gradient2", Gradient2), ("vegas", Vegas), ("aimd", Aimd)])
def test_algorithms_have_names(name: str, kind: type) -> None:
    assert AdaptiveLimiter(name).limit == kind().initial


def test_options_change_while_it_works() -> None:
    limiter = AdaptiveLimiter(Aimd(initial=10, minimum=1), clock=ManualClock())
    window(limiter, 2.0)
    limiter.reconfigure(minimum_calls=5)
    assert limiter.limit == 11
    limiter.reconfigure(algorithm=Vegas(initial=7))
    assert limiter.limit == 7


@pytest.mark.parametrize(
    "options",
    [
        {"algorithm": "fast"},
        {"algorithm": 3},
        {"window": 0},
        {"minimum_calls": 0},
        {"dropped": "TimeoutError"},
        {"mode": "off"},
    ],
)
def test_nonsense_is_refused_and_changes_nothing(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        AdaptiveLimiter(**options)
    limiter = AdaptiveLimiter()
    before = limiter.settings
    with pytest.raises(ConfigError):
        limiter.reconfigure(**{"minimum_calls": 3, **options})
    assert limiter.settings is before


class LimiterMachine(RuleBasedStateMachine):
    """No permit is ever lost or made, whatever the algorithm does."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.limiter = AdaptiveLimiter(
            Vegas(initial=3, maximum=8), window=0.5, minimum_calls=2, clock=self.clock
        )
        self.running: list[tuple[int, float]] = []

    @rule()
    def enter(self) -> None:
        now = self.clock.monotonic()
        if len(self.running) < self.limiter.limit:
            self.running.append((self.limiter.enter(now, None), now))
        else:
            with pytest.raises(LimitReached):
                self.limiter.enter(now, None)

    @precondition(lambda self: self.running)
    @rule(
        data=st.data(),
        error=st.sampled_from([None, None, None, TimeoutError(), ValueError()]),
        seconds=st.floats(0, 1),
    )
    def leave(self, data: st.DataObject, error: BaseException | None, seconds: float) -> None:
        self.clock.shift(seconds)
        token, started = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.limiter.leave(token, None, error, started, self.clock.monotonic())

    @invariant()
    def holds(self) -> None:
        assert self.limiter.statistics().in_flight == len(self.running)
        assert 1 <= self.limiter.limit <= 8


LimiterMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_the_limiter_keeps_count_of_its_permits = LimiterMachine.TestCase


# -- the algorithms ---------------------------------------------------------------------------------------------


@ALGORITHMS
@given(
    samples=st.lists(
        st.builds(
            LimitSample,
            st.one_of(st.none(), st.floats(0, 1e6)),
            st.integers(0, 2000),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_every_limit_stays_between_its_bounds(algorithm: Any, samples: list[LimitSample]) -> None:
    state: LimitAlgorithm = algorithm.start()
    for sample in samples:
        state.update(sample)
        assert algorithm.minimum <= state.limit <= algorithm.maximum


@ALGORITHMS
def test_a_limit_that_is_not_half_used_does_not_grow(algorithm: Any) -> None:
    state: LimitAlgorithm = algorithm.start()
    for _ in range(100):
        state.update(LimitSample(0.1, int(state.limit / 2) - 1, dropped=False))
    assert state.limit == algorithm.initial


@pytest.mark.parametrize("algorithm", [Gradient2(minimum=1), Vegas()])
def test_steady_latency_raises_the_limit_and_queueing_lowers_it(algorithm: Any) -> None:
    state: LimitAlgorithm = algorithm.start()
    for _ in range(50):
        state.update(LimitSample(0.1, int(state.limit), dropped=False))
    steady = state.limit
    assert steady > 2 * algorithm.initial
    for _ in range(20):
        state.update(LimitSample(1.0, int(state.limit), dropped=False))
    assert state.limit < steady * 0.95


@pytest.mark.parametrize("lucky", [0.001, 0.01])
def test_one_lucky_minimum_does_not_collapse_vegas(lucky: float) -> None:
    vegas = Vegas().start()
    for _ in range(5):
        vegas.update(LimitSample(0.1, int(vegas.limit), dropped=False))
    grown = vegas.limit
    vegas.update(LimitSample(lucky, int(vegas.limit), dropped=False))
    for _ in range(50):
        vegas.update(LimitSample(0.1, int(vegas.limit), dropped=False))
    assert vegas.limit > grown


def test_vegas_forgets_a_latency_that_is_no_longer_reached() -> None:
    vegas = Vegas(history=50).start()
    for latency in [0.1] * 20 + [0.2] * 60:
        vegas.update(LimitSample(latency, int(vegas.limit), dropped=False))
    before = vegas.limit
    vegas.update(LimitSample(0.2, int(vegas.limit), dropped=False))
    assert vegas.limit > before


def test_vegas_finds_the_limit_of_a_server_that_works_on_so_many_at_once() -> None:
    vegas = Vegas().start()
    for _ in range(300):
        in_flight = int(vegas.limit)
        vegas.update(LimitSample(0.1 * max(1.0, in_flight / 50), in_flight, dropped=False))
    assert 50 <= vegas.limit <= 70


@ALGORITHMS
def test_a_window_without_an_answer_or_a_drop_teaches_nothing(algorithm: Any) -> None:
    state: LimitAlgorithm = algorithm.start()
    state.update(LimitSample(None, 1, dropped=False))
    assert state.limit == algorithm.initial


def test_gradient2_lets_latency_rise_by_its_tolerance() -> None:
    gradient = Gradient2(minimum=1).start()
    for _ in range(20):
        gradient.update(LimitSample(0.1, int(gradient.limit), dropped=False))
    before = gradient.limit
    gradient.update(LimitSample(0.149, int(gradient.limit), dropped=False))
    assert gradient.limit > before


def test_gradient2_soon_forgets_a_long_overload() -> None:
    gradient = Gradient2(minimum=1).start()
    for latency in [1.0] * 10 + [0.1] * 60:
        gradient.update(LimitSample(latency, int(gradient.limit), dropped=False))
    before = gradient.limit
    for _ in range(3):
        gradient.update(LimitSample(0.5, int(gradient.limit), dropped=False))
    assert gradient.limit < before


def test_gradient2_comes_down_when_everything_is_dropped() -> None:
    gradient = Gradient2(minimum=1).start()
    for _ in range(30):
        gradient.update(LimitSample(None, 20, dropped=True))
    assert gradient.limit < 2


def test_aimd_takes_a_latency_above_its_timeout_for_a_drop() -> None:
    aimd = Aimd(initial=50, timeout=1.0).start()
    aimd.update(LimitSample(1.0, 50, dropped=False))
    assert aimd.limit == 51
    aimd.update(LimitSample(1.1, 50, dropped=False))
    assert aimd.limit == pytest.approx(45.9)


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: Aimd(backoff=1.0), "backoff"),
        (lambda: Aimd(backoff=0.4), "backoff"),
        (lambda: Aimd(timeout=0), "timeout"),
        (lambda: Aimd(initial=0), "initial"),
        (lambda: Aimd(minimum=0), "minimum"),
        (lambda: Aimd(maximum=10), "maximum"),
        (lambda: Gradient2(smoothing=0), "smoothing"),
        (lambda: Gradient2(tolerance=0.9), "tolerance"),
        (lambda: Gradient2(queue=0), "queue"),
        (lambda: Gradient2(long_window=5), "long_window"),
        (lambda: Vegas(smoothing=math.nan), "smoothing"),
        (lambda: Vegas(history=5), "history"),
    ],
)
def test_nonsensical_algorithms_are_refused(make: Any, option: str) -> None:
    with pytest.raises(ConfigError, match=option):
        make()
