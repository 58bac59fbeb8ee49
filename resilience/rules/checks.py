"""What a rule file gets wrong although it loads: findings with their place."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from resilience.promql import nodes
from resilience.rules.model import AlertRule, RecordingRule, Rule, RuleGroup
from resilience.rules.template import Template

__all__ = ["Finding", "Severity", "check"]


class Severity(Enum):
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
_SETTINGS = frozenset({"resilience_no_data", "resilience_no_data_grace"})


def check(groups: Iterable[RuleGroup], *, metrics: Collection[str] | None = None) -> list[Finding]:
    """Look for what loads and yet is wrong.

    Args:
        groups: what to look at; names that their rules record are known.
        metrics: names of the metrics that exist, or None to leave names alone.

    Returns:
        findings in the order of the rules.

    Example:
        >>> rule = AlertRule("Burn", "errors:ratio > 14.4 * 0.1", severity="page", annotations={"summary": "!"})
        >>> [finding.message for finding in check([RuleGroup("slo", (rule,))])]
        ['never true: errors:ratio is a ratio of at most 1, and the threshold is 1.44']
    """
    listed = list(groups)
    known = None if metrics is None else {*metrics, *_BUILT_IN, *_recorded(listed)}
    findings: list[Finding] = []
    for group in listed:
        seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        for rule in group.rules:
            found = [*_names(rule, known), *_kind(rule), *_thresholds(rule), *_alerting(rule)]
            identity = (rule.name, tuple(rule.labels.items()))
            if identity in seen:
                found.append((Severity.WARNING, "another rule of this group has the same name and labels"))
            seen.add(identity)
            findings.extend(
                Finding(severity, message, rule.name, group.name, group.file, rule.line)
                for severity, message in found
            )
    return findings


def _recorded(groups: Iterable[RuleGroup]) -> set[str]:
    return {rule.name for group in groups for rule in group.rules if isinstance(rule, RecordingRule)}


def _names(rule: Rule, known: Collection[str] | None) -> Found:
    if rule.expression is None or known is None:
        return
    for name in sorted({use.name for use in rule.expression.selectors if use.name} - set(known)):
        yield Severity.WARNING, f"unknown metric {name}"


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


_FOLDED: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_MIRRORED = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "==", "!=": "!="}


def _thresholds(rule: Rule) -> Found:
    if rule.expression is None:
        return
    for node in _walk(rule.expression.node):
        if not isinstance(node, nodes.Binary) or node.operator not in _MIRRORED:
            continue
        left, right = _constant(node.left), _constant(node.right)
        if right is not None and left is None:
            yield from _comparison(node.left, node.operator, right)
        elif left is not None and right is None:
            yield from _comparison(node.right, _MIRRORED[node.operator], left)


def _comparison(side: nodes.Node, sign: str, threshold: float) -> Found:
    what = _ratio(side)
    if what is None:
        return
    low, high = 0.0, 1.0
    never = {
        ">": threshold >= high,
        ">=": threshold > high,
        "==": not low <= threshold <= high,
        "<": threshold <= low and not what.signed,
        "<=": threshold < low and not what.signed,
    }
    always = {">=": threshold <= low and not what.signed, "<": threshold > high, "<=": threshold >= high}
    if never.get(sign):
        bound = "at most 1" if threshold >= high else "at least 0"
        yield (
            Severity.ERROR,
            f"never true: {what.name} is a ratio of {bound}, and the threshold is {threshold:.6g}",
        )
    elif always.get(sign):
        yield Severity.ERROR, f"always true: {what.name} is a ratio, and the threshold is {threshold:.6g}"


def _walk(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in nodes.children(node):
        yield from _walk(child)


def _constant(node: nodes.Node) -> float | None:
    """Work out an expression of numbers alone."""
    match node:
        case nodes.Number():
            return node.value
        case nodes.Negation():
            value = _constant(node.expression)
            return None if value is None else -value
        case nodes.Binary():
            left, right = _constant(node.left), _constant(node.right)
            fold = _FOLDED.get(node.operator)
            if left is None or right is None or fold is None or (node.operator == "/" and right == 0):
                return None
            return fold(left, right)
    return None


@dataclass(frozen=True, slots=True)
class _Ratio:
    """Something that is at most 1; `signed` says that it may be below 0."""

    name: str
    signed: bool = False


def _ratio(node: nodes.Node) -> _Ratio | None:
    """Say whether an expression is a ratio, by its form or by what a recorded one is called."""
    match node:
        case nodes.Selector():
            name = next((matcher.value for matcher in node.matchers if matcher.label == "__name__"), "")
            if "ratio" in name.replace(":", "_").split("_"):
                return _Ratio(name, signed="budget" in name)
        case nodes.Binary(operator="/"):
            if _part_of(node.left, node.right):
                return _Ratio("the quotient")
        case nodes.Binary(operator="-"):
            if _constant(node.left) == 1 and (inner := _ratio(node.right)) is not None and not inner.signed:
                return _Ratio(f"1 - {inner.name}")
        case nodes.Aggregate(operator="avg" | "min" | "max"):
            return _ratio(node.expression)
    return None


def _part_of(part: nodes.Node, whole: nodes.Node) -> bool:
    """Whether `part` counts some of what `whole` counts: the same expression with more matchers in it."""
    if isinstance(part, nodes.Selector) and isinstance(whole, nodes.Selector):
        same = (part.offset, part.anchor) == (whole.offset, whole.anchor)
        return same and set(whole.matchers) <= set(part.matchers)
    match part, whole:
        case nodes.Range(), nodes.Range():
            return part.window == whole.window and _part_of(part.selector, whole.selector)
        case nodes.Call(), nodes.Call():
            counting = part.function in ("rate", "increase", "sum_over_time", "count_over_time")
            same = part.function == whole.function and len(part.arguments) == len(whole.arguments) == 1
            return counting and same and _part_of(part.arguments[0], whole.arguments[0])
        case nodes.Aggregate(), nodes.Aggregate():
            same = (part.operator, part.by, part.labels) == (whole.operator, whole.by, whole.labels)
            return part.operator in ("sum", "count") and same and _part_of(part.expression, whole.expression)
    return False
