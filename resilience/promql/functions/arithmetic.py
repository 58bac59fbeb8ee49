"""Functions of single values: rounding, powers, trigonometry. What Go answers with NaN or Inf raises in Python."""

from __future__ import annotations

import math
from collections.abc import Callable

from resilience.promql.functions.registry import elementwise, general
from resilience.promql.nodes import Call
from resilience.promql.operators import ARITHMETIC
from resilience.promql.scope import Closure, Scope
from resilience.promql.values import Vector

__all__: list[str] = []


def _total(function: Callable[[float], float]) -> Callable[[float], float]:
    """Make a function of `math` total: NaN where it is not defined."""

    def total(value: float) -> float:
        try:
            return function(value)
        except ValueError:
            return math.nan

    return total


for _name, _function in {
    "abs": math.fabs,
    "acos": math.acos,
    "acosh": math.acosh,
    "asin": math.asin,
    "asinh": math.asinh,
    "atan": math.atan,
    "cos": math.cos,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
    "tanh": math.tanh,
}.items():
    elementwise(_name)(_total(_function))


@elementwise("deg")
def _deg(value: float) -> float:
    return value * 180 / math.pi  # in this order, because `math.degrees` differs in the last digit


@elementwise("rad")
def _rad(value: float) -> float:
    return value * math.pi / 180


@elementwise("atanh")
def _atanh(value: float) -> float:
    return math.copysign(math.inf, value) if abs(value) == 1 else _total(math.atanh)(value)


@elementwise("ceil")
def _ceil(value: float) -> float:
    return float(math.ceil(value)) if math.isfinite(value) else value


@elementwise("floor")
def _floor(value: float) -> float:
    return float(math.floor(value)) if math.isfinite(value) else value


@elementwise("exp")
def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


@elementwise("cosh")
def _cosh(value: float) -> float:
    try:
        return math.cosh(value)
    except OverflowError:
        return math.inf


@elementwise("sinh")
def _sinh(value: float) -> float:
    try:
        return math.sinh(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def _logarithm(function: Callable[[float], float]) -> Callable[[float], float]:
    return lambda value: -math.inf if value == 0 else _total(function)(value)


elementwise("ln")(_logarithm(math.log))
elementwise("log2")(_logarithm(math.log2))
elementwise("log10")(_logarithm(math.log10))


@elementwise("sgn")
def _sgn(value: float) -> float:
    return math.copysign(1.0, value) if value < 0 or value > 0 else value


@elementwise("round", "scalar", least=0)
def _round(value: float, nearest: float = 1.0) -> float:
    # Prometheus multiplies by the inverse: rounding to 0.1 is exacter that way.
    inverse = ARITHMETIC["/"](1.0, nearest)
    return ARITHMETIC["/"](_floor(value * inverse + 0.5), inverse)


def _least(one: float, other: float) -> float:
    return math.nan if math.isnan(one) or math.isnan(other) else min(one, other)


def _greatest(one: float, other: float) -> float:
    return math.nan if math.isnan(one) or math.isnan(other) else max(one, other)


elementwise("clamp_max", "scalar")(_least)
elementwise("clamp_min", "scalar")(_greatest)


@general("clamp", "vector", "scalar", "scalar")
def _clamp(scope: Scope, call: Call) -> Closure:
    vector, low, high = map(scope.compile, call.arguments)

    def run(at: float) -> Vector:
        elements, least, most = vector(at), low(at), high(at)
        if most < least:
            return Vector((), ())
        values = [_greatest(least, _least(most, value)) for value in elements.values]
        return Vector(elements.labels, values, drop=True)

    return run
