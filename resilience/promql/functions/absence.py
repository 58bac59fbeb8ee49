"""Is there anything? `absent` and `absent_over_time`."""

from __future__ import annotations

from resilience.core.ports import Labels
from resilience.promql.functions.registry import general
from resilience.promql.labels import NAME
from resilience.promql.nodes import Call, Node, Range, Selector
from resilience.promql.scope import Closure, Scope
from resilience.promql.values import Vector

__all__: list[str] = []


def _expected(node: Node) -> Labels:
    """Return the labels that a selector's equality matchers imply.

    The order of the matchers counts, as in Prometheus (`createLabelsForAbsentFunction`): the first equality matcher of
    a label sets the label, every other matcher of that label removes it.
    """
    selector = node.selector if isinstance(node, Range) else node
    if not isinstance(selector, Selector):
        return ()
    labels: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in selector.matchers:
        if matcher.label == NAME:
            continue
        if matcher.op == "=" and matcher.label not in seen:
            seen.add(matcher.label)
            labels[matcher.label] = matcher.value
        else:
            labels.pop(matcher.label, None)
    return tuple(sorted((label, value) for label, value in labels.items() if value))


@general("absent", "vector")
def _absent(scope: Scope, call: Call) -> Closure:
    inner = scope.compile(call.arguments[0])
    labels = [_expected(call.arguments[0])]
    return lambda at: Vector((), ()) if len(inner(at)) else Vector(labels, [1.0])


@general("absent_over_time", "matrix")
def _absent_over_time(scope: Scope, call: Call) -> Closure:
    inner = scope.compile(call.arguments[0])
    labels = [_expected(call.arguments[0])]

    def run(at: float) -> Vector:
        found = any(samples.times for samples in inner(at).samples)
        return Vector((), ()) if found else Vector(labels, [1.0])

    return run
