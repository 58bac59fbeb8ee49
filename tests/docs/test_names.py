"""The page of names: every line of code in it runs, and no name of the kits is left out."""

from __future__ import annotations

import ast
import inspect
import re
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from fastapi import FastAPI

import resilience
from resilience import SLO, Reliability, config
from resilience.cli.main import _root
from resilience.core import yaml
from resilience.integrations.prometheus import PrometheusIntegration
from resilience.reports import Objective, build
from resilience.reports.plain import plain

PAGE = Path(__file__).parents[2] / "docs" / "names.md"
EXPORTS = [
    "HealthCheckManager",
    "healthCheckManager",
    "HealthCheck",
    "HealthStatus",
    "HealthChecker",
    "MetricsCollector",
    "metricsCollector",
    "PerformanceMetrics",
    "AggregatedMetrics",
    "CircuitBreaker",
    "CircuitBreakerManager",
    "circuitBreakerManager",
    "API_CALLS",
    "DATABASE",
    "EXTERNAL_SERVICES",
    "AlertManager",
    "alertManager",
    "Alert",
    "AlertRule",
    "AlertNotification",
    "SyntheticMonitoring",
    "syntheticMonitoring",
    "SyntheticCheck",
    "SyntheticCheckResult",
    "SLOTracker",
    "sloTracker",
    "SLODefinition",
    "SLOStatus",
    "SLOMetrics",
    "addCheck",
    "checkAll",
    "execute",
    "registerRules",
    "sendAlert",
    "allAlertRules",
    "runChecks",
    "defineSLO",
    "recordMetric",
    "getSLOStatus",
    "timeout",
    "retries",
    "interval",
    "failureThreshold",
    "recoveryTimeout",
    "monitoringPeriod",
    "minimumRequests",
    "channels",
    "rules",
    "escalation",
    "ttfaAlertRules",
    "errorRateAlertRules",
    "circuitBreakerAlertRules",
    "quotaAlertRules",
    "costAlertRules",
    "sessionDurationAlertRules",
    "apiAvailabilityAlertRules",
    "toolExecutionAlertRules",
    "memoryAlertRules",
    "SLOManager",
    "PrometheusIntegration",
    "monitoringBackend",
    "alertingEnabled",
    "budgetCalculationInterval",
    "registerSLO",
    "calculateErrorBudget",
    "remainingBudget",
    "getErrorBudget",
    "consumptionPercentage",
    "burnRate",
    "prometheusUrl",
    "alertmanagerUrl",
    "calculateSLI",
    "generateAlertingRules",
    "updatePrometheusRules",
    "checkBurnRateAlerts",
    "getActiveAlerts",
    "resolveAlert",
    "recordRequest",
    "recordError",
    "version",
    "defaultTimeWindow",
    "autoGenerate",
    "platform",
    "tier",
    "owner",
    "timeWindow",
    "query",
    "budgetExhaustion",
    "thresholds",
    "reportId",
    "period",
    "overallCompliance",
    "slosMeetingTarget",
    "totalSLOs",
    "servicesAtRisk",
    "actualValue",
    "targetMet",
    "recommendations",
    "actions",
    "validate-slos",
    "calculate-budgets",
    "slo-report",
    "generate-dashboards",
    "--check-violations",
    "--days",
    "--services",
    "--format",
    "--output",
    "Datadog",
    "Grafana",
]


class Row(NamedTuple):
    line: int
    kit: str
    code: str


def rows() -> list[Row]:
    found = []
    for number, line in enumerate(PAGE.read_text().splitlines(), 1):
        cells = re.split(r" ?\| ?", line.strip("|"))
        if line.startswith("|") and not line.startswith(("|---", "| kit")):
            assert len(cells) == 3, f"{PAGE.name}:{number}"
            found.append(Row(number, cells[0].strip(), cells[2].strip()))
    return found


@pytest.mark.parametrize("name", EXPORTS)
def test_no_name_of_the_kits_is_left_out(name: str) -> None:
    named = " ".join(row.kit for row in rows())
    assert re.search(rf"(?<![\w-]){re.escape(name)}(?!\w)", named), name


def test_a_row_has_one_line_of_code_or_is_planned() -> None:
    assert len(rows()) > 80
    for row in rows():
        assert row.code == "planned" or re.fullmatch(r"`[^`]+`", row.code), row


CODE = [
    pytest.param(row.code.strip("`"), id=f"{PAGE.name}:{row.line}") for row in rows() if row.code != "planned"
]


async def check() -> bool:
    return True


async def fetch() -> str:
    return "fetched"


def report() -> dict[str, Any]:
    slo = Objective("ok", "Requests succeed", "shop", Decimal("0.999"), Decimal("0.99"), bad=1, total=100,
                    remaining=Decimal(-9), status="exhausted")  # fmt: skip
    return plain(build([slo], start=0, end=60))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("code", CODE)
async def test_the_line_runs(code: str, tmp_path: Path) -> None:
    if code.startswith("resilience "):
        parse(_root, code.split()[1:])
    elif re.match(r"\w+: ", code):
        configured(code, tmp_path)
    else:
        await execute(code)


def parse(command: click.Command, arguments: list[str]) -> None:
    """Parse a command line as the command would, without running it."""
    with command.make_context("resilience", arguments) as context:
        if isinstance(command, click.Group):
            rest = [*context._protected_args, *context.args]
            _, found, remaining = command.resolve_command(context, rest)
            assert found is not None
            found.make_context(rest[0], remaining, parent=context)


def configured(code: str, folder: Path) -> None:
    given = {"channels": "channels: {ops: {log: {}}}\n", "service": "service: shop\n"}
    said = yaml.load(code).data
    file = folder / "reliability.yaml"
    file.write_text("".join(line for key, line in given.items() if key not in said) + code + "\n")
    assert config.read(file).arguments


async def execute(code: str) -> None:
    rel = Reliability("shop")
    rel.slos.register(SLO("ok", service="shop", target=0.999))
    rel.health.add_check("process", check)
    prometheus = PrometheusIntegration("http://prometheus:9090")
    names: dict[str, Any] = {name: getattr(resilience, name) for name in resilience.__all__}
    names |= {"rel": rel, "check": check, "fetch": fetch, "now": time.time() + 1, "app": FastAPI()}
    names |= {
        "PrometheusIntegration": PrometheusIntegration,
        "prometheus": prometheus,
        "report_json": report(),
    }
    result = eval(compile(code, PAGE.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    if inspect.isawaitable(result):
        await result
    await prometheus.close()
