"""The evaluator: order, intervals, what is written back, failures, reloads, restarts."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from structlog.testing import capture_logs

from resilience import promql
from resilience.core.clock import Instant
from resilience.errors import ConfigError, QueryError
from resilience.rules import AlertRule, AlertTransition, Evaluator, RecordingRule, RuleGroup, loads
from tests.stored import kept, rows_of


def at(seconds: float) -> Instant:
    return Instant(seconds, 1_700_000_000 + seconds)


def source(*series: tuple[str, str, Iterable[float]], step: float = 60) -> promql.MemorySource:
    """Series `name{job=...}` with values `step` seconds apart."""
    memory = promql.MemorySource()
    for name, job, values in series:
        memory.add(name, [(index * step, value) for index, value in enumerate(values)], job=job)
    return memory


def changes(transitions: Iterable[AlertTransition]) -> list[tuple[str, str, str]]:
    return [(t.alert.rule, t.previous.value, t.state.value) for t in transitions]


DOWN = AlertRule("Down", "up == 0", no_data="resolve")


def test_groups_and_rules_are_evaluated_in_order_and_read_what_was_just_written() -> None:
    memory = source(("up", "a", [0, 0]))
    groups = [
        RuleGroup(
            "first", (RecordingRule("a:up", "up"), RecordingRule("b:up", "a:up + 1", {"job": "", "x": "y"}))
        ),
        RuleGroup(
            "second", (AlertRule("Recorded", "b:up == 1"), AlertRule("Meta", "ALERTS{alertname='Recorded'}"))
        ),
    ]
    rules = Evaluator(groups, memory, memory)
    assert changes(rules.tick(at(0))) == [("Recorded", "inactive", "firing"), ("Meta", "inactive", "firing")]
    assert {tuple(alert.labels.items()) for alert in rules.alerts()} == {
        (("alertname", "Recorded"), ("x", "y")),
        (("alertname", "Meta"), ("alertstate", "firing"), ("x", "y")),
    }

    (written,) = promql.evaluate("b:up", memory, 0)
    assert written == ((("__name__", "b:up"), ("x", "y")), 1.0)


def test_what_rules_share_is_worked_out_again_once_a_rule_has_written() -> None:
    memory = source(("up", "a", [1]))
    before, after = AlertRule("Before", "sum(a:up) > 0"), AlertRule("After", "sum(a:up) > 0")
    rules = Evaluator([RuleGroup("g", (before, RecordingRule("a:up", "up"), after))], memory, memory)
    assert changes(rules.tick(at(0))) == [("After", "inactive", "firing")]


def test_a_late_sample_is_seen_by_a_group_that_looks_back() -> None:
    memory = source(("up", "a", [1]))
    late = RuleGroup("late", (AlertRule("Late", "sum(up) > 1"),), query_offset=60)
    prompt = RuleGroup("prompt", (AlertRule("Prompt", "sum(up) > 1"),))
    rules = Evaluator([late, prompt], memory)
    assert changes(rules.tick(at(0))) == []
    memory.add("up", [(0, 1)], job="b")
    assert changes(rules.tick(at(60)))[0] == ("Late", "inactive", "firing")


def test_a_rule_that_stops_finding_a_series_ends_it() -> None:
    memory = source(("up", "a", [1, 0]))
    rules = Evaluator([RuleGroup("g", (RecordingRule("a:up", "up == 1"), DOWN))], memory, memory, interval=60)
    rules.tick(at(0))
    assert len(promql.evaluate("a:up", memory, 0)) == 1
    rules.tick(at(60))
    assert len(promql.evaluate("a:up", memory, 60)) == 0
    assert promql.evaluate("ALERTS", memory, 60).labels == [
        (("__name__", "ALERTS"), ("alertname", "Down"), ("alertstate", "firing"), ("job", "a"))
    ]


def test_each_group_keeps_its_own_interval_whatever_the_ticks() -> None:
    asked: list[str] = []
    groups = [
        RuleGroup("fast", (AlertRule("F", condition=lambda: asked.append("f")),), interval=15),
        RuleGroup("slow", (AlertRule("S", condition=lambda: asked.append("s")),)),
    ]
    rules = Evaluator(groups, promql.MemorySource(), interval=60)
    for second in range(121):
        rules.tick(at(second))
    assert (asked.count("f"), asked.count("s")) == (9, 3)
    rules.tick(at(500))  # what was missed is not made up for, and the grid stays
    rules.tick(at(509))
    assert (asked.count("f"), asked.count("s")) == (10, 4)
    rules.tick(at(510))
    assert asked.count("f") == 11


def test_the_query_offset_moves_what_is_read_and_what_is_written() -> None:
    memory = source(("up", "a", [0, 1]))
    group = RuleGroup("g", (AlertRule("Down", "up == 0"), RecordingRule("a:up", "up")), query_offset=60)
    rules = Evaluator([group], memory, memory)
    assert changes(rules.tick(at(60))) == [("Down", "inactive", "firing")]
    assert promql.evaluate("a:up", memory, 0) == promql.Vector([(("__name__", "a:up"), ("job", "a"))], [0.0])


# -- failures


def test_a_rule_that_fails_alerts_by_itself_and_leaves_its_alerts_as_they_are() -> None:
    memory = source(("up", "a", [0] * 20))
    group = RuleGroup("g", (AlertRule("Sum", "up == on() x"), AlertRule("Other", "up == 1")), interval=60)
    memory.add("x", [(0, 0)])
    rules = Evaluator([group], memory, memory)
    assert changes(rules.tick(at(0))) == [("Sum", "inactive", "firing")]
    memory.add("up", [(60, 0)], job="b")
    assert changes(rules.tick(at(60))) == [("RuleEvaluationFailed", "inactive", "firing")]
    failed = next(alert for alert in rules.alerts() if alert.rule == "RuleEvaluationFailed")
    assert dict(failed.labels) == {
        "alertname": "RuleEvaluationFailed", "group": "g", "rule": "Sum", "severity": "warning",
    }  # fmt: skip
    assert "match" in failed.annotations["description"]
    assert rules.failures() == [("g", "Sum", failed.annotations["description"])]
    memory.add("up", [(120, promql.STALE)], job="b")
    assert changes(rules.tick(at(120))) == [("RuleEvaluationFailed", "firing", "resolved")]
    assert [alert.rule for alert in rules.alerts()] == ["Sum"]


def test_a_condition_that_raises_or_answers_nonsense_is_a_failure() -> None:
    def broken() -> bool:
        raise RuntimeError("no such queue")

    group = RuleGroup("g", (AlertRule("A", condition=broken), AlertRule("B", condition=lambda: "yes")))
    rules = Evaluator([group], promql.MemorySource())
    rules.tick(at(0))
    assert [error for _, _, error in rules.failures()] == [
        "no such queue",
        "a condition returns a bool, a number, or label sets with numbers, got 'yes'",
    ]


@pytest.mark.parametrize("answer", [{"a": "b"}, [(("q", "x"), 1)], [3], {(("q", "a"),): "high"}])
def test_a_condition_whose_labels_or_values_are_none_is_a_failure(answer: Any) -> None:
    rules = Evaluator([RuleGroup("g", (AlertRule("A", condition=lambda: answer),))], promql.MemorySource())
    rules.tick(at(0))
    assert len(rules.failures()) == 1


def test_an_expression_that_is_no_vector_is_a_failure() -> None:
    rules = Evaluator(
        [RuleGroup("g", (AlertRule("A", "up[5m]"), AlertRule("B", "1")))], promql.MemorySource()
    )
    assert changes(rules.tick(at(0))) == [
        ("B", "inactive", "firing"),
        ("RuleEvaluationFailed", "inactive", "firing"),
    ]
    assert rules.failures() == [("g", "A", "rule result is not a vector or scalar")]


def test_a_recording_rule_of_too_many_or_equal_series_writes_nothing() -> None:
    memory = source(("up", "a", [1]), ("up", "b", [1]))
    groups = [
        RuleGroup("limited", (RecordingRule("c:up", "up"),), limit=1),
        RuleGroup("equal", (RecordingRule("d:up", "up", {"job": ""}),)),
    ]
    rules = Evaluator(groups, memory, memory)
    rules.tick(at(0))
    assert [error for _, _, error in rules.failures()] == [
        "exceeded limit of 1 with 2 series",
        "vector contains metrics with the same labelset after applying rule labels",
    ]
    assert len(promql.evaluate("{__name__=~'[cd]:up'}", memory, 0)) == 0


# -- conditions and missing data


def test_conditions_answer_yes_a_value_or_label_sets() -> None:
    answers: list[object] = [True, 0.5, 0, {(("q", "a"),): 3}, [({"q": "b"}, True), ({"q": "c"}, 0)], False]
    rules = Evaluator([RuleGroup("g", (AlertRule("A", condition=lambda: answers[0]),), interval=1)], promql.MemorySource())  # fmt: skip
    seen = []
    for second in range(6):
        rules.tick(at(second))
        seen.append([(alert.labels.get("q"), alert.value) for alert in rules.alerts()])
        answers.pop(0)
    assert seen == [[(None, 1.0)], [(None, 0.5)], [], [("a", 3.0)], [("b", 1.0)], []]


def test_an_expression_without_samples_is_no_data_and_one_whose_filter_is_false_is_health() -> None:
    keeping = AlertRule("Down", "up{job='a'} == 0", no_data="keep", no_data_grace=600)
    memory = source(("up", "a", [0]))
    rules = Evaluator([RuleGroup("g", (keeping,))], memory)
    rules.tick(at(0))
    assert changes(rules.tick(at(360))) == []  # the sample is too old: nothing to judge by
    memory.add("up", [(420, 1)], job="a")
    assert changes(rules.tick(at(420))) == [("Down", "firing", "resolved")]


def test_missing_data_is_told_for_each_label_set() -> None:
    keeping = AlertRule("Down", "sum by (job) (up) == 0", no_data="keep", no_data_grace=600)
    memory = source(("up", "a", [0]), ("up", "b", [0]))
    rules = Evaluator([RuleGroup("g", (keeping,))], memory)
    rules.tick(at(0))
    memory.add("up", [(360, 1)], job="b")  # a has gone silent, b is up
    assert [(t.alert.labels["job"], t.state.value) for t in rules.tick(at(360))] == [("b", "resolved")]
    assert changes(rules.tick(at(900))) == []
    assert [(t.alert.labels["job"], t.state.value) for t in rules.tick(at(960))] == [("a", "resolved")]


# -- reload


def test_a_reload_keeps_the_alerts_of_what_did_not_change_and_resolves_those_of_what_is_gone() -> None:
    memory = source(("up", "a", [0] * 10))
    waiting = AlertRule("Waiting", "up == 0", for_=120)
    rules = Evaluator([RuleGroup("g", (DOWN, waiting))], memory, memory)
    rules.tick(at(0))
    quicker = AlertRule("Waiting", "up < 1", for_=60)
    assert changes(rules.reload([RuleGroup("g", (quicker,))], at(30))) == [("Down", "firing", "resolved")]
    assert len(promql.evaluate("ALERTS{alertname='Down'}", memory, 30)) == 0
    assert changes(rules.tick(at(59))) == []
    assert changes(rules.tick(at(60))) == [("Waiting", "pending", "firing")]


def test_a_reload_that_is_refused_changes_nothing() -> None:
    memory = source(("up", "a", [0] * 10))

    def retain(matchers: object, seconds: float) -> None:
        if seconds > 3600:
            raise ConfigError("at most 1h is kept")

    rules = Evaluator([RuleGroup("g", (DOWN,))], memory, retain=retain)
    rules.tick(at(0))
    for text, message in (
        ("groups: [{name: g, rules: [{alert: A, expr: 'rate(x[2h]) > 1'}]}]", "r.yml:1:.*at most 1h is kept"),
        ("groups: [{name: g, rules: []}]", "group name 'g' stands twice"),
    ):
        groups = loads(text, file="r.yml")
        with pytest.raises(ConfigError):
            rules.reload((*groups, *groups) if "twice" in message else groups, at(30))
    assert [alert.rule for alert in rules.alerts()] == ["Down"]
    assert rules.groups[0].rules == (DOWN,)


def test_a_reload_forgets_no_failure_of_a_rule_that_stays() -> None:
    group = RuleGroup("g", (AlertRule("A", "up[5m]"),), interval=60)
    rules = Evaluator([group], promql.MemorySource())
    rules.tick(at(0))
    rules.reload([group, RuleGroup("h", (DOWN,))], at(1))
    assert changes(rules.tick(at(2))) == []
    assert changes(rules.reload([], at(3))) == []
    assert changes(rules.tick(at(4))) == [("RuleEvaluationFailed", "firing", "resolved")]


def test_asks_for_the_windows_that_its_rules_look_at() -> None:
    asked: list[tuple[str, float]] = []
    group = RuleGroup("g", (AlertRule("A", "rate(x[1h]) > 2 * rate(x[5m] offset 1d) and y > 0"),))
    Evaluator([group], promql.MemorySource(), retain=lambda m, seconds: asked.append((m[0].value, seconds)))
    assert asked == [("x", 3600), ("x", 86_700)]  # the newest sample is there anyway


def test_an_expression_that_is_not_promql_is_refused_when_the_rule_is_made() -> None:
    with pytest.raises(QueryError):
        AlertRule("A", "rate(x) > 1")


# -- restart


def test_a_restart_resolves_nothing_and_forgets_nothing() -> None:
    rule = AlertRule("Errors", "rate(errors_total[5m]) > 0.1", for_=60, no_data="resolve", keep_firing_for=60)
    groups = [RuleGroup("g", (rule, DOWN), file="r.yml")]
    memory = source(("errors_total", "a", [60 * i for i in range(10)]), ("up", "a", [0] * 10))
    rules = Evaluator(groups, memory)
    for minute in range(5):
        rules.tick(at(60 * minute))
    assert sorted(alert.rule for alert in rules.alerts()) == ["Down", "Errors"]
    saved = rows_of(rules)

    empty = promql.MemorySource()
    after = Evaluator(groups, empty)
    begun = Instant(5, at(1000).wall)
    after.restore(saved, begun, down_at=at(240).wall)
    assert changes(after.tick(begun)) == []
    assert {alert.rule: alert.active_at.wall for alert in after.alerts()} == {
        alert.rule: alert.active_at.wall for alert in rules.alerts()
    }
    empty.add("up", [(65, 1)], job="a")
    empty.add("errors_total", [(35, 0), (65, 0)], job="a")  # no errors so far, and the window is not full
    assert changes(after.tick(Instant(65, begun.wall + 60))) == [("Down", "firing", "resolved")]
    empty.add("errors_total", [(155, 0), (245, 0), (305, 0), (365, 0)], job="a")
    assert changes(after.tick(Instant(245, begun.wall + 240))) == []
    assert (
        changes(after.tick(Instant(305, begun.wall + 300))) == []
    )  # five minutes are over: held for one more
    assert changes(after.tick(Instant(365, begun.wall + 360))) == [("Errors", "firing", "resolved")]


def test_rows_that_cannot_be_used_are_named_and_the_others_count() -> None:
    memory = source(("up", "a", [0] * 10))
    rules = Evaluator([RuleGroup("g", (DOWN,), file="r.yml")], memory)
    rules.tick(at(0))
    [(key, row)] = rows_of(rules)["rules"].items()
    damaged = {
        f"{key[:-1]}x": row,
        "deep/0": b"[" * 100_000,
        "odd/0": row.replace(b'"firing"', b'"odd"'),
        "huge/0": row.replace(b'"active_at":1', b'"active_at":9999999999'),
    }
    newer = {"newer/0": row.replace(b'"version":1', b'"version":2')}
    after = Evaluator([RuleGroup("g", (DOWN,), file="r.yml")], memory)
    unread = after.restore({"rules": {key: row, **damaged, **newer}}, at(10), down_at=at(5).wall)["rules"]
    assert (unread.damaged, unread.newer) == (damaged, {"newer/0"})
    assert [alert.rule for alert in after.alerts()] == ["Down"]


def test_only_what_changes_its_state_is_stored() -> None:
    memory = source(("errors_total", "a", [60 * i for i in range(60)]), ("up", "a", [0] * 60))
    steady = AlertRule("Errors", expr="rate(errors_total[5m]) * time() > 0", for_=120)
    rules = Evaluator([RuleGroup("g", (steady, DOWN))], memory)
    rows: dict[str, dict[str, bytes]] = {}
    written = []
    for minute in range(10):
        rules.tick(at(60 * minute))
        written.append(bool(kept(rows, rules)))
    # Down fires at once; Errors is pending from the second sample on, and fires two minutes later.
    assert written == [True, True, False, True, False, False, False, False, False, False]
    assert rows["rules"].keys() == rows_of(rules)["rules"].keys()
    rules.reload([], at(600))
    kept(rows, rules)
    assert rows == {"rules": {}}


async def test_conditions_are_asked_on_the_loop() -> None:
    loop = asyncio.get_running_loop()
    rule = AlertRule("Here", condition=lambda: asyncio.get_running_loop() is loop)
    rules = Evaluator([RuleGroup("g", (rule,))], promql.MemorySource())
    assert changes(await rules.evaluate(at(0))) == [("Here", "inactive", "firing")]


def test_the_log_of_a_failure_is_short_and_names_where_it_was_raised() -> None:
    def condition() -> bool:
        raise RuntimeError("no answer")

    rules = Evaluator([RuleGroup("g", (AlertRule("Broken", condition=condition),))], promql.MemorySource())
    with capture_logs() as logs:
        rules.tick(at(0))
    (entry,) = [each for each in logs if each["event"] == "rule_failed"]
    assert entry["error"] == "no answer"
    assert entry["raised_at"].startswith(f"{__file__}:")
    assert entry["raised_at"].endswith("in condition")
    assert "exc_info" not in entry
