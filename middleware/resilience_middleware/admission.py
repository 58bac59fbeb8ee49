"""Guards at the door: what a request must pass before the application sees it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from starlette.types import Scope

from resilience.core.log import log
from resilience.core.ports import Guard
from resilience.core.validate import callback, choice, number, shown
from resilience.errors import ConfigError
from resilience.http.admission import networks as parse_networks
from resilience.http.context import CRITICALITIES, read_budget, read_criticality
from resilience.policies.base import GuardPolicy
from resilience.policies.keyed import Keyed

__all__ = [
    "GUARDED_BY",
    "Levels",
    "ROUTE",
    "Peers",
    "Per",
    "RouteGuards",
    "client_address",
    "per_client",
    "per_route",
    "guard_list",
    "route",
    "route_guards",
]

KeyOf: TypeAlias = Callable[[Scope], Hashable]
"""What tells requests apart for one guard: the client's address, an API key, a tenant."""

ROUTE: Final = "resilience.route"
"""Where the scope of a request holds its template while its guards are entered."""

GUARDED_BY: Final = "__resilience_guarded_by__"
"""Attribute of a function that is wrapped by `@guarded`: the wrapper."""

_LONGEST: Final = 3600.0


def client_address(scope: Scope) -> Hashable:
    """Tell requests apart by the address they come from, as the server (or its proxy headers) says."""
    client = scope.get("client")
    return client[0] if client else None


class Per(Keyed[Any]):
    """A guard for each key of a request, in bounded memory.

    Args:
        key: what tells requests apart.
        factory: makes the guard of one key.
        max_keys: guards that are kept; the one that was idle for longest is forgotten first.
        name: what errors call it.

    Raises:
        ConfigError: `key` or `factory` is no function, or `max_keys` not at least 1.

    Example:
        >>> from resilience.policies.rate_limiter import RateLimiter
        >>> def api_key(scope):
        ...     return dict(scope["headers"]).get(b"x-api-key")
        >>> limit = Per(api_key, lambda key: RateLimiter(100, per=60))
    """

    def __init__(
        self,
        key: KeyOf,
        factory: Callable[[Any], GuardPolicy[Any]],
        *,
        max_keys: int = 1000,
        name: str | None = None,
    ) -> None:
        super().__init__(callback("factory", factory), max_keys=max_keys, name=name)
        self.key_of: KeyOf = callback("key", key)


def per_client(factory: Callable[[Any], GuardPolicy[Any]], *, max_keys: int = 10_000) -> Per:
    """Return a guard for each client address: `per_client(lambda client: RateLimiter(10))`."""
    return Per(client_address, factory, max_keys=max_keys)


def route(scope: Scope) -> Hashable:
    """Tell requests apart by their route's template, as the middleware has found it."""
    return scope.get(ROUTE)


def per_route(factory: Callable[[Any], GuardPolicy[Any]], *, max_keys: int = 1000) -> Per:
    """Return a guard for each route's template, a breaker mostly: a route that fails takes no other with it.

    Example:
        >>> from resilience.http import failed
        >>> from resilience.policies.circuit_breaker import CircuitBreaker
        >>> breakers = per_route(lambda template: CircuitBreaker(name=template, failed_result=failed))
    """
    return Per(route, factory, max_keys=max_keys)


def guard_list(guards: Sequence[Guard[Any]]) -> tuple[Guard[Any], ...]:
    """Return guards as a tuple.

    Raises:
        ConfigError: they are no list of guards.

    Example:
        >>> guard_list(3)
        Traceback (most recent call last):
        resilience.errors.ConfigError: guards must be a list of guards, got 3: write guards=[Bulkhead(10)]
    """
    if isinstance(guards, Guard | type):
        name = guards.__name__ if isinstance(guards, type) else type(guards).__name__
        raise ConfigError(f"guards must be a list of guards, got one {name}: write guards=[{name}(...)]")
    if isinstance(guards, str) or not isinstance(guards, Iterable):
        raise ConfigError(
            f"guards must be a list of guards, got {shown(guards)}: write guards=[Bulkhead(10)]"
        )
    found = tuple(guards)
    for guard in found:
        if isinstance(guard, type):
            name = guard.__name__
            raise ConfigError(f"guards must be guards, got the class {name}: write guards=[{name}(...)]")
    return found


