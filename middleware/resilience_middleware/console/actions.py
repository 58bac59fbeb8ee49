"""What people do from the page: take an alert over, silence it, hold a breaker open or close it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from resilience.core.duration import parse_duration
from resilience.core.log import log
from resilience.core.validate import choice, text
from resilience.errors import ConfigError
from resilience_middleware.console.panels.policies import breakers
from resilience_middleware.console.watch import Watch

__all__ = ["ACTIONS", "Action"]

Action: TypeAlias = Callable[[Watch, Mapping[str, Any]], str]
"""Does something, and says in a line what it did; a `ConfigError` says what was wrong."""

_NO_LABEL: Final = frozenset({"__name__"})


def acknowledge(watch: Watch, body: Mapping[str, Any]) -> str:
    """Take an alert over: `id`, `by`."""
    by = text("by", body.get("by"))
    watch.rel.alerts.acknowledge(text("id", body.get("id")), by)
    return f"acknowledged by {by}"


def silence(watch: Watch, body: Mapping[str, Any]) -> str:
    """Mute an alert by its labels: `id`, `duration`, `by`, `comment`."""
    alert_id = text("id", body.get("id"))
    alerts = watch.rel.alerts
    alert = next((each for each in alerts.active_alerts() if each.alert.fingerprint == alert_id), None)
    if alert is None:
        raise ConfigError("this alert does not fire any more")
    matchers = [
        f"{name}={_quoted(value)}" for name, value in alert.alert.labels.items() if name not in _NO_LABEL
    ]
    seconds = parse_duration(text("duration", body.get("duration")), option="duration")
    alerts.silence(
        matchers,
        end=watch.rel.clock.time() + seconds,
        author=text("by", body.get("by")),
        comment=text("comment", body.get("comment")),
    )
    return f"silenced for {body['duration']}"


def unsilence(watch: Watch, body: Mapping[str, Any]) -> str:
    """End a silence: `id`."""
    watch.rel.alerts.unsilence(text("id", body.get("id")))
    return "the silence has ended"


def breaker(watch: Watch, body: Mapping[str, Any]) -> str:
    """Hold a breaker open, or close it: `path`, `to` (`forced_open` or `closed`), `by`."""
    path, by = text("path", body.get("path")), text("by", body.get("by"))
    to = choice("to", body.get("to"), ("forced_open", "closed"))
    found = next((each.breaker for each in breakers(watch) if each.path == path), None)
    if found is None:
        message = f"there is no breaker {path!r} in this worker"
        raise ConfigError(message)
    (found.isolate if to == "forced_open" else found.close)()
    log(__name__).warning("breaker_set", breaker=path, to=to, by=by)
    return f"{path} is {to.replace('_', ' ')} in this worker"


ACTIONS: Final[Mapping[str, Action]] = {
    "acknowledge": acknowledge,
    "silence": silence,
    "unsilence": unsilence,
    "breaker": breaker,
}
"""All actions by name."""


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
