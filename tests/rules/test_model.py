from dataclasses import replace
from typing import Any

import pytest

from resilience.errors import ConfigError
from resilience.rules import AlertRule, NoData, RecordingRule, RuleGroup


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "alert must be a non-empty string"),
        ({"expr": None}, "alert rule 'A' needs either expr or condition"),
        ({"condition": bool}, "alert rule 'A' needs either expr or condition"),
        ({"expr": None, "condition": 1}, "condition must be a function"),
        ({"for_": -1}, "for_ must be a number of at least 0, got -1"),
        ({"for_": True}, "for_ must be a number"),
        ({"for_": float("nan")}, "for_ must be a number"),
        ({"keep_firing_for": "5m"}, "keep_firing_for must be a number"),
        ({"labels": {"a": 1}}, "labels: a must be a string of valid UTF-8, got 1"),
        ({"labels": {"": "c"}}, "a name in labels must be a label name"),
        ({"labels": {"a\ud800": "c"}}, "a name in labels must be a label name"),
        ({"labels": {"a": "\ud800"}}, "labels: a must be a string of valid UTF-8"),
        ({"annotations": [1]}, "annotations must be a mapping"),
        ({"annotations": {"a": "{{ nope }}"}}, "a: template: function 'nope' is not defined"),
        ({"severity": 1}, "severity must be a non-empty string"),
        ({"no_data": "maybe"}, "no_data must be one of resolve, alert, ok, keep, got 'maybe'"),
        ({"no_data_grace": -1}, "no_data_grace must be a number"),
    ],
)
def test_an_alert_rule_refuses_nonsense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        AlertRule(**{"name": "A", "expr": "up == 0", **options})
    assert message in str(refused.value)


def test_severity_and_runbook_are_a_label_and_an_annotation() -> None:
    rule = AlertRule(
        "A", "up == 0", severity="page", runbook_url="https://x", labels={"a": "b"}, no_data="ok"
    )
    assert rule.labels == {"a": "b", "severity": "page"}
    assert rule.annotations == {"runbook_url": "https://x"}
    assert rule.no_data is NoData.OK


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": " "}, "group name must be a non-empty string"),
        ({"rules": ["up"]}, "rules of group 'g' must be RecordingRule or AlertRule, got 'up'"),
        ({"interval": 0}, "interval must be a number above 0"),
        ({"limit": -1}, "limit must be a whole number of at least 0"),
        ({"query_offset": -1}, "query_offset must be a number of at least 0"),
    ],
)
def test_a_group_refuses_nonsense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        RuleGroup(**{"name": "g", "rules": (), **options})
    assert message in str(refused.value)


def test_an_empty_severity_or_runbook_of_a_file_survives_a_copy() -> None:
    rule = AlertRule("A", "up == 0", labels={"severity": ""}, annotations={"runbook_url": ""})
    copy = replace(rule, no_data=NoData.RESOLVE)
    assert (copy.labels, copy.annotations) == ({"severity": ""}, {"runbook_url": ""})


def test_names_are_any_utf8_text_as_in_prometheus_3() -> None:
    rule = AlertRule("A", '{"http.up"} == 0', labels={"host.name": "a"}, annotations={"In short": "b"})
    assert rule.labels == {"host.name": "a"}
    assert RecordingRule("http.up:sum", "sum(up)").name == "http.up:sum"


def test_rules_are_equal_when_they_say_the_same_wherever_they_stand() -> None:
    assert AlertRule("A", "up == 0", line=3) == AlertRule("A", "up == 0", line=9) != AlertRule("A", "up == 1")
    assert RecordingRule("a", "up", line=3) == RecordingRule("a", "up")
