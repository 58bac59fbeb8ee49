"""One objective's count of what was good and bad."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from resilience import promql
from resilience.core.clock import Instant
from resilience.core.duration import format_duration
from resilience.core.log import log
from resilience.errors import ConfigError
from resilience.signals import Signals
from resilience.signals.instruments import CounterSeries
from resilience.slo.compile import counted_events
from resilience.slo.ledger import Ledger
from resilience.slo.measure import Condition, Events
from resilience.slo.meter import ConditionMeter, EventMeter
from resilience.slo.objective import SLO
from resilience.slo.slices import SliceMeter

__all__ = ["Account", "windows_left"]


class Account:
    """Counts for one objective, tick by tick.

    Args:
        slo: the objective; no composite.
        signals: where its events are recorded, and where its slices of time are counted.
    """

    def __init__(self, slo: SLO, signals: Signals) -> None:
        self.ledger: Ledger = Ledger(slo.reach)
        self._slo = slo
        since = signals.last_tick.monotonic
        self._meter = _meter(slo, signals, since)
        self._slices = _slices(slo, signals) if slo.sliced else None
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
        self._seen: dict[float, tuple[float, float]] = {}
        self._seen_at = since

    def tick(self, now: Instant) -> None:
        """Take in what was counted since the last tick."""
        slo = self._slo
        bad, total = self._meter.read(now.monotonic)
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
        self._seen[window] = found = self._windows.within(window, at)
        self._seen_at = at
        return found

    def snapshot(self, now: Instant) -> dict[str, Any]:
        """Put it into plain data."""
        return {
            "counts": _fingerprint(self._slo),
            "buckets": self.ledger.snapshot(now),
            "renewed": self._renewed,
            # As they were last asked for: to count every window anew for each write would cost a tick too much.
            "windows": [[window, *found] for window, found in self._seen.items()],
            "windows_at": self._seen_at + now.wall - now.monotonic,
        }

    def restore(self, saved: Mapping[str, Any], now: Instant) -> None:
        """Take up what another process left, or another version of the objective, if it counted the same thing.

        Raises:
            ConfigError: it is not such data.
        """
        try:
            counts, buckets, renewed = saved.get("counts"), saved["buckets"], saved["renewed"]
        except (AttributeError, KeyError, TypeError) as error:
            message = f"the saved budget of {self._slo.id!r} cannot be read: {error!r}"
            raise ConfigError(message) from error
        if counts not in {None, _fingerprint(self._slo)}:
            log(__name__).warning(
                "budget_begins_anew", slo=self._slo.id, reason="it counts something else than before"
            )
            return
        if self._slo.calendar is None or renewed == self._slo.calendar.around(now.wall)[0]:
            self.ledger.restore(buckets, now)


def windows_left(slo: SLO, saved: Mapping[str, Any]) -> tuple[float, dict[float, tuple[float, float]]] | None:
    """Return what an earlier process last counted in the windows of burn rates, for who asks when it is gone.

    Args:
        slo: the objective.
        saved: what its account's `snapshot` returned.

    Returns:
        when that was (Unix seconds), and bad and all events by window in seconds; None where it left none.

    Raises:
        ConfigError: it is no such data.
    """
    if not saved.get("windows") or saved.get("counts") != _fingerprint(slo):
        return None
    try:
        windows = {float(window): (float(bad), float(total)) for window, bad, total in saved["windows"]}
        return float(saved["windows_at"]), windows
    except (KeyError, TypeError, ValueError) as error:
        message = f"the saved windows of {slo.id!r} cannot be read: {error!r}"
        raise ConfigError(message) from error


def _fingerprint(slo: SLO) -> int:
    """What tells whether two objectives count the same thing."""
    sliced = (slo.budgeting, slo.slice_length, slo.slice_target) if slo.sliced else ()
    return zlib.crc32(repr((slo.service, slo.measure, sliced)).encode())


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
