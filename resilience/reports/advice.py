"""What follows from the figures, each with the figure that it follows from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from resilience.core.humanize import attained, burn_rate, duration, exact_percent, percent
from resilience.reports.model import Episode, Objective, Recommendation

__all__ = ["advise"]

_UNTOUCHED = Decimal("0.99")
_MANY_INCIDENTS = 5
_ENOUGH_STEPS = 7  # below, neither "never" nor "always" says much


def advise(objectives: Iterable[Objective], episodes: Iterable[Episode] = ()) -> list[Recommendation]:
    """Look at each objective.

    Args:
        objectives: their figures.
        episodes: what happened in the period.

    Returns:
        recommendations, the most pressing first.

    Example:
        >>> from decimal import Decimal
        >>> gone = Objective("ok", "OK", "shop", Decimal("0.99"), Decimal("0.98"), remaining=Decimal(-1), status="exhausted")
        >>> [(each.title, each.figure) for each in advise([gone])]
        [('Stop risky changes to shop until OK has budget again', '200% of the error budget is spent')]
    """
    given = list(objectives)
    counts = Counter(each.alerts[0].slo for each in episodes)
    found = [made for look in _LOOKS for each in given if (made := look(each))]
    return found + [_noisy(each, counts[each.id]) for each in given if counts[each.id] >= _MANY_INCIDENTS]


def _exhausted(objective: Objective) -> Recommendation | None:
    if objective.status != "exhausted" or _never_met(objective):
        return None
    return Recommendation(
        "reliability",
        f"Stop risky changes to {objective.service} until {objective.name} has budget again",
        (
            "Release fixes only, and let a deployment gate see to it",
            "Write the post-mortems of what spent it",
        ),
        f"{percent(objective.consumed, up=True)} of the error budget is spent",
        objective.id,
    )


def _burning(objective: Objective) -> Recommendation | None:
    left = objective.exhaustion
    if objective.status == "exhausted" or left is None or (objective.burn_rate or 0) <= 1:
        return None
    return Recommendation(
        "reliability",
        f"Find what burns the budget of {objective.name} before it is gone",
        ("Compare the beginning of the burn with deployments", "Look at errors by route and dependency"),
        f"it burns at {burn_rate(objective.burn_rate)} and is gone in {duration(left)}",
        objective.id,
    )


def _never_met(objective: Objective) -> bool:
    ratios = [step.ratio for step in objective.steps if step.ratio is not None]
    return len(ratios) >= _ENOUGH_STEPS and all(ratio < objective.target for ratio in ratios)


def _too_strict(objective: Objective) -> Recommendation | None:
    if not _never_met(objective):
        return None
    best = max(step.ratio for step in objective.steps if step.ratio is not None)
    return Recommendation(
        "target",
        f"{objective.name} promises more than the service gives: fund the work, or lower the target",
        (
            f"Ask users whether {attained(objective.actual, objective.target)} is good enough; if so, make the target what they need",
            "If it is not, plan the work that closes the gap",
        ),
        f"in no step of the period was the target of {exact_percent(objective.target)} met; the best was {attained(best, objective.target)}",
        objective.id,
    )


def _too_easy(objective: Objective) -> Recommendation | None:
    remaining = objective.remaining
    ratios = [step.ratio for step in objective.steps if step.ratio is not None]
    if remaining is None or remaining < _UNTOUCHED or len(ratios) < _ENOUGH_STEPS:
        return None
    if any(ratio < objective.target for ratio in ratios):
        return None
    return Recommendation(
        "target",
        f"{objective.name} never costs anything: spend its budget, or promise more",
        (
            "Release more often, or try out failures on purpose",
            "Or raise the target to what users already rely on",
        ),
        f"{percent(remaining)} of the error budget is left, and every step met the target",
        objective.id,
    )


def _no_data(objective: Objective) -> Recommendation | None:
    if objective.status != "no_data":
        return None
    return Recommendation(
        "data",
        f"See why nothing is measured for {objective.name}",
        ("Check that the service is scraped or recorded, and that its indicator's labels match",),
        "no events in the period",
        objective.id,
    )


def _noisy(objective: Objective, count: int) -> Recommendation:
    return Recommendation(
        "process",
        f"See whether the alerts of {objective.name} are worth being woken for",
        ("Fix the cause that comes back", "Or raise minEvents, or lengthen the windows"),
        f"it alerted {count} times in the period",
        objective.id,
    )


_LOOKS: Sequence[Callable[[Objective], Recommendation | None]] = (
    _exhausted,
    _burning,
    _too_strict,
    _no_data,
    _too_easy,
)
