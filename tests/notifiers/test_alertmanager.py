"""What an Alertmanager is handed, and how often; against a real one in tests/integration."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from resilience.core.clock import ManualClock
from resilience.errors import DeliveryError
from resilience.notifiers.alertmanager import AlertmanagerNotifier


def make(
    url: str, clock: ManualClock, monkeypatch: Any
) -> tuple[AlertmanagerNotifier, list[list[dict[str, Any]]]]:
    """A notifier whose posts go into a list."""
    notifier = AlertmanagerNotifier("am", url=url, clock=clock)
    posted: list[list[dict[str, Any]]] = []

    async def post(payload: Any, *, key: str, url: str) -> None:
        assert url == "http://am:9093/prefix/api/v2/alerts"
        posted.append(payload)

    monkeypatch.setattr(notifier, "_post", post)
    return notifier, posted


async def test_what_fires_ends_later_unless_it_is_sent_again(
    say: Any, clock: ManualClock, monkeypatch: Any
) -> None:
    notifier, posted = make("http://am:9093/prefix/", clock, monkeypatch)
    await notifier.send(say.notification(say.alert(labels={"alertname": "Down", "empty": ""})))
    [[alert]] = posted
    assert alert == {
        "labels": {"alertname": "Down"},
        "annotations": {"summary": "It is down", "runbook_url": "https://runbooks.example/down"},
        "startsAt": "2023-11-14T22:13:20.000Z",
        "endsAt": "2023-11-14T22:17:20.000Z",
        "generatorURL": "",
    }
    await notifier.close()


async def test_what_is_resolved_is_sent_again_for_fifteen_minutes(
    say: Any, clock: ManualClock, monkeypatch: Any
) -> None:
    notifier, posted = make("http://am:9093/prefix", clock, monkeypatch)
    await notifier.send(say.notification(say.alert(status="resolved")))
    await clock.advance(3600)
    assert len(posted) == 15
    assert {alert["endsAt"] for payload in posted for alert in payload} == {"2023-11-14T22:14:20.000Z"}
    await notifier.close()


async def test_what_fires_anew_is_no_longer_sent_as_resolved(
    say: Any, clock: ManualClock, monkeypatch: Any
) -> None:
    notifier, posted = make("http://am:9093/prefix", clock, monkeypatch)
    await notifier.send(say.notification(say.alert(status="resolved")))
    await notifier.send(say.notification(say.alert()))
    await clock.advance(3600)
    assert len(posted) == 2
    await notifier.close()


async def test_it_is_handed_over_in_batches_as_prometheus_does(
    say: Any, clock: ManualClock, monkeypatch: Any
) -> None:
    notifier, posted = make("http://am:9093/prefix", clock, monkeypatch)
    await notifier.send(say.huge())
    assert [len(batch) for batch in posted] == [64, 64, 64, 8]
    await notifier.send(say.notification(status="acknowledged"))
    assert len(posted) == 4
    await notifier.close()


async def test_sending_again_outlives_a_failure(say: Any, clock: ManualClock, monkeypatch: Any) -> None:
    notifier, posted = make("http://am:9093/prefix", clock, monkeypatch)
    await notifier.send(say.notification(say.alert(status="resolved")))

    async def fail(payload: Any, *, key: str, url: str) -> None:
        raise DeliveryError("am: answered 503")

    works = notifier._post
    monkeypatch.setattr(notifier, "_post", fail)
    with capture_logs() as lines:
        await clock.advance(60)
    assert [line["event"] for line in lines] == ["resolved_not_sent_again"]
    monkeypatch.setattr(notifier, "_post", works)
    await clock.advance(60)
    assert len(posted) == 2
    await notifier.close()


async def test_one_alert_that_is_refused_does_not_lose_the_others_of_its_request(
    say: Any, clock: ManualClock, monkeypatch: Any
) -> None:
    notifier, _ = make("http://am:9093/prefix", clock, monkeypatch)
    taken: list[str] = []

    async def post(payload: Any, *, key: str, url: str) -> None:
        names = [alert["labels"]["alertname"] for alert in payload]
        if "Bad" in names:
            raise DeliveryError("am: answered 400", retryable=False)
        taken.extend(names)

    monkeypatch.setattr(notifier, "_post", post)
    alerts = [say.alert(labels={"alertname": name}) for name in ("Good", "Bad", "Better")]
    with capture_logs() as logs:
        await notifier.send(say.notification(*alerts))
    assert taken == ["Good", "Better"]
    assert [each["alert"] for each in logs if each["event"] == "alert_refused"] == [{"alertname": "Bad"}]
    with pytest.raises(DeliveryError):
        await notifier.send(say.notification(alerts[1], alerts[1]))
    await notifier.close()
