"""The decisions of a tick: what fires, in which groups, muted by what, and who is told of it. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from resilience.alerting.acknowledgements import Acknowledgements
from resilience.alerting.active import ActiveAlert
from resilience.alerting.firing import Changes, Firing, notified, shown
from resilience.alerting.group import Decision, Group
from resilience.alerting.grouping import Groups
from resilience.alerting.inhibition import Inhibitor
from resilience.alerting.plan import Plan
from resilience.alerting.raised import RaisedAlert
from resilience.alerting.route import Destination
from resilience.alerting.silence import Silences
from resilience.alerting.view import AlertView
from resilience.core import validate
from resilience.core.clock import Instant
from resilience.core.ports import Notification, NotifiedAlert, Put
from resilience.core.slices import breathe, breathing
from resilience.errors import ConfigError
from resilience.rules.state import Alert, fingerprint

__all__ = ["Engine", "channel_alert", "channel_test", "is_channel_alert"]

_CHANNEL_ALERT = "NotificationChannelFailing"


class Engine:
    """Decides, tick for tick; `manager.AlertManager` describes the options."""

    def __init__(self, plan: Plan) -> None:
        self.silences: Silences = Silences(plan.maintenance)
        self.firing: Firing = Firing(plan.flapping)
        self.groups: Groups = Groups()
        self.plan: Plan = plan
        self._inhibitor = Inhibitor(plan.every_inhibition)
        self.acknowledgements: Acknowledgements = Acknowledgements()
        self._matched = 0  # silences that all alerts have been matched with

    def follow(self, plan: Plan, now: Instant) -> None:
        """Take over other settings: what fires is sorted into its groups anew, who was told of it stays known."""
        self.plan = plan
        self.silences.replace_windows(plan.maintenance)
        self.firing.replace_flaps(plan.flapping)
        self._inhibitor = Inhibitor(plan.every_inhibition)
        self._inhibitor.update(self._labels())
        self.groups.reroute(plan.destinations)
        for alert in self.firing.alerts.values():
            self.groups.join(notified(alert), self._destinations_of(alert.labels), now)

    def update(self, now: Instant, alerts: Iterable[Alert], raised: Mapping[str, Alert]) -> Changes:
        """Take in the alerts of a tick; returns what changed, with what is to be stored of it."""
        changes = self.firing.update(now, alerts, raised)
        for alert in breathing(changes.joined):
            self.groups.join(alert, self._destinations_of(alert.labels), now)
            self.silences.match(alert.fingerprint, alert.labels)
        for alert in breathing(changes.ended):
            self.groups.leave(alert)
        self.silences.leave(alert.fingerprint for alert in changes.ended)
        self.match_silences()
        if changes.joined or changes.ended:
            self._inhibitor.update(self._labels())
            changes.puts += self.acknowledgements.end(alert.fingerprint for alert in changes.ended)
            changes.puts += self.silences.prune(now.wall)
        return changes

    def match_silences(self) -> None:
        """Match alerts with the silences that came since the last call, so that reading need not."""
        if self._matched != self.silences.made:
            for key, alert in breathing(self.firing.alerts.items()):
                self.silences.match(key, alert.labels)
            self._matched = self.silences.made

    def decide(self, now: Instant) -> list[Notification]:
        """Return the notifications that are due; `groups.settle` takes in how each of them ends."""
        notifications = [
            _notification(group, decision, now.wall)
            for group, decision in self.groups.decide(now, self.view(now), self._avoid)
        ]
        for notification in notifications:
            breathe()
            self.groups.send(notification)
        return notifications

    def expire_acknowledgements(self, now: Instant) -> tuple[list[tuple[Alert, str]], list[Put]]:
        """End the acknowledgements that have timed out, and have the receivers of their alerts notified again.

        An alert in several groups follows the shortest `acknowledgement_timeout` of their escalations.

        Returns:
            the alerts, each with who had acknowledged it, and what is to be stored.
        """
        expired, puts = [], []
        for alert_id, given in self.acknowledgements.all():
            groups = self.groups.of(alert_id)
            limits = [each for group in groups if (each := group.acknowledgement_timeout) is not None]
            if alert_id in self.firing.alerts and limits and now.monotonic >= given.at + min(limits):
                puts += self.acknowledgements.end([alert_id])
                expired.append((self.firing.alerts[alert_id], given.by))
                for group in groups:
                    group.renew(alert_id, now.monotonic)
        return expired, puts

    def acknowledge(
        self, alert_id: str, by: str, now: Instant, offset: float
    ) -> tuple[Alert, Put, list[Notification]]:
        """Note that somebody has taken over an alert; returns it, what is to be stored, and who is to be told.

        Raises:
            ConfigError: no alert of that id fires.
        """
        alert = self.known(alert_id)
        put = self.acknowledgements.add(alert_id, by, now.monotonic, offset)
        self.groups.wake()
        shown = [notified(alert, acknowledged_by=by)]
        told = [
            _notification(group, Decision(receiver, "acknowledged", shown), now.wall)
            for group in self.groups.of(alert_id)
            for receiver in group.receivers_of(alert_id)
        ]
        return alert, put, told

    def known(self, alert_id: str) -> Alert:
        """Return an alert that fires.

        Raises:
            ConfigError: none of that id does.
        """
        alert = self.firing.alerts.get(validate.text("alert_id", alert_id))
        if alert is None:
            message = f"alert_id must be the id of an alert that fires, got {validate.shown(alert_id)}"
            raise ConfigError(message)
        return alert

    def last_shown(self, fingerprint: str) -> Alert | None:
        """Return an alert as it was stored or as a receiver saw it last, None for neither."""
        seen = self.firing.last_shown(fingerprint)
        if seen is not None:
            return seen
        told = (group.last_shown(fingerprint) for group in self.groups.of(fingerprint))
        return next((shown(alert) for alert in told if alert is not None), None)

    def active(self, now: Instant, service: str | None) -> list[ActiveAlert]:
        """Return what fires, the newest first, of one service or of all."""
        view = self.view(now)
        found = [
            ActiveAlert(
                view.shown(key),
                self._receivers_of(key),
                view.silenced_by(key),
                view.inhibited_by(key),
                self.firing.flapping(key, now.monotonic),
            )
            for key, alert in self.firing.alerts.items()
            if (service is None or alert.labels.get("service") == service) and not self.firing.is_closed(key)
        ]
        return sorted(found, key=lambda each: -each.alert.started)

    def _receivers_of(self, alert_id: str) -> tuple[str, ...]:
        groups = self.groups.of(alert_id)
        if len(groups) == 1:  # as nearly always
            return tuple(groups[0].receivers_of(alert_id))
        return tuple(dict.fromkeys(name for group in groups for name in group.receivers_of(alert_id)))

    def view(self, now: Instant) -> AlertView:
        """Return what is known of the alerts at a moment."""
        return AlertView(
            self.firing,
            self.silences,
            self._inhibitor,
            self.acknowledgements,
            self.plan.repeat_intervals,
            now,
        )

    def show(self) -> None:
        """Take what was stored as what fires: for a process that looks on while another decides."""
        self.firing.show()
        self._inhibitor.update(self._labels())

    def _labels(self) -> dict[str, Mapping[str, str]]:
        return {key: alert.labels for key, alert in self.firing.alerts.items()}

    def _destinations_of(self, labels: Mapping[str, str]) -> list[Destination]:
        return self.plan.find(labels, failing=labels.get("channel") if is_channel_alert(labels) else None)

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


def channel_test(channel: str, wall: float) -> Notification:
    """Make the notification that tests a channel."""
    labels = {"alertname": "ChannelTest", "severity": "info"}
    notes = {"summary": f"A test of the channel {channel}: nothing is wrong"}
    alert = NotifiedAlert(fingerprint(labels), "resolved", labels, notes, wall, wall)
    return Notification(f"test-{channel}-{wall:.0f}", channel, "resolved", labels, [alert], wall, "test")


def _notification(group: Group, decision: Decision, wall: float) -> Notification:
    told = ",".join(f"{alert.fingerprint}:{alert.status}" for alert in decision.alerts)
    identity = f"{decision.receiver}\0{group.key}\0{decision.status}\0{wall!r}\0{told}"
    key = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return Notification(
        key, decision.receiver, decision.status, group.labels, decision.alerts, wall, group.key
    )
