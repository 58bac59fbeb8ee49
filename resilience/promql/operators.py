"""Arithmetic and comparison of two floats, as Go does it: nothing raises."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

__all__ = ["ARITHMETIC", "COMPARISONS", "SET_OPERATORS"]


def _divide(left: float, right: float) -> float:
    if right:
        return left / right
    if left == 0 or math.isnan(left) or math.isnan(right):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def _modulo(left: float, right: float) -> float:
    try:
        return math.fmod(left, right)
    except ValueError:
        return math.nan


def _power(left: float, right: float) -> float:
    try:
        return math.pow(left, right)
    except OverflowError:
        return -math.inf if left < 0 and math.fmod(right, 2) else math.inf
    except ValueError:
        if left:
            return math.nan
        # A negative power of zero: the sign of zero shows in odd powers alone.
        return math.copysign(math.inf, left) if abs(math.fmod(right, 2)) == 1 else math.inf


ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": _modulo,
    "^": _power,
    "atan2": math.atan2,
}

SET_OPERATORS: frozenset[str] = frozenset({"and", "or", "unless"})

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
