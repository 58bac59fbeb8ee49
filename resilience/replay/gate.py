"""Objectives whose alerts can change at a tick: only their rules are evaluated.

A month has 172,800 ticks, and an objective some 35 rules. At nearly every tick each alert stays as it is, and two
counters per objective prove it. Rules are evaluated as soon as one of their alerts would change, so incidents, states
and timestamps are those of an evaluation at every tick.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from resilience.core.clock import Instant
from resilience.replay.burn_conditions import (
    SLACK,
    AlertKey,
    BurnConditions,
    Edge,
    rule_key,
    scaled_key,
)
from resilience.rules import Alert, AlertState, RuleGroup
from resilience.rules.running import selectors_of
from resilience.signals import Retention, Signals
from resilience.slo import SLO, BurnRateAlert, ErrorBudget
from resilience.slo.account import Account
from resilience.slo.alerts import exhaustion_keeps_firing_for
from resilience.slo.exported import EXPORTED
from resilience.slo.measure import Events
from resilience.slo.meter import counts_exactly

__all__ = ["ObjectiveGate", "reads_objectives"]

_START: Final = 4  # ticks until every rule has been evaluated, and every budget exported
_EARLY: Final = 1e-3  # seconds by which an evaluation may be too early, but never too late
_WRITTEN: Final = ("slo:", "slo_", "ALERTS", *EXPORTED)


def reads_objectives(groups: Iterable[RuleGroup]) -> bool:
    """Return True if rules read what the rules of objectives record, or what budgets export, or may do so.

    Args:
        groups: rules of a user.
    """
    for group in groups:
        for rule in group.rules:
            texts = (*rule.labels.values(), *getattr(rule, "annotations", {}).values())
            if rule.expression is None or any("query" in text for text in texts):
                return True
            for use in selectors_of(rule):
                names = [each.value for each in use.matchers if each.label == "__name__" and each.op == "="]
                if not names or names[0].startswith(_WRITTEN):
                    return True
    return False


class _Objective:
    """One objective, and the alerts of it that are active."""

    def __init__(self, slo: SLO, account: Account, burning: BurnConditions) -> None:
        self.slo = slo
        self.account = account
        self.burning = burning
        self.active: list[tuple[AlertKey, Alert]] = []
        self.counted = (0.0, 0.0)
        self.watched = True
        self._budget = float(slo.budget)
        self._least = slo.least_in_period
        self._spent = [
            (
                _spent_key(f"{(each.consumed * 100).normalize():f}"),
                float(each.consumed),
                float(1 - each.consumed),
            )
            for each in slo.alerting.exhaustion
        ]
        # An annotation of the user's may show a value, which every evaluation changes.
        self._shows_values = any("{{" in text for text in slo.annotations.values())
        self._held: frozenset[AlertKey] = frozenset()
        self._until = math.inf

    def settle(self) -> None:
        """Note how long the active alerts stay as they are, and while which conditions hold."""
        self._held = frozenset(key for key, alert in self.active if alert.keep_firing_since is None)
        self._until = min((self._settled_until(alert) for _, alert in self.active), default=math.inf)

    def _settled_until(self, alert: Alert) -> float:
        if alert.state is not AlertState.FIRING or alert.no_data_since is not None or self._shows_values:
            return -math.inf
        if alert.keep_firing_since is None:
            return math.inf
        return alert.keep_firing_since.monotonic + exhaustion_keeps_firing_for(self.slo) - _EARLY

    def can_change(self, at: float, edges: Mapping[float, Edge] | None) -> bool:
        """Return True if an evaluation would change an alert.

        Args:
            at: monotonic seconds of the tick.
            edges: left edges by window; None where bounds prove nothing.
        """
        return at >= self._until or self.burning.held(at, edges).union(self._spending()) != self._held

    def _spending(self) -> Iterator[AlertKey]:
        """Yield the exhaustion alerts whose conditions hold, for the budget as it was exported last."""
        bad, total = self.counted
        events, failures = self._least
        if not total or (events and total <= events - 0.5) or (failures and bad <= failures - 0.5):
            return
        consumed = bad / (self._budget * total)
        for key, threshold, left in self._spent:
            holds = consumed >= threshold
            if abs(consumed - threshold) <= SLACK:
                remaining = ErrorBudget(self.slo.budget, bad, total).remaining
                holds = remaining is not None and float(remaining) <= left
            if holds:
                yield key


class ObjectiveGate:
    """Chooses, tick by tick, the objectives whose rules are evaluated.

    Args:
        slos: the objectives.
        scaled: burn-rate alerts of an objective with other thresholds, by their scale.
        account: finds the account of an objective; None for a composite.
        signals: where events are recorded.
        interval: seconds between ticks.
    """

    def __init__(
        self,
        slos: Iterable[SLO],
        scaled: Callable[[SLO], Mapping[str, Sequence[BurnRateAlert]]],
        account: Callable[[str], Account | None],
        signals: Signals,
        *,
        interval: float,
    ) -> None:
        self._objectives: dict[str, _Objective] = {}
        for slo in slos:
            own = account(slo.id)
            if own is None or not _is_simple(slo):
                continue  # its rules are evaluated at every tick
            self._objectives[slo.id] = _Objective(slo, own, BurnConditions(slo, own, scaled(slo), signals))
        windows = {
            window
            for each in self._objectives.values()
            for alert in each.slo.burn_rates
            for window in (alert.window, alert.short_window)
        }
        self._windows = {window: _blur(window, signals.retention, interval) for window in windows}
        self._longest = max((window + blur for window, blur in self._windows.items()), default=0.0)
        self._kept = math.ceil(self._longest / interval) + 2
        self._times = array("d")
        self._exact_until = -math.inf
        self._ticks = 0

    def look(self, now: Instant) -> list[SLO]:
        """Return the objectives that are watched from this tick on and were not at the last one.

        Args:
            now: a tick; events are counted up to it.
        """
        self._ticks += 1
        self._remember(now.monotonic)
        edges = None if now.monotonic < self._exact_until else self._edges(now.monotonic)
        woken = []
        for each in self._objectives.values():
            before = each.watched
            each.watched = self._ticks <= _START or each.can_change(now.monotonic, edges)
            if each.watched and not before:
                woken.append(each.slo)
        return woken

    def watches(self, slo_id: str) -> bool:
        """Return True if the rules of an objective are to be evaluated at this tick."""
        each = self._objectives.get(slo_id)
        return each is None or each.watched

    def watch_all(self) -> list[SLO]:
        """Watch every objective at this tick; returns those that were not watched."""
        woken = [each.slo for each in self._objectives.values() if not each.watched]
        for each in self._objectives.values():
            each.watched = True
        return woken

    def jump(self, now: float) -> None:
        """Note that time passed without ticks: a window that begins in the gap begins after it.

        Args:
            now: monotonic seconds after the gap.
        """
        self._exact_until = now + 2 * self._longest

    def counted(self, slo_id: str) -> tuple[float, float]:
        """Return bad and all events of the period at the last tick."""
        return self._objectives[slo_id].counted

    def end(self) -> None:
        """Keep the counts of this tick for the next one, at which rules read them."""
        for each in self._objectives.values():
            ledger = each.account.ledger
            each.counted = ledger.bad, ledger.total

    def settle(self, alerts: Iterable[Alert], other: Iterable[Alert], scale: str, name: str) -> None:
        """Note which alerts are active after an evaluation.

        Args:
            alerts: alerts of the objectives' own rules.
            other: alerts with other thresholds.
            scale: label with the scale of those.
            name: label with the name of the burn-rate alert that they are of.
        """
        watched = {key: each for key, each in self._objectives.items() if each.watched}
        for each in watched.values():
            each.active.clear()
        for alert in alerts:
            own = watched.get(alert.labels.get("slo", ""))
            if own is not None and alert.group == f"slo:{own.slo.id}":
                own.active.append((rule_key(alert.labels), alert))
            elif own is not None and alert.group == f"slo:{own.slo.id}:budget":
                own.active.append((_spent_key(alert.labels["consumed"]), alert))
        for alert in other:
            own = watched.get(alert.labels["slo"])
            if own is not None:
                own.active.append((scaled_key(alert.labels[scale], alert.labels[name]), alert))
        for each in watched.values():
            each.settle()

    def _remember(self, at: float) -> None:
        self._times.append(at)
        for each in self._objectives.values():
            each.burning.remember()
        if len(self._times) > 2 * self._kept:
            excess = len(self._times) - self._kept
            del self._times[:excess]
            for each in self._objectives.values():
                each.burning.forget(excess)

    def _edges(self, at: float) -> dict[float, Edge]:
        times, last = self._times, len(self._times) - 1
        return {
            window: Edge(
                bisect_right(times, at - window - blur) - 1, min(last, bisect_left(times, at - window + blur))
            )
            for window, blur in self._windows.items()
        }


def _is_simple(slo: SLO) -> bool:
    """Return True if the counts of an objective's account are those of its rules, at every tick."""
    return (
        isinstance(slo.measure, Events)
        and not slo.sliced
        and not slo.exclusions
        and slo.backend != "prometheus"
        and counts_exactly(slo.measure)
    )


def _spent_key(consumed: str) -> AlertKey:
    return "spent", consumed


def _blur(window: float, retention: Retention, interval: float) -> float:
    """Return the seconds by which the left edge of a window may be off: it is interpolated between two rows."""
    steps = [
        step for step, rows in retention.rings if (rows - 1) * max(step, interval) >= window + 2 * interval
    ]
    return (steps[0] if steps else retention.long_step) + 2 * interval
