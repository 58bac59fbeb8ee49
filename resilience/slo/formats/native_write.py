"""Objectives as a configuration says them: what `from_config` reads back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from resilience.core.duration import format_duration
from resilience.slo.alerting import Alerting
from resilience.slo.burn_rate import DEFAULTS, BurnRateAlert
from resilience.slo.exclusions import Exclusion
from resilience.slo.formats.json_schema import camel
from resilience.slo.objective import SLO
from resilience.slo.period import Calendar, zone
from resilience.slo.sli import Indicator
from resilience.slo.tiers import TIERS

__all__ = ["to_config"]


def to_config(slos: Iterable[SLO]) -> dict[str, Any]:
    """Return objectives as plain data for a configuration, grouped by service and tier.

    Args:
        slos: the objectives.

    Example:
        >>> to_config([SLO("ok", service="shop", target=0.999)])["services"][0]["slos"]
        [{'id': 'ok', 'target': 99.9, 'timeWindow': '30d', 'sli': {'type': 'availability'}}]
    """
    services: dict[tuple[str, int | None], list[SLO]] = {}
    backends = set()
    for slo in slos:
        services.setdefault((slo.service, slo.tier), []).append(slo)
        backends.add(slo.backend)
    config: dict[str, Any] = {"version": "1.0"}
    if backends == {"prometheus"}:
        config["global"] = {"monitoringBackend": "prometheus"}
    config["services"] = [
        {"name": name, **({} if tier is None else {"tier": tier}), "slos": [_slo(slo) for slo in found]}
        for (name, tier), found in services.items()
    ]
    return config


def _slo(slo: SLO) -> dict[str, Any]:
    found: dict[str, Any] = {"id": slo.id}
    if slo.name != slo.id:
        found["name"] = slo.name
    found["target"] = _percent(Decimal(slo.target))
    if slo.calendar is None:
        found["timeWindow"] = format_duration(slo.window)
    else:
        found["calendar"] = {"unit": slo.calendar.unit, "timeZone": slo.calendar.time_zone}
    found["sli"] = _indicator(slo.sli)
    for key in ("owner", "description", "runbook"):
        found[key] = getattr(slo, key)
    if slo.budgeting != "occurrences":
        found["budgetingMethod"] = slo.budgeting
    if slo.sliced:
        found["sliceLength"] = format_duration(slo.slice_length)
        found["sliceTarget"] = _percent(Decimal(slo.slice_target or slo.target))
    found["exclusions"] = [_exclusion(each, slo.calendar) for each in slo.exclusions]
    found["labels"], found["annotations"] = dict(slo.labels), dict(slo.annotations)
    found["alerting"] = _alerting(slo)
    return {key: value for key, value in found.items() if value not in ("", [], {})}


def _indicator(sli: Indicator) -> dict[str, Any]:
    found: dict[str, Any] = {"type": sli.kind}
    for each in fields(sli):  # type: ignore[arg-type]  # every kind is a dataclass
        value = getattr(sli, each.name)
        default = each.default if each.default_factory is MISSING else None
        if value != default:
            found[camel(each.name)] = _plain(value)
    if "maxAge" in found:
        found["maxAge"] = format_duration(found["maxAge"])
    return found


def _alerting(slo: SLO) -> dict[str, Any]:
    alerting, default = slo.alerting, Alerting()
    found: dict[str, Any] = {}
    for key in ("min_events", "min_failures"):
        if getattr(alerting, key) != getattr(default, key):
            found[camel(key)] = getattr(alerting, key)
    if alerting.exhaustion != default.exhaustion:
        thresholds = [
            {"percentage": _percent(each.consumed), "severity": each.severity} for each in alerting.exhaustion
        ]
        found["budgetExhaustion"] = {"thresholds": thresholds}
    if alerting.period_events is not None:
        found.setdefault("budgetExhaustion", {})["minEvents"] = alerting.period_events
    if alerting.burn_rates is not None:
        known = DEFAULTS if slo.tier is None else TIERS[slo.tier].alerts
        names = {each.name for each in alerting.burn_rates}
        # What is not named keeps its default, so defaults that are not wanted are switched off.
        off: dict[str, Any] = {each.name: False for each in known if each.name not in names}
        found["burnRate"] = off | {each.name: _burn_rate(each) for each in alerting.burn_rates}
    return found


def _burn_rate(alert: BurnRateAlert) -> dict[str, Any]:
    found = {
        "threshold": float(alert.factor),
        "window": format_duration(alert.window),
        "shortWindow": format_duration(alert.short_window),
        "severity": alert.severity,
    }
    return {**found, "for": format_duration(alert.for_)} if alert.for_ else found


def _exclusion(exclusion: Exclusion, calendar: Calendar | None) -> dict[str, Any]:
    found = {
        "start": datetime.fromtimestamp(exclusion.start, zone(exclusion.time_zone))
        .isoformat()
        .replace("+00:00", "Z"),
        "duration": format_duration(exclusion.duration),
    }
    if exclusion.every is not None:
        found["every"] = format_duration(exclusion.every)
    if exclusion.time_zone != "UTC" or calendar is not None:
        found["timeZone"] = exclusion.time_zone
    return {**found, "reason": exclusion.reason} if exclusion.reason else found


def _percent(ratio: Decimal) -> float:
    return float(100 * ratio)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return float(value) if isinstance(value, Decimal) else value
