"""Import of OpenSLO v1.

Source: the OpenSLO specification, version v1 (github.com/OpenSLO/OpenSLO).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from resilience.core.validate import shown
from resilience.slo.alerting import Alerting
from resilience.slo.burn_rate import BurnRateAlert
from resilience.slo.formats.document import Imported, Part, documents
from resilience.slo.formats.native_read import indicator
from resilience.slo.objective import SLO
from resilience.slo.period import Calendar
from resilience.slo.query import summed_over_time
from resilience.slo.sli import Indicator

__all__ = ["BUDGETING", "CALENDARS", "VERSION", "import_openslo", "read_openslo"]

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
    """Read objectives from OpenSLO v1.

    Args:
        text: YAML or JSON: SLOs and the objects that they refer to by name, as documents or as one list.
        file: name of the file, for messages.

    Raises:
        ConfigError: a document is invalid.
    """
    return read_openslo(documents(text, file=file))


def read_openslo(parts: Sequence[Part]) -> Imported:
    """Read objectives from parsed documents; see `import_openslo`."""
    objects: dict[tuple[str, str], Part] = {}
    for document in parts:
        version, kind = document.text("apiVersion"), document.text("kind")
        if version != VERSION:
            raise document.error(f"apiVersion must be {VERSION}, got {shown(version)}", "apiVersion")
        if kind not in _KINDS:
            raise document.error(f"kind must be one of {', '.join(_KINDS)}, got {shown(kind)}", "kind")
        name = document.part("metadata").text("name")
        document.rename(f"{kind} {name}")
        if (kind, name) in objects:
            raise document.error("there are two of this kind and name", "metadata", "name")
        objects[kind, name] = document
    reader = _Reader(objects)
    slos = tuple(slo for (kind, _), part in objects.items() if kind == "SLO" for slo in reader.slos(part))
    lost = list(reader.lost)
    for (kind, name), part in objects.items():
        used = kind == "SLO" or (kind, name) in reader.used
        lost += part.lost() if used else [f"{part.document}: nothing of it is used here"]
    return Imported(slos, tuple(dict.fromkeys(lost)))


def _spec(document: Part) -> Part:
    document.ignore("apiVersion", "kind")
    document.part("metadata").ignore("name", "displayName")
    return document.part("spec")


@dataclass(slots=True)
class _Reader:
    """Reader of the objectives of documents.

    Args:
        objects: documents by kind and name.
        used: kinds and names of the documents that objectives refer to.
        lost: one line for each part without a counterpart, beside the keys that nobody reads.
    """

    objects: Mapping[tuple[str, str], Part]
    used: set[tuple[str, str]] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)

    def slos(self, document: Part) -> Iterator[SLO]:
        metadata, spec = document.part("metadata"), _spec(document)
        name, shown = metadata.text("name"), metadata.text("displayName")
        objectives = spec.parts("objectives")
        if not objectives:
            raise document.error("it needs objectives")
        for index, objective in enumerate(objectives):
            with objective.located():
                slo_id = name if len(objectives) == 1 else f"{name}-{index + 1}"
                found = self._slo(slo_id, objective.text("displayName") or shown, spec, objective)
            yield found

    def _slo(self, slo_id: str, name: str, spec: Part, objective: Part) -> SLO:
        options: dict[str, Any] = {}
        if "timeSliceTarget" in objective:
            options["slice_target"] = str(objective.decimal("timeSliceTarget"))
        if "timeSliceWindow" in objective:
            options["slice_length"] = objective.seconds("timeSliceWindow", "")
        window, calendar = self._window(spec)
        return SLO(
            slo_id,
            service=spec.text("service"),
            target=self._target(objective),
            window=window,
            name=name,
            description=spec.text("description"),
            sli=self._indicator(spec, objective),
            calendar=calendar,
            budgeting=self._budgeting(spec),
            alerting=self._alerting(spec),
            **options,
        )

    def _budgeting(self, spec: Part) -> str:
        method = spec.text("budgetingMethod", "Occurrences")
        if method not in BUDGETING:
            raise spec.error(f"budgetingMethod must be one of {', '.join(BUDGETING)}, got {shown(method)}")
        return BUDGETING[method]

    def _target(self, objective: Part) -> Decimal:
        if "targetPercent" in objective:
            return objective.decimal("targetPercent") / 100
        if "target" not in objective:
            raise objective.error("an objective needs target or targetPercent")
        return objective.decimal("target")

    def _window(self, spec: Part) -> tuple[float, Calendar | None]:
        spec.parts("timeWindow")  # further ones are lost
        first = spec.item("timeWindow", 0)
        rolling = first.flag("isRolling")
        # As the specification says: a window with a calendar is not rolling if the file does not say it.
        if rolling or (rolling is None and "calendar" not in first):
            return first.seconds("duration", "30d"), None
        duration = first.text("duration")
        unit = CALENDARS.get(duration)
        if unit is None:
            raise spec.error(
                f"a calendar window must be one of {', '.join(CALENDARS)}, got {shown(duration)}"
            )
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
            found = self._named("SLI", name)
            if found is None:
                raise spec.error(f"its indicator {name!r} is in no document", "indicatorRef")
            inline = found
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
        count = self._query if ratio.flag("counter") is not False else self._summed
        parts = {part: count(ratio.part(part)) for part in ("good", "bad", "total") if part in ratio}
        return indicator({"type": "events", **parts})

    def _summed(self, metric: Part) -> str:
        """Return the query of a number that goes up and down, which is counted by its sum over time."""
        query = self._query(metric)
        with metric.located():
            return summed_over_time("query", query)

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
        unread = False
        for policy in self._referred(spec, "alertPolicies", "AlertPolicy", "alertPolicyRef"):
            if policy is None:
                unread = True
                continue
            said = _spec(policy)
            if said.value("notificationTargets"):
                self.lost.append(f"{spec.document}: notification targets; alerts go by `routes`")
            if said.flag("alertWhenBreaching") is False:
                self.lost.append(f"{policy.document}: a policy that does not alert when breaching")
                continue
            for condition in self._referred(said, "conditions", "AlertCondition", "conditionRef"):
                alert = None if condition is None else self._burn_rate(condition)
                if alert is None:
                    unread = True
                else:
                    alerts.append(alert)
        if alerts or not unread:
            return Alerting(tuple(alerts), exhaustion=(), min_failures=0)
        # An objective that alerts must not become one that does not.
        self.lost.append(
            f"{spec.document}: its alert policies, of which nothing can be read; the default alerts replace them"
        )
        return Alerting()

    def _referred(self, part: Part, key: str, kind: str, reference: str) -> Iterator[Part | None]:
        """Yield the documents that a list has or refers to by name; None for one that is in no document."""
        for index, given in enumerate(part.list(key)):
            if isinstance(given, Mapping) and "spec" in given:
                yield part.item(key, index)
                continue
            name = str(given.get(reference) if isinstance(given, Mapping) else given)
            found = self._named(kind, name)
            if found is None:
                self.lost.append(f"{part.document}: {kind} {name!r} is in no document")
            yield found

    def _named(self, kind: str, name: str) -> Part | None:
        self.used.add((kind, name))
        return self.objects.get((kind, name))

    def _burn_rate(self, document: Part) -> BurnRateAlert | None:
        said = _spec(document)
        name, condition = document.part("metadata").text("name", "burn"), said.part("condition")
        kind, comparison = condition.text("kind"), condition.text("op", "gte")
        if kind != "burnrate" or comparison not in {"gt", "gte"}:
            self.lost.append(f"{document.document}: condition {name}, {kind!r} with op {comparison}")
            condition.ignore("threshold", "lookbackWindow", "alertAfter")
            said.ignore("severity")
            return None
        if comparison == "gte":
            self.lost.append(
                f"{document.document}: condition {name} at exactly its threshold (gte is taken for gt)"
            )
        return BurnRateAlert(
            name,
            condition.decimal("threshold"),
            window=condition.seconds("lookbackWindow", ""),
            severity=said.text("severity", "critical"),
            for_=condition.seconds("alertAfter", "0s"),
        )
