"""The functions of PromQL on float samples: one Python function each, registered in a table."""

from __future__ import annotations

from resilience.promql.functions import (
    absence,
    arithmetic,
    conversion,
    dates,
    histogram,
    labels,
    over_time,
    rates,
)
from resilience.promql.functions.registry import FUNCTIONS

__all__ = ["EXPERIMENTAL", "FAMILIES", "FUNCTIONS", "NATIVE"]

FAMILIES = (absence, arithmetic, conversion, dates, histogram, labels, over_time, rates)
"""The modules whose import fills the table."""

EXPERIMENTAL = frozenset(
    [
        "double_exponential_smoothing",
        "end",
        "histogram_quantiles",
        "info",
        "mad_over_time",
        "max_of",
        "min_of",
        "range",
        "sort_by_label",
        "sort_by_label_desc",
        "start",
        "start_timestamp",
        "step",
        "ts_of_first_over_time",
        "ts_of_last_over_time",
        "ts_of_max_over_time",
        "ts_of_min_over_time",
    ]
)
"""Functions behind Prometheus' flag `promql-experimental-functions`: refused by name."""

NATIVE = frozenset(
    ["histogram_avg", "histogram_count", "histogram_stddev", "histogram_stdvar", "histogram_sum"]
)
"""Functions of native histograms alone: refused by name."""
