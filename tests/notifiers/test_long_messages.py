"""Messages of 1,000 alerts, or of one with a long text: composed in a worker thread, and bounded."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from resilience.core.ports import Notification
from resilience.notifiers import alertmanager, discord, email, pagerduty, slack, teams, webhook
from resilience.notifiers.log import LogNotifier

ALERTS = 1_000
LONG = 1_000_000
URL = "http://receiver.example/hook"


def many(say: Any, size: int = 200) -> Notification:
    return say.notification(
        *[
            say.alert(
                fingerprint=f"{number:016x}",
                labels={"alertname": "Down", "host": str(number), "severity": "critical"},
                annotations={"summary": "s" * size, "description": "d" * size},
            )
            for number in range(ALERTS)
        ]
    )


def long(say: Any) -> Notification:
    return say.notification(
        say.alert(
            labels={"alertname": "Down", "host": "h" * LONG},
            annotations={"summary": "s " * LONG, "description": "d" * LONG},
        )
    )


CHANNELS = {
    "slack": (slack, lambda: slack.SlackNotifier("c", url=URL), 20_000),
    "teams": (teams, lambda: teams.TeamsNotifier("c", url=URL), 28_100),
    "discord": (discord, lambda: discord.DiscordNotifier("c", url=URL), 20_000),
    "pagerduty": (pagerduty, lambda: pagerduty.PagerDutyNotifier("c", routing_key="k"), 512_100),
    "webhook": (webhook, lambda: webhook.WebhookNotifier("c", url=URL, secret="c2VjcmV0"), 1_000_100),
}


@pytest.mark.parametrize("size", [200, 4_000])
@pytest.mark.parametrize("kind", CHANNELS)
async def test_a_long_message_is_composed_in_a_worker_thread_and_bounded(
    kind: str, size: int, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, make, limit = CHANNELS[kind]
    composed: set[int] = set()
    for name in ("describe", "moment"):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, noting(getattr(module, name), composed))
    for notification in (many(say, size), long(say)):
        bodies = await bodies_of(make(), notification)
        assert max(map(len, bodies)) <= limit
    assert composed
    assert threading.get_ident() not in composed


def noting(function: Any, threads: set[int]) -> Any:
    def noted(*args: Any) -> Any:
        threads.add(threading.get_ident())
        return function(*args)

    return noted


async def bodies_of(notifier: Any, notification: Notification) -> list[bytes]:
    """What a channel over HTTP sends."""
    bodies = []

    class Answer:
        status = 200

    class Client:
        async def post(self, url: str, *, data: bytes, **_: object) -> Answer:
            bodies.append(data)
            return Answer()

    notifier._client = Client()
    await notifier.send(notification)
    return bodies


async def test_a_webhook_sends_each_alert_that_fits_whole_and_counts_the_others(say: Any) -> None:
    [body] = await bodies_of(webhook.WebhookNotifier("c", url=URL), many(say))
    assert body.decode() == json.dumps(webhook.payload(many(say)), ensure_ascii=False)
    [body] = await bodies_of(webhook.WebhookNotifier("c", url=URL), many(say, 4_000))
    sent = json.loads(body)
    assert len(sent["alerts"]) + sent["truncatedAlerts"] == ALERTS
    assert len(body) > 500_000
    [body] = await bodies_of(webhook.WebhookNotifier("c", url=URL, max_alerts=3), many(say))
    assert json.loads(body)["truncatedAlerts"] == ALERTS - 3


async def test_cut_messages_say_how_many_alerts_they_leave_out(say: Any) -> None:
    [body] = await bodies_of(teams.TeamsNotifier("c", url=URL), many(say, 4_000))
    texts = [block["text"] for block in json.loads(body)["attachments"][0]["content"]["body"]]
    assert texts[-1] == f"and {ALERTS - (len(texts) - 2)} more"
    [body] = await bodies_of(pagerduty.PagerDutyNotifier("c", routing_key="k"), many(say, 4_000))
    details = json.loads(body)["payload"]["custom_details"]
    assert len(details["alerts"]) + details["omitted"] == ALERTS
    assert details["alerts"]


async def test_an_alertmanager_gets_small_requests(say: Any) -> None:
    notifier = alertmanager.AlertmanagerNotifier("c", url=URL)
    bodies = await bodies_of(notifier, many(say, 20_000))
    assert len(bodies) == 16
    assert max(map(len, bodies)) < 64 * 25_000


@pytest.mark.parametrize("which", ["many", "long"])
async def test_an_e_mail_is_composed_in_a_worker_thread_and_bounded(
    which: str, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    composed: set[int] = set()
    notifier = email.EmailNotifier("c", host="h", sender="A <a@x.example>", to=["B <b@x.example>"])

    async def send(message: bytes, **options: Any) -> tuple[dict[str, Any], str]:
        sent.append({"message": message, **options})
        return {}, "ok"

    monkeypatch.setattr(notifier._smtp, "send", send)
    monkeypatch.setattr(email, "describe", noting(email.describe, composed))
    await notifier.send(many(say) if which == "many" else long(say))
    [mail] = sent
    assert len(mail["message"]) < 150_000
    assert (mail["sender"], mail["recipients"]) == ("a@x.example", ["b@x.example"])
    assert (b"more" in mail["message"]) is (which == "many")
    assert threading.get_ident() not in composed


async def test_the_event_loop_has_turns_between_many_lines_of_the_log(
    say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(
        "resilience.notifiers.log.log", lambda _: type("Quiet", (), {"error": lambda *_, **__: None})()
    )
    task = asyncio.create_task(other())
    await LogNotifier().send(many(say))
    task.cancel()
    assert turns >= ALERTS / 25