@dataclass(frozen=True, slots=True)
class RouteGuards:
    """What guards one route, or all that have no guards of their own.

    Args:
        timeout: seconds from the first byte in to the last byte out; None for no limit.
        guards: entered in this order: shedder, limiters, bulkheads, breakers. A breaker sees the response, which has a
            `status`: `CircuitBreaker(failed_result=resilience.http.failed)`.
        criticality: how much its requests matter where nobody who is believed says so: `sheddable`, `degradable`,
            `normal` or `critical`.

    Raises:
        ConfigError: the timeout is not above 0, something is no guard, or there is no such criticality.
    """

    timeout: float | None = None
    guards: Sequence[Guard[Any]] = ()
    criticality: str | None = None
    by_route: bool = field(default=False, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.timeout is not None:
            number("timeout", self.timeout, above=0)
        if self.criticality is not None:
            choice("criticality", self.criticality, CRITICALITIES)
        object.__setattr__(self, "guards", guard_list(self.guards))
        for guard in self.guards:
            if getattr(guard, "repeats", False):
                message = (
                    f"guards takes no policy that repeats, got {shown(guard.name)}: a request's body is read once and its"
                    " answer sent once, so only the client can try again"
                )
                raise ConfigError(message)
            if not isinstance(guard, Guard):
                message = f"guards must be guards (a limiter, a bulkhead, a breaker), got {shown(guard)}; a timeout is `timeout=`"
                raise ConfigError(message)

        by_route = any(getattr(guard, "key_of", None) is route for guard in self.guards)
        object.__setattr__(self, "by_route", by_route)

    def __bool__(self) -> bool:
        return self.timeout is not None or bool(self.guards)


def route_guards(routes: Mapping[str, RouteGuards] | None) -> Mapping[str, RouteGuards]:
    """Return the guards of routes by template.

    Raises:
        ConfigError: they are no mapping of templates to `RouteGuards`.

    Example:
        >>> route_guards({"/pay": {"timeout": 1.0}})
        Traceback (most recent call last):
        resilience.errors.ConfigError: routes must have RouteGuards by template, got {'timeout': 1.0} for '/pay': write routes={'/pay': RouteGuards(timeout=1.0)}
    """
    if not isinstance(routes, Mapping | None):
        message = f"routes must be a mapping by template, got {routes!r:.80}: write routes={{'/pay': RouteGuards(timeout=1.0)}}"
        raise ConfigError(message)
    for template, guards in (routes or {}).items():
        if not isinstance(template, str) or not isinstance(guards, RouteGuards):
            message = (
                f"routes must have RouteGuards by template, got {guards!r:.80} for {template!r:.80}:"
                " write routes={'/pay': RouteGuards(timeout=1.0)}"
            )
            raise ConfigError(message)
    return routes or {}


class Levels:
    """How much requests matter: as believed peers say, else as a function says, else as their route is set.

    Args:
        peers: who is believed.
        asked: returns the name of a criticality, or None; what it raises is logged, and says nothing.
        routes: what is set for routes, by template.
        template: finds the template of a request.
        default: what is set for routes that are not named.

    Raises:
        ConfigError: `asked` is no function.
    """

    def __init__(
        self,
        peers: Peers,
        asked: Callable[[Scope], str | None] | None,
        routes: Mapping[str, RouteGuards],
        template: Callable[[Scope], str],
        default: str | None = None,
    ) -> None:
        self._peers = peers
        self._asked = None if asked is None else callback("criticality", asked)
        self._set = {
            route: CRITICALITIES.index(each.criticality)
            for route, each in routes.items()
            if each.criticality is not None
        }
        self._template = template
        self._default = None if default is None else CRITICALITIES.index(default)

    def __bool__(self) -> bool:
        return self._peers.anybody or self._asked is not None or bool(self._set) or self._default is not None

    def of(self, scope: Scope) -> int | None:
        """Return the criticality of a request, as `CallContext` has it; None where nobody says."""
        level = self._peers.criticality(scope) if self._peers.anybody else None
        if level is None and self._asked is not None:
            level = self._answer(self._asked, scope)
        if level is not None:
            return level
        return self._set.get(self._template(scope), self._default) if self._set else self._default

    @staticmethod
    def _answer(asked: Callable[[Scope], str | None], scope: Scope) -> int | None:
        try:
            name = asked(scope)
            return None if name is None else CRITICALITIES.index(name)
        except Exception as error:  # noqa: BLE001  a user's function never breaks a request
            log(__name__).warning("criticality_unknown", path=scope["path"], error=repr(error))
            return None


class Peers:
    """Who is believed when a request says how long it has and how much it matters.

    Args:
        networks: addresses and networks: `10.0.0.0/8`. Nobody by default: a stranger would call everything critical.
        longest: seconds of a deadline that are believed at most.

    Raises:
        ConfigError: one is no network, or `longest` not above 0.
    """

    def __init__(self, networks: Collection[str] = (), *, longest: float = _LONGEST) -> None:
        self._networks = parse_networks("trusted", networks)
        self.anybody: bool = bool(self._networks)
        self._longest = number("longest", longest, above=0)
        self._known: dict[str, bool] = {}

    def budget(self, scope: Scope) -> float | None:
        """Return the seconds that a believed peer leaves for the answer."""
        return read_budget(scope["headers"], longest=self._longest) if self._believes(scope) else None

    def criticality(self, scope: Scope) -> int | None:
        """Return how much a request matters, where a believed peer says so."""
        return read_criticality(scope["headers"]) if self._believes(scope) else None

    def _believes(self, scope: Scope) -> bool:
        host = (scope.get("client") or ("",))[0]
        known = self._known.get(host)
        if known is None:
            try:
                address = ipaddress.ip_address(host)
                known = any(address in network for network in self._networks)
            except ValueError:
                known = False
            if len(self._known) >= 1000:  # noqa: PLR2004  as many peers as anyone has
                self._known.clear()
            self._known[host] = known
        return known
