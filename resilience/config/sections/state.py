"""Where state is kept over restarts."""

from __future__ import annotations

from typing import Any

from resilience.config.source import Source
from resilience.core.validate import text
from resilience.stores.sqlite import SQLiteStore

__all__ = ["KEYS", "SECRETS", "read"]

KEYS = ("state",)
SECRETS = ()


def read(source: Source) -> dict[str, Any]:
    """Read `state: shop.db`: an SQLite file, its path relative to the configuration."""
    if "state" not in source.data:
        return {}
    return {"store": SQLiteStore(source.folder / source.checked("state", text))}
