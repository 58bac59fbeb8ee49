"""The keys that files have for objectives, as JSON Schema: what the loader reads and what editors complete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from resilience.slo.objective import BUDGETING
from resilience.slo.period import UNITS
from resilience.slo.sli import KINDS
from resilience.slo.tiers import TIERS

__all__ = [
    "ALERTING",
    "BURN_RATE",
    "CALENDAR",
    "EXCLUSION",
    "EXHAUSTION",
    "GLOBAL",
    "INDICATOR",
    "SERVICES",
    "THRESHOLD",
    "camel",
    "with_camel_case",
]

Schema: TypeAlias = dict[str, Any]


def _described(kind: str | list[str], description: str, **more: Any) -> Schema:
    return {"type": kind, "description": description, **more}


def _text(description: str) -> Schema:
    return _described("string", description)


def _duration(description: str) -> Schema:
    return _described("string", f"{description}; such as 30s, 5m, 1h or 30d")


def _number(description: str) -> Schema:
    return _described(["number", "string"], description)


def _count(description: str) -> Schema:
    return _described("integer", description, minimum=0)


def _flag(description: str) -> Schema:
    return _described("boolean", description)


def _one_of(allowed: Iterable[str], description: str) -> Schema:
    return _described("string", description, enum=list(allowed))


def _closed(keys: Mapping[str, Schema], *required: str) -> Schema:
    """The schema of a mapping that has these keys, in snake case, and no others."""
    found: Schema = {"type": "object", "properties": dict(keys), "additionalProperties": False}
    return {**found, "required": list(required)} if required else found


def _list(item: Schema, description: str) -> Schema:
    return _described("array", description, items=item)


def _texts(description: str) -> Schema:
    return _described("object", description, additionalProperties={"type": "string"})


def _or_off(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"const": False}]}


INDICATOR = _closed(
    {
        "type": _one_of(
            KINDS,
            "kind of indicator; `events` where good, bad or total are given, `ratio` where only a query is",
        ),
        "query": _text("PromQL; its range is replaced by each window that is needed"),
        "good": _text("PromQL that counts good events, with {{window}} as its range"),
        "bad": _text("PromQL that counts bad events, with {{window}} as its range"),
        "total": _text("PromQL that counts all events, with {{window}} as its range"),
        "threshold": _number("latency: seconds, or a duration such as 300ms"),
        "percentile": _number("latency: judge slices of time by this percentile, such as 99"),
        "metric": _text("latency: the histogram, without _bucket"),
        "minimum": _number("throughput: the least that is enough, per second"),
        "at_most": _number("threshold: the greatest good value"),
        "at_least": _number("threshold: the least good value"),
        "max_age": _duration("freshness: the greatest age"),
        "job": _text("freshness: the job whose last success makes the data"),
        "check": _text("uptime: name of the check"),
        "components": _described(
            "object", "composite: weights by id of an SLO", additionalProperties={"type": "number"}
        ),
    }
)
BURN_RATE = _closed(
    {
        "threshold": _number("multiple of the even pace, such as 14.4"),
        "budget_percent": _number("instead: percentage of the budget that may be spent in the window"),
        "window": _duration("the long window"),
        "short_window": _duration("the short window; a twelfth of the long one by default"),
        "severity": _text("label of the alert"),
        "for": _duration("how long it must be so"),
        "enabled": _flag("false switches it off"),
    }
)
THRESHOLD = _closed(
    {"percentage": _number("of the budget that is gone"), "severity": _text("label of the alert")},
    "percentage",
)
EXHAUSTION = _closed(
    {
        "thresholds": _list(THRESHOLD, "when to alert"),
        "min_events": _count("events that the period must hold; those of burn-rate alerts by default"),
        "enabled": _flag("false switches it off"),
    }
)
_MINIMA = {
    "min_events": _count("events that a window must hold for a burn-rate alert"),
    "min_failures": _count("bad events that it must hold; 2 by default"),
}
ALERTING = _closed(
    {
        "enabled": _flag("false switches all of it off"),
        "burn_rate": _or_off(
            _described("object", "burn-rate alerts by name", additionalProperties=_or_off(BURN_RATE))
        ),
        "budget_exhaustion": _or_off(EXHAUSTION),
        **_MINIMA,
    }
)
CALENDAR = _closed({"unit": _one_of(UNITS, "the piece"), "time_zone": _text("such as Europe/Berlin")}, "unit")
EXCLUSION = _closed(
    {
        "start": _text("ISO 8601, such as 2026-01-04T02:00:00Z; without an offset, in the time zone"),
        "end": _text("ISO 8601; this or duration"),
        "duration": _duration("how long"),
        "every": _duration("from one beginning to the next; whole days keep the time of day"),
        "time_zone": _text("such as Europe/Berlin; that of the calendar, or else UTC"),
        "reason": _text("for people"),
    },
    "start",
)
_ABOUT = {
    "owner": _text("who answers for it"),
    "description": _text("for people"),
    "labels": _texts("labels of alerts"),
    "annotations": _texts("annotations of alerts"),
    "runbook": _text("URL of what to do"),
}
_SLO = _closed(
    {
        "id": _text("unique name"),
        "name": _text("for people"),
        "target": _number("percentage that is good, such as 99.9"),
        "time_window": _duration("rolling period"),
        "calendar": {
            "anyOf": [_one_of(UNITS, "a piece of the calendar instead of a rolling window"), CALENDAR]
        },
        "sli": INDICATOR,
        "alerting": ALERTING,
        "budgeting_method": _one_of(BUDGETING, "how the budget is spent"),
        "slice_length": _duration("length of a slice of time"),
        "slice_target": _number("percentage of good events that makes a slice good"),
        "exclusions": _list(EXCLUSION, "times that do not count"),
        **_MINIMA,
        **_ABOUT,
    },
    "id",
    "target",
)
SERVICES = _list(
    _closed(
        {
            "name": _text("the service's name"),
            "tier": {
                "enum": [*TIERS, *(f"tier-{tier}" for tier in TIERS)],
                "description": "how much it matters",
            },
            "slos": _list(_SLO, "its objectives"),
            **_ABOUT,
        },
        "name",
    ),
    "services and what they promise",
)
GLOBAL = _closed(
    {
        "default_time_window": _duration("period of objectives that name none"),
        "monitoring_backend": _one_of(("inprocess", "prometheus"), "who has the figures"),
        "alerting_enabled": _flag("false: objectives alert on nothing"),
        "budget_calculation_interval": _number("minutes between writes of budgets"),
        "dashboards": _closed(
            {
                "auto_generate": _flag("whether to make dashboards"),
                "platform": _one_of(("grafana",), "what for"),
            }
        ),
    }
)


def camel(name: str) -> str:
    """Return a name in camel case.

    Example:
        >>> camel("time_window")
        'timeWindow'
    """
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def with_camel_case(schema: Any) -> Any:
    """Return a schema whose keys may be written in either case."""
    if isinstance(schema, list):
        return [with_camel_case(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: with_camel_case(value) for key, value in schema.items() if key != "properties"}
    if "properties" in schema:
        found["properties"] = {
            written: with_camel_case(inner)
            for name, inner in schema["properties"].items()
            for written in dict.fromkeys((camel(name), name))
        }
    return found
