"""From what a service tells to what a report says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from resilience.cli.report import _incidents, _objective, _summary

DAY = 86_400.0


def slo(**more: Any) -> dict[str, Any]:
    budget = {
        "status": "healthy",
        "bad": 10.0,
        "total": 3000.0,
        "remaining": 0.5,
        "burn_rates": {"1h": None, "6h": 2.0},
        "time_to_exhaustion": 60.0,
    }
    about = {
        "id": "ok",
        "name": "OK",
        "service": "shop",
        "target": 0.99,
        "window": 30 * DAY,
        "current": 0.996,
    }
    return {**about, "owner": None, "tier": 1, "budget": budget, **more}


HISTORY = {
    "step": 3600.0,
    "buckets": [[2 * DAY, 10.0, 1000.0], [28 * DAY, 0.0, 1500.0], [29.5 * DAY, 0.0, 500.0]],
}


def test_the_own_period_is_told_by_the_service() -> None:
    found = _objective(slo(), HISTORY, 0.0, 30 * DAY)
    assert (found.actual, found.bad, found.total, found.burn_rate) == (Decimal("0.996"), 10.0, 3000.0, 2)
    assert sum(step.total for step in found.steps) == 3000


def test_a_shorter_period_is_a_ratio_of_its_own_sums() -> None:
    found = _objective(slo(), HISTORY, 20 * DAY, 30 * DAY)
    assert (found.actual, found.bad, found.total) == (1, 0.0, 2000.0)
    assert found.remaining == Decimal("0.5")


def test_without_a_history_there_are_no_charts() -> None:
    found = _objective(slo(), {"step": 3600.0, "buckets": []}, 29 * DAY, 30 * DAY)
    assert (found.actual, list(found.steps)) == (Decimal("0.996"), [])


@pytest.mark.parametrize("days", [0.1, 1, 7, 90])
def test_steps_are_as_many_as_a_chart_shows_and_cover_the_period(days: float) -> None:
    found = _objective(slo(), {**HISTORY, "buckets": [[30 * DAY - 1, 1.0, 2.0]]}, (30 - days) * DAY, 30 * DAY)
    assert 1 <= len(found.steps) <= 60
    assert found.steps[-1] == (pytest.approx(30 * DAY, abs=3600), 1.0, 2.0)


def event(at: float, kind: str, key: str = "a", detail: str = "") -> dict[str, Any]:
    labels = {"alertname": "Burn", "slo": "ok", "severity": "page", "window": "1h"}
    return {"at": at, "kind": kind, "fingerprint": key, "subject": "Burn", "labels": labels, "detail": detail}


def test_what_fired_and_was_resolved_is_one_incident_with_what_was_done() -> None:
    events = [
        event(3, "resolved"),
        event(1, "fired"),
        event(2, "acknowledged", detail="ann"),
        event(4, "fired"),
    ]
    first, second = _incidents(events)
    assert (first.started, first.ended, first.severity, first.slo) == (1, 3, "page", "ok")
    assert first.events == ((1, "fired"), (2, "acknowledged ann"), (3, "resolved"))
    assert first.summary == "window 1h"
    assert (second.started, second.ended) == (4, None)


def test_what_happened_to_nothing_that_fired_is_no_incident() -> None:
    assert _incidents([event(1, "resolved"), event(2, "silenced", key="")]) == []


@pytest.mark.parametrize(
    ("labels", "summary"),
    [
        ({"alertname": "ErrorBudgetBurn", "owner": "ann", "tier": "0"}, "budget burns too fast"),
        ({"consumed": "75", "owner": "ann"}, "75% of the budget spent"),
        ({"route": "/pay", "alertname": "Slow", "severity": "page"}, "route /pay"),
    ],
)
def test_a_summary_says_what_tells_an_alert_from_others(labels: dict[str, str], summary: str) -> None:
    assert _summary(labels) == summary
