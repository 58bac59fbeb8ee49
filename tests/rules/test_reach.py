"""What is said to be out of reach is: held against evaluation, on expressions and samples that hypothesis makes."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from resilience.errors import QueryError
from resilience.promql import MemorySource, Scalar, Vector, evaluate, parse
from resilience.rules.bounds import Bounds
from resilience.rules.reach import Reach

NONE, ALL, INFINITE = Bounds(1, 0), Bounds(), Bounds(math.inf, math.inf)


def test_nothing_comes_of_nothing_and_anything_of_what_is_not_known() -> None:
    for found in (NONE + ALL, ALL - NONE, NONE * Bounds(0, 1), Bounds(0, 1) / NONE, NONE.mapped(abs)):
        assert found.empty
    assert INFINITE - INFINITE == ALL
    assert Bounds(1, 2) / Bounds(-1, 1) == ALL
    assert Bounds(-1, 1).mapped(math.log) == ALL
    assert (NONE | Bounds(1, 2)) == (Bounds(1, 2) | NONE) == Bounds(1, 2)
    assert NONE.where(">", ALL).empty
    assert ALL.where(">", NONE).empty


NUMBERS = st.sampled_from(["0", "1", "2.5", "-3", "0.1", "Inf", "NaN", "1e300"])
VALUES = st.sampled_from([0.0, 1.0, -1.0, 2.5, -40.0, 1e300, 0.1, math.inf, -math.inf, math.nan])
VECTORS = st.sampled_from(["m", "n", 'm{a="1"}', 'm{a="3"}'])
RANGES = (
    *("rate", "increase", "delta", "avg_over_time", "min_over_time", "sum_over_time", "count_over_time", "changes"),
    *("resets", "stddev_over_time", "last_over_time", "present_over_time", "absent_over_time", "max_over_time"),
)  # fmt: skip
CALLS = (
    "abs",
    "ceil",
    "floor",
    "sgn",
    "sqrt",
    "exp",
    "absent",
    "round",
    "cosh",
    "acos",
    "atan",
    "hour",
    "ln",
    "rad",
)
SIGNS = (
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    ">",
    "<",
    ">=",
    "<=",
    "==",
    "!=",
    "and",
    "or",
    "unless",
    "> bool",
    "== bool",
)


def deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def filled(shape: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.tuples(*parts).map(lambda given: shape.format(*given))

    scalar = NUMBERS | inner.map("scalar({})".format)
    return st.one_of(
        filled("({} {} {})", inner, st.sampled_from(SIGNS), inner),
        filled("({} {} {})", inner, st.sampled_from(SIGNS[:12]), scalar),
        filled("({} {} {})", scalar, st.sampled_from(SIGNS[:12]), inner),
        filled("{}({})", st.sampled_from(CALLS), inner),
        filled("{}({}[3m])", st.sampled_from(RANGES), VECTORS),
        filled("{}(({})[3m:1m])", st.sampled_from(RANGES), inner),
        filled("{}({})", st.sampled_from(("sum", "avg", "min", "max", "count", "group", "stddev")), inner),
        filled("sum by (a) ({})", inner),
        filled("quantile({}, {})", NUMBERS, inner),
        filled("clamp({}, {}, {})", inner, NUMBERS, NUMBERS),
        filled("clamp_min({}, {})", inner, NUMBERS),
        filled("clamp_max({}, {})", inner, scalar),
        filled("-{}", inner),
        scalar.map("vector({})".format),
    )


EXPRESSIONS = st.recursive(VECTORS, deeper, max_leaves=6)


@settings(max_examples=600, deadline=None)
@given(EXPRESSIONS, st.lists(VALUES, min_size=16, max_size=16))
def test_no_value_lies_out_of_its_bounds_and_nothing_that_has_none_has_a_value(
    text: str, values: list[float]
) -> None:
    # A counter is not below 0 and not infinite, which the bounds of rate() and increase() take for granted.
    counts = any(name in text for name in ("rate", "increase"))
    source = MemorySource()
    for index, labels in enumerate(({"a": "1"}, {"a": "2"}, {"a": "1"}, {"a": "2"})):
        drawn = values[4 * index : 4 * index + 4]
        if counts:
            drawn = [abs(value) if math.isfinite(value) else 0.0 for value in drawn]
        source.add("mn"[index // 2], list(zip((0, 60, 120, 180), drawn, strict=True)), **labels)
    try:
        expression = parse(text)
        result = evaluate(expression, source, 180)
    except QueryError:
        return
    bounds = Reach({}).bounds(expression.node)
    assert isinstance(result, Vector | Scalar)
    found = result.values if isinstance(result, Vector) else [result.value]
    if isinstance(result, Vector) and found and not all(math.isnan(value) for value in found):
        assert not bounds.empty, (text, result)
    for value in found:
        assert math.isnan(value) or bounds.low <= value <= bounds.high, (text, value, bounds)
        assert math.isnan(value) or math.isnan(bounds.low) or value in bounds, (text, value, bounds)
