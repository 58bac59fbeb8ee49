import pytest

from resilience.rules import AlertRule, RecordingRule, RuleGroup, loads
from resilience.rules.checks import Finding, Severity, check


def findings(expr: str) -> list[str]:
    rule = AlertRule("A", expr, severity="page", annotations={"summary": "!"})
    return [finding.message for finding in check([RuleGroup("g", (rule,))])]


RATIO = 'sum(rate(r_total{code=~"5.."}[5m])) / sum(rate(r_total[5m]))'


@pytest.mark.parametrize(
    "expr",
    [
        "job:errors:ratio_rate5m > 1",
        "slo:sli_error:ratio_rate5m > (14.4 * 0.1)",
        "1.5 < errors_ratio",
        "errors_ratio >= 1.01",
        "errors_ratio == 2",
        "errors_ratio < 0",
        f"{RATIO} > 14 * 0.1",
        f"1 - {RATIO} > 1",
        f"({RATIO} > 14.4 * 0.1) and ({RATIO} > 0.1)",
        "avg(errors_ratio) > 1",
        "sum(increase(a{x='y'}[1h])) / sum(increase(a[1h])) > 1",
        "sum(rate(a{x=~'y|Y',z='1'}[5m])) / sum(rate(a{x=~'y|Y'}[5m])) > 1",
        "sum(rate(a{x='Y'}[5m])) / sum(rate(a{x=~'y|Y'}[5m])) > 1",
        f"100 * {RATIO} > 100",
        f"{RATIO} * 100 > 720",
        f"{RATIO} > 7.2",
        f"sum(x) / sum(y) > 3 and {RATIO} > 1.44",
        "vector(1) > 2",
        "vector(1) == bool 2 > 0",
        "up > 5 and up < 3",
        "(up > 5) < 3",
        "x > 5 and sum(y) > 0 and x < 3",
        "x > 5 unless x >= 5 and x < 5",
        "7 < x and 3 > x",
        "x >= 5 and x < 5",
        "sum(rate(a_total[5m])) < 0",
        "sum(rate(a_total[5m])) / sum(rate(b_total[5m])) < 0",
        "count(up) == 0",
        "count by (job) (up == 1) < 1",
        "absent(up) == 0",
        "hour() > 23",
        "day_of_week() == 7",
        "clamp_max(x, 10) > 10",
        "clamp(x, 1, 10) < 1",
        "abs(x) < 0",
        "-abs(x) > 0",
        "sum(abs(x)) + 1 < 1",
        "histogram_quantile(0.99, sum by (le) (rate(a_seconds_bucket[5m]))) < 0",
        "quantile(0.5, up) > 1",
        "max_over_time(avg_over_time(up[5m])[1h:5m]) > 1",
        "vector(1) != 1",
        "x > NaN",
        "x > Inf",
    ],
)
def test_a_threshold_that_cannot_be_reached_is_found(expr: str) -> None:
    [message] = findings(expr)
    assert message.startswith("never true")


@pytest.mark.parametrize(
    ("expr", "said"),
    [
        ("errors_ratio > 2", "errors_ratio is a ratio of at most 1, and the threshold is 2"),
        (f"{RATIO} > 2", f"{RATIO} is a ratio of at most 1, and the threshold is 2"),
        ("sgn(errors) > 2", "sgn(errors) is at most 1, and the threshold is 2"),
        ("2 * sgn(errors) > 3", "2 * sgn(errors) is at most 2, and the threshold is 3"),
        ("errors_ratio < 1.5", "errors_ratio is a ratio of 0 to 1, and the threshold is 1.5"),
        (f"sgn({'e' * 75}) > 2", f"sgn({'e' * 75}) is at most 1, and the threshold is 2"),
        (f"sgn({'e' * 76}) > 2", f"sgn({'e' * 76}... is at most 1, and the threshold is 2"),
    ],
)
def test_a_finding_says_what_the_expression_is_and_how_large_it_can_be(expr: str, said: str) -> None:
    [message] = findings(expr)
    assert message.endswith(f": {said}")


@pytest.mark.parametrize(
    "expr", ["errors_ratio >= 0", "errors_ratio < 1.5", "1 >= errors_ratio", f"{RATIO} <= 2"]
)
def test_a_threshold_that_is_always_reached_is_found(expr: str) -> None:
    [message] = findings(expr)
    assert message.startswith("always true")


