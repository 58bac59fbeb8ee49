"""PromQL in the process: parse, compile and evaluate Prometheus' query language over any source of samples."""

from __future__ import annotations

from resilience.promql.expression import Expression, SelectorUse, parse
from resilience.promql.memory import MemorySource
from resilience.promql.query import Engine, Query, evaluate, evaluate_range
from resilience.promql.query import compile_query as compile  # noqa: A004  the word of the `re` module, too
from resilience.promql.values import Matrix, Scalar, Series, String, Value, Vector
from resilience.signals.series import STALE

__all__ = [
    "STALE",
    "Engine",
    "Expression",
    "Matrix",
    "MemorySource",
    "Query",
    "Scalar",
    "SelectorUse",
    "Series",
    "String",
    "Value",
    "Vector",
    "compile",
    "evaluate",
    "evaluate_range",
    "parse",
]
