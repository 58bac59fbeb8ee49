"""Unit tests in promtool's format; tests/integration/test_promtool.py compares the verdicts with promtool's."""

from pathlib import Path

import pytest

from resilience.errors import ConfigError
from resilience.rules.test import run

CASES = Path(__file__).parents[1] / "integration" / "promtool"


@pytest.mark.parametrize("file", sorted(CASES.glob("pass_*.yml")), ids=lambda file: file.stem)
def test_what_promtool_passes_passes(file: Path) -> None:
    assert run(file, semantics=2).failures == ()


@pytest.mark.parametrize("file", sorted(CASES.glob("fail_*.yml")), ids=lambda file: file.stem)
def test_what_promtool_fails_fails_or_is_refused(file: Path) -> None:
    try:
        assert not run(file, semantics=2).passed
    except ConfigError as refused:
        assert str(refused).startswith(f"{file}:")  # noqa: PT017  either is right


def test_semantics_tell_how_ranges_begin(tmp_path: Path) -> None:
    file = tmp_path / "t.yml"
    file.write_text("""\
tests:
  - input_series: [{series: x, values: 1x10}]
    promql_expr_test:
      - {expr: 'count_over_time(x[5m])', eval_time: 8m, exp_samples: [{labels: '{}', value: 5}]}
""")
    assert run(file, semantics=3).passed
    assert run(file, semantics=2).failures[0].got == ["{} 6.0"]


def test_a_test_may_begin_at_any_time(tmp_path: Path) -> None:
    file = tmp_path / "t.yml"
    file.write_text("""\
tests:
  - start_timestamp: 2024-02-29T12:00:00Z
    input_series: [{series: x, values: 1x10}]
    promql_expr_test:
      - {expr: 'day_of_month(timestamp(x))', eval_time: 1m, exp_samples: [{value: 29}]}
  - start_timestamp: 1000
    input_series: [{series: x, values: 1x10}]
    promql_expr_test:
      - {expr: 'time()', eval_time: 1m, exp_samples: [{value: 1060}]}
      - {expr: 'x @ 1060', eval_time: 5m, exp_samples: [{labels: x, value: 1}]}
""")
    assert run(file).failures == ()
    for wrong in ("yesterday", "2024-02-29T12:00:00", "[1]", "-1", ".inf", "true"):
        file.write_text(f"tests:\n  - start_timestamp: {wrong}\n")
        with pytest.raises(ConfigError, match=r"t\.yml:2:\d+: start_timestamp must be"):
            run(file)


