"""What fires in the other processes of a service: handed over through the store to the one that notifies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from resilience.alerting.codec import LABELS
from resilience.core.clock import Instant
from resilience.core.ports import Put
from resilience.core.rows import Maybe, Moment, decode, encode, read_rows
from resilience.rules.state import Alert, AlertState

__all__ = ["Peers"]

_TABLE = "alerting.peers"
# Alertmanager's resolve_timeout: what a process that is gone had reported is resolved after that, and a restart of it
# within that time resolves nothing.
_HELD = 300.0
_RENEWED = 60.0
_REPORT = {
    "until": Moment,
    "alerts": [
        {
            "rule": str,
            "group": str,
            "labels": LABELS,
            "annotations": {str: str},
            "value": Maybe(float),
            "active_at": Moment,
            "fired_at": Moment,
            "fingerprint": str,
        }
    ],
}


@dataclass(frozen=True)
class _Report:
    until: float
    alerts: tuple[Alert, ...]


class Peers:
    """The alerts of other processes, and this one's for them.

    Args:
        worker: names this process.
    """

    table = _TABLE

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._reports: dict[str, _Report] = {}
        self._inherited = _Report(0.0, ())
        self._offered: frozenset[str] | None = None
        self._due = 0.0

    def offer(self, alerts: Iterable[Alert], now: Instant) -> list[Put]:
        """Hand over what fires here; stored when it changes, and once a minute to stay alive."""
        firing = {each.fingerprint: each for each in alerts if each.state is AlertState.FIRING}
        if self._offered == firing.keys() and (not firing or now.monotonic < self._due):
            return []
        self._offered, self._due = frozenset(firing), now.monotonic + _RENEWED
        report = {"until": now.wall + _HELD, "alerts": [_dump(each) for each in firing.values()]}
        return [Put(_TABLE, self._worker, encode(report) if firing else None)]

    def withdraw(self) -> list[Put]:
        """Take back what was handed over: this process notifies itself from now on."""
        offered, self._offered = self._offered, None
        return [Put(_TABLE, self._worker, None)] if offered else []

    def take(self, rows: Mapping[str, bytes], now: Instant) -> list[Put]:
        """Learn what the others have handed over; returns what is to be removed of those that are gone."""
        reports: dict[str, _Report] = {}

        def take(worker: str, row: bytes) -> None:
            reports[worker] = _load(decode(row, _REPORT), now.wall - now.monotonic)

        read_rows(_TABLE, {worker: row for worker, row in rows.items() if worker != self._worker}, take)
        if now.wall >= self._inherited.until:
            self._inherited = _Report(0.0, ())
        self._reports = {worker: each for worker, each in reports.items() if now.wall < each.until}
        return [Put(_TABLE, worker, None) for worker in reports.keys() - self._reports.keys()]

    def inherit(self, alerts: Iterable[Alert], wall: float) -> None:
        """Hold what the process that led had seen: that it is gone resolves nothing at once."""
        self._inherited = _Report(wall + _HELD, tuple(alerts))

    def firing(self, own: Iterable[Alert]) -> list[Alert]:
        """Return what fires in the others; of what was inherited, an alert that this process knows is its own matter."""
        if self._inherited.alerts:
            known = {alert.fingerprint for alert in own}
            left = [each for each in self._inherited.alerts if each.fingerprint not in known]
            self._inherited = _Report(self._inherited.until, tuple(left))
        reports = (self._inherited, *self._reports.values())
        return [alert for report in reports for alert in report.alerts]


def _dump(alert: Alert) -> dict[str, Any]:
    return {
        "rule": alert.rule,
        "group": alert.group,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "value": alert.value if math.isfinite(alert.value) else None,
        "active_at": alert.active_at.wall,
        "fired_at": (alert.fired_at or alert.active_at).wall,
        "fingerprint": alert.fingerprint,
    }


def _load(found: dict[str, Any], offset: float) -> _Report:
    return _Report(found["until"], tuple(_alert(each, offset) for each in found["alerts"]))


def _alert(found: dict[str, Any], offset: float) -> Alert:
    times = {name: Instant(found[name] - offset, found[name]) for name in ("active_at", "fired_at")}
    value = math.nan if found["value"] is None else found["value"]
    return Alert(**{**found, **times, "value": value, "state": AlertState.FIRING})
