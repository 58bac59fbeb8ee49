from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.promql import MemorySource, Vector, evaluate
from resilience.promql.functions.histogram import _quantile
from resilience.promql.goformat import format_float
from resilience.promql.operators import ARITHMETIC
from resilience.promql.sums import kahan_add, mean, quantile, total, variance

finite = st.floats(-1e9, 1e9)
anything = st.floats()


@given(st.lists(finite, min_size=1))
def test_sums_means_and_variances_are_those_of_the_textbook(values: list[float]) -> None:
    assert total(values) == pytest.approx(math.fsum(values))
    assert mean(values) == pytest.approx(statistics.fmean(values))
    assert variance(values) == pytest.approx(statistics.pvariance(values), rel=1e-6, abs=1e-6)


def test_a_mean_survives_where_the_sum_overflows() -> None:
    assert mean([1.7e308, 1.7e308]) == pytest.approx(1.7e308)
    assert mean([-1.7e308, 1.7e308, 1.7e308, -1.7e308]) == pytest.approx(0, abs=1e295)
    assert total([1.7e308, 1.7e308]) == math.inf


def test_infinities_of_both_signs_come_to_nothing() -> None:
    assert math.isnan(total([math.inf, -math.inf]))
    assert math.isnan(mean([math.inf, -math.inf]))
    assert mean([math.inf, 1, 1e308, 1e308]) == math.inf
    assert mean([1e308, 1e308, math.inf, 3]) == math.inf


def test_compensated_sums_keep_small_parts() -> None:
    result = lost = 0.0
    for value in (1e100, 1.0, -1e100):
        result, lost = kahan_add(value, result, lost)
    assert result + lost == total([1e100, 1.0, -1e100]) == total([1.0, 1e100, -1e100]) == 1.0


@given(st.lists(finite, min_size=1), st.floats(0, 1))
def test_quantiles_lie_between_the_extremes(values: list[float], share: float) -> None:
    assert min(values) - 1e-6 <= quantile(share, values) <= max(values) + 1e-6


@given(st.sampled_from(sorted(ARITHMETIC)), anything, anything)
def test_arithmetic_never_raises(operator: str, left: float, right: float) -> None:
    assert isinstance(ARITHMETIC[operator](left, right), float)


@pytest.mark.parametrize(
    ("operator", "left", "right", "result"),
    [
        ("/", 1, 0.0, math.inf),
        ("/", 1, -0.0, -math.inf),
        ("/", 0.0, 0.0, math.nan),
        ("%", 7, 0, math.nan),
        ("%", -7, 3, -1),
        ("^", -8, 1 / 3, math.nan),
        ("^", 0.0, -1, math.inf),
        ("^", -0.0, -1, -math.inf),
        ("^", -0.0, -2, math.inf),
        ("^", 10, 400, math.inf),
        ("^", -10, 401, -math.inf),
        ("^", -10, 400, math.inf),
    ],
)
def test_arithmetic_is_that_of_go(operator: str, left: float, right: float, result: float) -> None:
    assert ARITHMETIC[operator](left, right) == pytest.approx(result, nan_ok=True)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_written_numbers_read_back_and_have_no_exponent(value: float) -> None:
    written = format_float(value)
    assert float(written) == value
    assert "e" not in written.lower()


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=12), st.floats(0, 1))
def test_histogram_quantiles_lie_within_the_buckets(counts: list[float], share: float) -> None:
    buckets = [(float(bound), sum(counts[: bound + 1])) for bound in range(len(counts))]
    buckets[-1] = (math.inf, buckets[-1][1])
    result = _quantile(share, buckets)
    assert math.isnan(result) or 0 <= result <= len(counts) - 2


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=30), st.integers(1, 40))
def test_an_increase_counts_every_growth_and_extrapolates_at_most_an_interval_at_each_end(
    steps: list[float], window: int
) -> None:
    source = MemorySource()
    values = [sum(steps[: index + 1]) for index in range(len(steps))]
    source.add("c_total", [(index, value) for index, value in enumerate(values)])
    result = evaluate(f"increase(c_total[{window}s])", source, len(steps) - 1)
    assert isinstance(result, Vector)
    seen = values[-window:]
    if len(seen) < 2:
        assert not result.values
    else:
        growth = seen[-1] - seen[0]
        assert growth * (1 - 1e-9) <= result.values[0] <= growth * (1 + 1.1 / (len(seen) - 1)) * (1 + 1e-9)
