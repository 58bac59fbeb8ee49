"""Alerts and notifications as they are stored."""

from __future__ import annotations

from typing import Any

from resilience.core.labels import label_set
from resilience.core.ports import Notification, NotifiedAlert
from resilience.core.rows import Maybe, Moment, Shape
from resilience.core.slices import breathing

__all__ = [
    "ALERT",
    "LABELS",
    "NOTIFICATION",
    "dump_alert",
    "dump_notification",
    "load_alert",
    "load_notification",
]

LABELS: Shape = {"alertname": str, str: str}
"""Shape of an alert's labels."""

ALERT: Shape = {
    "fingerprint": str,
    "status": str,
    "labels": LABELS,
    "annotations": {str: str},
    "started": Moment,
    "ended": Maybe(Moment),
    "value": Maybe(float),
    "acknowledged_by": Maybe(str),
}
"""Shape of a stored alert."""

NOTIFICATION: Shape = {
    "key": str,
    "receiver": str,
    "status": str,
    "group_key": str,
    "group": {str: str},
    "alerts": [ALERT],
    "at": Moment,
}
"""Shape of a stored notification."""


def dump_alert(alert: NotifiedAlert) -> dict[str, Any]:
    """An alert as plain values."""
    return {
        "fingerprint": alert.fingerprint,
        "status": alert.status,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "started": alert.started,
        "ended": alert.ended,
        "value": alert.value,
        "acknowledged_by": alert.acknowledged_by,
    }


def load_alert(found: dict[str, Any]) -> NotifiedAlert:
    """Read back what `dump_alert` made, with texts that every output can hold."""
    texts = {name: label_set(name, found[name], utf8=True) for name in ("labels", "annotations")}
    return NotifiedAlert(**{**found, **texts})


def dump_notification(notification: Notification) -> dict[str, Any]:
    """A notification as plain values."""
    return {
        "key": notification.key,
        "receiver": notification.receiver,
        "status": notification.status,
        "group_key": notification.group_key,
        "group": dict(notification.group),
        "alerts": [dump_alert(alert) for alert in breathing(notification.alerts)],
        "at": notification.at,
    }


def load_notification(found: dict[str, Any]) -> Notification:
    """Read back what `dump_notification` made."""
    return Notification(**{**found, "alerts": [load_alert(alert) for alert in found["alerts"]]})
