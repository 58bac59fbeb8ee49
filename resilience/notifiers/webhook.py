"""A generic webhook: Alertmanager's payload, version 4, signed where there is a secret."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import reduce
from typing import Any, cast

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.options import named_options
from resilience.core.ports import Clock, Notification, NotifiedAlert, Notifier
from resilience.core.secret import Secret
from resilience.core.validate import integer
from resilience.errors import ConfigError
from resilience.notifiers._http import HttpChannel
from resilience.notifiers._options import build
from resilience.notifiers._text import alert_url, cut, moment
from resilience.notifiers._worker import in_worker

__all__ = ["WebhookNotifier", "from_config", "payload"]

_NEVER = "0001-01-01T00:00:00Z"  # Go's zero time: an alert that has not ended

_TEXTS = (None, 4096, 256)  # tried in turn, before alerts are left out
_LABEL = 1024
_BODY = 1_000_000  # bytes; nginx refuses requests over 1 MB unless told otherwise


@named_options
class WebhookNotifier(HttpChannel):
    """Posts what Alertmanager posts to its webhook receivers, so that whatever takes those takes these.

    With a secret, requests carry `webhook-id`, `webhook-timestamp` and `webhook-signature` as the Standard Webhooks
    specification says; the id is the notification's key, the same in every repeat.

    Args:
        name: the channel's name.
        url: where it posts to.
        secret: signing secret in base64, with or without `whsec_`; several, separated by spaces, while one replaces
            another. None, the default, signs nothing.
        max_alerts: alerts in one payload, 0 (the default, as Alertmanager) for as many as 1 MB holds. What is over is
            shortened (annotations to 4096, then 256 characters), then left out and counted in `truncatedAlerts`.
        timeout: seconds for one attempt, above 0; 10 by default.
        clock: where time comes from.

    Raises:
        ConfigError: an option cannot be meant; neither URL nor secret is shown.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str | Secret,
        secret: str | Secret | None = None,
        max_alerts: int = 0,
        timeout: float = 10.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(name, url=url, timeout=timeout, clock=clock)
        keys = [] if secret is None else Secret(secret, option="secret").reveal().split()
        self._keys = [Secret(key) for key in keys]
        self._secrets += self._keys
        self._max_alerts = integer("max_alerts", max_alerts, low=0)
        self._sign("check", "")

    async def send(self, notification: Notification) -> None:
        """Post it; an acknowledgement, which the format does not know, is not posted."""
        if notification.status == "acknowledged":
            return
        body, headers = await in_worker(self._signed, notification)
        await self._post(body, key=notification.key, headers=headers)

    def _signed(self, notification: Notification) -> tuple[bytes, dict[str, str]]:
        body = self._body(notification)
        return body, self._sign(notification.key, body.decode())

    def _body(self, notification: Notification) -> bytes:
        most = self._max_alerts or len(notification.alerts)
        for text in _TEXTS:
            shortened = _shortened(notification, text)
            size = sum(sum(map(len, each.annotations.values())) for each in shortened.alerts[:most])
            if size <= _BODY and (body := _encoded(shortened, most, whole=True)) is not None:
                return body
        return cast("bytes", _encoded(_shortened(notification, _TEXTS[-1]), most, whole=False))

    def _sign(self, key: str, body: str) -> dict[str, str]:
        if not self._keys:
            return {}
        from standardwebhooks import Webhook  # noqa: PLC0415  pulls in attrs and httpx; only where a secret is set

        now = datetime.fromtimestamp(self._clock.time(), UTC)
        try:
            signatures = [Webhook(secret.reveal()).sign(key, now, body) for secret in self._keys]
        except (ValueError, RuntimeError):
            message = "secret must be base64, with or without whsec_ before it"
            raise ConfigError(message) from None
        return {
            "webhook-id": key,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def _encoded(notification: Notification, most: int, *, whole: bool) -> bytes | None:
    """Encode alert by alert, so that no single step is long; None where all are wanted and do not fit."""
    alerts = notification.alerts[:most]
    head = payload(notification, max_alerts=most)
    head["alerts"] = []
    parts: list[bytes] = []
    room = _BODY - len(_dumped(head))
    for alert in alerts:
        part = _dumped(_alert(alert, notification.external_url))
        room -= len(part) + len(", ")
        if room < 0 and whole:
            return None
        if room < 0 and parts:
            break
        parts.append(part)
    head["truncatedAlerts"] += len(alerts) - len(parts)
    return _dumped(head).removesuffix(b"]}") + b", ".join(parts) + b"]}"


def _dumped(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _shortened(notification: Notification, text: int | None) -> Notification:
    """Cut what is written for people, and then labels too, to `text` characters; None cuts nothing."""
    if text is None:
        return notification
    alerts = [
        replace(
            alert,
            labels={name: cut(value, max(text, _LABEL)) for name, value in alert.labels.items()},
            annotations={name: cut(value, text) for name, value in alert.annotations.items()},
        )
        for alert in notification.alerts
    ]
    group = {name: cut(value, _LABEL) for name, value in notification.group.items()}
    return replace(notification, alerts=alerts, group=group, group_key=cut(notification.group_key, _LABEL))


def payload(notification: Notification, *, max_alerts: int = 0) -> dict[str, Any]:
    """Return a notification in Alertmanager's webhook format, version 4.

    Args:
        notification: what is to be told.
        max_alerts: alerts in it, 0 for all.
    """
    alerts = list(notification.alerts)
    kept = alerts[:max_alerts] if max_alerts else alerts
    return {
        "version": "4",
        "groupKey": notification.group_key,
        "truncatedAlerts": len(alerts) - len(kept),
        "status": notification.status,
        "receiver": notification.receiver,
        "groupLabels": dict(notification.group),
        "commonLabels": _common([dict(alert.labels) for alert in alerts]),
        "commonAnnotations": _common([dict(alert.annotations) for alert in alerts]),
        "externalURL": notification.external_url,
        "alerts": [_alert(alert, notification.external_url) for alert in kept],
    }


def _common(mappings: list[dict[str, str]]) -> dict[str, str]:
    return reduce(lambda left, right: dict(left.items() & right.items()), mappings) if mappings else {}


def _alert(alert: NotifiedAlert, external_url: str) -> dict[str, Any]:
    return {
        "status": alert.status,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "startsAt": moment(alert.started),
        "endsAt": _NEVER if alert.ended is None else moment(alert.ended),
        "generatorURL": alert_url(alert, external_url),
        "fingerprint": alert.fingerprint,
    }


def from_config(name: str, setting: object, *, clock: Clock | None = None) -> Notifier:
    """Read `webhook: URL` or `webhook: {url: ..., secret: ..., max_alerts: ..., timeout: ...}`."""
    return build(WebhookNotifier, name, setting, main="url", clock=clock)
