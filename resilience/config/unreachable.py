"""Parts of a configuration that can match nothing of what it defines: objectives, rules, routes, channels."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resilience.alerting.config import AlertingConfig
from resilience.alerting.matchers import Matchers
from resilience.alerting.route import Route
from resilience.config.reader import Config
from resilience.core.matchers import predicate
from resilience.core.ports import Matcher
from resilience.promql import nodes
from resilience.rules.model import AlertRule, RuleGroup
from resilience.signals.names import METRICS
from resilience.slo import SLO, compile_rules

__all__ = ["unreachable"]

# Alerts of the library itself, and the labels that they may have besides.
_OWN_ALERTS = ("ReliabilityStateNotKept", "ReliabilityTaskFailing", "RuleEvaluationFailed")
_OWN_LABELS = frozenset({"group", "rule", "task"})
_FEW = 4  # values that a warning lists
_SLO_SERIES = frozenset(name for name in METRICS if name.startswith("slo_"))


def unreachable(configuration: Config) -> list[str]:
    """Return a line about each objective, rule, route, inhibition, maintenance window and channel that can match nothing.

    Only what the configuration proves is named: labels that an expression may bring along can have any value. What code
    adds to a service (rules, alerts that are sent by hand) is not known here.

    Args:
        configuration: the configuration.
    """
    said = configuration.arguments
    service, slos = str(said["service"]), tuple(said.get("slos", ()))
    rules: Sequence[RuleGroup] = tuple(said.get("rules", ()))
    groups = (*rules, *compile_rules(slos))
    found = [
        *_objectives(service, slos),
        *_selectors(service, slos, rules, groups, str(said.get("prefix", ""))),
    ]
    alerting = said.get("alerting")
    external = {"service": service, **said.get("labels", {})}
    alerts = list(_alerts(groups, external))
    if isinstance(alerting, AlertingConfig) and alerts:
        channels = [channel.name for channel in said.get("notifiers", ())]
        own = (
            _Alert({"severity": "warning", **external, "alertname": name}, _OWN_LABELS)
            for name in _OWN_ALERTS
        )
        found += _routing(alerting, [*alerts, *own], channels)
    return found


# -- objectives and rules


def _objectives(service: str, slos: Sequence[SLO]) -> Iterator[str]:
    """Find objectives of a service that is this one under a name that is written differently, or of others only."""
    served = {slo.service for slo in slos}
    for slo in slos:
        same = _plain(slo.service) == _plain(service) or service not in served
        if slo.service != service and same and slo.backend == "inprocess" and _reads_requests(slo):
            yield (
                f"objective {slo.id!r} is of the service {slo.service!r}, and this service is {service!r}:"
                f" it can have no data; did you mean {service!r}?"
            )


def _plain(name: str) -> str:
    return "".join(each for each in name.casefold() if each.isalnum())


def _reads_requests(slo: SLO) -> bool:
    """Return True if the indicator counts the requests of the objective's service."""
    sli: Any = slo.sli
    chosen = getattr(sli, "query", None) or getattr(sli, "metric", None)
    return type(sli).__name__ in {"Availability", "Latency", "Throughput"} and not chosen


def _selectors(
    service: str, slos: Sequence[SLO], rules: Sequence[RuleGroup], groups: Sequence[RuleGroup], prefix: str
) -> Iterator[str]:
    services = {service, *(slo.service for slo in slos)}
    objectives = {slo.id for slo in slos}
    names = {rule.name for group in groups for rule in group.rules if isinstance(rule, AlertRule)}
    for group in rules:
        for rule in group.rules:
            if rule.expression is None:
                continue
            for use in rule.expression.selectors:
                metric = (use.name or "").removeprefix(prefix)
                known: dict[str, Collection[str]] = {}
                if metric in METRICS:
                    known["service"] = services
                if metric in _SLO_SERIES and objectives:
                    known["slo"] = objectives
                if use.name in {"ALERTS", "ALERTS_FOR_STATE"}:
                    known["alertname"] = names
                for matcher in use.matchers:
                    values = known.get(matcher.label)
                    if values is not None and not any(map(predicate(matcher), (*values, ""))):
                        place = ":".join(str(part) for part in (group.file, rule.line) if part is not None)
                        yield (
                            f"{place or group.name}: rule {rule.name!r}: {use.name} has no series with"
                            f" {_shown(matcher)} in this configuration{_guess(matcher, values)}"
                        )


# -- alerts and where they go


@dataclass(frozen=True, slots=True)
class _Alert:
    """An alert that can occur: the labels that it certainly has, and those that it may have besides; None for any."""

    labels: Mapping[str, str]
    open: frozenset[str] | None = None

    def value(self, label: str) -> str | None:
        """Return the value of a label ("" if it is absent), None if it can be any."""
        if label in self.labels:
            return self.labels[label]
        return None if self.open is None or label in self.open else ""

    def may_match(self, matchers: Matchers) -> bool:
        """Return True unless a matcher certainly fails."""
        return all(
            (value := self.value(each.label)) is None or predicate(each)(value) for each in matchers.matchers
        )

    def must_match(self, matchers: Matchers) -> bool:
        """Return True if all matchers certainly hold."""
        return all(
            (value := self.value(each.label)) is not None and predicate(each)(value)
            for each in matchers.matchers
        )


