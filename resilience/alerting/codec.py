"""Notifications as they are stored: JSON that reads back what was written."""

from __future__ import annotations

import json
from typing import Any

from resilience.core.ports import Notification, NotifiedAlert

__all__ = ["decode", "dump_alert", "dump_notification", "encode", "load_alert", "load_notification"]


def encode(value: object) -> bytes:
    """Write a value as compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def decode(row: bytes) -> Any:
    """Read what `encode` wrote."""
    return json.loads(row.decode("utf-8", "surrogatepass"))


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
    """Read back what `dump_alert` made."""
    return NotifiedAlert(**found)


def dump_notification(notification: Notification) -> dict[str, Any]:
    """A notification as plain values."""
    return {
        "key": notification.key,
        "receiver": notification.receiver,
        "status": notification.status,
        "group_key": notification.group_key,
        "group": dict(notification.group),
        "alerts": [dump_alert(alert) for alert in notification.alerts],
        "at": notification.at,
    }


def load_notification(found: dict[str, Any]) -> Notification:
    """Read back what `dump_notification` made."""
    return Notification(**{**found, "alerts": [load_alert(alert) for alert in found["alerts"]]})
