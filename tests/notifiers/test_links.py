"""Links to the alert, its runbook and its silence form in what each channel sends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from resilience import Reliability
from resilience.alerting import RaisedAlert
from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.notifiers import from_config
from resilience.notifiers._text import describe
from resilience.rules import AlertRule, RuleGroup
from resilience.testing import RecordingNotifier
from tests.notifiers.conftest import alert, notification

BASE = "https://shop.example/ops"
ALERT = f"{BASE}/reliability/#alert-00000000000000ab"
SILENCE = f"{BASE}/reliability/#silence-alert-00000000000000ab"
RUNBOOK = "https://runbooks.example/down"


@pytest.mark.parametrize("kind", ["slack", "teams", "discord", "pagerduty"])
async def test_people_get_links_to_the_alert_its_runbook_and_its_silence_form(
    kind: str, receiver: Any
) -> None:
    setting = {"url": receiver.url} | ({"routing_key": "k" * 32} if kind == "pagerduty" else {})
    channel = from_config("ops", {kind: setting})
    await channel.send(notification(external_url=BASE))
    await channel.close()  # type: ignore[attr-defined]  # one over HTTP
    [sent] = receiver.payloads
    for url in (ALERT, SILENCE, RUNBOOK):
        assert url in json.dumps(sent)
    if kind == "pagerduty":
        assert sent["client_url"] == BASE
        assert [link["text"] for link in sent["links"]] == ["Runbook", "Alert", "Silence"]


async def test_a_webhook_names_the_service_and_the_origin_of_each_alert(receiver: Any) -> None:
    channel = from_config("ops", {"webhook": receiver.url})
    await channel.send(notification(external_url=BASE))
    await channel.close()  # type: ignore[attr-defined]  # as above
    [sent] = receiver.payloads
    assert (sent["externalURL"], sent["alerts"][0]["generatorURL"]) == (BASE, ALERT)


async def test_alertmanager_learns_the_origin_of_each_alert(receiver: Any) -> None:
    channel = from_config("ops", {"alertmanager": receiver.url})
    await channel.send(notification(external_url=BASE))
    await channel.close()  # type: ignore[attr-defined]  # as above
    assert [each["generatorURL"] for each in receiver.payloads[0]] == [ALERT]


def test_the_text_of_a_runbook_is_shown() -> None:
    said = describe(
        alert(annotations={"summary": "It is down", "runbook": "Restart it.", "runbook_url": RUNBOOK})
    )
    assert "Runbook: Restart it." in said
    assert f"Runbook: {RUNBOOK}" in said
    assert "Alert:" not in said


def test_what_is_resolved_cannot_be_silenced() -> None:
    said = describe(alert(status="resolved"), BASE)
    assert ALERT in said
    assert SILENCE not in said


async def test_the_external_url_of_a_service_reaches_templates_and_notifications() -> None:
    clock, pager = ManualClock(), RecordingNotifier("pager")
    rule = AlertRule("Up", "vector(1)", annotations={"summary": "see {{ $externalURL }}"})
    rel = Reliability(
        "shop", external_url=f"{BASE}/", notifiers=[pager], clock=clock, rules=[RuleGroup("g", [rule])]
    )
    async with rel:
        rel.alerts.send_alert(RaisedAlert("DiskFull"))
        await clock.advance(60)
    assert {each.external_url for each in pager.notifications} == {BASE}
    summaries = {a.annotations.get("summary") for each in pager.notifications for a in each.alerts}
    assert f"see {BASE}" in summaries


@pytest.mark.parametrize(
    "url",
    ["shop.example", "ftp://shop.example", "https://ann:pw@shop.example", "https://a/?b", "https://a/#b", 5],
)
def test_an_external_url_that_is_none_is_refused_without_its_password(url: Any) -> None:
    with pytest.raises(ConfigError, match="external_url") as caught:
        Reliability("shop", external_url=url)
    assert "pw" not in str(caught.value)
