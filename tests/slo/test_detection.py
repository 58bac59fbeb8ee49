"""Detection and reset of the four default alerts against the formulas of the SRE Workbook, in the process."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from resilience.rules import AlertState
from resilience.slo import SLO, Alerting, BurnRateAlert
from resilience.slo.burn_rate import DEFAULTS, detection_time, reset_time
from tests.slo.conftest import Service

BUDGET = Decimal("0.001")
TICKS = 288  # in the long window
ERRORS = ("0.001", "0.003", "0.006", "0.0144", "0.0145", "0.05", "1")


def only(alert: BurnRateAlert) -> SLO:
    alerting = Alerting((alert,), exhaustion=(), min_failures=0)
    return SLO("ok", service="shop", target=1 - BUDGET, alerting=alerting)


@pytest.mark.parametrize("errors", ERRORS)
@pytest.mark.parametrize("alert", DEFAULTS, ids=lambda alert: alert.name)
def test_an_alert_fires_and_resolves_when_the_formulas_say(alert: BurnRateAlert, errors: str) -> None:
    tick = alert.window / TICKS
    service = Service(only(alert), tick=tick)
    assert service.traffic(TICKS + 8) == []
    began = service.clock.monotonic()
    expected = detection_time(alert, BUDGET, Decimal(errors))

    changes = service.traffic(TICKS + 8, errors=float(errors))

    if expected is None:
        assert changes == []
        return
    [(fired, change)] = changes
    assert change.state is AlertState.FIRING
    assert 0 <= fired - began - float(expected) <= tick
    ended = service.clock.monotonic()
    [(resolved, change)] = service.traffic(TICKS)
    assert change.state is AlertState.RESOLVED
    wait = reset_time(alert, BUDGET, Decimal(errors))
    assert wait is not None
    assert -1e-6 <= resolved - ended - float(wait) <= tick


def test_a_single_failure_wakes_nobody_and_two_do() -> None:
    slo = SLO("ok", service="shop", target=0.999)
    service = Service(slo, tick=60)
    assert service.traffic(1, errors=1, requests=1) == []
    assert service.traffic(1, errors=1, requests=1) != []


@pytest.mark.parametrize(("least", "fires"), [(600, True), (601, False)])
def test_a_long_window_of_too_few_events_pages_nobody_however_many_fail(least: int, fires: bool) -> None:
    alerting = Alerting((DEFAULTS[0],), exhaustion=(), min_events=least)
    service = Service(SLO("ok", service="shop", target=0.999, alerting=alerting), tick=60)
    changes = service.traffic(120, errors=0.5, requests=10)  # 600 an hour
    assert [change.state for _, change in changes] == ([AlertState.FIRING] if fires else [])


def test_no_traffic_is_no_data_and_never_a_page() -> None:
    service = Service(SLO("ok", service="shop", target=0.999), tick=60)
    assert service.traffic(100, requests=0) == []
    assert service.slos.status("ok").status == "no_data"
    assert service.slos.error_budget("ok").status == "no_data"


def test_errors_that_stop_with_all_traffic_do_not_alert_for_ever() -> None:
    alert = replace(DEFAULTS[0])
    service = Service(only(alert), tick=60)
    service.traffic(60, errors=0.5)
    changes = service.traffic(60, requests=0)
    assert [change.state for _, change in changes] == [AlertState.RESOLVED]
