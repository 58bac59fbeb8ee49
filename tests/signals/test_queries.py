"""PromQL over the live rings: the same answers as over the same samples in memory, and nothing kept for ever."""

from __future__ import annotations

import gc
import math
from collections import Counter
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from resilience import Reliability
from resilience.core.clock import Instant, ManualClock
from resilience.errors import ConfigError
from resilience.promql import MemorySource, Scalar, Value, Vector, evaluate, evaluate_range
from resilience.rules import AlertRule, Evaluator, RecordingRule, RuleGroup, loads
from resilience.signals import Resolution, Retention, Signals

SECONDS = 50  # fewer than the finest ring holds: each tick is a sample of its own


def twins(clock: ManualClock) -> tuple[Signals, MemorySource]:
    """Two gauges of a minute, live and in memory; one of them is stale for a while."""
    signals, memory = Signals(clock), MemorySource(epoch=clock.time() - clock.monotonic())
    gauge = signals.gauge("level", labels=("room",))
    for second in range(SECONDS):
        clock.shift(1)
        for room, value in (("a", math.sin(second)), ("b", second * 7 % 11)):
            if room == "b" and 20 <= second < 30:
                gauge.remove(room)
                continue
            gauge[room,].set(value)
            labels = (("__name__", "level"), ("room", room))
            memory.add(labels, [(clock.monotonic(), value)])
        if second == 20:
            memory.add((("__name__", "level"), ("room", "b")), [(clock.monotonic(), math.nan)])
        signals.tick(clock.now())
    return signals, memory


QUERIES = [
    'level{room="a"}',
    'level{room="a"} offset 7s',
    'level{room="a"} offset -3s',
    'avg_over_time(level{room="a"}[20s] offset 5s)',
    'max_over_time(level{room="a"}[30s:5s])',
    'max_over_time(avg_over_time(level{room="a"}[5s])[30s:5s] offset 4s)',
    'sum_over_time((level{room="a"} > 0)[20s:1s])',
    'level{room="a"} @ start() + level{room="a"} @ end()',
    'min_over_time(level{room="a"}[10s] @ end())',
    'predict_linear(level{room="a"}[20s], 60)',
    'deriv(level{room="a"}[20s]) - level{room="a"} offset 1s',
    'changes(level{room="a"}[30s])',
    'delta(level{room="a"}[15s] offset 10s)',
    'quantile_over_time(0.4, level{room="a"}[40s])',
    'count_over_time(level{room="a"}[40s])',
    'last_over_time(level{room="a"}[3s]) == level{room="a"}',
    'timestamp(level{room="a"})',
    'absent_over_time(level{room="c"}[10s])',
]


def figures(value: Value) -> object:
    assert isinstance(value, Vector | Scalar)
    if isinstance(value, Scalar):
        return pytest.approx(value.value)
    return {labels: pytest.approx(each, nan_ok=True) for labels, each in value}


@pytest.mark.parametrize("query", QUERIES)
def test_rings_and_memory_answer_the_same(clock: ManualClock, query: str) -> None:
    signals, memory = twins(clock)
    end = clock.monotonic()
    for at in (end, end - 3, end - 11):
        live = evaluate(query, signals.source, at, lookback=5)
        assert isinstance(live, Vector | Scalar)
        found = dict(live) if isinstance(live, Vector) else live.value
        assert found == figures(evaluate(query, memory, at, lookback=5))
    live_series, series = (
        evaluate_range(query, source, end - 20, end, 4, lookback=5) for source in (signals.source, memory)
    )
    assert series
    assert [(one.labels, list(one.times)) for one in live_series] == [
        (one.labels, list(one.times)) for one in series
    ]
    for one, other in zip(live_series, series, strict=True):
        assert list(one.values) == pytest.approx(list(other.values))


def test_at_with_a_time_means_unix_time(clock: ManualClock) -> None:
    signals, _ = twins(clock)
    then = clock.time() - 12
    there = evaluate("level offset 12s", signals.source, clock.monotonic())
    assert evaluate(f"level @ {then!r}", signals.source, clock.monotonic()) == there


