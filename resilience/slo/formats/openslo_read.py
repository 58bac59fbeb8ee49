"""OpenSLO v1, read; what there is no counterpart for is named.

Source: the OpenSLO specification, version v1 (github.com/OpenSLO/OpenSLO).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from resilience.core import yaml
from resilience.errors import ConfigError
from resilience.slo.alerting import DEFAULT_EXHAUSTION, Alerting
from resilience.slo.burn_rate import BurnRateAlert
from resilience.slo.formats.document import Imported, Part
from resilience.slo.formats.native_read import indicator
from resilience.slo.objective import SLO
from resilience.slo.period import Calendar
from resilience.slo.sli import Indicator

__all__ = ["BUDGETING", "CALENDARS", "VERSION", "import_openslo"]

VERSION: Final = "openslo/v1"
BUDGETING: Final = {
    "Occurrences": "occurrences",
    "Timeslices": "timeslices",
    "RatioTimeslices": "ratio_timeslices",
}
"""Ways of budgeting: its words, and those here."""
CALENDARS: Final = {"1w": "week", "1M": "month", "1Q": "quarter"}
"""Calendar windows: its words, and those here."""

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
    objects: dict[tuple[str, str], Part] = {}
    for source in _documents(text):
        document = yaml.load(source, file=file).data
        version = document.get("apiVersion") if isinstance(document, Mapping) else document
        if version != VERSION:
            raise ConfigError(f"apiVersion must be {VERSION}, got {version!r}", file=file)
        kind = document.get("kind")
        if kind not in _KINDS:
            raise ConfigError(f"kind must be one of {', '.join(_KINDS)}, got {kind!r}", file=file)
        name = Part(kind, document).part("metadata").text("name")
        objects[kind, name] = Part(f"{kind} {name}", document)
    reader = _Reader(objects)
    slos = tuple(slo for (kind, _), part in objects.items() if kind == "SLO" for slo in reader.slos(part))
    lost = list(reader.lost)
    for part in objects.values():
        lost += part.lost() if part.used else [f"{part.document}: nothing of it is used here"]
    return Imported(slos, tuple(dict.fromkeys(lost)))


def _documents(text: str) -> list[str]:
    parts: list[list[str]] = [[]]
    for line in text.splitlines(keepends=True):
        if line.rstrip() == "---":
            parts.append([])
        else:
            parts[-1].append(line)
    return [part for lines in parts if (part := "".join(lines)).strip()]


def _spec(document: Part) -> Part:
    document.ignore("apiVersion", "kind")
    document.part("metadata").ignore("name", "displayName")
    return document.part("spec")


@dataclass(slots=True)
class _Reader:
    """Turns documents into objectives, and notes what is lost beside the keys that nobody reads."""

    objects: Mapping[tuple[str, str], Part]
    lost: list[str] = field(default_factory=list)

    def slos(self, document: Part) -> Iterator[SLO]:
        metadata, spec = document.part("metadata"), _spec(document)
        name, shown = metadata.text("name"), metadata.text("displayName")
        objectives = spec.parts("objectives")
        if not objectives:
            raise document.error("it needs objectives")
        shared: dict[str, Any] = {
            "service": spec.text("service"),
            "description": spec.text("description"),
            "budgeting": self._budgeting(spec),
            "alerting": self._alerting(spec),
        }
        window, calendar = self._window(spec)
        for index, objective in enumerate(objectives):
            options: dict[str, Any] = {}
            if "timeSliceTarget" in objective:
                options["slice_target"] = str(objective.decimal("timeSliceTarget"))
            if "timeSliceWindow" in objective:
                options["slice_length"] = objective.seconds("timeSliceWindow", "")
            yield SLO(
                name if len(objectives) == 1 else f"{name}-{index + 1}",
                target=self._target(objective),
                window=window,
                calendar=calendar,
                name=objective.text("displayName") or shown,
                sli=self._indicator(spec, objective),
                **shared,
                **options,
            )

    def _budgeting(self, spec: Part) -> str:
        method = spec.text("budgetingMethod", "Occurrences")
        if method not in BUDGETING:
            raise spec.error(f"budgetingMethod must be one of {', '.join(BUDGETING)}, got {method!r}")
        return BUDGETING[method]

    def _target(self, objective: Part) -> Decimal:
        if "targetPercent" in objective:
            return objective.decimal("targetPercent") / 100
        if "target" not in objective:
            raise objective.error("an objective needs target or targetPercent")
        return objective.decimal("target")

    def _window(self, spec: Part) -> tuple[float, Calendar | None]:
        first, *_ = *spec.parts("timeWindow"), Part(spec.document, None)
        if first.value("isRolling") is not False:
            return first.seconds("duration", "30d"), None
        duration = first.text("duration")
        unit = CALENDARS.get(duration)
        if unit is None:
            raise spec.error(f"a calendar window must be one of {', '.join(CALENDARS)}, got {duration!r}")
        calendar = first.part("calendar")
        if calendar.value("startTime") is not None:
            self.lost.append(
                f"{spec.document}: startTime of its calendar; a {unit} begins where the calendar says"
            )
        found = Calendar(unit, calendar.text("timeZone", "UTC"))
        return found.seconds, found

    # -- indicators ---------------------------------------------------------------------------------------------

    def _indicator(self, spec: Part, objective: Part) -> Indicator:
        if "indicator" in spec:
            inline = spec.part("indicator")
        else:
            name = spec.text("indicatorRef")
            if ("SLI", name) not in self.objects:
                raise spec.error(f"its indicator {name!r} is in no document")
            inline = self.objects["SLI", name]
        said = _spec(inline)
        if "thresholdMetric" in said:
            return self._threshold(self._query(said.part("thresholdMetric")), objective)
        ratio = said.part("ratioMetric")
        if "raw" in ratio:
            query = self._query(ratio.part("raw"))
            failures = ratio.text("rawType", "success") == "failure"
            return indicator({"type": "ratio", "query": f"1 - ({query})" if failures else query})
        if "total" not in ratio:
            raise said.error("its indicator needs ratioMetric or thresholdMetric")
        if ratio.value("counter") is False:
            self.lost.append(f"{said.document}: counter: false; its metrics are taken for counters")
        parts = {part: self._query(ratio.part(part)) for part in ("good", "bad", "total") if part in ratio}
        return indicator({"type": "events", **parts})

    def _threshold(self, query: str, objective: Part) -> Indicator:
        comparison = objective.text("op")
        if comparison not in _OPERATORS or "value" not in objective:
            raise objective.error(
                f"a thresholdMetric needs op ({', '.join(_OPERATORS)}) and value in its objective"
            )
        if comparison in {"lt", "gt"}:
            self.lost.append(f"{objective.document}: op {comparison} is taken for {comparison}e")
        value = float(objective.decimal("value"))
        return indicator({"type": "threshold", "query": query, _OPERATORS[comparison]: value})

    def _query(self, metric: Part) -> str:
        source = metric.part("metricSource")
        kind, said = source.text("type", "Prometheus"), source.part("spec")
        query = said.text("query") or said.text("promql")
        if kind.lower() != "prometheus" or not query:
            raise metric.error(f"a metricSource must be of type Prometheus with a query, got type {kind!r}")
        return query

    # -- alerts -------------------------------------------------------------------------------------------------

    def _alerting(self, spec: Part) -> Alerting:
        alerts: list[BurnRateAlert] = []
        for policy in self._referred(spec, "alertPolicies", "AlertPolicy", "alertPolicyRef"):
            said = _spec(policy)
            if said.value("notificationTargets"):
                self.lost.append(f"{spec.document}: notification targets; alerts go by `routes`")
            if said.value("alertWhenBreaching") is False:
                self.lost.append(f"{policy.document}: a policy that does not alert when breaching")
                continue
            for condition in self._referred(said, "conditions", "AlertCondition", "conditionRef"):
                alerts.extend(self._burn_rate(condition))
        return Alerting(tuple(alerts) or None, DEFAULT_EXHAUSTION)

    def _referred(self, part: Part, key: str, kind: str, reference: str) -> Iterator[Part]:
        """The documents of a list that stand in it, or that it names."""
        for index, given in enumerate(part.list(key)):
            if isinstance(given, Mapping) and "spec" in given:
                inline = Part(part.document, given, f"{key}[{index}].")
                yield inline
                self.lost += inline.lost()
                continue
            name = given.get(reference) if isinstance(given, Mapping) else given
            found = self.objects.get((kind, str(name)))
            if found is None:
                self.lost.append(f"{part.document}: {kind} {name!r} is in no document")
            else:
                yield found

    def _burn_rate(self, document: Part) -> Iterator[BurnRateAlert]:
        said = _spec(document)
        name, condition = document.part("metadata").text("name", "burn"), said.part("condition")
        kind, comparison = condition.text("kind"), condition.text("op", "gte")
        if kind != "burnrate" or comparison not in {"gt", "gte"}:
            self.lost.append(f"{document.document}: condition {name}, {kind!r} with op {comparison}")
            condition.ignore("threshold", "lookbackWindow", "alertAfter")
            said.ignore("severity")
            return
        if comparison == "gte":
            self.lost.append(
                f"{document.document}: condition {name} at exactly its threshold (gte is taken for gt)"
            )
        yield BurnRateAlert(
            name,
            condition.decimal("threshold"),
            window=condition.seconds("lookbackWindow", ""),
            severity=said.text("severity", "critical"),
            for_=condition.seconds("alertAfter", "0s"),
        )
