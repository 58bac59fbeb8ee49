"""Warm-up after a restart: the time until an empty result proves that an alert has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from resilience.core.matchers import predicate
from resilience.core.ports import Labels, Matcher
from resilience.promql import nodes
from resilience.promql.labels import NAME
from resilience.rules.data_presence import LabelIndex
from resilience.rules.model import RecordingRule, Rule

__all__ = ["EndProof", "Recording", "WarmUp"]

Recording: TypeAlias = tuple[RecordingRule, float]
"""A recording rule, and the seconds by which its series may trail what the rule reads."""

_HasResult: TypeAlias = Callable[[nodes.Node], bool]

# Series of the evaluator itself, which no recording rule explains.
_ALERT_SERIES = frozenset({"ALERTS", "ALERTS_FOR_STATE"})


class WarmUp:
    """Warm-up times of expressions, followed through recorded series to the windows that they read.

    A window that began with the process reports too little until the window is full. A recorded series reports too
    little for as long as the expression that is recorded.

    Args:
        recordings: the recording rules that are evaluated, in any order.
        lookback: seconds to assume where the windows behind a series are unknown.

    Example:
        >>> from resilience.promql import parse
        >>> rate = RecordingRule("job:errors:rate5m", "sum by (job) (rate(errors_total[5m]))")
        >>> warm_up = WarmUp([(rate, 60.0)], 300.0)
        >>> [warm_up.seconds(parse(text).node) for text in ("up", "job:errors:rate5m > 1", "job:unknown")]
        [0.0, 360.0, 300.0]
    """

    def __init__(self, recordings: Iterable[Recording], lookback: float) -> None:
        self._lookback = lookback
        self._recordings: dict[str, list[Recording]] = {}
        for recording in recordings:
            self._recordings.setdefault(recording[0].name, []).append(recording)

    def of(self, rule: Rule) -> float:
        """Return the longest warm-up of a rule, in seconds; 0 for a Python condition, which reads no windows."""
        return 0.0 if rule.expression is None else self.seconds(rule.expression.node)

    def seconds(self, node: nodes.Node, has_result: Callable[[nodes.Node], bool] | None = None) -> float:
        """Return the seconds after a restart until the result of an expression can be trusted.

        Args:
            node: the expression.
            has_result: tells if an expression has a result now. While the left side of an `or` has one, the right
                side does not matter. Without it, both sides count.
        """
        return self._of_node(node, has_result, {})

    def _of_node(self, node: nodes.Node, has_result: _HasResult | None, known: dict[int, float]) -> float:
        match node:
            case nodes.Selector():
                return max(0.0, node.offset) + self._of_series(node, has_result, known)
            case nodes.Range():
                selector = replace(node.selector, anchor=node.anchor)
                return max(0.0, node.window + node.offset) + self._of_series(selector, has_result, known)
            case nodes.Subquery():
                inner = self._of_node(node.expression, has_result, known)
                return max(0.0, node.window + node.offset) + inner
            case nodes.Binary(operator="or"):
                left = self._of_node(node.left, has_result, known)
                if has_result is not None and has_result(node.left):
                    return left
                return max(left, self._of_node(node.right, has_result, known))
        return max((self._of_node(child, has_result, known) for child in nodes.children(node)), default=0.0)

    def _of_series(
        self, selector: nodes.Selector, has_result: _HasResult | None, known: dict[int, float]
    ) -> float:
        found = [self._lookback] if selector.anchor is not None else []
        name = next((one.value for one in selector.matchers if one.label == NAME and one.op == "="), None)
        for rule, delay in self._behind(name, selector.matchers):
            if id(rule) not in known:
                known[id(rule)] = self._lookback  # for a rule that reads what the rule itself records
                known[id(rule)] = delay + self._of_node(rule.expression.node, has_result, known)
            found.append(known[id(rule)])
        # A colon in a name is Prometheus' convention for a series that some rule records.
        if name is None or name in _ALERT_SERIES or (":" in name and not found):
            found.append(self._lookback)
        return max(found, default=0.0)

    def _behind(self, name: str | None, matchers: Sequence[Matcher]) -> Iterator[Recording]:
        """Find the recording rules whose series a selector can mean."""
        tests = [(one.label, predicate(one)) for one in matchers]
        named = self._recordings.values() if name is None else (self._recordings.get(name, ()),)
        for rule, delay in (recording for recordings in named for recording in recordings):
            labels = {**rule.labels, NAME: rule.name}
            if all(test(labels[label]) for label, test in tests if label in labels):
                yield rule, delay


class EndProof:
    """Proof that an element of an expression has ended, from the parts of the expression that have warmed up.

    Args:
        warm_up: the warm-up times.
        node: the expression.
        evaluate: evaluates an expression at the time of the evaluation and returns the label sets of its result.
        offset: seconds by which the evaluation looks back.
    """

    def __init__(
        self,
        warm_up: WarmUp,
        node: nodes.Node,
        evaluate: Callable[[nodes.Node], Sequence[Labels]],
        *,
        offset: float = 0.0,
    ) -> None:
        self._warm_up = warm_up
        self._node = node
        self._evaluate = evaluate
        self._offset = offset
        self._results: dict[int, LabelIndex] = {}
        self._seconds: dict[int, float] = {}

    def __call__(self, labels: Mapping[str, str], observed: float) -> bool:
        """Return True if it is proven that the element with these labels has ended.

        One side of an `and` is enough, so that a multiwindow alert ends with its short window.

        Args:
            labels: the labels of the element.
            observed: seconds for which windows have been filling up.
        """
        return self._ended(self._node, labels, observed - self._offset)

    def _ended(self, node: nodes.Node, labels: Mapping[str, str], observed: float) -> bool:
        if isinstance(node, nodes.Binary) and node.operator in {"and", "or", "unless"}:
            shared = {
                name: value
                for name, value in labels.items()
                if (name in node.matching.labels) == node.matching.on
            }
            left = self._ended(node.left, labels, observed)
            if node.operator == "and":
                return left or self._ended(node.right, shared, observed)
            if node.operator == "or":
                return left and self._ended(node.right, shared, observed)
            return left or self._result(node.right).agrees(shared)
        if id(node) not in self._seconds:
            self._seconds[id(node)] = self._warm_up.seconds(node, lambda one: bool(self._result(one)))
        return observed >= self._seconds[id(node)] and not self._result(node).agrees(labels)

    def _result(self, node: nodes.Node) -> LabelIndex:
        result = self._results.get(id(node))
        if result is None:
            result = self._results[id(node)] = LabelIndex(self._evaluate(node))
        return result
