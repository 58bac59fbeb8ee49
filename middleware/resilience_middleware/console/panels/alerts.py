"""What fires, what is about to, and what is muted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from resilience.alerting.active import states_in_words
from resilience.alerting.matchers import Matchers
from resilience.alerting.plain import plain_alert, plain_silence
from resilience.alerting.silence import Silence
from resilience.rules import AlertState
from resilience_middleware.console.look import Look, Room

__all__ = ["alerts", "makers"]

_WORST: Final = {"page": 0, "critical": 0, "warning": 1}
_FIRING, _PENDING, _SILENCES = 10, 5, 5  # beside the other panels


def alerts(look: Look) -> Mapping[str, Any]:
    """Say what fires, with what people did about it, what is pending, and which silences hold."""
    rel, view = look.watch.rel, look.view
    now = rel.clock.time()
    firing = sorted(
        look.alerts,
        key=lambda each: (
            each.silenced_by is not None or each.inhibited_by is not None,
            _WORST.get(each.alert.labels.get("severity", ""), 2),
            -each.alert.started,
        ),
    )
    pending = [
        alert
        for alert in rel.rules.alerts()
        if alert.state is AlertState.PENDING and view.covers(alert.labels.get("service", ""))
    ]
    known = rel.alerts.silences
    silences = [each for each in known if each.end > now and _concerns(each, look)]
    by_id = {each.id: each for each in known}
    made_by, room = makers(look), Room(look)
    return {
        "firing": [
            {
                **plain_alert(each),
                "silence": plain_silence(by_id[each.silenced_by]) if each.silenced_by in by_id else None,
                "value": _value(each.alert.value),
                "made_by": made_by(each.alert.labels),
            }
            for each in room.cut("firing", firing, _FIRING)
        ],
        "pending": [
            {
                "id": alert.fingerprint,
                "labels": dict(alert.labels),
                "annotations": dict(alert.annotations),
                "since": alert.active_at.wall,
                "value": _value(alert.value),
                "made_by": made_by(alert.labels),
            }
            for alert in room.cut("pending", pending, _PENDING)
        ],
        "silences": [plain_silence(each) for each in room.cut("silences", silences, _SILENCES)],
        "states": states_in_words(each.state for each in firing),
        "channels": sorted(rel.alerts.notifiers),
        "worker": look.watch.alerts_of,
        **room.told,
    }


def makers(look: Look) -> Callable[[Mapping[str, str]], str]:
    """Return what says by an alert's labels where the objective or rule that made it is shown; empty where nobody knows."""
    rel, page = look.watch.rel, f"rules?{look.view.query}"
    rules = {rule.name for group in rel.rules.groups for rule in group.rules}

    def made_by(labels: Mapping[str, str]) -> str:
        slo, name = labels.get("slo", ""), labels.get("alertname", "")
        if slo in rel.slos.slos:
            return f"{page}#slo-{quote(slo)}"
        return f"{page}#rule-{quote(name)}" if name in rules else ""

    return made_by


def _concerns(silence: Silence, look: Look) -> bool:
    """Whether it may mute something of the service that is looked at: it is only known not to by its own words."""
    if not look.view.service:
        return True
    about = Matchers(each for each in silence.matchers.matchers if each.label == "service")
    return about.match({"service": look.view.service})


def _value(value: float | None) -> float | None:
    # JSON has no NaN; missing data is what alerts then.
    return value if value is not None and value - value == 0 else None
