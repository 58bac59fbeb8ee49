"""What a report says: figures of objectives over a period, incidents, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

__all__ = ["Episode", "Heat", "Incident", "Objective", "Recommendation", "Report", "Service", "Step"]

_AT_RISK = frozenset({"warning", "critical", "exhausted"})


class Step(NamedTuple):
    """The events of one step of the period; `at` is its end in Unix seconds."""

    at: float
    bad: float
    total: float

    @property
    def ratio(self) -> float | None:
        """The share of good events, None without events."""
        return 1 - self.bad / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class Heat:
    """How many requests took how long, over time.

    Args:
        times: ends of the steps in Unix seconds.
        bounds: upper bounds of the buckets in seconds, ascending; the last may be infinite.
        counts: by bucket, then by step; not cumulative.
    """

    times: Sequence[float]
    bounds: Sequence[float]
    counts: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Objective:
    """The figures of one objective.

    Args:
        id: its id.
        name: for people.
        service: whose it is.
        target: the promised share of good events.
        actual: the share that was good, None without events.
        bad: bad events in the period, None where events are not what is counted.
        total: all events in it.
        remaining: share of the error budget that is left, negative once overspent; None without events.
        status: of the budget: `healthy`, `warning`, `critical`, `exhausted` or `no_data`.
        burn_rates: by window, such as `1h`; None without events in it.
        burn_note: what is to be known of them where they are not those of the end.
        exhaustion: seconds until the budget is exhausted at the recent pace; None if not within its period.
        steps: the period in steps, oldest first, for trend and charts.
        history: the same as finely as it is known, for what incidents cost; the steps when not given.
        owner: who answers for it.
        tier: 0 to 3, or None.

    Example:
        >>> ok = Objective("ok", "OK", "shop", Decimal("0.99"), Decimal("0.985"), remaining=Decimal("-0.5"))
        >>> ok.met, ok.consumed
        (False, Decimal('1.5'))
    """

    id: str
    name: str
    service: str
    target: Decimal
    actual: Decimal | None = None
    bad: float | None = None
    total: float | None = None
    remaining: Decimal | None = None
    status: str = "no_data"
    burn_rates: Mapping[str, Decimal | None] = field(default_factory=dict)
    burn_note: str = ""
    exhaustion: float | None = None
    steps: Sequence[Step] = ()
    history: Sequence[Step] = ()
    owner: str = ""
    tier: int | None = None

    @property
    def met(self) -> bool | None:
        """Whether the promise was kept; None without events."""
        return None if self.actual is None else self.actual >= self.target

    @property
    def consumed(self) -> Decimal | None:
        """Share of the error budget that is spent, above 1 once overspent; None without events."""
        return None if self.remaining is None else 1 - self.remaining

    @property
    def burn_rate(self) -> Decimal | None:
        """The highest burn rate of all windows, None where none had events."""
        return max((rate for rate in self.burn_rates.values() if rate is not None), default=None)

    @property
    def trend(self) -> float | None:
        """How much better the second half of the period was than the first; None where one had no events."""
        half = len(self.steps) // 2
        first, second = _ratio(self.steps[:half]), _ratio(self.steps[half:])
        return None if first is None or second is None else second - first

    @property
    def compliance(self) -> list[tuple[float, float | None]]:
        """The share of good events in each step."""
        return [(step.at, step.ratio) for step in self.steps]

    @property
    def burn_down(self) -> list[tuple[float, float]]:
        """The share of the period's budget that was left after each step."""
        allowed = float(1 - self.target) * sum(step.total for step in self.steps)
        if not allowed:
            return []
        spent, points = 0.0, []
        for step in self.steps:
            spent += step.bad
            points.append((step.at, 1 - spent / allowed))
        return points


def _ratio(steps: Sequence[Step]) -> float | None:
    """A ratio of sums, never an average of ratios."""
    total = sum(step.total for step in steps)
    return 1 - sum(step.bad for step in steps) / total if total else None


@dataclass(frozen=True, slots=True)
class Service:
    """One service and its objectives."""

    name: str
    objectives: Sequence[Objective]
    latency: Heat | None = None

    @property
    def status(self) -> str:
        """`breached`, `at_risk`, `meeting` or `no_data`: that of its worst objective."""
        if any(each.met is False for each in self.objectives):
            return "breached"
        if self.at_risk:
            return "at_risk"
        return "meeting" if any(each.met for each in self.objectives) else "no_data"

    @property
    def at_risk(self) -> bool:
        """Whether a budget is gone or nearly so."""
        return any(each.met is False or each.status in _AT_RISK for each in self.objectives)


@dataclass(frozen=True, slots=True)
class Incident:
    """An alert that fired in the period.

    Args:
        id: as `resilience alerts list` shows it.
        name: the alert's name.
        started: Unix seconds.
        ended: Unix seconds, None while it goes on.
        severity: the alert's label, or empty.
        service: the alert's label, or empty.
        slo: id of the objective that it is about, or empty.
        summary: what it said.
        burned: share of the objective's budget that was spent while it fired, None where that is not known.
        events: what people and channels did, oldest first: Unix seconds and text.
    """

    id: str
    name: str
    started: float
    ended: float | None = None
    severity: str = ""
    service: str = ""
    slo: str = ""
    summary: str = ""
    burned: Decimal | None = None
    events: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True, slots=True)
class Episode:
    """Alerts that belong together.

    Args:
        name: that of the objective, or else of the alert.
        started: Unix seconds at which the first fired.
        ended: Unix seconds at which the last was resolved, None while one goes on.
        severity: the highest.
        service: whose.
        burned: share of the objective's budget that was spent meanwhile, None where that is not known.
        alerts: the alerts, oldest first.
    """

    name: str
    started: float
    ended: float | None
    severity: str
    service: str
    burned: Decimal | None = None
    alerts: Sequence[Incident] = ()


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What follows from a figure.

    Args:
        type: `reliability`, `target`, `data` or `process`.
        title: what to do, in one line.
        actions: the steps.
        figure: the figure that it follows from.
        slo: id of the objective.
    """

    type: str
    title: str
    actions: Sequence[str]
    figure: str
    slo: str


@dataclass(frozen=True, slots=True)
class Report:
    """A report.

    Args:
        id: unique.
        start: beginning of the period, Unix seconds.
        end: its end.
        services: by name.
        incidents: oldest first.
        recommendations: the most pressing first.
        episodes: the incidents, those that belong together joined.
    """

    id: str
    start: float
    end: float
    services: Sequence[Service]
    incidents: Sequence[Incident] = ()
    recommendations: Sequence[Recommendation] = ()
    episodes: Sequence[Episode] = ()

    @property
    def objectives(self) -> list[Objective]:
        """Those of all services."""
        return [each for service in self.services for each in service.objectives]

    @property
    def meeting(self) -> int:
        """How many objectives were met."""
        return sum(each.met is True for each in self.objectives)

    @property
    def compliance(self) -> float | None:
        """The share of objectives with events that were met, None where there are none."""
        judged = [each.met for each in self.objectives if each.met is not None]
        return sum(judged) / len(judged) if judged else None

    @property
    def at_risk(self) -> list[str]:
        """Names of the services with a budget that is gone or nearly so."""
        return [service.name for service in self.services if service.at_risk]
