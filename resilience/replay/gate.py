"""Objectives whose alerts can change at a tick: only their rules are evaluated.

A month has 172,800 ticks, and an objective some 35 rules. At nearly every tick each alert stays as it is, and two
counters per objective prove it: the bad ratio of a window lies between bounds that cumulative counts give. Where they
do not decide, the query of the recording rule itself does. Rules are evaluated as soon as one of their alerts would
change, so incidents, states and timestamps are those of an evaluation at every tick.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from resilience import promql
from resilience.core.clock import Instant
from resilience.core.duration import format_duration
from resilience.rules import Alert, AlertState, RuleGroup
from resilience.rules.running import selectors_of
from resilience.signals import Retention, Signals
from resilience.slo import SLO, BurnRateAlert, ErrorBudget
from resilience.slo.account import Account
from resilience.slo.alerts import BURN_RATE_FOR, burn_rates_by_rule
from resilience.slo.exported import EXPORTED
from resilience.slo.measure import Events
from resilience.slo.meter import counts_exactly

__all__ = ["ObjectiveGate", "reads_objectives"]

_START: Final = 4  # ticks until every rule has been evaluated, and every budget exported
_SLACK: Final = 1e-9  # relative: float dust must not decide
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


_Key: TypeAlias = tuple[str, ...]
"""Key of an alert: the severity of its rule; for another threshold its scale, too; for a spent budget the threshold."""


class _Condition(NamedTuple):
    """Condition of a burn-rate alert: both windows above a threshold."""

    key: _Key
    window: float
    short: float
    threshold: float


class _Edge(NamedTuple):
    """Places in the history around the left edge of a window; -1 is before all."""

    before: int
    after: int


@dataclass(slots=True)
class _Bounds:
    """Bounds of a window's counts."""

    bad_low: float
    bad_high: float
    total_low: float
    total_high: float


