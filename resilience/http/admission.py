"""What requests have to pass at a service's door, as data: made into guards by the adapter that serves them."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from resilience.core.duration import parse_seconds
from resilience.core.validate import choice, number, shown, text
from resilience.errors import ConfigError
from resilience.http.context import CRITICALITIES
from resilience.http.rules import failed
from resilience.policies.base import GuardPolicy
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.keyed import Keyed
from resilience.policies.order import rank
from resilience.policies.presets import Layer
from resilience.policies.recipes import policy_kinds, recipe, snake

__all__ = ["Admission", "DoorGuard", "RouteAdmission", "guard_kinds", "networks", "route_admission"]

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_OWN: Final = "resilience.policies."
_BY: Final = ("client", "route")


@dataclass(frozen=True, slots=True)
class DoorGuard:
    """One guard.

    Args:
        layer: what it is made of.
        by: what has one of its own each: `client` (address), `route` (template), `header NAME`. Each of several has to admit;
            without any there is one for all.
    """

    layer: Layer
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteAdmission:
    """What the requests of one route have to pass, or those of all that say nothing of their own.

    Args:
        timeout: seconds for a request, to the last byte of its answer; None for no limit.
        criticality: how much its requests matter where no trusted peer says so: one of `CRITICALITIES`, or None.
        guards: by their kind, in the order in which they are entered.
    """

    timeout: float | None = None
    criticality: str | None = None
    guards: Mapping[str, DoorGuard] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Admission:
    """What requests have to pass, in the whole service.

    Args:
        default: for routes that are not named.
        routes: for others, by their templates; a guard that is the default's very own is shared with it.
        trusted: addresses and networks whose deadline and criticality headers are believed.
    """

    default: RouteAdmission = field(default_factory=RouteAdmission)
    routes: Mapping[str, RouteAdmission] = field(default_factory=lambda: MappingProxyType({}))
    trusted: tuple[str, ...] = ()


def networks(option: str, given: Collection[str]) -> list[Network]:
    """Read addresses and networks.

    Args:
        option: what messages call it.
        given: `10.0.0.0/8`, `192.0.2.7`, `fd00::/8`.

    Raises:
        ConfigError: one is none.

    Example:
        >>> networks("trusted", ["10.0.0.0/8"])
        [IPv4Network('10.0.0.0/8')]
    """
    if isinstance(given, str) or not isinstance(given, Collection):
        raise ConfigError(f"{option} must be a list of addresses and networks, got {shown(given)}")
    try:
        return [ipaddress.ip_network(text(option, each)) for each in given]
    except ValueError as error:
        raise ConfigError(f"{option} must be addresses or networks, got {error}") from error


def route_admission(
    written: object, *, base: RouteAdmission | None = None, option: str = "guards"
) -> RouteAdmission:
    """Read what the requests of a route have to pass, as `reliability.yaml` writes it.

    Guards are written as in a pipeline, each with one option more: `by`, which gives a guard of its own to each
    `client`, each `route`, or each value of a header (`by: {header: X-API-Key}`), or a list of these, each of which has to admit;
    a circuit breaker is by route where it does not say. They are entered in the order that works, whatever the order of the file.

    Args:
        written: `timeout`, `criticality`, and guards by their kind.
        base: what holds where it says nothing; `false` leaves out what is there.
        option: what messages call it.

    Raises:
        ConfigError: something is unknown, cannot be meant, or is a policy that cannot guard a request.

    Example:
        >>> everywhere = route_admission({"timeout": "30s", "bulkhead": 100})
        >>> reports = route_admission({"timeout": "2m", "rate_limiter": {"rate": 1, "by": "client"}}, base=everywhere)
        >>> reports.timeout, list(reports.guards), reports.guards["bulkhead"] is everywhere.guards["bulkhead"]
        (120.0, ['bulkhead', 'rate_limiter'], True)
    """
    base = base or RouteAdmission()
    if not isinstance(written, Mapping):
        raise ConfigError(
            f"{option} must be a mapping of timeout, criticality and guards, got {shown(written)}"
        )
    timeout, criticality = base.timeout, base.criticality
    guards = dict(base.guards)
    for name, value in written.items():
        place = f"{option}.{name}"
        if name == "timeout":
            timeout = None if value is False else _seconds(place, value)
        elif name == "criticality":
            criticality = choice(place, value, CRITICALITIES)
        elif value is False:
            if guards.pop(snake(name), None) is None:
                raise ConfigError(f"{place}: there is no such guard to leave out")
        else:
            kind, guard = _guard(option, name, value)
            guards[kind] = guard
    return RouteAdmission(
        timeout, criticality, MappingProxyType(dict(sorted(guards.items(), key=lambda each: rank(each[0]))))
    )


def _seconds(place: str, value: object) -> float:
    return number(place, parse_seconds(value, option=place), above=0)


def guard_kinds() -> dict[str, type[GuardPolicy[Any]]]:
    """Return this library's policies that can guard a request, by kind: those that admit and release, and call nothing."""
    return {
        kind: policy
        for kind, policy in policy_kinds().items()
        if issubclass(policy, GuardPolicy)
        and policy.__module__.startswith(_OWN)
        and not issubclass(policy, Keyed)
        and not policy.repeats
    }


def _guard(option: str, name: object, value: object) -> tuple[str, DoorGuard]:
    place = f"{option}.{name}"
    known = policy_kinds()
    kind = snake(name)
    if kind in known and known[kind].repeats:
        raise ConfigError(
            f"{place} is a policy that repeats: a request's body is read once and its answer sent once, so only the"
            " client can try again; the calls that the service makes itself are guarded by `pipelines`"
        )
    guards = guard_kinds()
    if kind not in guards:
        raise ConfigError(f"{place} must be timeout, criticality or a guard: {', '.join(sorted(guards))}")
    by: tuple[str, ...] = ("route",) if issubclass(guards[kind], CircuitBreaker) else ()
    if isinstance(value, Mapping) and "by" in value:
        by = _all_by(f"{place}.by", value["by"])
        value = {key: each for key, each in value.items() if key != "by"}
    layer = recipe({name: value}, option=option).layers[kind]
    if issubclass(guards[kind], CircuitBreaker):
        layer = replace(layer, options={"failed_result": failed, **layer.options})
    return kind, DoorGuard(layer, by)


def _all_by(place: str, given: Any) -> tuple[str, ...]:
    found = tuple(_by(place, each) for each in given) if isinstance(given, list) else (_by(place, given),)
    if not found or len(set(found)) < len(found):
        raise ConfigError(f"{place} must be a list of different keys, got {shown(given)}")
    return found


def _by(place: str, given: Any) -> str:
    if isinstance(given, Mapping) and list(given) == ["header"]:
        return f"header {text(place + '.header', given['header'])}"
    if given in _BY:
        return str(given)
    raise ConfigError(
        f"{place} must be {', '.join(_BY)} or {{header: NAME}}, or a list of these, got {shown(given)}"
    )
