"""External labels: on alerts, notifications and exported series, and never seen by expressions."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilience import AlertRule, Reliability
from resilience.alerting import RaisedAlert
from resilience.stores.memory import MemoryStore
from resilience.testing import ManualClock, RecordingNotifier

RULE = AlertRule("Stuck", condition=lambda: True, labels={"env": "test"})
PLAIN = AlertRule("Absent", 'absent(breakers{env="prod"})')


async def test_alerts_get_the_labels_that_they_lack(clock: ManualClock) -> None:
    pager = RecordingNotifier("pager")
    async with Reliability(
        "shop", rules=[RULE, PLAIN], notifiers=[pager], labels={"env": "prod"}, clock=clock
    ) as rel:
        rel.signals.gauge("breakers").bind().set(1)
        rel.alerts.send_alert(RaisedAlert("DiskFull"))
        await clock.advance(60)
        told = {
            each.labels["alertname"]: dict(each.labels)
            for sent in pager.notifications
            for each in sent.alerts
        }
        assert told["Stuck"] == {"alertname": "Stuck", "env": "test", "service": "shop"}
        assert told["Absent"] == {"alertname": "Absent", "env": "prod", "service": "shop"}
        assert told["DiskFull"]["service"] == "shop"
        assert len(rel.alerts.active_alerts(service="shop")) == 3
        assert 'breakers{env="prod",service="shop"} 1.0' in rel.metrics()[0].decode()


async def test_an_alert_that_was_stored_without_the_labels_goes_on_under_them(clock: ManualClock) -> None:
    store, pager = MemoryStore(), RecordingNotifier("pager")
    async with Reliability("shop", rules=[RULE], notifiers=[pager], store=store, clock=clock):
        await clock.advance(60)
    async with Reliability(
        "shop", rules=[RULE], notifiers=[pager], store=store, clock=clock, labels={"zone": "a"}
    ) as rel:
        await clock.advance(60)
        [active] = rel.alerts.active_alerts()
        assert active.alert.labels["zone"] == "a"
        assert {event.kind for event in rel.alerts.history()} == {"fired", "notified"}
    assert pager.statuses == ["firing"]


def test_a_file_sets_them(tmp_path: Path) -> None:
    file = tmp_path / "reliability.yaml"
    file.write_text("service: shop\nlabels: {env: prod, shard: 3}\n")
    assert Reliability.from_file(file).external_labels.labels == {
        "service": "shop",
        "env": "prod",
        "shard": "3",
    }


def test_numbers_of_a_file_are_kept_as_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "reliability.yaml"
    file.write_text("service: shop\nlabels: {version: 1.10, canary: true, build: 0x1F, zone: a}\n")
    monkeypatch.setenv("RESILIENCE_LABELS__ZONE", "2.0")
    assert Reliability.from_file(file).external_labels.labels == {
        "service": "shop",
        "version": "1.10",
        "canary": "true",
        "build": "0x1F",
        "zone": "2.0",
    }
