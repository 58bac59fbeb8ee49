"""Instruments: what they count, refuse, cap and drop."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from structlog.testing import capture_logs

from resilience.core.clock import ManualClock
from resilience.core.ports import Matcher
from resilience.core.verdict import Verdict
from resilience.errors import ConfigError
from resilience.signals import OVERFLOW, Retention, Signals, SliRecorder


def named(name: str, **labels: str) -> list[Matcher]:
    return [Matcher("__name__", "=", name), *(Matcher(label, "=", value) for label, value in labels.items())]


def advance(signals: Signals, clock: ManualClock, seconds: float = 1.0) -> None:
    clock.shift(seconds)
    signals.tick(clock.now())


def shown(signals: Signals) -> dict[str, dict[str, float]]:
    """What exporters see: name -> labels as text -> value."""
    found: dict[str, dict[str, float]] = {}
    for family in signals.collect():
        for name, labels, value in family.samples:
            found.setdefault(name, {})[",".join(f"{a}={b}" for a, b in labels)] = value
    return found


@pytest.fixture
def fast_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_counts_from_many_threads_are_exact(fast_switches: None) -> None:
    clock = ManualClock()
    signals = Signals(clock)
    counter = signals.counter("events_total", labels=("who",))
    gauge = signals.gauge("level").bind()
    histogram = signals.histogram("d_seconds", labels=("who",))
    recorder = SliRecorder(signals, service="shop")

    def work(worker: int) -> None:
        for turn in range(5000):
            counter["all",].inc()
            counter[str(turn % 7),].inc()
            gauge.inc()
            histogram["all",].observe(0.25)
            recorder.request("GET", f"/{turn % 11}", "200", Verdict.SUCCESS, 0.5)
            if worker == 0 and turn % 50 == 0:
                advance(signals, clock)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    figures = shown(signals)
    assert figures["events_total"]["who=all"] == 30_000
    assert sum(figures["events_total"].values()) == 60_000
    assert figures["level"][""] == 30_000
    assert figures["d_seconds_count"]["who=all"] == 30_000
    assert figures["d_seconds_sum"]["who=all"] == 7_500
    assert sum(figures["http_requests_total"].values()) == 30_000
    assert sum(figures["http_request_duration_seconds_count"].values()) == 30_000
    assert sum(figures["http_request_duration_seconds_sum"].values()) == 15_000


def test_a_histogram_shows_cumulative_buckets() -> None:
    signals = Signals(ManualClock())
    histogram = signals.histogram("d_seconds", buckets=(0.1, 1, math.inf)).bind()
    for value in (0.1, 0.100001, 1.0, 7.0):
        histogram.observe(value)
    figures = shown(signals)
    assert figures["d_seconds_bucket"] == {"le=0.1": 1, "le=1.0": 3, "le=+Inf": 4}
    assert figures["d_seconds_count"][""] == 4
    assert figures["d_seconds_sum"][""] == pytest.approx(8.200001)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0])
def test_figures_that_would_corrupt_a_counter_are_refused_counted_and_named_once(wrong: float) -> None:
    signals = Signals(ManualClock())
    counter = signals.counter("events_total").bind()
    histogram = signals.histogram("d_seconds").bind()
    with capture_logs() as logs:
        for _ in range(3):
            counter.inc(wrong)
            histogram.observe(wrong)
    assert [entry["instrument"] for entry in logs] == ["events_total", "d_seconds"]
    figures = shown(signals)
    assert figures["events_total"][""] == figures["d_seconds_count"][""] == 0
    assert figures["resilience_observations_refused_total"] == {
        "instrument=events_total": 3,
        "instrument=d_seconds": 3,
    }


def test_label_sets_over_the_cap_go_to_one_series_with_one_warning() -> None:
    signals = Signals(ManualClock(), max_label_sets=3)
    counter = signals.counter("events_total", labels=("user", "kind"))
    with capture_logs() as logs:
        for user in range(1000):
            counter[str(user), "x"].inc()
        counter["0", "x"].inc()
    assert [entry["event"] for entry in logs] == ["label_sets_over_cap"]
    figures = shown(signals)
    assert figures["events_total"] == {
        "kind=x,user=0": 2,
        "kind=x,user=1": 1,
        "kind=x,user=2": 1,
        f"kind={OVERFLOW},user={OVERFLOW}": 997,
    }
    assert figures["resilience_label_sets_refused_total"] == {"instrument=events_total": 997}
    assert len(counter) == 4


def test_requests_over_the_cap_are_counted_too() -> None:
    signals = Signals(ManualClock(), max_label_sets=2)
    recorder = SliRecorder(signals, service="shop")
    for route in range(10):
        recorder.request("GET", f"/{route}", "200", Verdict.SUCCESS, 0.1)
    figures = shown(signals)
    assert sum(figures["http_requests_total"].values()) == 10
    assert len(figures["http_requests_total"]) == 3
    assert len(recorder._columns) == 2


def test_what_is_declared_twice_is_one_instrument_and_must_be_the_same() -> None:
    signals = Signals(ManualClock())
    counter = signals.counter("events_total", labels=("kind",))
    assert signals.counter("events_total", labels=("kind",)) is counter
    for other in (
        lambda: signals.counter("events_total"),
        lambda: signals.gauge("events_total", labels=("kind",)),
    ):
        with pytest.raises(ConfigError, match="declared already"):
            other()
    signals.histogram("d", buckets=(1, 2))
    with pytest.raises(ConfigError, match="declared already"):
        signals.histogram("d", buckets=(1, 3))


def test_nonsense_is_refused_by_name() -> None:
    signals = Signals(ManualClock())
    counter = signals.counter("events_total", labels=("kind",))
    with pytest.raises(ConfigError, match="needs a string for each"):
        counter.bind("a", "b")
    with pytest.raises(ConfigError, match="needs a string for each"):
        counter.bind(404)  # type: ignore[arg-type]
    for declare in (
        lambda: signals.counter("a-b"),
        lambda: signals.counter("ab", labels=("x", "x")),
        lambda: signals.counter("ab", labels=("__x",)),
        lambda: signals.histogram("ab", buckets=(2, 1)),
        lambda: signals.histogram("ab", buckets=()),
        lambda: signals.gauge("ab", labels=("x",), callback=lambda: 1.0),
        lambda: Signals(prefix="a b"),
        lambda: Signals(idle_after=1e9),
        lambda: Signals(max_label_sets=0),
        lambda: Retention(rings=()),
        lambda: signals.retain("events_total", 36 * 86_400.0),
        lambda: signals.retain("events_total", float("nan")),
    ):
        with pytest.raises(ConfigError):
            declare()


def test_a_prefix_keeps_names_apart() -> None:
    signals = Signals(ManualClock(), prefix="rel_")
    SliRecorder(signals, service="shop").request("GET", "/", "200", Verdict.SUCCESS, 0.1)
    assert "rel_http_requests_total" in shown(signals)
    assert not any(family.name.startswith("http") for family in signals.collect())


def test_a_callback_is_asked_at_each_tick_and_its_failure_makes_the_series_stale() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    answers: list[float | str | Exception] = [1.0, RuntimeError("no"), "not a number", 4.0]

    def answer() -> float:
        now = answers.pop(0)
        if isinstance(now, Exception):
            raise now
        return now  # type: ignore[return-value]  # that is the point

    signals.gauge("depth", callback=answer)
    selection = signals.source.select(named("depth"))
    seen = []
    with capture_logs() as logs:
        for _ in range(4):
            advance(signals, clock)
            seen.append(list(signals.source.at(selection, clock.monotonic(), 300)[1]))
    assert seen == [[1.0], [], [], [4.0]]
    assert [entry["event"] for entry in logs] == ["sampler_failed"]
    assert list(signals.source.samples(selection, 0, clock.monotonic())[0].values) == [1.0, 4.0]


def test_a_gauge_may_be_nan_and_is_not_absent_then() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    signals.gauge("x").bind().set(float("nan"))
    advance(signals, clock)
    indices, values, _ = signals.source.at(signals.source.select(named("x")), clock.monotonic(), 300)
    assert list(indices) == [0]
    assert math.isnan(values[0])


def test_info_shows_one_set_of_facts() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    version = signals.info("deployment_info", labels=("version",))
    selection = signals.source.select(named("deployment_info"))
    for release in ("1", "2"):
        version.set(release)
        advance(signals, clock)
    assert [dict(labels)["version"] for labels in selection.labels] == ["2"]
    assert shown(signals)["deployment_info"] == {"version=2": 1.0}


def test_a_series_that_was_dropped_comes_back_from_zero_even_through_an_old_handle() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    counter = signals.counter("events_total", labels=("kind",))
    old = counter.bind("a")
    old.inc(100)
    for _ in range(20):
        advance(signals, clock)
    counter.remove("a")
    selection = signals.source.select(named("events_total"))
    assert selection.labels == []
    counter.bind("b").inc(1)  # takes the column of "a"
    advance(signals, clock)
    now = clock.monotonic()
    assert signals.source.increase(selection, now - 15, now) == ([0], [1.0])
    assert signals.source.at(selection, now - 10, 300)[0] == []
    assert list(signals.source.samples(selection, now - 15, now)[0].values) == [0.0, 1.0]
    old.inc(7)
    advance(signals, clock)
    now = clock.monotonic()
    assert signals.source.increase(selection, now - 15, now) == ([0, 1], [1.0, 7.0])
    assert counter.bind("a") is old


def test_every_kind_of_handle_outlives_its_series() -> None:
    signals = Signals(ManualClock())
    level = signals.gauge("level", labels=("kind",))
    raised, lowered = level.bind("a"), level.bind("b")
    histogram = signals.histogram("d_seconds", labels=("kind",))
    timed = histogram.bind("a")
    timed.observe(1.0)
    for instrument in (level, histogram):
        for kind in "ab":
            instrument.remove(kind)
            instrument.remove(kind)
    assert raised.current == 0.0
    raised.set(5)
    raised.dec(2)
    lowered.dec()
    timed.observe(2.0)
    figures = shown(signals)
    assert figures["level"] == {"kind=a": 3.0, "kind=b": -1.0}
    assert figures["d_seconds_sum"] == {"kind=a": 2.0}


def test_a_handle_whose_series_was_made_anew_by_somebody_else_follows_it() -> None:
    signals = Signals(ManualClock())
    counter = signals.counter("events_total", labels=("kind",))
    old = counter.bind("a")
    counter.remove("a")
    counter.bind("a").inc(2)
    old.inc(3)
    assert shown(signals)["events_total"] == {"kind=a": 5.0}


def test_a_series_that_moves_while_it_is_found_idle_stays() -> None:
    signals = Signals(ManualClock())
    counter = signals.counter("events_total", labels=("kind",))
    series = counter.bind("a")
    series.inc(3)
    signals.leave(counter, ("a",), unless_moved=[2.0])
    series.inc()
    assert shown(signals)["events_total"] == {"kind=a": 4}
    signals.leave(counter, ("a",), unless_moved=[4.0])
    assert "events_total" not in shown(signals)


def test_idle_series_are_dropped_unless_a_rule_keeps_them() -> None:
    clock = ManualClock()
    signals = Signals(clock, idle_after=600)
    counter = signals.counter("events_total", labels=("kind",))
    kept = signals.counter("kept_total", labels=("kind",))
    signals.retain("kept_total", 86_400.0)
    recorder = SliRecorder(signals, service="shop")
    idle, busy = counter.bind("idle"), counter.bind("busy")
    idle.inc()
    kept.bind("idle").inc()
    recorder.request("GET", "/idle", "200", Verdict.SUCCESS, 0.1)
    for _ in range(800):
        busy.inc()
        advance(signals, clock)
    figures = shown(signals)
    assert figures["events_total"] == {"kind=busy": 800}
    assert figures["kept_total"] == {"kind=idle": 1}
    assert "http_requests_total" not in figures
    recorder.request("GET", "/idle", "200", Verdict.SUCCESS, 0.1)
    idle.inc()
    figures = shown(signals)
    assert figures["events_total"] == {"kind=busy": 800, "kind=idle": 1}
    assert list(figures["http_requests_total"].values()) == [1]
    assert list(figures["http_request_duration_seconds_count"].values()) == [1]


HUGE = 10**5000


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (None, {}),
        (HUGE, {}),
        (b"a", {}),
        ("a", {"help_text": None}),
        ("a", {"help_text": "\ud800"}),
        ("a", {"help_text": True}),
        ("a", {"labels": "kind"}),
        ("a", {"labels": 5}),
        ("a", {"labels": (HUGE,)}),
        ("a", {"labels": ([],)}),
    ],
    ids=map(str, range(10)),
)
def test_a_declaration_of_wrong_types_is_refused_with_nothing_declared(name: object, options: object) -> None:
    signals = Signals(ManualClock())
    with pytest.raises(ConfigError, match="must be"):
        signals.counter(name, **options)  # type: ignore[arg-type]  # that is the point
    assert signals.find("a") is None


def test_a_number_of_thousands_of_digits_is_refused_as_any_other_label() -> None:
    signals = Signals(ManualClock())
    counter = signals.counter("events_total", labels=("kind",))
    with pytest.raises(ConfigError, match="needs a string"):
        counter.bind(HUGE)  # type: ignore[arg-type]  # that is the point
    for record in (
        lambda: signals.usage(HUGE),  # type: ignore[arg-type]
        lambda: signals.record_error("shop", HUGE, "cart"),  # type: ignore[arg-type]
        lambda: signals.record_request(service=HUGE, route="", success=True, duration=0),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigError, match="must be a string, got an int"):
            record()
