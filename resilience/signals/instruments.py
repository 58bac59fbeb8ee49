"""Instruments: labels declared once, and series whose recording is a few additions."""

from __future__ import annotations

import functools
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from resilience.core.labels import clean_labels
from resilience.core.ports import Labels
from resilience.core.validate import shown
from resilience.errors import ConfigError
from resilience.signals.series import Series

__all__ = [
    "DEFAULT_BUCKETS",
    "OVERFLOW",
    "Cell",
    "Counter",
    "CounterSeries",
    "Gauge",
    "GaugeSeries",
    "Histogram",
    "HistogramSeries",
    "Info",
    "Instrument",
]

# The buckets of prometheus_client's Histogram, in seconds.
DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
OVERFLOW = "__overflow__"
"""Every label value of the one series that takes what is over an instrument's cap of label sets."""

_GONE = 1 << 62  # no array has this column: a dropped cell finds out when it is next used
_INFINITY = math.inf
_NO_NUMBER = (TypeError, ValueError, ArithmeticError)
"""Errors of arithmetic with what is no number, or one that no float can hold."""

C = TypeVar("C", bound="Cell")


class Span(NamedTuple):
    """One series of a cell: its name and the other labels that it adds, and the columns that are summed, from the cell's first."""

    labels: Labels
    first: int
    stop: int


class Home(Protocol):
    """What instruments need of the signals that they belong to."""

    @property
    def values(self) -> list[float]:
        """The live figures."""

    def enter(self, instrument: Instrument[C], values: tuple[str, ...], cell: C | None = None) -> C:
        """Find or make the cell of a label set, from a dropped `cell` where there is one; over the cap, the overflow's."""

    def leave(
        self,
        instrument: Instrument[C],
        values: tuple[str, ...],
        *,
        unless_moved: Sequence[float] | None = None,
    ) -> None:
        """Drop a label set, unless its figures are others than these by now."""

    def refuse(self, instrument: Instrument[C]) -> None:
        """Count a figure that cannot be recorded."""


class Cell:
    """One label set of an instrument: where its figures stand.

    Additions are exact from any thread: CPython hands the GIL over only at calls and backward jumps, so that
    `values[i] += x` runs as one. (Verified on each interpreter by a test with a switch interval of 1 us.)
    """

    __slots__ = ("column", "instrument", "key", "series", "values")

    def __init__(self, instrument: Any, key: tuple[str, ...], values: list[float]) -> None:
        self.instrument: Any = instrument
        self.key: tuple[str, ...] = key
        self.values: list[float] = values
        self.column: int = _GONE
        self.series: tuple[Series, ...] = ()

    def detach(self) -> int:
        """Give the columns up, from the one that is returned; the next use asks where the figures go now."""
        column, self.column = self.column, _GONE
        return column


class _Scalar(Cell):
    """A cell of one figure."""

    __slots__ = ()

    @property
    def current(self) -> float:
        """The live figure, which the next tick will sample; 0 after it was dropped."""
        return self.values[self.column] if self.series else 0.0


