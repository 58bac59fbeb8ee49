"""Time as what is counted: slices that are good, bad, or good in part."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from resilience import promql
from resilience.core.duration import format_duration
from resilience.promql.goformat import format_float
from resilience.promql.show import quote
from resilience.rules import RecordingRule
from resilience.slo.budget import exact
from resilience.slo.measure import Condition, Events
from resilience.slo.meter import ConditionMeter, EventMeter
from resilience.slo.objective import SLO
from resilience.slo.query import WINDOW

__all__ = ["SliceMeter", "slice_events", "slice_rule"]

_RECORDED: Final = "slo:slice_bad:ratio"


class SliceMeter:
    """Counts slices of time; one without events or figures is none.

    Args:
        slo: whose slices.
        meter: what is read in each.
        since: the source's time from which on it counts.
    """

    def __init__(self, slo: SLO, meter: EventMeter | ConditionMeter, since: float) -> None:
        self._slo = slo
        self.meter: EventMeter | ConditionMeter = meter
        self._end = since + slo.slice_length
        self._bad = self._total = 0.0

    def read(self, at: float) -> tuple[float, float]:
        """Return bad and all slices that have ended since the last reading."""
        if isinstance(self.meter, EventMeter):
            bad, total = self.meter.read(at)
            self._bad += bad
            self._total += total
        length = self._slo.slice_length
        if at < self._end:
            return 0.0, 0.0
        # A tick that comes after several ends judges them by the newest figure.
        ended = 1 + math.floor((at - self._end) / length)
        self._end += ended * length
        judged = self._judge(at)
        self._bad = self._total = 0.0
        return (0.0, 0.0) if judged is None else (judged * ended, float(ended))

    def _judge(self, at: float) -> float | None:
        if isinstance(self.meter, ConditionMeter):
            good = self.meter.good(at)
            return None if good is None else float(not good)
        if not self._total:
            return None
        if self._slo.budgeting == "ratio_timeslices":
            return self._bad / self._total
        allowed = (1 - Decimal(self._slo.slice_target or self._slo.target)) * exact(self._total)
        return float(exact(self._bad) > allowed)


def slice_events(slo: SLO) -> Events:
    """Return how the slices of an objective are counted in PromQL.

    From what the service itself records; or, where a Prometheus judges it alone, from what `slice_rule` records there.
    """
    selector = f"slo={quote(slo.id)}"
    if slo.backend == "prometheus":
        selector = f"{_RECORDED}{{{selector},service={quote(slo.service)}}}[{WINDOW}]"
        return Events(f"sum(count_over_time({selector}))", bad=f"sum(sum_over_time({selector}))")
    return Events(
        f"sum(increase(slo_slices_total{{{selector}}}[{WINDOW}]))",
        bad=f"sum(increase(slo_bad_slices_total{{{selector}}}[{WINDOW}]))",
    )


def slice_rule(slo: SLO, labels: Mapping[str, str]) -> RecordingRule | None:
    """Return the rule that records, slice by slice, how bad a slice was; None where the service counts them.

    Args:
        slo: whose slices.
        labels: of what is recorded.
    """
    if slo.backend != "prometheus" or not slo.sliced:
        return None
    window, measure = format_duration(slo.slice_length), slo.measure
    if isinstance(measure, Condition):
        value = measure.value_in(window)
        figure = f"vector({value})" if promql.parse(value).node.kind == "scalar" else f"({value})"
        # What is no number, such as a percentile of nothing, is no slice.
        expr = f"1 - (({figure} >= -Inf) {measure.comparison} bool {format_float(measure.threshold)})"
    elif isinstance(measure, Events):
        # Without events there is no slice: 0 / 0 is no figure of at least zero.
        expr = f"{measure.ratio_in(window)} >= 0"
        if slo.budgeting == "timeslices":
            expr = f"({expr}) > bool {1 - Decimal(slo.slice_target or slo.target)}"
    else:
        return None
    return RecordingRule(_RECORDED, expr, labels)
