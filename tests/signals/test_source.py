"""Selections and written series."""

from __future__ import annotations

import gc
import math

import pytest

from resilience.core.clock import ManualClock
from resilience.core.ports import Labels, Matcher, SampleSink, SampleSource
from resilience.errors import QueryError
from resilience.signals import Signals


def series(name: str, **labels: str) -> Labels:
    return tuple(sorted({"__name__": name, **labels}.items()))


def advance(signals: Signals, clock: ManualClock, seconds: float = 1.0) -> None:
    clock.shift(seconds)
    signals.tick(clock.now())


def test_it_is_what_the_protocols_say() -> None:
    signals = Signals(ManualClock())
    source: SampleSource = signals.source
    sink: SampleSink = signals
    assert source.epoch == pytest.approx(1_700_000_000 - 1_000)
    sink.write("rule", 1_000.0, [])


@pytest.mark.parametrize(
    ("matchers", "expected"),
    [
        ([("__name__", "=", "a_total")], {"1", "2", "3"}),
        ([("__name__", "=", "a_total"), ("code", "=", "500")], {"2"}),
        ([("__name__", "=", "a_total"), ("code", "!=", "500")], {"1", "3"}),
        ([("__name__", "=", "a_total"), ("code", "=~", "5..")], {"2", "3"}),
        ([("__name__", "=", "a_total"), ("code", "=~", "0")], set()),
        ([("__name__", "=", "a_total"), ("code", "=~", "200|503")], {"1", "3"}),
        ([("__name__", "=", "a_total"), ("code", "!~", "5..")], {"1"}),
        ([("__name__", "=", "a_total"), ("absent", "=", "")], {"1", "2", "3"}),
        ([("__name__", "=", "a_total"), ("absent", "=~", ".*")], {"1", "2", "3"}),
        ([("__name__", "=", "a_total"), ("absent", "=~", ".+")], set()),
        ([("__name__", "=~", "a_.*|b_total"), ("id", "!=", "1")], {"2", "3", "4"}),
        ([("id", "=", "4")], {"4"}),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_matchers_mean_the_same_before_and_after_the_series_are_born(
    matchers: list[tuple[str, str, str]], expected: set[str], first: bool
) -> None:
    signals = Signals(ManualClock())
    wanted = [Matcher(*one) for one in matchers]
    selection = signals.source.select(wanted) if first else None
    counter = signals.counter("a_total", labels=("code", "id"))
    counter.bind("200", "1")
    counter.bind("500", "2")
    counter.bind("503", "3")
    signals.counter("b_total", labels=("id",)).bind("4")
    selection = selection or signals.source.select(wanted)
    assert {dict(labels)["id"] for labels in selection.labels} == expected
    assert signals.source.select(wanted) is selection


def test_the_labels_object_changes_exactly_when_the_set_does() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    counter = signals.counter("a_total", labels=("id",))
    other = signals.counter("b_total", labels=("id",))
    selection = signals.source.select([Matcher("__name__", "=", "a_total")])
    counter.bind("1").inc()
    before = selection.labels
    counter.bind("1").inc()
    other.bind("1").inc()
    advance(signals, clock)
    assert selection.labels is before
    counter.bind("2")
    after = selection.labels
    assert after is not before
    assert [dict(labels)["id"] for labels in after] == ["1", "2"]
    counter.remove("1")
    assert [dict(labels)["id"] for labels in selection.labels] == ["2"]


def test_selections_that_nobody_holds_are_forgotten() -> None:
    signals = Signals(ManualClock())
    for number in range(50):
        signals.source.select([Matcher("__name__", "=", f"x{number}")])
    gc.collect()
    assert not signals._index._watchers._by_value


def test_a_pattern_that_is_not_one_is_refused() -> None:
    signals = Signals(ManualClock())
    with pytest.raises(QueryError, match="not a regular expression of RE2"):
        signals.source.select([Matcher("a", "=~", "(?<=x)y")])


def test_a_rule_sees_what_another_wrote_at_the_same_moment() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    advance(signals, clock)
    now = clock.monotonic()
    selection = signals.source.select([Matcher("__name__", "=", "job:errors:rate5m")])
    signals.write("rule 1", now, [(series("job:errors:rate5m", job="a"), 0.5)])
    assert signals.source.at(selection, now, 300) == ([0], (0.5,), [now])
    assert signals.source.increase(selection, now - 60, now) is None
    signals.write("rule 1", now, [(series("job:errors:rate5m", job="a"), 0.7)])
    assert signals.source.at(selection, now, 300)[1] == (0.7,)


def test_series_that_a_rule_writes_no_more_become_stale_and_may_come_back() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    a, b = series("ALERTS", alertname="A"), series("ALERTS", alertname="B")
    selection = signals.source.select([Matcher("__name__", "=", "ALERTS")])
    seen = []
    for written in ([a, b], [b], [a], []):
        advance(signals, clock)
        signals.write("rule", clock.monotonic(), [(labels, 1.0) for labels in written])
        indices, _, _ = signals.source.at(selection, clock.monotonic(), 300)
        seen.append([selection.labels[index] for index in indices])
    assert seen == [[a, b], [b], [a], []]
    now = clock.monotonic()
    samples = signals.source.samples(selection, now - 10, now)
    assert [list(one.times) for one in samples] == [[now - 3, now - 1], [now - 3, now - 2]]
    then = signals.source.at(selection, now - 2, 300)
    assert [selection.labels[index] for index in then[0]] == [b]


def test_a_written_nan_is_a_sample() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    selection = signals.source.select([Matcher("__name__", "=", "ratio")])
    signals.write("rule", clock.monotonic(), [(series("ratio"), float("nan"))])
    assert math.isnan(signals.source.at(selection, clock.monotonic(), 300)[1][0])


def test_written_series_long_stale_are_dropped() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    selection = signals.source.select([Matcher("__name__", "=", "x")])
    for number in range(200):
        advance(signals, clock, 360)
        signals.write("rule", clock.monotonic(), [(series("x", id=str(number)), 1.0)])
    assert len(selection.labels) < 80


def test_written_series_and_instruments_of_one_selection_are_read_together() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    signals.counter("a_total", labels=("id",)).bind("1").inc(3)
    advance(signals, clock)
    now = clock.monotonic()
    signals.write("rule", now, [(series("a_total", id="2"), 9.0)])
    selection = signals.source.select([Matcher("__name__", "=", "a_total")])
    indices, values, times = signals.source.at(selection, now, 300)
    assert (list(indices), list(values), list(times)) == ([0, 1], [3.0, 9.0], [now, now])
    assert signals.source.increase(selection, now - 10, now) is None
    assert [list(one.values) for one in signals.source.samples(selection, now - 10, now)] == [
        [0.0, 3.0],
        [9.0],
    ]


def test_written_series_are_kept_for_long_windows_when_asked() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    signals.retain("slo:ratio", 7 * 86_400.0)
    selection = signals.source.select([Matcher("__name__", "=", "slo:ratio")])
    for hour in range(100):
        advance(signals, clock, 3600)
        signals.write("rule", clock.monotonic(), [(series("slo:ratio"), float(hour))])
    now = clock.monotonic()
    values = list(signals.source.samples(selection, now - 80 * 3600, now)[0].values)
    assert values[-20:] == [float(hour) for hour in range(80, 100)] or values[-1] == 98.0
    assert signals.source.at(selection, now - 70 * 3600 + 1, 300)[1][0] == pytest.approx(29, abs=1)


def test_series_that_are_first_written_together_are_kept_for_long_windows_from_then_on(
    clock: ManualClock,
) -> None:
    signals = Signals(clock)
    signals.retain("r", 20 * 86_400)
    clock.shift(1)
    first = clock.monotonic()
    for second in range(3):
        signals.write("rule", clock.monotonic(), [(name(one), 10.0 * one + second) for one in range(3)])
        clock.shift(3600)
    selection = signals.source.select([Matcher("__name__", "=", "r")])
    found = signals.source.samples(selection, first - 1, clock.monotonic())
    assert [list(one.values) for one in found] == [
        [10.0 * one + second for second in range(3)] for one in range(3)
    ]


def name(one: int) -> tuple[tuple[str, str], ...]:
    return (("__name__", "r"), ("one", str(one)))
