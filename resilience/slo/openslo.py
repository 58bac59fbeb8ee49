"""OpenSLO v1, both ways; what the other side has no words for is named.

Source: the OpenSLO specification, version v1 (github.com/OpenSLO/OpenSLO).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ruamel.yaml import YAML

from resilience.core import yaml
from resilience.core.duration import format_duration, parse_duration
from resilience.errors import ConfigError
from resilience.slo.alerting import DEFAULT_EXHAUSTION, Alerting
from resilience.slo.burn_rate import BurnRateAlert
from resilience.slo.from_config import indicator
from resilience.slo.imported import Imported
from resilience.slo.measure import Condition, Events
from resilience.slo.objective import SLO
from resilience.slo.period import Calendar
from resilience.slo.sli import Indicator

__all__ = ["export_openslo", "import_openslo"]

_VERSION = "openslo/v1"
_BUDGETING = {"Occurrences": "occurrences", "Timeslices": "timeslices", "RatioTimeslices": "ratio_timeslices"}
_CALENDARS = {"1w": "week", "1M": "month", "1Q": "quarter"}
_KINDS = ("SLO", "SLI", "AlertPolicy", "AlertCondition", "Service", "DataSource", "AlertNotificationTarget")
_OPERATORS = {"lte": "at_most", "lt": "at_most", "gte": "at_least", "gt": "at_least"}


def import_openslo(text: str, *, file: str | None = None) -> Imported:
    """Read OpenSLO v1 documents.

    Args:
        text: one or more YAML documents: SLO with what it refers to by name.
        file: its name, for messages.

    Raises:
        ConfigError: an SLO cannot be meant.
    """
    documents = [yaml.load(part, file=file).data for part in _documents(text)]
    objects: dict[tuple[str, str], Mapping[str, Any]] = {}
    for document in documents:
        if not isinstance(document, Mapping) or document.get("apiVersion") != _VERSION:
            message = f"apiVersion must be {_VERSION}, got {document.get('apiVersion') if isinstance(document, Mapping) else document!r}"
            raise ConfigError(message, file=file)
        kind = document.get("kind")
        if kind not in _KINDS:
            message = f"kind must be one of {', '.join(_KINDS)}, got {kind!r}"
            raise ConfigError(message, file=file)
        objects[kind, str(document.get("metadata", {}).get("name"))] = document
    reader = _Reader(objects)
    slos = tuple(
        slo for (kind, _), document in objects.items() if kind == "SLO" for slo in reader.slos(document)
    )
    lost = reader.lost + [
        f"{kind} {name}: nothing of it is used here"
        for kind, name in objects
        if kind in {"DataSource", "AlertNotificationTarget"}
    ]
    return Imported(slos, tuple(lost))


def _documents(text: str) -> list[str]:
    parts: list[list[str]] = [[]]
    for line in text.splitlines(keepends=True):
        if line.rstrip() == "---":
            parts.append([])
        else:
            parts[-1].append(line)
    return [part for lines in parts if (part := "".join(lines)).strip()]


@dataclass(slots=True)
class _Reader:
    """Turns documents into objectives, and notes what is lost."""

    objects: Mapping[tuple[str, str], Mapping[str, Any]]
    lost: list[str] = field(default_factory=list)

    def slos(self, document: Mapping[str, Any]) -> Iterator[SLO]:
        metadata, spec = document.get("metadata", {}), document.get("spec", {})
        name = str(metadata.get("name"))
        objectives = spec.get("objectives") or []
        if not objectives:
            message = f"SLO {name}: it needs objectives"
            raise ConfigError(message)
        for index, objective in enumerate(objectives):
            slo_id = name if len(objectives) == 1 else f"{name}-{index + 1}"
            yield self._slo(slo_id, metadata, spec, objective)

    def _slo(
        self, slo_id: str, metadata: Mapping[str, Any], spec: Mapping[str, Any], objective: Mapping[str, Any]
    ) -> SLO:
        if "indicator" in objective or "indicatorRef" in objective:
            self.lost.append(f"SLO {slo_id}: indicators of single objectives (composites)")
        window, calendar = self._window(slo_id, spec)
        options: dict[str, Any] = {}
        if "timeSliceTarget" in objective:
            options["slice_target"] = str(objective["timeSliceTarget"])
        if "timeSliceWindow" in objective:
            options["slice_length"] = parse_duration(objective["timeSliceWindow"], option="timeSliceWindow")
        name = objective.get("displayName") or metadata.get("displayName", "")
        budgeting = _BUDGETING.get(spec.get("budgetingMethod", "Occurrences"))
        if budgeting is None:
            message = f"SLO {slo_id}: budgetingMethod must be one of {', '.join(_BUDGETING)}, got {spec.get('budgetingMethod')!r}"
            raise ConfigError(message)
        return SLO(
            slo_id,
            service=str(spec.get("service") or ""),
            target=self._target(slo_id, objective),
            window=window,
            calendar=calendar,
            name=str(name),
            description=str(spec.get("description", "")),
            sli=self._indicator(slo_id, spec, objective),
            budgeting=budgeting,
            alerting=self._alerting(slo_id, spec),
            **options,
        )

    def _target(self, slo_id: str, objective: Mapping[str, Any]) -> Decimal:
        if "targetPercent" in objective:
            return Decimal(str(objective["targetPercent"])) / 100
        if "target" not in objective:
            message = f"SLO {slo_id}: an objective needs target or targetPercent"
            raise ConfigError(message)
        return Decimal(str(objective["target"]))

    def _window(self, slo_id: str, spec: Mapping[str, Any]) -> tuple[float, Calendar | None]:
        windows = spec.get("timeWindow") or [{}]
        first = windows[0]
        duration = str(first.get("duration", "30d"))
        if first.get("isRolling", True):
            return parse_duration(duration, option=f"SLO {slo_id}: duration"), None
        unit = _CALENDARS.get(duration)
        if unit is None:
            message = (
                f"SLO {slo_id}: a calendar window must be one of {', '.join(_CALENDARS)}, got {duration!r}"
            )
            raise ConfigError(message)
        calendar = first.get("calendar", {})
        if "startTime" in calendar:
            self.lost.append(
                f"SLO {slo_id}: startTime of its calendar; a {unit} begins where the calendar says"
            )
        found = Calendar(unit, str(calendar.get("timeZone", "UTC")))
        return found.seconds, found

    def _indicator(self, slo_id: str, spec: Mapping[str, Any], objective: Mapping[str, Any]) -> Indicator:
        inline = spec.get("indicator")
        if inline is None:
            inline = self.objects.get(("SLI", str(spec.get("indicatorRef"))))
        if inline is None:
            message = f"SLO {slo_id}: its indicator {spec.get('indicatorRef')!r} is in no document"
            raise ConfigError(message)
        said = inline.get("spec", {})
        if "thresholdMetric" in said:
            return self._threshold(slo_id, self._query(slo_id, said["thresholdMetric"]), objective)
        ratio = said.get("ratioMetric")
        if ratio is None:
            message = f"SLO {slo_id}: its indicator needs ratioMetric or thresholdMetric"
            raise ConfigError(message)
        if "raw" in ratio:
            return indicator({"type": "ratio", "query": self._query(slo_id, ratio["raw"])})
        parts = {part: self._query(slo_id, ratio[part]) for part in ("good", "bad", "total") if part in ratio}
        return indicator({"type": "events", **parts})

    @staticmethod
    def _threshold(slo_id: str, query: str, objective: Mapping[str, Any]) -> Indicator:
        comparison, value = objective.get("op"), objective.get("value")
        if comparison not in _OPERATORS or not isinstance(value, int | float):
            message = f"SLO {slo_id}: a thresholdMetric needs op ({', '.join(_OPERATORS)}) and value in its objective"
            raise ConfigError(message)
        return indicator({"type": "threshold", "query": query, _OPERATORS[comparison]: float(value)})

    def _query(self, slo_id: str, metric: Mapping[str, Any]) -> str:
        source = metric.get("metricSource", {})
        kind, said = source.get("type", "Prometheus"), source.get("spec", {})
        query = said.get("query") or said.get("promql")
        if str(kind).lower() != "prometheus" or not query:
            message = f"SLO {slo_id}: a metricSource must be of type Prometheus with a query, got {source!r}"
            raise ConfigError(message)
        return str(query)

    def _alerting(self, slo_id: str, spec: Mapping[str, Any]) -> Alerting:
        alerts: list[BurnRateAlert] = []
        for reference in spec.get("alertPolicies") or []:
            policy = self._referred("AlertPolicy", reference, "alertPolicyRef")
            if policy is None:
                self.lost.append(f"SLO {slo_id}: alert policy {reference!r} is in no document")
                continue
            said = policy.get("spec", {})
            if said.get("notificationTargets"):
                self.lost.append(f"SLO {slo_id}: notification targets; alerts go by `routes`")
            for each in said.get("conditions") or []:
                condition = self._referred("AlertCondition", each, "conditionRef")
                if condition is None:
                    self.lost.append(f"SLO {slo_id}: alert condition {each!r} is in no document")
                    continue
                alerts.extend(self._burn_rate(slo_id, condition))
        return Alerting(tuple(alerts) or None, DEFAULT_EXHAUSTION)

    def _referred(self, kind: str, given: object, key: str) -> Mapping[str, Any] | None:
        if isinstance(given, Mapping) and "spec" in given:
            return given
        name = given.get(key) if isinstance(given, Mapping) else given
        return self.objects.get((kind, str(name)))

    def _burn_rate(self, slo_id: str, document: Mapping[str, Any]) -> Iterator[BurnRateAlert]:
        said = document.get("spec", {})
        condition = said.get("condition", {})
        name = str(document.get("metadata", {}).get("name", "burn"))
        if condition.get("kind") != "burnrate":
            self.lost.append(f"SLO {slo_id}: condition {name} of kind {condition.get('kind')!r}")
            return
        if condition.get("op", "gte") == "gte":
            self.lost.append(f"SLO {slo_id}: condition {name} at exactly its threshold (gte is taken for gt)")
        after = condition.get("alertAfter")
        yield BurnRateAlert(
            name,
            Decimal(str(condition.get("threshold"))),
            window=parse_duration(condition.get("lookbackWindow"), option=f"{name}: lookbackWindow"),
            severity=str(said.get("severity", "critical")),
            for_=parse_duration(after, option=f"{name}: alertAfter") if after else 0.0,
        )


# -- export -----------------------------------------------------------------------------------------------------


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
        objective |= {"op": "lte" if measure.comparison == "<=" else "gte", "value": measure.threshold}
    else:
        lost.append(f"{slo.id}: a composite has no counterpart, and is left out")
        return ()
    if slo.sliced:
        objective |= {"timeSliceTarget": float(slo.slice_target or slo.target)}
        objective |= {"timeSliceWindow": format_duration(slo.slice_length)}
    lost += _unsaid(slo)
    methods = {ours: theirs for theirs, ours in _BUDGETING.items()}
    budgeting = (
        "timeslices" if isinstance(measure, Condition) and slo.budgeting == "occurrences" else slo.budgeting
    )
    document = {
        "apiVersion": _VERSION,
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
    unit = next(written for written, unit in _CALENDARS.items() if unit == slo.calendar.unit)
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
    if slo.alerting.min_events or slo.alerting.min_failures:
        yield f"{slo.id}: the least numbers of events and failures"
    for option in ("tier", "owner", "runbook", "labels", "annotations"):
        if getattr(slo, option) not in (None, "", {}):
            yield f"{slo.id}: {option}"
