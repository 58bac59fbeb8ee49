"""One group of alerts: when which of its receivers is told what."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from resilience.alerting.escalation import INCIDENT, Incident
from resilience.alerting.ledger import LEDGER, Ledger
from resilience.alerting.matchers import Matchers
from resilience.alerting.route import GROUP_INTERVAL, Destination
from resilience.core.clock import Instant
from resilience.core.ports import Notification, NotifiedAlert
from resilience.core.rows import Maybe, Moment, Shape

__all__ = ["GROUP", "Decision", "Group", "View"]

_PUNCTUAL = 60.0  # seconds within which a late repeat keeps to its schedule

GROUP: Shape = {
    "key": str,
    "route": Maybe(str),
    "labels": {str: str},
    "next_look": Moment,
    "incident": Maybe(INCIDENT),
    "ledgers": {str: LEDGER},
}
"""Shape of a stored group."""


class View(Protocol):
    """What a group needs to know of its alerts at the moment of a decision."""

    def fires(self, fingerprint: str) -> bool:
        """Whether an alert fires, in whatever group."""

    def shown(self, fingerprint: str) -> NotifiedAlert:
        """A firing alert as a notification shows it."""

    def suppressed(self, fingerprint: str) -> bool:
        """Whether a firing alert is silenced or inhibited."""

    def acknowledged(self, fingerprint: str) -> bool:
        """True if an alert is acknowledged."""

    def repeat_interval(self, receiver: str) -> float | None:
        """The receiver's own repeat interval, if it has one: another Alertmanager wants to hear more often."""


class Decision(NamedTuple):
    """Notification of one receiver that is to be sent now."""

    receiver: str
    status: str
    alerts: list[NotifiedAlert]


