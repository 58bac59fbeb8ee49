"""What compiled queries keep between evaluations never shows: they say what a fresh evaluation says."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from resilience.errors import QueryError
from resilience.promql import STALE, Engine, MemorySource, Value, compile, evaluate  # noqa: A004  its name

EXPRESSIONS = (
    "a > 2",
    "sum by (x) (a)",
    "a / on(x) group_left(y) b",
    "b - ignoring(y) a{x='1'}",
    "a and on(x) b",
    "a or b",
    "a unless on(x) b",
    "topk(2, a) * 2",
    "rate(a[40s]) or -b",
    "max_over_time(a[40s]) > bool 3",
    "label_replace(a > 1, 'z', '$1', 'x', '(.*)')",
    "sum by (__name__) (a or b)",
    "histogram_quantile(0.5, a)",
    "-(a or rate(b[40s]))",
)
_SERIES = st.tuples(st.sampled_from("ab"), st.sampled_from("123"), st.sampled_from(["1", "+Inf"]))
_TICKS = st.lists(
    st.dictionaries(_SERIES, st.sampled_from([0.0, 1.0, 2.0, 5.0, STALE, float("nan")]), max_size=6),
    max_size=8,
)


def _outcome(evaluation: object) -> str:
    try:
        result: Value = evaluation()  # type: ignore[operator]
    except QueryError as error:
        # Which of several duplicates is named depends on their order alone.
        return error.message.split(":")[0]
    return repr(result)


@settings(max_examples=40)  # each is hundreds of evaluations
@given(_TICKS)
def test_compiled_queries_say_what_fresh_ones_say(ticks: list[dict[tuple[str, str, str], float]]) -> None:
    source = MemorySource()
    engine = Engine(source, lookback=25)
    queries = [(text, engine.compile(text), compile(text, source, lookback=25)) for text in EXPRESSIONS]
    for index, tick in enumerate(ticks):
        at = 10.0 * (index + 1)
        for (name, x, le), value in tick.items():
            source.add(name, [(at, value)], x=x, le=le, y="7" if name == "b" else "")
        engine.forget()
        for text, shared, alone in queries:
            fresh = _outcome(lambda text=text, at=at: evaluate(text, source, at, lookback=25))
            assert _outcome(lambda shared=shared, at=at: shared(at)) == fresh
            assert _outcome(lambda alone=alone, at=at: alone(at)) == fresh
