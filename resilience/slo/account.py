"""One objective's count of what was good and bad."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from resilience import promql
from resilience.core.clock import Instant
from resilience.core.duration import format_duration
from resilience.core.log import log
from resilience.core.rows import Maybe, Moment, Shape
from resilience.errors import ConfigError
from resilience.signals import Signals
from resilience.signals.instruments import CounterSeries
from resilience.slo.compile import counted_events
from resilience.slo.ledger import Bucket, Ledger
from resilience.slo.measure import Condition, Events
from resilience.slo.meter import ConditionMeter, EventMeter
from resilience.slo.objective import SLO
from resilience.slo.slices import SliceMeter

__all__ = ["BUCKET_ROW", "HEAD_ROW", "Account"]

HEAD_ROW: Shape = {"counts": int, "renewed": Maybe(Moment)}
"""Shape of the row of an objective: what it counts, and the beginning of its calendar period."""

BUCKET_ROW: Shape = {"start": Moment, "bad": float, "total": float}
"""Shape of the row of a bucket."""


class Account:
    """Counts for one objective, tick by tick.

    Args:
        slo: the objective; no composite.
        signals: where its events are recorded, and where its slices of time are counted.

    Attributes:
        ledger: counts of the period.
        bad: bad events since the account began, those of excluded times included.
        total: all events since then.
    """

    def __init__(self, slo: SLO, signals: Signals) -> None:
        self.ledger: Ledger = Ledger(slo.reach, signals.last_tick.wall - signals.last_tick.monotonic)
        self.bad: float = 0.0
        self.total: float = 0.0
        self._slo = slo
        since = signals.last_tick.monotonic
        self._meter = _meter(slo, signals, since)
        self._slices: tuple[CounterSeries, CounterSeries] | None = None
        # Burn rates are read as the rules read them.
        events = counted_events(slo)
        if isinstance(self._meter, EventMeter):
            self._windows: EventMeter | None = self._meter
        else:
            self._windows = None if events is None else EventMeter(signals.source, events, since)
        if events is not None:
            for alert in slo.burn_rates:
                for use in promql.parse(events.ratio_in(format_duration(alert.window))).selectors:
                    signals.retain(use.matchers, use.window)
        self._renewed: float | None = None
        self._head: Mapping[str, Any] | None = None

    def publish(self, signals: Signals) -> None:
        """Count slices of time in signals from now on, too."""
        if self._slo.sliced:
            self._slices = _slices(self._slo, signals)

    def can_judge(self, slo: SLO) -> bool:
        """Return True if this account can count for another version of the objective."""
        return not slo.sliced and _counting(slo) == _counting(self._slo)

    def judge(self, slo: SLO) -> None:
        """Count for another version of the objective from now on."""
        self._slo = slo

    def tick(self, now: Instant) -> None:
        """Take in what was counted since the last tick."""
        slo = self._slo
        bad, total = self._meter.read(now.monotonic)
        self.bad += bad
        self.total += total
        if slo.calendar is not None:
            start, _ = slo.calendar.around(now.wall)
            if self._renewed is not None and start > self._renewed:
                self.ledger.clear()
            self._renewed = start
        if slo.excluded(now.wall):
            return
        if self._slices is not None and total:
            counted_bad, counted_all = self._slices
            counted_bad.inc(bad)
            counted_all.inc(total)
        self.ledger.add(now.monotonic, bad, total)

    def within(self, window: float, at: float) -> tuple[float, float]:
        """Return bad and all events of a window of seconds."""
        if self._windows is None:
            return 0.0, 0.0
        return self._windows.within(window, at)

    def missing(self, at: float) -> str:
        """Return the reason why nothing can be counted, empty without one."""
        meter = self._meter.meter if isinstance(self._meter, SliceMeter) else self._meter
        return meter.missing(at) if isinstance(meter, EventMeter) else ""

    def changes(self, *, everything: bool = False) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Yield the rows that have changed since the last call, by key; None for one that is to be removed.

        Args:
            everything: whether all rows are wanted.
        """
        head = {"counts": _fingerprint(self._slo), "renewed": self._renewed}
        if everything or head != self._head:
            self._head = head
            yield "", head
        for number, bucket in self.ledger.changes(everything=everything):
            yield (
                str(number),
                None if bucket is None else {"start": bucket.start, "bad": bucket.bad, "total": bucket.total},
            )

    def restore(
        self, head: Mapping[str, Any] | None, buckets: Mapping[int, Bucket | None], now: Instant
    ) -> None:
        """Take up what another process left, or another version of the objective, if it counted the same thing.

        Args:
            head: what `changes` yielded for the objective itself; None where that is lost.
            buckets: what it yielded for buckets, by their numbers.
            now: this moment.
        """
        known = head or {"counts": _fingerprint(self._slo), "renewed": None}
        self._head = head
        if known["counts"] != _fingerprint(self._slo):
            log(__name__).warning(
                "budget_begins_anew", slo=self._slo.id, reason="it counts something else than before"
            )
        elif self._slo.calendar is None or known["renewed"] == self._slo.calendar.around(now.wall)[0]:
            self.ledger.restore(buckets, now.monotonic)
            return
        self.ledger.remove(buckets)

    def take_over(self, other: Account, now: Instant) -> None:
        """Continue the count of another version of the objective, if it counted the same thing."""
        head = {"counts": _fingerprint(other._slo), "renewed": other._renewed}
        self.restore(head, other.ledger.rows(), now)


def _fingerprint(slo: SLO) -> int:
    """What tells whether two objectives count the same thing."""
    sliced = (slo.budgeting, slo.slice_length, slo.slice_target) if slo.sliced else ()
    return zlib.crc32(repr((slo.service, slo.measure, sliced)).encode())


def _counting(slo: SLO) -> tuple[object, ...]:
    """Return what an account depends on, except for slices of time."""
    windows = {alert.window for alert in slo.burn_rates}
    return slo.service, slo.measure, slo.sliced, slo.reach, slo.calendar, windows


def _slices(slo: SLO, signals: Signals) -> tuple[CounterSeries, CounterSeries]:
    labels = ("slo", "service")
    bad = signals.counter("slo_bad_slices_total", "Slices of time that were bad.", labels=labels)
    total = signals.counter("slo_slices_total", "Slices of time that were judged.", labels=labels)
    return bad[slo.id, slo.service], total[slo.id, slo.service]


def _meter(slo: SLO, signals: Signals, since: float) -> EventMeter | SliceMeter:
    measure = slo.measure
    if isinstance(measure, Events):
        meter = EventMeter(signals.source, measure, since)
        return SliceMeter(slo, meter, since) if slo.sliced else meter
    if not isinstance(measure, Condition):
        message = f"{slo.id!r} is a composite, which counts nothing of its own"
        raise ConfigError(message)
    return SliceMeter(slo, ConditionMeter(signals.source, measure, slo.slice_length), since)
