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
from resilience_middleware.admission import Per, RouteGuards, client_address, guard_list, route, route_guards
from resilience_middleware.templates import flat

__all__ = ["Door", "Doorway"]

_Made: TypeAlias = dict[tuple[str, str, str | None], tuple[DoorGuard, GuardPolicy[Any]]]
"""Guards of a configuration, by the template of their route, their kind, and what has one of its own each."""


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
        routes: Mapping[str, RouteGuards] | None,
        trusted: Collection[str],
    ) -> None:
        self._reliability = reliability
        self._timeout = timeout
        self._guards = guard_list(guards)
        self._own_routes = route_guards(routes)
        self._trusted = trusted
        self._made: _Made = {}
        self._shown: str | None = None
        self.door: Door
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
    by_identity: dict[tuple[int, str | None], GuardPolicy[Any]] = {}

    def guard_by(each: DoorGuard, by: str | None, where: str, kind: str) -> GuardPolicy[Any]:
        if (guard := by_identity.get((id(each), by))) is None:
            name = f"{where} {kind} by {by}" if len(each.by) > 1 else f"{where} {kind}"
            maker = _Maker(each, by, name.lstrip(), clock)
            guard = _kept(maker, former.get((where, kind, by)), undo) or maker.guard()
            by_identity[id(each), by] = guard
            made[where, kind, by] = each, guard
        return guard

    def guards(of: RouteAdmission, where: str) -> RouteGuards:
        found = [
            guard_by(each, by, where, kind) for kind, each in of.guards.items() for by in each.by or (None,)
        ]
        return RouteGuards(of.timeout, found, of.criticality)

    default = guards(admission.default, "")
    return default, {template: guards(each, template) for template, each in admission.routes.items()}, made


class _Maker(NamedTuple):
    """Makes one guard of a configuration, or one for each key of requests."""

    each: DoorGuard
    by: str | None
    name: str
    clock: Clock

    def guard(self) -> GuardPolicy[Any]:
        if self.by is None:
            return cast("GuardPolicy[Any]", self.each.layer.make(self.name, self.clock))
        return Per(_key(self.by), self.of_key, max_keys=10_000, name=self.name)

    def of_key(self, key: object) -> GuardPolicy[Any]:
        # Only templates are few enough to be names; who the client is stays out of events and signals.
        name = f"{key} {self.name}" if self.by == "route" else self.name
        return cast("GuardPolicy[Any]", self.each.layer.make(name, self.clock))


def _kept(
    maker: _Maker, former: tuple[DoorGuard, GuardPolicy[Any]] | None, undo: list[Callable[[], None]]
) -> GuardPolicy[Any] | None:
    """Return the guard that was at a place, its options changed; None where only a new one will do."""
    if former is None:
        return None
    changes, guard = maker.each.layer.changes(former[0].layer), former[1]
    if changes is None:
        return None
    if changes and isinstance(guard, Per):
        undo.append(guard.remade(maker.of_key, changes))
    elif changes:
        undo.append(reconfigured(guard, changes))
    return guard


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
