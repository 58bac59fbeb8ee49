"""Conditions of burn-rate alerts, decided from cumulative counts wherever these prove enough."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from resilience import promql
from resilience.core.duration import format_duration
from resilience.signals import Signals
from resilience.slo import SLO, BurnRateAlert
from resilience.slo.account import Account
from resilience.slo.alerts import BURN_RATE_FOR, burn_rates_by_rule
from resilience.slo.measure import Events

__all__ = ["SLACK", "AlertKey", "BurnConditions", "Edge", "rule_key", "scaled_key"]

SLACK: Final = 1e-9
"""Relative difference below which only a query decides, because sums of floats are not exact."""

_COUNT_SLACK: Final = 0.1  # events; the bounds of rules are halves

AlertKey: TypeAlias = tuple[str, ...]
"""Key of an alert: the severity of its rule; for another threshold its scale, too; for a spent budget the threshold."""


class Edge(NamedTuple):
    """Indices of the history around the left edge of a window; -1 is before its beginning."""

    before: int
    after: int


class _Pair:
    """Conditions over the same two windows, by rising threshold: if one holds, all before it hold."""

    __slots__ = ("above", "below", "keys", "long", "short", "thresholds")

    def __init__(self, long: float, short: float, conditions: Iterable[tuple[float, AlertKey]]) -> None:
        ordered = sorted(conditions)
        self.long, self.short = long, short
        self.thresholds: list[float] = [threshold for threshold, _ in ordered]
        self.keys: list[AlertKey] = [key for _, key in ordered]
        self.above: list[float] = [threshold * (1 + SLACK) + SLACK for threshold in self.thresholds]
        self.below: list[float] = [threshold * (1 - SLACK) - SLACK for threshold in self.thresholds]


class BurnConditions:
    """Conditions of the burn-rate alerts of one objective, with its counts at the last ticks.

    The edges of a window lie between two ticks of the history, and so does its bad ratio. If a threshold is between
    these bounds, the counts of the window itself decide; if it is all but equal, the queries of the rules do.

    Args:
        slo: the objective, whose account counts exactly what its rules read.
        account: its account.
        scaled: its burn-rate alerts with other thresholds, by their scale.
        signals: where events are recorded.
    """

    def __init__(
        self, slo: SLO, account: Account, scaled: Mapping[str, Sequence[BurnRateAlert]], signals: Signals
    ) -> None:
        by_windows: dict[tuple[float, float], list[tuple[float, AlertKey]]] = {}
        for key, alert in _keyed(slo, scaled):
            condition = float(alert.threshold(slo.budget)), key
            by_windows.setdefault((alert.window, alert.short_window), []).append(condition)
        self._pairs = [_Pair(*windows, conditions) for windows, conditions in by_windows.items()]
        self._least = slo.alerting.min_events, slo.alerting.min_failures
        self._account = account
        self._events = slo.measure
        self._source = signals.source
        self._bad = array("d")
        self._total = array("d")
        self._counts: dict[float, tuple[float, float]] = {}
        self._queries: dict[str, promql.Query] = {}
        self._holding: list[int] = []
        self._held: frozenset[AlertKey] = frozenset()

    def remember(self) -> None:
        """Add the counts of this tick to the history."""
        self._bad.append(self._account.bad)
        self._total.append(self._account.total)

    def forget(self, count: int) -> None:
        """Drop the oldest entries of the history."""
        del self._bad[:count], self._total[:count]

    def held(self, at: float, edges: Mapping[float, Edge] | None) -> frozenset[AlertKey]:
        """Return the alerts whose conditions hold.

        Args:
            at: monotonic seconds of the tick.
            edges: left edges by window; None where bounds prove nothing.
        """
        self._counts.clear()
        holding = [self._number_of_held(pair, at, edges) for pair in self._pairs]
        if holding != self._holding:
            self._holding = holding
            self._held = frozenset(
                key for pair, count in zip(self._pairs, holding, strict=True) for key in pair.keys[:count]
            )
        return self._held

    def _number_of_held(self, pair: _Pair, at: float, edges: Mapping[float, Edge] | None) -> int:
        certain, possible = 0, len(pair.keys)
        if edges is not None:
            long = edges[pair.long]
            highest = self._highest_ratio(long)
            if highest <= pair.below[0]:
                return 0
            short = edges[pair.short]
            possible = bisect_left(pair.below, min(highest, self._highest_ratio(short)))
            if not possible or not self._may_suffice(long):
                return 0
            if self._suffices(long):
                certain = bisect_left(pair.above, min(self._lowest_ratio(long), self._lowest_ratio(short)))
        while certain < possible and self._holds(pair, pair.thresholds[certain], at):
            certain += 1
        return certain

    # -- bounds

    def _highest_ratio(self, edge: Edge) -> float:
        before, after = edge
        bad = self._bad[-1] - (self._bad[before] if before >= 0 else 0.0)
        total = self._total[-1] - self._total[after]
        if total > 0:
            return bad / total
        return math.inf if bad > 0 else 0.0

    def _lowest_ratio(self, edge: Edge) -> float:
        before, after = edge
        bad = self._bad[-1] - self._bad[after]
        total = self._total[-1] - (self._total[before] if before >= 0 else 0.0)
        return bad / total if total > 0 else 0.0

    def _may_suffice(self, edge: Edge) -> bool:
        """Return True if the events of a window may be enough for an alert."""
        before, _ = edge
        events, failures = self._least
        total = self._total[-1] - (self._total[before] if before >= 0 else 0.0)
        bad = self._bad[-1] - (self._bad[before] if before >= 0 else 0.0)
        return (not events or total > events - 0.5 - _COUNT_SLACK) and (
            not failures or bad > failures - 0.5 - _COUNT_SLACK
        )

    def _suffices(self, edge: Edge) -> bool:
        """Return True if the events of a window are certainly enough for an alert."""
        _, after = edge
        events, failures = self._least
        return (
            self._total[-1] - self._total[after] > events - 0.5 + _COUNT_SLACK
            and self._bad[-1] - self._bad[after] > failures - 0.5 + _COUNT_SLACK
        )

    # -- the windows themselves

    def _holds(self, pair: _Pair, threshold: float, at: float) -> bool:
        """Decide a condition by the counts of its windows."""
        (bad, total), (short_bad, short_total) = self._within(pair.long, at), self._within(pair.short, at)
        events, failures = self._least
        decisions = [
            _exceeds(bad, threshold * total, SLACK * (total + 1)),
            _exceeds(short_bad, threshold * short_total, SLACK * (short_total + 1)),
            _exceeds(total, events - 0.5, _COUNT_SLACK) if events else True,
            _exceeds(bad, failures - 0.5, _COUNT_SLACK) if failures else True,
        ]
        if False in decisions:
            return False
        return None not in decisions or self._holds_in_rules(pair, threshold, at)

    def _within(self, window: float, at: float) -> tuple[float, float]:
        known = self._counts.get(window)
        if known is None:
            known = self._counts[window] = self._account.within(window, at)
        return known

    def _holds_in_rules(self, pair: _Pair, threshold: float, at: float) -> bool:
        """Decide a condition by the queries that the rules consist of."""
        events = self._events
        assert isinstance(events, Events)  # noqa: S101  others are evaluated at every tick
        long, short = format_duration(pair.long), format_duration(pair.short)
        least = zip(self._least, (events.total_in, events.bad_in), strict=True)
        return (
            self._value(events.ratio_in(long), at) > threshold
            and self._value(events.ratio_in(short), at) > threshold
            and all(not bound or self._value(query(long), at) > bound - 0.5 for bound, query in least)
        )

    def _value(self, text: str, at: float) -> float:
        query = self._queries.get(text)
        if query is None:
            query = self._queries[text] = promql.compile(text, self._source)
        found = query(at)
        assert isinstance(found, promql.Vector)  # noqa: S101  sums are vectors
        return found.values[0] if found.values else math.nan


def rule_key(labels: Mapping[str, str]) -> AlertKey:
    """Return the key of the alert of a burn-rate rule.

    Args:
        labels: its labels, or those that are the rule's own.
    """
    return "burning", labels["severity"], labels.get(BURN_RATE_FOR, "")


def scaled_key(scale: str, name: str) -> AlertKey:
    """Return the key of an alert with another threshold.

    Args:
        scale: factor of its threshold.
        name: name of the burn-rate alert.
    """
    return "scaled", scale, name


def _keyed(
    slo: SLO, scaled: Mapping[str, Sequence[BurnRateAlert]]
) -> Iterable[tuple[AlertKey, BurnRateAlert]]:
    for labels, alerts in burn_rates_by_rule(slo):
        for alert in alerts:
            yield rule_key(labels), alert
    for scale, others in scaled.items():
        for alert in others:
            yield scaled_key(scale, alert.name), alert


def _exceeds(value: float, bound: float, slack: float) -> bool | None:
    """Return True if a value is above a bound; None if they are too close."""
    difference = value - bound
    return None if abs(difference) <= slack else difference > 0
