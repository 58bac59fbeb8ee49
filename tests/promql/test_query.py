from __future__ import annotations

import math

import pytest

from resilience.errors import ConfigError, QueryError
from resilience.promql import (
    STALE,
    Engine,
    Matrix,
    MemorySource,
    Scalar,
    Series,
    String,
    Vector,
    compile,  # noqa: A004  its name
    evaluate,
    evaluate_range,
    parse,
    scope,
)


@pytest.fixture
def source() -> MemorySource:
    memory = MemorySource()
    memory.add("requests_total", [(at, at) for at in range(0, 601, 15)], job="api")
    memory.add("requests_total", [(at, 2 * at) for at in range(0, 601, 15)], job="web")
    return memory


def test_each_kind_of_value(source: MemorySource) -> None:
    assert evaluate("1 + 1", source, 0) == Scalar(2.0)
    assert evaluate("'a'", source, 0) == String("a")
    assert evaluate("sum(requests_total)", source, 600) == Vector([()], [1800.0])
    assert evaluate("requests_total{job='api'}[30s]", source, 60) == Matrix(
        [Series((("__name__", "requests_total"), ("job", "api")), [45, 60], [45.0, 60.0])]
    )


def test_results_have_their_names_dropped(source: MemorySource) -> None:
    result = evaluate("rate(requests_total[1m])", source, 600)
    assert isinstance(result, Vector)
    assert result.labels == [(("job", "api"),), (("job", "web"),)]
    # Prometheus' order of operations: 45 * (((45 + 15) / 45) / 60).
    assert result.values == [0.9999999999999999, 1.9999999999999998]


def test_windows_are_left_open_in_3_and_closed_in_2(source: MemorySource) -> None:
    expression = "count_over_time(requests_total{job='api'}[1m])"
    assert evaluate(expression, source, 60) == Vector([(("job", "api"),)], [4.0])
    assert evaluate(expression, source, 60, semantics=2) == Vector([(("job", "api"),)], [5.0])


def test_lookback_ends_at_five_minutes_in_3_and_just_after_in_2() -> None:
    source = MemorySource()
    source.add("up", [(0, 1)])
    assert evaluate("up", source, 299.9) == Vector([(("__name__", "up"),)], [1.0])
    assert evaluate("up", source, 300) == Vector([], [])
    assert evaluate("up", source, 300, semantics=2) == Vector([(("__name__", "up"),)], [1.0])
    assert evaluate("up", source, 300.1, semantics=2) == Vector([], [])
    assert evaluate("up", source, 30, lookback=20) == Vector([], [])


def test_names_are_dropped_in_each_function_unless_their_removal_is_delayed() -> None:
    source = MemorySource()
    source.add("a_total", [(0, 0), (60, 60)])
    source.add("b_total", [(0, 0), (60, 120)])
    both = "rate({__name__=~'a_total|b_total'}[2m])"
    renamed = f"label_replace({both}, 'n', '$1', '__name__', '(.*)')"
    assert len(evaluate(renamed, source, 60, delayed_name_removal=True)) == 2  # type: ignore[arg-type]
    for semantics in (2, 3):
        with pytest.raises(QueryError, match="same labelset"):
            evaluate(renamed, source, 60, semantics=semantics)


def test_subqueries_step_on_multiples_in_unix_time_whatever_the_epoch() -> None:
    # Unix time 1,000,003 is this source's 0.
    source = MemorySource(epoch=1_000_003)
    source.add("up", [(at, at) for at in range(100)])
    result = evaluate("up[20s:10s]", source, 50)
    assert isinstance(result, Matrix)
    assert result.series[0].times == [37.0, 47.0]
    assert evaluate("time()", source, 50) == Scalar(1_000_053.0)
    assert evaluate("up @ 1000013", source, 50) == Vector([(("__name__", "up"),)], [10.0])
    assert evaluate("timestamp(up)", source, 50) == Vector([()], [1_000_053.0])


def test_tenths_of_seconds_find_their_samples() -> None:
    source = MemorySource()
    source.add("up", [(index / 10, index) for index in range(40)])
    assert evaluate("up offset 300ms", source, 2.3) == Vector([(("__name__", "up"),)], [20.0])
    assert evaluate("count_over_time(up[300ms])", source, 2.3) == Vector([()], [3.0])
    assert evaluate("count_over_time(up[1s:100ms])", source, 3.3) == Vector([()], [10.0])


def test_a_range_is_evaluated_at_its_steps(source: MemorySource) -> None:
    series = evaluate_range("requests_total{job='api'} > 30", source, 0, 60, 15)
    assert series == [Series((("__name__", "requests_total"), ("job", "api")), [45.0, 60.0], [45.0, 60.0])]
    assert evaluate_range("1", source, 0, 0.3, 0.1) == [Series((), [0.0, 0.1, 0.2, 0.3], [1.0] * 4)]


def test_start_and_end_are_the_bounds_of_the_range(source: MemorySource) -> None:
    (series,) = evaluate_range(
        "requests_total{job='api'} @ end() - requests_total @ start()", source, 15, 60, 15
    )
    assert series.values == [45.0] * 4
    (series,) = evaluate_range("sum_over_time(vector(1)[30s:15s] @ end())", source, 15, 60, 15)
    assert series.values == [2.0] * 4


def test_a_range_of_a_string_or_a_matrix_is_refused(source: MemorySource) -> None:
    for text in ("'a'", "requests_total[5m]"):
        with pytest.raises(QueryError, match="needs a scalar or a vector"):
            evaluate_range(text, source, 0, 60, 15)


