"""The log, and what goes through Apprise."""

from __future__ import annotations

import threading
from typing import Any

import apprise
import pytest
from structlog.testing import capture_logs

from resilience.errors import ConfigError, DeliveryError
from resilience.notifiers import from_config
from resilience.notifiers.apprise import AppriseNotifier
from resilience.notifiers.log import LogNotifier

# Apprise imports every plug-in it has, and one of their helpers a module that Python 3.13 drops.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")


async def test_each_alert_is_one_line_as_loud_as_it_is_severe(say: Any) -> None:
    notifier = LogNotifier()
    mild = say.alert(labels={"alertname": "Slow", "severity": "warning"})
    with capture_logs() as lines:
        await notifier.send(say.notification(say.alert(), mild, say.alert(status="resolved")))
        await notifier.send(say.notification(say.alert(acknowledged_by="ann"), status="acknowledged"))
    assert [(each["event"], each["log_level"]) for each in lines] == [
        ("alert_firing", "error"),
        ("alert_firing", "warning"),
        ("alert_resolved", "warning"),
        ("alert_acknowledged", "warning"),
    ]


async def test_apprise_is_called_in_a_thread_with_texts_that_fit(
    say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier = AppriseNotifier("all", urls=["json://localhost/T0KEN", "discord://1234/T0KEN"])
    seen: list[tuple[bool, int, str]] = []

    def notify(self: Any, *, body: str, title: str, notify_type: str) -> bool:
        seen.append(
            (threading.current_thread() is threading.main_thread(), len(body) - self.body_maxlen, notify_type)
        )
        return True

    monkeypatch.setattr(apprise.NotifyBase, "notify", notify)
    await notifier.send(say.huge())
    assert len(seen) == 2
    assert all(not main and over <= 0 and kind == "failure" for main, over, kind in seen)


async def test_apprise_that_fails_may_be_tried_again(say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    notifier = from_config("all", {"apprise": "json://localhost/T0KEN"})
    monkeypatch.setattr(apprise.NotifyBase, "notify", lambda self, **options: False)
    with pytest.raises(DeliveryError, match="1 of 1 services") as caught:
        await notifier.send(say.notification())
    assert caught.value.retryable
    assert "T0KEN" not in repr(notifier)


@pytest.mark.parametrize("urls", [[], ["nonsense://T0KEN"]])
def test_urls_that_apprise_does_not_know_are_refused_unseen(urls: list[str]) -> None:
    with pytest.raises(
        ConfigError, match=r"must be (one or more URLs|a text or a list of at least one)"
    ) as caught:
        AppriseNotifier("all", urls=urls)
    assert "T0KEN" not in str(caught.value)
