"""What a configuration says of services and their objectives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from resilience.core.duration import parse_duration
from resilience.core.validate import choice, flag, integer, shown, text
from resilience.errors import ConfigError
from resilience.slo.alerting import DEFAULT_EXHAUSTION, Alerting, ExhaustionAlert
from resilience.slo.burn_rate import DEFAULTS, BurnRateAlert, burn_factor, default_alerts
from resilience.slo.exclusions import Exclusion
from resilience.slo.formats import json_schema
from resilience.slo.formats.fields import decimal, items, keys, optional, texts
from resilience.slo.objective import BUDGETING, SLO
from resilience.slo.period import Calendar, zone
from resilience.slo.sli import KINDS, Indicator
from resilience.slo.tiers import TIERS

__all__ = ["GlobalSettings", "Place", "from_config", "indicator", "percentage"]

Place: TypeAlias = Callable[..., AbstractContextManager[object]]
"""Gives errors that are raised within it the place of a path of keys and indices."""

_PERIOD = "30d"


@dataclass(frozen=True, slots=True)
class GlobalSettings:
    """What the section `global` says.

    Args:
        default_time_window: period of objectives that name none.
        monitoring_backend: `inprocess` or `prometheus`.
        alerting_enabled: whether objectives alert.
        budget_calculation_interval: seconds between writes of budgets, None for the default.
        dashboards: whether to make dashboards.
        platform: what for.
    """

    default_time_window: str = _PERIOD
    monitoring_backend: str = "inprocess"
    alerting_enabled: bool = True
    budget_calculation_interval: float | None = None
    dashboards: bool = False
    platform: str = "grafana"


def from_config(
    sections: Mapping[str, Any], *, place: Place | None = None
) -> tuple[tuple[SLO, ...], GlobalSettings]:
    """Read `global` and `services`; keys may be in camel case or snake case.

    Args:
        sections: the configuration; other sections are passed over.
        place: says where an error is.

    Returns:
        the objectives, and what holds for all of them.

    Raises:
        ConfigError: something of it cannot be meant.

    Example:
        >>> slos = [{"id": "ok", "target": 99.9, "sli": {"type": "availability"}}]
        >>> [slo], _ = from_config({"services": [{"name": "shop", "slos": slos}]})
        >>> slo.service, slo.target
        ('shop', Decimal('0.999'))
    """
    located = place or (lambda *_path: nullcontext())
    with located("global"):
        settings = _global(sections.get("global"))
    services = sections.get("services")
    slos: list[SLO] = []
    with located("services"):
        listed = [] if services is None else items("services", services)
    for index, service in enumerate(listed):
        with located("services", index):
            about = keys("a service", service, json_schema.SERVICES["items"])
            text("name", about.get("name"))
            given = items("slos", about.get("slos", []))
        for position, each in enumerate(given):
            with located("services", index, "slos", position):
                slo = _slo(each, about, settings)
                _check_unique(slo, slos)
                slos.append(slo)
    return tuple(slos), settings


def _check_unique(slo: SLO, others: Sequence[SLO]) -> None:
    if slo.id in {other.id for other in others}:
        message = f"id must be unique, and {slo.id!r} stands twice"
        raise ConfigError(message)


def _global(given: object) -> GlobalSettings:
    found = keys("global", {} if given is None else given, json_schema.GLOBAL)
    settings = GlobalSettings()
    if "default_time_window" in found:
        parse_duration(found["default_time_window"], option="default_time_window")
        settings = replace(settings, default_time_window=found["default_time_window"])
    if "monitoring_backend" in found:
        backend = choice("monitoring_backend", found["monitoring_backend"], ("inprocess", "prometheus"))
        settings = replace(settings, monitoring_backend=backend)
    if "alerting_enabled" in found:
        settings = replace(settings, alerting_enabled=flag("alerting_enabled", found["alerting_enabled"]))
    if "budget_calculation_interval" in found:
        minutes = decimal("budget_calculation_interval", found["budget_calculation_interval"])
        settings = replace(settings, budget_calculation_interval=float(minutes) * 60)
    boards = keys("dashboards", found.get("dashboards", {}), json_schema.GLOBAL["properties"]["dashboards"])
    return replace(
        settings,
        dashboards=flag("auto_generate", boards.get("auto_generate", False)),
        platform=choice("platform", boards.get("platform", "grafana"), ("grafana",)),
    )


# -- one objective ----------------------------------------------------------------------------------------------


def _slo(given: object, service: Mapping[str, Any], settings: GlobalSettings) -> SLO:
    found = keys("an SLO", given, json_schema.SERVICES["items"]["properties"]["slos"]["items"])
    tier = _tier(service.get("tier"))
    target = percentage("target", found.get("target"))
    calendar = _calendar(found.get("calendar"))
    window = parse_duration(found.get("time_window", settings.default_time_window), option="time_window")
    if calendar is not None:
        if "time_window" in found:
            message = "an SLO has either time_window or calendar"
            raise ConfigError(message)
        window = calendar.seconds
    options: dict[str, Any] = {
        key: optional(key, found.get(key, service.get(key))) for key in ("owner", "description", "runbook")
    }
    for key in ("labels", "annotations"):
        options[key] = {**texts(key, service.get(key)), **texts(key, found.get(key))}
    if "budgeting_method" in found:
        options["budgeting"] = _budgeting(found["budgeting_method"])
    if "slice_length" in found:
        options["slice_length"] = parse_duration(found["slice_length"], option="slice_length")
    if "slice_target" in found:
        options["slice_target"] = percentage("slice_target", found["slice_target"])
    slo_id = text("id", found.get("id"))
    return SLO(
        slo_id,
        service=service["name"],
        target=target,
        window=window,
        name=optional("name", found.get("name")),
        sli=indicator(found.get("sli", {})),
        calendar=calendar,
        tier=tier,
        alerting=_alerting(found, slo_id, 1 - target, window, tier)
        if settings.alerting_enabled
        else Alerting((), ()),
        exclusions=tuple(
            _exclusion(each, calendar) for each in items("exclusions", found.get("exclusions", []))
        ),
        backend=settings.monitoring_backend,
        **options,
    )


def percentage(option: str, given: object) -> Decimal:
    """Read a percentage as the ratio that it is, exactly.

    Args:
        option: name of what is read.
        given: a number above 1 and below 100, or its text, with or without `%`.

    Raises:
        ConfigError: it is no such number.

    Example:
        >>> percentage("target", 99.9)
        Decimal('0.999')
    """
    value = decimal(option, given.removesuffix("%") if isinstance(given, str) else given)
    if 0 < value <= 1:
        message = f"{option} must be a percentage such as 99.9, got {shown(given)}: write {value * 100} for that ratio"
        raise ConfigError(message)
    if not 0 < value < 100:  # noqa: PLR2004  per cent
        message = f"{option} must be a percentage above 1 and below 100, got {shown(given)}"
        raise ConfigError(message)
    return value / 100


def _tier(given: object) -> int | None:
    if given is None:
        return None
    name = str(given).removeprefix("tier-")
    choice("tier", name, [str(tier) for tier in TIERS])
    return int(name)


def _calendar(given: object) -> Calendar | None:
    if given is None or isinstance(given, str):
        return None if given is None else Calendar(given)
    found = keys("calendar", given, json_schema.CALENDAR)
    return Calendar(found.get("unit", ""), found.get("time_zone", "UTC"))


def _budgeting(given: object) -> str:
    """OpenSLO writes `Occurrences` and `RatioTimeslices`."""
    plain = {name.replace("_", ""): name for name in BUDGETING}
    name = str(given).lower().replace("_", "")
    return plain.get(name) or choice("budgeting_method", given, BUDGETING)


def _exclusion(given: object, calendar: Calendar | None) -> Exclusion:
    found = keys("an exclusion", given, json_schema.EXCLUSION)
    time_zone = found.get("time_zone", calendar.time_zone if calendar else "UTC")
    here = zone(time_zone)
    start = _moment("start", found.get("start"), here)
    if ("end" in found) == ("duration" in found):
        message = "an exclusion needs either end or duration"
        raise ConfigError(message)
    if "end" in found:
        duration = _moment("end", found["end"], here) - start
    else:
        duration = parse_duration(found["duration"], option="duration")
    every = parse_duration(found["every"], option="every") if "every" in found else None
    return Exclusion(start, duration, every, optional("reason", found.get("reason")), time_zone)


def _moment(option: str, given: object, here: ZoneInfo) -> float:
    try:
        moment = datetime.fromisoformat(str(given))
        return (moment if moment.tzinfo else moment.replace(tzinfo=here)).timestamp()
    except (ValueError, OverflowError) as error:
        message = f"{option} must be a time such as 2026-01-04T02:00:00Z, got {shown(given)}"
        raise ConfigError(message) from error


def indicator(given: object) -> Indicator:
    """Make an indicator of what `sli` says.

    Args:
        given: its keys; without `type`, good, bad or total make a ratio of events, a query makes a ratio of its own,
            and nothing at all makes the availability of the service.

    Raises:
        ConfigError: it cannot be meant.

    Example:
        >>> indicator({"type": "latency", "threshold": "250ms"})
        Latency(threshold=0.25, percentile=None, metric='', query=None)
    """
    found = keys("sli", given, json_schema.INDICATOR)
    kind = KINDS[choice("type", found.pop("type", _kind(found)), KINDS)]
    known = {field.name for field in fields(kind)}
    if unknown := found.keys() - known:
        message = f"sli of type {kind.kind} has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(known)) or 'none'}"
        raise ConfigError(message)
    for option in ("threshold", "max_age"):
        if isinstance(found.get(option), str):
            found[option] = parse_duration(found[option], option=option)
    for option in ("percentile", "minimum", "at_most", "at_least"):
        if isinstance(found.get(option), str):
            found[option] = float(decimal(option, found[option]))
    try:
        return kind(**found)
    except TypeError as error:
        message = f"sli of type {kind.kind} needs more: {error}"
        raise ConfigError(message) from error


def _kind(found: Mapping[str, object]) -> str:
    if found.keys() & {"good", "bad", "total"}:
        return "events"
    return "ratio" if "query" in found else "availability"


# -- alerting ---------------------------------------------------------------------------------------------------


def _alerting(
    found: Mapping[str, Any], slo_id: str, budget: Decimal, period: float, tier: int | None
) -> Alerting:
    given = keys("alerting", found.get("alerting", {}), json_schema.ALERTING)
    if not flag("enabled", given.get("enabled", True)):
        return Alerting((), ())
    minima = {
        key: integer(key, value, low=0)
        for key in ("min_events", "min_failures")
        if (value := given.get(key, found.get(key))) is not None
    }
    burn_rates = _burn_rates(given.get("burn_rate", {}), slo_id, budget, period, tier)
    spent = given.get("budget_exhaustion", {})
    exhaustion = _exhaustion(spent)
    least = (
        None if spent is False else keys("budget_exhaustion", spent, json_schema.EXHAUSTION).get("min_events")
    )
    if least is not None:
        minima["period_events"] = integer("min_events", least, low=0)
    return Alerting(burn_rates, exhaustion, **minima)


def _burn_rates(
    given: object, slo_id: str, budget: Decimal, period: float, tier: int | None
) -> tuple[BurnRateAlert, ...] | None:
    """The defaults, with what is said of them by name and what is added; None where nothing is said."""
    if given is False:
        return ()
    if not isinstance(given, Mapping):
        message = f"burn_rate must be a mapping of names to burn-rate alerts, or false, got {shown(given)}"
        raise ConfigError(message)
    if not given:
        return None
    defaults = DEFAULTS if tier is None else TIERS[tier].alerts
    untouched = [alert for alert in defaults if alert.name not in given]
    alerts = [*default_alerts(slo_id, budget, period, untouched)]
    known = {alert.name: alert for alert in defaults}
    alerts += (
        alert for name, each in given.items() if (alert := _burn_rate(name, each, known.get(name), period))
    )
    return tuple(sorted(alerts, key=lambda alert: alert.window))


def _burn_rate(
    name: str, given: object, default: BurnRateAlert | None, period: float
) -> BurnRateAlert | None:
    if given is False:
        return None
    found = keys(f"burn rate {name!r}", given, json_schema.BURN_RATE)
    if not flag("enabled", found.get("enabled", True)):
        return None
    if default is None and "window" not in found:
        message = f"burn rate {name!r} needs a window"
        raise ConfigError(message)
    window = _duration(found, "window", default.window if default else 0.0)
    if {"threshold", "budget_percent"} <= found.keys():
        message = f"burn rate {name!r} has either threshold or budgetPercent"
        raise ConfigError(message)
    if "threshold" in found:
        factor = decimal("threshold", found["threshold"])
    elif "budget_percent" in found:
        factor = burn_factor(decimal("budget_percent", found["budget_percent"]) / 100, window, period)
    elif default is not None:
        factor = default.factor
    else:
        message = f"burn rate {name!r} needs a threshold or a budgetPercent"
        raise ConfigError(message)
    return BurnRateAlert(
        name,
        factor,
        window=window,
        short_window=_duration(found, "short_window", 0.0),
        severity=found.get("severity", default.severity if default else "critical"),
        for_=_duration(found, "for", 0.0),
    )


def _duration(found: Mapping[str, Any], key: str, default: float) -> float:
    return parse_duration(found[key], option=key) if key in found else default


def _exhaustion(given: object) -> tuple[ExhaustionAlert, ...]:
    if given is False:
        return ()
    found = keys("budget_exhaustion", given, json_schema.EXHAUSTION)
    if not flag("enabled", found.get("enabled", True)):
        return ()
    if "thresholds" not in found:
        return DEFAULT_EXHAUSTION
    thresholds = []
    for each in items("thresholds", found["thresholds"]):
        said = keys("a threshold", each, json_schema.THRESHOLD)
        consumed = decimal("percentage", said.get("percentage")) / 100
        thresholds.append(ExhaustionAlert(consumed, said.get("severity", "warning")))
    return tuple(thresholds)
