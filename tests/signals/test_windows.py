"""Windows of the live source, against a model that keeps every event."""

from __future__ import annotations

from bisect import bisect_right

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience.core.clock import Instant, ManualClock
from resilience.core.ports import Matcher
from resilience.signals import Resolution, Retention, Signals

HOUR = 3600.0
SMALL = Retention(rings=(Resolution(1, 12), Resolution(4, 12), Resolution(16, 12)), long_step=64, gap=30)


def named(name: str, **labels: str) -> list[Matcher]:
    return [Matcher("__name__", "=", name), *(Matcher(label, "=", value) for label, value in labels.items())]


def advance(signals: Signals, clock: ManualClock, seconds: float = 1.0) -> None:
    clock.shift(seconds)
    signals.tick(clock.now())


class Model:
    """Every row of one counter, and the growth between interpolated edges."""

    def __init__(self, birth: float) -> None:
        self.times = [birth]
        self.values = [0.0]

    def tick(self, at: float, value: float) -> None:
        self.times.append(at)
        self.values.append(value)

    def value(self, at: float) -> float:
        place = bisect_right(self.times, at)
        if place == 0:
            return 0.0
        if place == len(self.times):
            return self.values[-1]
        a, b = self.times[place - 1], self.times[place]
        x, y = self.values[place - 1], self.values[place]
        return x + (y - x) * (at - a) / (b - a)


@given(
    steps=st.lists(st.tuples(st.floats(0.2, 3.0), st.integers(0, 9)), min_size=2, max_size=60),
    back=st.floats(0, 20),
    window=st.floats(0.5, 150),
)
@settings(max_examples=200, deadline=None)
def test_growth_in_any_window_is_that_of_every_event_within_what_the_ring_rounds(
    steps: list[tuple[float, int]], back: float, window: float
) -> None:
    clock = ManualClock()
    signals = Signals(clock, retention=SMALL)
    series = signals.counter("events_total").bind()
    selection = signals.source.select(named("events_total"))
    model = Model(clock.monotonic())
    for gap, events in steps:
        series.inc(events)
        advance(signals, clock, gap)
        model.tick(clock.monotonic(), series.current)
    end = clock.monotonic() - back
    start = end - window
    found = signals.source.increase(selection, start, end)
    assert found is not None
    indices, values = found
    if not indices:
        assert end <= model.times[0] or start >= clock.monotonic()
        return
    # Events move by at most one step of the ring that covers an edge, so the growth lies between these.
    slack = (
        2
        * next(
            (ring.step for ring in SMALL.rings if clock.monotonic() - start <= ring.step * (ring.rows - 4)),
            16.0,
        )
        + 3.0
    )
    low = model.value(end - slack) - model.value(start + slack)
    high = model.value(end + slack) - model.value(start - slack)
    assert low - 1e-9 <= values[0] <= high + 1e-9


