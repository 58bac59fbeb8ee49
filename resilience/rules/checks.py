"""What a rule file gets wrong although it loads: findings with their place."""

from __future__ import annotations

import contextlib
import difflib
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from resilience import promql
from resilience.errors import QueryError
from resilience.promql import nodes
from resilience.rules.bounds import NOTHING, Bounds
from resilience.rules.model import AlertRule, RecordingRule, Rule, RuleGroup
from resilience.rules.reach import Reach, comparisons
from resilience.rules.template import Template
from resilience.signals.names import HISTOGRAMS

__all__ = ["Finding", "Severity", "check"]


class Severity(StrEnum):
    """How much a finding matters: an error can not be meant, a warning hardly, a hint is advice."""

    ERROR = "error"
    WARNING = "warning"
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a rule.

    Args:
        severity: how much it matters.
        message: what is wrong, in one line.
        rule: name of the rule.
        group: name of its group.
        file: where it stands, or None.
        line: the line in that file, or None.
    """

    severity: Severity
    message: str
    rule: str
    group: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        return f"{place or self.group}: {self.severity.value}: {self.rule}: {self.message}"


Found = Iterator[tuple[Severity, str]]

_BUILT_IN = frozenset({"ALERTS", "ALERTS_FOR_STATE"})
_ALIKE = 0.9  # as many of the characters of two names, in order, are the same: a slip, not another metric
_SETTINGS = frozenset({"resilience_no_data", "resilience_no_data_grace"})


def check(
    groups: Iterable[RuleGroup],
    *,
    metrics: Collection[str] | None = None,
    complete: bool = True,
    buckets: Mapping[str, float] | None = None,
    prefix: str = "",
    hints: bool = True,
) -> list[Finding]:
    """Look for what loads and yet is wrong.

    Args:
        groups: what to look at; names that their rules record are known.
        metrics: names of the metrics that exist, or None to leave names alone.
        complete: True if `metrics` has all metrics, so that another name is a warning; else it is a hint.
        buckets: histogram -> its last bucket that ends, as far as it is known; what is called like a histogram of this
            library is supposed to have its buckets, which makes no more than hints.
        prefix: what stands before the names of the library's metrics.
        hints: False to leave out hints, which takes less time.

    Returns:
        findings in the order of the rules.

    Example:
        >>> rule = AlertRule("Burn", "errors:ratio > 14.4 * 0.1", severity="page", annotations={"summary": "!"})
        >>> [finding.message for finding in check([RuleGroup("slo", (rule,))])]
        ['never true if the metric is a ratio, as its name says: errors:ratio is a ratio of at most 1, and the threshold is 1.44']
    """
    listed = list(groups)
    bounds = _bounds_recorded(listed)
    views = list(_views(listed, bounds, buckets or {}, prefix, hints=hints))
    refused = _Refused()
    names = None if metrics is None else _Names({*metrics, *_BUILT_IN, *bounds}, complete=complete)
    findings: list[Finding] = []
    for group in listed:
        seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        for rule in group.rules:
            found = [
                *(names(rule) if names is not None else ()),
                *_kind(rule),
                *refused(rule),
                *_thresholds(rule, views),
                *_quantiles(rule),
                *_alerting(rule),
            ]
            identity = (rule.name, tuple(rule.labels.items()))
            if identity in seen:
                found.append((Severity.WARNING, "another rule of this group has the same name and labels"))
            seen.add(identity)
            findings.extend(
                Finding(severity, message, rule.name, group.name, group.file, rule.line)
                for severity, message in found
                if hints or severity is not Severity.HINT
            )
    return findings


class _Names:
    """Finds metrics that nobody has heard of."""

    def __init__(self, known: Collection[str], *, complete: bool) -> None:
        self._known = known
        self._complete = complete
        self._told: set[str] = set()

    def __call__(self, rule: Rule) -> Found:
        if rule.expression is None:
            return
        for name in sorted({use.name for use in rule.expression.selectors if use.name} - set(self._known)):
            # Only a complete list of metrics proves that a name is wrong.
            severity = Severity.WARNING if self._complete else Severity.HINT
            others = [other for other in self._known if not _derived(name, other)]
            alike = difflib.get_close_matches(name, others, n=1, cutoff=_ALIKE)
            if alike:
                yield severity, f"unknown metric {name}; did you mean {alike[0]}?"
            elif self._complete:
                yield severity, f"unknown metric {name}"
            elif name not in self._told:  # once is enough for what may well be the application's own
                self._told.add(name)
                yield (
                    Severity.HINT,
                    f"unknown metric {name}: not the library's, and recorded by none of these rules",
                )


def _derived(name: str, other: str) -> bool:
    """Return True if one name has the other as a part between colons, as `job:up:sum` has `up`."""
    return name in other.split(":") or other in name.split(":")


def _kind(rule: Rule) -> Found:
    if rule.expression is not None and rule.expression.kind not in ("vector", "scalar"):
        yield (
            Severity.ERROR,
            f"the expression is a {rule.expression.kind}, and a rule needs a vector or scalar",
        )


def _alerting(rule: Rule) -> Found:
    if not isinstance(rule, AlertRule):
        return
    for name, text in rule.labels.items():
        if Template(text).reads_value:
            yield Severity.WARNING, f"label {name} carries a value: with each change it is another alert"
    for name in sorted(rule.annotations):
        if name.startswith("resilience_") and name not in _SETTINGS:
            yield (
                Severity.WARNING,
                f"annotation {name} is no setting; there are {', '.join(sorted(_SETTINGS))}",
            )
    if "severity" not in rule.labels:
        yield Severity.HINT, "no label severity, by which alerts are routed"
    if not rule.annotations.keys() & {"summary", "description", "message"}:
        yield Severity.HINT, "no annotation summary that tells people what is wrong"


# -- thresholds


_View = tuple[Severity, str, Reach]
"""How much its findings matter, on what condition they hold, and what it knows."""


def _views(
    groups: Iterable[RuleGroup],
    recorded: Mapping[str, Bounds],
    buckets: Mapping[str, float],
    prefix: str,
    *,
    hints: bool,
) -> Iterator[_View]:
    """Yield the levels of knowledge in falling order: proved by the rules, by real buckets, likely, and assumed."""
    yield Severity.ERROR, "", Reach(recorded)
    if buckets:
        yield Severity.WARNING, "", Reach(recorded, buckets=buckets)
    if not hints:
        return
    supposed = {prefix + name: last for name, last in HISTOGRAMS.items()}
    # Who asks for a bucket that this library does not have has another histogram of that name.
    for name, bound in _bounds_asked(groups):
        if supposed.get(name, math.inf) < bound < math.inf:
            del supposed[name]
    yield (
        Severity.HINT,
        " if the metric is a ratio, as its name says",
        Reach(recorded, assuming=True, buckets=buckets),
    )
    yield (
        Severity.HINT,
        " with the buckets of this library",
        Reach(recorded, assuming=True, buckets={**supposed, **buckets}),
    )


def _bounds_asked(groups: Iterable[RuleGroup]) -> Iterator[tuple[str, float]]:
    """Histograms, and the ends of buckets that rules ask them for."""
    uses = (
        use
        for group in groups
        for rule in group.rules
        if rule.expression
        for use in rule.expression.selectors
    )
    for use in uses:
        for one in use.matchers:
            if one.label == "le" and one.op == "=" and use.name and use.name.endswith("_bucket"):
                with contextlib.suppress(ValueError):
                    yield use.name.removesuffix("_bucket"), float(one.value)


def _thresholds(rule: Rule, views: Sequence[_View]) -> Found:
    if rule.expression is None:
        return
    node = rule.expression.node
    compared = comparisons(node)
    if not compared:
        return
    for severity, condition, reach in views:
        # What leaves the rule a chance is no error.
        chance = severity is Severity.ERROR and not reach.bounds(node).empty
        never = list(reach.never(compared))
        always = [] if never else list(reach.always(compared))
        yield from (
            (Severity.WARNING if chance else severity, f"never true{condition}: {text}") for text in never
        )
        yield from ((severity, f"always true{condition}: {text}") for text in always)
        if never or always:
            return


class _Refused:
    """Finds what an evaluator will refuse: it compiles what it loads, each expression once."""

    def __init__(self) -> None:
        self._errors: dict[str, str | None] = {}

    def __call__(self, rule: Rule) -> Found:
        if rule.expression is None:
            return
        text = rule.expression.text
        if text not in self._errors:
            self._errors[text] = _refusal(rule.expression)
        if (error := self._errors[text]) is not None:
            yield Severity.ERROR, error


def _refusal(expression: promql.Expression) -> str | None:
    try:
        promql.compile(expression, promql.MemorySource())
    except QueryError as error:
        return str(error)
    return None


def _quantiles(rule: Rule) -> Found:
    """Find quantiles given in percent, the answer to which is infinite."""
    if rule.expression is None:
        return
    for node in nodes.walk(rule.expression.node):
        share: nodes.Node | None = None
        if isinstance(node, nodes.Call) and node.function in ("histogram_quantile", "quantile_over_time"):
            share = node.arguments[0]
        elif isinstance(node, nodes.Aggregate) and node.operator == "quantile":
            share = node.parameter
        if isinstance(share, nodes.Number) and not 0 <= share.value <= 1:
            yield Severity.ERROR, f"quantile {share.value:.6g} is not from 0 to 1: its value is infinite"


def _bounds_recorded(groups: Iterable[RuleGroup]) -> dict[str, Bounds]:
    """Return what is known of the metrics that rules record, each by all the rules that do."""
    rules = [rule for group in groups for rule in group.rules if isinstance(rule, RecordingRule)]
    left = Counter(rule.name for rule in rules)
    partly: dict[str, Bounds] = {}
    known: dict[str, Bounds] = {}
    for rule in rules:
        found = Reach(known).bounds(rule.expression.node)
        partly[rule.name] = partly.get(rule.name, NOTHING) | found
        left[rule.name] -= 1
        if not left[rule.name]:
            known[rule.name] = partly[rule.name]
    return known
