"""PromQL whose range is filled in: one text, evaluated over each window that is needed.

A template holds `{{window}}` where a query has its range. Events are counted with `increase`, so that the figures that
alerts and budgets show are events and not rates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from resilience import promql
from resilience.core import validate
from resilience.core.duration import format_duration
from resilience.core.validate import shown
from resilience.errors import ConfigError, QueryError
from resilience.promql import nodes
from resilience.promql.show import show
from resilience.signals.names import GAUGES

__all__ = [
    "WINDOW",
    "RatioParts",
    "counted",
    "metric_name",
    "not_a_counter",
    "ratio_parts",
    "summed_over_time",
    "value_template",
]

WINDOW: Final = "{{window}}"
_ANY: Final = "5m"
_PERCENT: Final = 100
_GAUGE_ENDS: Final = ("_ratio", "_percent", "_info", "_timestamp_seconds", "_celsius")
# A word in the operation of a recorded series, by the convention level:metric:operations, such as rate5m in sum_rate5m.
_RATE: Final = re.compile(r"(rate|irate|ratio|increase|delta|deriv|avg|mean|quantile|min|max|p\d)[\dmshdwy]*")
_EXAMPLE: Final = (
    'sum(rate(http_requests_total{code!~"5.."}[5m])) / sum(rate(http_requests_total[5m])), which may be'
    " multiplied by 100, or taken from 1 where it counts what is bad"
)


def counted(option: str, text: str) -> str:
    """Make a template that counts events out of what a person wrote.

    A metric without a function is taken for a counter, `rate` becomes `increase`, and what is no sum is summed.

    Args:
        option: what is read, for messages.
        text: PromQL; its range may be `{{window}}`, or any other, which is replaced.

    Raises:
        ConfigError: it is no PromQL, or nothing in it counts within one window.

    Example:
        >>> counted("total", 'http_requests_total{service="shop"}')
        'sum(increase(http_requests_total{service="shop"}[{{window}}]))'
    """
    return _count(option, _parse(option, text))


def summed_over_time(option: str, text: str) -> str:
    """Return PromQL that sums a gauge over time; a query with a range stays as it is.

    Args:
        option: name of the option, for messages.
        text: PromQL.

    Raises:
        ConfigError: the text is not PromQL.

    Example:
        >>> summed_over_time("total", "clients")
        'sum(sum_over_time(clients[{{window}}]))'
        >>> summed_over_time("total", "sum(clients)")
        'sum_over_time((sum(clients))[{{window}}:])'
    """
    node = _parse(option, text)
    if any(_outer_ranges(node)):
        return text
    if isinstance(node, nodes.Selector):
        return f"sum(sum_over_time({show(node)}[{WINDOW}]))"
    return f"sum_over_time(({show(node)})[{WINDOW}:])"


def metric_name(node: nodes.Selector) -> str | None:
    """Return the name of the metric that a selector reads, None if it does not name one."""
    return next((each.value for each in node.matchers if each.label == "__name__" and each.op == "="), None)


def value_template(option: str, text: str) -> str:
    """Make a template of an expression that is compared with a threshold.

    Raises:
        ConfigError: it is no PromQL.
    """
    node = _parse(option, text)
    return show(node, window=WINDOW)


@dataclass(frozen=True, slots=True)
class RatioParts:
    """A ratio taken apart: templates of all events, and of the good or the bad ones."""

    total: str
    good: str | None = None
    bad: str | None = None


def ratio_parts(option: str, text: str) -> RatioParts:
    """Take a ratio of good events to all apart.

    Args:
        option: what is read, for messages.
        text: PromQL: `good / total`, `1 - bad / total`, or `1 - (1 - good / total)`; a factor of 100 is recognised.

    Raises:
        ConfigError: it is of another shape; says what it may be.

    Example:
        >>> ratio_parts("query", "(sum(rate(ok[5m])) / sum(rate(all[5m]))) * 100").good
        'sum(increase(ok[{{window}}]))'
    """
    node, part = _unscaled(_parse(option, text)), "good"
    while isinstance(node, nodes.Binary) and node.operator == "-" and _is_number(node.left, 1):
        node, part = _unscaled(node.right), "bad" if part == "good" else "good"
    counted_part, total = _quotient(option, text, node)
    return RatioParts(_count(option, total), **{part: _count(option, counted_part)})


def _is_number(node: nodes.Node, value: float) -> bool:
    return isinstance(node, nodes.Number) and node.value == value


def _parse(option: str, text: str) -> nodes.Node:
    try:
        expression = promql.parse(validate.text(option, text).replace(WINDOW, _ANY))
    except QueryError as error:
        message = f"{option} must be PromQL: {error}"
        raise ConfigError(message) from error
    windows = {node.window for node in _outer_ranges(expression.node)}
    if len(windows) > 1:
        shown = ", ".join(format_duration(window) for window in sorted(windows))
        message = f"{option} must have one range, which is replaced by each window needed, got {shown}"
        raise ConfigError(message)
    return expression.node


def _unscaled(node: nodes.Node) -> nodes.Node:
    """Take a factor of 100 out: of the whole, of the numerator, or of `100 - 100 * bad / total`."""
    match node:
        case nodes.Binary(operator="*", left=left, right=nodes.Number(value=value)) if value == _PERCENT:
            return _unscaled(left)
        case nodes.Binary(operator="*", left=nodes.Number(value=value), right=right) if value == _PERCENT:
            return _unscaled(right)
        case nodes.Binary(operator="/", left=left, right=right) if (inner := _unscaled(left)) != left:
            return replace(node, left=inner, right=right)
        case nodes.Binary(operator="-", left=nodes.Number(value=value, position=at), right=right) if (
            value == _PERCENT and (inner := _unscaled(right)) != right
        ):
            return replace(node, left=nodes.Number(1.0, at), right=inner)
    return node


def _quotient(option: str, text: str, node: nodes.Node) -> tuple[nodes.Node, nodes.Node]:
    match _unscaled(node):
        case nodes.Binary(operator="/", left=left, right=right) if left.kind == right.kind == "vector":
            return left, right
    message = f"{option} must be a ratio of two counts, such as {_EXAMPLE}; got {shown(text)}"
    raise ConfigError(message)


def _count(option: str, node: nodes.Node) -> str:
    counting = _as_count(option, node)
    functions = [each.function for each in nodes.walk(counting) if isinstance(each, nodes.Call)]
    if not any(_outer_ranges(counting)) or "irate" in functions:
        message = f"{option} must count events within a window, such as {_EXAMPLE}; got {show(node)!r}"
        raise ConfigError(message)
    if not (
        isinstance(counting, nodes.Aggregate)
        and counting.operator == "sum"
        and counting.by
        and not counting.labels
    ):
        counting = nodes.Aggregate("sum", counting, None, by=True, labels=frozenset(), position=0)
    return show(counting, window=WINDOW)


def _as_count(option: str, node: nodes.Node) -> nodes.Node:
    match node:
        case nodes.Selector(offset=offset):
            _check_counter(option, node)
            ranged = nodes.Range(replace(node, offset=0.0), 1.0, node.position, offset, node.anchor)
            return nodes.Call("increase", (ranged,), node.position, "vector")
        case nodes.Call(function="rate" | "increase", arguments=(nodes.Range(selector=selector),)):
            _check_counter(option, selector)
            return replace(node, function="increase")
        case nodes.Call(function="rate"):
            return replace(node, function="increase")
        case nodes.Aggregate() | nodes.Negation():
            return replace(node, expression=_as_count(option, node.expression))
        case nodes.Binary():
            return replace(node, left=_as_count(option, node.left), right=_as_count(option, node.right))
    return node


def _outer_ranges(node: nodes.Node) -> Iterator[nodes.Range | nodes.Subquery]:
    """Yield the ranges that each window replaces: those within a subquery keep their own."""
    if isinstance(node, nodes.Range | nodes.Subquery):
        yield node
        return
    for child in nodes.children(node):
        yield from _outer_ranges(child)


def _check_counter(option: str, node: nodes.Selector) -> None:
    name = metric_name(node) or ""
    if name in GAUGES or name.endswith(_GAUGE_ENDS):
        raise not_a_counter(option, "a gauge", node)
    *levels, operation = name.split(":")
    if levels and any(map(_RATE.fullmatch, operation.split("_"))):
        raise not_a_counter(option, "a recorded rate", node)


def not_a_counter(option: str, kind: str, node: nodes.Selector) -> ConfigError:
    """Make the error for a metric whose increase counts nothing."""
    name = metric_name(node)
    return ConfigError(
        f"{option} must count events, and {name} is {kind}, not a counter: write the rate of the counters themselves,"
        f" or sum it over time as sum_over_time({show(node)}[{WINDOW}])"
    )
