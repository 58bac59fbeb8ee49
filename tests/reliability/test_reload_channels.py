"""Channels and routes that change while the service runs: who was told stays known, and nobody is forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from resilience import AlertRule, ConfigError, Reliability
from resilience.alerting import RaisedAlert
from resilience.core.clock import ManualClock
from resilience.errors import DeliveryError
from resilience.testing import RecordingNotifier

TWO = """
service: shop
channels: {{ops: {{log: {{}}}}, pager: {{log: {{}}}}}}
grouping: {{group_wait: 1s, group_interval: 5s}}
routes: [{{severity: critical, to: {to}}}]
"""


def say(file: Path, text: str) -> None:
    file.write_text(text)


class Phones:
    """Stands in for the kinds of channel: every channel that is made records."""

    def __init__(self) -> None:
        self.made: list[RecordingNotifier] = []

    def make(self, name: str, setting: object, **_: Any) -> RecordingNotifier:
        phone = RecordingNotifier(name)
        self.made.append(phone)
        return phone

    def told(self, name: str) -> list[str]:
        return [status for phone in self.made if phone.name == name for status in phone.statuses]


@pytest.fixture
def phones(monkeypatch: pytest.MonkeyPatch) -> Phones:
    found = Phones()
    monkeypatch.setattr("resilience.notifiers.from_config", found.make)
    return found


async def passing(rel: Reliability, clock: ManualClock, seconds: int) -> None:
    for _ in range(seconds):
        await rel.tick()
        await clock.advance(1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "reliability.yaml"
    file.write_text(TWO.format(to="ops"))
    return file


async def test_a_firing_alert_moves_to_its_new_channel_and_ends_in_both(
    file: Path, phones: Phones, clock: ManualClock
) -> None:
    rel = Reliability.from_file(file, clock=clock)
    async with anyio.create_task_group() as background:
        background.start_soon(rel.alerts.run)
        alert_id = rel.alerts.send_alert(RaisedAlert("Down", severity="critical"))
        await passing(rel, clock, 3)
        assert (phones.told("ops"), phones.told("pager")) == (["firing"], [])
        say(file, TWO.format(to="pager"))
        await rel.reload()
        await passing(rel, clock, 10)
        assert (phones.told("ops"), phones.told("pager")) == (["firing"], ["firing"])
        rel.alerts.resolve(alert_id)
        await passing(rel, clock, 10)
        assert (phones.told("ops"), phones.told("pager")) == (["firing", "resolved"], ["firing", "resolved"])
        background.cancel_scope.cancel()


async def test_a_route_that_leaves_and_comes_back_notifies_its_channel_of_what_is_new_alone(
    file: Path, phones: Phones, clock: ManualClock
) -> None:
    rel = Reliability.from_file(file, clock=clock)
    async with anyio.create_task_group() as background:
        background.start_soon(rel.alerts.run)
        rel.alerts.send_alert(RaisedAlert("Down", severity="critical"))
        await passing(rel, clock, 3)
        say(file, TWO.format(to="pager").replace("critical", "page"))
        await rel.reload()
        await passing(rel, clock, 10)
        say(file, TWO.format(to="ops"))
        await rel.reload()
        await passing(rel, clock, 10)
        assert phones.told("ops").count("firing") == 1, (
            "it knows the alert: neither the root nor the return is news"
        )
        rel.alerts.send_alert(RaisedAlert("Other", severity="critical"))
        await passing(rel, clock, 10)
        assert phones.told("ops").count("firing") == 2, "the route works again"
        background.cancel_scope.cancel()


async def test_what_did_not_change_is_the_same_channel_and_what_did_is_closed(
    file: Path, phones: Phones, clock: ManualClock
) -> None:
    rel = Reliability.from_file(file, clock=clock)
    before = dict(rel.alerts.notifiers)
    say(file, TWO.format(to="ops").replace("pager: {log: {}}", "pager: {log: {level: 1}}"))
    await rel.reload()
    assert rel.alerts.notifiers["ops"] is before["ops"]
    assert rel.alerts.notifiers["pager"] is not before["pager"]


async def test_a_secret_that_a_file_holds_is_read_anew(
    tmp_path: Path, phones: Phones, clock: ManualClock
) -> None:
    file, secret = tmp_path / "reliability.yaml", tmp_path / "url"
    say(secret, "https://hooks.example/one")
    say(file, "service: shop\nchannels: {ops: {slack: {url_file: url}}}\n")
    rel = Reliability.from_file(file, clock=clock)
    before = rel.alerts.notifiers["ops"]
    await rel.reloader.look()
    assert rel.alerts.notifiers["ops"] is before, "nothing has changed"
    say(secret, "https://hooks.example/another")
    await rel.reloader.look()
    assert rel.alerts.notifiers["ops"] is not before


async def test_what_waits_for_a_channel_that_is_gone_is_given_up_and_recorded(
    file: Path, phones: Phones, clock: ManualClock
) -> None:
    rel = Reliability.from_file(file, clock=clock)

    async def refuse(_: object) -> None:
        raise DeliveryError("ops: answered 503")

    rel.alerts.notifiers["ops"].send = refuse  # type: ignore[method-assign]
    async with anyio.create_task_group() as background:
        background.start_soon(rel.alerts.run)
        rel.alerts.send_alert(RaisedAlert("Down", severity="critical"))
        await passing(rel, clock, 5)
        say(file, "service: shop\nchannels: {pager: {log: {}}}\n")
        await rel.reload()
        await passing(rel, clock, 120)
        given_up = [event.detail for event in rel.alerts.history() if event.kind == "undelivered"]
        assert given_up == ["ops: there is no such channel any more"]
        assert phones.told("pager")[0] == "firing"
        background.cancel_scope.cancel()


async def test_a_configuration_that_cannot_be_meant_changes_neither_rules_nor_channels(
    file: Path, phones: Phones, clock: ManualClock
) -> None:
    rel = Reliability.from_file(file, clock=clock, rules=[AlertRule("Up", condition=lambda: True)])
    before, groups = dict(rel.alerts.notifiers), rel.rules.groups
    for text, says in (
        (TWO.format(to="nobody"), "nobody"),
        ("service: shop\nchannels: {ops: {log: {}}}\nroutes: [{to: pager}]\n", "pager"),
    ):
        say(file, text)
        with pytest.raises(ConfigError, match=says):
            await rel.reload()
        assert rel.alerts.notifiers == before
        assert rel.rules.groups == groups


async def test_what_was_given_in_python_goes_before_the_file_at_a_reload_too(
    file: Path, phones: Phones, clock: ManualClock
) -> None:
    own = RecordingNotifier("own")
    say(file, "service: shop\n")
    rel = Reliability.from_file(file, clock=clock, notifiers=[own])
    say(file, "service: shop\nchannels: {ops: {log: {}}}\n")
    await rel.reload()
    assert list(rel.alerts.notifiers.values()) == [own]
