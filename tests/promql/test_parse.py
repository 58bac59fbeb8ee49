from __future__ import annotations

import dataclasses

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.core.ports import Matcher
from resilience.errors import ConfigError, QueryError
from resilience.promql import MemorySource, evaluate, evaluate_range, parse
from resilience.promql.functions import EXPERIMENTAL, FUNCTIONS, NATIVE
from resilience.promql.lexer import MAX_LENGTH
from resilience.promql.parser import AGGREGATIONS, MAX_DEPTH


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1", "scalar"),
        ("1 + 2 * scalar(x)", "scalar"),
        ("'text'", "string"),
        ("up", "vector"),
        ("up[5m]", "matrix"),
        ("up[5m:]", "matrix"),
        ("1 + up", "vector"),
        ("-up", "vector"),
        ("sum(up)", "vector"),
        ("time()", "scalar"),
        ("up{a='b',} # a comment", "vector"),
        ("sum by (a,) (up)", "vector"),
        ("sum(up) without (a)", "vector"),
        ("by + sum + offset", "vector"),
        ("job:up:rate5m", "vector"),
        ("{'metric.name', 'label-name'='x'}", "vector"),
        ("INF + NaN", "scalar"),
        ("up @ start() offset -5m", "vector"),
        ("up OFFSET 1h30m AND up", "vector"),
    ],
)
def test_kind_of_what_is_read(text: str, kind: str) -> None:
    assert parse(text).kind == kind


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("", 0, "unexpected the end"),
        ("up up", 3, "unexpected 'up'"),
        ("sum(up", 6, "expected ',' or '\\)'"),
        ("rate(up)", 5, "takes a matrix as argument 1, got a vector"),
        ("rate(up[5m], 1)", 0, "takes 1 argument"),
        ("nosuch(up)", 0, "nosuch is no function"),
        ("up{", 3, "expected a label"),
        ("up{a}", 4, "expected '='"),
        ("up{a=b}", 5, "expected a string"),
        ('up{a=~"("}', 0, "not a regular expression of RE2"),
        ('up{a=~"(?=b)"}', 0, "not a regular expression of RE2"),
        ("{}", 0, "must have a matcher"),
        ('{a=~".*"}', 0, "must have a matcher"),
        ('up{__name__="x"}', 0, "name is set twice"),
        ("up[0s]", 3, "longer than 0"),
        ("up[5m][5m]", 6, "right after a selector"),
        ("(up)[5m]", 4, "right after a selector"),
        ("up offset 5m [5m]", 13, "belong after the range"),
        ("up offset 5m offset 5m", 13, "set twice"),
        ("up @ 1 @ 2", 7, "set twice"),
        ("up @ nan", 5, "cannot be nan"),
        ("sum(up) offset 5m", 8, "only allowed right after"),
        ("time()[5m:]", 6, "only allowed on an instant vector"),
        ("1 > 2", 2, "must use bool"),
        ("up + bool up", 3, "only allowed after a comparison"),
        ("1 and up", 2, "only allowed between instant vectors"),
        ("up + on(a) 1", 3, "only allowed between instant vectors"),
        ("up and on(a) group_left() up", 3, "no grouping"),
        ("up + on(a) group_left(a) up", 3, "at once"),
        ("up[5m] + 1", 2, "got a matrix"),
        ("-'a'", 0, "a sign is only allowed"),
        ("sum(1)", 4, "takes an instant vector"),
        ("topk(up)", 0, "takes 2 argument"),
        ("topk('a', up)", 5, "takes a scalar first"),
        ("count_values(1, up)", 13, "takes a string first"),
        ("'abc", 0, "string that is not closed"),
        (r"'\q'", 0, "escape that is not known"),
        (r"'\xff'", 0, "no UTF-8"),
        (r"'\400'", 0, "no byte"),
        ("'\ud800'", 1, "surrogate"),
        ("rate(up[5m],)", 12, "expected an expression"),
        ("up{a:b='c'}", 3, "a label has no colon"),
        ("up{''='c'}", 3, "must have a name"),
        ("up{'a', 'b'}", 3, "name is set twice"),
        ("sum(up) by (a, )) ", 16, "an operator or the end"),
        ("up ! up", 3, "unexpected character"),
        ("on", 0, "expected an expression"),
        ("up[99999999999y]", 3, "at most 292y"),
        ("up[99999y]", 3, "at most 292y"),
        ("1__000", 0, "unexpected character"),
        ("1_", 0, "unexpected character"),
        ("1_.5", 0, "unexpected character"),
        ("up[5m+5m]", 5, "experimental"),
        ("up[5m] smoothed", 7, "experimental"),
        ("up + fill(0) up", 5, "experimental"),
        ("limitk(1, up)", 0, "limitk is experimental"),
    ],
)
def test_a_fault_is_refused_with_its_place(text: str, position: int, message: str) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        parse(text)
    assert (caught.value.text, caught.value.position) == (text, position)


