"""Alerts as they may enter alerting: texts that every receiver takes, times and values that are numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from resilience.core.clock import Instant
from resilience.core.labels import label_set, plain_text, real
from resilience.core.log import log
from resilience.core.moments import unix_seconds
from resilience.core.slices import breathing
from resilience.core.validate import number, shown
from resilience.errors import ConfigError
from resilience.rules.state import Alert, AlertState

__all__ = ["Intake", "vetted"]


class Intake:
    """Alerts of a tick, each vetted once.

    One that cannot be handled is logged once and left out, or continues as it was when it could be; the others go on.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Alert, Alert]] = {}  # as it was given, and as it was taken
        self._refused: set[str] = set()

    def take(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Return the alerts that fire or were resolved, vetted."""
        taken: list[Alert] = []
        known: dict[str, tuple[Alert, Alert]] = {}
        refused: set[str] = set()
        for alert in breathing(list(alerts)):
            key = _key(alert)
            before = self._known.get(key)
            if before is None or before[0] is not alert:
                try:
                    found = vetted(alert)
                except Exception as error:  # noqa: BLE001  an error of one alert never stops the others
                    refused.add(key)
                    if key not in self._refused:
                        log(__name__).error("alert_left_out", alert=shown(key), error=str(error))
                    if before is None:
                        continue
                    found = before[1]
                before = alert, found
            known[key] = before
            if before[1].state in (AlertState.FIRING, AlertState.RESOLVED):
                taken.append(before[1])
        self._known, self._refused = known, refused
        return taken


def _key(alert: Any) -> str:
    try:
        return f"{alert.group}/{alert.rule}/{alert.fingerprint}"
    except Exception:  # noqa: BLE001  not an alert at all
        return type(alert).__name__


def vetted(alert: object) -> Alert:
    """Return an alert that nothing behind this point can fail on; the same object where nothing had to be changed.

    Raises:
        ConfigError: not an alert that can be handled.
    """
    if not isinstance(alert, Alert):
        message = f"an alert must be an Alert, got a {type(alert).__name__}"
        raise ConfigError(message)
    if not isinstance(alert.state, AlertState):
        message = f"state must be an AlertState, got a {type(alert.state).__name__}"
        raise ConfigError(message)
    if not isinstance(alert.fingerprint, str) or not alert.fingerprint.isalnum():
        raise ConfigError("fingerprint must be a text of letters and digits")
    labels = label_set("labels", alert.labels, utf8=True)
    if not labels.get("alertname"):
        raise ConfigError("labels must have an alertname")
    annotations = label_set("annotations", alert.annotations, utf8=True)
    value = real("value", alert.value)
    names = {name: plain_text(name, getattr(alert, name)) for name in ("rule", "group")}
    for name in ("active_at", "fired_at", "resolved_at"):
        _moment(name, getattr(alert, name), needed=name == "active_at")
    checked: dict[str, Any] = {**names, "labels": labels, "annotations": annotations}
    if type(alert.value) is float and all(getattr(alert, name) == each for name, each in checked.items()):
        return alert
    return replace(alert, **checked, value=value)


def _moment(name: str, at: object, *, needed: bool) -> None:
    if at is None and not needed:
        return
    if not isinstance(at, Instant):
        message = f"{name} must be an Instant, got a {type(at).__name__}"
        raise ConfigError(message)
    number(f"{name}.monotonic", at.monotonic)
    unix_seconds(f"{name}.wall", at.wall)
