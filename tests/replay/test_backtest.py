"""What a log would have come to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from resilience.errors import ConfigError
from resilience.replay import Backtest, BacktestResult, formats
from resilience.replay.lines import LONGEST
from resilience.rules import RuleGroup, loads
from resilience.slo import SLO, Alerting, BurnRateAlert, Composite, Latency
from resilience.slo.burn_rate import DEFAULTS, detection_time, reset_time

START = 1_790_000_010
TICK = 15
HOUR = 3600


def line(at: float, status: int = 200, path: str = "/pay", seconds: float | None = None) -> str:
    time = datetime.fromtimestamp(at, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    last = "" if seconds is None else f" {seconds:.3f}"
    return f'10.0.0.1 - - [{time}] "GET {path} HTTP/1.1" {status} 0 "-" "-"{last}'


def traffic(seconds: int, failing: range, share: int = 1, begin: int = START) -> Iterator[list[str]]:
    """One request a second; of those in `failing`, one in `share` fails."""
    for second in range(seconds):
        yield [line(begin + second, 500 if second in failing and second % share == 0 else 200)]


def run(
    blocks: Iterable[Sequence[str]],
    *,
    target: str = "0.99",
    rules: Iterable[RuleGroup] = (),
    **options: object,
) -> BacktestResult:
    slo = SLO("ok", service="shop", target=target, alerting=Alerting(burn_rates=DEFAULTS[:1], exhaustion=()))
    test = Backtest("shop", slos=[slo], rules=rules, **{"what_if": (1.0,), **options})
    return test.run(blocks, formats.make("combined"))


@pytest.mark.parametrize("share", [1, 2, 4])
def test_a_burn_is_detected_and_over_when_the_formulas_say(share: int) -> None:
    begun, ended = 2 * HOUR, 3 * HOUR
    result = run(traffic(4 * HOUR, range(begun, ended), share))
    (incident,) = result.incidents
    budget, errors = Decimal("0.01"), Decimal(1) / share
    detection = detection_time(DEFAULTS[0], budget, errors)
    reset = reset_time(DEFAULTS[0], budget, errors)
    assert detection is not None
    assert reset is not None
    assert incident.started - START - begun == pytest.approx(float(detection), abs=TICK)
    assert incident.ended is not None
    assert incident.ended - START - ended == pytest.approx(float(reset), abs=TICK)
    assert incident.duration == incident.ended - incident.started
    assert incident.labels["slo"] == "ok"


def test_an_incident_burns_what_its_bad_requests_are_of_the_budget() -> None:
    (incident,) = run(traffic(4 * HOUR, range(2 * HOUR, 3 * HOUR))).incidents
    # An hour of a budget of 30 days, a hundred times too fast.
    assert float(incident.burned or 0) == pytest.approx(100 * HOUR / (30 * 86_400), rel=0.02)


def test_the_budget_is_exact() -> None:
    budget = run(traffic(HOUR, range(600))).budgets["ok"]
    assert (budget.bad, budget.total) == (600, 3600)
    assert budget.consumed == Decimal(600) / Decimal(36)


def test_an_alert_that_still_fires_at_the_end_has_no_end() -> None:
    (incident,) = run(traffic(HOUR, range(HOUR))).incidents
    assert incident.ended is None
    assert incident.duration > HOUR - 600


def test_other_thresholds_are_judged_beside_the_configured_one() -> None:
    result = run(traffic(3 * HOUR, range(HOUR, 2 * HOUR), 4), what_if=(0.5, 1.0, 1.5, 2.0))
    assert {each.scale: each.fired for each in result.what_if} == {0.5: 1, 1.0: 1, 1.5: 1, 2.0: 0}
    earlier, configured, later, never = result.what_if
    (incident,) = result.incidents
    assert configured.first == incident.started
    assert configured.duration == incident.duration
    assert earlier.first is not None
    assert later.first is not None
    assert earlier.first < incident.started < later.first
    assert never.first is None
    assert [each.factor for each in result.what_if] == [
        Decimal(each) for each in ("7.2", "14.4", "21.6", "28.8")
    ]


def test_rules_are_played_too() -> None:
    rules = loads(
        """
groups:
  - name: slow
    rules:
      - alert: Slow
        expr: histogram_quantile(0.9, sum by (le, route) (rate(http_request_duration_seconds_bucket[5m]))) > 1
        for: 2m
        labels: {severity: warning}
