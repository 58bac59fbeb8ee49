"""Rules and groups of rules, checked when they are made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias, TypeGuard

from resilience import promql
from resilience.core import validate
from resilience.core.options import named_options
from resilience.core.ports import Labels
from resilience.errors import ConfigError
from resilience.rules.template import Template

__all__ = [
    "AlertRule",
    "Condition",
    "NoData",
    "RecordingRule",
    "Rule",
    "RuleGroup",
    "check_texts",
    "label_name",
    "metric_name",
    "record_name",
]

Found: TypeAlias = bool | float | Mapping[Labels, float] | Iterable[tuple[Mapping[str, str] | Labels, float]]
Condition: TypeAlias = Callable[[], Found]
"""Says whether something is wrong: yes or no, a value, or label sets with their values."""

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


class NoData(StrEnum):
    """What an alert rule makes of an expression that finds nothing to judge by.

    `RESOLVE` is what Prometheus does: missing data is a false evaluation, which `keep_firing_for` may bridge. `OK`
    takes it as health and resolves at once. `KEEP` leaves alerts as they are for a grace, then resolves. `ALERT`
    makes the absence itself alert after `for`, and keeps what was active for the grace.
    """

    RESOLVE = "resolve"
    ALERT = "alert"
    OK = "ok"
    KEEP = "keep"


def metric_name(option: str, value: object) -> str:
    """Return `value` if it is a metric's name as Prometheus takes it, or refuse it.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(value, str) and _METRIC.fullmatch(value):
        return value
    message = f"{option} must be a metric name (letters, digits, _ and :, no digit first), got {validate.shown(value)}"
    raise ConfigError(message)


def record_name(value: object) -> str:
    """Return the metric name of a recording rule, or refuse it.

    Prometheus 3 accepts any UTF-8 text but braces, which are a sign of an expression in the wrong field.

    Raises:
        ConfigError: the name is empty, is not UTF-8, or has braces.
    """
    if _is_utf8(value) and "{" not in value and "}" not in value:
        return value
    message = (
        f"record must be a metric name (not empty, valid UTF-8, without braces), got {validate.shown(value)}"
    )
    raise ConfigError(message)


def label_name(option: str, value: object) -> str:
    """Return `value` if it is a label name that a rule may set, or refuse it.

    Raises:
        ConfigError: the name is empty, is not UTF-8, or is `__name__`.
    """
    if _is_utf8(value) and value != "__name__":
        return value
    message = (
        f"{option} must be a label name (not empty, valid UTF-8, not __name__), got {validate.shown(value)}"
    )
    raise ConfigError(message)


def _is_utf8(value: object) -> TypeGuard[str]:
    """Return True for a text that is not empty and has no lone surrogate."""
    if not isinstance(value, str) or not value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_texts(option: str, given: object, *, templates: bool = True) -> dict[str, str]:
    """Check names, values and templates of labels or annotations.

    Args:
        option: `labels` or `annotations`, for messages.
        given: names and values.
        templates: whether values are templates; those of recording rules are not.

    Returns:
        them sorted by name, as Prometheus keeps them.

    Raises:
        ConfigError: a name is not valid, a value is no string, or no template.
    """
    if not isinstance(given, Mapping):
        message = f"{option} must be a mapping of names to strings, got {validate.shown(given)}"
        raise ConfigError(message)
    for name, value in given.items():
        label_name(f"a name in {option}", name)
        if value != "" and not _is_utf8(value):
            message = f"{option}: {name} must be a string of valid UTF-8, got {validate.shown(value)}"
            raise ConfigError(message)
        try:
            if templates:
                Template(value)
        except ConfigError as error:
            message = f"{name}: {error.message}"
            raise ConfigError(message) from error
    return dict(sorted(given.items()))


@named_options
@dataclass(frozen=True, slots=True)
class RecordingRule:
    """Writes the result of an expression back as a metric.

    Args:
        name: the metric that it writes.
        expr: PromQL.
        labels: labels to set on each result; an empty value removes one.
        line: where it stands in its file, or None.

    Raises:
        ConfigError: a name or label is not valid.
        QueryError: the expression is not.
    """

    name: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)
    line: int | None = field(default=None, compare=False)
    expression: promql.Expression = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        record_name(self.name)
        object.__setattr__(self, "labels", check_texts("labels", self.labels, templates=False))
        object.__setattr__(self, "expression", _parse(self.expr))


