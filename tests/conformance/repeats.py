"""The same instant asked for in other ways, as Prometheus' own runner does: at another time by `@`, and in a range."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from resilience.promql import Expression
from resilience.promql.nodes import Aggregate, Binary, Call, Negation, Node, Range, Selector, Subquery, walk

__all__ = ["anchored", "varied"]

# These look at the time of evaluation itself, wherever the samples come from.
_DATES = ("days_in_month", "day_of_month", "day_of_week", "day_of_year", "hour", "minute", "month", "year")
_OF_NOW = frozenset((*_DATES, "predict_linear", "time", "timestamp"))
_DAY = 86_400.0


def anchored(node: Node, at: float) -> Node:
    """Put `@ at` to each selector and subquery that has none and stands in no subquery."""
    match node:
        case Range() | Selector() | Subquery():
            return node if node.anchor is not None else dataclasses.replace(node, anchor=at)
        case Call():
            return dataclasses.replace(node, arguments=tuple(anchored(one, at) for one in node.arguments))
        case Aggregate():
            parameter = None if node.parameter is None else anchored(node.parameter, at)
            return dataclasses.replace(node, expression=anchored(node.expression, at), parameter=parameter)
        case Negation():
            return dataclasses.replace(node, expression=anchored(node.expression, at))
        case Binary():
            return dataclasses.replace(node, left=anchored(node.left, at), right=anchored(node.right, at))
    return node


def varied(expression: Expression, at: float) -> Iterator[tuple[Expression, float]]:
    """The expression at its time, and with `@` at others, where that must come to the same."""
    yield expression, at
    if any(isinstance(node, Call) and node.function in _OF_NOW for node in walk(expression.node)):
        return
    moved = dataclasses.replace(expression, node=anchored(expression.node, at))
    for other in (at - _DAY, 0.0, at / 5, at, at * 10):
        yield moved, other
