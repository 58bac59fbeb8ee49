"""The decisions of a tick: what fires, in which groups, muted by what, and who is told of it. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from resilience.alerting.acknowledgements import Acknowledgements
from resilience.alerting.firing import Changes, Firing, notified
from resilience.alerting.flapping import FlapDetector
from resilience.alerting.group import Decision, Group
from resilience.alerting.grouping import Groups
from resilience.alerting.inhibition import Inhibition, Inhibitor
from resilience.alerting.raised import RaisedAlert
from resilience.alerting.route import Destination, Route, Router
from resilience.alerting.silence import MaintenanceWindow, Silences
from resilience.alerting.view import AlertView
from resilience.core.clock import Instant
from resilience.core.ports import Notification, NotifiedAlert, Notifier, Put, Repeating
from resilience.errors import ConfigError
from resilience.rules.state import Alert

__all__ = ["Engine", "channel_alert", "is_channel_alert"]

_CHANNEL_ALERT = "NotificationChannelFailing"

Load = Callable[[str], Awaitable[Mapping[str, bytes]]]


class Engine:
    """Decides, tick for tick; `manager.AlertManager` describes the options."""

    def __init__(
        self,
        notifiers: Mapping[str, Notifier],
        *,
        route: Route | None,
        inhibitions: Sequence[Inhibition],
        maintenance: Sequence[MaintenanceWindow],
        flapping: FlapDetector | None,
    ) -> None:
        self.silences: Silences = Silences(maintenance)
        self.firing: Firing = Firing(flapping or FlapDetector())
        self.groups: Groups = Groups()
        self.repeat_intervals: dict[str, float] = {
            name: each.repeat_interval for name, each in notifiers.items() if isinstance(each, Repeating)
        }
        self._inhibitor = Inhibitor(inhibitions)
        self._acknowledgements = Acknowledgements()
        self._router = Router(route or Route(to=tuple(notifiers)))
        if missing := self._router.receivers - notifiers.keys():
            message = f"to must be one of the channels {', '.join(notifiers)}, got {min(missing)!r}"
            raise ConfigError(message)
        self._destinations = {**self._router.destinations, **_fallbacks(tuple(notifiers))}

    def update(self, now: Instant, alerts: Iterable[Alert], raised: Mapping[str, Alert]) -> Changes:
        """Take in the alerts of a tick; returns what changed, with what is to be stored of it."""
        changes = self.firing.update(now, alerts, raised)
        for alert in changes.joined:
            self.groups.join(alert, self._destinations_of(alert), now)
        for alert in changes.ended:
            self.groups.leave(alert)
        if changes.joined or changes.ended:
            self._inhibitor.update({key: alert.labels for key, alert in self.firing.alerts.items()})
            changes.puts += self._acknowledgements.end(alert.fingerprint for alert in changes.ended)
            changes.puts += self.silences.prune(now.wall)
        return changes

    def decide(self, now: Instant, waiting: Callable[[str, str], bool]) -> list[Notification]:
        """Decide who is told what.

        Args:
            now: the tick.
            waiting: says of a receiver and a group's key that an earlier notification has not arrived: a mere repeat
                is then left out.
        """
        return [
            _notification(group, decision, now.wall)
            for group, decision in self.groups.decide(now, self.view(now), self._avoid)
            if not (decision.repeat and waiting(decision.receiver, group.key))
        ]

    def acknowledge(
        self, alert_id: str, by: str, now: Instant, offset: float
    ) -> tuple[Alert, Put, list[Notification]]:
        """Note that somebody has taken over an alert; returns it, what is to be stored, and who is to be told.

        Raises:
            ConfigError: no alert of that id fires.
        """
        alert = self.known(alert_id)
        put = self._acknowledgements.add(alert_id, by, now.monotonic, offset)
        self.groups.wake()
        shown = [notified(alert, acknowledged_by=by)]
        told = [
            _notification(group, Decision(receiver, "acknowledged", shown, repeat=False), now.wall)
            for group in self.groups.of(alert_id)
            for receiver in group.receivers_of(alert_id)
        ]
        return alert, put, told

    def known(self, alert_id: str) -> Alert:
        """Return an alert that fires.

        Raises:
            ConfigError: none of that id does.
        """
        alert = self.firing.alerts.get(alert_id)
        if alert is None:
            message = f"alert_id must be the id of an alert that fires, got {alert_id!r}"
            raise ConfigError(message)
        return alert

    def view(self, now: Instant) -> AlertView:
        """Return what is known of the alerts at a moment."""
        return AlertView(
            self.firing, self.silences, self._inhibitor, self._acknowledgements, self.repeat_intervals, now
        )

    async def restore(self, load: Load, offset: float) -> None:
        """Take back what an earlier process stored; `offset` leads from monotonic to Unix time."""
        self.silences.restore((await load(Silences.table)).values())
        self._acknowledgements.restore(await load(Acknowledgements.table), offset)
        self.firing.restore((await load(Firing.table)).values(), await load(Firing.closed_table))
        self.groups.restore((await load(Groups.table)).values(), self._destinations, offset)

    def _destinations_of(self, alert: NotifiedAlert) -> list[Destination]:
        found = self._router.find(alert.labels)
        if is_channel_alert(alert.labels):
            channel = alert.labels.get("channel", "")
            if all(set(place.to) <= {channel} for place in found):
                others = self._destinations.get(_fallback_key(channel))
                return found if others is None else [others]
        return found

    def _avoid(self, fingerprint: str) -> tuple[str, ...]:
        """A channel is not told of its own failing."""
        labels = self.firing.alerts[fingerprint].labels
        return (labels.get("channel", ""),) if is_channel_alert(labels) else ()


def is_channel_alert(labels: Mapping[str, str], channel: str | None = None) -> bool:
    """Say whether these are the labels of an alert that a channel (or this channel) fails."""
    return labels.get("alertname") == _CHANNEL_ALERT and channel in {None, labels.get("channel")}


def channel_alert(channel: str, error: str) -> RaisedAlert:
    """Make the alert that says that a channel fails."""
    return RaisedAlert(
        _CHANNEL_ALERT,
        severity="critical",
        labels={"channel": channel},
        annotations={"summary": f"Notifications to {channel} do not arrive", "description": error},
    )


def _fallback_key(channel: str) -> str:
    return f"(channel {channel})"


def _fallbacks(channels: Sequence[str]) -> dict[str, Destination]:
    """For each channel, where its failing is told when the tree knows only the channel itself."""
    found = {}
    for channel in channels:
        others = tuple(name for name in channels if name != channel)
        if others:
            [place] = Router(Route(to=others, group_wait=0.0)).destinations.values()
            found[_fallback_key(channel)] = replace(place, key=_fallback_key(channel))
    return found


def _notification(group: Group, decision: Decision, wall: float) -> Notification:
    told = ",".join(f"{alert.fingerprint}:{alert.status}" for alert in decision.alerts)
    identity = f"{decision.receiver}\0{group.key}\0{decision.status}\0{wall!r}\0{told}"
    key = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return Notification(
        key, decision.receiver, decision.status, group.labels, decision.alerts, wall, group.key
    )
