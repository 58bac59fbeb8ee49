from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from resilience import Reliability
from resilience.config import read
from resilience.core import yaml
from resilience.core.verdict import Verdict
from resilience.errors import ConfigError, QueryError
from resilience.slo import SLO, Alerting, Availability, Calendar, EventRatio, Latency, compile_rules
from resilience.slo.burn_rate import default_alerts
from resilience.slo.formats.native_read import from_config
from resilience.slo.formats.native_write import to_config
from tests.slo.formats.junk import spoiled

LARGE = r"""
version: "1.0"
global: {defaultTimeWindow: 30d, monitoringBackend: inprocess, dashboards: {autoGenerate: true, platform: grafana}}
services:
  - name: nexus-api
    tier: tier-0
    owner: backend-team
    slos:
      - id: api-availability
        name: API Availability
        target: 99.9
        timeWindow: 30d
        sli: {type: availability, query: "(sum(rate(http_requests_total{service=\"nexus-api\",code!~\"5..\"}[5m])) / sum(rate(http_requests_total{service=\"nexus-api\"}[5m]))) * 100"}
        alerting:
          burnRate: {fast: {threshold: 14.4, window: 1h, severity: critical}, slow: {threshold: 6, window: 6h, severity: warning}}
          budgetExhaustion: {thresholds: [{percentage: 50, severity: info}, {percentage: 75, severity: warning}, {percentage: 90, severity: critical}]}
"""


def one(**given: Any) -> SLO:
    [slo], _ = from_config({"services": [{"name": "shop", "slos": [{"id": "ok", "target": 99.9, **given}]}]})
    return slo


@pytest.mark.parametrize("backend", ["inprocess", "prometheus"])
def test_the_large_file_works_as_it_stands(tmp_path: Path, backend: str) -> None:
    file = tmp_path / "reliability.yaml"
    file.write_text(LARGE.replace("inprocess", backend))
    config = read(file, environ={})
    assert config.arguments["service"] == "nexus-api"
    [slo] = config.arguments["slos"]
    assert (slo.tier, slo.owner, slo.name, slo.budget) == (
        0,
        "backend-team",
        "API Availability",
        Decimal("0.001"),
    )
    assert slo.backend == backend
    fast, slow, *rest = slo.burn_rates
    assert (str(fast.factor), fast.window, fast.short_window, fast.severity) == (
        "14.4",
        3600,
        300,
        "critical",
    )
    assert (str(slow.factor), slow.window, slow.short_window, slow.severity) == ("6", 21_600, 1800, "warning")
    assert [alert.name for alert in rest] == ["gradual", "chronic"]
    assert [str(each.consumed) for each in slo.alerting.exhaustion] == ["0.5", "0.75", "0.9"]
    assert (
        slo.measure.good == 'sum(increase(http_requests_total{service="nexus-api",code!~"5.."}[{{window}}]))'
    )


async def test_the_large_file_judges_what_is_recorded(tmp_path: Path, clock: Any) -> None:
    file = tmp_path / "reliability.yaml"
    file.write_text(LARGE)
    rel = Reliability.from_file(file, clock=clock)
    for code, verdict in (("200", Verdict.SUCCESS), ("500", Verdict.FAILURE)):
        rel.sli.request("GET", "/", code, verdict, 0.1)
    clock.shift(1)
    await rel.tick()
    assert rel.slos.error_budget("api-availability").sli == Decimal("0.5")


def test_five_lines_are_enough(tmp_path: Path) -> None:
    file = tmp_path / "reliability.yaml"
    file.write_text(
        "version: '1.0'\nservices:\n  - name: shop\n    slos: [{id: ok, target: 99.9, sli: {type: availability}}]\n"
    )
    rel = Reliability.from_file(file)
    assert (rel.service, list(rel.slos.slos)) == ("shop", ["ok"])
    assert rel.slos.slos["ok"].sli == Availability()


def test_both_cases_are_read_and_one_key_stands_once() -> None:
    assert one(timeWindow="7d").window == one(time_window="7d").window == 604_800
    with pytest.raises(ConfigError, match="timeWindow twice"):
        one(timeWindow="7d", time_window="7d")


def test_environment_variables_fill_in(tmp_path: Path) -> None:
    file = tmp_path / "slo.yaml"
    file.write_text(
        "services: [{name: shop, slos: [{id: ok, target: '${TARGET:-99.5}', timeWindow: '${WINDOW}'}]}]"
    )
    [slo] = read(file, environ={"WINDOW": "7d"}).arguments["slos"]
    assert (slo.target, slo.window) == (Decimal("0.995"), 604_800)