@given(
    rate=st.integers(1, 50), window=st.sampled_from([10, 60, 300, 900, 3600, 6 * 3600]), back=st.floats(0, 50)
)
@settings(max_examples=30, deadline=None)
def test_steady_growth_is_exact_in_every_window(rate: int, window: int, back: float) -> None:
    clock = ManualClock()
    signals = Signals(clock)
    series = signals.counter("events_total").bind()
    selection = signals.source.select(named("events_total"))
    for _ in range(window // 7 + 40):
        series.inc(7 * rate)
        advance(signals, clock, 7)
    end = clock.monotonic() - back
    found = signals.source.increase(selection, end - window, end)
    assert found is not None
    assert found[1][0] == pytest.approx(window * rate)


@pytest.mark.parametrize(("window", "factor"), [(HOUR, 14.4), (6 * HOUR, 6.0)])
def test_a_burn_rate_alert_comes_when_the_formula_says(window: float, factor: float) -> None:
    """SRE Workbook, ch. 5: detection time = burn rate x window x (1 - target) / error ratio."""
    error_ratio, budget = 0.1, 0.001
    clock = ManualClock()
    signals = Signals(clock)
    total, bad = signals.counter("total").bind(), signals.counter("bad").bind()
    totals, bads = signals.source.select(named("total")), signals.source.select(named("bad"))
    for _ in range(int(window / 10) + 100):
        total.inc(1000)
        advance(signals, clock, 10)
    expected = factor * window * budget / error_ratio
    waited = 0.0
    while True:
        total.inc(100)
        bad.inc(10)
        advance(signals, clock)
        waited += 1
        now = clock.monotonic()
        grown_bad = signals.source.increase(bads, now - window, now)
        grown_total = signals.source.increase(totals, now - window, now)
        assert grown_bad is not None
        assert grown_total is not None
        if grown_bad[1][0] / grown_total[1][0] > factor * budget:
            break
    assert waited == pytest.approx(expected, abs=1.5)


def test_a_counter_born_in_the_window_grew_from_zero() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    counter = signals.counter("events_total", labels=("kind",))
    counter.bind("old").inc(5)
    for _ in range(100):
        advance(signals, clock)
    counter.bind("new").inc(3)
    advance(signals, clock)
    now = clock.monotonic()
    selection = signals.source.select(named("events_total"))
    assert signals.source.increase(selection, now - 50, now) == ([0, 1], [0.0, 3.0])
    assert signals.source.increase(selection, now - 500, now) == ([0, 1], [5.0, 3.0])
    new = signals.source.samples(selection, now - 50, now)[1]
    assert (list(new.times), list(new.values)) == ([now - 1, now], [0.0, 3.0])


def test_an_edge_between_birth_and_the_next_row_is_interpolated() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    advance(signals, clock)
    signals.counter("events_total").bind().inc(10)
    born = clock.monotonic()
    advance(signals, clock, 4)
    found = signals.source.increase(signals.source.select(named("events_total")), born + 1, born + 4)
    assert found == ([0], [7.5])


def test_windows_empty_without_ticks() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    signals.counter("events_total").bind().inc()
    selection = signals.source.select(named("events_total"))
    assert signals.source.increase(selection, clock.monotonic() - 60, clock.monotonic()) == ((), ())
    advance(signals, clock)
    assert signals.source.at(selection, clock.monotonic(), 300)[1] == (1.0,)
    clock.shift(301)
    now = clock.monotonic()
    assert signals.source.at(selection, now, 300) == ((), (), ())
    assert signals.source.increase(selection, now - 300, now) == ((), ())
    assert signals.source.samples(selection, now - 300, now)[0].times == []


def test_samples_expire_by_time_without_traffic() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    signals.counter("events_total").bind().inc(5)
    selection = signals.source.select(named("events_total"))
    for _ in range(65):
        advance(signals, clock)
    now = clock.monotonic()
    assert signals.source.increase(selection, now - 70, now) == ([0], [5.0])
    assert signals.source.increase(selection, now - 60, now) == ([0], [0.0])


@pytest.mark.parametrize("pause", [60.0, 600.0, 7200.0])
def test_a_suspended_process_leaves_a_gap_and_no_spike(pause: float) -> None:
    clock = ManualClock()
    signals = Signals(clock)
    series = signals.counter("events_total").bind()
    selection = signals.source.select(named("events_total"))
    for _ in range(120):
        series.inc(10)
        advance(signals, clock)
    asleep = clock.monotonic()
    series.inc(500)  # what had piled up is worked off before the first tick
    advance(signals, clock, pause)
    awake = clock.monotonic()
    assert signals.source.increase(selection, awake - 10, awake) == ((), ())
    for second in range(1, 31):
        series.inc(10)
        advance(signals, clock)
        found = signals.source.increase(selection, awake + second - 30, awake + second)
        assert found is not None
        assert found[1][0] == pytest.approx(10 * second)
    # A window that begins before it has all of it, and one that ended in it ends where it began.
    now = clock.monotonic()
    assert signals.source.increase(selection, asleep - 20, now) == ([0], [200 + 500 + 300])
    assert signals.source.increase(selection, asleep - 20, asleep + pause / 2) == ([0], [200.0])
    assert signals.source.at(selection, awake - 1, 10)[0] == ()


@pytest.mark.parametrize("interval", [0.05, 1.0, 15.0, 60.0])
def test_how_often_it_ticks_makes_no_difference_and_no_gaps(interval: float) -> None:
    clock = ManualClock()
    signals = Signals(clock)
    series = signals.counter("events_total").bind()
    selection = signals.source.select(named("events_total"))
    for _ in range(int(400 / interval)):
        series.inc(10 * interval)
        advance(signals, clock, interval)
    now = clock.monotonic()
    for window in (40, 170, 300):
        found = signals.source.increase(selection, now - window, now)
        assert found is not None
        assert found[1][0] == pytest.approx(10 * window)


def test_windows_that_end_in_the_past_are_those_of_then() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    series = signals.counter("events_total").bind()
    selection = signals.source.select(named("events_total"))
    seen = {}
    for second in range(4000):
        series.inc(second % 17)
        advance(signals, clock)
        now = clock.monotonic()
        seen[now] = signals.source.increase(selection, now - 10, now)
    now = clock.monotonic()
    assert signals.source.increase(selection, now - 40, now - 30) == seen[now - 30]
    half_an_hour = signals.source.increase(selection, now - 2400, now - 600)
    assert half_an_hour is not None
    assert half_an_hour[1][0] == pytest.approx(1800 * 8, rel=0.02)


def test_lookback_in_a_coarse_ring_is_its_step() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    series = signals.gauge("load").bind()
    selection = signals.source.select(named("load"))
    for hour in range(6):
        series.set(float(hour))
        for _ in range(360):
            advance(signals, clock, 10)
    now = clock.monotonic()
    assert signals.source.at(selection, now - 5 * HOUR + 1500, 300)[1] == (1.0,)


def test_clocks_that_step_back_or_lose_their_mind_change_nothing() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    series = signals.counter("events_total").bind()
    for _ in range(20):
        series.inc()
        advance(signals, clock)
    now = clock.monotonic()
    selection = signals.source.select(named("events_total"))
    for wrong in (now - 5, float("nan"), float("inf"), float("-inf")):
        signals.tick(Instant(wrong, clock.time()))
    signals.tick(Instant(now + 1, float("nan")))
    assert signals.source.epoch == clock.time() - clock.monotonic()
    clock.step_wall(-3600)
    clock.shift(1)
    advance(signals, clock)
    now = clock.monotonic()
    assert signals.source.epoch == clock.time() - now
    found = signals.source.increase(selection, now - 10, now)
    assert found is not None
    assert found[1][0] == pytest.approx(8)


def test_long_windows_are_kept_for_what_is_asked_for_and_no_longer_than_the_cap() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    counter = signals.counter("events_total", labels=("kind",))
    other = signals.counter("other_total").bind()
    signals.retain("events_total", 30 * 24 * HOUR)
    series = counter.bind("old")
    selection = signals.source.select(named("events_total"))
    others = signals.source.select(named("other_total"))
    for _ in range(40 * 24 * 4):
        series.inc(90)
        other.inc(90)
        advance(signals, clock, 900)
    counter.bind("new").inc(7)
    advance(signals, clock, 900)
    now = clock.monotonic()
    for days in (1, 3, 29.5, 30):
        window = days * 24 * HOUR
        found = signals.source.increase(selection, now - window, now)
        assert found is not None
        assert found[1] == pytest.approx([(window - 900) / 10, 7])
    # At this tick a row is kept every 900 s: what is not asked for reaches 65 rows back.
    not_kept = signals.source.increase(others, now - 30 * 24 * HOUR, now)
    assert not_kept is not None
    assert not_kept[1][0] < 7000
    old = signals.source.at(selection, now - 20 * 24 * HOUR, 300)
    assert len(old[0]) == 1


def test_what_is_asked_for_late_counts_from_then_on() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    series = signals.counter("events_total").bind()
    selection = signals.source.select(named("events_total"))
    for _ in range(100):
        series.inc(600)
        advance(signals, clock, 600)
    signals.retain([Matcher("__name__", "=~", "events_.*")], 7 * 24 * HOUR)
    for _ in range(100):
        series.inc(600)
        advance(signals, clock, 600)
    now = clock.monotonic()
    found = signals.source.increase(selection, now - 5 * 24 * HOUR, now)
    assert found is not None
    assert found[1][0] == pytest.approx(60_000)


def test_long_rows_do_not_grow_with_series_that_come_and_go(clock: ManualClock) -> None:
    signals = Signals(clock, retention=SMALL)
    counter = signals.counter("events_total", labels=("kind",))
    signals.retain(named("events_total"), 1000.0)
    selection = signals.source.select(named("events_total"))
    for kind in range(60):
        for _ in range(3):  # more than one long row for each
            counter.bind(str(kind)).inc(kind)
            advance(signals, clock, SMALL.long_step)
        found = signals.source.increase(selection, clock.monotonic() - 900, clock.monotonic())
        assert found is not None
        assert sum(found[1]) == pytest.approx(3 * kind)
        counter.remove(str(kind))
    assert len(signals._table.rings.long.rows[-1]) == 1


def test_histograms_read_as_cumulative_buckets_in_long_rows_too() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    histogram = signals.histogram("d_seconds", labels=("route",), buckets=(0.1, 1.0))
    signals.retain("d_seconds_bucket", 24 * HOUR)
    for _ in range(24):
        for value in (0.05, 0.1, 0.5, 5.0):
            histogram.bind("/a").observe(value)
        histogram.bind("/b").observe(0.5)
        advance(signals, clock, HOUR)
    now = clock.monotonic()
    buckets = signals.source.select(named("d_seconds_bucket"))
    assert [dict(labels)["le"] for labels in buckets.labels] == ["0.1", "1.0", "+Inf"] * 2
    for window, hours in ((2 * HOUR, 2), (20 * HOUR, 20)):
        found = signals.source.increase(buckets, now - window, now)
        assert found is not None
        assert found[1] == pytest.approx([2 * hours, 3 * hours, 4 * hours, 0, hours, hours])
    one = signals.source.select(named("d_seconds_bucket", le="1.0"))
    assert signals.source.at(one, now, 300)[1] == [72.0, 24.0]
    count = signals.source.select(named("d_seconds_count"))
    assert signals.source.at(count, now, 300)[1] == [96.0, 24.0]
    total = signals.source.select(named("d_seconds_sum", route="/b"))
    assert signals.source.at(total, now, 300)[1] == (12.0,)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ("0.1|0.5", [2.0, 3.0, 0.0, 1.0]),
        ("0.5|1.0", [3.0, 3.0, 1.0, 2.0]),
        ("0.1|1.0", [2.0, 3.0, 0.0, 2.0]),
        (r"0.1|0.5|\+Inf", [2.0, 3.0, 4.0, 0.0, 1.0, 2.0]),
        (r"0.5|\+Inf", [3.0, 4.0, 1.0, 2.0]),
        (r"0.1|\+Inf", [2.0, 4.0, 0.0, 2.0]),
    ],
)
def test_buckets_that_are_left_out_are_not_those_that_are_read(bounds: str, expected: list[float]) -> None:
    clock = ManualClock()
    signals = Signals(clock)
    histogram = signals.histogram("d_seconds", labels=("route",), buckets=(0.1, 0.5, 1.0))
    for route, values in (("/a", (0.05, 0.1, 0.5, 5.0)), ("/b", (0.3, 0.7))):
        for value in values:
            histogram.bind(route).observe(value)
    advance(signals, clock)
    found = signals.source.select([*named("d_seconds_bucket"), Matcher("le", "=~", bounds)])
    assert list(signals.source.at(found, clock.monotonic(), 300)[1]) == expected


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("inc"), st.sampled_from("abc"), st.integers(1, 5)),
            st.tuples(st.just("remove"), st.sampled_from("abc"), st.just(0)),
            st.tuples(st.just("tick"), st.just(""), st.sampled_from([1, 1.5, 2, 7])),
            st.tuples(st.just("keep"), st.sampled_from("abc"), st.just(0)),
        ),
        max_size=80,
    )
)
@settings(max_examples=200, deadline=None)
def test_births_drops_and_columns_used_again_never_change_what_a_window_holds(
    steps: list[tuple[str, str, float]],
) -> None:
    clock = ManualClock()
    signals = Signals(clock, retention=SMALL)
    counter = signals.counter("events_total", labels=("kind",))
    selection = signals.source.select(named("events_total"))
    live: dict[str, Model] = {}
    counts: dict[str, float] = {}
    ticks = [clock.monotonic()]
    for what, kind, amount in steps:
        if what == "inc":
            live.setdefault(kind, Model(ticks[-1]))
            counts[kind] = counts.get(kind, 0.0) + amount
            counter.bind(kind).inc(amount)
        elif what == "remove":
            live.pop(kind, None)
            counts.pop(kind, None)
            counter.remove(kind)
        elif what == "keep":
            signals.retain(named("events_total", kind=kind), 1000.0)
        else:
            advance(signals, clock, amount)
            ticks.append(clock.monotonic())
            for name, model in live.items():
                model.tick(ticks[-1], counts[name])
        for back, start in enumerate(ticks[-9:-1]):  # rows that are still in the finest ring
            found = signals.source.increase(selection, start, ticks[-1])
            assert found is not None
            grown = {
                dict(selection.labels[index])["kind"]: value for index, value in zip(*found, strict=True)
            }
            expected = {
                name: model.value(ticks[-1]) - model.value(start)
                for name, model in live.items()
                if model.times[0] < ticks[-1]
            }
            assert grown == pytest.approx(expected), back
