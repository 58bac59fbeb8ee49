"""What happened lately."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from resilience.alerting.history import AlertEvent
from resilience_middleware.console.view import View
from resilience_middleware.console.watch import Happening, Watch

__all__ = ["events"]

_SHOWN: Final = 40


def events(watch: Watch, view: View) -> Mapping[str, Any]:
    """Say what happened to alerts, breakers and checks, the newest first."""
    happened: list[AlertEvent | Happening] = [
        *watch.rel.alerts.history(service=view.service or None, limit=_SHOWN),
        *watch.happenings,
    ]
    newest = sorted(happened, key=lambda each: -each.at)[:_SHOWN]
    return {
        "events": [
            {"at": each.at, "kind": each.kind, "subject": each.subject, "detail": each.detail}
            for each in newest
        ]
    }
