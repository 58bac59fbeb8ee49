"""What functions, aggregations and operators make of bounds; what is not here may make anything of them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import TypeAlias

from resilience.rules.bounds import ANY, Bounds

__all__ = ["AGGREGATIONS", "COUNT", "FROM_NOTHING", "FUNCTIONS", "OPERATORS", "POSITIVE", "UNIT"]

Narrowing: TypeAlias = Callable[..., Bounds]

POSITIVE = Bounds(low=0.0)
COUNT = Bounds(low=1.0)
"""What there is none of has no count at all."""
UNIT = Bounds(0.0, 1.0)
_ONE = Bounds(1.0, 1.0)

FROM_NOTHING = frozenset({"absent", "absent_over_time", "scalar"})
"""Functions that have a result where what they are given has none."""


def _always(found: Bounds) -> Narrowing:
    return lambda *_: found


def _same(values: Bounds, *_: Bounds) -> Bounds:
    return values


def _sum(values: Bounds, *_: Bounds) -> Bounds:
    """Of at least one value, and nobody knows how many."""
    return Bounds(values.low if values.low >= 0 else -math.inf, values.high if values.high <= 0 else math.inf)


def _whole(function: Callable[[float], int]) -> Narrowing:
    return lambda values: values.mapped(lambda end: float(function(end)) if math.isfinite(end) else end)


def _quantile(share: Bounds, values: Bounds) -> Bounds:
    return values if share.low >= 0 and share.high <= 1 else ANY


def _round(values: Bounds, *to: Bounds) -> Bounds:
    return ANY if to else _whole(lambda end: math.floor(end + 0.5))(values)


def _at_least(values: Bounds, least: Bounds) -> Bounds:
    return Bounds(max(values.low, least.low), max(values.high, least.high))


def _at_most(values: Bounds, most: Bounds) -> Bounds:
    return Bounds(min(values.low, most.low), min(values.high, most.high))


FUNCTIONS: Mapping[str, Narrowing] = {
    **dict.fromkeys(("rate", "irate", "increase", "changes", "resets"), _always(POSITIVE)),
    **dict.fromkeys(("stddev_over_time", "stdvar_over_time"), _always(POSITIVE)),
    **dict.fromkeys(("exp", "sqrt", "acosh", "time", "timestamp"), _always(POSITIVE)),
    **dict.fromkeys(("present_over_time", "absent", "absent_over_time"), _always(_ONE)),
    **dict.fromkeys(("count_over_time", "cosh"), _always(COUNT)),
    **dict.fromkeys(("sgn", "sin", "cos", "tanh"), _always(Bounds(-1.0, 1.0))),
    **dict.fromkeys(("asin", "atan"), _always(Bounds(-math.pi / 2, math.pi / 2))),
    "acos": _always(Bounds(0.0, math.pi)),
    "pi": _always(Bounds(math.pi, math.pi)),
    "histogram_fraction": _always(UNIT),
    "minute": _always(Bounds(0.0, 59.0)),
    "hour": _always(Bounds(0.0, 23.0)),
    "day_of_week": _always(Bounds(0.0, 6.0)),
    "day_of_month": _always(Bounds(1.0, 31.0)),
    "days_in_month": _always(Bounds(28.0, 31.0)),
    "day_of_year": _always(Bounds(1.0, 366.0)),
    "month": _always(Bounds(1.0, 12.0)),
    **dict.fromkeys(("avg_over_time", "min_over_time", "max_over_time"), _same),
    **dict.fromkeys(("first_over_time", "last_over_time"), _same),
    **dict.fromkeys(("label_replace", "label_join", "sort", "sort_desc", "vector", "scalar"), _same),
    "sum_over_time": _sum,
    "quantile_over_time": _quantile,
    "abs": lambda values: values if values.low >= 0 else POSITIVE,
    "ceil": _whole(math.ceil),
    "floor": _whole(math.floor),
    "round": _round,
    "deg": lambda values: values.mapped(math.degrees),
    "rad": lambda values: values.mapped(math.radians),
    "clamp_min": _at_least,
    "clamp_max": _at_most,
    # Where the least is above the most there is no result: these bounds are too wide then, not too narrow.
    "clamp": lambda values, least, most: _at_least(_at_most(values, most), least),
}
"""By name: of the bounds of all arguments."""

AGGREGATIONS: Mapping[str, Narrowing] = {
    **dict.fromkeys(("avg", "min", "max", "topk", "bottomk"), _same),
    **dict.fromkeys(("stddev", "stdvar"), _always(POSITIVE)),
    **dict.fromkeys(("count", "count_values"), _always(COUNT)),
    "group": _always(_ONE),
    "sum": _sum,
    "quantile": lambda values, share: _quantile(share, values),
}
"""By name: of the bounds of the values, and of the parameter."""

OPERATORS: Mapping[str, Narrowing] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": lambda left, right: Bounds(0.0, max(abs(right.low), abs(right.high))) if left.low >= 0 else ANY,
    "^": lambda left, _: POSITIVE if left.low >= 0 else ANY,
    "and": _same,
}
"""By sign: of the bounds of both sides."""
