"""The order in which policies belong round a call, and what is wrong with another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resilience.core.ports import Guard, Policy
from resilience.errors import ConfigError
from resilience.policies.timeout import Timeout

__all__ = ["ORDER", "CompositionWarning", "check_order", "rank"]

ORDER: tuple[tuple[str, ...], ...] = (
    ("fallback",),
    ("coalesce",),
    ("total timeout",),
    ("load_shedder", "throttle"),
    ("rate_limiter", "bulkhead", "adaptive_limiter"),
    ("hedge",),
    ("retry",),
    ("circuit_breaker", "outlier_ejection"),
    ("attempt timeout",),
    ("fault_injection",),
)
"""Kinds of policies, outermost first; those on one line may stand in any order."""

_RANKS = {kind: rank for rank, kinds in enumerate(ORDER) for kind in kinds}


def rank(kind: str) -> int:
    """How far inside a kind of policy belongs, from 0; one that is not in ORDER innermost."""
    return _RANKS.get(kind, len(ORDER))


class CompositionWarning(UserWarning):
    """The policies of a pipeline stand in an order that rarely does what is meant."""


def check_order(policies: Sequence[Policy | Guard[object]]) -> list[str]:
    """Compare a pipeline's order with the one that works.

    Args:
        policies: outermost first. A kind that is not in ORDER may stand anywhere: a policy of the user's own, or `Keyed`,
            which is what the guards are that it will make.

    Returns:
        one sentence for each pair that is the wrong way round; empty for a good order.

    Raises:
        ConfigError: a timeout of all attempts is shorter than that of one: no attempt could ever use its time.
    """
    for index, outer in enumerate(policies):
        for inner in policies[index + 1 :]:
            if isinstance(outer, Timeout) and isinstance(inner, Timeout) and outer.seconds < inner.seconds:
                message = (
                    f"timeout {outer.name!r} must be at least the {inner.seconds:g} s of timeout {inner.name!r}"
                    f" inside it, got {outer.seconds:g}"
                )
                raise ConfigError(message)
    complaints = []
    outer_rank, outer_kind = -1, ""
    for kind in _kinds(policies):
        rank = _RANKS.get(kind)
        if rank is None:
            continue
        if rank < outer_rank:
            complaints.append(f"{outer_kind.replace('_', ' ')} stands outside {kind.replace('_', ' ')}")
        else:
            outer_rank, outer_kind = rank, kind
    return complaints


def _kinds(policies: Sequence[Policy | Guard[object]]) -> Iterator[str]:
    """The kind of each policy; a timeout's depends on whether what repeats is inside or outside of it."""
    repeating = [index for index, policy in enumerate(policies) if getattr(policy, "repeats", False)]
    for index, policy in enumerate(policies):
        kind = str(getattr(policy, "kind", ""))
        if kind != "timeout":
            yield kind
        elif any(place > index for place in repeating):
            yield "total timeout"
        elif repeating:
            yield "attempt timeout"
        # Where nothing repeats, a timeout of all attempts and of one are the same: it may stand anywhere.
