"""What fires, what is about to, and what is muted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resilience.alerting.plain import plain_alert, plain_silence
from resilience.rules import AlertState
from resilience_middleware.console.view import View
from resilience_middleware.console.watch import Watch

__all__ = ["alerts"]


def alerts(watch: Watch, view: View) -> Mapping[str, Any]:
    """Say what fires, with what people did about it, what is pending, and which silences hold."""
    rel = watch.rel
    now = rel.clock.time()
    firing = rel.alerts.active_alerts(service=view.service or None)
    return {
        "firing": [{**plain_alert(each), "value": _value(each.alert.value)} for each in firing],
        "pending": [
            {
                "id": alert.fingerprint,
                "labels": dict(alert.labels),
                "annotations": dict(alert.annotations),
                "since": alert.active_at.wall,
                "value": _value(alert.value),
            }
            for alert in rel.rules.alerts()
            if alert.state is AlertState.PENDING and view.service in {"", alert.labels.get("service", "")}
        ],
        "silences": [plain_silence(each) for each in rel.alerts.silences if each.end > now],
        "channels": sorted(rel.alerts.notifiers),
    }


def _value(value: float | None) -> float | None:
    # JSON has no NaN; missing data is what alerts then.
    return value if value is not None and value - value == 0 else None
