"""What a backtest found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from resilience.replay.incident import Incident
from resilience.replay.what_if import WhatIf
from resilience.slo import ErrorBudget

__all__ = ["BacktestResult", "Refused"]

_EXAMPLES = 5
_SHOWN = 200


@dataclass(slots=True)
class Refused:
    """Lines that were not counted: how many, and the first few different ones."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Count a line."""
        self.count += 1
        if len(self.examples) < _EXAMPLES and line[:_SHOWN] not in self.examples:
            self.examples.append(line[:_SHOWN])


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """What a log would have come to.

    Args:
        service: whose requests they are.
        requests: how many were counted.
        malformed: lines that are no requests of the format.
        misdated: requests whose time is so far ahead of the others that it cannot be right; not counted.
        late: requests that came so long after later ones that their window had been judged; not counted.
        start: Unix seconds of the first request, None without any.
        end: Unix seconds at which the last window was judged.
        incidents: the alerts that would have fired.
        budgets: by the objective's id, as the log's end left them.
        what_if: other thresholds, by objective, alert and scale.
        failures: rules that could not be evaluated at the end: group, rule, error.
    """

    service: str
    requests: int
    malformed: Refused
    misdated: int
    late: int
    start: float | None
    end: float | None
    incidents: Sequence[Incident] = ()
    budgets: Mapping[str, ErrorBudget] = field(default_factory=dict)
    what_if: Sequence[WhatIf] = ()
    failures: Sequence[tuple[str, str, str]] = ()
