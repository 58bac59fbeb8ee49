"""Forms that users of other SRE kits write: accepted, or answered with where they belong."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from resilience import SLO, Reliability, config
from resilience.alerting import RaisedAlert
from resilience.cli.main import main
from resilience.core.ports import Status
from resilience.errors import ConfigError


def test_an_objective_takes_tier_and_window_as_files_write_them() -> None:
    slo = SLO("ok", service="shop", target=0.999, tier="tier-0", window="7d")
    assert (slo.tier, slo.window) == (0, 7 * 86_400.0)


@pytest.mark.parametrize(
    "options", [{"tier": "tier-9"}, {"tier": "gold"}, {"window": "soon"}, {"window": "5m"}]
)
def test_a_tier_or_window_that_is_none_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        SLO("ok", service="shop", target=0.999, **options)


def test_a_request_needs_no_route() -> None:
    rel = Reliability("shop")
    rel.slos.record_request(service="shop", success=False, duration=0.1, timestamp=datetime.now(UTC))
    requests = rel.signals.find("http_requests_total")
    assert requests is not None
    [(labels, series)] = requests.items()
    assert (labels, series.current) == (("shop", "", "", "", "failure"), 1.0)


@pytest.mark.parametrize(
    ("found", "status", "detail"),
    [
        ({"status": "healthy", "details": "Database connected"}, Status.HEALTHY, "Database connected"),
        ({"status": "unhealthy"}, Status.UNHEALTHY, ""),
        ({"status": Status.DEGRADED, "details": {"lag": 3}}, Status.DEGRADED, "{'lag': 3}"),
        ({"status": "fine"}, Status.UNHEALTHY, "ValueError: 'fine' is not a valid Status"),
        ({"state": "healthy"}, Status.UNHEALTHY, None),
    ],
)
async def test_a_check_may_return_a_mapping(found: object, status: Status, detail: str | None) -> None:
    rel = Reliability("shop")
    rel.health.add_check("db", lambda: found)  # type: ignore[arg-type, return-value]  # whatever a user returns
    checked = (await rel.health.check_all()).checks["db"]
    assert checked.status is status
    assert detail is None or checked.detail == detail


def test_an_alert_may_be_a_mapping() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    given = {
        "id": "high-error-rate",
        "severity": "critical",
        "message": "15% fail",
        "timestamp": at,
        "metadata": {"errorRate": 0.15},
    }
    alert = RaisedAlert.of(given)
    assert (alert.name, alert.severity) == ("high-error-rate", "critical")
    assert alert.annotations == {
        "errorRate": "0.15",
        "summary": "15% fail",
        "timestamp": "2026-01-01T00:00:00+00:00",
    }
    rel = Reliability("shop")
    assert rel.alerts.send_alert(given) == rel.alerts.send_alert(alert)


@pytest.mark.parametrize(
    "alert",
    [{}, {"message": "no name"}, {"id": "a", "channel": "ops"}, {"id": "a", "metadata": 5}, ["a"], "a"],
)
def test_a_mapping_that_is_no_alert_is_refused(alert: Any) -> None:
    with pytest.raises(ConfigError):
        Reliability("shop").alerts.send_alert(alert)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("alerting: {burnRate: {}}", r"belong to an objective, services: \[\{slos: \[\{alerting"),
        ("escalation: {}", "write escalations:"),
        ("dashboards: {}", "write it under global"),
        ("slos: []", "they belong to a service"),
    ],
)
def test_a_key_at_the_wrong_place_is_told_where_it_belongs(written: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "reliability.yaml").write_text(f"service: shop\n{written}\n")
    with pytest.raises(ConfigError, match=told):
        config.read(tmp_path / "reliability.yaml")


def test_dashboards_that_are_not_generated_are_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "reliability.yaml").write_text("service: shop\nglobal: {dashboards: {autoGenerate: true}}\n")
    with caplog.at_level(logging.WARNING):
        config.read(tmp_path / "reliability.yaml")
    assert "dashboards_not_generated" in caplog.text


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("validate-slos", "resilience validate"),
        ("calculate-budgets", "resilience budgets"),
        ("slo-report", "resilience report"),
        ("generate-dashboards", "not generated yet"),
    ],
)
def test_the_kits_commands_are_told_their_new_names(
    command: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--days", "3"]) == 2
    assert told in capsys.readouterr().err
