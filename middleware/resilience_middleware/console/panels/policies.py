"""What guards the calls of this worker: breakers with their windows and past, limiters with their limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import pairwise
from typing import Any, Final

from resilience.policies import CircuitBreaker
from resilience.policies.keyed import Keyed
from resilience_middleware.console.view import View
from resilience_middleware.console.watch import Watch

__all__ = ["breakers", "policies"]

_MOST: Final = 200  # of each kind: a breaker per host of a crawler would fill the page
_GRAIN: Final = 120  # slots of a breaker's past


def policies(watch: Watch, view: View) -> Mapping[str, Any]:
    """Say how every policy of this worker stands; they are the process's own, of whatever service."""
    found = list(breakers(watch))
    now = watch.rel.clock.time()
    # Changes are told by the breaker's name: where two share one, nobody can say whose they were.
    named = Counter(each.name for _, each in found)
    shared = {name for name, count in named.items() if count > 1}
    return {
        "breakers": [
            _breaker(each, path, () if each.name in shared else watch.states(each.name), now, view.seconds)
            for path, each in found[:_MOST]
        ],
        "others": list(_others(watch))[:_MOST],
        "left_out": max(0, len(found) - _MOST),
        "worker": watch.worker,
    }


def breakers(watch: Watch) -> Iterator[tuple[str, CircuitBreaker]]:
    """Every breaker by its path, those of single keys included."""
    for path, policy in watch.rel.registry.policies():
        if isinstance(policy, CircuitBreaker):
            yield path, policy
        elif isinstance(policy, Keyed):
            for key in policy.statistics():
                guard = policy.get(key)
                if isinstance(guard, CircuitBreaker):
                    yield f"{path}/{key}", guard


def _breaker(
    breaker: CircuitBreaker, path: str, changes: Sequence[tuple[float, str, str]], now: float, reach: float
) -> dict[str, Any]:
    found = breaker.statistics()
    settings = breaker.settings
    return {
        "path": path,
        "name": found.name,
        "state": found.state,
        "calls": found.calls,
        "failures": found.failures,
        "failure_rate": found.failure_rate,
        "threshold": settings.failure_rate,
        "slow_calls": found.slow_calls,
        "probes": found.probes,
        "permits": settings.half_open_permits,
        "rejected": found.rejected,
        "opened": found.opened,
        "past": _past(changes, found.state, now, reach),
    }


def _past(
    changes: Sequence[tuple[float, str, str]], state: str, now: float, reach: float
) -> list[tuple[int, int, str]]:
    """The states of the last `reach` seconds as (first slot, slots, state), of 120 slots; no change, one piece."""
    slot = reach / _GRAIN
    end = (now // slot + 1) * slot  # moves slot by slot, so that a strip changes no more often than it has to
    start = end - reach
    edges = [
        (start, changes[0][1] if changes else state),
        *((at, after) for at, _, after in changes),
        (end, ""),
    ]
    found: list[tuple[int, int, str]] = []
    for (since, which), (until, _) in pairwise(edges):
        first, last = (min(_GRAIN, max(0, int((at - start) / slot))) for at in (since, until))
        if until > start:
            # Even a moment's opening is seen.
            found.append((min(first, _GRAIN - 1), max(1, last - first), which))
    return found


def _others(watch: Watch) -> Iterator[dict[str, Any]]:
    for path, policy in watch.rel.registry.policies():
        if isinstance(policy, CircuitBreaker):
            continue
        statistics = getattr(policy, "statistics", None)
        found = statistics() if callable(statistics) else None
        if is_dataclass(found) and not isinstance(found, type):
            figures = {
                each.name: _plain(getattr(found, each.name)) for each in fields(found) if each.name != "name"
            }
            yield {"path": path, "kind": getattr(policy, "kind", ""), "figures": figures}
        elif isinstance(policy, Keyed):
            yield {"path": path, "kind": policy.kind, "figures": {"keys": len(policy.statistics())}}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each}" for key, each in value.items()) or 0
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return value if value is None or isinstance(value, int | float | str) else str(value)
