"""What happened lately."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from resilience_middleware.console.look import Look, Room
from resilience_middleware.console.panels.alerts import makers
from resilience_middleware.console.view import View

__all__ = ["events"]

_SHOWN: Final = 25  # beside the other panels
_KNOWN: Final = 500  # of the history that alerts have
_SAID: Final = frozenset({"alertname", "severity"})


def events(look: Look) -> Mapping[str, Any]:
    """Say what happened to alerts, breakers, checks and deployments within the window, the newest first."""
    watch, view = look.watch, look.view
    since = watch.rel.clock.time() - view.seconds
    newest = sorted((each for each in _happened(look) if each["at"] >= since), key=lambda each: -each["at"])
    whose = f"alerts of all workers, the rest of {watch.worker}" if watch.rel.alerts.shared else watch.worker
    room = Room(look)
    return {"events": room.cut("events", newest, _SHOWN), "worker": whose, **room.told}


def _happened(look: Look) -> Iterator[dict[str, Any]]:
    watch, view = look.watch, look.view
    made_by = makers(look)
    for each in watch.rel.alerts.history(service=view.service or None, limit=_KNOWN):
        yield {
            "at": each.at,
            "kind": each.kind,
            "subject": each.subject,
            "detail": each.detail or _which(each.labels, view),
            "link": made_by({"alertname": each.subject, **each.labels}) if each.fingerprint else "",
        }
    for at, version in look.charts.deployments():
        yield {"at": at, "kind": "deployment", "subject": version, "detail": "first seen", "link": ""}
    if not look.own:
        return
    for happening in watch.happenings:
        yield {
            "at": happening.at,
            "kind": happening.kind,
            "subject": happening.subject,
            "detail": happening.detail,
            "link": f"rules?{view.query}#{quote(happening.made_by)}",
        }


def _which(labels: Mapping[str, str], view: View) -> str:
    """What tells an alert from others of its name."""
    return ", ".join(
        f"{name} {value}" for name, value in labels.items() if name not in _SAID and value != view.service
    )