@pytest.mark.parametrize(
    "expr",
    [
        "errors_ratio > 0.99",
        "errors_ratio >= 1",
        "errors_ratio == 1",
        "errors_ratio != 2",
        "slo_error_budget_remaining_ratio < 0",
        "slo_burn_rate > 14.4",
        "sum(errors_ratio) > 3",
        "rate(a[5m]) / rate(b[5m]) > 2",
        "rate(a{x='y'}[1h]) / rate(a[5m]) > 2",
        "sum(rate(a[5m])) / sum(rate(a{x='y'}[5m])) > 2",
        "sum(rate(a{x='y'}[5m] offset 1h)) / sum(rate(a[5m])) > 2",
        "sum(rate(a{x='y'}[5m] @ 0)) / sum(rate(a[5m])) > 2",
        "sum(rate(a{x!='y'}[5m])) / sum(rate(a{x='y'}[5m])) > 2",
        "sum(rate(a{x='z'}[5m])) / sum(rate(a{x=~'y|Y'}[5m])) > 2",
        "sum by (job) (rate(a{x='y'}[5m])) / sum by (env) (rate(a[5m])) > 2",
        "avg(rate(a{x='y'}[5m])) / avg(rate(a[5m])) > 2",
        "sum(delta(a{x='y'}[5m])) / sum(delta(a[5m])) > 2",
        "sum(rate(a{x='y'}[5m])) / sum(increase(a[5m])) > 2",
        "a{x='y'} / sum(a) > 2",
        "errors_ratio > on() other",
        "x > 5 or x < 3",
        "x > 5 and on (job) x < 3",
        "{job='a'} > 5 and {job='a'} < 3",
        "x > 5 and x offset 5m < 3",
        "x > 5 and y < 3",
        "x >= 5 and x <= 5",
        "sum(x) < 0",
        "x - 1 < 0",
        "count(x) > 0",
        "absent(x) == 1",
        "sum(rate(a_total[5m])) >= 0",
        "sum(count(x) or vector(0)) == 0",
        "x > bool Inf",
        "vector(scalar(up == 1)) > 0",
        "histogram_quantile(0.99, sum by (le) (rate(a_degrees_bucket[5m]))) < 0",
        "histogram_quantile(0.99, sum by (le) (rate(a_seconds_bucket[5m]))) > 10",
        "round(up, 5) > 1",
        "delta(up[5m]) < 0",
        "predict_linear(up[5m], 3600) > 1",
    ],
)
def test_a_threshold_that_can_be_reached_is_none(expr: str) -> None:
    assert findings(expr) == []


P99 = "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))"


def found_of(*exprs: str, prefix: str = "", **buckets: float) -> list[Finding]:
    group = RuleGroup("g", [RecordingRule(f"r{place}", expr) for place, expr in enumerate(exprs)])
    return check([group], buckets=buckets, prefix=prefix)


def test_what_would_need_other_buckets_than_the_librarys_is_a_hint_for_the_histogram_may_be_ones_own() -> (
    None
):
    (found,) = found_of(f"{P99} > 10")
    assert found.severity is Severity.HINT
    assert found.message.startswith("never true with the buckets of this library: histogram_quantile(0.99, ")
    assert found.message.endswith(" is at most 10, and the threshold is 10")
    assert found_of(f"{P99} > 9.99") == []
    assert found_of(f"{P99} > 10", prefix="shop_") == []
    (prefixed,) = found_of(f"{P99} > 10".replace("http_", "shop_http_"), prefix="shop_")
    assert prefixed.severity is Severity.HINT


def test_buckets_that_are_known_go_before_those_of_the_library() -> None:
    assert found_of(f"{P99} > 10", http_request_duration_seconds=60.0) == []
    (found,) = found_of(f"{P99} > 60", http_request_duration_seconds=60.0)
    assert (found.severity, found.message.partition(":")[0]) == (Severity.WARNING, "never true")
    own = "histogram_quantile(0.5, rate(own_seconds_bucket[5m])) > 2"
    assert found_of(own) == []
    assert [each.severity for each in found_of(own, own_seconds=2.0)] == [Severity.WARNING]


@pytest.mark.parametrize(("bound", "hints"), [("30", 0), ("30.0", 0), ("10", 1), ("+Inf", 1), ("many", 1)])
def test_who_asks_for_a_bucket_that_the_library_does_not_have_has_another_histogram(
    bound: str, hints: int
) -> None:
    slow = f'rate(http_request_duration_seconds_bucket{{le="{bound}"}}[5m])'
    assert len(found_of(slow, f"{P99} > 20")) == hints


def test_what_only_a_name_says_is_a_hint_and_what_leaves_the_rule_a_chance_is_a_warning() -> None:
    def severities(expr: str) -> list[Severity]:
        group = RuleGroup("g", (RecordingRule("r", expr),))
        return [finding.severity for finding in check([group])]

    assert severities("job:errors:ratio > 1") == [Severity.HINT]
    assert severities("compression_ratio > 1") == [Severity.HINT]
    assert severities("sum(rate(a_total{code='500'}[5m])) / sum(rate(a_total[5m])) > 1") == [Severity.ERROR]
    some = 'sum(rate(a_total{code=~"2..|5.."}[5m]))'
    assert severities(f"sum(rate(a_total{{code='500'}}[5m])) / {some} > 1") == [Severity.ERROR]
    assert severities(f"sum(rate(a_total{{code='404'}}[5m])) / {some} > 1") == []
    assert severities("count(x) == 0") == [Severity.ERROR]
    assert severities("count(x) == 0 or absent(x)") == [Severity.WARNING]