def _alerts(groups: Sequence[RuleGroup], external: Mapping[str, str]) -> Iterator[_Alert]:
    for group in groups:
        for rule in group.rules:
            if not isinstance(rule, AlertRule):
                continue
            fixed = {name: text for name, text in rule.labels.items() if "{{" not in text}
            templates = rule.labels.keys() - fixed.keys()
            brought = None if rule.expression is None else _labels_of(rule.expression.node)
            # An external label is added where the expression brings none.
            added = {
                name: text for name, text in external.items() if brought is not None and name not in brought
            }
            known = {**added, **fixed, "alertname": rule.name}
            known = {name: text for name, text in known.items() if name not in templates}
            yield _Alert(known, None if brought is None else brought | templates)


def _labels_of(node: nodes.Node) -> frozenset[str] | None:
    """Return the names of the labels that the elements of an expression can have, None if they can have any."""
    match node:
        case nodes.Aggregate(by=True) if node.operator not in {"topk", "bottomk", "limitk", "count_values"}:
            return frozenset(node.labels)
        case nodes.Binary() if node.left.kind == "scalar":
            return _labels_of(node.right)
        case nodes.Binary() if node.right.kind == "scalar" or node.operator in {"and", "unless"}:
            return _labels_of(node.left)
        case nodes.Number() | nodes.Call(function="vector" | "scalar" | "time"):
            return frozenset()
    return None


def _routing(config: AlertingConfig, alerts: Sequence[_Alert], channels: Sequence[str]) -> Iterator[str]:
    values = _Values(alerts)
    for index, rule in enumerate(config.inhibitions):
        for side, matchers in (("source", rule.source), ("target", rule.target)):
            if not any(alert.may_match(matchers) for alert in alerts):
                yield f"inhibitions[{index}] {side}: no alert of this configuration matches {values.explain(matchers)}"
    for index, window in enumerate(config.maintenance):
        if not any(alert.may_match(window.matchers) for alert in alerts):
            yield f"maintenance[{index}]: no alert of this configuration matches {values.explain(window.matchers)}"
    if config.route is None:
        return
    tree = _Tree(values)
    tree.walk(config.route, "route", alerts, config.route.to or ())
    yield from tree.found
    for name in channels:
        if name not in tree.receivers:
            yield f"channel {name!r}: no alert of this configuration reaches it"


class _Tree:
    """A walk through the tree of routes with all alerts that can occur."""

    def __init__(self, values: _Values) -> None:
        self.found: list[str] = []
        self.receivers: set[str] = set()
        self._values = values

    def walk(self, route: Route, place: str, alerts: Sequence[_Alert], to: Collection[str]) -> None:
        """Note the routes that no alert reaches, and the channels that alerts reach."""
        left = list(alerts)
        for index, child in enumerate(route.routes):
            name = f"routes[{index}]" if place == "route" else f"{place}.routes[{index}]"
            arriving = [alert for alert in left if alert.may_match(child.matchers)]
            if arriving:
                self.walk(child, name, arriving, to if child.to is None else child.to)
            elif any(alert.may_match(child.matchers) for alert in alerts):
                self.found.append(f"{name}: the routes before it take every alert of this configuration")
            else:
                self.found.append(
                    f"{name}: no alert of this configuration matches {self._values.explain(child.matchers)}"
                )
            if not child.proceed:
                left = [alert for alert in left if not alert.must_match(child.matchers)]
        taken = [child.matchers for child in route.routes]
        if any(not any(alert.must_match(each) for each in taken) for alert in alerts):
            self.receivers.update(to)
        if route.escalation is not None:
            self.receivers.update(name for level in route.escalation.levels for name in level.to)


class _Values:
    """The values that labels of alerts are known to have."""

    def __init__(self, alerts: Sequence[_Alert]) -> None:
        self._alerts = alerts

    def explain(self, matchers: Matchers) -> str:
        """Return the matchers, with the nearest value of the first that no alert matches."""
        for each in matchers.matchers:
            if not any(alert.may_match(Matchers([each])) for alert in self._alerts):
                values = {alert.labels[each.label] for alert in self._alerts if each.label in alert.labels}
                return f"{_shown(each)}{_guess(each, values)}"
        return str(matchers)


def _shown(matcher: Matcher) -> str:
    return f'{matcher.label}{matcher.op}"{matcher.value}"'


def _guess(matcher: Matcher, values: Collection[str]) -> str:
    near = difflib.get_close_matches(matcher.value, values, n=1)
    if not near:
        near = [each for each in values if each.casefold() == matcher.value.casefold()]
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are: {', '.join(sorted(values))}" if 0 < len(values) <= _FEW else ""
