"""Instant selectors, ranges and subqueries."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from resilience.core.ports import Labels, Samples
from resilience.core.slices import breathe, breathing
from resilience.promql.nodes import Range, Selector, Subquery
from resilience.promql.scope import Closure, Scope
from resilience.promql.values import Drop, Picker, Vector, Window, drop_flags

__all__ = ["instant", "newest", "ranged", "subquery"]

Newest = tuple[Sequence[Labels], Sequence[int], Sequence[float], Sequence[float]]


def newest(scope: Scope, node: Selector) -> Callable[[float], Newest]:
    """Compile a selector to what a source's `at` answers, after the label sets that its indices mean."""
    source = scope.source
    selection = source.select(node.matchers)
    when = scope.when(node.anchor, node.offset)

    def look(at: float) -> Newest:
        moment = when(at)
        labels = selection.labels  # as they are now: there may be more once others have had their turn
        indices, values, times = source.at(selection, moment, scope.lookback)
        scope.spend(len(indices))
        return labels, indices, values, times

    return look


def instant(scope: Scope, node: Selector) -> Closure:
    """Compile a selector to a vector."""
    look = newest(scope, node)
    pick = Picker()

    def run(at: float) -> Vector:
        labels, indices, values, _ = look(at)
        return Vector(pick(labels, indices), values)

    return run


def ranged(scope: Scope, node: Range) -> Closure:
    """Compile a range to a window of samples."""
    source, length = scope.source, node.window
    selection = source.select(node.selector.matchers)
    when = scope.when(node.anchor, node.offset)

    def run(at: float) -> Window:
        end = when(at)
        labels = selection.labels
        samples = source.samples(selection, scope.left(end, length), end)
        scope.spend(sum(len(one.times) for one in breathing(samples)))
        return Window(labels, samples, end, length, at, scope.old)

    return run


def subquery(scope: Scope, node: Subquery) -> Closure:
    """Compile a subquery: its steps are the multiples of its interval in Unix time, whatever the time it is asked at."""
    source, length = scope.source, node.window
    when = scope.when(node.anchor, node.offset)
    inner = scope.compile(node.expression)
    interval = node.step or scope.interval
    # Steps are counted in Prometheus' milliseconds: sums of 0.1 s would drift off the samples.
    step = max(1, round(interval * 1000))

    def run(at: float) -> Window:
        end = when(at)
        epoch = source.epoch
        last = round((end + epoch) * 1000)
        bound = last - round(length * 1000)
        first = math.ceil(bound / step) * step
        if first == bound and not scope.old:
            first += step
        scope.spend_steps(max(0, (last - first) // step + 1))
        found: dict[Labels, tuple[list[float], list[float], bool]] = {}
        for moment in range(first, last + 1, step):
            breathe()
            time = moment / 1000 - epoch
            vector: Vector = inner(time)
            flags = drop_flags(vector.drop, len(vector))
            for labels, value, flag in zip(breathing(vector.labels), vector.values, flags, strict=True):
                series = found.get(labels)
                if series is None:
                    series = found[labels] = ([], [], flag)
                series[0].append(time)
                series[1].append(value)
        samples = [Samples(times, values) for times, values, _ in breathing(found.values())]
        scope.spend(sum(len(one.times) for one in breathing(samples)))
        drop: Drop = [flag for _, _, flag in found.values()]
        return Window(list(found), samples, end, length, at, scope.old, drop)

    return run
