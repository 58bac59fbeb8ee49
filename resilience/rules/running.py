"""Rules and groups as they run: when they are due, and who they are where they change."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from resilience import promql
from resilience.core.clock import Instant
from resilience.core.ports import Labels, Matcher
from resilience.rules.model import Rule, RuleGroup
from resilience.rules.result import Recorder
from resilience.rules.state import RuleState

__all__ = ["Running", "Unit", "names_read", "owner_of", "selectors_of"]

_EPSILON = 1e-6  # clock readings are floats


@dataclass(slots=True)
class Unit:
    """One rule as it runs."""

    rule: Rule
    owner: str
    query: promql.Query | None
    record: Recorder | None
    state: RuleState | None


@dataclass(slots=True)
class Running:
    """One group as it runs.

    Args:
        group: the group.
        units: its rules by owner, in the order of evaluation.
        interval: seconds between evaluations.
        reads: names of the metrics that the rules read; None among them where a selector has no name.
        windows: windows that are still to be kept for rules that were compiled anew, by matchers and seconds, each with
            one rule.
        due: the time of the next evaluation, or None until the first one has ended.
        failing: the labels of the failure of each rule that fails, by owner.
        earlier: the version of the group whose alerts it shares, until it replaces that version.
        dropped: the rules of that version that this one lacks, by owner.
    """

    group: RuleGroup
    units: dict[str, Unit]
    interval: float
    reads: frozenset[str | None]
    windows: dict[tuple[tuple[Matcher, ...], float], Rule] = field(default_factory=dict)
    due: float | None = None
    failing: dict[str, Labels] = field(default_factory=dict)
    earlier: Running | None = None
    dropped: dict[str, Unit] = field(default_factory=dict)

    def share_alerts(self, earlier: Running) -> None:
        """Share the alerts of an earlier version of the group, so that `succeed` need not visit each rule."""
        for unit in self.units.values():
            before = earlier.units.get(unit.owner)
            if before is not None and before.state is not None and unit.state is not None:
                unit.state.share(before.state)
        self.earlier = earlier
        self.dropped = {owner: unit for owner, unit in earlier.units.items() if owner not in self.units}

    def succeed(self, earlier: Running | None) -> Mapping[str, Unit]:
        """Continue the alerts, the failures and the time of the next evaluation of an earlier version of the group.

        Returns:
            the rules of the earlier version that this one lacks, by owner.
        """
        if earlier is None:
            self.earlier, self.dropped = None, {}
            return {}
        if self.earlier is not earlier:
            self.share_alerts(earlier)
        dropped, self.earlier, self.dropped = self.dropped, None, {}
        if earlier.failing:
            self.failing = {owner: labels for owner, labels in earlier.failing.items() if owner in self.units}
        if earlier.interval == self.interval and len(dropped) < len(earlier.units):
            self.due = earlier.due
        return dropped

    def is_due(self, now: Instant) -> bool:
        """Whether it should be evaluated."""
        return self.due is None or now.monotonic >= self.due - _EPSILON

    def advance(self, now: Instant) -> None:
        """Be due at the next of the moments that are so many intervals after the first."""
        due = now.monotonic if self.due is None else self.due
        missed = math.floor((now.monotonic - due + _EPSILON) / self.interval)
        self.due = due + (missed + 1) * self.interval


def names_read(rules: Iterable[Rule]) -> frozenset[str | None]:
    """Return the names of the metrics that rules read; None among them where a selector has no name."""
    names = frozenset(use.name for rule in rules for use in selectors_of(rule))
    return names | {"ALERTS"} if "ALERTS_FOR_STATE" in names else names


def owner_of(group: RuleGroup, rule: Rule) -> str:
    """What a rule is known by when rules are read again."""
    labels = ",".join(f"{name}={value}" for name, value in rule.labels.items())
    return f"{group.file or ''}/{group.name}/{type(rule).__name__}/{rule.name}{{{labels}}}"


def selectors_of(rule: Rule) -> Sequence[promql.SelectorUse]:
    """Where a rule's expression looks."""
    return () if rule.expression is None else rule.expression.selectors