def test_steps_and_samples_are_bounded(source: MemorySource, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(QueryError, match="11002 steps"):
        evaluate_range("1", source, 0, 11_001, 1)
    with pytest.raises(QueryError, match="at most 11000"):
        evaluate_range("1", source, 0, 1e9, 1e-320)
    with pytest.raises(QueryError, match="at most 1000000"):
        evaluate("sum_over_time(vector(1)[10y:1ms])", source, 0)
    monkeypatch.setattr(scope, "MAX_SUBQUERY_STEPS", 50)
    with pytest.raises(QueryError, match="more than 50 steps"):
        evaluate_range("sum_over_time(vector(1)[40s:1s])", source, 0, 10, 5)
    monkeypatch.setattr(scope, "MAX_SAMPLES", 50)
    with pytest.raises(QueryError, match="50 samples"):
        evaluate("sum_over_time(requests_total[1h])", source, 1000)


def test_options_that_make_no_sense_are_refused(source: MemorySource) -> None:
    with pytest.raises(ConfigError, match="semantics must be 2 or 3"):
        evaluate("1", source, 0, semantics=4)
    with pytest.raises(ConfigError, match="lookback"):
        compile("1", source, lookback=0)
    with pytest.raises(ConfigError, match="end"):
        evaluate_range("1", source, 10, 0, 1)
    with pytest.raises(ConfigError, match="at must be a number"):
        evaluate("1", source, math.nan)


def test_a_compiled_query_sees_series_that_are_born_later(source: MemorySource) -> None:
    query = compile(parse("sum by (job) (requests_total)"), source)
    assert len(query(600)) == 2  # type: ignore[arg-type]
    source.add("requests_total", [(600, 5)], job="new")
    assert query(600) == Vector(
        [(("job", "api"),), (("job", "web"),), (("job", "new"),)], [600.0, 1200.0, 5.0]
    )


def test_plans_are_kept_while_the_series_stay_the_same(source: MemorySource) -> None:
    query = compile("sum by (job) (rate(requests_total[1m])) / 2", source)
    assert query(300).labels is query(315).labels  # type: ignore[union-attr]


class Counting(MemorySource):
    """Counts how often samples are read."""

    reads = 0

    def samples(self, *arguments: object) -> object:  # type: ignore[override]
        self.reads += 1
        return super().samples(*arguments)  # type: ignore[arg-type]


def test_an_engine_evaluates_what_queries_share_once_for_each_time() -> None:
    source = Counting()
    source.add("requests_total", [(at, at) for at in range(0, 601, 15)])
    engine = Engine(source)
    one = engine.compile("sum(rate(requests_total[5m])) > 0")
    other = engine.compile("sum( rate( requests_total[5m] ) ) < 0")
    assert (len(one(600)), len(other(600)), source.reads) == (1, 0, 1)  # type: ignore[arg-type]
    one(615)
    assert source.reads == 2


def test_an_engine_forgets_when_it_is_told_to() -> None:
    source = MemorySource()
    source.add("up", [(0, 1)])
    engine = Engine(source)
    query = engine.compile("sum(up)")
    assert query(10) == Vector([()], [1.0])
    source.add("up", [(0, 3)])
    assert query(10) == Vector([()], [1.0])
    engine.forget()
    assert query(10) == Vector([()], [3.0])


class Live(MemorySource):
    """A source that knows how counters grew."""

    def increase(self, selection: object, start: float, end: float) -> object:  # type: ignore[override]
        return [1], [end - start]


def test_rates_come_from_a_source_that_knows_them() -> None:
    source = Live()
    source.add("a_total", [], job="api")
    source.add("a_total", [], job="web")
    assert evaluate("increase(a_total[5m])", source, 600) == Vector([(("job", "web"),)], [300.0])
    assert evaluate("rate(a_total[5m] offset 1m)", source, 600) == Vector([(("job", "web"),)], [1.0])
    assert evaluate("delta(a_total[5m])", source, 600) == Vector([], [])


def test_staleness_ends_a_series_until_its_next_sample() -> None:
    source = MemorySource()
    source.add("up", [(0, 1), (10, STALE), (20, math.nan)])
    assert len(evaluate("up", source, 5)) == 1  # type: ignore[arg-type]
    assert len(evaluate("up", source, 10)) == 0  # type: ignore[arg-type]
    assert len(evaluate("up", source, 20)) == 1  # type: ignore[arg-type]
    assert evaluate("count_over_time(up[1m])", source, 20) == Vector([()], [2.0])


def test_what_an_owner_no_longer_writes_becomes_stale() -> None:
    source = MemorySource()
    first, second = (("__name__", "alert"), ("n", "1")), (("__name__", "alert"), ("n", "2"))
    source.write("rule", 0, [(first, 1.0), (second, 1.0)])
    source.write("other", 10, [])
    source.write("rule", 10, [(second, 2.0)])
    assert evaluate("alert", source, 15) == Vector([second], [2.0])


def test_samples_may_come_in_any_order_and_be_corrected() -> None:
    source = MemorySource()
    source.add({"__name__": "up", "empty": ""}, [(20, 2), (0, 0), (10, 9), (10, 1)])
    result = evaluate("up[1m]", source, 20)
    assert result == Matrix([Series((("__name__", "up"),), [0.0, 10.0, 20.0], [0.0, 1.0, 2.0])])


def test_samples_that_cannot_be_are_refused() -> None:
    source = MemorySource()
    with pytest.raises(ConfigError, match="time must be a number"):
        source.add("up", [(math.inf, 1)])
    with pytest.raises(ConfigError, match="labels must be text"):
        source.add({"__name__": "up", "code": 200}, [])  # type: ignore[dict-item]
