"""Ledger of one receiver of a group: the alerts that it has been notified of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from resilience.alerting.codec import ALERT, dump_alert, load_alert
from resilience.core.ports import Notification, NotifiedAlert
from resilience.core.rows import Moment, Shape

__all__ = ["LEDGER", "Ledger"]

LEDGER: Shape = {"last": Moment, "shown": [str], "unresolved": [ALERT]}
"""Shape of a stored ledger."""

_GIVEN_UP = 86_400.0  # seconds after its end at which an alert that no refusing receiver takes is dropped


@dataclass
class Ledger:
    """Alerts that one receiver got, or may have got, and the notifications on their way to it.

    A decision changes nothing of what the receiver knows. Its outcome does, so that a refused 'firing' is followed by
    no 'resolved', and a refused 'resolved' is sent again.

    Args:
        last: monotonic time of the last notification.
        shown: fingerprints of the firing alerts of the last notification; empty after one that did not arrive.
        unresolved: alerts that the receiver got as firing, or may have got, and not yet as resolved, in their latest
            state.
        in_flight: the firing alerts of each notification on its way, by the notification's key.
        postponed: True if a change waits for the outcome of a notification on its way.
        urgent: True if the receiver is to be notified without waiting for the next evaluation of the group.
    """

    last: float
    shown: set[str] = field(default_factory=set)
    unresolved: dict[str, NotifiedAlert] = field(default_factory=dict)
    in_flight: dict[str, dict[str, NotifiedAlert]] = field(default_factory=dict)
    postponed: bool = False
    urgent: bool = False

    @property
    def pending(self) -> bool:
        """True if the receiver still has to be notified of the end of an alert."""
        return bool(self.unresolved or self.in_flight)

    @property
    def known(self) -> set[str]:
        """The alerts that the receiver got as firing, or may get by a notification on its way."""
        return {*self.unresolved, *(each for alerts in self.in_flight.values() for each in alerts)}

    def knows(self, fingerprint: str) -> bool:
        """Return True if the receiver got an alert as firing, or may get it by a notification on its way."""
        return fingerprint in self.unresolved or any(fingerprint in each for each in self.in_flight.values())

    def send(self, notification: Notification) -> None:
        """Note that a notification is on its way."""
        self.in_flight[notification.key] = {
            alert.fingerprint: alert for alert in notification.alerts if alert.status == "firing"
        }

    def end(self, alert: NotifiedAlert) -> bool:
        """Keep the final state of an alert that no longer fires.

        Returns:
            True if the receiver knows the alert.
        """
        places = [each for each in (self.unresolved, *self.in_flight.values()) if alert.fingerprint in each]
        for place in places:
            place[alert.fingerprint] = alert
        return bool(places)

    def settle(self, notification: Notification, *, arrived: bool, reached: bool) -> None:
        """Take in the outcome of a notification.

        Args:
            notification: a notification that was on its way.
            arrived: True if the receiver took it.
            reached: True if the receiver may have got it, although its last answer was an error.
        """
        firing = self.in_flight.pop(notification.key, {})
        if arrived or reached:
            self.unresolved.update(firing)
        if arrived:
            for alert in notification.alerts:
                if alert.status == "resolved":
                    self.unresolved.pop(alert.fingerprint, None)
        else:
            # Everything is news again at the next evaluation of the group.
            self.shown.clear()
            self.postponed = self.urgent = False

    def drop_older(self, wall: float) -> None:
        """Drop the alerts that ended more than a day before a Unix time: their receiver does not take the end."""
        for key, alert in list(self.unresolved.items()):
            if alert.ended is not None and alert.ended < wall - _GIVEN_UP:
                del self.unresolved[key]

    def dump(self, offset: float) -> dict[str, Any]:
        """Return the ledger as plain values; what is on its way is in the outbox.

        Args:
            offset: seconds to add to monotonic time to get Unix time.
        """
        return {
            "last": self.last + offset,
            "shown": sorted(self.shown),
            "unresolved": [dump_alert(alert) for alert in self.unresolved.values()],
        }

    @classmethod
    def load(cls, found: dict[str, Any], offset: float) -> Ledger:
        """Return the ledger that `dump` wrote."""
        unresolved: Iterable[NotifiedAlert] = map(load_alert, found["unresolved"])
        return cls(
            found["last"] - offset,
            set(found["shown"]),
            {alert.fingerprint: alert for alert in unresolved},
        )
