"""Alertmanager's configuration file: its routes, inhibitions and time intervals; what is left out is named."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resilience.alerting.inhibition import Inhibition
from resilience.alerting.intervals import TimeIntervals, time_intervals_from_config
from resilience.alerting.matchers import Matchers
from resilience.alerting.route import Route
from resilience.core import yaml
from resilience.core.duration import parse_duration
from resilience.core.ports import Matcher
from resilience.core.validate import flag, shown
from resilience.errors import ConfigError

__all__ = ["AlertmanagerConfig", "read"]

_TOP = ("route", "inhibit_rules", "time_intervals", "mute_time_intervals", "receivers")
_ROUTE = (
    "receiver",
    "group_by",
    "continue",
    "matchers",
    "match",
    "match_re",
    "group_wait",
    "group_interval",
    "repeat_interval",
    "mute_time_intervals",
    "active_time_intervals",
    "routes",
)
_INHIBIT = tuple(
    f"{side}_{form}" for side in ("source", "target") for form in ("matchers", "match", "match_re")
)


@dataclass(frozen=True)
class AlertmanagerConfig:
    """What was read of the file.

    Args:
        route: its route tree.
        inhibitions: its inhibition rules.
        time_intervals: its time intervals by name.
        unsupported: what of it has no effect here, one line each with its place.
    """

    route: Route
    inhibitions: tuple[Inhibition, ...]
    time_intervals: Mapping[str, TimeIntervals]
    unsupported: tuple[str, ...]


def read(file: str | Path, channels: Collection[str] | None = None) -> AlertmanagerConfig:
    """Read a file.

    Receivers are taken by name alone: a channel of that name says how it is reached. Their `*_configs`, templates,
    and everything under `global` are listed as unsupported.

    Args:
        file: its path.
        channels: names of the channels there are; a receiver that is none of them is refused. None lets all pass.

    Raises:
        ConfigError: the file cannot be read, is none of Alertmanager's, or names what is not there; with its place.
    """
    document = yaml.read(file)
    if not isinstance(document.data, dict) or not isinstance(document.data.get("route"), dict):
        raise document.error("an Alertmanager configuration is a mapping with a route")
    return _Reader(document, channels).read()


class _Reader:
    def __init__(self, document: yaml.Document, channels: Collection[str] | None) -> None:
        self._document = document
        self._data: dict[str, Any] = document.data
        self._channels = channels
        self._times: dict[str, TimeIntervals] = {}
        self._unsupported: list[str] = []

    def read(self) -> AlertmanagerConfig:
        for key in self._data:
            if key not in _TOP:
                self._leave_out(key, key)
        for index, receiver in enumerate(self._list(self._data, "receivers")):
            self._receiver(receiver, "receivers", index)
        for section in ("time_intervals", "mute_time_intervals"):
            self._times |= self._intervals_of(section)
        inhibitions = tuple(
            self._inhibition(rule, "inhibit_rules", index)
            for index, rule in enumerate(self._list(self._data, "inhibit_rules"))
        )
        route = self._root(self._data["route"])
        return AlertmanagerConfig(route, inhibitions, self._times, tuple(self._unsupported))

    def _intervals_of(self, section: str) -> dict[str, TimeIntervals]:
        found = self._data.get(section) or []
        if isinstance(found, list):
            found = [
                {**each, "name": self._document.written(section, index, "name")}
                if isinstance(each, dict) and "name" in each
                else each
                for index, each in enumerate(found)
            ]
        try:
            return time_intervals_from_config(found)
        except ConfigError as error:
            raise self._document.error(error.message, section) from None

    def _leave_out(self, what: str, *path: str | int) -> None:
        self._unsupported.append(
            f"{self._document.file}:{self._document.line(*path)}: {what} is not supported"
        )

    def _list(self, found: Mapping[str, Any], key: str, *path: str | int) -> list[Any]:
        value = found.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            message = f"{key} must be a list"
            raise self._document.error(message, *path, key)
        return value

    def _written(self, found: Mapping[str, Any], key: str, *path: str | int) -> tuple[str, ...]:
        """Return the texts of a list as they are written."""
        count = len(self._list(found, key, *path))
        return tuple(self._document.written(*path, key, index) for index in range(count))

    def _receiver(self, found: Any, *path: str | int) -> None:
        if not isinstance(found, dict):
            raise self._document.error("a receiver is a mapping with a name", *path)
        name = found.get("name")
        for key, configs in found.items():
            if key == "name":
                continue
            self._leave_out(f"{key} of receiver {name!r}", *path, key)
            for index, each in enumerate(configs if isinstance(configs, list) else ()):
                if isinstance(each, dict) and each.get("send_resolved") is False:
                    what = (
                        f"send_resolved: false of receiver {name!r} (whoever hears 'firing' hears 'resolved')"
                    )
                    self._leave_out(what, *path, key, index, "send_resolved")

    def _root(self, found: Any) -> Route:
        """The root takes every alert, at any time: as Alertmanager, this refuses what says otherwise."""
        for key in ("matchers", "match", "match_re", "mute_time_intervals", "active_time_intervals"):
            if found.get(key):
                message = f"the root route must have no {key}: every alert goes somewhere"
                raise self._document.error(message, "route", key)
        if found.get("receiver") is None:
            raise self._document.error("the root route must name a receiver", "route")
        return self._route(found, "route")

    def _route(self, found: Any, *path: str | int) -> Route:
        if not isinstance(found, dict):
            raise self._document.error("a route is a mapping", *path)
        for key in found:
            if key not in _ROUTE:
                self._leave_out(f"{key} of a route", *path, key)
        receiver = None if found.get("receiver") is None else self._document.written(*path, "receiver")
        if receiver is not None and self._channels is not None and receiver not in self._channels:
            names = ", ".join(self._channels)
            message = f"receiver must be one of the channels {names}, got {shown(receiver)}"
            raise self._document.error(message, *path, "receiver")
        try:
            durations: dict[str, Any] = {
                key: parse_duration(found[key], option=key)
                for key in ("group_wait", "group_interval", "repeat_interval")
                if key in found
            }
            return Route(
                to=None if receiver is None else (receiver,),
                matchers=self._matchers(found, "", *path),
                # An empty list means one group for all; absent means the parent's, and at the root the same.
                group_by=self._written(found, "group_by", *path)
                if "group_by" in found
                else (() if path == ("route",) else None),
                proceed=flag("continue", found.get("continue", False)),
                mute=self._intervals(found, "mute_time_intervals", *path),
                active=self._intervals(found, "active_time_intervals", *path),
                routes=tuple(
                    self._route(each, *path, "routes", index)
                    for index, each in enumerate(self._list(found, "routes", *path))
                ),
                **durations,
            )
        except ConfigError as error:
            raise error if error.file else self._document.error(error.message, *path) from None

    def _intervals(self, found: Mapping[str, Any], key: str, *path: str | int) -> tuple[TimeIntervals, ...]:
        names = self._written(found, key, *path)
        missing = [name for name in names if name not in self._times]
        if missing:
            message = f"{key} must name time intervals of the file, got {missing[0]!r}"
            raise ConfigError(message)
        return tuple(self._times[name] for name in names)

    def _inhibition(self, rule: Any, *path: str | int) -> Inhibition:
        if not isinstance(rule, dict):
            raise self._document.error("an inhibition rule is a mapping", *path)
        for key in rule:
            if key not in (*_INHIBIT, "equal"):
                self._leave_out(f"{key} of an inhibition rule", *path, key)
        try:
            source = self._matchers(rule, "source_", *path)
            target = self._matchers(rule, "target_", *path)
        except ConfigError as error:
            raise self._document.error(error.message, *path) from None
        return Inhibition(source, target, self._written(rule, "equal", *path))

    def _matchers(self, found: Mapping[str, Any], prefix: str, *path: str | int) -> Matchers:
        """Read matchers in Alertmanager's three forms: `matchers`, and the older `match` and `match_re`."""
        equal = [Matcher(name, "=", value) for name, value in self._labels(f"{prefix}match", found, *path)]
        regular = [
            Matcher(name, "=~", value) for name, value in self._labels(f"{prefix}match_re", found, *path)
        ]
        return Matchers([*_texts(f"{prefix}matchers", found.get(f"{prefix}matchers")), *equal, *regular])

    def _labels(self, option: str, found: Mapping[str, Any], *path: str | int) -> list[tuple[str, str]]:
        labels = found.get(option) or {}
        if not isinstance(labels, dict):
            message = f"{option} must be a mapping of labels to values"
            raise ConfigError(message)
        return [(name, self._document.written(*path, option, name)) for name in labels]


def _texts(option: str, value: object) -> list[str]:
    texts = [value] if isinstance(value, str) else value or []
    if isinstance(texts, list) and all(isinstance(each, str) for each in texts):
        return texts
    message = f"{option} must be a list of texts"
    raise ConfigError(message)
