"""The alerts that would have fired, from beginning to end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeAlias

from resilience.rules import Alert, AlertState, AlertTransition

__all__ = ["Burned", "Incident", "IncidentLog"]

Burned: TypeAlias = Callable[[Alert, float, float], Decimal | None]
"""Asked how much of a budget an alert stands for: the alert as it fired, when it fired and when it ended, in Unix seconds."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One alert, from when it fired to when it was resolved.

    Args:
        alert: its name.
        labels: its labels.
        started: Unix seconds at which it fired.
        ended: Unix seconds at which it was resolved; None if it still fired when the log ended.
        duration: seconds that it fired, until the log ended where that came first.
        summary: its annotation of this name, as it was at the end.
        burned: share of its objective's error budget that went while it was coming up and fired; None where it has
            no objective that counts events.
    """

    alert: str
    labels: Mapping[str, str]
    started: float
    ended: float | None
    duration: float
    summary: str = ""
    burned: Decimal | None = None


class IncidentLog:
    """Makes incidents out of what happens to alerts.

    Args:
        burned: how much of a budget each cost.
    """

    def __init__(self, burned: Burned = lambda _alert, _started, _ended: None) -> None:
        self._burned = burned
        self._open: dict[str, tuple[Incident, Alert]] = {}
        self._closed: list[Incident] = []

    def take(self, transitions: Iterable[AlertTransition]) -> None:
        """Take what one evaluation changed."""
        for change in transitions:
            alert, at = change.alert, change.at.wall
            if change.state is AlertState.FIRING:
                incident = Incident(
                    alert.rule, dict(alert.labels), at, None, 0.0, alert.annotations.get("summary", "")
                )
                self._open[alert.fingerprint] = incident, alert
            elif change.previous is AlertState.FIRING:
                self._closed.append(self._ended(*self._open.pop(alert.fingerprint), alert, at, ended=at))

    def finish(self, firing: Iterable[Alert], at: float) -> list[Incident]:
        """Return all of them, by their beginning.

        Args:
            firing: the alerts that are active when the log ends.
            at: when that is, in Unix seconds.
        """
        active = {alert.fingerprint: alert for alert in firing}
        still = [self._ended(*each, active[key], at, ended=None) for key, each in self._open.items()]
        return sorted([*self._closed, *still], key=lambda incident: (incident.started, incident.alert))

    def _ended(
        self, incident: Incident, fired: Alert, alert: Alert, at: float, *, ended: float | None
    ) -> Incident:
        return replace(
            incident,
            ended=ended,
            duration=at - incident.started,
            summary=alert.annotations.get("summary", ""),
            burned=self._burned(fired, incident.started, at),
        )
