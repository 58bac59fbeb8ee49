import pytest

from resilience.rules import AlertRule, RecordingRule, RuleGroup, loads
from resilience.rules.checks import Severity, check


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
    ],
)
def test_a_threshold_that_cannot_be_reached_is_an_error(expr: str) -> None:
    assert [message.split(":")[0] for message in findings(expr)] == ["never true"]


@pytest.mark.parametrize(
    "expr", ["errors_ratio >= 0", "errors_ratio < 1.5", "1 >= errors_ratio", f"{RATIO} <= 2"]
)
def test_a_threshold_that_is_always_reached_is_an_error(expr: str) -> None:
    assert [message.split(":")[0] for message in findings(expr)] == ["always true"]


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
        "sum by (x) (rate(a{x='y'}[5m])) / sum(rate(a[5m])) > 1 / 0",
        "errors_ratio > on() other",
    ],
)
def test_a_threshold_that_can_be_reached_is_none(expr: str) -> None:
    assert findings(expr) == []


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