@named_options
@dataclass(frozen=True, slots=True)
class AlertRule:
    """Alerts while an expression has results, or while a function of yours says so.

    Args:
        name: `alertname` of its alerts.
        expr: PromQL; this or `condition`.
        condition: a function of nothing that returns True, a value, or label sets with values while something is
            wrong, and False or nothing while all is well; it runs on the event loop and must not block.
        for_: seconds that the condition must hold before the alert fires.
        keep_firing_for: seconds that a firing alert outlasts its condition.
        severity: the label `severity`.
        labels: labels to set on its alerts; values may be templates.
        annotations: what people read; values may be templates such as `{{ $value | humanizePercentage }}`.
        runbook_url: the annotation `runbook_url`.
        no_data: what missing data means, a `NoData` or its value; `keep` unless the rule comes from a file, where
            it is `resolve`, as in Prometheus.
        no_data_grace: seconds for which `keep` and `alert` leave active alerts as they are.
        line: where it stands in its file, or None.

    Raises:
        ConfigError: an option is not valid, or both or neither of `expr` and `condition` are given.
        QueryError: the expression is not valid.

    Example:
        >>> AlertRule("QueueFull", condition=lambda: 0.93, for_=60, severity="warning").labels
        {'severity': 'warning'}
    """

    name: str
    expr: str | None = None
    condition: Condition | None = field(default=None, kw_only=True)
    for_: float = field(default=0.0, kw_only=True)
    keep_firing_for: float = field(default=0.0, kw_only=True)
    severity: str | None = field(default=None, kw_only=True)
    labels: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    annotations: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    runbook_url: str | None = field(default=None, kw_only=True)
    no_data: NoData = field(default=NoData.KEEP, kw_only=True)
    no_data_grace: float = field(default=300.0, kw_only=True)
    line: int | None = field(default=None, kw_only=True, compare=False)
    expression: promql.Expression | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        validate.text("alert", self.name)
        if (self.expr is None) == (self.condition is None):
            message = f"alert rule {self.name!r} needs either expr or condition"
            raise ConfigError(message)
        if self.condition is not None:
            validate.callback("condition", self.condition)
        labels, annotations = check_texts("labels", self.labels), check_texts("annotations", self.annotations)
        # What a label or an annotation says already is derived, and may be empty as in Prometheus.
        if self.severity is not None and self.severity != labels.get("severity"):
            labels = dict(sorted({**labels, "severity": validate.text("severity", self.severity)}.items()))
        if self.runbook_url is not None and self.runbook_url != annotations.get("runbook_url"):
            url = validate.text("runbook_url", self.runbook_url)
            annotations = dict(sorted({**annotations, "runbook_url": url}.items()))
        no_data = self.no_data
        if not isinstance(no_data, NoData):
            no_data = NoData(validate.choice("no_data", no_data, [mode.value for mode in NoData]))
        derived = {
            "for_": validate.number("for_", self.for_, low=0),
            "keep_firing_for": validate.number("keep_firing_for", self.keep_firing_for, low=0),
            "no_data_grace": validate.number("no_data_grace", self.no_data_grace, low=0),
            "severity": labels.get("severity"),
            "runbook_url": annotations.get("runbook_url"),
            "labels": labels,
            "annotations": annotations,
            "no_data": no_data,
            "expression": None if self.expr is None else _parse(self.expr),
        }
        for option, value in derived.items():
            object.__setattr__(self, option, value)


Rule: TypeAlias = RecordingRule | AlertRule


@named_options
@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that are evaluated together, one after the other.

    Args:
        name: unique in its file.
        rules: in the order of evaluation.
        interval: seconds between evaluations, or None for the evaluator's own.
        limit: most series of a recording rule and most alerts of an alerting one; 0 for any number.
        query_offset: seconds by which expressions look back.
        file: where it was read, or None.
        line: where it stands there, or None.

    Raises:
        ConfigError: an option is not valid.

    Example:
        >>> group = RuleGroup("shop", [AlertRule("Down", "up == 0", for_=60)], interval=15)
        >>> [rule.name for rule in group.rules]
        ['Down']
    """

    name: str
    rules: Sequence[Rule]
    interval: float | None = field(default=None, kw_only=True)
    limit: int = field(default=0, kw_only=True)
    query_offset: float = field(default=0.0, kw_only=True)
    file: str | None = field(default=None, kw_only=True)
    line: int | None = field(default=None, kw_only=True, compare=False)

    def __post_init__(self) -> None:
        validate.text("group name", self.name)
        rules = tuple(self.rules)
        for rule in rules:
            if not isinstance(rule, RecordingRule | AlertRule):
                message = f"rules of group {self.name!r} must be RecordingRule or AlertRule, got {validate.shown(rule)}"
                raise ConfigError(message)
        object.__setattr__(self, "rules", rules)
        if self.interval is not None:
            validate.number("interval", self.interval, above=0)
        validate.integer("limit", self.limit, low=0)
        validate.number("query_offset", self.query_offset, low=0)


def _parse(expr: object) -> promql.Expression:
    return promql.parse(validate.text("expr", expr))
