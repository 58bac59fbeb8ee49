"""Who is told of what, when, and what mutes it: the settings of the engine, checked together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from resilience.alerting.flapping import FlapDetector
from resilience.alerting.inhibition import Inhibition
from resilience.alerting.route import Destination, Route, Router
from resilience.alerting.silence import MaintenanceWindow
from resilience.core.external_labels import NO_LABELS, ExternalLabels
from resilience.core.ports import Notifier, Repeating
from resilience.errors import ConfigError

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """Settings that fit together; made by `make`, taken over by `Engine.follow`."""

    router: Router
    fallbacks: Mapping[str, Destination]
    repeat_intervals: Mapping[str, float]
    inhibitions: tuple[Inhibition, ...] = ()
    maintenance: tuple[MaintenanceWindow, ...] = ()
    flapping: FlapDetector = field(default_factory=FlapDetector)
    implied: tuple[Inhibition, ...] = ()  # what follows from the rules that are evaluated
    external: ExternalLabels = NO_LABELS  # of the service, over all changes of settings

    @property
    def every_inhibition(self) -> tuple[Inhibition, ...]:
        """The inhibition rules of the settings, and those that follow from the rules."""
        return (*self.inhibitions, *self.implied)

    @classmethod
    def make(
        cls,
        notifiers: Mapping[str, Notifier],
        *,
        route: Route | None = None,
        inhibitions: Sequence[Inhibition] = (),
        maintenance: Sequence[MaintenanceWindow] = (),
        flapping: FlapDetector | None = None,
    ) -> Self:
        """Check the settings; `manager.AlertManager` describes them.

        Raises:
            ConfigError: there is no channel, or a route names one that is not there.
        """
        if not notifiers:
            message = "notifiers must hold at least one channel, got none"
            raise ConfigError(message)
        router = Router(route or Route(to=tuple(notifiers)))
        if missing := router.receivers - notifiers.keys():
            message = f"to must be one of the channels {', '.join(notifiers)}, got {min(missing)!r}"
            raise ConfigError(message)
        return cls(
            router,
            _fallbacks(tuple(notifiers)),
            {name: each.repeat_interval for name, each in notifiers.items() if isinstance(each, Repeating)},
            tuple(inhibitions),
            tuple(maintenance),
            flapping or FlapDetector(),
        )

    @property
    def destinations(self) -> dict[str, Destination]:
        """All places where alerts go, by the key that names them over restarts."""
        return {**self.router.destinations, **{each.key: each for each in self.fallbacks.values()}}

    def find(self, labels: Mapping[str, str], *, failing: str | None = None) -> list[Destination]:
        """Return where an alert goes.

        Args:
            labels: its labels.
            failing: the channel that it says fails: where the tree knows only this one, all others are told.
        """
        found = self.router.find(labels)
        others = None if failing is None else self.fallbacks.get(failing)
        if others is not None and all(set(place.to) <= {failing} for place in found):
            return [others]
        return found


def _fallbacks(channels: Sequence[str]) -> dict[str, Destination]:
    """For each channel, where its failing is told when the tree knows only the channel itself."""
    found = {}
    for channel in channels:
        others = tuple(name for name in channels if name != channel)
        if others:
            [place] = Router(Route(to=others, group_wait=0.0)).destinations.values()
            found[channel] = replace(place, key=f"(channel {channel})")
    return found
