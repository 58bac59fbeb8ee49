"""Alerts that belong together: what happened, and not every alert that told of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from resilience.reports.model import Episode, Incident, Objective

__all__ = ["cost", "gather", "stretches", "summaries"]

_APART = 3600.0  # seconds of quiet after which something new has happened
_STANDING = frozenset(
    {"ErrorBudgetExhaustion"}
)  # alerts on a state that lasts long after what brought it about
_RANKS = {"critical": 0, "page": 0, "error": 1, "warning": 2, "ticket": 2, "info": 3}


def cost(objective: Objective | None, started: float, ended: float | None) -> Decimal | None:
    """Return the share of an objective's budget that was spent in a stretch of time.

    As exactly as its history tells, else its steps: those that the stretch lasted into.

    Args:
        objective: whose budget.
        started: Unix seconds.
        ended: Unix seconds, None for until now.
    """
    if objective is None or not (steps := objective.history or objective.steps):
        return None
    allowed = float(1 - objective.target) * (objective.total or sum(step.total for step in steps))
    if not allowed:
        return None
    length = min((after.at - before.at for before, after in itertools.pairwise(steps)), default=math.inf)
    last = math.inf if ended is None else ended
    bad = sum(step.bad for step in steps if step.at > started and step.at - length < last)
    return Decimal(str(round(bad / allowed, 6)))


def gather(incidents: Iterable[Incident], objectives: Mapping[str, Objective]) -> list[Episode]:
    """Join the alerts of one objective, or of one name and service, that overlap or follow within an hour.

    An alert on what is left of a budget belongs to what it began in, but says nothing of how long that lasted: the budget
    stays spent for weeks.

    Args:
        incidents: the alerts.
        objectives: by id.

    Returns:
        what happened, the oldest first.

    Example:
        >>> found = gather([Incident("1", "Down", 0, 60), Incident("1", "Down", 90, 600)], {})
        >>> [(each.name, each.started, each.ended, len(each.alerts)) for each in found]
        [('Down', 0, 600, 2)]
    """
    told = sorted(incidents, key=lambda each: each.started)
    groups = _joined(each for each in told if each.name not in _STANDING)
    left: list[Incident] = []
    for each in told:
        if each.name in _STANDING:
            home = next(
                (group for group in groups if group[0].slo == each.slo and _goes_on(group, each.started)),
                left,
            )
            home.append(each)
    return sorted(
        (_episode(group, objectives) for group in (*groups, *_joined(left))), key=lambda each: each.started
    )


def _joined(incidents: Iterable[Incident]) -> list[list[Incident]]:
    groups: list[list[Incident]] = []
    newest: dict[tuple[str, ...], list[Incident]] = {}
    for each in incidents:
        key = (each.slo,) if each.slo else (each.name, each.service)
        if key not in newest or not _goes_on(newest[key], each.started):
            newest[key] = []
            groups.append(newest[key])
        newest[key].append(each)
    return groups


def _goes_on(group: Sequence[Incident], at: float) -> bool:
    """Whether what is known of began before a moment, and ended after it or not long ago."""
    ended = _end(group)
    return group[0].started <= at and (ended is None or at <= ended + _APART)


def _end(group: Sequence[Incident]) -> float | None:
    ends = [each.ended for each in group if each.name not in _STANDING] or [each.ended for each in group]
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


def _episode(group: Sequence[Incident], objectives: Mapping[str, Objective]) -> Episode:
    first, ended = group[0], _end(group)
    objective = objectives.get(first.slo)
    burned = cost(objective, first.started, ended)
    if burned is None:
        burned = max((each.burned for each in group if each.burned is not None), default=None)
    return Episode(
        objective.name if objective is not None else first.slo or first.name,
        first.started,
        ended,
        min((each.severity for each in group), key=lambda severity: _RANKS.get(severity, len(_RANKS))),
        first.service,
        burned,
        tuple(sorted(group, key=lambda each: each.started)),
    )


def stretches(episodes: Iterable[Episode], slo_id: str) -> list[tuple[float, float | None]]:
    """Return when something was wrong with an objective; that its budget is spent is no event."""
    return [
        (each.started, each.ended)
        for each in episodes
        if each.alerts[0].slo == slo_id and any(alert.name not in _STANDING for alert in each.alerts)
    ]


def summaries(episode: Episode) -> str:
    """Name the alerts of an episode, each once, by what tells them apart."""
    shown = dict.fromkeys(each.summary or each.name for each in episode.alerts)
    return ", ".join(shown)
