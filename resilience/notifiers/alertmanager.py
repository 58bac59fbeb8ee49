"""A real Alertmanager, through its API v2: it groups, mutes and routes what it is handed."""

from __future__ import annotations

import asyncio
from typing import Any

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.interrupts import INTERRUPTS
from resilience.core.log import log
from resilience.core.options import named_options
from resilience.core.ports import Clock, Notification, NotifiedAlert, Notifier
from resilience.core.secret import Secret
from resilience.core.validate import number
from resilience.errors import DeliveryError
from resilience.notifiers._http import HttpChannel
from resilience.notifiers._options import build
from resilience.notifiers._text import LONG, alert_url, cut, moment

__all__ = ["AlertmanagerNotifier", "from_config"]

_BATCH = 64  # alerts in one request, as Prometheus
_RETENTION = 900.0  # Prometheus re-sends resolved alerts for 15 minutes


@named_options
class AlertmanagerNotifier(HttpChannel):
    """Hands alerts to an Alertmanager as Prometheus does.

    An alert that fires is sent again every `repeat_interval` with an end four times as far away, so that it resolves
    over there when this process is gone; one that was resolved is sent again for 15 minutes, so that an Alertmanager
    which was restarted in between learns of it. Give its route `group_wait: 0s`: the grouping is done over there.

    Args:
        name: the channel's name.
        url: address of the server, its path prefix included: `http://alertmanager:9093`.
        repeat_interval: seconds after which what fires is sent again, above 0; 60 by default, as Prometheus'
            `--rules.alert.resend-delay`.
        timeout: seconds for one attempt, above 0; 10 by default, as Prometheus.
        clock: where time comes from.

    Raises:
        ConfigError: an option cannot be meant; the URL is not shown.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str | Secret,
        repeat_interval: float = 60.0,
        timeout: float = 10.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(name, url=url, timeout=timeout, clock=clock)
        self.repeat_interval: float = number("repeat_interval", repeat_interval, above=0)
        self._resolved: dict[str, tuple[float, NotifiedAlert]] = {}
        self._again: asyncio.Task[None] | None = None
        self._external_url = ""

    async def send(self, notification: Notification) -> None:
        """Post the alerts; an acknowledgement, which the API does not know, is not posted."""
        if notification.status == "acknowledged":
            return
        self._external_url = notification.external_url
        await self._hand_over(list(notification.alerts), notification.key)
        until = self._clock.monotonic() + _RETENTION
        for alert in notification.alerts:
            self._resolved.pop(alert.fingerprint, None)
            if alert.status == "resolved":
                self._resolved[alert.fingerprint] = (until, alert)
        if self._resolved and (self._again is None or self._again.done()):
            self._again = asyncio.create_task(self._send_again())

    async def close(self) -> None:
        """Stop sending again, and close the connections."""
        task, self._again = self._again, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await super().close()

    async def _send_again(self) -> None:
        while self._resolved:
            await self._clock.sleep(self.repeat_interval)
            now = self._clock.monotonic()
            self._resolved = {key: found for key, found in self._resolved.items() if now < found[0]}
            alerts = [alert for _, alert in self._resolved.values()]
            if alerts:
                try:
                    await self._hand_over(alerts, "resolved")
                except INTERRUPTS:
                    raise
                except BaseException as error:  # noqa: BLE001  the next round may do better
                    reason = str(error) if isinstance(error, DeliveryError) else type(error).__name__
                    log(__name__).warning("resolved_not_sent_again", channel=self.name, error=reason)

    async def _hand_over(self, alerts: list[NotifiedAlert], key: str) -> None:
        ends = self._clock.time() + 4 * self.repeat_interval
        url = f"{self._url.reveal().rstrip('/')}/api/v2/alerts"
        for start in range(0, len(alerts), _BATCH):
            batch = [_alert(alert, ends, self._external_url) for alert in alerts[start : start + _BATCH]]
            try:
                await self._post(batch, key=key, url=url)
            except DeliveryError as error:
                if error.retryable or len(batch) == 1:
                    raise
                await self._post_each(batch, error, key=key, url=url)

    async def _post_each(
        self, batch: list[dict[str, Any]], error: DeliveryError, *, key: str, url: str
    ) -> None:
        """Post one by one the alerts of a batch that was refused: a request is refused for one of them."""
        refused = []
        for alert in batch:
            try:
                await self._post([alert], key=key, url=url)
            except DeliveryError as reason:
                if reason.retryable:
                    raise
                refused.append((alert["labels"], reason))
        if len(refused) == len(batch):
            raise error
        for labels, answer in refused:
            log(__name__).error("alert_refused", channel=self.name, alert=labels, error=str(answer))


def _alert(alert: NotifiedAlert, ends: float, external_url: str) -> dict[str, Any]:
    return {
        "labels": {name: value for name, value in alert.labels.items() if value},
        "annotations": {name: cut(text, LONG) for name, text in alert.annotations.items()},
        "startsAt": moment(alert.started),
        "endsAt": moment(ends if alert.ended is None else alert.ended),
        "generatorURL": alert_url(alert, external_url),
    }


def from_config(name: str, setting: object, *, clock: Clock | None = None) -> Notifier:
    """Read `alertmanager: URL` or `alertmanager: {url: ..., repeat_interval: ..., timeout: ...}`."""
    return build(AlertmanagerNotifier, name, setting, main="url", clock=clock)
