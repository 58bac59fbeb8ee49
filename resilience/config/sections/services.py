"""Services and what they promise."""

from __future__ import annotations

from typing import Any

from resilience.config.source import Source
from resilience.slo import spec
from resilience.slo.from_config import from_config

__all__ = ["KEYS", "SCHEMA", "SECRETS", "read"]

KEYS = ("global", "services")
SECRETS = ()
SCHEMA = {"global": spec.with_camel_case(spec.GLOBAL), "services": spec.with_camel_case(spec.SERVICES)}


def read(source: Source) -> dict[str, Any]:
    """Read `services: [{name: shop, slos: [{id: ok, target: 99.9}]}]`."""
    slos, settings = from_config(source.data, place=source.place)
    found: dict[str, Any] = {"slos": slos}
    if settings.budget_calculation_interval is not None:
        found["budget_interval"] = settings.budget_calculation_interval
    return found
