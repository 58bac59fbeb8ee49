"""Alerts as they may enter alerting: texts that every receiver takes, times and values that are numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from resilience.core.clock import Instant
from resilience.core.labels import label_set, plain_text, real
from resilience.core.log import log
from resilience.core.moments import unix_seconds
from resilience.core.slices import breathing
from resilience.core.validate import number, shown
from resilience.errors import ConfigError
from resilience.rules.state import Alert, AlertState

__all__ = ["Intake", "vetted"]


class _Vetted(NamedTuple):
    """An alert as it was given and as it is taken, True if it fires or was resolved, and what identifies it."""

    given: object
    alert: Alert
    counts: bool
    key: str


class Intake:
    """Alerts of a tick, each vetted once.

    One that cannot be handled is logged once and left out, or continues as it was when it could be; the others go on.
    """

    def __init__(self) -> None:
        self._known: dict[
            int, _Vetted
        ] = {}  # by identity of what was given, as most alerts are the same at each tick
        self._refused: set[str] = set()

    def take(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Return the alerts that fire or were resolved, vetted."""
        taken: list[Alert] = []
        known: dict[int, _Vetted] = {}
        refused: set[str] = set()
        last: dict[str, _Vetted] | None = None
        for alert in breathing(list(alerts)):
            found = self._known.get(id(alert))
            if found is None:
                if last is None:
                    last = {each.key: each for each in self._known.values()}
                found = self._vetted(alert, last, refused)
                if found is None:
                    continue
            known[id(alert)] = found
            if found.counts:
                taken.append(found.alert)
        self._known, self._refused = known, refused
        return taken

    def _vetted(self, alert: Alert, last: Mapping[str, _Vetted], refused: set[str]) -> _Vetted | None:
        """Return an alert vetted, or as it was when it could be; None if it never could."""
        key = _key(alert)
        try:
            found = vetted(alert)
        except Exception as error:  # noqa: BLE001  an error of one alert never stops the others
            refused.add(key)
            if key not in self._refused:
                log(__name__).error("alert_left_out", alert=shown(key), error=str(error))
            if key not in last:
                return None
            found = last[key].alert
        return _Vetted(alert, found, found.state in (AlertState.FIRING, AlertState.RESOLVED), key)


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
