"""A report as plain data, in the camelCase that its readers in other languages know."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from resilience.reports.model import Incident, Objective, Recommendation, Report, Service

__all__ = ["plain"]


def plain(report: Report) -> dict[str, Any]:
    """Return a report as what JSON and YAML have; targets and values are percentages, times are ISO 8601.

    Args:
        report: the report.

    Example:
        >>> from resilience.reports import build
        >>> plain(build([], start=0, end=60))["metadata"]["period"]
        {'start': '1970-01-01T00:00:00Z', 'end': '1970-01-01T00:01:00Z'}
    """
    return {
        "metadata": {
            "reportId": report.id,
            "period": {"start": _moment(report.start), "end": _moment(report.end)},
        },
        "summary": {
            "overallCompliance": _percent(report.compliance),
            "slosMeetingTarget": report.meeting,
            "totalSLOs": len(report.objectives),
            "servicesAtRisk": report.at_risk,
        },
        "services": [_service(each) for each in report.services],
        "incidents": [_incident(each) for each in report.incidents],
        "recommendations": [_recommendation(each) for each in report.recommendations],
    }


def _service(service: Service) -> dict[str, Any]:
    return {
        "name": service.name,
        "status": service.status,
        "slos": [_objective(each) for each in service.objectives],
    }


def _objective(objective: Objective) -> dict[str, Any]:
    return {
        "id": objective.id,
        "name": objective.name,
        "owner": objective.owner or None,
        "tier": objective.tier,
        "target": _percent(objective.target),
        "actualValue": _percent(objective.actual),
        "targetMet": objective.met,
        "status": objective.status,
        "badEvents": objective.bad,
        "totalEvents": objective.total,
        "errorBudget": {
            "consumed": _percent(objective.consumed),
            "remaining": _percent(objective.remaining),
            "secondsToExhaustion": objective.exhaustion,
        },
        "burnRates": {window: _figure(rate) for window, rate in objective.burn_rates.items()},
        "burnRatesNote": objective.burn_note or None,
        "trend": _percent(objective.trend),
        "history": [
            {"at": _moment(step.at), "badEvents": step.bad, "totalEvents": step.total}
            for step in objective.steps
        ],
    }


def _incident(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "name": incident.name,
        "severity": incident.severity or None,
        "service": incident.service or None,
        "slo": incident.slo or None,
        "started": _moment(incident.started),
        "ended": None if incident.ended is None else _moment(incident.ended),
        "summary": incident.summary,
        "budgetBurned": _percent(incident.burned),
    }


def _recommendation(recommendation: Recommendation) -> dict[str, Any]:
    return {
        "type": recommendation.type,
        "title": recommendation.title,
        "actions": list(recommendation.actions),
        "figure": recommendation.figure,
        "slo": recommendation.slo,
    }


def _percent(ratio: Decimal | float | None) -> float | None:
    # Through Decimal: 100 x 0.999 in floats is 99.9, but 100 x 0.9995 is 99.95000000000001.
    return None if ratio is None else float(round(100 * Decimal(str(ratio)), 9))


def _figure(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
