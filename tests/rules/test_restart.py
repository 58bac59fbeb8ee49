"""Restarts: an alert ends when it is known to have ended, not because windows begin anew."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from resilience import promql
from resilience.core.clock import Instant
from resilience.promql.show import show
from resilience.rules import AlertRule, Evaluator, RecordingRule, RuleGroup
from resilience.rules.model import Rule
from resilience.rules.warm_up import EndProof, WarmUp
from tests.stored import rows_of

WALL = 1_700_000_000


def at(seconds: float) -> Instant:
    return Instant(seconds, WALL + seconds)


class Process:
    """One process with the alerts that an earlier process left."""

    def __init__(
        self,
        rules: Sequence[Rule],
        saved: tuple[dict[str, dict[str, bytes]], float] | None = None,
        begins: float = 0.0,
        offset: float = 0.0,
    ) -> None:
        self.samples = promql.MemorySource()
        groups = [RuleGroup(rule.name, (rule,), interval=10, query_offset=offset) for rule in rules]
        self.rules = Evaluator(groups, self.samples, self.samples)
        self.now = begins
        if saved is not None:
            rows, down_at = saved
            self.rules.restore(rows, at(begins), down_at=down_at)

    def run(self, seconds: float, **rates: float) -> list[tuple[str, str]]:
        """Count so many events a second, and evaluate every 10 seconds."""
        told = []
        for _ in range(int(seconds / 10)):
            for name, rate in rates.items():
                self.samples.add(name, [(self.now, (self.now % 100_000) * rate)])
            told += [(t.alert.rule, t.state.value) for t in self.rules.tick(at(self.now))]
            self.now += 10
        return told

    def restarted(self, rules: Sequence[Rule], after: float = 0.0) -> Process:
        return Process(rules, (rows_of(self.rules), at(self.now).wall), self.now + after)


RATE = RecordingRule("job:errors:rate5m", "sum(rate(errors_total[5m]))")
OVER_RATE = RecordingRule("job:errors:mean10m", "avg_over_time(job:errors:rate5m[10m])")


@pytest.mark.parametrize(
    ("rules", "expr", "window"),
    [
        ([], "rate(errors_total[5m]) > 1", 300),
        ([RATE], "job:errors:rate5m > 1", 310),
        ([RATE, OVER_RATE], "job:errors:mean10m > 1", 920),
        ([OVER_RATE, RATE], "job:errors:mean10m > 1", 920),
        ([RATE], "max_over_time(job:errors:rate5m[20m]) > 1", 1510),
        ([RATE], "max_over_time(job:errors:rate5m[20m:10s]) > 1", 1510),
        ([], "job:errors:unknown > 1", 300),
        ([RATE], '{__name__=~"job:errors:.*"} > 1', 310),
        ([RecordingRule("a", "a or vector(2)")], "a > 1", 310),
        ([RecordingRule("job:errors:now", "errors_total")], "job:errors:now > 1", 10),
        ([], "errors_total offset 1m > 1", 60),
        ([], "errors_total offset -1m", 0),
        ([], "errors_total @ 0 > 1", 300),
        ([], "rate(errors_total[5m] offset 1m) > 1", 360),
        ([], "rate(errors_total[5m] offset -10m) > 1", 0),
        ([], "rate(errors_total[5m] @ 0) > 1", 600),
        ([], "max_over_time(errors_total[20m:10s] offset 1m) > 1", 1260),
        ([], "max_over_time(errors_total[20m:10s] offset -30m) > 1", 0),
        ([], "ALERTS > 0", 300),
        ([], "ALERTS_FOR_STATE > 0", 300),
    ],
)
def test_a_rule_warms_up_for_as_long_as_the_windows_behind_its_series(
    rules: list[RecordingRule], expr: str, window: float
) -> None:
    warm_up = WarmUp([(rule, 10.0) for rule in rules], 300.0)
    assert warm_up.of(AlertRule("A", expr)) == window


@pytest.mark.parametrize(
    ("matching", "ended"),
    [
        ("on (job)", False),
        ("ignoring (host)", False),
        ("on (job, host)", True),
        ("ignoring (job)", True),
        ("", True),
    ],
)
def test_one_side_has_ended_where_no_element_matches_by_the_labels_of_the_operator(
    matching: str, ended: bool
) -> None:
    node = promql.parse(f"rate(left_total[5m]) > 1 and {matching} right > 1").node
    right = [(("host", "b"), ("job", "shop"))]
    proof = EndProof(WarmUp([], 300.0), node, lambda one: right if show(one).startswith("right") else [])
    assert proof({"job": "shop", "host": "a"}, 0.0) is ended


def test_a_python_condition_counts_from_its_first_evaluation() -> None:
    assert WarmUp([], 300.0).of(AlertRule("A", condition=bool)) == 0


def test_of_the_rules_that_record_one_name_those_count_that_a_selector_can_mean() -> None:
    short = RecordingRule("ratio", "rate(a[5m])", {"slo": "a"})
    long = RecordingRule("ratio", "rate(a[1h])", {"slo": "b"})
    warm_up = WarmUp([(short, 0.0), (long, 0.0)], 300.0)
    assert warm_up.of(AlertRule("A", 'ratio{slo="a"} > 1')) == 300
    assert warm_up.of(AlertRule("A", "ratio > 1")) == 3600


@pytest.mark.parametrize("no_data", ["resolve", "keep", "ok", "alert"])
def test_an_alert_over_a_recorded_series_does_not_resolve_while_the_window_behind_fills_up(
    no_data: str,
) -> None:
    rules = [RATE, AlertRule("Errors", "job:errors:rate5m > 1", no_data=no_data)]
    first = Process(rules)
    assert first.run(600, errors_total=3)[-1] == ("Errors", "firing")
    second = first.restarted(rules, after=30)
    assert second.run(310, errors_total=0.9) == []
    assert second.run(20, errors_total=0.9) == [("Errors", "resolved")]


def test_an_alert_goes_on_without_a_word_where_the_errors_do() -> None:
    rules = [RATE, AlertRule("Errors", "job:errors:rate5m > 1", no_data="resolve")]
    first = Process(rules)
    first.run(600, errors_total=3)
    assert first.restarted(rules).run(1200, errors_total=3) == []


BOTH = AlertRule("Burn", "increase(e_total[1h]) > 1000 and increase(e_total[5m]) > 50", no_data="resolve")


def test_a_multiwindow_alert_ends_with_its_short_window() -> None:
    first = Process([BOTH])
    assert first.run(3600, e_total=1) == [("Burn", "firing")]
    second = first.restarted([BOTH])
    assert second.run(300, e_total=0.1) == []
    assert second.run(20, e_total=0.1) == [("Burn", "resolved")]


def test_a_multiwindow_alert_does_not_end_because_its_long_window_is_not_full() -> None:
    first = Process([BOTH])
    first.run(3600, e_total=1)
    second = first.restarted([BOTH])
    assert second.run(3600, e_total=0.4) == []
    assert second.rules.alerts()[0].state.value == "firing"
    assert second.run(600, e_total=0.1) == [("Burn", "resolved")]


def test_either_side_of_an_or_must_have_ended() -> None:
    rules = [
        AlertRule("Any", "increase(e_total[5m]) > 100 or increase(e_total[20m]) > 1000", no_data="resolve")
    ]
    first = Process(rules)
    assert first.run(1800, e_total=1) == [("Any", "firing")]
    second = first.restarted(rules)
    assert second.run(1200, e_total=0.3) == []
    assert second.run(20, e_total=0.3) == [("Any", "resolved")]


def test_what_suppresses_an_alert_ends_it_at_once() -> None:
    rules = [AlertRule("Loud", "increase(e_total[5m]) > 100 unless on () quiet > 0", no_data="resolve")]
    first = Process(rules)
    assert first.run(600, e_total=1) == [("Loud", "firing")]
    assert first.restarted(rules).run(20, e_total=1, quiet=1) == [("Loud", "resolved")]


def test_the_first_value_of_an_or_stands_for_the_whole_while_it_is_there() -> None:
    rules = [
        RecordingRule("left", "exported or increase(e_total[30d])"),
        AlertRule("Spent", "left < 10", no_data="resolve"),
    ]
    first = Process(rules)
    first.samples.add("exported", [(0, 5), (200, 5), (400, 5)])
    assert first.run(600) == [("Spent", "firing")]
    second = first.restarted(rules)
    assert second.run(100) == []
    second.samples.add("exported", [(second.now, 50)])
    assert second.run(100) == [("Spent", "resolved")]


def test_keep_firing_for_begins_when_the_end_is_known() -> None:
    rules = [RATE, AlertRule("Errors", "job:errors:rate5m > 1", keep_firing_for=120, no_data="resolve")]
    first = Process(rules)
    first.run(600, errors_total=3)
    assert first.run(0) == []
    second = first.restarted(rules)
    assert second.run(430, errors_total=0.5) == []
    assert second.run(20, errors_total=0.5) == [("Errors", "resolved")]


def test_a_hold_before_a_restart_does_not_count_what_is_unknown_after_it() -> None:
    rules = [AlertRule("Errors", "rate(errors_total[5m]) > 1", keep_firing_for=200, no_data="resolve")]
    first = Process(rules)
    first.run(600, errors_total=3)
    first.samples.add("errors_total", [(first.now, first.now * 3)])
    assert first.run(400) == []  # the counter stands still: held
    assert first.rules.alerts()[0].keep_firing_since is not None
    second = first.restarted(rules)
    assert second.run(490, errors_total=0.0) == []
    assert second.run(20, errors_total=0.0) == [("Errors", "resolved")]


def test_missing_data_alerts_only_once_the_windows_could_have_filled_up() -> None:
    rules = [RATE, AlertRule("Silent", "job:errors:rate5m > 1", no_data="alert")]
    first = Process(rules)
    assert first.run(600, errors_total=0.1) == [("Silent", "firing"), ("Silent", "resolved")]
    second = first.restarted(rules)
    assert second.run(310) == []
    assert second.run(20) == [("Silent", "firing")]


def test_a_failed_rule_does_not_recover_because_of_a_restart() -> None:
    rules = [RecordingRule("doubled", "e_total * on () group_left () {__name__=~'a|b'}")]
    first = Process(rules)
    assert first.run(60, e_total=1, a=1, b=2) == [("RuleEvaluationFailed", "firing")]
    second = first.restarted(rules)
    assert second.run(60) == []
    assert second.run(240, e_total=1, a=1, b=2) == []
    assert [alert.rule for alert in second.rules.alerts()] == ["RuleEvaluationFailed"]
    third = first.restarted(rules)
    assert third.run(300) == []
    assert third.run(20) == [("RuleEvaluationFailed", "resolved")]


@pytest.mark.parametrize("offset", [0, 60])
def test_windows_fill_up_as_much_later_as_the_query_offset_says(offset: int) -> None:
    rules = [AlertRule("Errors", "rate(errors_total[5m]) > 1", no_data="resolve")]
    first = Process(rules, offset=offset)
    assert first.run(600, errors_total=3) == [("Errors", "firing")]
    second = Process(rules, (rows_of(first.rules), at(first.now).wall), first.now, offset)
    assert second.run(300 + offset, errors_total=0.0) == []
    assert second.run(10, errors_total=0.0) == [("Errors", "resolved")]


@pytest.mark.parametrize(
    ("no_data", "expr", "lives"),
    [
        ("keep", "up == 0", 8),
        ("resolve", "up == 0", 4),
        ("keep", "rate(errors_total[5m]) > 1", 8),
        ("resolve", "rate(errors_total[5m]) > 1", 4),
    ],
)
def test_a_held_alert_ends_in_a_process_that_restarts_more_often_than_the_grace(
    no_data: str, expr: str, lives: int
) -> None:
    rules = [AlertRule("Held", expr, no_data=no_data, no_data_grace=600)]
    process = Process(rules)
    assert process.run(600, up=0, errors_total=3) == [("Held", "firing")]
    told: list[tuple[str, str]] = []
    life = 0
    while not told and life < 40:
        life += 1
        process = process.restarted(rules, after=5)
        told += process.run(100)
    assert told == [("Held", "resolved")]
    assert lives - 1 <= life <= lives


def test_data_that_comes_back_begins_the_grace_anew() -> None:
    rules = [AlertRule("Held", "up == 0", no_data_grace=600)]
    process = Process(rules)
    process.run(600, up=0)
    for _ in range(10):
        process = process.restarted(rules)
        assert process.run(100) == []
        assert process.run(10, up=0) == []
    assert process.rules.alerts()[0].no_data_since is None
