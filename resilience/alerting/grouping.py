"""All groups of alerts: which alert is in which, and which are due."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from resilience.alerting.group import GROUP, Decision, Group, View
from resilience.alerting.matchers import Matchers
from resilience.alerting.route import Destination
from resilience.core.clock import Instant
from resilience.core.log import log
from resilience.core.ports import Notification, NotifiedAlert, Put
from resilience.core.rows import decode, encode
from resilience.core.slices import breathe, breathing
from resilience.core.validate import shown

__all__ = ["Groups"]

_TABLE = "alerting.groups"
_RETRY = 60.0  # seconds after which a group that could not decide tries again


class Groups:
    """The groups by key; a tick in which nothing is due costs one comparison for each."""

    table = _TABLE

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._of: dict[str, list[Group]] = {}
        self._changed: dict[str, Group] = {}
        self._holding = False

    def join(self, alert: NotifiedAlert, destinations: Iterable[Destination], now: Instant) -> None:
        """Put an alert that fires into its groups; new ones are first looked at after `group_wait`.

        An alert that receivers know by a group already, from before a change of the tree or a restart, stays in it.
        """
        fingerprint = alert.fingerprint
        places = list(destinations)
        homes = self._of.setdefault(fingerprint, [])
        known = {id(group): group.receivers_of(fingerprint) for group in homes}
        for destination in places:
            # An alert that has waited already (before a restart, say) does not wait again.
            first = now.monotonic + max(0.0, destination.group_wait - max(0.0, now.wall - alert.started))
            group = _kept_by(homes, known, destination) or self._group(alert, destination, first)
            if group.destination is None:  # its place was gone, and has come back, or it follows its alerts
                group.destination, group.next_look, group.wake = destination, first, first
            elif not group.looked:
                group.next_look = group.wake = min(group.next_look, first)
            group.members.add(fingerprint)
            if group not in homes:
                homes.append(group)
        meant = {name for place in places for name in place.receivers}
        for group in homes:
            if fingerprint not in group.members and meant.intersection(known.get(id(group), ())):
                group.held.add(fingerprint)
                self._holding = True

    def _group(self, alert: NotifiedAlert, destination: Destination, first: float) -> Group:
        labels = destination.group_labels(alert.labels)
        key = f"{destination.key}:{Matchers.equal(labels)}"
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(key, labels, destination, first)
        return group

    def reroute(self, destinations: Mapping[str, Destination]) -> None:
        """Empty the groups for a tree that has changed; `join` fills them again.

        A group whose place is gone only resolves from now on, and one of which nobody was notified is forgotten.
        """
        self._of = {}
        self._holding = False
        for group in list(self._groups.values()):
            group.rebase(destinations)
            if group.done:
                del self._groups[group.key]
            self._index(group)
            self._changed[group.key] = group

    def leave(self, alert: NotifiedAlert) -> None:
        """Take an alert that no longer fires out of its groups."""
        for group in self._of.pop(alert.fingerprint, ()):
            if group.end(alert):
                self._changed[group.key] = group
            elif group.done:
                self._drop(group)

    def send(self, notification: Notification) -> None:
        """Note that a notification is on its way; see `settle`."""
        group = self._groups.get(notification.group_key)
        if group is not None and notification.status != "acknowledged":
            group.send(notification)

    def resume(self, notification: Notification) -> None:
        """Note that a notification from before a restart is on its way again."""
        self.send(notification)
        group = self._groups.get(notification.group_key)
        if group is not None:
            self._index(group)

    def settle(self, notification: Notification, now: float, *, arrived: bool, reached: bool) -> None:
        """Take in the outcome of a notification that was on its way; see `Group.settle`."""
        group = self._groups.get(notification.group_key)
        if group is not None and notification.status != "acknowledged":
            group.settle(notification, now, arrived=arrived, reached=reached)
            self._changed[group.key] = group
            if group.done:
                self._drop(group)

    def forget(self, notification: Notification) -> None:
        """Forget a receiver that there is no more, in the group of a notification to it."""
        group = self._groups.get(notification.group_key)
        if group is not None:
            group.forget(notification.receiver)
            self._changed[group.key] = group
            if group.done:
                self._drop(group)

    def _index(self, group: Group) -> None:
        for fingerprint in group.known:
            homes = self._of.setdefault(fingerprint, [])
            if group not in homes:
                homes.append(group)

    def _drop(self, group: Group) -> None:
        if self._groups.get(group.key) is group:
            del self._groups[group.key]
        self._changed[group.key] = group

    def of(self, fingerprint: str) -> list[Group]:
        """Return the groups of an alert that fires."""
        return self._of.get(fingerprint, [])

    def wake(self) -> None:
        """Have every group decide at the next tick: something that mutes or acknowledges has changed."""
        for group in self._groups.values():
            group.wake = min(group.wake, 0.0)

    def decide(
        self, now: Instant, view: View, avoid: Callable[[str], Iterable[str]]
    ) -> list[tuple[Group, Decision]]:
        """Let every group that is due decide; see `Group.decide`."""
        moment = now.monotonic
        found: list[tuple[Group, Decision]] = []
        for group in [each for each in self._groups.values() if moment >= each.wake]:
            breathe()
            try:
                decisions = group.decide(now, view, self._elsewhere(group, avoid) if self._holding else avoid)
            except Exception as error:  # noqa: BLE001  one group's failure must not keep the others from deciding
                log(__name__).error("alert_group_failed", group=group.key, error=shown(error))
                group.wake = moment + _RETRY
                continue
            found.extend((group, decision) for decision in decisions)
            if group.done:
                del self._groups[group.key]
            if decisions or group.done:
                self._changed[group.key] = group
        return found

    def _elsewhere(
        self, group: Group, avoid: Callable[[str], Iterable[str]]
    ) -> Callable[[str], Iterable[str]]:
        """Avoid the receivers, too, that another group holds an alert for."""

        def avoided(fingerprint: str) -> Iterable[str]:
            others = [each for each in self.of(fingerprint) if each is not group and fingerprint in each.held]
            return [
                *avoid(fingerprint),
                *(name for each in others for name in each.receivers_of(fingerprint)),
            ]

        return avoided

    def puts(self, offset: float) -> list[Put]:
        """What is to be stored since the last call; `offset` leads from monotonic to Unix time."""
        changed, self._changed = self._changed, {}
        puts = []
        for key, group in breathing(changed.items()):
            found = group.dump(offset) if self._groups.get(key) is group else None
            puts.append(Put(_TABLE, key, None if found is None else encode(found)))
        return puts

    def rows(self, offset: float) -> Iterator[Put]:
        """Yield everything that is to be stored; `offset` leads from monotonic to Unix time."""
        for key, group in self._groups.items():
            if (found := group.dump(offset)) is not None:
                yield Put(_TABLE, key, encode(found))

    def restore(self, rows: Iterable[bytes], destinations: Mapping[str, Destination], offset: float) -> None:
        """Take back what was stored."""
        for row in rows:
            group = Group.load(decode(row, GROUP), destinations, offset)
            self._groups[group.key] = group
            self._index(group)


def _kept_by(
    homes: Iterable[Group], known: Mapping[int, list[str]], destination: Destination
) -> Group | None:
    """Return the group by which receivers at a place know an alert already."""
    informed = [group for group in homes if known.get(id(group))]
    for group in informed:
        if group.destination is destination:
            return group
    for group in informed:
        if group.destination is None and destination.receivers.intersection(known[id(group)]):
            return group
    return None
