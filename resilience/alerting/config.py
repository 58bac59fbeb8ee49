"""What `reliability.yaml` says of alerting: routes, times, inhibitions, maintenance, escalations, heartbeat."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from resilience.alerting import alertmanager_config
from resilience.alerting.escalation import Escalation, Level
from resilience.alerting.flapping import FlapDetector
from resilience.alerting.heartbeat import Heartbeat
from resilience.alerting.inhibition import Inhibition
from resilience.alerting.intervals import TimeIntervals, time_intervals_from_config
from resilience.alerting.matchers import Matchers
from resilience.alerting.route import Route
from resilience.alerting.silence import MaintenanceWindow
from resilience.core.duration import parse_duration
from resilience.core.log import log
from resilience.core.validate import flag, integer, shown
from resilience.errors import ConfigError

__all__ = ["SECTIONS", "AlertingConfig", "from_config"]

SECTIONS = (
    "routes",
    "grouping",
    "time_intervals",
    "inhibitions",
    "maintenance",
    "escalations",
    "flapping",
    "heartbeat",
    "alertmanager",
)
"""The top-level keys of a configuration that are read here."""

_GROUPING = ("group_by", "group_wait", "group_interval", "repeat_interval")
_ROUTE = ("to", "match", "escalation", "mute", "active", "continue", "routes", *_GROUPING)

T = TypeVar("T")


@dataclass(frozen=True)
class AlertingConfig:
    """The options of an `AlertManager` that a configuration sets; field for field its arguments.

    Args:
        route: the route tree, or None where the configuration has none.
        inhibitions: inhibition rules.
        maintenance: maintenance windows.
        flapping: when an alert that comes and goes is held; None for the default.
        heartbeat: the dead-man's switch.
    """

    route: Route | None = None
    inhibitions: tuple[Inhibition, ...] = ()
    maintenance: tuple[MaintenanceWindow, ...] = ()
    flapping: FlapDetector | None = None
    heartbeat: Heartbeat | None = None


def from_config(
    sections: Mapping[str, Any], channels: Collection[str], *, folder: str | Path = "."
) -> AlertingConfig:
    """Read the sections named in `SECTIONS`; others are passed over.

    Alerts that no route takes go to all channels. A key of a route that is no option is a label: `severity: critical`
    means alerts whose label `severity` is `critical`; what looks like a misspelt option is refused.

    Args:
        sections: the configuration.
        channels: names of the channels there are.
        folder: what the path of an Alertmanager file is relative to.

    Raises:
        ConfigError: something of it cannot be meant.

    Example:
        >>> config = from_config({"routes": [{"severity": "critical", "to": "ops"}]}, ["ops", "log"])
        >>> [(str(route.matchers), route.to) for route in config.route.routes]
        [('{severity="critical"}', ('ops',))]
    """
    times = time_intervals_from_config(sections.get("time_intervals") or {})
    inhibitions = [_inhibition(each) for each in _list("inhibitions", sections.get("inhibitions"))]
    route = _root(sections, channels, times)
    if (file := sections.get("alertmanager")) is not None:
        if route is not None:
            message = (
                "alertmanager must stand alone: routes and grouping are then read from Alertmanager's file"
            )
            raise ConfigError(message)
        theirs = alertmanager_config.read(Path(folder) / str(file), channels)
        for line in theirs.unsupported:
            log(__name__).warning("alertmanager_config_unsupported", what=line)
        route = theirs.route
        inhibitions += theirs.inhibitions
    return AlertingConfig(
        route=route,
        inhibitions=tuple(inhibitions),
        maintenance=tuple(_windows(sections.get("maintenance"), times)),
        flapping=_flapping(sections.get("flapping")),
        heartbeat=_heartbeat(sections.get("heartbeat")),
    )


def _root(
    sections: Mapping[str, Any], channels: Collection[str], times: Mapping[str, TimeIntervals]
) -> Route | None:
    escalations = {
        name: _escalation(name, setting, channels)
        for name, setting in _mapping("escalations", sections.get("escalations")).items()
    }
    if sections.get("routes") is None and sections.get("grouping") is None:
        return None
    reader = _Routes(channels, times, escalations)
    routes = [
        reader.read(f"routes[{index}]", each)
        for index, each in enumerate(_list("routes", sections.get("routes")))
    ]
    grouping = _mapping("grouping", sections.get("grouping"))
    _only("grouping", grouping, _GROUPING)
    return Route(to=tuple(channels), routes=tuple(routes), **_grouping("grouping", grouping))


class _Routes:
    """Reads routes, with the channels, times and escalations that they may name."""

    def __init__(
        self,
        channels: Collection[str],
        times: Mapping[str, TimeIntervals],
        escalations: Mapping[str, Escalation],
    ) -> None:
        self._channels = channels
        self._times = times
        self._escalations = escalations

    def read(self, option: str, setting: object) -> Route:
        found = _mapping(option, setting)
        escalation = found.get("escalation")
        return Route(
            to=_channels(f"{option} to", found["to"], self._channels) if "to" in found else None,
            matchers=_matchers(option, found),
            proceed=flag(f"{option} continue", found.get("continue", False)),
            mute=tuple(_named(f"{option} mute", each, self._times) for each in _names(found.get("mute"))),
            active=tuple(
                _named(f"{option} active", each, self._times) for each in _names(found.get("active"))
            ),
            escalation=None
            if escalation is None
            else _named(f"{option} escalation", escalation, self._escalations),
            routes=tuple(
                self.read(f"{option}.routes[{index}]", each)
                for index, each in enumerate(_list(f"{option} routes", found.get("routes")))
            ),
            **_grouping(option, found),
        )


def _matchers(option: str, found: Mapping[str, Any]) -> Matchers:
    """The matchers under `match`, and the labels that stand beside the options."""
    labels = {key: value for key, value in found.items() if key not in _ROUTE}
    for key, value in labels.items():
        close = difflib.get_close_matches(key, _ROUTE, n=1, cutoff=0.8)
        if close or not isinstance(value, str | int | float | bool):
            hint = f"did you mean {close[0]!r}?" if close else "a label's value is a text"
            message = f"{option}: {key!r} is neither an option ({', '.join(_ROUTE)}) nor a label: {hint}"
            raise ConfigError(message)
    equal = Matchers.equal({key: str(value) for key, value in labels.items()})
    return Matchers([*Matchers(_names(found.get("match"))).matchers, *equal.matchers])


def _grouping(option: str, found: Mapping[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = {
        key: parse_duration(found[key], option=f"{option} {key}") for key in _GROUPING[1:] if key in found
    }
    if "group_by" in found:
        read["group_by"] = tuple(_names(found["group_by"]))
    return read


def _inhibition(setting: object) -> Inhibition:
    found = _mapping("inhibitions", setting)
    _only("inhibitions", found, ("source", "target", "equal"))
    source, target = Matchers(_names(found.get("source"))), Matchers(_names(found.get("target")))
    if not source or not target:
        message = f"inhibitions need matchers as source and target, got {dict(found)!r}"
        raise ConfigError(message)
    return Inhibition(source, target, tuple(_names(found.get("equal"))))


def _windows(setting: object, times: Mapping[str, TimeIntervals]) -> list[MaintenanceWindow]:
    windows = []
    for each in _list("maintenance", setting):
        found = _mapping("maintenance", each)
        _only("maintenance", found, ("match", "during"))
        name = found.get("during")
        windows.append(
            MaintenanceWindow(
                str(name), Matchers(_names(found.get("match"))), _named("maintenance during", name, times)
            )
        )
    return windows


def _escalation(name: str, setting: object, channels: Collection[str]) -> Escalation:
    option = f"escalation {name!r}"
    found = _mapping(option, setting)
    _only(option, found, ("levels", "repeats", "acknowledgement_timeout"))
    levels = []
    for each in _list(f"{option} levels", found.get("levels")):
        level = _mapping(f"{option} levels", each)
        _only(f"{option} levels", level, ("to", "wait"))
        to = _channels(f"{option} to", level.get("to"), channels)
        levels.append(Level(to, **_durations(option, level, ("wait",))))
    return Escalation(
        name,
        tuple(levels),
        repeats=integer(f"{option} repeats", found.get("repeats", 0), low=0),
        **_durations(option, found, ("acknowledgement_timeout",)),
    )


def _flapping(setting: object) -> FlapDetector | None:
    if setting is None:
        return None
    found = _mapping("flapping", setting)
    _only("flapping", found, ("changes", "window"))
    changes = {"changes": found["changes"]} if "changes" in found else {}
    return FlapDetector(**changes, **_durations("flapping", found, ("window",)))


def _heartbeat(setting: object) -> Heartbeat | None:
    if setting is None:
        return None
    found = {"url": setting} if isinstance(setting, str) else _mapping("heartbeat", setting)
    _only("heartbeat", found, ("url", "interval", "timeout"))
    return Heartbeat(found.get("url", ""), **_durations("heartbeat", found, ("interval", "timeout")))


def _durations(option: str, found: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: parse_duration(found[key], option=f"{option} {key}") for key in keys if key in found}


def _channels(option: str, value: object, channels: Collection[str]) -> tuple[str, ...]:
    known = {name: name for name in channels}
    return tuple(_named(option, each, known) for each in _names(value))


def _named(option: str, name: object, known: Mapping[str, T]) -> T:
    if not isinstance(name, str) or name not in known:
        message = (
            f"{option} must be one of {', '.join(map(str, known)) or '(none is defined)'}, got {shown(name)}"
        )
        raise ConfigError(message)
    return known[name]


def _names(value: object) -> list[str]:
    if value is None:
        return []
    return [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]


def _shape(kind: type[T], empty: Callable[[], T], article: str) -> Callable[[str, object], T]:
    def read(option: str, value: object) -> T:
        if value is None:
            return empty()
        if not isinstance(value, kind):
            message = f"{option} must be a {article}, got {shown(value)}"
            raise ConfigError(message)
        return value

    return read


_list = _shape(list, list, "list")
_mapping: Callable[[str, object], Mapping[str, Any]] = _shape(dict, dict, "mapping")


def _only(option: str, found: Mapping[str, Any], known: Collection[str]) -> None:
    for key in found:
        if key not in known:
            message = f"{option} must be made of {', '.join(known)}, got {shown(key)}"
            raise ConfigError(message)
