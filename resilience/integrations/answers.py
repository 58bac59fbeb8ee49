"""What a Prometheus answers to queries, as values.

Source: Prometheus' HTTP API, https://prometheus.io/docs/prometheus/latest/querying/api/.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from resilience.core.ports import Labels
from resilience.errors import IntegrationError, QueryError
from resilience.promql import Matrix, Scalar, Series, String, Value, Vector

__all__ = ["counted", "parse", "points", "read_value", "shown", "single"]

T = TypeVar("T")

_SHOWN = 200  # characters of an answer that an error shows
_SMALL = 65_536  # bytes that are parsed on the event loop, in a millisecond
_TOLERANCE = (
    0.05  # ratio of all events by which extrapolation may take a difference of two counts out of its range
)


async def parse(body: bytes, read: Callable[[Any], T]) -> T:
    """Parse JSON without blocking the event loop.

    Args:
        body: an answer; a long one is parsed and read in a thread.
        read: makes a result of the parsed answer.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    if len(body) <= _SMALL:
        return read(json.loads(body))
    # The parser is C code that holds the interpreter's lock. Only a call of a Python function lets other threads run.
    return await asyncio.to_thread(
        lambda: read(json.loads(body, object_hook=_same, parse_float=_float, parse_int=_int))
    )


def _same(found: dict[str, Any]) -> dict[str, Any]:
    return found


def _float(text: str) -> float:
    return float(text)


def _int(text: str) -> int:
    return int(text)


def read_value(data: object) -> Value:
    """Read a result of the query API.

    Raises:
        IntegrationError: it is none.
    """
    if isinstance(data, dict) and (read := _READERS.get(str(data.get("resultType")))):
        try:
            return read(data["result"])
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise IntegrationError(f"the answer is no result of a query: {shown(data)}") from error
    raise IntegrationError(f"the answer is no result of a query: {shown(data)}")


def shown(answer: object) -> str:
    """Return an answer as an error message shows it: the beginning, in one line."""
    try:
        return " ".join(str(answer).split())[:_SHOWN]
    except (RecursionError, ValueError):  # nested too deeply, or an integer too long to print
        return type(answer).__name__


def _labels(metric: Mapping[str, str]) -> Labels:
    return tuple(sorted((str(name), str(value)) for name, value in metric.items()))


def _vector(result: list[Any]) -> Vector:
    labels = [_labels(each["metric"]) for each in result]
    return Vector(labels, [float(each["value"][1]) for each in result])


def _matrix(result: list[Any]) -> Matrix:
    series = []
    for each in result:
        times = [float(at) for at, _ in each["values"]]
        series.append(Series(_labels(each["metric"]), times, [float(value) for _, value in each["values"]]))
    return Matrix(sorted(series))


_READERS: Final[Mapping[str, Callable[[Any], Value]]] = {
    "scalar": lambda result: Scalar(float(result[1])),
    "string": lambda result: String(str(result[1])),
    "vector": _vector,
    "matrix": _matrix,
}


def points(series: Sequence[Series]) -> dict[float, float]:
    """Return the only series of a range, by time, without what is no number.

    Raises:
        QueryError: there are several.
    """
    if len(series) > 1:
        raise QueryError("a count must be one figure: put sum(...) around it")
    return {
        at: value
        for each in series
        for at, value in zip(each.times, each.values, strict=True)
        if not math.isnan(value)
    }


def single(value: Value) -> float:
    """Return the only figure of a sum, zero where there was nothing to sum.

    Raises:
        QueryError: there are several.
    """
    if isinstance(value, Scalar):
        found = value.value
    elif isinstance(value, Vector) and len(value) <= 1:
        found = value.values[0] if value.values else 0.0
    else:
        raise QueryError("a count must be one figure: put sum(...) around it")
    return 0.0 if math.isnan(found) else found


def counted(bad: float, total: float) -> tuple[float, float]:
    """Return bad and all events as counts that can be judged.

    Args:
        bad: bad events. A difference of two extrapolated counts may be slightly below zero or above the total.
        total: all events.

    Raises:
        IntegrationError: one is infinite, not a number, below zero, or there are more bad events than events.

    Example:
        >>> counted(-0.02, 100.0)
        (0.0, 100.0)
    """
    slack = max(1.0, _TOLERANCE * total)
    if not 0 <= total < math.inf or not -slack <= bad <= total + slack:
        raise IntegrationError(
            f"a count must be finite, and bad events between 0 and all of them, got {bad!r} of {total!r}"
        )
    return min(max(0.0, bad), total), total
