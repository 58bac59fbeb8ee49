"""Reports as machines read them: `application/health+json`, and a plain form."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from resilience.core.ports import Status
from resilience.health.report import CheckReport, HealthReport

__all__ = ["HEALTH_JSON", "health_json", "plain"]

HEALTH_JSON: Final = "application/health+json"
"""The content type of `health_json`."""

_WORDS: Final = {
    Status.HEALTHY: "pass",
    Status.DEGRADED: "warn",
    Status.UNKNOWN: "warn",
    Status.UNHEALTHY: "fail",
}
_UNITS: Final = {"seconds": "s", "bytes": "B", "ratio": "1"}


def health_json(report: HealthReport, *, details: bool = False, passed: bool | None = None) -> dict[str, Any]:
    """Return a report as draft-inadarei-api-health-check-06 has it: pass, warn, fail.

    Args:
        report: what was found.
        details: whether to say more than the status.
        passed: False to have `fail` whatever was found: a service that is shutting down, say.

    Example:
        >>> health_json(HealthReport(Status.DEGRADED, {}))
        {'status': 'warn'}
    """
    body: dict[str, Any] = {"status": "fail" if passed is False else _WORDS[report.overall]}
    if details:
        checks: dict[str, list[dict[str, Any]]] = {}
        for name, check in report.checks.items():
            # A key is a component and a measurement with one colon between them (section 4).
            for key, entry in _entries(name.replace(":", "_"), check):
                checks.setdefault(key, []).append(entry)
        body["checks"] = checks
    return body


def plain(report: HealthReport, *, details: bool = False, passed: bool | None = None) -> dict[str, Any]:
    """Return a report in the words of this library: `{"overall": "healthy", "checks": {...}}`.

    Args:
        report: what was found.
        details: whether to say more than the status.
        passed: False to have `unhealthy` whatever was found.
    """
    body: dict[str, Any] = {"overall": "unhealthy" if passed is False else report.overall.value}
    if details:
        body["checks"] = {
            name: {
                "status": check.status.value,
                "detail": check.detail,
                "latency": check.latency,
                "last_success": check.last_success,
                "observed": dict(check.observed),
                "critical": check.critical,
            }
            for name, check in report.checks.items()
        }
    return body


def _entries(name: str, check: CheckReport) -> Iterator[tuple[str, dict[str, Any]]]:
    common: dict[str, Any] = {"status": _WORDS[check.status]}
    if check.checked is not None:
        common["time"] = datetime.fromtimestamp(check.checked, UTC).isoformat()
    first = dict(common)
    if check.latency is not None:
        first |= {"observedValue": round(check.latency * 1000, 3), "observedUnit": "ms"}
    if check.detail and check.status is not Status.HEALTHY:  # section 4.8: omitted where the status is pass
        first["output"] = check.detail
    yield f"{name}:responseTime", first
    for figure, value in check.observed.items():
        unit = _UNITS.get(figure.rpartition("_")[2])
        yield (
            f"{name}:{figure}",
            {**common, "observedValue": value, **({"observedUnit": unit} if unit else {})},
        )
