"""Alerts, silences and events as plain data, as the endpoints and the CLI show them."""

from __future__ import annotations

from typing import Any

from resilience.alerting.active import ActiveAlert
from resilience.alerting.history import AlertEvent
from resilience.alerting.silence import Silence

__all__ = ["plain_alert", "plain_event", "plain_silence"]


def plain_alert(active: ActiveAlert) -> dict[str, Any]:
    """One alert that fires; `id` is what `acknowledge` and `resolve` take, times are Unix seconds."""
    alert = active.alert
    return {
        "id": alert.fingerprint,
        "status": alert.status,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "started": alert.started,
        "value": alert.value,
        "acknowledged_by": alert.acknowledged_by,
        "told": list(active.told),
        "silenced_by": active.silenced_by,
        "inhibited_by": active.inhibited_by,
        "flapping": active.flapping,
    }


def plain_event(event: AlertEvent) -> dict[str, Any]:
    """One thing that happened."""
    return {**vars(event), "labels": dict(event.labels)}


def plain_silence(silence: Silence) -> dict[str, Any]:
    """One silence, its matchers as Alertmanager writes them."""
    return {**vars(silence), "matchers": str(silence.matchers)}
