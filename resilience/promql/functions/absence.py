"""Is there anything? `absent` and `absent_over_time`."""

from __future__ import annotations

from collections import Counter

from resilience.core.ports import Labels
from resilience.promql.functions.registry import general
from resilience.promql.labels import NAME
from resilience.promql.nodes import Call, Node, Range, Selector
from resilience.promql.scope import Closure, Scope
from resilience.promql.values import Vector

__all__: list[str] = []


def _expected(node: Node) -> Labels:
    """The labels that a selector's equalities ask for, each asked for once."""
    selector = node.selector if isinstance(node, Range) else node
    if not isinstance(selector, Selector):
        return ()
    asked = Counter(matcher.label for matcher in selector.matchers)
    return tuple(
        sorted(
            (matcher.label, matcher.value)
            for matcher in selector.matchers
            if matcher.op == "=" and matcher.value and matcher.label != NAME and asked[matcher.label] == 1
        )
    )


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
