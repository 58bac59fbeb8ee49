"""Evaluating only objectives that can change gives what an evaluation of everything at every tick gives."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from resilience.replay import Backtest, BacktestResult, formats, service
from resilience.replay.gate import reads_objectives
from resilience.rules import Evaluator, loads
from resilience.slo import SLO, Alerting, BurnRateAlert, Composite, Latency

TICK = 15
START = 1_790_000_000
HOUR = 3600.0
QUICK = Alerting(
    burn_rates=(
        BurnRateAlert("fast", "3", window=600, short_window=60),
        BurnRateAlert("slow", "1", window=2 * HOUR, short_window=600, severity="warning", for_=60),
    ),
    min_events=5,
)
SLOS = [
    SLO("ok", service="shop", target="0.99"),
    SLO("strict", service="shop", target="0.999", window=6 * HOUR, alerting=QUICK),
    SLO("latency", service="shop", target="0.95", sli=Latency(0.25), window=6 * HOUR, alerting=QUICK),
    SLO(
        "told",
        service="shop",
        target="0.99",
        window=6 * HOUR,
        alerting=QUICK,
        annotations={"summary": "{{ $value }}"},
    ),
    SLO("both", service="shop", target="0.99", sli=Composite({"ok": 1, "latency": 2})),
]
RULES = loads(
    "groups: [{name: user, interval: 30s, rules: ["
    "{alert: Errors, expr: 'sum(increase(http_requests_total{verdict=\"failure\"}[5m])) > 3', for: 1m}]}]"
)


def log(seed: int, ticks: int) -> list[str]:
    """Write a log whose rate and share of errors change, with silence now and then."""
    chance = random.Random(seed)
    rate, errors, at, lines = 0.39, 0.005, 0.0, []
    while at < ticks * TICK:
        if chance.random() < 0.005:
            errors, rate = chance.choice([0, 0.001, 0.01, 0.05, 0.5]), chance.choice([0.05, 0.39, 2.0])
        if chance.random() < 0.001:
            at += chance.choice([600, 3 * HOUR])
        at += chance.expovariate(rate)
        lines.append(line(at, 500 if chance.random() < errors else 200, chance.lognormvariate(-2.5, 1)))
    return lines


def line(at: float, status: int, seconds: float) -> str:
    time = datetime.fromtimestamp(START + at, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    return f'10.0.0.1 - - [{time}] "GET /pay HTTP/1.1" {status} 0 "-" "-" {seconds:.3f}'


def run(lines: list[str], **options: Any) -> BacktestResult:
    options = {"slos": SLOS, "rules": RULES, "what_if": (0.5, 1.0, 2.0), **options}
    return Backtest("shop", **options).run([lines], formats.make("combined"))


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a function that evaluates every rule at every tick."""

    def evaluate(lines: list[str], **options: Any) -> BacktestResult:
        with monkeypatch.context() as patch:
            patch.setattr(service, "reads_objectives", lambda _groups: True)
            return run(lines, **options)

    return evaluate


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the evaluations of rules by group."""
    counts: Counter[str] = Counter()
    evaluate = Evaluator._evaluate

    def counted(self: Any, unit: Any, running: Any, at: float, now: Any) -> None:
        counts[running.group.name] += 1
        evaluate(self, unit, running, at, now)

    monkeypatch.setattr(Evaluator, "_evaluate", counted)
    return counts


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_of_a_result_depends_on_what_was_not_evaluated(whole: Any, seed: int) -> None:
    lines = log(seed, 400)
    found = run(lines)
    assert found == whole(lines)
    kinds = Counter(each.alert for each in found.incidents)
    assert kinds["ErrorBudgetBurn"] > 1
    assert kinds["ErrorBudgetExhaustion"] > 1


def test_a_silence_in_which_no_tick_is_played_changes_nothing_of_that(whole: Any) -> None:
    week = 9 * 86_400.0
    bad = [line(second * 10, 500 if second % 3 else 200, 0.1) for second in range(120)]
    again = [line(week + second * 10, 500 if second % 4 == 0 else 200, 0.1) for second in range(120)]
    slos = [SLO("strict", service="shop", target="0.99", window=6 * HOUR, alerting=QUICK)]
    # A second line says that the time of the first one was right.
    lines = [*bad, line(week - 20, 200, 0.1), *again]
    found = run(lines, slos=slos, what_if=())
    assert found == whole(lines, slos=slos, what_if=())
    assert found.end is not None
    assert found.end - START > week


def test_rules_of_quiet_objectives_are_not_evaluated(evaluated: Counter[str]) -> None:
    slos = [SLO("ok", service="shop", target="0.9"), SLO("bad", service="shop", target="0.9999")]
    lines = [line(second, 500 if second % 100 == 7 else 200, 0.1) for second in range(6000)]
    run(lines, slos=slos)
    rules_per_tick = 10
    assert evaluated["user"] >= 200
    assert evaluated["slo:ok"] < 20 * rules_per_tick
    assert evaluated["slo:bad"] < 100 * rules_per_tick


def test_other_thresholds_of_a_quiet_objective_are_not_evaluated_while_another_one_changes(
    whole: Any, evaluated: Counter[str]
) -> None:
    strict = SLO("strict", service="shop", target="0.99", window=6 * HOUR, alerting=QUICK)
    slow = SLO("slow", service="shop", target="0.9", sli=Latency(0.25), window=6 * HOUR, alerting=QUICK)
    # Every request is slow; failures come and go.
    lines = [line(at, 500 if at % 1200 < 300 and at % 3 else 200, 0.5) for at in range(0, 7200, 2)]
    expected = whole(lines, slos=[strict, slow], rules=())
    evaluated.clear()
    found = run(lines, slos=[strict, slow], rules=())
    assert found == expected
    assert {each.fired for each in found.what_if if each.slo == "slow"} == {1}
    assert evaluated["slo:strict fast x 1"] > 30
    assert evaluated["slo:slow fast x 1"] < 15


def test_an_alert_that_keeps_firing_is_not_evaluated_until_that_time_is_over(
    whole: Any, evaluated: Counter[str]
) -> None:
    slos = [SLO("ok", service="shop", target="0.9", window=240 * HOUR)]
    # More than half of the first requests fail; the budget recovers as others follow.
    lines = [line(at, 500 if at < 60 else 200, 0.1) for at in range(0, 4 * 3600, 4)]
    expected = whole(lines, slos=slos, rules=(), what_if=())
    evaluated.clear()
    assert run(lines, slos=slos, rules=(), what_if=()) == expected
    ends = {each.ended is not None for each in expected.incidents if each.alert == "ErrorBudgetExhaustion"}
    assert ends == {True}
    rules = 5
    assert evaluated["slo:ok:budget"] < 20 * rules


@pytest.mark.parametrize(
    ("expr", "reads"),
    [
        ("up", False),
        ("sum(rate(http_requests_total[5m]))", False),
        ("slo_error_budget_remaining_ratio < 0.5", True),
        ("slo:sli_error:ratio_rate5m > 0.1", True),
        ("count(ALERTS)", True),
        ('{__name__=~"slo.*"}', True),
        ('{slo="ok"}', True),
    ],
)
def test_rules_that_read_what_objectives_record_need_every_evaluation(expr: str, reads: bool) -> None:
    groups = loads(f"groups: [{{name: a, rules: [{{alert: A, expr: '{expr}'}}]}}]")
    assert reads_objectives(groups) is reads


def test_a_query_in_an_annotation_may_read_anything() -> None:
    rule = "{alert: A, expr: up, annotations: {summary: '{{ query \"slo_excluded\" }}'}}"
    assert reads_objectives(loads(f"groups: [{{name: a, rules: [{rule}]}}]"))


def test_rules_that_read_budgets_find_them(whole: Any) -> None:
    rules = loads(
        "groups: [{name: user, rules: [{alert: Low, expr: 'slo_error_budget_remaining_ratio < 0.5'},"
        " {alert: Burns, expr: 'slo_burn_rate > 5'}]}]"
    )
    lines = log(5, 200)
    found = run(lines, rules=rules)
    assert {"Low", "Burns"} <= {each.alert for each in found.incidents}
    assert found == whole(lines, rules=rules)
