"""The channels over HTTP, each against a receiver that looks at what the service's documentation asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from resilience.errors import ConfigError, DeliveryError
from resilience.notifiers import from_config
from resilience.notifiers.discord import DiscordNotifier
from resilience.notifiers.pagerduty import PagerDutyNotifier
from resilience.notifiers.slack import SlackNotifier
from resilience.notifiers.teams import TeamsNotifier
from resilience.notifiers.webhook import WebhookNotifier

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def check_webhook(payload: dict[str, Any]) -> None:
    """Prometheus' documentation, `webhook_config`."""
    assert set(payload) == {
        "version",
        "groupKey",
        "truncatedAlerts",
        "status",
        "receiver",
        "groupLabels",
        "commonLabels",
        "commonAnnotations",
        "externalURL",
        "alerts",
    }
    assert payload["version"] == "4"
    assert payload["status"] in {"firing", "resolved"}
    for each in payload["alerts"]:
        assert set(each) == {
            "status",
            "labels",
            "annotations",
            "startsAt",
            "endsAt",
            "generatorURL",
            "fingerprint",
        }
        assert RFC3339.fullmatch(each["startsAt"])
        assert RFC3339.fullmatch(each["endsAt"])


def check_slack(payload: dict[str, Any]) -> None:
    """Slack's Block Kit reference."""
    assert set(payload) == {"text", "blocks"}
    assert 1 <= len(payload["text"]) <= 3000
    assert 1 <= len(payload["blocks"]) <= 50
    # Not documented; see the issues that `notifiers/slack.py` names.
    assert units(json.dumps(payload["blocks"], ensure_ascii=False)) <= 10_000
    for block in payload["blocks"]:
        if block["type"] == "header":
            assert block["text"]["type"] == "plain_text"
            assert 1 <= units(block["text"]["text"]) <= 150
        elif block["type"] == "section":
            assert block["text"]["type"] == "mrkdwn"
            assert 1 <= units(block["text"]["text"]) <= 3000
            assert not re.search(r"<!|&(?!amp;|lt;|gt;)", block["text"]["text"])
        else:
            assert block["type"] == "context"


def check_pagerduty(payload: dict[str, Any]) -> None:
    """PagerDuty's Events API v2."""
    assert payload["event_action"] in {"trigger", "acknowledge", "resolve"}
    assert payload["routing_key"] == "R" * 32
    assert 1 <= len(payload["dedup_key"]) <= 255
    if payload["event_action"] == "trigger":
        event = payload["payload"]
        assert 1 <= len(event["summary"]) <= 1024
        assert event["source"]
        assert event["severity"] in {"critical", "error", "warning", "info"}
        assert RFC3339.fullmatch(event["timestamp"])


def check_teams(payload: dict[str, Any]) -> None:
    """Adaptive Cards 1.2 in a Teams message."""
    assert payload["type"] == "message"
    [attachment] = payload["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.2")
    assert card["body"]
    for block in card["body"]:
        assert block["type"] == "TextBlock"
        assert block["text"]
        assert block.get("color", "default") in {
            "default",
            "dark",
            "light",
            "accent",
            "good",
            "warning",
            "attention",
        }


def check_discord(payload: dict[str, Any]) -> None:
    """Discord's webhook and embed documentation."""
    assert payload["allowed_mentions"] == {"parse": []}
    [embed] = payload["embeds"]
    assert 1 <= units(embed["title"]) <= 256
    assert 1 <= units(embed["description"]) <= 4096
    assert units(embed["title"] + embed["description"]) <= 6000
    assert 0 <= embed["color"] <= 0xFFFFFF
    assert RFC3339.fullmatch(embed["timestamp"])


CHANNELS = {
    "webhook": (lambda url: WebhookNotifier("ops", url=url), check_webhook, 1_000_000),
    "slack": (lambda url: SlackNotifier("ops", url=url), check_slack, 200_000),
    "pagerduty": (
        lambda url: PagerDutyNotifier("ops", routing_key="R" * 32, url=url),
        check_pagerduty,
        512_000,
    ),
    "teams": (lambda url: TeamsNotifier("ops", url=url), check_teams, 28_000),
    "discord": (lambda url: DiscordNotifier("ops", url=url), check_discord, 50_000),
}


@pytest.mark.parametrize("kind", CHANNELS)
async def test_what_is_posted_is_what_the_service_documents(kind: str, receiver: Any, say: Any) -> None:
    make, check, limit = CHANNELS[kind]
    notifier = make(receiver.url)
    resolved = say.notification(say.alert(status="resolved"))
    both = say.notification(say.alert(), say.alert(status="resolved", fingerprint="00000000000000cd"))
    for each in (say.notification(), resolved, both, say.huge()):
        await notifier.send(each)
    await notifier.close()
    assert len(receiver.payloads) == 4
    for body, payload, headers in zip(receiver.bodies, receiver.payloads, receiver.headers, strict=True):
        check(payload)
        assert len(body) <= limit
        assert headers["content-type"].startswith("application/json")
        assert headers["idempotency-key"] == "0123456789abcdef"


