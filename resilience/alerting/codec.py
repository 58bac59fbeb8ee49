"""Notifications as they are stored: JSON that reads back what was written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from resilience.core.log import log
from resilience.core.ports import Notification, NotifiedAlert
from resilience.errors import ConfigError

__all__ = [
    "decode",
    "dump_alert",
    "dump_notification",
    "encode",
    "load_alert",
    "load_notification",
    "read_each",
]


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


def read_each(table: str, rows: Mapping[str, bytes], take: Callable[[str, bytes], object]) -> None:
    """Hand rows to `take` by key and one by one: one that is damaged is named and left where it is, the others count."""
    for key in sorted(rows):
        try:
            take(key, rows[key])
        except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            log(__name__).error("stored_row_unreadable", table=table, key=key, error=repr(error))