def test_a_named_alert_changes_a_default_and_others_stay() -> None:
    slo = one(
        alerting={"burnRate": {"fast": {"severity": "page"}, "slow": False, "chronic": {"enabled": False}}}
    )
    assert [(alert.name, alert.severity) for alert in slo.burn_rates] == [
        ("fast", "page"),
        ("gradual", "warning"),
    ]


def test_a_share_of_the_budget_says_the_factor_and_a_short_window_is_its_own() -> None:
    slo = one(
        alerting={
            "burn_rate": {"mine": {"budgetPercent": 2, "window": "1h", "shortWindow": "10m", "for": "1m"}}
        }
    )
    [mine] = [alert for alert in slo.burn_rates if alert.name == "mine"]
    assert (str(mine.factor), mine.short_window, mine.for_) == ("14.4", 600, 60)


def test_alerting_can_be_switched_off_whole_and_in_parts() -> None:
    assert one(alerting={"enabled": False}).burn_rates == ()
    assert one(alerting={"burnRate": False}).burn_rates == ()
    assert one(alerting={"budgetExhaustion": False}).alerting.exhaustion == ()
    off = one(alerting={"budgetExhaustion": {"enabled": False, "minEvents": 7}}, minEvents=3).alerting
    assert (off.exhaustion, off.min_events, off.period_events) == ((), 3, 7)
    [slo], _ = from_config(
        {
            "global": {"alertingEnabled": False},
            "services": [{"name": "s", "slos": [{"id": "ok", "target": 99}]}],
        }
    )
    assert slo.alerting == Alerting((), ())


