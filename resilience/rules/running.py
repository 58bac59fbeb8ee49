"""Rules and groups as they run: when they are due, and who they are where they change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from resilience import promql
from resilience.core.clock import Instant
from resilience.core.ports import Labels
from resilience.rules.model import Rule, RuleGroup
from resilience.rules.result import Recorder
from resilience.rules.state import RuleState

__all__ = ["Running", "Unit", "owner_of", "selectors_of"]

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
    """One group as it runs; `due` is None until its first evaluation has come to its end."""

    group: RuleGroup
    units: list[Unit]
    interval: float
    due: float | None = None
    failing: dict[str, Labels] = field(default_factory=dict)

    def is_due(self, now: Instant) -> bool:
        """Whether it should be evaluated."""
        return self.due is None or now.monotonic >= self.due - _EPSILON

    def advance(self, now: Instant) -> None:
        """Be due at the next of the moments that are so many intervals after the first."""
        due = now.monotonic if self.due is None else self.due
        missed = math.floor((now.monotonic - due + _EPSILON) / self.interval)
        self.due = due + (missed + 1) * self.interval


def owner_of(group: RuleGroup, rule: Rule) -> str:
    """What a rule is known by when rules are read again."""
    labels = ",".join(f"{name}={value}" for name, value in rule.labels.items())
    return f"{group.file or ''}/{group.name}/{type(rule).__name__}/{rule.name}{{{labels}}}"


def selectors_of(rule: Rule) -> Sequence[promql.SelectorUse]:
    """Where a rule's expression looks."""
    return () if rule.expression is None else rule.expression.selectors