class _Objective:
    """One objective, its history, and the alerts of it that are active."""

    def __init__(
        self, slo: SLO, account: Account, conditions: Sequence[_Condition], signals: Signals
    ) -> None:
        self.slo = slo
        self.account = account
        self.active: dict[_Key, bool] = {}
        """Active alerts: True for one that stays as it is while its condition holds."""
        self.bad = array("d")
        self.total = array("d")
        self.counted = (0.0, 0.0)
        self.watched = True
        self._conditions = conditions
        self._by_window: dict[tuple[float, float], list[_Condition]] = {}
        for each in conditions:
            self._by_window.setdefault((each.window, each.short), []).append(each)
        self._events = slo.measure if isinstance(slo.measure, Events) else None
        self._source = signals.source
        self._queries: dict[str, promql.Query] = {}
        self._known: dict[str, float] = {}
        self._spent = [
            (
                ("spent", f"{(each.consumed * 100).normalize():f}"),
                float(each.consumed),
                float(1 - each.consumed),
            )
            for each in slo.alerting.exhaustion
        ]
        # An annotation of the user's may show a value, which every evaluation changes.
        self._shows_values = any("{{" in text for text in slo.annotations.values())
        self._least = slo.alerting.min_events, slo.alerting.min_failures

    def can_change(self, at: float, edges: Mapping[float, _Edge] | None) -> bool:
        """Return True if an evaluation would change an alert.

        Args:
            at: monotonic seconds of the tick.
            edges: left edges by window; None where bounds prove nothing.
        """
        self._known.clear()
        if self.active and (self._shows_values or not all(self.active.values())):
            return True
        return any(self._burn_changes(at, edges)) or any(self._spending_changes())

    def _burn_changes(self, at: float, edges: Mapping[float, _Edge] | None) -> Iterator[bool]:
        held: set[_Key] = set()
        for (window, short), conditions in self._by_window.items():
            long_bounds = None if edges is None else self._bounds(edges[window])
            short_bounds = None if edges is None else self._bounds(edges[short])
            for each in conditions:
                if each.key in held:  # one condition of a rule is enough
                    continue
                holds = self._holds(each.threshold, long_bounds, short_bounds)
                if holds is None:
                    holds = self._holds_exactly(each, at)
                if holds:
                    held.add(each.key)
                    yield each.key not in self.active
        yield any(each.key in self.active and each.key not in held for each in self._conditions)

    def _bounds(self, edge: _Edge) -> _Bounds:
        bad, total = self.bad, self.total
        before, after = edge
        return _Bounds(
            bad[-1] - bad[after],
            bad[-1] - (bad[before] if before >= 0 else 0.0),
            total[-1] - total[after],
            total[-1] - (total[before] if before >= 0 else 0.0),
        )

    def _holds(self, threshold: float, long: _Bounds | None, short: _Bounds | None) -> bool | None:
        """Decide a condition by bounds; None where they do not."""
        if long is None or short is None:
            return None
        events, failures = self._least
        above, below = threshold * (1 + _SLACK) + _SLACK, threshold * (1 - _SLACK) - _SLACK
        if (
            long.bad_high <= below * long.total_low
            or short.bad_high <= below * short.total_low
            or (events and long.total_high < events - 0.6)
            or (failures and long.bad_high < failures - 0.6)
        ):
            return False
        if (
            long.bad_low > above * long.total_high
            and short.bad_low > above * short.total_high
            and long.total_low > events - 0.4
            and long.bad_low > failures - 0.4
        ):
            return True
        return None

    def _holds_exactly(self, condition: _Condition, at: float) -> bool:
        """Decide a condition by the queries that the rules consist of."""
        events = self._events
        assert events is not None  # noqa: S101  others are evaluated at every tick
        window, short = format_duration(condition.window), format_duration(condition.short)
        least = zip(self._least, (events.total_in, events.bad_in), strict=True)
        return (
            self._value(events.ratio_in(window), at) > condition.threshold
            and self._value(events.ratio_in(short), at) > condition.threshold
            and all(not bound or self._value(query(window), at) > bound - 0.5 for bound, query in least)
        )

    def _value(self, text: str, at: float) -> float:
        known = self._known.get(text)
        if known is None:
            query = self._queries.get(text)
            if query is None:
                query = self._queries[text] = promql.compile(text, self._source)
            found = query(at)
            assert isinstance(found, promql.Vector)  # noqa: S101  sums are vectors
            known = self._known[text] = found.values[0] if found.values else math.nan
        return known

    def _spending_changes(self) -> Iterator[bool]:
        """Yield for each exhaustion alert whether the budget, as it was exported last, changes it."""
        bad, total = self.counted
        events, failures = self.slo.least_in_period
        enough = (not events or total > events - 0.5) and (not failures or bad > failures - 0.5)
        consumed = bad / (float(self.slo.budget) * total) if total else math.nan
        for key, threshold, left in self._spent:
            holds = consumed >= threshold
            if abs(consumed - threshold) <= _SLACK:
                remaining = ErrorBudget(self.slo.budget, bad, total).remaining
                holds = remaining is not None and float(remaining) <= left
            yield (holds and enough) is not (key in self.active)

    def remember(self) -> None:
        """Add the counts of this tick to the history."""
        self.bad.append(self.account.bad)
        self.total.append(self.account.total)

    def forget(self, count: int) -> None:
        """Drop the oldest entries of the history."""
        del self.bad[:count], self.total[:count]


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
            conditions = list(_conditions(slo, scaled(slo)))
            self._objectives[slo.id] = _Objective(slo, own, conditions, signals)
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
        for each in self._objectives.values():
            if each.watched:
                each.active.clear()
        for alert in alerts:
            own = self._objectives.get(alert.labels.get("slo", ""))
            if own is not None and alert.group == f"slo:{own.slo.id}":
                own.active[_rule_key(alert.labels)] = _is_settled(alert)
            elif own is not None and alert.group == f"slo:{own.slo.id}:budget":
                own.active["spent", alert.labels["consumed"]] = _is_settled(alert)
        for alert in other:
            scaled = self._objectives.get(alert.labels["slo"])
            if scaled is not None:
                scaled.active["scaled", alert.labels[scale], alert.labels[name]] = _is_settled(alert)

    def _remember(self, at: float) -> None:
        self._times.append(at)
        for each in self._objectives.values():
            each.remember()
        if len(self._times) > 2 * self._kept:
            excess = len(self._times) - self._kept
            del self._times[:excess]
            for each in self._objectives.values():
                each.forget(excess)

    def _edges(self, at: float) -> dict[float, _Edge]:
        times, last = self._times, len(self._times) - 1
        return {
            window: _Edge(
                bisect_right(times, at - window - blur) - 1, min(last, bisect_left(times, at - window + blur))
            )
            for window, blur in self._windows.items()
        }


def _is_settled(alert: Alert) -> bool:
    """Return True if an alert stays as it is while its condition holds."""
    return (
        alert.state is AlertState.FIRING and alert.keep_firing_since is None and alert.no_data_since is None
    )


def _is_simple(slo: SLO) -> bool:
    """Return True if the counts of an objective's account are those of its rules, at every tick."""
    return (
        isinstance(slo.measure, Events)
        and not slo.sliced
        and not slo.exclusions
        and slo.backend != "prometheus"
        and counts_exactly(slo.measure)
    )


def _conditions(slo: SLO, scaled: Mapping[str, Sequence[BurnRateAlert]]) -> Iterator[_Condition]:
    keys = {alert.name: _rule_key(labels) for labels, alerts in burn_rates_by_rule(slo) for alert in alerts}
    own = [(keys[alert.name], alert) for alert in slo.burn_rates]
    others = [(("scaled", scale, alert.name), alert) for scale, alerts in scaled.items() for alert in alerts]
    for key, alert in (*own, *others):
        yield _Condition(key, alert.window, alert.short_window, float(alert.threshold(slo.budget)))


def _rule_key(labels: Mapping[str, str]) -> _Key:
    return "burning", labels["severity"], labels.get(BURN_RATE_FOR, "")


def _blur(window: float, retention: Retention, interval: float) -> float:
    """Return the seconds by which the left edge of a window may be off: it is interpolated between two rows."""
    steps = [
        step for step, rows in retention.rings if (rows - 1) * max(step, interval) >= window + 2 * interval
    ]
    return (steps[0] if steps else retention.long_step) + 2 * interval
