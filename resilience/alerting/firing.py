"""What fires, as receivers are to see it: rules and raised alerts, less what was closed by hand, flaps held."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from resilience.alerting.codec import ALERT, dump_alert, load_alert
from resilience.alerting.flapping import FlapDetector
from resilience.core.clock import Instant
from resilience.core.ports import NotifiedAlert, Put
from resilience.core.rows import decode, encode
from resilience.core.slices import breathing
from resilience.rules.state import Alert, AlertState

__all__ = ["Changes", "Firing", "notified", "shown"]

_TABLE = "alerting.firing"
_CLOSED = "alerting.closed"


def notified(alert: Alert, *, acknowledged_by: str | None = None, flapping: bool = False) -> NotifiedAlert:
    """A firing alert as a notification shows it."""
    annotations = {**alert.annotations, "flapping": "true"} if flapping else alert.annotations
    began = alert.fired_at or alert.active_at
    return NotifiedAlert(
        alert.fingerprint,
        "firing",
        alert.labels,
        annotations,
        began.wall,
        None,
        alert.value if math.isfinite(alert.value) else None,
        acknowledged_by,
    )


@dataclass
class Changes:
    """What a tick changed.

    Args:
        joined: alerts that fire and were not among those of the last tick; after a restart, all of them.
        fired: those of them that nobody has heard of.
        ended: alerts that no longer fire.
        puts: what is to be stored of it.
    """

    joined: list[NotifiedAlert] = field(default_factory=list)
    fired: list[NotifiedAlert] = field(default_factory=list)
    ended: list[NotifiedAlert] = field(default_factory=list)
    puts: list[Put] = field(default_factory=list)


class Firing:
    """The alerts that fire.

    Args:
        flaps: says which alerts flap; they are held until they no longer do.
    """

    table = _TABLE
    closed_table = _CLOSED

    def __init__(self, flaps: FlapDetector) -> None:
        self.alerts: dict[str, Alert] = {}
        self._flaps = flaps
        self._seen: set[str] = set()
        self._known: dict[str, NotifiedAlert] = {}
        self._notified: dict[str, tuple[Alert, NotifiedAlert]] = {}
        self._closed: set[str] = set()

    def update(self, now: Instant, alerts: Iterable[Alert], raised: Mapping[str, Alert]) -> Changes:
        """Take in the alerts of a tick."""
        known = list(alerts)
        current = {alert.fingerprint: alert for alert in known if alert.state is AlertState.FIRING}
        over = {alert.fingerprint: alert for alert in known if alert.state is AlertState.RESOLVED}
        current.update(raised)
        changes = Changes()
        closed = frozenset(self._closed)
        if closed:
            self._leave_out_closed(current, changes)
        for fingerprint in breathing(current.keys() ^ self._seen):
            self._flaps.changed(fingerprint, now.monotonic)
        self._seen = set(current)
        gone = self.alerts.keys() - current.keys() or self._known.keys() - current.keys()
        if gone:
            self._flaps.forget(now.monotonic)
        for fingerprint in breathing(
            sorted(gone)
        ):  # the history of one moment reads the same in each process
            self._notified.pop(fingerprint, None)
            last = self.alerts.get(fingerprint)
            held = fingerprint not in closed and self._flaps.flapping(fingerprint, now.monotonic)
            if last is not None and held:
                current[fingerprint] = last
            else:
                self._end(fingerprint, last, over.get(fingerprint), now, changes)
        self._join(current, changes)
        self.alerts = current
        return changes

    def notified(self, fingerprint: str) -> NotifiedAlert:
        """Return a firing alert as a notification shows it, without acknowledgement; remembered while it is the same."""
        alert = self.alerts[fingerprint]
        known = self._notified.get(fingerprint)
        if known is None or known[0] is not alert:
            known = self._notified[fingerprint] = alert, notified(alert)
        return known[1]

    def flapping(self, fingerprint: str, now: float) -> bool:
        """Say whether an alert flaps at a monotonic time."""
        return self._flaps.flapping(fingerprint, now)

    def replace_flaps(self, flaps: FlapDetector) -> None:
        """Have another detector say which alerts flap; it begins with what the one before has seen."""
        flaps.adopt(self._flaps)
        self._flaps = flaps

    def close(self, fingerprint: str) -> Put:
        """Treat an alert as resolved until its rule no longer fires it; one that fires after that is new."""
        self._closed.add(fingerprint)
        return Put(_CLOSED, fingerprint, b"1")

    def is_closed(self, fingerprint: str) -> bool:
        """Return True if an alert is treated as resolved although its rule fires it."""
        return fingerprint in self._closed

    def reopen(self, fingerprint: str) -> list[Put]:
        """Undo `close` for an alert that is raised anew; returns what is to be stored of it."""
        if fingerprint not in self._closed:
            return []
        self._closed.discard(fingerprint)
        return [Put(_CLOSED, fingerprint, None)]

    def rows(self) -> Iterator[Put]:
        """Yield everything that is to be stored."""
        for fingerprint, alert in self._known.items():
            yield Put(_TABLE, fingerprint, encode(dump_alert(alert)))
        for fingerprint in self._closed:
            yield Put(_CLOSED, fingerprint, b"1")

    def restore(self, known: Iterable[bytes], closed: Iterable[str]) -> None:
        """Take back what was stored: what fires on is then no news."""
        for row in known:
            alert = load_alert(decode(row, ALERT))
            self._known[alert.fingerprint] = alert
        self._closed.update(closed)

    def show(self) -> None:
        """Take what was restored as what fires, for a process that only looks on."""
        self.alerts = {alert.fingerprint: alert for alert in self.stored()}
        self._notified.clear()

    def stored(self) -> list[Alert]:
        """Return what fired when it was stored, less what was closed by hand."""
        return [shown(alert) for key, alert in self._known.items() if key not in self._closed]

    def last_shown(self, fingerprint: str) -> Alert | None:
        """Return an alert as it was stored, None for one that was not."""
        known = self._known.get(fingerprint)
        return None if known is None else shown(known)

    def _join(self, current: Mapping[str, Alert], changes: Changes) -> None:
        for fingerprint in breathing(sorted(current.keys() - self.alerts.keys())):
            alert = notified(current[fingerprint])
            changes.joined.append(alert)
            if fingerprint not in self._known:
                self._known[fingerprint] = alert
                changes.fired.append(alert)
                changes.puts.append(Put(_TABLE, fingerprint, encode(dump_alert(alert))))

    def _leave_out_closed(self, current: dict[str, Alert], changes: Changes) -> None:
        for fingerprint in list(self._closed):
            if current.pop(fingerprint, None) is None:
                self._closed.discard(fingerprint)
                changes.puts.append(Put(_CLOSED, fingerprint, None))

    def _end(
        self, fingerprint: str, last: Alert | None, over: Alert | None, now: Instant, changes: Changes
    ) -> None:
        final = over or last
        alert = self._known.pop(fingerprint) if final is None else notified(final)
        self._known.pop(fingerprint, None)
        at = over.resolved_at if over is not None else None
        changes.ended.append(replace(alert, status="resolved", ended=now.wall if at is None else at.wall))
        changes.puts.append(Put(_TABLE, fingerprint, None))


def shown(known: NotifiedAlert) -> Alert:
    """Return a firing alert as a rule has it, from what a notification shows of it."""
    # Monotonic time does not outlive a process; wall time is what is shown.
    began = Instant(0.0, known.started)
    value = math.nan if known.value is None else known.value
    name = known.labels.get("alertname", "")
    firing = AlertState.FIRING
    return Alert(name, "", known.labels, known.annotations, firing, value, began, known.fingerprint, began)
