"""Microsoft Teams, through a webhook of its workflows."""

from __future__ import annotations

import json
from typing import Any

from resilience.core.ports import Clock, Notification, Notifier
from resilience.notifiers._http import HttpChannel
from resilience.notifiers._options import build
from resilience.notifiers._text import cut, describe, title

__all__ = ["TeamsNotifier", "from_config"]

_MESSAGE = 28_000  # bytes; Teams refuses messages over 28 kB
_TEXT = 2_000
_COLOURS = {"firing": "attention", "resolved": "good", "acknowledged": "warning"}


class TeamsNotifier(HttpChannel):
    """Posts one Adaptive Card (version 1.2) for each notification; what is over Teams' limits is cut.

    Args:
        name: the channel's name.
        url: the URL of the workflow "Post to a channel when a webhook request is received".
        timeout: seconds for one attempt, above 0; 10 by default.
        clock: where time comes from.

    Raises:
        ConfigError: an option cannot be meant; the URL is not shown.
    """

    async def send(self, notification: Notification) -> None:
        """Post the card."""
        await self._post(lambda: _message(notification), key=notification.key)


def _message(notification: Notification) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = []
    room = _MESSAGE - len(json.dumps(_card(notification, [], len(notification.alerts))))
    for alert in notification.alerts:
        block = _block(cut(describe(alert, notification.external_url), _TEXT), separator=True)
        room -= len(json.dumps(block)) + len(", ")
        if blocks and room < 0:
            break
        blocks.append(block)
    return _card(notification, blocks, len(notification.alerts) - len(blocks))


def _card(notification: Notification, blocks: list[dict[str, Any]], omitted: int) -> dict[str, Any]:
    heading = _block(
        cut(title(notification), 256), weight="bolder", size="medium", color=_COLOURS[notification.status]
    )
    body = [heading, *blocks]
    if omitted:
        body.append(_block(f"and {omitted} more"))
    return {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": None,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.2",
                    "msteams": {"width": "Full"},
                    "body": body,
                },
            }
        ],
    }


def _block(text: str, **options: object) -> dict[str, Any]:
    # Two line breaks: the card's Markdown joins lines that have one between them.
    return {"type": "TextBlock", "text": text.replace("\n", "\n\n"), "wrap": True, **options}


def from_config(name: str, setting: object, *, clock: Clock | None = None) -> Notifier:
    """Read `teams: URL` or `teams: {url: ..., timeout: ...}`."""
    return build(TeamsNotifier, name, setting, main="url", clock=clock)
