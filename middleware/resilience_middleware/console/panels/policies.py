"""What guards the calls of this worker: breakers with their windows and past, retry budgets, limiters with their limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

from resilience.policies import CircuitBreaker
from resilience.policies.keyed import Keyed
from resilience_middleware.console.look import Look, Room
from resilience_middleware.console.watch import Watch

__all__ = ["Breaker", "breakers", "policies"]

_GRAIN: Final = 120  # slots of a breaker's past
_BREAKERS, _BUDGETS, _OTHERS = 9, 5, 10  # beside the other panels
_WORST: Final = {"open": 0, "forced_open": 0, "half_open": 1, "closed": 3}


class Breaker(NamedTuple):
    """A breaker by its path; `source` is the path of the policy that it is, or that has one for each key."""

    path: str
    source: str
    breaker: CircuitBreaker


def policies(look: Look) -> Mapping[str, Any]:
    """Say how every policy of this worker stands: what is not closed first."""
    watch = look.watch
    found = list(breakers(watch)) if look.own else []
    # Changes are told by source and name: keys whose breakers share one name share their past, so it is nobody's.
    named = Counter((each.source, each.breaker.name) for each in found)
    found.sort(key=lambda each: _WORST.get(each.breaker.state, 2))
    now, room = watch.rel.clock.time(), Room(look)
    return {
        "breakers": [
            _breaker(
                each,
                ()
                if named[each.source, each.breaker.name] > 1
                else watch.states(each.source, each.breaker.name),
                now,
                look.view.seconds,
            )
            for each in room.cut("breakers", found, _BREAKERS)
        ],
        "budgets": room.cut("budgets", list(_budgets(watch)) if look.own else [], _BUDGETS),
        "others": room.cut("others", list(_others(watch)) if look.own else [], _OTHERS),
        "own": look.own,
        "service": watch.rel.service,
        "worker": watch.worker,
        **room.told,
    }


def breakers(watch: Watch) -> Iterator[Breaker]:
    """Every breaker by its path, those of single keys included."""
    for path, policy in watch.rel.registry.policies():
        if isinstance(policy, CircuitBreaker):
            yield Breaker(path, path, policy)
        elif isinstance(policy, Keyed):
            for key in policy.statistics():
                guard = policy.get(key)
                if isinstance(guard, CircuitBreaker):
                    yield Breaker(f"{path}/{key}", path, guard)


def _breaker(
    which: Breaker, changes: Sequence[tuple[float, str, str]], now: float, reach: float
) -> dict[str, Any]:
    found = which.breaker.statistics()
    settings = which.breaker.settings
    return {
        "path": which.path,
        "source": which.source,
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


def _budgets(watch: Watch) -> Iterator[dict[str, Any]]:
    """Each retry budget once, with the policies that draw on it."""
    users: dict[int, tuple[Any, list[str]]] = {}
    for path, policy in watch.rel.registry.policies():
        budget = getattr(policy, "budget", None) or getattr(getattr(policy, "settings", None), "budget", None)
        if callable(getattr(budget, "statistics", None)):
            users.setdefault(id(budget), (budget, []))[1].append(path)
    for budget, paths in users.values():
        found = budget.statistics()
        yield {
            "paths": paths,
            "left": found.left,
            "capacity": found.capacity,
            "unit": found.unit,
        }


def _others(watch: Watch) -> Iterator[dict[str, Any]]:
    for path, policy in watch.rel.registry.policies():
        if isinstance(policy, CircuitBreaker):
            continue
        statistics = getattr(policy, "statistics", None)
        found = statistics() if callable(statistics) else None
        about = {"path": path, "kind": getattr(policy, "kind", "")}
        if is_dataclass(found) and not isinstance(found, type):
            figures = {
                each.name: _plain(getattr(found, each.name)) for each in fields(found) if each.name != "name"
            }
            yield {**about, "figures": figures}
        elif isinstance(policy, Keyed):
            yield {**about, "figures": {"keys": len(policy.statistics())}}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each}" for key, each in value.items()) or 0
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return value if value is None or isinstance(value, int | float | str) else str(value)
