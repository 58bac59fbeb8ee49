"""Objectives as OpenSLO v1; what it has no words for is named.

Source: the OpenSLO specification, version v1 (github.com/OpenSLO/OpenSLO).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from resilience.core.duration import format_duration
from resilience.slo.formats.openslo_read import BUDGETING, CALENDARS, VERSION
from resilience.slo.measure import Condition, Events
from resilience.slo.objective import SLO

__all__ = ["export_openslo"]


def export_openslo(slos: Iterable[SLO]) -> tuple[str, tuple[str, ...]]:
    """Write objectives as OpenSLO v1.

    Args:
        slos: the objectives.

    Returns:
        the documents, and one line for each thing that OpenSLO has no words for.
    """
    documents: list[Mapping[str, Any]] = []
    lost: list[str] = []
    for slo in slos:
        documents += _exported(slo, lost)
    emitter = YAML(typ="safe", pure=True)
    emitter.default_flow_style = False
    emitter.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel declares it as None
    emitter.width = 1_000_000
    text = io.StringIO()
    emitter.dump_all(documents, text)
    return text.getvalue(), tuple(lost)


def _exported(slo: SLO, lost: list[str]) -> Sequence[Mapping[str, Any]]:
    objective: dict[str, Any] = {"target": float(slo.target)}
    measure = slo.measure
    if isinstance(measure, Events):
        counts = {"total": measure.total, "bad": measure.bad, "good": measure.good}
        metric: dict[str, Any] = {
            "ratioMetric": {"counter": True, **{part: _source(text) for part, text in counts.items() if text}}
        }
    elif isinstance(measure, Condition):
        metric = {"thresholdMetric": _source(measure.value)}
        objective |= {"op": "lte" if measure.comparison == "<=" else "gte", "value": float(measure.threshold)}
    else:
        lost.append(f"{slo.id}: a composite has no counterpart, and is left out")
        return ()
    if slo.sliced:
        objective |= {"timeSliceTarget": float(slo.slice_target or slo.target)}
        objective |= {"timeSliceWindow": format_duration(slo.slice_length)}
    lost += _unsaid(slo)
    methods = {ours: theirs for theirs, ours in BUDGETING.items()}
    budgeting = (
        "timeslices" if isinstance(measure, Condition) and slo.budgeting == "occurrences" else slo.budgeting
    )
    document = {
        "apiVersion": VERSION,
        "kind": "SLO",
        "metadata": {"name": slo.id, "displayName": slo.name},
        "spec": {
            "description": slo.description,
            "service": slo.service,
            "indicator": {"metadata": {"name": f"{slo.id}-indicator"}, "spec": metric},
            "timeWindow": [_time_window(slo)],
            "budgetingMethod": methods[budgeting],
            "objectives": [objective],
            "alertPolicies": [_policy(slo)] if slo.burn_rates else [],
        },
    }
    return (document,)


def _source(template: str) -> Mapping[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": template}}}


def _time_window(slo: SLO) -> Mapping[str, Any]:
    if slo.calendar is None:
        return {"duration": format_duration(slo.window), "isRolling": True}
    unit = next(written for written, unit in CALENDARS.items() if unit == slo.calendar.unit)
    return {"duration": unit, "isRolling": False, "calendar": {"timeZone": slo.calendar.time_zone}}


def _policy(slo: SLO) -> Mapping[str, Any]:
    conditions = [
        {
            "kind": "AlertCondition",
            "metadata": {"name": alert.name},
            "spec": {
                "severity": alert.severity,
                "condition": {
                    "kind": "burnrate",
                    "op": "gt",
                    "threshold": float(alert.factor),
                    "lookbackWindow": format_duration(alert.window),
                    "alertAfter": format_duration(alert.for_),
                },
            },
        }
        for alert in slo.burn_rates
    ]
    return {
        "kind": "AlertPolicy",
        "metadata": {"name": f"{slo.id}-burn"},
        "spec": {"alertWhenBreaching": True, "conditions": conditions},
    }


def _unsaid(slo: SLO) -> Iterator[str]:
    for alert in slo.burn_rates:
        yield f"{slo.id}: the short window of {alert.name}, {format_duration(alert.short_window)}"
    if slo.alerting.exhaustion:
        yield f"{slo.id}: alerts on the budget that is gone"
    if slo.exclusions:
        yield f"{slo.id}: exclusions"
    if slo.alerting.min_events or slo.alerting.min_failures or slo.alerting.period_events:
        yield f"{slo.id}: the least numbers of events and failures"
    for option in ("tier", "owner", "runbook", "labels", "annotations"):
        if getattr(slo, option) not in (None, "", {}):
            yield f"{slo.id}: {option}"
