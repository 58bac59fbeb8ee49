"""What was counted for every objective: here, by another server, or by the objectives that one weighs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from resilience.core.clock import Instant
from resilience.signals import Signals
from resilience.slo.account import Account
from resilience.slo.budget import ErrorBudget, exact
from resilience.slo.figures import Figures
from resilience.slo.ledger import Bucket, Ledger
from resilience.slo.measure import Weighted
from resilience.slo.objective import SLO

__all__ = ["Counts", "weigh_history"]

Count: TypeAlias = tuple[float | Decimal, float | Decimal]
"""Bad and all events."""


class Counts:
    """Counts for objectives, tick by tick.

    Args:
        signals: where their events are recorded.
    """

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._now = signals.last_tick
        self._slos: Mapping[str, SLO] = {}
        self._accounts: dict[str, Account] = {}
        self._elsewhere: dict[str, Figures] = {}

    def use(self, slos: Mapping[str, SLO]) -> None:
        """Count for these from now on; those that are there already keep what they counted, if it is still the same thing."""
        before, self._slos = self._slos, slos
        accounts, self._accounts = self._accounts, {}
        self._elsewhere = {
            name: each for name, each in self._elsewhere.items() if slos.get(name) == before[name]
        }
        for name, slo in slos.items():
            if isinstance(slo.measure, Weighted):
                continue
            kept = accounts.get(name)
            if kept is not None and slo == before[name]:
                self._accounts[name] = kept
                continue
            self._accounts[name] = account = Account(slo, self._signals)
            if kept is not None:
                account.restore(kept.snapshot(self._now), self._now)

    def observe(self, slo_id: str, figures: Figures) -> None:
        """Take what another server says."""
        self._elsewhere[slo_id] = figures

    def tick(self, now: Instant) -> None:
        """Take in what was counted since the last tick."""
        self._now = now
        for account in self._accounts.values():
            account.tick(now)

    # -- asking -------------------------------------------------------------------------------------------------

    def in_period(self, slo: SLO) -> Count:
        """What was counted in the period."""
        if (figures := self._elsewhere.get(slo.id)) is not None:
            return figures.bad, figures.total
        if isinstance(slo.measure, Weighted):
            return _weigh(
                slo.measure, {name: self.in_period(self._slos[name]) for name in slo.measure.weights}
            )
        ledger = self._accounts[slo.id].ledger
        return ledger.bad, ledger.total

    def left(self, slo: SLO) -> Decimal | None:
        """The share of its budget that is left, None while too few events speak for it."""
        bad, total = self.in_period(slo)
        return ErrorBudget(slo.budget, bad, total).remaining if slo.conclusive(bad, total) else None

    def within(self, slo: SLO, window: float) -> Count:
        """What was counted in a window of seconds, as rules see it."""
        if (figures := self._elsewhere.get(slo.id)) is not None:
            return figures.windows.get(window, (0.0, 0.0))
        if isinstance(slo.measure, Weighted):
            parts = {name: self.within(self._slos[name], window) for name in slo.measure.weights}
            return _weigh(slo.measure, parts)
        return self._accounts[slo.id].within(window, self._now.monotonic)

    def since(self, slo: SLO, window: float) -> Count:
        """What was counted in the whole buckets of a window of seconds."""
        if slo.id in self._elsewhere:
            return self.within(slo, window)
        if isinstance(slo.measure, Weighted):
            parts = {name: self.since(self._slos[name], window) for name in slo.measure.weights}
            return _weigh(slo.measure, parts)
        return self._accounts[slo.id].ledger.since(self._now.monotonic - window)

    def history(self, slo: SLO) -> list[Bucket]:
        """What was counted in the period, bucket by bucket, by Unix time."""
        if isinstance(slo.measure, Weighted):
            parts = {name: self.history(self._slos[name]) for name in slo.measure.weights}
            return weigh_history(slo.measure, parts, Ledger(slo.reach).step)
        if (figures := self._elsewhere.get(slo.id)) is not None:
            return list(figures.history)
        return [Bucket(*each) for each in self._accounts[slo.id].ledger.snapshot(self._now)]

    # -- what outlives the process ------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Put it into plain data, by the objectives' ids."""
        return {name: each.snapshot(self._now) for name, each in self._accounts.items()}

    def restore(self, saved: Mapping[str, Any], now: Instant) -> None:
        """Take up what another process left.

        Raises:
            ConfigError: it is not such data.
        """
        self._now = now
        for name, each in self._accounts.items():
            if name in saved:
                each.restore(saved[name], now)


def weigh_history(measure: Weighted, parts: Mapping[str, Sequence[Bucket]], step: float) -> list[Bucket]:
    """Return the history of a composite, as that of one event in the whole period.

    Each part counts in a bucket by the share of its events that are there: so the buckets sum up to the weighted mean of
    the parts' ratios, and the ratio of any stretch is a ratio of sums.

    Args:
        measure: the weights.
        parts: the histories, by the objectives' ids.
        step: seconds of the composite's own buckets.
    """
    totals = {name: math.fsum(bucket.total for bucket in buckets) for name, buckets in parts.items()}
    known = {name: float(measure.weights[name]) for name, total in totals.items() if total}
    everything = float(sum(measure.weights.values()))
    # Buckets of the parts begin at the same moments, of which the clock on the wall knows nothing.
    first = min((parts[name][0].start for name in known), default=0.0)
    found: dict[float, Bucket] = {}
    for name, weight in known.items():
        for each in parts[name]:
            start = first + math.floor((each.start - first) / step + 1e-6) * step
            bucket = found.setdefault(start, Bucket(start))
            bucket.bad += weight / everything * each.bad / totals[name]
            # What has no events counts as good: the others stand for it.
            bucket.total += weight / sum(known.values()) * each.total / totals[name]
    return [found[start] for start in sorted(found)]


def _weigh(measure: Weighted, parts: Mapping[str, Count]) -> tuple[Decimal, Decimal]:
    """The weighted mean of shares of bad events, as that many of one event; nothing where no part has events."""
    if not any(total for _, total in parts.values()):
        return Decimal(0), Decimal(0)
    bad = sum(
        (measure.weights[name] * exact(bad) / exact(total) for name, (bad, total) in parts.items() if total),
        Decimal(0),
    )
    return bad / sum(measure.weights.values()), Decimal(1)
