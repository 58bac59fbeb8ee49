"""What the groups see of the alerts during one tick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resilience.alerting.acknowledgements import Acknowledgements
from resilience.alerting.firing import Firing, notified
from resilience.alerting.inhibition import Inhibitor
from resilience.alerting.silence import Silences
from resilience.core.clock import Instant
from resilience.core.ports import NotifiedAlert
from resilience.core.slices import breathe

__all__ = ["AlertView"]


@dataclass(frozen=True)
class AlertView:
    """The alerts that fire, with what mutes and who has taken them over; a `group.View`."""

    firing: Firing
    silences: Silences
    inhibitor: Inhibitor
    acknowledgements: Acknowledgements
    repeat_intervals: Mapping[str, float]
    now: Instant

    def fires(self, fingerprint: str) -> bool:
        """Whether an alert fires, in whatever group."""
        return fingerprint in self.firing.alerts

    def shown(self, fingerprint: str) -> NotifiedAlert:
        """A firing alert as a notification shows it."""
        breathe()
        acknowledgement = self.acknowledgements.get(fingerprint)
        flapping = self.firing.flapping(fingerprint, self.now.monotonic)
        if acknowledgement is None and not flapping:
            return self.firing.notified(fingerprint)
        by = None if acknowledgement is None else acknowledgement.by
        return notified(self.firing.alerts[fingerprint], acknowledged_by=by, flapping=flapping)

    def silenced_by(self, fingerprint: str) -> str | None:
        """The silence or maintenance window that mutes a firing alert."""
        return self.silences.muting(fingerprint, self.firing.alerts[fingerprint].labels, self.now.wall)

    def inhibited_by(self, fingerprint: str) -> str | None:
        """The alert that inhibits a firing alert."""
        return self.inhibitor.inhibited_by(fingerprint, self.firing.alerts[fingerprint].labels)

    def suppressed(self, fingerprint: str) -> bool:
        """Whether a firing alert is silenced or inhibited."""
        breathe()
        return self.silenced_by(fingerprint) is not None or self.inhibited_by(fingerprint) is not None

    def acknowledged(self, fingerprint: str) -> bool:
        """True if an alert is acknowledged."""
        return self.acknowledgements.get(fingerprint) is not None

    def repeat_interval(self, receiver: str) -> float | None:
        """The receiver's own repeat interval, if it has one."""
        return self.repeat_intervals.get(receiver)
