"""Alerts at the door of alerting: what cannot be handled is left out, and what is new of the others is taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from resilience.alerting.vetting import Intake, vetted
from resilience.core.clock import Instant
from resilience.errors import ConfigError
from resilience.rules.state import Alert, AlertState, fingerprint

NOW = Instant(1_000.0, 1_700_000_000.0)
LABELS = {"alertname": "Down", "größe.x": "5"}
ALERT = Alert(
    "Down", "g", LABELS, {"zusammen.fassung": "!"}, AlertState.FIRING, 1.0, NOW, fingerprint(LABELS), NOW
)


def test_what_is_well_is_the_same_object() -> None:
    assert vetted(ALERT) is ALERT


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": "firing"}, "state must be an AlertState, got a str"),
        ({"fingerprint": "a/b"}, "fingerprint must be a text of letters and digits"),
        ({"fingerprint": 5}, "fingerprint must be a text of letters and digits"),
        ({"labels": {}}, "labels must have an alertname"),
        ({"labels": {"alertname": ""}}, "labels must have an alertname"),
        ({"active_at": None}, "active_at must be an Instant, got a NoneType"),
        ({"fired_at": 5.0}, "fired_at must be an Instant, got a float"),
        ({"resolved_at": Instant(float("nan"), 0.0)}, "resolved_at.monotonic must be"),
        ({"active_at": Instant(0.0, -1.0)}, "active_at.wall must be Unix seconds"),
    ],
)
def test_what_cannot_be_handled_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        vetted(replace(ALERT, **changes))


def test_times_that_have_not_come_may_be_missing() -> None:
    assert vetted(replace(ALERT, fired_at=None, resolved_at=None)).fired_at is None


@pytest.mark.parametrize("state", AlertState)
def test_alerts_that_fire_or_were_resolved_are_taken(state: AlertState) -> None:
    alert = replace(ALERT, state=state)
    taken = state in (AlertState.FIRING, AlertState.RESOLVED)
    assert Intake().take([alert]) == ([alert] if taken else [])


def test_what_changed_is_taken_as_it_is_now_and_what_is_refused_then_as_it_was() -> None:
    intake = Intake()
    changed = replace(ALERT, value=2.0)
    assert intake.take([ALERT]) == [ALERT]
    assert intake.take([changed]) == [changed]
    assert intake.take([replace(ALERT, active_at=None)]) == [changed]
    assert intake.take([ALERT]) == [ALERT]
    assert intake.take([]) == []
    assert intake.take([replace(ALERT, active_at=None)]) == []