"""
    )
    blocks = ([line(START + second, path=f"/users/{second}", seconds=4.0)] for second in range(1200))
    (incident,) = run(blocks, rules=rules, routes=["/users/{id}"]).incidents
    assert (incident.alert, incident.labels["route"], incident.burned) == ("Slow", "/users/{id}", None)
    assert incident.started - START == pytest.approx(120, abs=2 * TICK)


def test_without_durations_there_is_nothing_to_judge_latency_by() -> None:
    fast = SLO("fast", service="shop", target="0.99", sli=Latency(0.5))
    result = Backtest("shop", slos=[fast]).run(traffic(600, range(0)), formats.make("combined"))
    assert result.budgets["fast"].status == "no_data"


def test_what_clients_are_to_blame_for_stays_out_of_the_total() -> None:
    result = run([[line(START, status) for status in (200, 404, 429, 499, 500, 503)]])
    assert (result.budgets["ok"].bad, result.budgets["ok"].total) == (2, 4)
    assert result.requests == 6


def test_malformed_lines_are_counted_and_shown() -> None:
    result = run([["junk", line(START)], ["junk", "more junk"]])
    assert (result.requests, result.malformed.count) == (1, 3)
    assert result.malformed.examples == ["junk", "more junk"]


def test_a_log_without_a_request_is_no_failure() -> None:
    result = run([["junk"], []])
    assert (result.requests, result.start, result.incidents) == (0, None, ())


def test_lines_a_little_out_of_order_are_counted_and_late_ones_only_told() -> None:
    result = run([[line(START), line(START + 100), line(START + 60), line(START - 300)]])
    assert (result.requests, result.late) == (3, 1)


@pytest.mark.parametrize("wrong", [40 * 86_400, 20 * 365 * 86_400])
def test_one_wrong_time_in_the_future_does_not_move_the_clock(wrong: int) -> None:
    blocks = [[line(START)], [line(START + wrong)], [line(START + 1)], [line(START + 2)]]
    result = run(blocks)
    assert (result.requests, result.misdated, result.late) == (3, 1, 0)


def test_a_log_goes_on_after_a_long_silence() -> None:
    later = START + 200 * 86_400
    blocks = [[line(START, 500)], [line(later + second) for second in range(60)]]
    result = run(blocks, rules=loads("groups: [{name: a, interval: 1m, rules: []}]"), interval=60)
    assert result.requests == 60  # the first of them only confirms the others
    assert result.end == pytest.approx(later + 60, abs=TICK)
    assert result.budgets["ok"].bad == 0


def test_alerts_end_in_a_silence() -> None:
    (incident,) = run([*traffic(HOUR, range(HOUR)), [line(START + 86_400)]]).incidents
    assert incident.ended is not None
    assert incident.ended - START - HOUR < 900


def test_only_objectives_of_the_service_are_judged() -> None:
    slos = [
        SLO("a", service="shop", target="0.9"),
        SLO("b", service="other", target="0.9"),
        SLO("both", service="shop", target="0.9", sli=Composite({"a": 1, "b": 1})),
        SLO("twice", service="shop", target="0.9", sli=Composite({"a": 2})),
    ]
    blocks = traffic(2 * HOUR, range(HOUR, 2 * HOUR))
    result = Backtest("shop", slos=slos, what_if=(1.0,)).run(blocks, formats.make("combined"))
    assert list(result.budgets) == ["a", "twice"]
    assert {each.slo for each in result.what_if if each.fired} == {"a", "twice"}
    burned = {each.labels["slo"]: each.burned for each in result.incidents}
    assert burned["a"] is not None
    assert burned["twice"] is None


@pytest.mark.parametrize(
    "options",
    [
        {"interval": 0},
        {"what_if": (0,)},
        {"routes": ["users"]},
        {"rules": loads("groups: [{name: a, rules: [{alert: B, expr: 'rate(x[40d]) > 0'}]}]")},
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_log_is_read(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Backtest("shop", **options)


def test_rules_that_are_given_keep_their_burn_rates_unique() -> None:
    alerts = (BurnRateAlert("fast", Decimal(2), 3600), BurnRateAlert("slow", Decimal(2), 7200))
    slo = SLO("ok", service="shop", target="0.9", alerting=Alerting(burn_rates=alerts, exhaustion=()))
    result = Backtest("shop", slos=[slo]).run(
        traffic(2 * HOUR, range(HOUR, 2 * HOUR)), formats.make("combined")
    )
    [incident] = result.incidents  # one severity is one alert
    assert incident.labels["severity"] == "critical"
    assert [(each.alert, each.fired) for each in result.what_if if each.scale == 1] == [
        ("fast", 1),
        ("slow", 1),
    ]
    assert {each.scale for each in result.what_if} == {0.5, 0.75, 1.0, 1.5, 2.0}


def test_thresholds_that_come_to_the_same_are_told_once() -> None:
    even = BurnRateAlert("even", Decimal(1), window=HOUR)
    slo = SLO("ok", service="shop", target=0.99, alerting=Alerting((even,), ()))
    test = Backtest("shop", slos=[slo], what_if=(0.5, 0.75, 1.0, 2.0))
    result = test.run(traffic(60, range(0)), formats.make("combined"))
    assert [(each.scale, each.factor) for each in result.what_if] == [(1.0, 1), (2.0, 2)]


def test_a_line_that_is_too_long_is_malformed_and_its_neighbours_are_counted() -> None:
    long = line(START, path="/" + "x" * LONGEST)
    result = run([[line(START), long, line(START + 1)]])
    assert (result.requests, result.malformed.count) == (2, 1)
    assert result.malformed.examples == [long[:200]]
