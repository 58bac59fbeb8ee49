"""One group of alerts: when which of its receivers is told what."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from resilience.alerting.codec import ALERT, dump_alert, load_alert
from resilience.alerting.escalation import INCIDENT, Incident
from resilience.alerting.route import Destination
from resilience.core.clock import Instant
from resilience.core.ports import NotifiedAlert
from resilience.core.rows import Maybe, Moment

__all__ = ["GROUP", "Decision", "Group", "View"]

_PUNCTUAL = 60.0  # seconds within which a late repeat keeps to its schedule

GROUP = {
    "key": str,
    "route": Maybe(str),
    "labels": {str: str},
    "next_look": Moment,
    "incident": Maybe(INCIDENT),
    "ledgers": {str: {"last": Moment, "shown": [str], "unresolved": [ALERT]}},
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

    def acknowledged(self, fingerprint: str) -> float | None:
        """The monotonic time of its acknowledgement, if it has one."""

    def repeat_interval(self, receiver: str) -> float | None:
        """The receiver's own repeat interval, if it has one: another Alertmanager wants to hear more often."""


class Decision(NamedTuple):
    """A receiver is to be told this now; `repeat` says that nothing changed since it was told last."""

    receiver: str
    status: str
    alerts: list[NotifiedAlert]
    repeat: bool


@dataclass
class _Ledger:
    """What one receiver was told.

    Args:
        last: monotonic time of the last notification.
        shown: fingerprints that fired in it.
        unresolved: alerts that it was told fire and not yet that they are resolved, as it saw them last.
    """

    last: float
    shown: set[str] = field(default_factory=set)
    unresolved: dict[str, NotifiedAlert] = field(default_factory=dict)


