"""When rules are read again without a restart."""

from __future__ import annotations

from typing import Any

from resilience.config.source import Source
from resilience.core.duration import parse_duration
from resilience.core.validate import flag, shown

__all__ = ["KEYS", "SECRETS", "read"]

KEYS = ("reload",)
SECRETS = ()


def read(source: Source) -> dict[str, Any]:
    """Read `reload: {watch: 10s, sighup: true}`; `watch: 0` is never."""
    found = source.data.get("reload", {})
    if not isinstance(found, dict) or found.keys() - {"watch", "sighup"}:
        raise source.error(f"reload must be a mapping of watch and sighup, got {shown(found)}", "reload")
    settings: dict[str, Any] = {}
    with source.place("reload"):
        if "watch" in found:
            settings["watch"] = parse_duration(str(found["watch"]), option="watch")
        if "sighup" in found:
            settings["sighup"] = flag("sighup", found["sighup"])
    return settings