def test_what_is_recorded_of_a_series_that_was_dropped_becomes_stale(clock: ManualClock) -> None:
    signals = Signals(clock)
    level = signals.gauge("level", labels=("room",))
    rules = Evaluator(
        [RuleGroup("g", (RecordingRule("twice:level", "level * 2"),), interval=1)], signals.source, signals
    )
    seen = []
    for second in range(6):
        clock.shift(1)
        level["a",].set(second)
        if second == 3:
            level.remove("b")
        elif second < 3:
            level["b",].set(second)
        signals.tick(clock.now())
        rules.tick(clock.now())
        recorded = evaluate("twice:level", signals.source, clock.monotonic())
        assert isinstance(recorded, Vector)
        seen.append([dict(labels)["room"] for labels in recorded.labels])
    assert seen == [["a", "b"]] * 3 + [["a"]] * 3


def test_a_window_beyond_the_cap_is_refused_with_the_rule_and_its_place(tmp_path: Path) -> None:
    text = """\
groups:
  - name: g
    rules:
      - {alert: Fine, expr: up == 0}
      - {alert: TooLong, expr: 'sum(increase(http_requests_total[60d])) > 5'}
"""
    file = tmp_path / "rules.yml"
    file.write_text(text)
    expected = r"rules.yml:5: rule TooLong: expr: a window of 60d is more than is kept: the cap is 5w"
    with pytest.raises(ConfigError, match=expected):
        Reliability(service="shop", rules=[file])
    with pytest.raises(ConfigError, match="rule TooLong: expr: a window of 60d"):
        Reliability(service="shop", rules=[AlertRule("TooLong", "sum(increase(x[60d])) > 5")])


def test_a_rule_that_would_be_evaluated_for_ever_is_refused_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text("groups: [{name: g, rules: [{alert: A, expr: 'max_over_time(up[30d:1s]) > 1'}]}]")
    with pytest.raises(ConfigError, match=r"rules.yml:1: rule A: expr: the subquery has 2.59e\+06 steps"):
        Reliability(service="shop", rules=[file])


def test_thousands_of_ticks_leave_nothing_behind(clock: ManualClock) -> None:
    signals = Signals(clock, retention=Retention(rings=(Resolution(1, 70), Resolution(5, 40)), long_step=60))
    requests = signals.counter("requests_total", labels=("route",))
    text = """\
groups:
  - name: g
    interval: 1s
    rules:
      - {record: 'route:requests:rate30s', expr: 'sum by (route) (rate(requests_total[30s]))'}
      - {record: 'requests:max1m', expr: 'max_over_time(sum(rate(requests_total[10s]))[1m:10s])'}
      - alert: Busy
        expr: route:requests:rate30s > 0.1
        annotations: {summary: '{{ query "sum(requests_total)" | first | value }}'}
"""
    rules = Evaluator(loads(text), signals.source, signals, retain=signals.retain)

    def play(ticks: int) -> None:
        for tick in range(ticks):
            clock.shift(1)
            # Routes come and go: at most forty at a time.
            requests[f"/{tick % 160}",].inc()
            requests["/always",].inc(tick % 3)
            gone = f"/{(tick - 40) % 160}"
            if (gone,) in requests:
                requests.remove(gone)
            signals.tick(clock.now())
            rules.tick(clock.now())

    def alive() -> Counter[str]:
        """Count what the signals and the rules hold, and nothing else of the process."""
        gc.collect()
        waiting: list[object] = [signals, rules]
        seen: dict[int, object] = {}
        while waiting:
            one = waiting.pop()
            if id(one) in seen or isinstance(one, type | ModuleType):
                continue
            seen[id(one)] = one
            # A function refers to its module, and so to the whole process: only its closure is its own.
            waiting += [one.__closure__] if isinstance(one, FunctionType) else gc.get_referents(one)
        return Counter(type(one).__name__ for one in seen.values())

    play(480)  # rings fill up, and what was written is swept once no window looks back to it
    before = alive()
    assert sum(before.values()) > 1000
    play(640)
    grown = {name: count - before[name] for name, count in alive().items() if count > before[name] + 100}
    assert grown == {}


def test_evaluation_is_not_disturbed_by_time_that_stands_still(clock: ManualClock) -> None:
    signals, _ = twins(clock)
    rules = Evaluator([RuleGroup("g", (AlertRule("High", "level > -2"),), interval=1)], signals.source)
    now = clock.now()
    assert len(rules.tick(now)) == 2
    assert rules.tick(now) == []
    assert rules.tick(Instant(now.monotonic - 5, now.wall)) == []
