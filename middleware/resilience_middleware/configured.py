"""The guards at the door of one middleware, as code and configuration say together."""

from __future__ import annotations

import difflib
import functools
import itertools
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias, cast

from starlette.types import Scope

from resilience.core.ports import Clock, Guard
from resilience.errors import ConfigError
from resilience.http.admission import Admission, DoorGuard, RouteAdmission
from resilience.policies.base import GuardPolicy
from resilience.policies.changes import all_or_nothing, reconfigured, undone
from resilience.reliability import Reliability
from resilience_middleware.admission import Per, RouteGuards, client_address, guard_list, route
from resilience_middleware.templates import flat

__all__ = ["Door", "Doorway"]

_Made: TypeAlias = dict[tuple[str, str], tuple[DoorGuard, GuardPolicy[Any]]]
"""Guards of a configuration, by the template of their route and their kind."""


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


class Doorway:
    """The door of one middleware, remade when the configuration changes. Code goes first, option by option and route by route.

    Args:
        reliability: whose configuration, and whose error budget policy: what that sheds is turned away before anything else
            is asked of it.
        timeout: as `ResilienceMiddleware` takes it, and so are the others.
        guards: of all routes.
        routes: of single ones.
        trusted: who is believed.

    Attributes:
        door: what requests have to pass now.

    Raises:
        ConfigError: an option cannot be meant.
    """

    def __init__(
        self,
        reliability: Reliability,
        timeout: float | None,
        guards: Sequence[Guard[Any]],
        routes: Mapping[str, RouteGuards],
        trusted: Collection[str],
    ) -> None:
        self._reliability = reliability
        self._timeout = timeout
        self._guards = guard_list(guards)
        self._own_routes = routes
        self._trusted = trusted
        self._made: _Made = {}
        self._shown: str | None = None
        self.door, self._made = self._new([])
        self._show()

    def change(self, templates: Sequence[str] | None) -> Callable[[], None]:
        """Make the door anew; a guard of the same kind at the same place stays, with its permits and counts.

        Args:
            templates: the routes that the application has; None where that is not known yet.

        Returns:
            a function that puts the former door back.

        Raises:
            ConfigError: an option cannot be meant, or a route is unknown; nothing is changed then.
        """
        door, made = self.door, self._made

        def put_back() -> None:
            self.door, self._made = door, made

        with all_or_nothing() as undo:
            undo.append(put_back)
            self.door, self._made = self._new(undo)
            if templates is not None and (wrong := self.door.unknown(templates)) is not None:
                raise wrong
        undo.insert(0, self._show)
        self._show()
        return functools.partial(undone, undo)

    def _new(self, undo: list[Callable[[], None]]) -> tuple[Door, _Made]:
        admission = self._reliability.guards or Admission()
        default, named, made = _guards_of(admission, self._reliability.clock, self._made, undo)
        default = replace(
            default,
            timeout=default.timeout if self._timeout is None else self._timeout,
            guards=self._guards or default.guards,
        )
        actions = self._reliability.budget_actions
        first = (actions.shedder,) if actions.sheds else ()
        door = Door(
            replace(default, guards=(*first, *default.guards)),
            {
                flat(template): replace(each, guards=(*first, *each.guards))
                for template, each in {**named, **self._own_routes}.items()
            },
            self._trusted or admission.trusted,
        )
        return door, made

    def _show(self) -> None:
        """Have the registry report on the guards."""
        registry, shown = self._reliability.registry, self.door.by_name()
        if self._shown is not None:
            registry.show_instead(self._shown, shown)
        elif shown:
            self._shown = registry.show("requests", shown)


def _guards_of(
    admission: Admission, clock: Clock, former: _Made, undo: list[Callable[[], None]]
) -> tuple[RouteGuards, dict[str, RouteGuards], _Made]:
    """Make the guards of a configuration; one that a route takes over from the default is the same."""
    made: _Made = {}
    by_identity: dict[int, GuardPolicy[Any]] = {}

    def guards(of: RouteAdmission, where: str) -> RouteGuards:
        for kind, each in of.guards.items():
            if id(each) not in by_identity:
                name = f"{where} {kind}".lstrip()
                guard = _kept(each, former.get((where, kind)), name, clock, undo)
                guard = guard or _guard(each, name, clock)
                by_identity[id(each)] = guard
                made[where, kind] = each, guard
        return RouteGuards(of.timeout, [by_identity[id(each)] for each in of.guards.values()], of.criticality)

    default = guards(admission.default, "")
    return default, {template: guards(each, template) for template, each in admission.routes.items()}, made


def _kept(
    each: DoorGuard,
    former: tuple[DoorGuard, GuardPolicy[Any]] | None,
    name: str,
    clock: Clock,
    undo: list[Callable[[], None]],
) -> GuardPolicy[Any] | None:
    """Return the guard that was at a place, its options changed; None where only a new one will do."""
    if former is None or former[0].by != each.by:
        return None
    changes, guard = each.layer.changes(former[0].layer), former[1]
    if changes is None:
        return None
    if changes and isinstance(guard, Per):
        undo.append(guard.remade(_factory(each, name, clock), changes))
    elif changes:
        undo.append(reconfigured(guard, changes))
    return guard


def _guard(each: DoorGuard, name: str, clock: Clock) -> GuardPolicy[Any]:
    if each.by is None:
        return cast("GuardPolicy[Any]", each.layer.make(name, clock))
    return Per(_key(each.by), _factory(each, name, clock), max_keys=10_000, name=name)


def _factory(each: DoorGuard, name: str, clock: Clock) -> Callable[[object], GuardPolicy[Any]]:
    # Only templates are few enough to be names; who the client is stays out of events and signals.
    def make(key: object) -> GuardPolicy[Any]:
        return cast(
            "GuardPolicy[Any]", each.layer.make(f"{key} {name}" if each.by == "route" else name, clock)
        )

    return make


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
