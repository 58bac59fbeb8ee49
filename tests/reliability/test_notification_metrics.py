"""Outcomes of notifications as signals, and the alert over them."""

from __future__ import annotations

import re

import anyio

from resilience import Reliability
from resilience.alerting import RaisedAlert, Route
from resilience.errors import DeliveryError
from resilience.rules import packs
from resilience.testing import ManualClock, RecordingNotifier

REFUSED = DeliveryError("ops: answered 400", retryable=False)
FAILED = DeliveryError("ops: answered 503")


def outcomes(rel: Reliability) -> dict[str, float]:
    """The counters of the channel `ops` by outcome."""
    text, _ = rel.metrics()
    found = re.findall(
        r'notifications_total\{outcome="(\w+)",receiver="ops",service="\w+"\} (\S+)', text.decode()
    )
    return {outcome: float(value) for outcome, value in found}


async def passing(rel: Reliability, clock: ManualClock, seconds: int) -> None:
    for _ in range(seconds):
        await rel.tick()
        await clock.advance(1)


async def test_outcomes_are_counted_and_refusals_fire_an_alert_until_the_channel_works() -> None:
    clock = ManualClock()
    ops, boss = RecordingNotifier("ops", failures=(FAILED, REFUSED)), RecordingNotifier("boss")
    rel = Reliability(
        "shop",
        rules=packs.load("self_monitoring"),
        notifiers=[ops, boss],
        route=Route(to=("ops", "boss"), group_wait=0, group_interval=60),
        clock=clock,
    )
    async with anyio.create_task_group() as background:
        background.start_soon(rel.alerts.run)
        await passing(rel, clock, 20)
        assert outcomes(rel) == {"delivered": 0, "failed": 0, "refused": 0, "given_up": 0}
        rel.alerts.send_alert(RaisedAlert("Down"))
        await passing(rel, clock, 40)
        assert outcomes(rel) == {"delivered": 1, "failed": 1, "refused": 1, "given_up": 0}
        firing = {each.alert.labels["alertname"]: each.alert.labels for each in rel.alerts.active_alerts()}
        assert firing["NotificationsFailing"] == {
            "alertname": "NotificationsFailing",
            "receiver": "ops",
            "severity": "critical",
            "service": "shop",
        }
        await passing(rel, clock, 60)
        assert "Down" in [each.group.get("alertname") for each in ops.notifications]
        await passing(rel, clock, 1000)
        assert [each.alert.labels["alertname"] for each in rel.alerts.active_alerts()] == ["Down"]
        background.cancel_scope.cancel()


async def test_a_channel_that_never_works_fires_the_alert_after_a_few_attempts() -> None:
    clock = ManualClock()
    ops = RecordingNotifier("ops", failures=(FAILED,) * 100)
    rel = Reliability(
        "shop",
        rules=packs.load("self_monitoring"),
        notifiers=[ops],
        route=Route(to=("ops",), group_wait=0),
        clock=clock,
    )
    async with anyio.create_task_group() as background:
        background.start_soon(rel.alerts.run)
        await passing(rel, clock, 20)
        rel.alerts.send_alert(RaisedAlert("Down"))
        await passing(rel, clock, 60)
        assert outcomes(rel)["failed"] >= 3
        names = {each.alert.labels["alertname"] for each in rel.alerts.active_alerts()}
        assert names == {"Down", "NotificationsFailing"}
        background.cancel_scope.cancel()


async def test_a_task_that_fails_once_fires_an_alert() -> None:
    clock = ManualClock()
    rel = Reliability("shop", rules=packs.load("self_monitoring"), clock=clock)
    await passing(rel, clock, 20)
    rel.signals.counter("resilience_task_failures_total", labels=("task",)).bind("ticker").inc()
    await passing(rel, clock, 20)
    [active] = rel.alerts.active_alerts()
    assert active.alert.labels["alertname"] == "BackgroundTaskFailing"