class Group:
    """Alerts that are told together, and what each receiver knows of them.

    The first look is at `group_wait`, the next ones every `group_interval` after it, as in Alertmanager; only what
    changed is told at a look. What did not change is told again exactly `repeat_interval` after the last
    notification, between two looks if need be: with 2, 4 and 8 seconds at 2, 10, 18, 26, where Alertmanager, which
    repeats at looks alone, slips to 2, 14, 26. Times are the scheduled ones, so that late ticks do not add up.

    'Resolved' is decided by what a receiver was told, not by what the group holds: silenced, inhibited, muted,
    restarted or re-routed in between, whoever was told 'firing' is told 'resolved'.

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
        self.next_look: float = next_look
        self.wake: float = next_look
        self.looked: bool = False
        self._ledgers: dict[str, _Ledger] = {}
        self._incident: Incident | None = None

    @property
    def done(self) -> bool:
        """Whether nothing fires and nobody waits to hear of anything."""
        return not self.members and not any(ledger.unresolved for ledger in self._ledgers.values())

    @property
    def told(self) -> set[str]:
        """The alerts that some receiver was told fire and not yet that they are resolved."""
        return {fingerprint for ledger in self._ledgers.values() for fingerprint in ledger.unresolved}

    def receivers_of(self, fingerprint: str) -> list[str]:
        """Return the receivers that were told that an alert fires and not yet that it is resolved."""
        return [name for name, ledger in self._ledgers.items() if fingerprint in ledger.unresolved]

    def last_shown(self, fingerprint: str) -> NotifiedAlert | None:
        """Return an alert as a receiver saw it last that does not know yet that it is resolved."""
        ledgers = (ledger.unresolved.get(fingerprint) for ledger in self._ledgers.values())
        return next((alert for alert in ledgers if alert is not None), None)

    def rebase(self, destinations: Mapping[str, Destination]) -> None:
        """Empty the group, and have it follow what its place in the tree says now."""
        if self.destination is not None:
            self.destination = destinations.get(self.destination.key)
        self.members.clear()
        self.wake = -math.inf

    def end(self, alert: NotifiedAlert) -> bool:
        """Take an alert out that no longer fires; the next look tells whoever was told of it.

        Returns:
            whether anybody was.
        """
        self.members.discard(alert.fingerprint)
        waiting = [each for each in self._ledgers.values() if alert.fingerprint in each.unresolved]
        for ledger in waiting:
            ledger.unresolved[alert.fingerprint] = alert
        return bool(waiting)

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
        look = moment >= self.next_look or self.destination is None
        stamp = self._step(moment) if look else moment
        self.looked = self.looked or look
        firing = self._firing(now.wall, view)
        urgent = self._escalate(moment, stamp, firing, view, look=look)
        receivers = self._receivers()
        decisions = []
        for name in (*receivers, *(each for each in self._ledgers if each not in receivers)):
            current = [each for each in firing if name not in avoid(each)] if name in receivers else []
            decision = self._tell(name, current, view, now, look=look, stamp=stamp, urgent=name in urgent)
            if decision is not None:
                decisions.append(decision)
        self._ledgers = {
            name: each
            for name, each in self._ledgers.items()
            if each.unresolved or (name in receivers and self.members)
        }
        self.wake = self._wake(firing, view)
        return decisions

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
        return sorted(each for each in self.members if not view.suppressed(each))

    def _receivers(self) -> tuple[str, ...]:
        if self.destination is None:
            return ()
        reached = self._incident.reached if self._incident is not None else ()
        return tuple(dict.fromkeys((*self.destination.to, *sorted(reached))))

    def _escalate(
        self, moment: float, stamp: float, firing: list[str], view: View, *, look: bool
    ) -> set[str]:
        policy = None if self.destination is None else self.destination.escalation
        if policy is None or not firing:
            self._incident = None
            return set()
        if self._incident is None:
            if not look:
                return set()
            self._incident = Incident(0, stamp, set())
        acknowledged = self._acknowledged_until(firing, view) > moment
        return self._incident.advance(policy, moment, acknowledged=acknowledged)

    def _acknowledged_until(self, firing: list[str], view: View) -> float:
        """Until when all that fires is acknowledged; -inf where something is not."""
        policy = self.destination.escalation if self.destination is not None else None
        timeout = policy.acknowledgement_timeout if policy is not None else None
        until = math.inf
        for each in firing:
            at = view.acknowledged(each)
            if at is None:
                return -math.inf
            if timeout is not None:
                until = min(until, at + timeout)
        return until

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
        ledger = self._ledgers.get(name) or _Ledger(stamp)
        resolved = [each for each in ledger.unresolved if not view.fires(each)]
        changed = bool(resolved) or not ledger.shown.issuperset(current)
        due = ledger.last + self._repeat_interval(name, view)
        repeated = bool(current) and bool(ledger.shown) and now.monotonic >= due
        if not ((look and changed) or repeated or (urgent and current)):
            return None
        alerts = [view.shown(each) for each in current]
        ledger.unresolved.update((alert.fingerprint, alert) for alert in alerts)
        alerts.extend(_ended(ledger.unresolved.pop(each), now.wall) for each in resolved)
        ledger.shown = set(current)
        # An exact repeat is stamped with the time it was due, unless the process slept through it.
        late = now.monotonic - due
        ledger.last = due if repeated and late < _PUNCTUAL else stamp
        self._ledgers[name] = ledger
        return Decision(name, "firing" if current else "resolved", alerts, repeated and not changed)

    def _repeat_interval(self, receiver: str, view: View) -> float:
        if self.destination is None:
            return math.inf
        return view.repeat_interval(receiver) or self.destination.repeat_interval

    def _wake(self, firing: list[str], view: View) -> float:
        if self.destination is None:
            return -math.inf
        ledgers = self._ledgers.items()
        times = [self.next_look]
        times += [each.last + self._repeat_interval(name, view) for name, each in ledgers if each.shown]
        incident, policy = self._incident, self.destination.escalation
        if incident is not None and policy is not None and incident.step < policy.steps:
            times.append(max(incident.due, self._acknowledged_until(firing, view)))
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
            "ledgers": {
                name: {
                    "last": ledger.last + offset,
                    "shown": sorted(ledger.shown),
                    "unresolved": [dump_alert(alert) for alert in ledger.unresolved.values()],
                }
                for name, ledger in self._ledgers.items()
            },
        }

    @classmethod
    def load(cls, found: dict[str, Any], destinations: Mapping[str, Destination], offset: float) -> Group:
        """Read back what was stored; see `dump`."""
        group = cls(
            found["key"], found["labels"], destinations.get(found["route"]), found["next_look"] - offset
        )
        if found["incident"] is not None:
            group._incident = Incident.load(found["incident"], offset)
        for name, stored in found["ledgers"].items():
            unresolved = [load_alert(each) for each in stored["unresolved"]]
            group._ledgers[name] = _Ledger(
                stored["last"] - offset,
                set(stored["shown"]),
                {alert.fingerprint: alert for alert in unresolved},
            )
        group.looked = True
        group.wake = -math.inf
        return group


def _ended(alert: NotifiedAlert, wall: float) -> NotifiedAlert:
    """An alert as resolved; one that vanished without saying when (its rule is gone) ended now."""
    return replace(alert, status="resolved", ended=wall if alert.ended is None else alert.ended)