def test_thresholds_are_held_against_what_rules_record() -> None:
    def of(*rules: RecordingRule) -> list[str]:
        alert = AlertRule("A", "limit > 10", severity="page", annotations={"summary": "!"})
        return [finding.message for finding in check([RuleGroup("g", (*rules, alert))])]

    assert of(RecordingRule("limit", "vector(5)")) == [
        "never true: limit is always 5, and the threshold is 10"
    ]
    assert of(RecordingRule("limit", "vector(5)"), RecordingRule("limit", "vector(11)", {"a": "b"})) == []
    assert of(RecordingRule("limit", "vector(5) or limit"), RecordingRule("other", "limit + 1")) == []
    assert of(RecordingRule("half", "vector(5)"), RecordingRule("limit", "half * 2"))


@pytest.mark.parametrize(
    "expr", ["histogram_quantile(95, x)", "quantile(-1, x)", "quantile_over_time(1.5, x[5m])"]
)
def test_a_quantile_in_percent_is_an_error(expr: str) -> None:
    [message] = findings(expr)
    assert "is not from 0 to 1" in message


@pytest.mark.parametrize(
    ("expr", "message"),
    [
        ("max_over_time(rate(a[5m])[30d:1s])", "the subquery has 2.59e+06 steps, at most 1000000"),
        ("sum(sum_over_time(max_over_time(a[1h:1s])[1h:1s]))", "the subquery has 1.3e+07 steps"),
    ],
)  # fmt: skip
def test_what_an_evaluator_would_refuse_is_an_error(expr: str, message: str) -> None:
    [found] = findings(expr)
    assert message in found


def test_names_that_may_be_the_applications_own_are_hints_and_slips_too() -> None:
    group = RuleGroup(
        "g", (RecordingRule("a", "mine + upp"), RecordingRule("b", "mine + resilience_calls_totl"))
    )
    found = check([group], metrics={"resilience_calls_total"}, complete=False)
    assert [str(finding) for finding in found] == [
        "g: hint: a: unknown metric mine: not the library's, and recorded by none of these rules",
        "g: hint: a: unknown metric upp: not the library's, and recorded by none of these rules",
        "g: hint: b: unknown metric resilience_calls_totl; did you mean resilience_calls_total?",
    ]


def test_unknown_names_are_found_where_names_are_given() -> None:
    group = RuleGroup(
        "g", (RecordingRule("a:up", "up + nope"), RecordingRule("b", "a:up + ALERTS + {job='x'}"))
    )
    assert check([group]) == []
    assert [str(finding) for finding in check([group], metrics={"up"})] == [
        "g: warning: a:up: unknown metric nope"
    ]


def test_findings_name_file_and_line_and_matter_differently() -> None:
    text = """\
groups:
  - name: g
    rules:
      - alert: A
        expr: up[5m]
        labels: {seen: '{{ $value }}'}
        annotations: {resilience_nodata: keep}
      - {alert: A, expr: up, labels: {seen: '{{ $value }}'}}
"""
    found = check(loads(text, file="r.yml"))
    assert [(finding.line, finding.severity, finding.message.split(",")[0][:30]) for finding in found] == [
        (4, Severity.ERROR, "the expression is a matrix"),
        (4, Severity.WARNING, "label seen carries a value: wi"),
        (4, Severity.WARNING, "annotation resilience_nodata i"),
        (4, Severity.HINT, "no label severity"),
        (4, Severity.HINT, "no annotation summary that tel"),
        (8, Severity.WARNING, "label seen carries a value: wi"),
        (8, Severity.HINT, "no label severity"),
        (8, Severity.HINT, "no annotation summary that tel"),
        (8, Severity.WARNING, "another rule of this group has"),
    ]
    assert str(found[0]).startswith("r.yml:4: error: A: ")


def test_python_conditions_have_no_expression_to_check() -> None:
    rule = AlertRule("A", condition=bool, severity="page", annotations={"summary": "!"})
    assert check([RuleGroup("g", (rule,))], metrics=()) == []


def test_hints_can_be_left_out_without_another_finding() -> None:
    group = RuleGroup(
        "shop",
        (
            AlertRule("Odd", "errors:ratio > 2"),
            AlertRule("Burn", "http_requests_total < 0", severity="page", annotations={"summary": "!"}),
        ),
    )
    everything = check([group])
    assert any(finding.severity is Severity.HINT for finding in everything)
    expected = [finding for finding in everything if finding.severity is not Severity.HINT]
    assert expected
    assert check([group], hints=False) == expected


def test_each_rule_with_an_expression_that_is_refused_is_named() -> None:
    rules = [AlertRule(name, "max_over_time(rate(a[5m])[30d:1s])") for name in ("First", "Second")]
    refused = [finding.rule for finding in check([RuleGroup("shop", rules)], hints=False)]
    assert refused == ["First", "Second"]