@pytest.mark.parametrize("name", sorted(EXPERIMENTAL | NATIVE))
def test_what_is_not_supported_is_refused_by_name(name: str) -> None:
    with pytest.raises(QueryError, match=f"{name} (is experimental|needs native histograms)"):
        parse(f"{name}(up)")


STABLE = """
    abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time ceil changes clamp
    clamp_max clamp_min cos cosh count_over_time day_of_month day_of_week day_of_year days_in_month deg
    delta deriv exp first_over_time floor histogram_fraction histogram_quantile hour idelta increase
    irate label_join label_replace last_over_time ln log10 log2 max_over_time min_over_time minute month
    pi predict_linear present_over_time quantile_over_time rad rate resets round scalar sgn sin sinh
    sort sort_desc sqrt stddev_over_time stdvar_over_time sum_over_time tan tanh time timestamp vector
    year
"""


def test_every_stable_function_is_there() -> None:
    assert {name for name, function in FUNCTIONS.items() if not function.removed} == set(STABLE.split())


def test_length_is_bounded() -> None:
    parse("up" + " " * (MAX_LENGTH - 2))
    with pytest.raises(QueryError, match="10001 characters"):
        parse("up" + " " * (MAX_LENGTH - 1))


@pytest.mark.parametrize(
    "text", ["(" * 5000, "-" * 9000 + "1", "a+" * 4000 + "a", "a^" * 4000 + "a", "f(" * 4000, "sum(" * 2000]
)
def test_depth_is_bounded_without_a_crash(text: str) -> None:
    with pytest.raises(QueryError):
        parse(text)


def test_a_hundred_levels_are_read_and_evaluated() -> None:
    depth = MAX_DEPTH - 2
    assert len(evaluate("abs(" * depth + "vector(1)" + ")" * depth, MemorySource(), 0)) == 1  # type: ignore[arg-type]


def test_selectors_say_what_is_read_and_how_far_back() -> None:
    uses = parse('sum(rate(a{b="c"}[5m] offset 1h)) / max_over_time(d[30m:1m]) + {e="f"}').selectors
    assert [(use.name, use.window) for use in uses] == [("a", 3900.0), ("d", 1800.0), (None, 0.0)]
    assert uses[0].matchers == (Matcher("__name__", "=", "a"), Matcher("b", "=", "c"))


def test_an_expression_is_frozen_and_equal_whatever_its_spacing() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse("up").text = "down"  # type: ignore[misc]
    assert parse("sum( up )").node == parse("sum(up)").node


_WORDS = st.sampled_from(
    [
        *FUNCTIONS, *AGGREGATIONS, "up", "down", "by", "without", "on", "ignoring", "group_left", "bool", "offset", "@", "start()",
        "and", "or", "unless", "atan2", "==", "!=", ">", "<", "=~", "!~", "=", "+", "-", "*", "/", "%", "^", "(", ")", "[", "]", "{", "}",
        ",", ":", "5m", "1s", "1", "0", "1e308", "NaN", "Inf", "-1", '"a"', "'b'", "`c`", "a", "le", "[5m]", "[1m:10s]", "(up)", "(up[1m])",
    ]
)  # fmt: skip


