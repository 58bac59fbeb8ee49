"""How fast something changes: rates of counters, deltas of gauges, as Prometheus extrapolates them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from resilience.core.ports import Samples
from resilience.core.slices import breathe
from resilience.promql.functions.registry import each_series, general, over_time
from resilience.promql.nodes import Call, Range
from resilience.promql.scope import Closure, Scope
from resilience.promql.values import Picker, Vector, Window

__all__: list[str] = []


def _between(start: float, end: float) -> float:
    """Return the seconds between two timestamps, rounded to milliseconds unless that would leave nothing."""
    elapsed = end - start
    return round(elapsed, 3) or elapsed


def _extrapolated(
    samples: Samples, window: Window, *, counter: bool, per_second: bool, old: bool
) -> float | None:
    """Return the change over a whole window, extrapolated from the samples in it.

    Follows Prometheus' `extrapolatedRate` (promql/functions.go) operation by operation, because a different order
    changes the last digit of the result. Differences of timestamps are rounded to milliseconds for the same reason:
    Prometheus subtracts integers.

    Args:
        samples: the samples of one series.
        window: the bounds to extrapolate to.
        counter: True if a decrease is a counter reset and zero is the lowest possible value.
        per_second: True for the change per second of the window.
        old: True to limit the start by zero before it is compared with the sampling interval, as Prometheus 2.x does.
    """
    times, values = samples.times, samples.values
    if len(times) < 2:  # noqa: PLR2004  a change needs two samples
        return None
    change = values[-1] - values[0]
    if counter:
        for previous, current in pairwise(values):
            if current < previous:
                change += previous
    sampled = _between(times[0], times[-1])
    average = sampled / (len(times) - 1)
    threshold = average * 1.1
    before, after = _between(window.start, times[0]), _between(times[-1], window.end)
    to_zero = sampled * (values[0] / change) if counter and change > 0 and values[0] >= 0 else before
    if old:
        before = min(before, to_zero)
    # The series is taken to begin, or end, half an interval away when the window's bound is farther than one.
    if before >= threshold:
        before = average / 2
    if after >= threshold:
        after = average / 2
    if not old:
        before = min(before, to_zero)
    factor = (sampled + before + after) / sampled
    if per_second:
        factor /= window.length
    return change * factor


def _changing(*, counter: bool, per_second: bool) -> Callable[[Scope, Call], Closure]:
    def build(scope: Scope, call: Call) -> Closure:
        (argument,) = call.arguments
        if counter and isinstance(argument, Range):
            return _Increase(scope, argument, per_second=per_second)
        return _scan(scope, scope.compile(argument), counter=counter, per_second=per_second)

    return build


def _scan(scope: Scope, ranged: Closure, *, counter: bool, per_second: bool) -> Closure:
    """Compile a change to one that looks at each sample."""
    pick = Picker()

    def run(at: float) -> Vector:
        window: Window = ranged(at)
        indices, values = each_series(
            window,
            lambda samples: _extrapolated(
                samples, window, counter=counter, per_second=per_second, old=scope.old
            ),
        )
        return Vector(pick(window.labels, indices), values, drop=True)

    return run


class _Increase:
    """The increase of counters in a range; each sample is looked at only where the source cannot say it."""

    __slots__ = ("_argument", "_per_second", "_pick", "_scan", "_scope", "_selection", "_when")

    def __init__(self, scope: Scope, argument: Range, *, per_second: bool) -> None:
        self._scope = scope
        self._argument = argument
        self._per_second = per_second
        self._selection = scope.source.select(argument.selector.matchers)
        self._when = scope.when(argument.anchor, argument.offset)
        self._pick = Picker()
        self._scan: Closure | None = None

    def __call__(self, at: float) -> Vector:
        scope, length = self._scope, self._argument.window
        end = self._when(at)
        labels = self._selection.labels
        found = scope.source.increase(self._selection, round(end - length, 6), end)
        if found is None:
            if self._scan is None:
                ranged = scope.compile(self._argument)
                self._scan = _scan(scope, ranged, counter=True, per_second=self._per_second)
            vector: Vector = self._scan(at)
            return vector
        breathe()
        indices, values = found
        scope.spend(len(indices))
        if self._per_second:
            values = [value / length for value in values]
        return Vector(self._pick(labels, indices), values, drop=True)


general("rate", "matrix")(_changing(counter=True, per_second=True))
general("increase", "matrix")(_changing(counter=True, per_second=False))
general("delta", "matrix")(_changing(counter=False, per_second=False))


@over_time("irate")
def _irate(samples: Samples, window: Window) -> float | None:  # noqa: ARG001  the family's signature
    if len(samples.times) < 2:  # noqa: PLR2004  a change needs two
        return None
    (before, last), elapsed = samples.values[-2:], _between(*samples.times[-2:])
    return (last if last < before else last - before) / elapsed


@over_time("idelta")
def _idelta(samples: Samples, window: Window) -> float | None:  # noqa: ARG001  the family's signature
    return samples.values[-1] - samples.values[-2] if len(samples.values) > 1 else None
