"""All groups of alerts: which alert is in which, and which are due."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from resilience.alerting.group import GROUP, Decision, Group, View
from resilience.alerting.matchers import Matchers
from resilience.alerting.route import Destination
from resilience.core.clock import Instant
from resilience.core.ports import NotifiedAlert, Put
from resilience.core.rows import decode, encode

__all__ = ["Groups"]

_TABLE = "alerting.groups"


class Groups:
    """The groups by key; a tick in which nothing is due costs one comparison for each."""

    table = _TABLE

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._of: dict[str, list[Group]] = {}
        self._changed: dict[str, Group] = {}

    def join(self, alert: NotifiedAlert, destinations: Iterable[Destination], now: Instant) -> None:
        """Put an alert that fires into its groups; new ones are first looked at after `group_wait`."""
        age = max(0.0, now.wall - alert.started)
        homes = self._of.setdefault(alert.fingerprint, [])
        for destination in destinations:
            labels = destination.group_labels(alert.labels)
            key = f"{destination.key}:{Matchers.equal(labels)}"
            # An alert that has waited already (before a restart, say) does not wait again.
            first = now.monotonic + max(0.0, destination.group_wait - age)
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = Group(key, labels, destination, first)
            elif group.destination is None:  # its place was gone, and has come back
                group.destination, group.next_look, group.wake = destination, first, first
            elif not group.looked:
                group.next_look = group.wake = min(group.next_look, first)
            group.members.add(alert.fingerprint)
            if group not in homes:
                homes.append(group)

    def reroute(self, destinations: Mapping[str, Destination]) -> None:
        """Empty the groups for a tree that has changed; `join` fills them again.

        A group whose place is gone only resolves from now on, and one that nobody was told of is forgotten.
        """
        self._of = {}
        for group in list(self._groups.values()):
            group.rebase(destinations)
            if group.done:
                del self._groups[group.key]
            for fingerprint in group.told:
                self._of.setdefault(fingerprint, []).append(group)
            self._changed[group.key] = group

    def leave(self, alert: NotifiedAlert) -> None:
        """Take an alert that no longer fires out of its groups."""
        for group in self._of.pop(alert.fingerprint, ()):
            if group.end(alert):
                self._changed[group.key] = group
            elif group.done:
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
            decisions = group.decide(now, view, avoid)
            found.extend((group, decision) for decision in decisions)
            if group.done:
                del self._groups[group.key]
            if decisions or group.done:
                self._changed[group.key] = group
        return found

    def puts(self, offset: float) -> list[Put]:
        """What is to be stored since the last call; `offset` leads from monotonic to Unix time."""
        changed, self._changed = self._changed, {}
        puts = []
        for key, group in changed.items():
            found = group.dump(offset) if self._groups.get(key) is group else None
            puts.append(Put(_TABLE, key, None if found is None else encode(found)))
        return puts

    def restore(self, rows: Iterable[bytes], destinations: Mapping[str, Destination], offset: float) -> None:
        """Take back what was stored."""
        for row in rows:
            group = Group.load(decode(row, GROUP), destinations, offset)
            self._groups[group.key] = group
            for fingerprint in group.told:
                self._of.setdefault(fingerprint, []).append(group)