@pytest.mark.parametrize("kind", CHANNELS)
async def test_what_may_pass_is_said_to_and_what_is_sent_again_is_the_same(
    kind: str, receiver: Any, say: Any
) -> None:
    notifier = CHANNELS[kind][0](receiver.url)
    receiver.answers = [web.Response(status=503), web.Response(status=429, headers={"Retry-After": "0"})]
    for _ in range(2):
        with pytest.raises(DeliveryError) as caught:
            await notifier.send(say.notification())
        assert caught.value.retryable
    await notifier.send(say.notification())
    await notifier.close()
    assert [each["idempotency-key"] for each in receiver.headers] == ["0123456789abcdef"] * 3
    assert len({bytes(body) for body in receiver.bodies}) == 1


def monsters(say: Any) -> dict[str, Any]:
    """What labels and annotations may hold, once somebody lets users write them."""
    fire = "\U0001f525"
    names = {"alertname": fire * 30_000, "service": "s" * 9_000}
    texts = {"summary": fire * 100_000, "description": "<&>\n" * 50_000}
    link = "https://runbooks.example/" + "y" * 100_000
    linked = [
        say.alert(annotations={"summary": "s", "runbook_url": f"{link}{number}"}) for number in range(20)
    ]
    many = [say.alert(fingerprint=f"{n:016x}", annotations={"summary": fire * 500}) for n in range(3_000)]
    return {
        "one alert with endless texts": say.notification(say.alert(annotations=texts)),
        "one alert with endless labels": say.notification(say.alert(labels=names), group=names),
        "links that nobody could follow": say.notification(*linked),
        "thousands of alerts": say.notification(*many, group_key="g" * 100_000),
        "half a surrogate pair": say.notification(say.alert(annotations={"summary": "\ud83d lone"})),
        "control characters": say.notification(say.alert(annotations={"summary": "a\0b\r\x1b[31mc"})),
        "no name": say.notification(say.alert(labels={"n": "1"}, annotations={}), group={}),
    }


@pytest.mark.parametrize("kind", CHANNELS)
async def test_a_monster_is_cut_to_what_the_service_takes(kind: str, receiver: Any, say: Any) -> None:
    make, check, limit = CHANNELS[kind]
    notifier = make(receiver.url)
    for name, monster in monsters(say).items():
        await notifier.send(monster)
        body, payload = receiver.bodies[-1], receiver.payloads[-1]
        check(payload)
        assert len(body) <= limit, name
        json.dumps(payload, ensure_ascii=False).encode()  # no half pair is left
        if kind != "webhook":  # whose texts are for machines
            assert not set(map(chr, range(32))) - set("\n\t") & set("".join(texts(payload))), name
    await notifier.close()


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("kind", CHANNELS)
async def test_a_refusal_is_final_and_tells_no_secret(kind: str, receiver: Any, say: Any) -> None:
    notifier = CHANNELS[kind][0](receiver.url)
    receiver.answers = [web.Response(status=400, text=f"no such hook: {receiver.url} {'R' * 32}")]
    with pytest.raises(DeliveryError, match="ops: answered 400: no such hook") as caught:
        await notifier.send(say.notification())
    await notifier.close()
    assert not caught.value.retryable
    assert len(receiver.bodies) == 1
    for text in (str(caught.value), repr(notifier), repr(vars(notifier))):
        assert "T0KEN" not in text
    assert kind != "pagerduty" or "RRRR" not in str(caught.value)


@pytest.mark.parametrize("kind", CHANNELS)
async def test_a_server_that_is_not_there_may_come_back(kind: str, say: Any) -> None:
    notifier = CHANNELS[kind][0]("http://127.0.0.1:9/hook/T0KEN")
    with pytest.raises(DeliveryError) as caught:
        await notifier.send(say.notification())
    await notifier.close()
    assert caught.value.retryable
    assert "T0KEN" not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_a_receiver_that_asks_to_wait_is_heard(receiver: Any, say: Any) -> None:
    notifier = SlackNotifier("ops", url=receiver.url)
    receiver.answers = [web.Response(status=429, headers={"Retry-After": "30"}) for _ in range(9)]
    with pytest.raises(DeliveryError) as caught:
        await notifier.send(say.notification())
    await notifier.close()
    assert caught.value.retry_after == 30


@pytest.mark.parametrize("kind", CHANNELS)
def test_a_broken_url_is_refused_unseen(kind: str) -> None:
    with pytest.raises(ConfigError, match="url must be an http") as caught:
        CHANNELS[kind][0]("slack.com/T0KEN")
    assert "T0KEN" not in str(caught.value)


