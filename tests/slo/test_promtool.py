"""The generated rules through the real promtool: no lint, and the same moments as the formulas and the process."""

from __future__ import annotations

import math
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from resilience.core.duration import format_duration
from resilience.rules import RuleGroup, dump, loads, write
from resilience.rules import test as rule_test
from resilience.slo import (
    SLO,
    Availability,
    BurnRateAlert,
    Calendar,
    Composite,
    Correctness,
    EventRatio,
    Exclusion,
    Freshness,
    Latency,
    Throughput,
    Uptime,
    compile_rules,
)
from resilience.slo.burn_rate import DEFAULTS, detection_time, reset_time
from tests.slo.test_detection import BUDGET, ERRORS, TICKS, only

pytestmark = pytest.mark.server("promtool")

EVERY_KIND = [
    SLO("plain", service="shop", target=0.999),
    SLO(
        "query", service="shop", target="0.999", sli=Availability("sum(rate(a[5m])) / sum(rate(b[5m])) * 100")
    ),
    SLO("events", service='a "b"\\', target=0.99, sli=EventRatio(total="all_total", bad="bad_total{a='b'}")),
    SLO("fast", service="shop", target=0.99, sli=Latency(1.0)),
    SLO("p99", service="shop", target=0.99, sli=Latency(0.3, percentile=99)),
    SLO("enough", service="shop", target=0.99, sli=Throughput(5)),
    SLO("fresh", service="shop", target=0.99, sli=Freshness(600)),
    SLO("up", service="shop", target=0.99, sli=Uptime()),
    SLO("right", service="shop", target=0.99, sli=Correctness(), budgeting="timeslices"),
    SLO("month", service="shop", target=0.99, calendar=Calendar("month", "Europe/Berlin")),
    SLO("{{ id }}", service="{{{ $labels.x }}", name="{{- 'n' }}", target=0.99, owner="{{"),
    SLO("nights", service="shop", target=0.99, exclusions=(Exclusion(0, 600, 86_400),), tier=2, owner="us"),
    SLO("all", service="shop", target=0.99, sli=Composite({"plain": 2, "fresh": 1})),
]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


def test_what_every_kind_of_objective_compiles_to_is_without_lint(tmp_path: Path) -> None:
    write(tmp_path / "slo.yml", compile_rules(EVERY_KIND))
    checked = promtool("check", "rules", "--lint-fatal", tmp_path / "slo.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_name_with_braces_stands_for_itself_in_prometheus_and_in_process(tmp_path: Path) -> None:
    name, service, id_, owner = "{{- 'n' }}", "{{{ $labels.x }}", "{{ id }}", "{{"
    slo = SLO(id_, service=service, name=name, target=0.99, owner=owner, runbook="https://x")
    budget = RuleGroup("budget", list(compile_rules([slo])[-1].rules)[:3])
    write(tmp_path / "rules.yml", [budget])
    quoted = service.replace("'", "''")
    test = tmp_path / "test.yml"
    test.write_text(f"""
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'http_requests_total{{service="{quoted}",verdict="success"}}'
        values: 0+100x30
      - series: 'http_requests_total{{service="{quoted}",verdict="failure"}}'
        values: 0+0.7x30
    alert_rule_test:
      - eval_time: 30m
        alertname: ErrorBudgetExhaustion
        exp_alerts:
          - exp_labels: {{slo: "{id_}", service: "{service}", owner: "{owner}", consumed: "50", severity: info}}
            exp_annotations:
              summary: "Error budget of {name} of {service}: 50% spent"
              description: "30.49% of the budget of 30d is left: a target of 99% allows 1% to be bad."
              runbook_url: https://x
""")
    tested = promtool("test", "rules", test)
    assert tested.returncode == 0, (tested.stdout + tested.stderr)[:2000]
    assert not rule_test.run(test, semantics=2).failures


def case(alert: BurnRateAlert, errors: str) -> str:
    """One unit test: clean traffic, errors from `TICKS` on for as long, clean traffic again."""
    tick = alert.window / TICKS
    bad = round(10_000 * float(errors))
    expected = detection_time(alert, BUDGET, Decimal(errors))
    firing: dict[int, bool] = {}
    if expected is None:
        firing = dict.fromkeys(range(TICKS, 3 * TICKS, 12), False)
    else:
        wait = reset_time(alert, BUDGET, Decimal(errors))
        assert wait is not None
        fires, resolves = (math.ceil(float(seconds) / tick) for seconds in (expected, wait))
        firing = {TICKS + fires - 1: False, TICKS + fires + 1: True, 2 * TICKS: True}
        firing[2 * TICKS + resolves - 2] = True
        firing[2 * TICKS + resolves + 1] = False
    good = (
        f"0+10000x{TICKS} {TICKS * 10_000 + 10_000 - bad}+{10_000 - bad}x{TICKS - 1}"
        f" {2 * TICKS * 10_000 - TICKS * bad + 10_000}+10000x{TICKS}"
    )
    lines = [
        f"- interval: {format_duration(tick)}",
        "  input_series:",
        """  - series: 'http_requests_total{service="shop",verdict="success"}'""",
        f"    values: {good}",
        """  - series: 'http_requests_total{service="shop",verdict="failure"}'""",
        f"    values: 0x{TICKS} {bad}+{bad}x{TICKS - 1} {TICKS * bad}x{TICKS}",
        "  promql_expr_test:",
    ]
    for step, fires_then in sorted(firing.items()):
        expected_value = f"""[{{labels: '{{}}', value: {int(fires_then)}}}]"""
        lines += [
            """  - expr: count(ALERTS{alertname="ErrorBudgetBurn",alertstate="firing"}) or vector(0)""",
            f"    eval_time: {format_duration(step * tick)}",
            f"    exp_samples: {expected_value}",
        ]
    return "\n".join(lines)


@pytest.mark.parametrize("alert", DEFAULTS, ids=lambda alert: alert.name)
def test_alerts_fire_and_resolve_in_prometheus_when_the_formulas_say(
    alert: BurnRateAlert, tmp_path: Path
) -> None:
    write(tmp_path / "rules.yml", compile_rules([only(alert)]))
    interval = format_duration(alert.window / TICKS)
    header = f"rule_files: [rules.yml]\nevaluation_interval: {interval}\ntests:\n"
    file = tmp_path / "test.yml"
    file.write_text(header + "\n".join(case(alert, errors) for errors in ERRORS))
    tested = promtool("test", "rules", file)
    assert tested.returncode == 0, (tested.stdout + tested.stderr)[:2000]
    if alert is DEFAULTS[0]:  # the same file through our own evaluator; the others go the same way, slower
        assert not rule_test.run(file, semantics=2).failures


def test_generated_rules_read_back_as_they_were(tmp_path: Path) -> None:
    groups = compile_rules(EVERY_KIND)
    assert dump(loads(dump(groups))) == dump(groups)
