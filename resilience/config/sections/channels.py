"""The channels that alerts go to."""

from __future__ import annotations

from typing import Any

from resilience import notifiers
from resilience.config.source import Source

__all__ = ["KEYS", "SECRETS", "read"]

KEYS = ("channels",)
SECRETS = (
    r"channels\.[^.]+\.[^.]+",  # the main option alone: `slack: https://...`
    r"channels\..*(?:url|key|secret|password|token)s?(?:\.\d+)?",
)


def read(source: Source) -> dict[str, Any]:
    """Read `channels: {ops: {slack: "${SLACK_URL}"}}`."""
    channels = source.data.get("channels", {})
    if not isinstance(channels, dict):
        raise source.error(
            f"channels must be a mapping of names to channels, got a {type(channels).__name__}", "channels"
        )
    made = []
    for name, setting in channels.items():
        with source.place("channels", name):
            made.append(notifiers.from_config(name, setting))
    return {"notifiers": tuple(made)}
