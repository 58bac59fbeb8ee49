"""The calendar, in UTC."""

from __future__ import annotations

import calendar
import datetime as dt
import math
from collections.abc import Callable

from resilience.promql.functions.registry import general
from resilience.promql.nodes import Call
from resilience.promql.scope import Closure, Scope
from resilience.promql.values import Vector

__all__: list[str] = []

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _date(
    name: str,
) -> Callable[[Callable[[dt.datetime], float]], Callable[[dt.datetime], float]]:
    """Register a function of Unix times, of the time of evaluation when none is given."""

    def register(function: Callable[[dt.datetime], float]) -> Callable[[dt.datetime], float]:
        def part(seconds: float) -> float:
            try:
                return float(function(_EPOCH + dt.timedelta(seconds=math.trunc(seconds))))
            except (OverflowError, ValueError):
                return math.nan

        def build(scope: Scope, call: Call) -> Closure:
            if not call.arguments:
                labels = [()]
                return lambda at: Vector(labels, [part(at + scope.source.epoch)])
            inner = scope.compile(call.arguments[0])

            def run(at: float) -> Vector:
                vector = inner(at)
                return Vector(vector.labels, [part(value) for value in vector.values], drop=True)

            return run

        general(name, "vector", least=0)(build)
        return function

    return register


@_date("minute")
def _minute(date: dt.datetime) -> float:
    return date.minute


@_date("hour")
def _hour(date: dt.datetime) -> float:
    return date.hour


@_date("day_of_week")
def _day_of_week(date: dt.datetime) -> float:
    """Sunday is 0."""
    return date.isoweekday() % 7


@_date("day_of_month")
def _day_of_month(date: dt.datetime) -> float:
    return date.day


@_date("day_of_year")
def _day_of_year(date: dt.datetime) -> float:
    return date.timetuple().tm_yday


@_date("days_in_month")
def _days_in_month(date: dt.datetime) -> float:
    return calendar.monthrange(date.year, date.month)[1]


@_date("month")
def _month(date: dt.datetime) -> float:
    return date.month


@_date("year")
def _year(date: dt.datetime) -> float:
    return date.year
