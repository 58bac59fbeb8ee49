"""Slack, through an incoming webhook."""

from __future__ import annotations

import json
from typing import Any

from resilience.core.ports import Clock, Notification, NotifiedAlert, Notifier
from resilience.notifiers._http import HttpChannel
from resilience.notifiers._options import build
from resilience.notifiers._text import cut, describe, title, units

__all__ = ["SlackNotifier", "from_config"]

# Slack's Block Kit reference: 50 blocks, 150 characters in a header, 3000 in a section.
_BLOCKS = 50
_HEADER = 150
_SECTION = 3000
# All blocks together: not documented; refused from about 13,200 on, and from 11,341 (slackapi/bolt-js #2509, #2867).
_ALL = 9000
_MARKS = {"firing": ":red_circle:", "resolved": ":large_green_circle:", "acknowledged": ":eyes:"}


class SlackNotifier(HttpChannel):
    """Posts one message for each notification, an alert a section; what is over Slack's limits is cut.

    Args:
        name: the channel's name.
        url: the incoming webhook's URL.
        timeout: seconds for one attempt, above 0; 10 by default.
        clock: where time comes from.

    Raises:
        ConfigError: an option cannot be meant; the URL is not shown.
    """

    async def send(self, notification: Notification) -> None:
        """Post the message."""
        await self._post(lambda: _message(notification), key=notification.key)


def _message(notification: Notification) -> dict[str, Any]:
    heading = title(notification)
    alerts = list(notification.alerts)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": cut(heading, _HEADER)}}
    ]
    for alert in alerts[: _BLOCKS - 2]:
        section = _section(alert, notification)
        if _size([*blocks, section]) > _ALL:
            break
        blocks.append(section)
    if more := len(alerts) - (len(blocks) - 1):
        note = {"type": "mrkdwn", "text": f"and {more} more"}
        blocks.append({"type": "context", "elements": [note]})
    # `text` is what notifications on phones show, and what is shown where blocks are not.
    return {"text": _escape(cut(heading, _SECTION), _SECTION), "blocks": blocks}


def _size(blocks: list[dict[str, Any]]) -> int:
    return units(json.dumps(blocks, ensure_ascii=False))


def _section(alert: NotifiedAlert, notification: Notification) -> dict[str, Any]:
    mark = _MARKS["acknowledged" if notification.status == "acknowledged" else alert.status]
    said = f"{mark} {describe(alert, notification.external_url)}"
    return {
        "type": "section",
        "text": {"type": "mrkdwn", "text": _escape(said, _SECTION)},
    }


def _escape(text: str, limit: int) -> str:
    """Escape what Slack reads as markup (`<!channel>` would wake everybody); cut first, never within an escape."""
    kept = cut(text, limit)
    while (
        over := units(escaped := kept.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")) - limit
    ) > 0:
        kept = cut(kept, units(kept) - max(1, over // 5))
    return escaped


def from_config(name: str, setting: object, *, clock: Clock | None = None) -> Notifier:
    """Read `slack: URL` or `slack: {url: ..., timeout: ...}`."""
    return build(SlackNotifier, name, setting, main="url", clock=clock)
