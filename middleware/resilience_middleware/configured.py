"""The guards at the door of one middleware, as code and configuration say together."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

from starlette.types import Scope

from resilience.core.ports import Clock, Guard
from resilience.errors import ConfigError
from resilience.http.admission import Admission, DoorGuard, RouteAdmission
from resilience.policies.base import GuardPolicy
from resilience.reliability import Reliability
from resilience_middleware.admission import Per, RouteGuards, client_address, route
from resilience_middleware.templates import flat

__all__ = ["Door", "door_of"]


class Door(NamedTuple):
    """What requests have to pass: in general, on single routes by template, and who is believed."""

    default: RouteGuards
    routes: Mapping[str, RouteGuards]
    trusted: Collection[str]

    def by_name(self) -> dict[str, Guard[Any]]:
        """Return all guards once each, by names that tell them apart; those of single routes have the template in theirs."""
        found: dict[str, Guard[Any]] = {}
        seen: set[int] = set()
        for template, guards in (("", self.default), *self.routes.items()):
            for guard in guards.guards:
                if id(guard) in seen:
                    continue
                seen.add(id(guard))
                name = guard.name if guard.name.startswith(template) else f"{template} {guard.name}"
                unique = name
                for number in itertools.count(2):
                    if unique not in found:
                        break
                    unique = f"{name} {number}"
                found[unique] = guard
        return found

    def unknown(self, templates: Sequence[str]) -> ConfigError | None:
        """Say which routes are guarded that the application does not have.

        Args:
            templates: those that it has.
        """
        missing = [template for template in self.routes if template not in templates]
        if not missing:
            return None
        close = difflib.get_close_matches(missing[0], templates, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(templates) or 'none'}"
        return ConfigError(
            f"guards are given for {missing[0]!r}, and the application has no such route; {hint}"
        )


def door_of(
    reliability: Reliability,
    timeout: float | None,
    guards: Sequence[Guard[Any]],
    routes: Mapping[str, RouteGuards],
    trusted: Collection[str],
) -> Door:
    """Put together what code and configuration say; code goes first, option by option and route by route.

    Args:
        reliability: whose configuration, and whose error budget policy: what that sheds is turned away before anything else
            is asked of it.
        timeout: as `ResilienceMiddleware` takes it, and so are the others.
        guards: of all routes.
        routes: of single ones.
        trusted: who is believed.

    Raises:
        ConfigError: an option cannot be meant.
    """
    admission = reliability.guards or Admission()
    default, named = _made(admission, reliability.clock)
    default = replace(
        default,
        timeout=default.timeout if timeout is None else timeout,
        guards=tuple(guards) or default.guards,
    )
    actions = reliability.budget_actions
    first = (actions.shedder,) if actions.sheds else ()
    door = Door(
        replace(default, guards=(*first, *default.guards)),
        {
            flat(template): replace(each, guards=(*first, *each.guards))
            for template, each in {**named, **routes}.items()
        },
        trusted or admission.trusted,
    )
    if shown := door.by_name():
        reliability.registry.show("requests", shown)
    return door


def _made(admission: Admission, clock: Clock) -> tuple[RouteGuards, dict[str, RouteGuards]]:
    """Make the guards of a configuration; one that a route takes over from the default is the same."""
    made: dict[int, GuardPolicy[Any]] = {}

    def guards(of: RouteAdmission, where: str) -> RouteGuards:
        for kind, each in of.guards.items():
            if id(each) not in made:
                made[id(each)] = _guard(each, f"{where} {kind}".lstrip(), clock)
        return RouteGuards(of.timeout, [made[id(each)] for each in of.guards.values()], of.criticality)

    default = guards(admission.default, "")
    return default, {template: guards(each, template) for template, each in admission.routes.items()}


def _guard(each: DoorGuard, name: str, clock: Clock) -> GuardPolicy[Any]:
    if each.by is None:
        return cast("GuardPolicy[Any]", each.layer.make(name, clock))

    # Only templates are few enough to be names; who the client is stays out of events and signals.
    def make(key: object) -> GuardPolicy[Any]:
        return cast(
            "GuardPolicy[Any]", each.layer.make(f"{key} {name}" if each.by == "route" else name, clock)
        )

    return Per(_key(each.by), make, max_keys=10_000, name=name)


def _key(by: str) -> Callable[[Scope], Hashable]:
    if by == "client":
        return client_address
    if by == "route":
        return route
    header = by.partition(" ")[2].lower().encode()

    def value(scope: Scope) -> Hashable:
        # Without the header, by address: those who leave it out must not all share one guard.
        return next((given for name, given in scope["headers"] if name == header), None) or client_address(
            scope
        )

    return value
