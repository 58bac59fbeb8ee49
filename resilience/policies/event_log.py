"""A listener that writes what policies say of themselves to the log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from resilience.core.log import log
from resilience.core.options import named_options
from resilience.core.validate import choice
from resilience.policies.breaker_events import BreakerTransition, ThresholdReached

__all__ = ["EventLog"]

_LEVELS = ("debug", "info", "warning", "error")


@named_options
class EventLog:
    """Writer of typed events to the log: the event's class as its name (`breaker_transition`), its fields as keys.

    Args:
        level: of events that `levels` does not name: `debug`, `info`, `warning` or `error`; None, the default, passes
            them over, since a refusal each can be thousands a second.
        levels: by the event's class; changes of a breaker are warnings unless this says otherwise.

    Raises:
        ConfigError: a level is none of these.

    Example:
        >>> from resilience.policies import CircuitBreaker
        >>> breaker = CircuitBreaker(name="pay")
        >>> stop = breaker.events.subscribe(EventLog())
    """

    def __init__(self, level: str | None = None, *, levels: Mapping[type, str] | None = None) -> None:
        self._level = None if level is None else choice("level", level, _LEVELS)
        given = {BreakerTransition: "warning", ThresholdReached: "warning", **(levels or {})}
        self._levels = {
            kind: choice(f"levels[{kind.__name__}]", each, _LEVELS) for kind, each in given.items()
        }

    def __call__(self, event: object) -> None:
        """Write one event."""
        level = self._levels.get(type(event), self._level)
        if level is None:
            return
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(event).__name__).lower()
        getattr(log(__name__), level)(name, **_details(event))


def _details(event: object) -> dict[str, Any]:
    if not is_dataclass(event):
        return {"event_repr": repr(event)}
    found = {each.name: getattr(event, each.name) for each in fields(event)}
    return {name: repr(value) if isinstance(value, BaseException) else value for name, value in found.items()}
