"""PagerDuty, through its Events API v2."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.options import named_options
from resilience.core.ports import Clock, Notification, Notifier
from resilience.core.secret import Secret
from resilience.notifiers._http import HttpChannel
from resilience.notifiers._options import build
from resilience.notifiers._text import alert_url, cut, describe, moment, silence_url, title

__all__ = ["PagerDutyNotifier", "from_config"]

_EVENTS = "https://events.pagerduty.com/v2/enqueue"
_ACTIONS = {"firing": "trigger", "resolved": "resolve", "acknowledged": "acknowledge"}
_SEVERITIES = ("critical", "error", "warning", "info")  # the worst first
_ALIASES = {
    "page": "critical",
    "fatal": "critical",
    "major": "error",
    "ticket": "warning",
    "minor": "warning",
}
_SUMMARY = 1024
_EVENT = 512_000  # bytes; the limit is 512 kB
_DETAIL = 2_000
_FIELD = 255
_LINKS = 10
_URL = 2_048


@named_options
class PagerDutyNotifier(HttpChannel):
    """Triggers, acknowledges and resolves one incident for each group of alerts.

    The group's key, hashed, is the dedup key: repeats and updates meet the same incident, restarts included.

    Args:
        name: the channel's name.
        routing_key: the integration key of the service, 32 characters.
        url: where events are posted; PagerDuty's own address unless the account is in another region.
        source: what the incident names as its origin when the alerts have no label `service` or `instance`.
        timeout: seconds for one attempt, above 0; 10 by default.
        clock: where time comes from.

    Raises:
        ConfigError: an option cannot be meant; neither key nor URL is shown.
    """

    def __init__(
        self,
        name: str,
        *,
        routing_key: str | Secret,
        url: str = _EVENTS,
        source: str = "asyncio-resilience",
        timeout: float = 10.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(name, url=url, timeout=timeout, clock=clock)
        self._routing_key = Secret(routing_key, option="routing_key")
        self._secrets.append(self._routing_key)
        self._source = source

    async def send(self, notification: Notification) -> None:
        """Post the event."""
        await self._post(lambda: self._event(notification), key=notification.key)

    def _event(self, notification: Notification) -> dict[str, Any]:
        action = _ACTIONS[notification.status]
        event: dict[str, Any] = {
            "routing_key": self._routing_key.reveal(),
            "event_action": action,
            "dedup_key": hashlib.sha256(notification.group_key.encode("utf-8", "replace")).hexdigest(),
        }
        if action == "trigger":
            event["payload"] = self._payload(notification)
            event["client"] = "asyncio-resilience"
            if notification.external_url:
                event["client_url"] = notification.external_url
            event["links"] = [
                {"href": url, "text": text}
                for url, text in dict(_links(notification)).items()
                if url.startswith(("http://", "https://")) and len(url) <= _URL  # half a link leads nowhere
            ][:_LINKS]
            _add_details(event, notification)
        return event

    def _payload(self, notification: Notification) -> dict[str, Any]:
        firing = [alert for alert in notification.alerts if alert.status == "firing"]
        labels = firing[0].labels
        source = labels.get("service") or labels.get("instance") or self._source
        return {
            "summary": cut(title(notification), _SUMMARY),
            "source": cut(source, _FIELD),
            "severity": min(
                (_severity(alert.labels.get("severity", "")) for alert in firing), key=_SEVERITIES.index
            ),
            "timestamp": moment(min(alert.started for alert in firing)),
            "class": cut(labels.get("alertname", ""), _FIELD),
            "group": cut(notification.group_key, _FIELD),
        }


def _links(notification: Notification) -> Iterator[tuple[str, str]]:
    """URLs and their texts: runbooks, and the alert and its silence form in the console."""
    for alert in notification.alerts:
        yield alert.annotations.get("runbook_url", ""), "Runbook"
    for alert in notification.alerts:
        yield alert_url(alert, notification.external_url), "Alert"
        yield silence_url(alert, notification.external_url), "Silence"


def _severity(label: str) -> str:
    word = label.lower()
    word = _ALIASES.get(word, word)
    return word if word in _SEVERITIES else "error"


def _add_details(event: dict[str, Any], notification: Notification) -> None:
    """Add the alerts one by one, as many as the event has room for."""
    described: list[str] = []
    event["payload"]["custom_details"] = details = {"alerts": described, "omitted": len(notification.alerts)}
    room = _EVENT - len(json.dumps(event))
    for alert in notification.alerts:
        text = cut(describe(alert, notification.external_url), _DETAIL)
        room -= len(json.dumps(text)) + len(", ")
        if room < 0:
            break
        described.append(text)
    details["omitted"] = len(notification.alerts) - len(described)


def from_config(name: str, setting: object, *, clock: Clock | None = None) -> Notifier:
    """Read `pagerduty: KEY` or `pagerduty: {routing_key: ..., url: ..., source: ..., timeout: ...}`."""
    return build(PagerDutyNotifier, name, setting, main="routing_key", clock=clock)
