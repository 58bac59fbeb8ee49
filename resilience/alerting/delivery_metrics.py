"""Counter of notifications by receiver and outcome."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from resilience.signals import InstrumentRegistry

__all__ = ["DeliveryMetrics", "Outcome"]


class Outcome(StrEnum):
    """Outcome of a notification, or of one attempt to send it.

    Example:
        >>> [outcome.value for outcome in Outcome]
        ['delivered', 'failed', 'refused', 'given_up']
    """

    DELIVERED = "delivered"
    """The receiver took the notification."""
    FAILED = "failed"
    """An attempt failed; the notification is sent again."""
    REFUSED = "refused"
    """The receiver refused the notification for good."""
    GIVEN_UP = "given_up"
    """The notification was not delivered within a day."""


class DeliveryMetrics:
    """Counter `notifications_total{receiver,outcome}`.

    Args:
        signals: registry of the counter; None counts nothing.

    Example:
        >>> from resilience.signals import Signals
        >>> signals = Signals()
        >>> metrics = DeliveryMetrics(signals)
        >>> metrics.announce(["ops"])
        >>> metrics.count("ops", Outcome.DELIVERED)
    """

    def __init__(self, signals: InstrumentRegistry | None) -> None:
        self._notifications = (
            None
            if signals is None
            else signals.counter(
                "notifications_total", "Notifications by outcome.", labels=("receiver", "outcome")
            )
        )

    def announce(self, receivers: Iterable[str]) -> None:
        """Create the series of receivers with 0, so that the first failure is an increase."""
        if self._notifications is not None:
            for receiver in receivers:
                for outcome in Outcome:
                    self._notifications.bind(receiver, outcome.value)

    def count(self, receiver: str, outcome: Outcome) -> None:
        """Count one outcome."""
        if self._notifications is not None:
            self._notifications.bind(receiver, outcome.value).inc()
