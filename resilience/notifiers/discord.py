"""Discord, through a channel's webhook."""

from __future__ import annotations

from typing import Any

from resilience.core.ports import Clock, Notification, Notifier
from resilience.notifiers._http import HttpChannel
from resilience.notifiers._options import build
from resilience.notifiers._text import cut, describe, moment, title

__all__ = ["DiscordNotifier", "from_config"]

# Discord's documentation: 256 characters in a title, 4096 in a description.
_TITLE = 256
_DESCRIPTION = 4096
_COLOURS = {"firing": 0xD7263D, "resolved": 0x2E933C, "acknowledged": 0xF4A259}


class DiscordNotifier(HttpChannel):
    """Posts one embed for each notification; what is over Discord's limits is cut, and nobody is pinged.

    Args:
        name: the channel's name.
        url: the webhook's URL.
        timeout: seconds for one attempt, above 0; 10 by default.
        clock: where time comes from.

    Raises:
        ConfigError: an option cannot be meant; the URL is not shown.
    """

    async def send(self, notification: Notification) -> None:
        """Post the message."""
        await self._post(lambda: _message(notification), key=notification.key)


def _message(notification: Notification) -> dict[str, Any]:
    described: list[str] = []
    for alert in notification.alerts:
        if sum(map(len, described)) > _DESCRIPTION:
            break
        described.append(describe(alert, notification.external_url))
    return {
        "embeds": [
            {
                "title": cut(title(notification), _TITLE),
                "description": cut("\n\n".join(described), _DESCRIPTION),
                "color": _COLOURS[notification.status],
                "timestamp": moment(notification.at),
            }
        ],
        # A label may hold "@everyone": nobody is to be pinged by it.
        "allowed_mentions": {"parse": []},
    }


def from_config(name: str, setting: object, *, clock: Clock | None = None) -> Notifier:
    """Read `discord: URL` or `discord: {url: ..., timeout: ...}`."""
    return build(DiscordNotifier, name, setting, main="url", clock=clock)
