"""Everything that Apprise reaches (Opsgenie, Telegram, Matrix, ...); needs the extra `apprise`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from resilience.core.options import named_options
from resilience.core.ports import Clock, Notification, Notifier
from resilience.core.secret import Secret
from resilience.core.validate import text
from resilience.errors import ConfigError, DeliveryError, MissingExtra
from resilience.notifiers._options import build, one_or_more
from resilience.notifiers._text import cut, describe, title
from resilience.notifiers._worker import in_worker

__all__ = ["AppriseNotifier", "from_config"]

_TYPES = {"firing": "failure", "resolved": "success", "acknowledged": "info"}


@named_options
class AppriseNotifier:
    """Sends through Apprise, in a thread: its plug-ins block.

    Args:
        name: the channel's name.
        urls: Apprise's URLs, at least one; they hold passwords, and are not shown.

    Raises:
        ConfigError: a URL is none that Apprise knows.
        MissingExtra: apprise is not installed.
    """

    def __init__(self, name: str, *, urls: str | Secret | Sequence[str | Secret]) -> None:
        try:
            import apprise  # noqa: PLC0415  optional
        except ImportError:
            raise MissingExtra("apprise", "apprise") from None
        self.name: str = text("name", name)
        services: list[Any] = [
            apprise.Apprise.instantiate(Secret(each, option="urls").reveal())
            for each in one_or_more("urls", urls)
        ]
        if any(service is None for service in services):
            message = f"urls of channel {name!r} must be one or more URLs that Apprise knows (not shown: they hold secrets)"
            raise ConfigError(message)
        self._services = services

    def __repr__(self) -> str:
        return f"AppriseNotifier({self.name!r})"

    async def send(self, notification: Notification) -> None:
        """Send it to every URL; where one fails, all are told again."""
        heading = title(notification)
        url = notification.external_url
        body = await in_worker(lambda: "\n\n".join(describe(alert, url) for alert in notification.alerts))
        kind = _TYPES[notification.status]
        sent = await asyncio.gather(
            *(
                asyncio.to_thread(
                    service.notify,
                    body=cut(body, service.body_maxlen),
                    title=cut(heading, service.title_maxlen) if service.title_maxlen else "",
                    notify_type=kind,
                )
                for service in self._services
            )
        )
        if failed := sum(not each for each in sent):
            message = f"{self.name}: {failed} of {len(sent)} services did not take it"
            raise DeliveryError(message)


def from_config(name: str, setting: object, *, clock: Clock | None = None) -> Notifier:
    """Read `apprise: URL` or `apprise: {urls: [...]}`."""
    return build(AppriseNotifier, name, setting, main="urls", clock=clock)
