"""The log as a channel: what is used until another one is configured."""

from __future__ import annotations

import asyncio

from resilience.core.log import log
from resilience.core.options import named_options
from resilience.core.ports import Clock, Notification, Notifier
from resilience.core.validate import text
from resilience.notifiers._options import build
from resilience.notifiers._text import alert_url

__all__ = ["LogNotifier", "from_config"]


_LINES = 20


@named_options
class LogNotifier:
    """Log lines for alerts, one for each: an error while a `critical` alert is firing, else a warning.

    No line is below WARNING, because Python writes nothing below to stderr unless logging is configured.

    Args:
        name: the channel's name, `log` by default.
    """

    def __init__(self, name: str = "log") -> None:
        self.name: str = text("name", name)

    async def send(self, notification: Notification) -> None:
        """Write the lines."""
        for number, alert in enumerate(notification.alerts):
            if number and number % _LINES == 0:
                await asyncio.sleep(0)  # the event loop has a turn between many lines
            details = {
                "channel": self.name,
                "alert": alert.labels.get("alertname", ""),
                "labels": dict(alert.labels),
                "annotations": dict(alert.annotations),
                "value": alert.value,
            }
            if notification.external_url:
                details["url"] = alert_url(alert, notification.external_url)
            if notification.status == "acknowledged":
                log(__name__).warning("alert_acknowledged", by=alert.acknowledged_by, **details)
            elif alert.status == "resolved":
                log(__name__).warning("alert_resolved", **details)
            elif alert.labels.get("severity") == "critical":
                log(__name__).error("alert_firing", **details)
            else:
                log(__name__).warning("alert_firing", **details)


def from_config(name: str, setting: object, *, clock: Clock | None = None) -> Notifier:
    """Read `log: {}`; it has no options."""
    return build(LogNotifier, name, setting, clock=clock)