async def test_a_signed_webhook_can_be_verified_and_keys_can_be_rotated(
    receiver: Any, say: Any, clock: Any
) -> None:
    old, new = "whsec_" + "b2xk" * 8, "whsec_" + "bmV3" * 8
    notifier = WebhookNotifier("ops", url=receiver.url, secret=f"{new} {old}")
    await notifier.send(say.notification(say.alert(annotations={"summary": "Gr\u00fc\u00dfe"})))
    await notifier.close()
    for key in (old, new):
        verified = Webhook(key).verify(receiver.bodies[0], receiver.headers[0])
        assert verified["alerts"][0]["annotations"]["summary"] == "Gr\u00fc\u00dfe"
    assert receiver.headers[0]["webhook-id"] == "0123456789abcdef"


def test_a_signing_secret_that_is_none_is_refused_unseen() -> None:
    with pytest.raises(ConfigError, match="secret must be base64") as caught:
        WebhookNotifier("ops", url="http://localhost/", secret="whsec_\u00e9")
    assert "\u00e9" not in str(caught.value)


async def test_a_webhook_can_be_bounded_in_alerts(receiver: Any, say: Any) -> None:
    notifier = WebhookNotifier("ops", url=receiver.url, max_alerts=10)
    await notifier.send(say.huge())
    await notifier.close()
    [payload] = receiver.payloads
    assert (len(payload["alerts"]), payload["truncatedAlerts"]) == (10, 190)


async def test_common_labels_are_those_of_all_alerts(receiver: Any, say: Any) -> None:
    notifier = WebhookNotifier("ops", url=receiver.url)
    labels = [{"alertname": "Down", "host": host, "team": "db"} for host in "ab"]
    await notifier.send(say.notification(*(say.alert(labels=each) for each in labels)))
    await notifier.close()
    assert receiver.payloads[0]["commonLabels"] == {"alertname": "Down", "team": "db"}


async def test_pagerduty_keeps_one_incident_through_its_life(receiver: Any, say: Any) -> None:
    notifier = PagerDutyNotifier("ops", routing_key="R" * 32, url=receiver.url)
    for status in ("firing", "acknowledged", "resolved"):
        await notifier.send(
            say.notification(
                say.alert(status="resolved" if status == "resolved" else "firing"), status=status
            )
        )
    await notifier.close()
    assert [each["event_action"] for each in receiver.payloads] == ["trigger", "acknowledge", "resolve"]
    assert len({each["dedup_key"] for each in receiver.payloads}) == 1
    assert receiver.payloads[0]["payload"]["severity"] == "critical"


async def test_machines_are_not_told_of_acknowledgements(receiver: Any, say: Any) -> None:
    notifier = WebhookNotifier("ops", url=receiver.url)
    await notifier.send(say.notification(status="acknowledged"))
    await notifier.close()
    assert receiver.bodies == []


async def test_people_are_told_who_acknowledged(receiver: Any, say: Any) -> None:
    for make in (SlackNotifier, TeamsNotifier, DiscordNotifier):
        notifier = make("ops", url=receiver.url)
        await notifier.send(say.notification(say.alert(acknowledged_by="ann"), status="acknowledged"))
        await notifier.close()
    assert all(b"acknowledged by ann" in body and b"ACKNOWLEDGED" in body for body in receiver.bodies)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("slack", "must be a mapping of one kind"),
        ({"pigeon": "coo"}, "kind of channel 'ops' must be one of .*slack.*, got 'pigeon'"),
        ({"slack": {}}, "channel 'ops' needs url"),
        ({"slack": 7}, "must be a mapping of url, timeout, got a int"),
        (
            {"slack": {"url": "http://localhost/T0KEN", "colour": "red"}},
            "must be one of url, timeout .*got 'colour'",
        ),
        ({"slack": {"url_file": "/nowhere"}}, "url_file of channel 'ops' must be a readable file"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(setting: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        from_config("ops", setting)
    assert "T0KEN" not in str(caught.value)


def test_a_secret_can_be_read_from_a_file(tmp_path: Any) -> None:
    (tmp_path / "url").write_text("http://localhost/T0KEN\n")
    notifier = from_config("ops", {"slack": {"url_file": str(tmp_path / "url")}})
    assert notifier.name == "ops"


async def test_slack_text_that_grows_by_escaping_is_cut_to_the_limit(receiver: Any, say: Any) -> None:
    notifier = SlackNotifier("ops", url=receiver.url)
    await notifier.send(say.notification(say.alert(annotations={"summary": "<!channel> & " * 600})))
    await notifier.close()
    check_slack(receiver.payloads[0])
    assert len(receiver.payloads[0]["blocks"][1]["text"]["text"]) > 2000


async def test_a_pagerduty_event_leaves_out_details_that_do_not_fit(receiver: Any, say: Any) -> None:
    notifier = PagerDutyNotifier("ops", routing_key="R" * 32, url=receiver.url)
    alerts = [say.alert(annotations={"summary": "s" * 3000}) for _ in range(1000)]
    await notifier.send(say.notification(*alerts))
    await notifier.close()
    assert len(receiver.bodies[0]) <= 512_000
    details = receiver.payloads[0]["payload"]["custom_details"]
    assert len(details["alerts"]) + details["omitted"] == 1000
