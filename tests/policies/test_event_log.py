from __future__ import annotations

from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from resilience.errors import ConfigError
from resilience.policies import CircuitBreaker
from resilience.policies.breaker_events import BreakerTransition
from resilience.policies.event_log import EventLog


@dataclass(frozen=True)
class CallLost:
    name: str
    error: Exception


def test_a_breaker_that_is_opened_is_a_warning_with_its_states() -> None:
    breaker = CircuitBreaker(name="pay")
    breaker.events.subscribe(EventLog())
    with capture_logs() as logs:
        breaker.open()
    assert [(each["event"], each["log_level"], each["name"], each["state"]) for each in logs] == [
        ("breaker_transition", "warning", "pay", "open")
    ]


def test_other_events_have_the_level_that_was_asked_for_and_errors_as_text() -> None:
    with capture_logs() as logs:
        EventLog("info", levels={BreakerTransition: "error"})(CallLost("pay", ValueError("x")))
        EventLog()("passed over")
        EventLog("debug")("no dataclass")
    assert logs[0] == {
        "event": "call_lost",
        "log_level": "info",
        "name": "pay",
        "error": "ValueError('x')",
        "component": "resilience.policies.event_log",
    }
    assert [(each["log_level"], each["event_repr"]) for each in logs[1:]] == [("debug", "'no dataclass'")]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ConfigError, match="level must be one of debug, info, warning, error, got 'loud'"):
        EventLog("loud")
    with pytest.raises(ConfigError, match=r"levels\[CallLost\] must be one of"):
        EventLog(levels={CallLost: "loud"})
