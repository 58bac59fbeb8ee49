"""What was counted for every objective: here, by another server, or by the objectives that one weighs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeAlias

from resilience.core.clock import Instant
from resilience.core.ports import Put
from resilience.core.rows import Unread, decode, encode, read_rows
from resilience.core.slices import breathe
from resilience.errors import ConfigError
from resilience.signals import Signals
from resilience.slo.account import BUCKET_ROW, HEAD_ROW, Account
from resilience.slo.budget import ErrorBudget, exact
from resilience.slo.figures import Figures
from resilience.slo.ledger import Bucket, Ledger
from resilience.slo.measure import Weighted
from resilience.slo.objective import SLO

__all__ = ["TABLE", "Counts", "weigh_history"]

TABLE: Final = "budgets"
"""Table of the rows; a key is an objective's id and the number of a bucket, or nothing for the objective itself."""

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
        self._gone: list[str] = []
        self._closed: list[tuple[str, Account]] = []
        self._opened: dict[str, _Opened] = {}

    def open_accounts(self, slos: Mapping[str, SLO]) -> None:
        """Make the accounts that `use` will need for these. Until then, they count along."""
        opened = self._opened = {}
        for name, slo in slos.items():
            breathe()
            kept = self._accounts.get(name)
            if not isinstance(slo.measure, Weighted) and not self._keeps(kept, slo):
                opened[name] = self._open(slo, kept)

    def _keeps(self, kept: Account | None, slo: SLO) -> bool:
        return kept is not None and (_same(slo, self._slos[slo.id]) or kept.can_judge(slo))

    def _open(self, slo: SLO, kept: Account | None) -> _Opened:
        while True:
            now = self._now
            account = Account(slo, self._signals)
            if self._now is now:  # else a tick came in between: what it counted would count twice
                break
        if kept is not None:
            account.take_over(kept, now)
        return _Opened(slo, kept, account, now.monotonic)

    def use(self, slos: Mapping[str, SLO]) -> None:
        """Count for these from now on; those that are there already keep what they counted, if it is still the same thing."""
        opened, self._opened = self._opened, {}
        accounts: dict[str, Account] = {}
        for name, slo in slos.items():
            if isinstance(slo.measure, Weighted):
                continue
            kept = self._accounts.get(name)
            if kept is not None and self._keeps(kept, slo):
                kept.judge(slo)
                accounts[name] = kept
                continue
            found = opened.get(name)
            if found is None or found.slo is not slo or found.before is not kept:
                found = self._open(slo, kept)
            if kept is not None:
                found.account.ledger.remove(kept.ledger.numbers(found.at))
            found.account.publish(self._signals)
            accounts[name] = found.account
        self._elsewhere = {
            name: each for name, each in self._elsewhere.items() if _same(slos.get(name), self._slos[name])
        }
        self._closed += [(name, each) for name, each in self._accounts.items() if name not in accounts]
        self._slos, self._accounts = slos, accounts

    def observe(self, slo_id: str, figures: Figures) -> None:
        """Take what another server says."""
        self._elsewhere[slo_id] = figures

    def tick(self, now: Instant) -> None:
        """Take in what was counted since the last tick."""
        self._now = now
        for account in self._accounts.values():
            account.tick(now)
        for opened in self._opened.values():
            opened.account.tick(now)

    def account(self, slo_id: str) -> Account | None:
        """Return the account of an objective; None for a composite."""
        return self._accounts.get(slo_id)

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

    def within(self, slo: SLO, window: float, at: float | None = None) -> Count | None:
        """What was counted in a window of seconds, as rules see it; None where a part of it is not known.

        Args:
            slo: the objective.
            window: seconds.
            at: monotonic seconds at which it ends; the last tick if not given.
        """
        if (figures := self._elsewhere.get(slo.id)) is not None:
            return figures.windows.get(window, (0.0, 0.0))
        if isinstance(slo.measure, Weighted):
            parts = {name: self.within(self._slos[name], window, at) for name in slo.measure.weights}
            known = {name: count for name, count in parts.items() if count is not None}
            return _weigh(slo.measure, known) if len(known) == len(parts) else None
        end = self._now.monotonic if at is None else at
        if end - window < self._signals.known_since:
            return None
        return self._accounts[slo.id].within(window, end)

    def missing(self, slo: SLO) -> str:
        """Return the reason why nothing of an objective can be counted, empty without one."""
        account = self._accounts.get(slo.id)
        return "" if account is None or slo.id in self._elsewhere else account.missing(self._now.monotonic)

    def since(self, slo: SLO, window: float) -> Count:
        """What was counted in the whole buckets of a window of seconds."""
        if slo.id in self._elsewhere:
            return self.within(slo, window) or (0.0, 0.0)
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
        return self._accounts[slo.id].ledger.history()

    # -- what outlives the process ------------------------------------------------------------------------------

    def puts(self, *, everything: bool = False) -> Iterator[Put]:
        """Yield the rows that have changed since the last call: of each objective, and of each of its buckets.

        Args:
            everything: whether all rows are wanted.
        """
        gone, self._gone = self._gone, []
        for key in gone:
            yield Put(TABLE, key, None)
        closed, self._closed = self._closed, []
        for name, account in closed:
            for key, _ in account.changes(everything=True):
                yield Put(TABLE, f"{name}/{key}", None)
        for name, account in list(self._accounts.items()):
            for key, row in account.changes(everything=everything):
                yield Put(TABLE, f"{name}/{key}", None if row is None else encode(row))

    def restore(self, rows: Mapping[str, bytes], now: Instant) -> Unread:
        """Take up what another process left; objectives that are gone are forgotten.

        Args:
            rows: what `puts` yielded, by key.
            now: this moment.

        Returns:
            the rows that cannot be used.
        """
        self._now = now
        heads: dict[str, Mapping[str, Any]] = {}
        buckets: dict[str, dict[int, Bucket | None]] = {}

        def take(key: str, row: bytes) -> None:
            name, _, number = key.rpartition("/")
            if not number:
                heads[name] = decode(row, HEAD_ROW)
                return
            bucket = Bucket(**decode(row, BUCKET_ROW))
            if not 0 <= bucket.bad <= bucket.total:
                raise ConfigError(f"bad must be from 0 to {bucket.total}, got {bucket.bad}")
            buckets.setdefault(name, {})[int(number)] = bucket

        unread = read_rows(TABLE, rows, take)
        for name in heads.keys() | buckets.keys():
            if (account := self._accounts.get(name)) is not None:
                account.restore(heads.get(name), buckets.get(name, {}), now)
            else:
                self._gone += [f"{name}/{number}" for number in ("", *buckets.get(name, ()))]
        return unread


class _Opened(NamedTuple):
    """An account that was opened at a time, for an objective whose account `before` it may replace."""

    slo: SLO
    before: Account | None
    account: Account
    at: float


def _same(slo: SLO | None, before: SLO) -> bool:
    return slo is before or slo == before  # to compare all fields of many takes long


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
