"""The alerts of objectives read well for people, whatever the figures are."""

from __future__ import annotations

import pytest

from resilience.core.ports import NotifiedAlert
from resilience.notifiers._text import describe
from resilience.rules import AlertRule
from resilience.rules.template import Template, TemplateData
from resilience.slo import SLO, compile_rules

RULES = [
    rule
    for group in compile_rules([SLO("ok", service="shop", target=0.999)])
    for rule in group.rules
    if isinstance(rule, AlertRule)
]


def texts(name: str, value: float) -> list[str]:
    rule = next(rule for rule in RULES if rule.name == name)
    return [
        Template(rule.annotations[each]).render(TemplateData({}, value))
        for each in ("summary", "description")
    ]


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (0.4987, "49.87% of the budget of 30d is left"),
        (0.00001, "Less than 0.1% of the budget of 30d is left"),
        (0.0, "Nothing of the budget of 30d is left"),
        (-115.7, "Nothing of the budget of 30d is left"),
    ],
)
def test_says_what_is_left_of_a_budget_without_exponents(left: float, words: str) -> None:
    _, description = texts("ErrorBudgetExhaustion", left)
    assert description.startswith(words)


def test_a_resolved_alert_is_not_told_as_if_it_were_firing() -> None:
    summary, description = texts("ErrorBudgetBurn", 0.5)
    labels = {"alertname": "ErrorBudgetBurn"}
    annotations = {"summary": summary, "description": description}
    firing = describe(NotifiedAlert("1", "firing", labels, annotations, 0.0, None))
    resolved = describe(NotifiedAlert("1", "resolved", labels, annotations, 0.0, 720.0))
    assert firing.startswith("firing: High error budget burn rate of ok of shop")
    assert description in firing
    assert resolved == "resolved after 12m, was: High error budget burn rate of ok of shop"
