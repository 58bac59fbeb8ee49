"""Alerts of objectives: names, the annotation with burn rates, and the inhibitions between them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

from resilience.core.duration import format_duration
from resilience.core.ports import Matcher
from resilience.rules import AlertRule, RuleGroup
from resilience.slo.burn_rate import BurnRateAlert
from resilience.slo.ledger import BUCKETS
from resilience.slo.objective import SLO

__all__ = [
    "BURN_ALERT",
    "BURN_RATES",
    "BURN_RATE_FOR",
    "EXHAUSTION_ALERT",
    "SEPARATOR",
    "Explanation",
    "burn_rates_by_rule",
    "burn_rates_in",
    "exhaustion_keeps_firing_for",
    "explanations",
]

BURN_ALERT: Final = "ErrorBudgetBurn"
EXHAUSTION_ALERT: Final = "ErrorBudgetExhaustion"

BURN_RATES: Final = "burn_rates"
"""Annotation with the names of the burn-rate alerts whose conditions hold."""

SEPARATOR: Final = ", "
"""Text between the names in the annotation."""

BURN_RATE_FOR: Final = "burn_rate_for"
"""Label that distinguishes rules of one severity with different `for` durations, because a rule has one `for`."""

_PAGES = "critical|page"
_EQUAL = ("service", "slo")


class Explanation(NamedTuple):
    """Alerts that explain others of the same objective, which need no notification then.

    Args:
        source: matchers of the alerts that explain.
        target: matchers of the alerts that are explained.
        equal: labels that both have alike.
    """

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = _EQUAL


def burn_rates_by_rule(slo: SLO) -> list[tuple[dict[str, str], list[BurnRateAlert]]]:
    """Return the burn-rate alerts of an objective by the rule that they share, with the labels that are that rule's own.

    One rule has all of a severity, so that one cause notifies once for each severity.

    Example:
        >>> from resilience.slo import SLO
        >>> found = burn_rates_by_rule(SLO("ok", service="shop", target=0.999))
        >>> [(labels["severity"], [alert.name for alert in alerts]) for labels, alerts in found]
        [('critical', ['fast', 'slow']), ('warning', ['gradual', 'chronic'])]
    """
    rules: dict[tuple[str, float], list[BurnRateAlert]] = {}
    for alert in slo.burn_rates:
        rules.setdefault((alert.severity, alert.for_), []).append(alert)
    severities = [severity for severity, _ in rules]
    return [
        (
            {"severity": severity}
            | ({BURN_RATE_FOR: format_duration(for_)} if severities.count(severity) > 1 else {}),
            alerts,
        )
        for (severity, for_), alerts in rules.items()
    ]


def exhaustion_keeps_firing_for(slo: SLO) -> float:
    """Return for how many seconds an exhaustion alert keeps firing after its condition.

    As long as a bucket of the period, so that a budget that hovers at the threshold alerts once.

    Example:
        >>> from resilience.slo import SLO
        >>> exhaustion_keeps_firing_for(SLO("ok", service="shop", target=0.999, window=30 * 86_400))
        3600.0
    """
    return max(1.0, float(round(slo.window / BUCKETS)))


def burn_rates_in(annotations: Mapping[str, str], names: Iterable[str]) -> frozenset[str]:
    """Return the names of burn-rate alerts that an alert's annotation holds.

    Args:
        annotations: annotations of the alert.
        names: names of the burn-rate alerts of its objective.

    Example:
        >>> sorted(burn_rates_in({"burn_rates": "fast, slow"}, ["fast", "slow", "gradual"]))
        ['fast', 'slow']
    """
    held = f"{SEPARATOR}{annotations.get(BURN_RATES, '')}{SEPARATOR}"
    return frozenset(name for name in names if f"{SEPARATOR}{name}{SEPARATOR}" in held)


def explanations(groups: Iterable[RuleGroup]) -> tuple[Explanation, ...]:
    """Return which alerts of objectives explain others.

    A spent budget is explained by a page of its objective, unless it pages itself, and a threshold by a higher one.

    Args:
        groups: groups of rules, those of objectives among them.

    Example:
        >>> from resilience.slo import SLO, compile_rules
        >>> found = explanations(compile_rules([SLO("ok", service="shop", target=0.999)]))
        >>> [[f"{each.label}{each.op}{each.value}" for each in one.target[1:]] for one in found]
        [['severity!~critical|page'], ['consumed=50'], ['consumed=75'], ['consumed=90']]
    """
    given = {
        rule.labels.get("consumed", "")
        for group in groups
        for rule in group.rules
        if rule.name == EXHAUSTION_ALERT and isinstance(rule, AlertRule)
    }
    thresholds = sorted(filter(_is_number, given), key=Decimal)
    if not thresholds:
        return ()
    spent = Matcher("alertname", "=", EXHAUSTION_ALERT)
    page = Matcher("alertname", "=", BURN_ALERT), Matcher("severity", "=~", _PAGES)
    found = [Explanation(page, (spent, Matcher("severity", "!~", _PAGES)))]
    for rank, threshold in enumerate(thresholds[:-1], 1):
        higher = "|".join(map(re.escape, thresholds[rank:]))
        found.append(
            Explanation(
                (spent, Matcher("consumed", "=~", higher)), (spent, Matcher("consumed", "=", threshold))
            )
        )
    return tuple(found)


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False
