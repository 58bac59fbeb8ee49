"""Extreme floats in every function, aggregation and operator: a value or a QueryError, never an error of Python's."""

from __future__ import annotations

import contextlib
import itertools
import math

import pytest

from resilience.errors import QueryError
from resilience.promql import MemorySource, Vector, evaluate
from resilience.promql.functions import FUNCTIONS
from resilience.promql.nodes import Kind

VALUES = [math.inf, -math.inf, math.nan, 1e308, -1e308, 5e-324, -0.0, 1.0]
SCALARS = ["Inf", "-Inf", "NaN", "1e308", "-1e308", "5e-324", "-0.0", "9223372036854775807", "0.5", "0", "2"]
OPERANDS: dict[Kind, list[str]] = {
    "scalar": SCALARS,
    "vector": ["m", "p", "h_bucket", "vector(1e308)"],
    "matrix": ["m[30s]", "p[30s]", "p[30s:10s]", "h_bucket[30s]"],
    "string": ['"i"', '"x"', '"$1"', '".*"', '""'],
}
COMPARISONS = ("==", "!=", "<", ">", "<=", ">=")


def _source() -> MemorySource:
    source = MemorySource()
    for number, value in enumerate(VALUES):
        source.add("m", [(at, value) for at in (0, 10, 20, 30)], i=str(number))
        for bound, last in (("-1e308", 1.0), ("1e308", VALUES[number - 3]), ("+Inf", value)):
            source.add("h_bucket", [(0, 0), (30, last)], le=bound, i=str(number))
    for number, (one, other) in enumerate(itertools.product(VALUES, VALUES)):
        source.add("p", [(0, one), (10, other), (20, one), (30, other)], i=str(number))
    return source


SOURCE = _source()


def ask(text: str) -> None:
    with contextlib.suppress(QueryError):
        evaluate(text, SOURCE, 30)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_takes_extreme_values(name: str) -> None:
    function = FUNCTIONS[name]
    forms = [function.arguments[: function.least], function.arguments]
    if function.repeats is not None:
        forms.append((*function.arguments, function.repeats, function.repeats))
    for kinds in forms:
        for arguments in itertools.islice(itertools.product(*(OPERANDS[kind] for kind in kinds)), 600):
            ask(f"{name}({', '.join(arguments)})")


@pytest.mark.parametrize(
    "operator",
    ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "topk", "bottomk", "quantile"],
)
def test_an_aggregation_takes_extreme_values(operator: str) -> None:
    parameters = [f"{one}, " for one in SCALARS] if operator in {"topk", "bottomk", "quantile"} else [""]
    for parameter, operand, by in itertools.product(parameters, ("m", "p", "h_bucket"), ("", "by (i) ")):
        ask(f"{operator} {by}({parameter}{operand})")


@pytest.mark.parametrize("operator", ["+", "-", "*", "/", "%", "^", "atan2", *COMPARISONS])
def test_an_operator_takes_extreme_values(operator: str) -> None:
    word = f"{operator} bool" if operator in COMPARISONS else operator
    for one, other in itertools.product(SCALARS, SCALARS):
        ask(f"{one} {word} {other}")
    for one in SCALARS:
        ask(f"p {operator} {one}")
        ask(f"{one} {operator} p")
    ask(f"p {operator} p")


@pytest.mark.parametrize(
    "form",
    ["m offset {}", "m @ {}", "m[{}]", "sum_over_time(m[1h:{}])", "rate(m[{}:1s])", "vector({})", "-{}"],
)
def test_a_time_may_be_extreme(form: str) -> None:
    for one in SCALARS:
        ask(form.format(one))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("round(vector(2.5), Inf)", math.nan),
        ("round(vector(2.5), -Inf)", math.nan),
        ("round(vector(2.5), 0)", math.nan),
        ("round(vector(Inf), 2)", math.inf),
        ("round(vector(5), 1e308)", 0.0),
    ],
)
def test_rounding_is_gos(text: str, expected: float) -> None:
    found = evaluate(text, SOURCE, 30)
    assert isinstance(found, Vector)
    assert found.values == [pytest.approx(expected, nan_ok=True)]
