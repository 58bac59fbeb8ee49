"""All instruments of a process, their windows, and the tick that samples them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar, cast

from resilience.core.clock import SYSTEM_CLOCK, Instant
from resilience.core.labels import clean, clean_labels
from resilience.core.log import log
from resilience.core.ports import Clock, Labels, Matcher
from resilience.core.validate import callback as checked_callback
from resilience.core.validate import integer, number, shown
from resilience.errors import ConfigError
from resilience.signals.idle import IdleSweeper
from resilience.signals.instruments import (
    DEFAULT_BUCKETS,
    OVERFLOW,
    Cell,
    Counter,
    Gauge,
    GaugeSeries,
    Histogram,
    Info,
    Instrument,
)
from resilience.signals.retention import Retention
from resilience.signals.revived import RevivedCells
from resilience.signals.selection import LiveSelection, SelectionIndex
from resilience.signals.series import STALE, Series
from resilience.signals.source import LiveSource
from resilience.signals.table import Table
from resilience.signals.written import WrittenSeries

__all__ = ["Family", "InstrumentRegistry"]

C = TypeVar("C", bound=Cell)
N = TypeVar("N", bound=Instrument[Any])
T = TypeVar("T")

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


class Family(NamedTuple):
    """One instrument as exporters show it: `samples` are (name, labels, value)."""

    name: str
    kind: str
    help: str
    samples: Sequence[tuple[str, Labels, float]]


class InstrumentRegistry:
    """Instruments over sliding windows.

    Args:
        clock: where time comes from; only its monotonic reading at the start is used, the rest comes with ticks.
        retention: how much of the past is kept.
        max_label_sets: label sets per instrument, default 1,000; what is over goes to one `__overflow__` series.
        prefix: put before the name of every instrument, so that an application's own metrics do not clash.
        service: value of the label `service` of series that have no such label of their own; none by default.
        idle_after: seconds after which a counter or histogram series that has not moved is dropped, unless a
            rule keeps it; at most what the rings reach back; default None, never.

    Raises:
        ConfigError: an option is out of range.

    Example:
        >>> from resilience.core.clock import ManualClock
        >>> clock = ManualClock()
        >>> signals = InstrumentRegistry(clock)
        >>> orders = signals.counter("orders_total", "Orders taken.", labels=("kind",))
        >>> orders.bind("book").inc(3)
        >>> clock.shift(1); signals.tick(clock.now())
        >>> books = signals.source.select([Matcher("__name__", "=", "orders_total")])
        >>> signals.source.increase(books, clock.monotonic() - 60, clock.monotonic())
        ([0], [3.0])
    """

    def __init__(
        self,
        clock: Clock = SYSTEM_CLOCK,
        *,
        retention: Retention | None = None,
        max_label_sets: int = 1000,
        prefix: str = "",
        service: str = "",
        idle_after: float | None = None,
    ) -> None:
        self.clock = clock
        self.retention: Retention = retention or Retention()
        self.max_label_sets: int = integer("max_label_sets", max_label_sets)
        if prefix and not (isinstance(prefix, str) and _NAME.fullmatch(prefix)):
            message = f"prefix must be the beginning of a metric name, got {shown(prefix)}"
            raise ConfigError(message)
        self.prefix = prefix
        self._own: Labels = (("service", service),) if service else ()
        if idle_after is not None:
            number("idle_after", idle_after, above=0, high=self.retention.reach)
        started = clock.monotonic()
        self._epoch = clock.time() - started
        self._index = SelectionIndex()
        self._table = Table(self.retention, started)
        self._written = WrittenSeries(self._index, self.retention, started)
        self.counted_elsewhere: WrittenSeries = WrittenSeries(
            self._index, self.retention, started, cumulative=True
        )
        self.source: LiveSource = LiveSource(self._index, lambda: self._epoch)
        self._instruments: dict[str, Instrument[Any]] = {}
        self.revived: RevivedCells = RevivedCells(self._index, self._table, self._instruments, self.labelled)
        self._callbacks: dict[Gauge, Callable[[], float]] = {}
        self._samplers: list[Callable[[Instant], object]] = []
        self._failing: set[object] = set()
        self._kept: dict[LiveSelection, None] = {}
        self.windowed: dict[LiveSelection, None] = {}
        self.known_since: float = -math.inf
        self._warned: set[tuple[str, str]] = set()
        self._made: dict[str, Any] = {}
        self._on_drop: list[Callable[[], object]] = []
        self._idle = (
            None if idle_after is None else IdleSweeper(self, self._instruments, self._table, idle_after)
        )
        self._refused_sets = self.counter(
            "resilience_label_sets_refused_total",
            "Look-ups of label sets over the cap.",
            labels=("instrument",),
        )
        self._refused_figures = self.counter(
            "resilience_observations_refused_total",
            "Figures that cannot be recorded: NaN, infinite, negative.",
            labels=("instrument",),
        )

    # -- instruments --------------------------------------------------------------------------------------------

    def counter(self, name: str, help_text: str = "", *, labels: Sequence[str] = ()) -> Counter:
        """Declare a counter, or return the one that is declared so already.

        Args:
            name: its name, by convention with the unit and `_total` at the end.
            help_text: one line for people.
            labels: names of its labels.

        Raises:
            ConfigError: a name is not allowed, or taken by an instrument of another kind or with other labels.
        """
        return self._declare(Counter(self, self._full(name), help_text, labels))

    def gauge(
        self,
        name: str,
        help_text: str = "",
        *,
        labels: Sequence[str] = (),
        callback: Callable[[], float] | None = None,
    ) -> Gauge:
        """Declare a gauge, or return the one that is declared so already.

        Args:
            name: its name, with the unit at the end.
            help_text: one line for people.
            labels: names of its labels.
            callback: asked for the value at each tick; only without labels. What it raises makes the series stale.

        Raises:
            ConfigError: as for `counter`; or a callback beside labels.
        """
        if callback is not None and labels:
            message = f"callback must be None for a gauge with labels, got one for {shown(name)}"
            raise ConfigError(message)
        gauge = self._declare(Gauge(self, self._full(name), help_text, labels))
        if callback is not None:
            self._callbacks[gauge] = checked_callback("callback", callback)
        return gauge

    def info(self, name: str, help_text: str = "", *, labels: Sequence[str]) -> Info:
        """Declare facts that are shown as labels, or return those that are declared so already.

        Raises:
            ConfigError: as for `counter`.
        """
        return self._declare(Info(self, self._full(name), help_text, labels))

    def histogram(
        self,
        name: str,
        help_text: str = "",
        *,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = DEFAULT_BUCKETS,
    ) -> Histogram:
        """Declare a histogram, or return the one that is declared so already.

        Args:
            name: its name, with the unit at the end.
            help_text: one line for people.
            labels: names of its labels.
            buckets: upper bounds, growing, above zero; `+Inf` is added. Default: those of prometheus_client.

        Raises:
            ConfigError: as for `counter`; or bounds that do not grow.
        """
        given = buckets if isinstance(buckets, Iterable) else ()
        bounds = tuple(number("buckets", bound, above=0) for bound in given if bound != math.inf)
        if not bounds or any(a >= b for a, b in pairwise(bounds)):
            message = f"buckets must be growing bounds above 0, got {shown(buckets)}"
            raise ConfigError(message)
        return self._declare(Histogram(self, self._full(name), help_text, labels, bounds))

    def find(self, name: str) -> Instrument[Any] | None:
        """Return the instrument of a name, without the prefix, if there is one."""
        return self._instruments.get(self.prefix + name)

    def declares(self, name: str) -> bool:
        """Whether a full name, prefix included, is that of an instrument."""
        return name in self._instruments

    def _full(self, name: object) -> str:
        if isinstance(name, str) and _NAME.fullmatch(self.prefix + name):
            return self.prefix + name
        message = f"name must be a metric name ([a-zA-Z_:][a-zA-Z0-9_:]*), got {shown(name)}"
        raise ConfigError(message)

    def _declare(self, new: N) -> N:
        if not isinstance(new.help, str) or new.help != clean(new.help):
            message = f"help_text must be a string of valid UTF-8, got {shown(new.help)}"
            raise ConfigError(message)
        if not all(isinstance(label, str) and _LABEL.fullmatch(label) for label in new.labels) or len(
            set(new.labels)
        ) < len(new.labels):
            message = f"labels must be different label names, without a leading __, got {shown(new.labels)}"
            raise ConfigError(message)
        with self._index.lock:
            known = self._instruments.get(new.name)
            if known is None:
                self._instruments[new.name] = new
                if not new.labels:
                    new.bind()
                return new
            if known.signature != new.signature:
                message = f"{new.name} is declared already, as {known.signature}; got {new.signature}"
                raise ConfigError(message)
            return cast("N", known)

    # -- what instruments ask for -------------------------------------------------------------------------------

    @property
    def values(self) -> list[float]:
        """The live figures."""
        return self._table.values

    def enter(self, instrument: Instrument[C], values: tuple[str, ...], cell: C | None = None) -> C:
        """Find or make the cell of a label set; see `Instrument.bind`."""
        with self._index.lock:
            if values in instrument:
                return instrument[values]
            if len(values) != len(instrument.labels) or not all(isinstance(value, str) for value in values):
                message = (
                    f"{instrument.name} needs a string for each of {instrument.labels}, got {shown(values)}"
                )
                raise ConfigError(message)
            usable = clean_labels(values)
            if usable is not values:
                return self.enter(instrument, usable, cell)
            overflow = (OVERFLOW,) * len(values)
            if values != overflow and len(instrument) - (overflow in instrument) >= self.max_label_sets:
                self._refuse_set(instrument)
                return self.enter(instrument, overflow)
            cell = cell or instrument.make(values)
            self._attach(instrument, cell)
            instrument[values] = cell
            return cell

    def leave(
        self,
        instrument: Instrument[C],
        values: tuple[str, ...],
        *,
        unless_moved: Sequence[float] | None = None,
    ) -> None:
        """Drop a label set; see `Instrument.remove`."""
        with self._index.lock:
            values = clean_labels(values)
            cell = instrument.get(values)
            if cell is None:
                return
            for forget in self._on_drop:
                forget()
            column = cell.detach()
            # Nobody can record into these columns any more; whoever tries waits for the lock.
            if unless_moved is not None and self.values[column : column + instrument.width] != unless_moved:
                cell.column = column
                return
            del instrument[values]
            series, cell.series = cell.series, ()
            for one in series:
                self._index.drop(self._table, one)
            self._table.release(column, instrument.width)

    def refuse(self, instrument: Instrument[C]) -> None:
        """Count a figure that cannot be recorded."""
        self._refused_figures[(instrument.name,)].inc()
        if self._is_first("observation_refused", instrument):
            log(__name__).warning("observation_refused", instrument=instrument.name)

    def _refuse_set(self, instrument: Instrument[Any]) -> None:
        if instrument is not self._refused_sets:  # its own cap must not refuse the refusal
            self._refused_sets[(instrument.name,)].inc()
        if self._is_first("label_sets_over_cap", instrument):
            log(__name__).warning("label_sets_over_cap", instrument=instrument.name)

    def _is_first(self, event: str, instrument: Instrument[Any]) -> bool:
        first = (event, instrument.name) not in self._warned
        self._warned.add((event, instrument.name))
        return first

    def labelled(self, labels: Labels) -> Labels:
        """Return the labels of a measured series in order, with the service that they lack."""
        own = () if any(name == "service" for name, _ in labels) else self._own
        return tuple(sorted((*labels, *own)))

    def _attach(self, instrument: Instrument[Any], cell: Cell) -> None:
        table = self._table
        if self.revived.attach(instrument, cell):
            return
        column = table.allocate(instrument.width)
        # Computed once each, because an integer above 256 takes 32 bytes wherever it is computed.
        columns = tuple(range(column, column + instrument.width + 1))
        base = self.labelled(tuple(zip(instrument.labels, cell.key, strict=True)))
        made = []
        for more, first, stop in instrument.spans:
            labels = tuple(sorted((*base, *more)))
            series = Series(
                labels, columns[first], columns[stop], table.time, cumulative=instrument.cumulative
            )
            self._index.add(table, series)
            made.append(series)
        cell.series = tuple(made)
        cell.column = column

    @property
    def tables(self) -> Mapping[str, tuple[Table, WrittenSeries | None]]:
        """The tables by name, with who writes them; None for the instruments."""
        return {
            "instruments": (self._table, None),
            "written": (self._written.table, self._written),
            "elsewhere": (self.counted_elsewhere.table, self.counted_elsewhere),
        }

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held while series are born and dropped."""
        return self._index.lock

    def on_drop(self, forget: Callable[[], object]) -> None:
        """Have a function called before columns are given back, by who remembers columns."""
        self._on_drop.append(forget)

    def once(self, key: str, make: Callable[[], T]) -> T:
        """Return what `make` made at the first call with this key."""
        with self._index.lock:
            if key not in self._made:
                self._made[key] = make()
            return cast("T", self._made[key])

    # -- the tick -----------------------------------------------------------------------------------------------

    def on_tick(self, sampler: Callable[[Instant], object]) -> None:
        """Have a function called at the start of each tick, to set gauges; what it raises is logged.

        Args:
            sampler: a function of the tick's instant; it must not block.
        """
        self._samplers.append(checked_callback("sampler", sampler))

    @property
    def last_tick(self) -> Instant:
        """When the last row was sampled; before the first, when counting began."""
        return Instant(self._table.time, self._table.time + self._epoch)

    def tick(self, now: Instant) -> None:
        """Sample one row.

        Args:
            now: this moment on both clocks; one before the last tick is ignored.
        """
        if not self._table.time <= now.monotonic < math.inf:  # NaN too
            log(__name__).warning("tick_ignored", monotonic=now.monotonic, last=self._table.time)
            return
        for sampler in self._samplers:
            self._guarded(sampler, partial(sampler, now))
        for gauge, function in self._callbacks.items():
            cell = gauge[()]
            cell.set(STALE)
            self._guarded(function, partial(_ask, function, cell))
        self._table.sample(now.monotonic)
        if math.isfinite(now.wall):
            self._epoch = now.wall - now.monotonic
        if self._idle is not None:
            self._idle.sweep()

    def _guarded(self, function: Callable[..., object], call: Callable[[], object]) -> None:
        """Make a call of a user's function; log what it raises, once until it works again."""
        try:
            call()
        except Exception as error:  # noqa: BLE001  a user's callback never breaks a tick
            if function not in self._failing:
                self._failing.add(function)
                log(__name__).error("sampler_failed", sampler=function, error=error, exc_info=error)
        else:
            self._failing.discard(function)

    # -- readers and writers ------------------------------------------------------------------------------------

    def write(self, owner: str, at: float, series: Sequence[tuple[Labels, float]]) -> None:
        """Write the results of a rule; see `core.ports.SampleSink`."""
        self._written.write(owner, at, series)

    def retain(self, wanted: str | Sequence[Matcher], seconds: float) -> None:
        """Keep series, and those to come that match, for windows of this length.

        What was not kept before counts from now on.

        Args:
            wanted: the metric's name, or matchers.
            seconds: length of the longest window; what the rings answer anyway costs nothing.

        Raises:
            ConfigError: longer than the cap.
        """
        rows = self.retention.long_rows(seconds)
        matchers = [Matcher("__name__", "=", wanted)] if isinstance(wanted, str) else wanted
        selection = self._index.select(matchers)
        self.windowed[selection] = None
        if seconds <= self.retention.reach:
            return
        self._kept[selection] = None
        self._index.keep(selection, rows)

    def collect(self) -> Iterator[Family]:
        """What every instrument shows now, for exporters; `samples` carry the labels without the name."""
        for instrument in list(self._instruments.values()):
            samples = []
            for cell in list(instrument.values()):
                for series in cell.series:
                    value = series.value(self.values)
                    labels = tuple(pair for pair in series.labels if pair[0] != "__name__")
                    samples.append((dict(series.labels)["__name__"], labels, value))
            yield Family(instrument.name, instrument.kind, instrument.help, samples)


def _ask(function: Callable[[], float], cell: GaugeSeries) -> None:
    cell.set(float(function()))