def test_a_suite_runs_whose_rules_leave_severity_and_runbook_empty(tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text(
        "groups: [{name: g, rules: [{alert: A, expr: x > 0, labels: {severity: ''}, annotations: {runbook_url: ''}}]}]"
    )
    file = tmp_path / "t.yml"
    file.write_text(
        "rule_files: [r.yml]\ntests:\n  - input_series: [{series: x, values: 1x9}]\n"
        "    alert_rule_test: [{eval_time: 1m, alertname: A, exp_alerts: [{exp_annotations: {runbook_url: ''}}]}]\n"
    )
    assert run(file).failures == ()


@pytest.mark.parametrize(("semantics", "rate"), [(2, "0.08333333333333334"), (3, "0.08333333333333333")])
def test_rates_are_those_of_promtool_to_the_last_digit(tmp_path: Path, semantics: int, rate: str) -> None:
    # 25 * (300 / 300 / 300) with the sample at the left edge, 20 * (300 / 240 / 300) without it.
    file = tmp_path / "t.yml"
    file.write_text(f"""\
tests:
  - input_series: [{{series: c, values: 0+5x10}}]
    promql_expr_test:
      - {{expr: 'rate(c[5m])', eval_time: 6m, exp_samples: [{{value: {rate}}}]}}
""")
    assert run(file, semantics=semantics).failures == ()


def test_an_expectation_between_two_evaluations_is_about_the_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text("groups: [{name: g, rules: [{alert: A, expr: x > 0, for: 1m}]}]")
    file = tmp_path / "t.yml"
    file.write_text("""\
rule_files: [r.yml]
tests:
  - input_series: [{series: x, values: 1x9}]
    alert_rule_test:
      - {eval_time: 59s, alertname: A, exp_alerts: [{}]}
      - {eval_time: 90s, alertname: A, exp_alerts: []}
      - {eval_time: 119s, alertname: A, exp_alerts: [{}]}
""")
    assert [failure.line for failure in run(file).failures] == [5, 6]


def test_a_subquery_steps_at_the_evaluation_interval(tmp_path: Path) -> None:
    file = tmp_path / "t.yml"
    file.write_text("""\
evaluation_interval: 30s
tests:
  - input_series: [{series: x, values: 1x20}]
    promql_expr_test:
      - {expr: 'count_over_time(x[5m:])', eval_time: 8m, exp_samples: [{labels: '{}', value: 10}]}
""")
    assert run(file).passed


def test_a_failure_of_alerts_shows_the_annotations_that_differ(tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text("""\
groups:
  - name: g
    rules:
      - {alert: A, expr: x > 0, annotations: {summary: "{{ $value }} in {{ $labels.a }}", told: "one\\ntwo"}}
""")
    file = tmp_path / "t.yml"
    file.write_text("""\
rule_files: [r.yml]
tests:
  - input_series: [{series: 'x{a="1"}', values: 1x9}, {series: 'x{a="2"}', values: 2x9}]
    alert_rule_test:
      - eval_time: 1m
        alertname: A
        exp_alerts:
          - {exp_labels: {a: 1}, exp_annotations: {summary: 1 in 1, told: "one\\nthree"}}
          - {exp_labels: {a: 3}, exp_annotations: {summary: 2 in 3}}
""")
    [failure] = run(file).failures
    assert failure.diff == [
        '  {a="1", alertname="A"}',
        "    summary: 1 in 1",
        "    told: one",
        "-     three",
        '- {a="3", alertname="A"}',
        "-   summary: 2 in 3",
        "+     two",
        '+ {a="2", alertname="A"}',
        "+   summary: 2 in 2",
        "+   told: one",
        "+     two",
    ]


def test_a_failure_shows_what_differs(tmp_path: Path) -> None:
    file = tmp_path / "t.yml"
    file.write_text("""\
tests:
  - input_series: [{series: 'x{a="1"}', values: 1x10}, {series: 'x{a="2"}', values: 2x10}]
    promql_expr_test:
      - {expr: x, eval_time: 1m, exp_samples: [{labels: 'x{a="1"}', value: 1}, {labels: 'x{a="2"}', value: 3}]}
""")
    (failure,) = run(file).failures
    assert (failure.line, failure.what) == (4, "expr 'x' at 1m")
    assert failure.diff == ['  x{a="1"} 1.0', '- x{a="2"} 3.0', '+ x{a="2"} 2.0']


def test_fuzzy_compare_forgives_the_last_bit(tmp_path: Path) -> None:
    body = """\
tests:
  - input_series: [{series: x, values: 0+0.1x10}]
    promql_expr_test:
      - {expr: 'x + 0', eval_time: 3m, exp_samples: [{labels: '{}', value: 0.3}]}
      - {expr: 'x * NaN', eval_time: 3m, exp_samples: [{labels: '{}', value: .nan}]}
"""
    exact, fuzzy = tmp_path / "exact.yml", tmp_path / "fuzzy.yml"
    exact.write_text(body)
    fuzzy.write_text(f"fuzzy_compare: true\n{body}")
    failures = run(exact).failures
    assert len(failures) == 2
    assert (
        failures[1].error
        == "NaN equals nothing, as in promtool: use fuzzy_compare, or an expression such as x != x"
    )
    assert run(fuzzy).passed


def test_missing_data_resolves_as_in_promtool_whatever_the_annotation_says(tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text(
        "groups: [{name: g, rules: [{alert: A, expr: x > 0, annotations: {resilience_no_data: keep}}]}]"
    )
    file = tmp_path / "t.yml"
    file.write_text("""\
rule_files: [r.yml]
tests:
  - input_series: [{series: x, values: 1 1 stale}]
    alert_rule_test:
      - {eval_time: 2m, alertname: A, exp_alerts: []}
""")
    assert run(file).passed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rule_files: [bad.yml]", "bad.yml:1:9: groups must be a list"),
        ("group_eval_order: [a, a]", "a group's name stands twice"),
        ("evaluation_interval: often", "evaluation_interval must be a duration"),
        ("tests: [{input_series: [{series: 'x{', values: 1}]}]", "expected a series"),
        ("tests: [{promql_expr_test: [{expr: x, eval_time: 1m, exp_samples: [{labels: x, value: true}]}]}]", "value must be a number"),
        ("tests: {}", "tests must be a list"),
        ("- tests", "expected a mapping"),
    ],
)  # fmt: skip
def test_a_file_with_a_fault_is_refused_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text("groups: 1")
    file = tmp_path / "t.yml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        run(file)
    assert message in str(refused.value)


def test_a_test_cannot_run_for_ever(tmp_path: Path) -> None:
    file = tmp_path / "t.yml"
    file.write_text("evaluation_interval: 1ms\ntests: [{promql_expr_test: [{expr: x, eval_time: 1y}]}]")
    assert run(file).failures[0].error == "more than 1000000 evaluations"


@pytest.mark.parametrize(("text", "tests"), [("", 0), ("null", 0), ("{}", 0), ("tests: [null]", 1)])
def test_nothing_can_fail_where_nothing_is_expected(tmp_path: Path, text: str, tests: int) -> None:
    file = tmp_path / "t.yml"
    file.write_text(text)
    outcome = run(file)
    assert (outcome.passed, outcome.tests, outcome.warnings) == (True, tests, ())


def test_a_pattern_that_matches_no_rule_file_is_a_warning_as_with_promtool(tmp_path: Path) -> None:
    file = tmp_path / "t.yml"
    file.write_text("rule_files: [none*.yml]")
    outcome = run(file)
    assert outcome.passed
    assert [warning.partition("t.yml")[2] for warning in outcome.warnings] == [
        ":1:14: no rule file matches 'none*.yml'"
    ]


def test_a_rule_file_that_two_patterns_match_counts_once(tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text("groups: [{name: g, rules: [{record: y, expr: x * 2}]}]")
    file = tmp_path / "t.yml"
    file.write_text("""\
rule_files: [r.yml, "*r.yml"]
tests:
  - input_series: [{series: x, values: 1}]
    promql_expr_test:
      - {expr: y, eval_time: 0m, exp_samples: [{labels: y, value: 2}]}
""")
    assert run(file).passed
