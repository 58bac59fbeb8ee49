"""From the outbox over a channel to a real server: what is tried again, when, and that it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import anyio
import pytest
from aiohttp import web

from resilience.alerting import AlertManager, RaisedAlert, Route
from resilience.core.clock import ManualClock
from resilience.core.ports import Notification
from resilience.notifiers.slack import SlackNotifier
from resilience.stores.memory import MemoryStore


class Timed(SlackNotifier):
    """Knows when it was tried, and whether it is being."""

    def __init__(self, url: str, clock: ManualClock) -> None:
        super().__init__("ops", url=url, clock=clock)
        self.clock = clock
        self.at: list[float] = []
        self.sending = False

    async def send(self, notification: Notification) -> None:
        self.at.append(self.clock.monotonic())
        self.sending = True
        try:
            await super().send(notification)
        finally:
            self.sending = False


@asynccontextmanager
async def on_call(*notifiers: Any, clock: ManualClock) -> AsyncIterator[AlertManager]:
    channels = {each.name: each for each in notifiers}
    route = Route(to=tuple(channels), group_wait=0)
    manager = AlertManager(channels, store=MemoryStore(), route=route, clock=clock)
    async with anyio.create_task_group() as background:
        background.start_soon(manager.run)
        yield manager
        background.cancel_scope.cancel()
    await manager.close()


async def deliver(manager: AlertManager, notifier: Timed, kind: str = "notified") -> None:
    """Raise an alert and let time pass until `ops` has been told or given up; it stands still while bytes travel."""
    manager.send_alert(RaisedAlert("Down"))
    manager.tick(notifier.clock.now(), [])
    await manager.commit()
    with anyio.fail_after(60):
        while not any(event.kind == kind and event.detail.startswith("ops") for event in manager.history()):
            if notifier.sending:
                await asyncio.sleep(0.002)
            else:
                await notifier.clock.advance(1)


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_receiver_that_asks_for_time_gets_it(form: str, receiver: Any, clock: ManualClock) -> None:
    asked = "120" if form == "seconds" else formatdate(clock.time() + 120, usegmt=True)
    receiver.answers = [web.Response(status=429, headers={"Retry-After": asked})]
    notifier = Timed(receiver.url, clock)
    async with on_call(notifier, clock=clock) as manager:
        await deliver(manager, notifier)
    first, second = notifier.at
    assert 119 <= second - first <= 125


async def test_what_may_pass_is_tried_again_with_growing_waits_and_one_key(
    receiver: Any, clock: ManualClock
) -> None:
    receiver.answers = [web.Response(status=status) for status in (500, 502, 503, 504, 408, 425)]
    notifier = Timed(receiver.url, clock)
    async with on_call(notifier, clock=clock) as manager:
        await deliver(manager, notifier)
    assert len(notifier.at) == 7
    assert len({each["idempotency-key"] for each in receiver.headers}) == 1
    waits = [later - earlier for earlier, later in zip(notifier.at, notifier.at[1:], strict=False)]
    assert max(waits) >= 25, "three failures in a row open the breaker for 30 s"


async def test_a_refusal_is_final_and_told_to_the_others_until_something_arrives(
    receiver: Any, clock: ManualClock
) -> None:
    receiver.answers = [web.Response(status=404, text="no_service")]
    notifier = Timed(receiver.url, clock)
    other = Timed(receiver.url, clock)
    other.name = "other"
    async with on_call(notifier, clock=clock) as alone:
        await deliver(alone, notifier, "undelivered")
        assert len(notifier.at) == 1
    receiver.answers = [web.Response(status=404, text="no_service")]
    route = Route(to=("ops",), group_wait=0, group_interval=5)
    manager = AlertManager({"ops": notifier, "other": other}, store=MemoryStore(), route=route, clock=clock)
    async with anyio.create_task_group() as background:
        background.start_soon(manager.run)
        await deliver(manager, notifier, "undelivered")
        manager.tick(clock.now(), [])
        [failing] = [each for each in manager.active_alerts() if "channel" in each.alert.labels]
        assert failing.alert.annotations["description"] == "ops: answered 404: no_service"
        manager.send_alert(RaisedAlert("Other"))
        await deliver(manager, notifier)
        manager.tick(clock.now(), [])
        assert not [each for each in manager.active_alerts() if "channel" in each.alert.labels]
        background.cancel_scope.cancel()
    await manager.close()
