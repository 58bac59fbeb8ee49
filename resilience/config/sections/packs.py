"""Rule packs."""

from __future__ import annotations

from typing import Any

from resilience.config.source import Source
from resilience.core.validate import shown
from resilience.rules import RuleGroup, packs

__all__ = ["KEYS", "SECRETS", "read"]

KEYS = ("packs",)
SECRETS = ()


def read(source: Source) -> dict[str, Any]:
    """Read `packs: [error_rate]`, or `packs: {error_rate: {threshold: 0.02}}` where parameters are set."""
    chosen = source.data.get("packs", [])
    if not isinstance(chosen, list | dict):
        message = (
            f"packs must be a list of packs, or a mapping of packs to their parameters, got {shown(chosen)}"
        )
        raise source.error(message, "packs")
    named = chosen.items() if isinstance(chosen, dict) else [(name, None) for name in chosen]
    groups: list[RuleGroup] = []
    for index, (name, settings) in enumerate(named):
        path = ("packs", name if isinstance(chosen, dict) else index)
        if not isinstance(settings, dict | None):
            message = f"pack {name} must have a mapping of parameters to numbers, got {shown(settings)}"
            raise source.error(message, *path)
        with source.place(*path):
            options = {str(option): value for option, value in (settings or {}).items()}
            groups += packs.load(name, **{"prefix": source.data.get("prefix", ""), **options})
    return {"rules": tuple(groups)}