def _source() -> MemorySource:
    source = MemorySource()
    source.add("up", [(index * 10, index % 7) for index in range(30)], a="1", le="1")
    source.add(
        "up", [(index * 10, float("inf") if index == 7 else -index) for index in range(30)], a="2", le="+Inf"
    )
    source.add("down", [(100, float("nan")), (110, 1e308)], a="1")
    return source


SOURCE = _source()


def _value_or_refusal(text: str) -> bool:
    try:
        expression = parse(text)
        value = evaluate(expression, SOURCE, 290.0)
        if expression.kind in {"scalar", "vector"}:
            evaluate_range(expression, SOURCE, 0.0, 290.0, 97.0)
    except (QueryError, ConfigError) as refusal:
        return bool(str(refusal))
    return value is not None


@given(st.lists(_WORDS, max_size=25).map(" ".join))
def test_words_of_the_language_come_to_a_value_or_a_refusal(text: str) -> None:
    assert _value_or_refusal(text)


@given(st.text(max_size=200))
def test_any_text_comes_to_a_value_or_a_refusal(text: str) -> None:
    assert _value_or_refusal(text)


_LEAVES = st.sampled_from(["up", "down", "up offset 1m", "up{a='1'}", "vector(1)", "vector(NaN)", "nothing"])
_SCALARS = st.sampled_from(["0", "1", "-1.5", "NaN", "-Inf", "1e308", "time()", "scalar(up)"])


def _vectors(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    elementwise = [
        name
        for name, one in FUNCTIONS.items()
        if one.returns == "vector" and one.arguments[:1] == ("vector",) and one.least <= 1
    ]
    over_time = [name for name, one in FUNCTIONS.items() if one.arguments == ("matrix",)]
    operators = [
        "+",
        "-",
        "*",
        "/",
        "%",
        "^",
        "atan2",
        "==",
        ">",
        "<= bool",
        "and",
        "or",
        "unless",
        "+ on(a)",
        "* on() group_left(a)",
    ]
    return st.one_of(
        st.builds("{}({})".format, st.sampled_from(elementwise), inner),
        st.builds("{}(({})[{}:{}])".format, st.sampled_from(over_time), inner, st.sampled_from(["1m", "7s", "95s"]), st.sampled_from(["10s", "13s", ""])),
        st.builds("({}) {} ({})".format, inner, st.sampled_from(operators), inner),
        st.builds("({}) {} ({})".format, inner, st.sampled_from(["+", "/", "^", "> bool", "<"]), _SCALARS),
        st.builds("{} by (a) ({})".format, st.sampled_from(["sum", "avg", "stddev", "max", "count", "group"]), inner),
        st.builds("{}({}, {})".format, st.sampled_from(["topk", "bottomk", "quantile", "histogram_quantile"]), _SCALARS, inner),
        st.builds("predict_linear(({})[1m:], {})".format, inner, _SCALARS),
        st.builds("label_replace({}, 'a', '$1', 'le', '(.*)')".format, inner),
    )  # fmt: skip


@given(st.recursive(_LEAVES, _vectors, max_leaves=6))
def test_valid_expressions_come_to_a_value_or_a_refusal(text: str) -> None:
    assert parse(text).kind == "vector"
    _value_or_refusal(text)


@given(st.recursive(_LEAVES, _vectors, max_leaves=6))
def test_another_parser_reads_the_same_operators_in_the_same_order(text: str) -> None:
    # What it writes has the same meaning, and its own spacing.
    text = text.replace("NaN", "7")  # which equals itself
    theirs = promql_parser.parse(text).prettify()
    assert parse(theirs).node == parse(text).node


@given(st.lists(_WORDS, max_size=8).map(" ".join))
def test_another_parser_refuses_the_same(text: str) -> None:
    try:
        promql_parser.parse(text)
    except ValueError:
        with pytest.raises(QueryError):
            parse(text)
