"""What an alert is, what it hashes to, and how it outlives the process."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from resilience.core.clock import Instant
from resilience.core.rows import Maybe, Moment, Shape
from resilience.errors import ConfigError

__all__ = [
    "ALERT_ROW",
    "Alert",
    "AlertState",
    "AlertTransition",
    "fingerprint",
    "lasts_like",
    "load_alert",
    "save_alert",
]


class AlertState(StrEnum):
    """Where an alert is in its life."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


def fingerprint(labels: Mapping[str, str]) -> str:
    """Hash a label set as Alertmanager does: FNV-1a of 64 bits over the sorted pairs.

    Args:
        labels: label names and values, `alertname` among them.

    Returns:
        sixteen hexadecimal digits, the same in every process.

    Example:
        >>> fingerprint({"alertname": "a", "b": "c"}) == fingerprint({"b": "c", "alertname": "a"})
        True
    """
    digest = 0xCBF29CE484222325
    for name in sorted(labels):
        for byte in (*name.encode(), 0xFF, *labels[name].encode("utf-8", "surrogatepass"), 0xFF):
            digest = ((digest ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{digest:016x}"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert at one moment; a later moment is another object.

    Args:
        rule: name of its rule.
        group: name of its rule's group.
        labels: what identifies it, `alertname` among them.
        annotations: rendered with the last value.
        state: pending, firing or resolved; inactive in the transition of a pending alert that came to nothing.
        value: the last value of the expression; NaN where missing data is what alerts.
        active_at: first evaluation at which its condition held.
        fingerprint: stable hash of `labels`.
        fired_at: when it began to fire.
        resolved_at: when it stopped firing.
        keep_firing_since: first false evaluation of those that `keep_firing_for` bridges.
        no_data_since: first evaluation of those that found no data to judge the alert by; None while there is data, or
            while the rule treats missing data as a false evaluation.
        absent_since: first of the evaluations after a restart that did not find its condition, while windows may still be
            filling up; None while the condition holds.
    """

    rule: str
    group: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    state: AlertState
    value: float
    active_at: Instant
    fingerprint: str
    fired_at: Instant | None = None
    resolved_at: Instant | None = None
    keep_firing_since: Instant | None = None
    no_data_since: Instant | None = None
    absent_since: Instant | None = None


@dataclass(frozen=True, slots=True)
class AlertTransition:
    """An alert went from `previous` to `state`; `alert` is what it is since then."""

    alert: Alert
    previous: AlertState
    state: AlertState
    at: Instant


# Durations that the time a process is down does not count towards.
_PAUSED = ("keep_firing_since", "no_data_since", "absent_since")
_TIMES = ("active_at", "fired_at", "resolved_at", *_PAUSED)

ALERT_ROW: Shape = {
    "labels": {"alertname": str, str: str},
    "annotations": {str: str},
    "state": str,
    "value": Maybe(float),
    **dict.fromkeys(_TIMES, Maybe(Moment)),
}
"""Shape of a stored alert."""


def save_alert(alert: Alert) -> dict[str, Any]:
    """Return an alert as plain data, its times as Unix time."""
    times = {name: getattr(alert, name) for name in _TIMES}
    return {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "state": alert.state.value,
        "value": alert.value if math.isfinite(alert.value) else None,
        **{name: at.wall for name, at in times.items() if at is not None},
    }


def lasts_like(alert: Alert, other: Alert) -> bool:
    """Return True if two moments of an alert are in the same state since the same times."""
    return alert.state is other.state and all(getattr(alert, name) == getattr(other, name) for name in _TIMES)


def load_alert(item: Mapping[str, Any], rule: str, group: str, now: Instant, *, down_at: float) -> Alert:
    """Return an alert as it continues now.

    Args:
        item: what `save_alert` returned.
        rule: name of its rule.
        group: name of its rule's group.
        now: when this process begins.
        down_at: Unix time at which the process that saved it was last seen.

    Raises:
        ConfigError: it is not such data.
    """
    try:
        return _read(item, rule, group, now, down_at)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"saved state of alert rule {rule!r} cannot be read: {error!r}"
        raise ConfigError(message) from error


def _read(item: Mapping[str, Any], rule: str, group: str, now: Instant, down_at: float) -> Alert:
    labels = {str(name): str(text) for name, text in item["labels"].items()}
    state = AlertState(item["state"])
    # What is over grows old while the process is down; what lasts does not.
    seen = now.wall if state is AlertState.RESOLVED else min(down_at, now.wall)
    times: dict[str, Instant] = {}
    for name in _TIMES:
        if (wall := item.get(name)) is not None:
            age = max(0.0, seen - float(wall))
            paused = name in _PAUSED or (name == "active_at" and state is AlertState.PENDING)
            # As Prometheus: the time pending so far stands, so its beginning moves by the downtime.
            times[name] = Instant(now.monotonic - age, now.wall - age if paused else float(wall))
    value = item["value"]
    return Alert(
        rule=rule,
        group=group,
        labels=labels,
        annotations={str(name): str(text) for name, text in item["annotations"].items()},
        state=state,
        value=math.nan if value is None else float(value),
        active_at=times.pop("active_at"),
        fingerprint=fingerprint(labels),
        **times,
    )
