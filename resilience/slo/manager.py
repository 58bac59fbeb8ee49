"""The objectives of a process, judged on its windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from resilience import promql
from resilience.core.duration import format_duration
from resilience.core.ports import SampleSink, SampleSource
from resilience.errors import ConfigError
from resilience.slo.budget import ErrorBudget
from resilience.slo.objective import SLO

__all__ = ["SLOManager"]


class SLOManager:
    """Judges objectives from the requests that a source has counted.

    The default availability indicator counts verdicts: success and failure make the total; what was rejected or
    cancelled stays out.

    Args:
        source: where the requests are counted.
        sink: where the budgets are written as `slo_error_budget_remaining_ratio{slo,service}`.
        engine: the PromQL engine of the source, shared with the rules.
    """

    def __init__(
        self, source: SampleSource[Any], sink: SampleSink, engine: promql.Engine | None = None
    ) -> None:
        self._engine = engine or promql.Engine(source)
        self._sink = sink
        self._slos: dict[str, SLO] = {}
        self._queries: dict[str, tuple[promql.Query, promql.Query]] = {}
        self._budgets: dict[str, ErrorBudget] = {}

    @property
    def slos(self) -> Mapping[str, SLO]:
        """The objectives by id."""
        return self._slos

    def register(self, slo: SLO) -> None:
        """Add an objective.

        Raises:
            ConfigError: its id is taken.
        """
        if slo.id in self._slos:
            message = f"id must be unique, and {slo.id!r} is taken by an SLO of service {self._slos[slo.id].service!r}"
            raise ConfigError(message)
        window = format_duration(slo.window)
        service = slo.service.replace("\\", "\\\\").replace('"', '\\"')
        bad, total = (
            self._engine.compile(
                f'sum(increase(http_requests_total{{service="{service}",verdict{judged}}}[{window}]))'
            )
            for judged in ('="failure"', '=~"success|failure"')
        )
        self._slos[slo.id] = slo
        self._queries[slo.id] = bad, total

    def tick(self, at: float) -> None:
        """Judge every objective.

        Args:
            at: the source's time in seconds.
        """
        for slo in self._slos.values():
            bad, total = (_single(query(at)) for query in self._queries[slo.id])
            self._budgets[slo.id] = ErrorBudget(slo.budget, bad=bad, total=total)
        self._sink.write("slo", at, list(self._series()))

    def error_budget(self, slo_id: str) -> ErrorBudget:
        """The budget of one objective as the last tick left it.

        Raises:
            ConfigError: there is no such objective.
        """
        if slo_id not in self._slos:
            message = f"slo_id must be one of {', '.join(self._slos) or 'those registered'}, got {slo_id!r}"
            raise ConfigError(message)
        return self._budgets.get(slo_id) or ErrorBudget(self._slos[slo_id].budget, bad=0, total=0)

    def _series(self) -> Iterable[tuple[tuple[tuple[str, str], ...], float]]:
        for slo_id, budget in self._budgets.items():
            if (remaining := budget.remaining) is not None:
                labels = {
                    "__name__": "slo_error_budget_remaining_ratio",
                    "service": self._slos[slo_id].service,
                    "slo": slo_id,
                }
                yield tuple(sorted(labels.items())), float(remaining)


def _single(value: object) -> float:
    """The only figure of a sum, or zero where there was nothing to sum."""
    values = value.values if isinstance(value, promql.Vector) else ()
    return float(values[0]) if values else 0.0
