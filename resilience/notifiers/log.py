"""The log as a channel: what is used until another one is configured."""

from __future__ import annotations

from resilience.core.log import log
from resilience.core.ports import Clock, Notification, Notifier
from resilience.core.validate import text
from resilience.notifiers._options import build

__all__ = ["LogNotifier", "from_config"]


class LogNotifier:
    """Writes one line for each alert to the log: a warning or, with severity `critical`, an error while it fires.

    Args:
        name: the channel's name, `log` by default.
    """

    def __init__(self, name: str = "log") -> None:
        self.name: str = text("name", name)

    async def send(self, notification: Notification) -> None:
        """Write the lines."""
        logger = log(__name__)
        for alert in notification.alerts:
            details = {
                "channel": self.name,
                "alert": alert.labels.get("alertname", ""),
                "labels": dict(alert.labels),
                "annotations": dict(alert.annotations),
                "value": alert.value,
            }
            if notification.status == "acknowledged":
                logger.info("alert_acknowledged", by=alert.acknowledged_by, **details)
            elif alert.status == "resolved":
                logger.info("alert_resolved", **details)
            elif alert.labels.get("severity") == "critical":
                logger.error("alert_firing", **details)
            else:
                logger.warning("alert_firing", **details)


def from_config(name: str, setting: object, *, clock: Clock | None = None) -> Notifier:
    """Read `log: {}`; it has no options."""
    return build(LogNotifier, name, setting, clock=clock)