class Group:
    """Alerts that are told together, and what each receiver knows of them.

    The first look is at `group_wait`, the next ones every `group_interval` after it, as in Alertmanager; only what
    changed is told at a look. What did not change is told again exactly `repeat_interval` after the last
    notification, between two looks if need be: with 2, 4 and 8 seconds at 2, 10, 18, 26, where Alertmanager, which
    repeats at looks alone, slips to 2, 14, 26. Times are the scheduled ones, so that late ticks do not add up.

    'Resolved' is decided by what a receiver got, or may have got, and not by what the group holds: silenced,
    inhibited, muted, restarted or re-routed in between, whoever got 'firing' gets 'resolved'. At most one decision for
    each receiver is on its way: what changes meanwhile is decided after its outcome.

    Where the tree changes, an alert stays in the group in which its receivers were notified of it, as long as it fires:
    they know it by the group's key. `members` go to all receivers of the group, `held` alerts, whose place in the tree
    is another one now, only to those who know them.

    Args:
        key: names the group over restarts.
        labels: what its alerts have in common.
        destination: its place in the route tree; None where the tree no longer has it: it only resolves then.
        next_look: monotonic time of the next look.
    """

    def __init__(
        self, key: str, labels: Mapping[str, str], destination: Destination | None, next_look: float
    ) -> None:
        self.key = key
        self.labels = labels
        self.destination = destination
        self.members: set[str] = set()
        self.held: set[str] = set()
        self.next_look: float = next_look
        self.wake: float = next_look
        self.looked: bool = False
        self._ledgers: dict[str, Ledger] = {}
        self._incident: Incident | None = None

    @property
    def done(self) -> bool:
        """True if nothing fires and no receiver waits for anything."""
        return not self.members and not any(ledger.pending for ledger in self._ledgers.values())

    @property
    def known(self) -> set[str]:
        """The alerts that some receiver got as firing, or may get, and not yet as resolved."""
        return {fingerprint for ledger in self._ledgers.values() for fingerprint in ledger.known}

    @property
    def acknowledgement_timeout(self) -> float | None:
        """Seconds after which an acknowledgement no longer counts; None for never."""
        policy = None if self.destination is None else self.destination.escalation
        return None if policy is None else policy.acknowledgement_timeout

    def receivers_of(self, fingerprint: str) -> list[str]:
        """Return the receivers that got an alert as firing, or may get it, and not yet as resolved."""
        return [name for name, ledger in self._ledgers.items() if ledger.knows(fingerprint)]

    def last_shown(self, fingerprint: str) -> NotifiedAlert | None:
        """Return an alert as a receiver saw it last that does not know yet that it is resolved."""
        ledgers = (ledger.unresolved.get(fingerprint) for ledger in self._ledgers.values())
        return next((alert for alert in ledgers if alert is not None), None)

    def rebase(self, destinations: Mapping[str, Destination]) -> None:
        """Empty the group, and have it follow what its place in the tree says now."""
        self.destination = self._place(
            destinations, None if self.destination is None else self.destination.key
        )
        if self.destination is None:
            self.next_look = 0.0  # due, and finite, because it is stored
        self.members.clear()
        self.held.clear()
        self.wake = -math.inf

    def _place(self, destinations: Mapping[str, Destination], former: str | None) -> Destination | None:
        """Return the place in the tree that named the group; where it is gone, the former one."""
        named_by = self.key.removesuffix(f":{Matchers.equal(self.labels)}")
        return destinations.get(named_by) or destinations.get(former or "")

    def end(self, alert: NotifiedAlert) -> bool:
        """Take an alert out that no longer fires; its receivers are notified by the next decision.

        Returns:
            True if there are any.
        """
        self.members.discard(alert.fingerprint)
        self.held.discard(alert.fingerprint)
        known = [ledger.end(alert) for ledger in self._ledgers.values()]
        return any(known)

    def send(self, notification: Notification) -> None:
        """Note that a notification is on its way, by a decision or from before a restart."""
        self._ledgers.setdefault(notification.receiver, Ledger(0.0)).send(notification)

    def settle(self, notification: Notification, now: float, *, arrived: bool, reached: bool) -> None:
        """Take in the outcome of a notification; see `Ledger.settle`.

        What did not arrive is decided again, as things are then, at the next evaluation of the group.
        """
        ledger = self._ledgers.get(notification.receiver)
        if ledger is None:
            return
        ledger.settle(notification, arrived=arrived, reached=reached)
        if self.destination is None and not arrived:
            self.next_look = self.wake = now + GROUP_INTERVAL
        elif ledger.postponed or ledger.urgent:
            self.wake = -math.inf

    def forget(self, receiver: str) -> None:
        """Forget a receiver that there is no more."""
        self._ledgers.pop(receiver, None)

    def renew(self, fingerprint: str, moment: float) -> None:
        """Notify the receivers of an alert again, because its acknowledgement expired at a monotonic time.

        The escalation goes on after another wait of its current level.
        """
        for ledger in self._ledgers.values():
            ledger.urgent = ledger.urgent or ledger.knows(fingerprint)
        policy = None if self.destination is None else self.destination.escalation
        if self._incident is not None and policy is not None:
            self._incident.resume(policy, moment)
        self.wake = -math.inf

    def decide(self, now: Instant, view: View, avoid: Callable[[str], Iterable[str]]) -> list[Decision]:
        """Decide who is told what; call it when monotonic time has reached `wake`.

        Args:
            now: the tick.
            view: what is known of the alerts.
            avoid: the receivers that are not told of an alert by its fingerprint.

        Returns:
            what is to be sent; the ledgers already count on it.
        """
        moment = now.monotonic
        look = moment >= self.next_look
        stamp = self._step(moment) if look else moment
        self.looked = self.looked or look
        firing = self._firing(now.wall, view)
        urgent = self._escalate(moment, stamp, firing, view, look=look)
        receivers = self._receivers()
        decisions = []
        for name in (*receivers, *(each for each in self._ledgers if each not in receivers)):
            current = [
                each for each in firing if self._concerns(name, each, receivers) and name not in avoid(each)
            ]
            decision = self._tell(name, current, view, now, look=look, stamp=stamp, urgent=name in urgent)
            if decision is not None:
                decisions.append(decision)
        self._ledgers = {
            name: each
            for name, each in self._ledgers.items()
            if each.pending or (name in receivers and self.members)
        }
        self.wake = self._wake(firing, view)
        return decisions

    def _concerns(self, name: str, fingerprint: str, receivers: Collection[str]) -> bool:
        if fingerprint in self.members:
            return name in receivers
        ledger = self._ledgers.get(name)
        return ledger is not None and ledger.knows(fingerprint)

    def _step(self, moment: float) -> float:
        """Move the next look past `moment`; returns the time for which the look that is due was scheduled."""
        if self.destination is None:
            return moment
        scheduled, interval = self.next_look, self.destination.group_interval
        missed = math.floor((moment - scheduled) / interval)
        self.next_look = scheduled + (missed + 1) * interval
        return scheduled + missed * interval

    def _firing(self, wall: float, view: View) -> list[str]:
        if self.destination is None or self.destination.quiet(wall):
            return []
        return sorted(each for each in self.members | self.held if not view.suppressed(each))

    def _receivers(self) -> tuple[str, ...]:
        if self.destination is None:
            return ()
        reached = self._incident.reached if self._incident is not None else ()
        return tuple(dict.fromkeys((*self.destination.to, *sorted(reached))))

    def _escalate(
        self, moment: float, stamp: float, firing: list[str], view: View, *, look: bool
    ) -> set[str]:
        policy = None if self.destination is None else self.destination.escalation
        firing = [each for each in firing if each in self.members]
        before = self._incident
        if policy is None or not self.members:
            self._incident = None
            return set()
        if not firing:  # muted: it starts again at the first level
            self._incident = before and Incident(0, 0.0, set())
            return set()
        if (before is None or before.step == 0) and not look:
            return set()
        self._incident = before or Incident(0, stamp, set())
        acknowledged = all(map(view.acknowledged, firing))
        reached = self._incident.advance(policy, moment, acknowledged=acknowledged)
        # Where it begins, the first level is notified of news alone: the alert may be older than its escalation.
        return reached if before else set()

    def _tell(
        self,
        name: str,
        current: list[str],
        view: View,
        now: Instant,
        *,
        look: bool,
        stamp: float,
        urgent: bool,
    ) -> Decision | None:
        ledger = self._ledgers.get(name) or Ledger(stamp)
        ledger.drop_older(now.wall)
        resolved = [each for each in ledger.unresolved if not view.fires(each)]
        changed = bool(resolved) or not ledger.shown.issuperset(current)
        due = ledger.last + self._repeat_interval(name, view)
        repeated = bool(current) and bool(ledger.shown) and now.monotonic >= due
        look, urgent = look or ledger.postponed, urgent or ledger.urgent
        # An exact repeat is stamped with the time it was due, unless the process slept through it.
        last = due if repeated and now.monotonic - due < _PUNCTUAL else stamp
        if ledger.in_flight:
            ledger.postponed, ledger.urgent = look and changed, urgent
            ledger.last = last if repeated else ledger.last  # left out: the last notification has not arrived
            return None
        ledger.postponed = ledger.urgent = False
        if not ((look and changed) or repeated or (urgent and current)):
            return None
        alerts = [view.shown(each) for each in current]
        alerts.extend(_ended(ledger.unresolved[each], now.wall) for each in resolved)
        ledger.shown = set(current)
        ledger.last = last
        self._ledgers[name] = ledger
        return Decision(name, "firing" if current else "resolved", alerts)

    def _repeat_interval(self, receiver: str, view: View) -> float:
        if self.destination is None:
            return math.inf
        return view.repeat_interval(receiver) or self.destination.repeat_interval

    def _wake(self, firing: list[str], view: View) -> float:
        if self.destination is None:
            return self.next_look
        ledgers = self._ledgers.items()
        times = [self.next_look]
        times += [each.last + self._repeat_interval(name, view) for name, each in ledgers if each.shown]
        incident, policy = self._incident, self.destination.escalation
        if incident is not None and policy is not None and incident.step < policy.steps:
            acknowledged = all(view.acknowledged(each) for each in firing if each in self.members)
            times += [] if acknowledged else [incident.due]
        return min(times)

    def dump(self, offset: float) -> dict[str, Any] | None:
        """What is stored, times as Unix time; None while nobody was told anything.

        Args:
            offset: what to add to monotonic time to get Unix time.
        """
        if not self._ledgers:
            return None
        return {
            "key": self.key,
            "route": None if self.destination is None else self.destination.key,
            "labels": dict(self.labels),
            "next_look": self.next_look + offset,
            "incident": None if self._incident is None else self._incident.dump(offset),
            "ledgers": {name: ledger.dump(offset) for name, ledger in self._ledgers.items()},
        }

    @classmethod
    def load(cls, found: dict[str, Any], destinations: Mapping[str, Destination], offset: float) -> Group:
        """Return the group that `dump` wrote."""
        group = cls(found["key"], found["labels"], None, found["next_look"] - offset)
        group.destination = group._place(destinations, found["route"])
        if group.destination is None:
            group.next_look = -math.inf
        if found["incident"] is not None:
            group._incident = Incident.load(found["incident"], offset)
        group._ledgers = {name: Ledger.load(each, offset) for name, each in found["ledgers"].items()}
        group.looked = True
        group.wake = -math.inf
        return group


def _ended(alert: NotifiedAlert, wall: float) -> NotifiedAlert:
    """An alert as resolved; one that vanished without saying when (its rule is gone) ended now."""
    return replace(alert, status="resolved", ended=wall if alert.ended is None else alert.ended)
