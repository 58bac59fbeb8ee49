"""Alerts raised by hand or by code, beside those of the rules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from resilience.alerting.codec import LABELS
from resilience.alerting.vetting import vetted
from resilience.core.clock import Instant
from resilience.core.labels import clean_text, label_set, real
from resilience.core.options import named_options
from resilience.core.ports import Put
from resilience.core.rows import Maybe, Moment, decode, encode
from resilience.core.validate import shown
from resilience.errors import ConfigError
from resilience.rules.state import Alert, AlertState, fingerprint

__all__ = ["RaisedAlert", "RaisedAlerts"]

_TABLE = "alerting.raised"
_ALERT = {
    "rule": str,
    "labels": LABELS,
    "annotations": {str: str},
    "value": Maybe(float),
    "fingerprint": str,
    "at": Moment,
}
_KEYS = ("name", "severity", "message", "metadata", "timestamp", "labels", "annotations", "value")


def _mapping(option: str, value: object) -> Mapping[str, Any]:
    if value is None or isinstance(value, Mapping):
        return value or {}
    message = f"{option} must be a mapping, got {shown(value)}"
    raise ConfigError(message)


@named_options
@dataclass(frozen=True)
class RaisedAlert:
    """An alert that somebody raises; it fires until it is resolved.

    Args:
        name: the label `alertname`.
        severity: the label `severity`; `warning` by default.
        labels: further labels; alerts with the same labels are the same alert. Names match `[a-zA-Z_][a-zA-Z0-9_]*`;
            values are texts, numbers and booleans become texts.
        annotations: texts for people: `summary`, `description`, `runbook_url`; as `labels`.
        value: a number of any type to show; None where there is none.

    Raises:
        ConfigError: the name or the severity is empty, or something has another type.

    Example:
        >>> RaisedAlert("DiskFull", severity="critical", labels={"host": "a"}).identity
        {'host': 'a', 'alertname': 'DiskFull', 'severity': 'critical'}
    """

    name: str
    severity: str = "warning"
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    value: float | None = None

    def __post_init__(self) -> None:
        checked = {
            "name": clean_text("name", self.name),
            "severity": clean_text("severity", self.severity),
            "labels": label_set("labels", self.labels),
            "annotations": label_set("annotations", self.annotations),
            "value": None if self.value is None else real("value", self.value),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, alert: RaisedAlert | Mapping[str, Any]) -> RaisedAlert:
        """Return an alert that is given as a mapping.

        Args:
            alert: an alert; or a mapping of `id` or `name`, and optionally `severity`, `message`, `metadata`, `timestamp`,
                `labels`, `annotations` and `value`. `message` is the annotation `summary`, and `metadata` and `timestamp` are
                annotations.

        Raises:
            ConfigError: the mapping has another key, no name, or an invalid value.

        Example:
            >>> RaisedAlert.of({"id": "high-error-rate", "severity": "critical", "message": "15% fail"}).annotations
            {'summary': '15% fail'}
        """
        if isinstance(alert, RaisedAlert):
            return alert
        if not isinstance(alert, Mapping):
            message = f"alert must be a RaisedAlert or a mapping, got a {type(alert).__name__}"
            raise ConfigError(message)
        given = dict(alert)
        options: dict[str, Any] = {"name": given.pop("name", None) or given.pop("id", None)}
        annotations = {
            **_mapping("metadata", given.pop("metadata", None)),
            **_mapping("annotations", given.pop("annotations", None)),
        }
        if "message" in given:
            annotations["summary"] = given.pop("message")
        if "timestamp" in given:
            at = given.pop("timestamp")
            annotations["timestamp"] = at.isoformat() if isinstance(at, datetime) else at
        options |= {name: given.pop(name) for name in ("severity", "labels", "value") if name in given}
        if given:
            message = f"alert must be made of id, {', '.join(_KEYS)}, got {shown(next(iter(given)))}"
            raise ConfigError(message)
        return cls(**options, annotations=annotations)

    @property
    def identity(self) -> dict[str, str]:
        """All its labels."""
        return {**self.labels, "alertname": self.name, "severity": self.severity}


class RaisedAlerts:
    """The raised alerts that fire."""

    table = _TABLE

    def __init__(self) -> None:
        self.firing: dict[str, Alert] = {}

    def add(self, raised: RaisedAlert, labels: Mapping[str, str], now: Instant) -> tuple[Alert, Put]:
        """Raise one, or renew the annotations of one that fires; returns it and what is to be stored."""
        key = fingerprint(labels)
        before = self.firing.get(key)
        alert = Alert(
            rule=raised.name,
            group="raised",
            labels=labels,
            annotations=dict(raised.annotations),
            state=AlertState.FIRING,
            value=math.nan if raised.value is None else raised.value,
            active_at=now if before is None else before.active_at,
            fingerprint=key,
            fired_at=now if before is None else before.fired_at,
        )
        put = Put(_TABLE, key, encode(_dump(alert)))
        self.firing[key] = alert
        return alert, put

    def remove(self, key: str) -> Put | None:
        """Resolve one; None where none of that fingerprint was raised."""
        return None if self.firing.pop(key, None) is None else Put(_TABLE, key, None)

    def rows(self) -> Iterator[Put]:
        """Yield everything that is to be stored."""
        return (Put(_TABLE, key, encode(_dump(alert))) for key, alert in self.firing.items())

    def restore(self, rows: Iterable[bytes], offset: float) -> None:
        """Take back what was stored; `offset` leads from monotonic to Unix time."""
        for row in rows:
            found = decode(row, _ALERT)
            at = Instant(found.pop("at") - offset, 0.0)
            at = Instant(at.monotonic, at.monotonic + offset)
            value = found.pop("value")
            alert = Alert(
                **found,
                group="raised",
                state=AlertState.FIRING,
                value=math.nan if value is None else value,
                active_at=at,
                fired_at=at,
            )
            self.firing[alert.fingerprint] = vetted(alert)


def _dump(alert: Alert) -> dict[str, Any]:
    return {
        "rule": alert.rule,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "value": alert.value if math.isfinite(alert.value) else None,
        "fingerprint": alert.fingerprint,
        "at": alert.active_at.wall,
    }
