"""Services and what they promise, in this file and in those that it includes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resilience.config.source import Source
from resilience.core.log import log
from resilience.core.validate import shown, text
from resilience.errors import ConfigError
from resilience.slo import SLO
from resilience.slo.formats import json_schema
from resilience.slo.formats.native_read import from_config

__all__ = ["KEYS", "SCHEMA", "SECRETS", "read"]

KEYS = ("global", "services", "include")
SECRETS = ()
SCHEMA: dict[str, Any] = {
    "global": json_schema.with_camel_case(json_schema.GLOBAL),
    "services": json_schema.with_camel_case(json_schema.SERVICES),
    "include": {
        "type": "array",
        "description": "files with further services, relative to this one; patterns such as slos/*.yaml",
        "items": {"type": "string"},
    },
}


def read(source: Source) -> dict[str, Any]:
    """Read `services: [{name: shop, slos: [{id: ok, target: 99.9}]}]` and `include: [slos/*.yaml]`."""
    slos, settings = from_config(source.data, place=source.place)
    known: dict[str, SLO] = {slo.id: slo for slo in slos}
    for other in _included(source):
        found, _ = from_config({**other.data, "global": source.data.get("global")}, place=other.place)
        for slo in found:
            if slo.id in known:
                raise other.error(
                    f"id must be unique, and {slo.id!r} stands in another file, too", "services"
                )
            known[slo.id] = slo
    arguments: dict[str, Any] = {"slos": tuple(known.values())}
    if settings.dashboards:
        log(__name__).warning("dashboards_not_generated", file=str(source.file))
    if settings.budget_calculation_interval is not None:
        arguments["budget_interval"] = settings.budget_calculation_interval
    return arguments


def _included(source: Source) -> Iterator[Source]:
    patterns = source.data.get("include", [])
    if not isinstance(patterns, list):
        raise source.error(f"include must be a list of files, got {shown(patterns)}", "include")
    for index, pattern in enumerate(patterns):
        with source.place("include", index):
            files = _files(source.folder, text("include", pattern))
        for file in files:
            yield source.include(file, ("version", "services"))


def _files(folder: Path, pattern: str) -> list[Path]:
    found = [Path(pattern)] if Path(pattern).is_absolute() else sorted(folder.glob(pattern))
    if not found:
        message = f"no file is found at {pattern!r}"
        raise ConfigError(message)
    return found
