from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.core.window import CallCounts, CountWindow, TimeWindow
from resilience.errors import ConfigError

CALLS = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.floats(0, 4, allow_nan=False, width=32)), max_size=120
)


def figures(counts: CallCounts) -> tuple[int, int, int]:
    return counts.calls, counts.failures, counts.slow_calls


@given(size=st.integers(1, 12), calls=CALLS)
def test_a_count_window_holds_exactly_the_last_n_calls(
    size: int, calls: list[tuple[bool, bool, float]]
) -> None:
    counts = CountWindow(size).start()
    seen: list[tuple[bool, bool]] = []
    for failed, slow, _ in calls:
        counts.record(failed, slow, 0.0)
        seen = [*seen, (failed, slow)][-size:]
        assert figures(counts) == (len(seen), sum(f for f, _ in seen), sum(s for _, s in seen))


@given(
    seconds=st.sampled_from([0.3, 1.0, 5.0, 10.0]),
    buckets=st.integers(1, 12),
    start=st.sampled_from([-7.5, 0.0, 0.1, 1000.0, 2.0**40]),
    calls=CALLS,
)
def test_a_time_window_holds_exactly_its_last_buckets_after_a_write_and_after_a_read(
    seconds: float, buckets: int, start: float, calls: list[tuple[bool, bool, float]]
) -> None:
    counts = TimeWindow(seconds, buckets).start()
    width = seconds / buckets
    now = start
    seen: list[tuple[int, bool, bool]] = []

    def expected() -> tuple[int, int, int]:
        held = [call for call in seen if math.floor(now / width) - call[0] < buckets]
        return len(held), sum(failed for _, failed, _ in held), sum(slow for _, _, slow in held)

    for failed, slow, gap in calls:
        now += round(gap * 8) * width / 8  # many steps, among them whole buckets
        counts.expire(now)
        if abs(now / width - round(now / width)) < 1e-6:  # on an edge floats may fall to either side
            now += width / 16
            counts.expire(now)
        assert figures(counts) == expected()
        counts.record(failed, slow, now)
        seen.append((math.floor(now / width), failed, slow))
        assert figures(counts) == expected()


def test_a_call_leaves_the_time_window_exactly_with_its_bucket() -> None:
    counts = TimeWindow(10.0, 10).start()
    counts.record(True, True, 1000.0)
    counts.expire(math.nextafter(1010.0, 0))
    assert figures(counts) == (1, 1, 1)
    counts.expire(1010.0)
    assert figures(counts) == (0, 0, 0)


def test_a_write_expires_what_has_left_by_its_time() -> None:
    counts = TimeWindow(10.0, 10).start()
    counts.record(True, False, 1000.0)
    counts.record(False, False, 1010.0)
    assert figures(counts) == (1, 0, 0)


def test_a_pause_of_any_length_costs_no_more_than_the_buckets() -> None:
    counts = TimeWindow(60.0).start()
    counts.record(True, False, 0.0)
    counts.expire(1e15)
    assert figures(counts) == (0, 0, 0)


@pytest.mark.parametrize(
    ("seconds", "buckets"), [(60.0, 60), (2.5, 10), (10.5, 11), (100_000.0, 10_000), (0.001, 10)]
)
def test_buckets_are_of_one_second_or_finer_and_bounded(seconds: float, buckets: int) -> None:
    assert len(TimeWindow(seconds).start()._starts) == buckets


def test_one_window_serves_many_breakers() -> None:
    window = TimeWindow(10.0)
    one, other = window.start(), window.start()
    one.record(True, False, 1.0)
    assert figures(other) == (0, 0, 0)
    assert window == TimeWindow(10.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: CountWindow(0),
        lambda: CountWindow(True),
        lambda: CountWindow(1.5),
        lambda: TimeWindow(0.0),
        lambda: TimeWindow(math.nan),
        lambda: TimeWindow(10.0, 0),
        lambda: TimeWindow(10.0, 10_001),
    ],
)
def test_nonsense_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match="must be a"):
        make()


@given(
    window=st.sampled_from([CountWindow(5), TimeWindow(3.0, 3), TimeWindow(10.0, 1)]),
    start=st.sampled_from([-7.5, 0.0, 1000.0]),
    calls=CALLS,
)
def test_as_long_as_it_is_quiet_a_good_call_is_one_more_and_nothing_else(
    window: CountWindow | TimeWindow, start: float, calls: list[tuple[bool, bool, float]]
) -> None:
    counts = window.start()
    now = start
    for failed, slow, later in calls:
        now += later
        expected = (counts.calls + 1, 0, 0) if now < counts.quiet_until else None
        if expected is None:
            counts.record(failed, slow, now)
        else:
            counts.record(False, False, now)
            assert figures(counts) == expected


def test_a_time_window_is_quiet_from_its_first_good_call_until_one_is_not() -> None:
    counts = TimeWindow(10).start()
    counts.record(False, False, 100.0)
    assert counts.quiet_until == 101.0
    counts.record(False, True, 100.5)
    assert counts.quiet_until < 100.5
    counts.expire(111.0)
    assert counts.quiet_until == 112.0
