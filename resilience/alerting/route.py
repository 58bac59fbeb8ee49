"""The route tree: which channels an alert goes to, how it is grouped and when it is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from resilience.alerting.escalation import Escalation
from resilience.alerting.intervals import TimeIntervals
from resilience.alerting.matchers import Matchers
from resilience.core.options import named_options
from resilience.core.validate import number, text
from resilience.errors import ConfigError

__all__ = ["GROUP_INTERVAL", "GROUP_WAIT", "REPEAT_INTERVAL", "Destination", "Route", "Router"]

# Alertmanager's defaults.
GROUP_WAIT = 30.0
GROUP_INTERVAL = 300.0
REPEAT_INTERVAL = 14_400.0

T = TypeVar("T")


@named_options
@dataclass(frozen=True)
class Route:
    """One node of the tree, as it is written; what is None is inherited from the parent.

    An alert goes down the tree as in Alertmanager: to the first child that matches, and on to the next siblings
    while `proceed` says so; where no child matches, the node itself takes it.

    Args:
        to: the channels that are told.
        matchers: which alerts; none means all.
        group_by: labels whose values make a group; `("...",)` means all labels. At the root `("alertname",)`.
        group_wait: seconds from an alert's firing to the first notification of its group, zero or more; 30 s.
        group_interval: seconds between two looks at what changed in a group, above 0; 5 min.
        repeat_interval: seconds after which what still fires is told again, above 0; 4 h.
        proceed: whether the siblings after this one are tried as well (Alertmanager's `continue`).
        mute: times at which nothing new is told; a 'resolved' is.
        active: if any is given, the only times at which anything new is told.
        escalation: who is told next while nobody acknowledges.
        routes: the children.

    Raises:
        ConfigError: an interval is out of its range.

    Example:
        >>> tree = Router(Route(to=("log",), routes=(Route(to=("pager",), matchers=Matchers(['severity="critical"'])),)))
        >>> [place.to for place in tree.find({"alertname": "a", "severity": "critical"})]
        [('pager',)]
    """

    to: tuple[str, ...] | None = None
    matchers: Matchers = field(default_factory=Matchers)
    group_by: tuple[str, ...] | None = None
    group_wait: float | None = None
    group_interval: float | None = None
    repeat_interval: float | None = None
    proceed: bool = False
    mute: tuple[TimeIntervals, ...] = ()
    active: tuple[TimeIntervals, ...] = ()
    escalation: Escalation | None = None
    routes: Sequence[Route] = ()

    def __post_init__(self) -> None:
        for name in self.to or ():
            text("to", name)
        if self.group_wait is not None:
            number("group_wait", self.group_wait, low=0)
        if self.group_interval is not None:
            number("group_interval", self.group_interval, above=0)
        if self.repeat_interval is not None:
            number("repeat_interval", self.repeat_interval, above=0)


@dataclass(frozen=True, eq=False)
class Destination:
    """A node of the tree with everything that it inherits; `key` names it over restarts."""

    key: str
    to: tuple[str, ...]
    group_by: tuple[str, ...]
    group_wait: float
    group_interval: float
    repeat_interval: float
    mute: tuple[TimeIntervals, ...]
    active: tuple[TimeIntervals, ...]
    escalation: Escalation | None

    @property
    def receivers(self) -> frozenset[str]:
        """The channels that may be notified: its own and those of its escalation."""
        levels = () if self.escalation is None else self.escalation.levels
        return frozenset((*self.to, *(name for level in levels for name in level.to)))

    def group_labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Return the labels of an alert that make its group."""
        if "..." in self.group_by:
            return dict(labels)
        return {name: labels[name] for name in self.group_by if name in labels}

    def quiet(self, wall: float) -> bool:
        """Say whether nothing new is told at a moment of Unix time."""
        if any(times.contains(wall) for times in self.mute):
            return True
        return bool(self.active) and not any(times.contains(wall) for times in self.active)


@dataclass(frozen=True, eq=False)
class _Node:
    destination: Destination
    matchers: Matchers
    proceed: bool
    children: tuple[_Node, ...]

    def find(self, labels: Mapping[str, str]) -> Iterator[Destination]:
        taken = False
        for child in self.children:
            if child.matchers.match(labels):
                taken = True
                yield from child.find(labels)
                if not child.proceed:
                    break
        if not taken:
            yield self.destination


class Router:
    """Finds the destinations of an alert.

    Args:
        root: the tree's root; its own matchers are not looked at, since every alert goes somewhere.

    Raises:
        ConfigError: a node has no channel, neither of its own nor inherited.
    """

    def __init__(self, root: Route) -> None:
        self.destinations: dict[str, Destination] = {}
        start = Destination("", (), ("alertname",), GROUP_WAIT, GROUP_INTERVAL, REPEAT_INTERVAL, (), (), None)
        self._root = self._build(root, start)

    def find(self, labels: Mapping[str, str]) -> list[Destination]:
        """Return where an alert with these labels goes; at least one place."""
        return list(self._root.find(labels))

    @property
    def receivers(self) -> set[str]:
        """The channels that the tree names."""
        found: set[str] = set()
        for place in self.destinations.values():
            found.update(place.to)
            if place.escalation is not None:
                found.update(*(level.to for level in place.escalation.levels))
        return found

    def _build(self, route: Route, parent: Destination) -> _Node:
        # The place in the tree, not a count, so that a route added elsewhere keeps the groups of this one.
        key = f"{parent.key}/{route.matchers}" if parent.key else str(Matchers())
        number_of = sum(other == key or other.startswith(f"{key}#") for other in self.destinations)
        if number_of:
            key = f"{key}#{number_of}"
        escalation = route.escalation or (None if route.to is not None else parent.escalation)
        to = _inherit(route.to, parent.to if route.escalation is None else ())
        if not to and escalation is None:
            message = f"to must name at least one channel on route {key}, got none"
            raise ConfigError(message)
        destination = Destination(
            key,
            to,
            _inherit(route.group_by, parent.group_by),
            _inherit(route.group_wait, parent.group_wait),
            _inherit(route.group_interval, parent.group_interval),
            _inherit(route.repeat_interval, parent.repeat_interval),
            route.mute,
            route.active,
            escalation,
        )
        self.destinations[key] = destination
        children = tuple(self._build(child, destination) for child in route.routes)
        return _Node(destination, route.matchers, route.proceed, children)


def _inherit(own: T | None, parent: T) -> T:
    return parent if own is None else own