class CounterSeries(_Scalar):
    """One series of a counter."""

    __slots__ = ()

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`, zero or more; anything else is refused and counted."""
        try:
            if 0 <= amount < _INFINITY:
                self.values[self.column] += amount
                return
        except IndexError:
            self.instrument.settle(self).inc(amount)
            return
        except _NO_NUMBER:
            pass
        self.instrument.refuse()


class GaugeSeries(_Scalar):
    """One series of a gauge."""

    __slots__ = ()

    def set(self, value: float) -> None:
        """Set it; what is no number is refused and counted."""
        try:
            self.values[self.column] = float(value)
        except IndexError:
            self.instrument.settle(self).set(value)
        except _NO_NUMBER:
            self.instrument.refuse()

    def inc(self, amount: float = 1.0) -> None:
        """Add to it; what is no finite number is refused and counted."""
        try:
            if -_INFINITY < amount < _INFINITY:
                self.values[self.column] += amount
                return
        except IndexError:
            self.instrument.settle(self).inc(amount)
            return
        except _NO_NUMBER:
            pass
        self.instrument.refuse()

    def dec(self, amount: float = 1.0) -> None:
        """Take from it; what is no finite number is refused and counted."""
        try:
            if -_INFINITY < amount < _INFINITY:
                self.values[self.column] -= amount
                return
        except IndexError:
            self.instrument.settle(self).dec(amount)
            return
        except _NO_NUMBER:
            pass
        self.instrument.refuse()


class HistogramSeries(Cell):
    """One label set of a histogram: the sum, then a count for each bucket."""

    __slots__ = ("_bounds",)

    def __init__(self, instrument: Histogram, key: tuple[str, ...], values: list[float]) -> None:
        super().__init__(instrument, key, values)
        self._bounds = instrument.buckets

    def observe(self, value: float) -> None:
        """Count one observation, zero or more and finite; anything else is refused and counted."""
        try:
            if 0 <= value < _INFINITY:
                bucket = bisect_left(self._bounds, value) + 1
                values = self.values
                column = (
                    self.column
                )  # no call from here on, so that no other thread drops the column meanwhile
                values[column] += value
                values[column + bucket] += 1.0
                return
        except IndexError:
            self.instrument.settle(self).observe(value)
            return
        except _NO_NUMBER:
            pass
        self.instrument.refuse()


class Instrument(dict[tuple[str, ...], C]):
    """What all kinds share: a name, labels, and a series for each tuple of their values.

    A dict, since nothing looks up faster: `counter["shop", "GET"].inc()` makes the series where it is not there yet.

    Args:
        home: the signals it belongs to.
        name: the metric's name, prefix included.
        help_text: one line for people.
        labels: the label names, in the order in which values are given.
    """

    kind: ClassVar[str]
    cumulative: ClassVar[bool] = True
    width: int = 1
    cell: type[C]

    def __init__(self, home: Home, name: str, help_text: str, labels: Sequence[str]) -> None:
        super().__init__()
        self.name = name
        self.help = help_text
        if isinstance(labels, str) or not isinstance(labels, Iterable):
            message = f"labels must be a list of label names, got {shown(labels)}"
            raise ConfigError(message)
        self.labels: tuple[str, ...] = tuple(labels)
        self._home = home

    # Two instruments are never the same for having the same series.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:  # type: ignore[override]  # a dict that is told apart by identity can be hashed
        return id(self)

    def __missing__(self, values: tuple[str, ...]) -> C:
        return self._home.enter(self, values)

    @property
    def signature(self) -> str:
        """What two declarations of one name must agree on."""
        return f"{self.kind}{self.labels}"

    def bind(self, *values: str) -> C:
        """Return the series of label values, in the order of the labels.

        Raises:
            ConfigError: not one string for each label.
        """
        return self[values]

    def remove(self, *values: str) -> None:
        """Drop a series: it goes stale at the next tick, and counts from zero if it is used again."""
        self._home.leave(self, values)

    def make(self, key: tuple[str, ...]) -> C:
        """Make a cell without columns."""
        return self.cell(self, key, self._home.values)

    def settle(self, cell: C) -> C:
        """Find where a dropped cell's figures go now."""
        return self._home.enter(self, cell.key, cell)

    def refuse(self) -> None:
        """Count a figure that cannot be recorded."""
        self._home.refuse(self)

    @functools.cached_property
    def spans(self) -> tuple[Span, ...]:
        """The series of each cell; all cells share the labels that these add."""
        return (Span((_name(self.name),), 0, 1),)


class Counter(Instrument[CounterSeries]):
    """Only goes up."""

    kind = "counter"
    cell = CounterSeries


class Gauge(Instrument[GaugeSeries]):
    """Goes up and down; or is what a function returns, asked at each tick."""

    kind = "gauge"
    cell = GaugeSeries
    cumulative = False

    def __init__(
        self,
        home: Home,
        name: str,
        help_text: str,
        labels: Sequence[str],
        callback: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(home, name, help_text, labels)
        self.callback = callback


class Info(Gauge):
    """Facts as labels of a series that is always 1; one set at a time."""

    kind = "info"

    def set(self, *values: str) -> None:
        """Replace the facts.

        Args:
            values: one for each label.
        """
        facts = clean_labels(values)
        for other in [key for key in self if key != facts]:
            self.remove(*other)
        self[facts].set(1.0)


class Histogram(Instrument[HistogramSeries]):
    """Classic buckets: counts of observations up to each bound, their sum and number."""

    kind = "histogram"
    cell = HistogramSeries

    def __init__(
        self, home: Home, name: str, help_text: str, labels: Sequence[str], buckets: tuple[float, ...]
    ) -> None:
        super().__init__(home, name, help_text, labels)
        self.buckets = buckets
        self.width: int = len(buckets) + 2
        self._les = tuple(("le", _bound(bound)) for bound in (*buckets, _INFINITY))

    @property
    def bounds(self) -> tuple[str, ...]:
        """Values of the label `le`, in growing order."""
        return tuple(bound for _, bound in self._les)

    @property
    def signature(self) -> str:
        """As for the others, and the bounds."""
        return f"{super().signature} with buckets {self.buckets}"

    @functools.cached_property
    def spans(self) -> tuple[Span, ...]:
        """The sum, the count, and the buckets; each bucket's count includes those before it."""
        bucket = _name(f"{self.name}_bucket")
        return (
            Span((_name(f"{self.name}_sum"),), 0, 1),
            Span((_name(f"{self.name}_count"),), 1, self.width),
            *(Span((bucket, le), 1, 2 + place) for place, le in enumerate(self._les)),
        )


def _name(metric: str) -> tuple[str, str]:
    return "__name__", metric


def _bound(value: float) -> str:
    """Write a bound as prometheus_client does: `0.5`, `10.0`, `+Inf`."""
    return "+Inf" if value == _INFINITY else repr(float(value))