def test_what_else_an_objective_can_say() -> None:
    slo = one(
        sli={"total": "all_total", "good": "good_total"},
        calendar={"unit": "quarter", "timeZone": "Europe/Berlin"},
        budgetingMethod="RatioTimeslices",
        sliceLength="5m",
        exclusions=[
            {"start": "2026-01-04T02:00:00Z", "end": "2026-01-04T04:00:00Z", "every": "7d", "reason": "patch"}
        ],
        minEvents=10,
        runbook="https://example.com",
        annotations={"dashboard": "x"},
    )
    assert slo.sli == EventRatio("all_total", good="good_total")
    assert slo.calendar == Calendar("quarter", "Europe/Berlin")
    assert (slo.budgeting, slo.slice_length, slo.alerting.min_events) == ("ratio_timeslices", 300, 10)
    assert slo.excluded(1_767_492_000 + 7 * 86_400)
    assert one(sli={"type": "latency", "threshold": "250ms"}).sli == Latency(0.25)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"target": 0.999}, r"percentage such as 99\.9, got 0\.999: write 99\.9"),
        ({"target": 100}, "below 100"),
        ({"target": "many"}, "target must be a number"),
        ({"tagret": 1}, "did you mean target"),
        ({"sli": {"type": "availability", "query": "up"}}, "must be a ratio of two counts, such as"),
        ({"sli": {"query": "sum(rate(a[5m])) / sum(rate(b[1h]))"}}, "one range"),
        ({"sli": {"query": "sum(rate(a[5m]) / "}}, "must be PromQL"),
        ({"sli": {"query": "sum(irate(a[5m])) / sum(irate(b[5m]))"}}, "must count events"),
        ({"sli": {"type": "latency"}}, "needs more"),
        ({"sli": {"type": "latency", "threshold": 0.33}}, "must be a bound of the histogram"),
        ({"sli": {"type": "latency", "minimum": 1}}, "has no minimum"),
        ({"sli": {"type": "speed"}}, "type must be one of"),
        ({"sli": {"total": "a"}}, "either good or bad"),
        (
            {"target": 90, "alerting": {"burnRate": {"fast": {"threshold": 14.4, "window": "1h"}}}},
            "never be exceeded",
        ),
        ({"alerting": {"burnRate": {"mine": {"threshold": 2}}}}, "needs a window"),
        ({"alerting": {"burnRate": {"mine": {"window": "1h"}}}}, "threshold or a budgetPercent"),
        (
            {"alerting": {"burnRate": {"mine": {"window": "1h", "threshold": 2, "budgetPercent": 2}}}},
            "either threshold",
        ),
        ({"alerting": {"burnRate": {"mine": {"window": "1h", "threshold": 0.5}}}}, "at least 1"),
        ({"timeWindow": "7d", "calendar": "week"}, "either time_window or calendar"),
        ({"calendar": {"unit": "week", "timeZone": "Mars"}}, "time_zone must be a name"),
        ({"exclusions": [{"start": "soon", "duration": "1h"}]}, "start must be a time"),
        ({"exclusions": [{"start": "2026-01-01"}]}, "either end or duration"),
        ({"budgetingMethod": "guess"}, "budgeting_method must be one of"),
        ({"sli": 3}, "sli must be a mapping"),
        ({"runbook": "https://x/{{"}, "runbook_url: template"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        one(**given)


def test_a_fault_is_placed_at_its_objective(tmp_path: Path) -> None:
    file = tmp_path / "reliability.yaml"
    file.write_text("services:\n  - name: shop\n    slos:\n      - id: ok\n        target: 0.5\n")
    with pytest.raises(ConfigError, match=r"reliability\.yaml:4:"):
        read(file, environ={})


def test_a_target_below_the_floor_of_its_tier_is_refused() -> None:
    sections = {"services": [{"name": "shop", "tier": 1, "slos": [{"id": "ok", "target": 99.4}]}]}
    with pytest.raises(ConfigError, match=r"at least 99\.5\d*% in tier 1"):
        from_config(sections)


def test_defaults_that_are_out_of_reach_are_left_out_with_a_warning() -> None:
    with capture_logs() as logs:
        slo = one(target=90)
    assert [alert.name for alert in slo.burn_rates] == ["slow", "gradual", "chronic"]
    assert [(entry["event"], entry["alert"]) for entry in logs] == [("burn_rate_alert_left_out", "fast")]


def test_defaults_keep_their_share_of_another_period_and_are_never_under_the_even_pace() -> None:
    assert [str(alert.factor) for alert in one(timeWindow="7d").burn_rates] == ["3.36", "1.4", "1", "1"]


def test_two_of_one_id_are_refused() -> None:
    slo = {"id": "ok", "target": 99}
    with pytest.raises(ConfigError, match="'ok' stands twice"):
        from_config({"services": [{"name": "a", "slos": [slo]}, {"name": "b", "slos": [slo]}]})


def test_several_files_make_one_configuration(tmp_path: Path) -> None:
    (tmp_path / "slos").mkdir()
    (tmp_path / "slos" / "b.json").write_text(
        '{"version": "1.0", "services": [{"name": "till", "slos": [{"id": "b", "target": "${T:-99}"}]}]}'
    )
    file = tmp_path / "reliability.yaml"
    file.write_text(
        "global: {defaultTimeWindow: 7d}\ninclude: [slos/*]\nservices: [{name: shop, slos: [{id: a, target: 99}]}]"
    )
    config = read(file, environ={})
    assert [(slo.id, slo.service, slo.window) for slo in config.arguments["slos"]] == [
        ("a", "shop", 604_800),
        ("b", "till", 604_800),
    ]
    assert tmp_path / "slos" / "b.json" in config.files
    (tmp_path / "slos" / "c.yaml").write_text("services: [{name: x, slos: [{id: a, target: 99}]}]")
    with pytest.raises(ConfigError, match=r"c\.yaml.*'a' stands in another file"):
        read(file, environ={})
    file.write_text("include: [nothing/*]\nservice: shop")
    with pytest.raises(ConfigError, match=r"reliability\.yaml:1.*no file is found"):
        read(file, environ={})


def test_a_window_as_long_as_the_period_is_the_reason_why_an_alert_is_left_out() -> None:
    with capture_logs() as logs:
        default_alerts("ok", Decimal("0.001"), 86_400)
    assert [each["reason"] for each in logs] == [
        f"its window of {window} is not shorter than the period" for window in ("1d", "3d")
    ]


def test_no_junk_in_a_configuration_is_more_than_a_message() -> None:
    refused = 0
    for document in spoiled(yaml.load(EVERYTHING).data):
        try:
            slos, _ = from_config(document)
            compile_rules(slos)
            to_config(slos)
        except (ConfigError, QueryError):
            refused += 1
    assert refused > 1000


EVERYTHING = """
global: {defaultTimeWindow: 30d, dashboards: {autoGenerate: true, platform: grafana}}
services:
  - name: b
    tier: tier-3
    owner: me
    labels: {a: b}
    slos:
      - id: latency
        target: "99.5"
        sli: {type: latency, threshold: 250ms, percentile: 99}
        exclusions: [{start: "2026-01-04T02:00:00Z", duration: 2h, every: 7d, reason: x}]
        sliceLength: 1m
        sliceTarget: 95
      - {id: month, name: x, target: 99, calendar: {unit: month, timeZone: Europe/Berlin}, sli: {type: composite, components: {latency: 1}}}
      - {id: e, target: 99, sli: {good: good, total: all}, minEvents: 10, budgetingMethod: timeslices, annotations: {x: y}, runbook: x}
      - id: fresh
        target: 99
        sli: {type: freshness, maxAge: 1h}
        alerting:
          burnRate: {fast: {budgetPercent: 2, window: 1h, shortWindow: 5m, for: 1m, enabled: true}, slow: {threshold: 6, window: 6h, severity: x}}
          budgetExhaustion: {thresholds: [{percentage: 50, severity: info}]}
      - {id: t, target: 99, timeWindow: 7d, sli: {type: threshold, query: q, atMost: 5}, description: x}
"""
