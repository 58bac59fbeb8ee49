"""What follows from the outcome of a notification: refused, timed out, killed in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import anyio
import pytest
from structlog.testing import capture_logs

from resilience.alerting import AlertManager, Matchers, Route
from resilience.alerting.delivery import Dispatcher
from resilience.core.clock import ManualClock
from resilience.core.ports import Notification
from resilience.errors import DeliveryError
from resilience.stores.memory import MemoryStore

Make: TypeAlias = Callable[..., Any]

ROUTE = Route(to=("ops",), group_wait=2, group_interval=10, repeat_interval=1000)
REFUSED = DeliveryError("ops: answered 400", retryable=False)


def statuses(desk: Any, name: str = "ops") -> list[str]:
    return [each.status for each in desk.phones[name].notifications]


async def test_a_refused_notification_is_sent_again_at_the_next_group_interval_as_things_are_then(
    make: Make,
) -> None:
    desk = make(ROUTE)
    desk.phones["ops"].error = REFUSED
    async with desk.running():
        desk.fire("Down", host="a")
        gone = desk.fire("Down", host="b")
        await desk.pass_(4)
        desk.phones["ops"].error = None
        desk.stop(gone)
        desk.fire("Down", host="c")
        await desk.pass_(60)
    [notification] = desk.phones["ops"].notifications
    assert notification.at - 1_700_000_000 == 12
    assert {alert.labels["host"] for alert in notification.alerts} == {"a", "c"}
    assert desk.phones["ops"].attempts == 2


async def test_a_receiver_that_never_got_firing_gets_no_resolved(make: Make) -> None:
    store = MemoryStore()
    desk = make(ROUTE, store=store)
    desk.phones["ops"].error = REFUSED
    async with desk.running():
        alert = desk.fire("Down")
        await desk.pass_(15)
        assert desk.phones["ops"].attempts == 2
        assert desk.manager.active_alerts()[0].told == ()
        desk.phones["ops"].error = None
        desk.stop(alert)
        await desk.pass_(60)
        await desk.manager.flush(1)
    assert desk.phones["ops"].notifications == []
    assert await store.load("alerting.groups") == {}


async def test_an_alert_that_ends_before_firing_was_refused_gets_no_resolved(make: Make) -> None:
    desk = make(ROUTE)
    desk.phones["ops"].error = DeliveryError("ops: answered 429", reached=False)
    async with desk.running():
        alert = desk.fire("Down")
        await desk.pass_(4)
        desk.stop(alert)
        await desk.pass_(20)
        assert desk.phones["ops"].attempts > 1
        desk.phones["ops"].error = REFUSED
        await desk.pass_(120)
        desk.phones["ops"].error = None
        await desk.pass_(120)
    assert desk.phones["ops"].notifications == []


async def test_an_alert_that_ends_while_its_notification_is_on_its_way_is_resolved_once_that_arrived(
    make: Make,
) -> None:
    desk = make(ROUTE)
    desk.phones["ops"].error = DeliveryError("ops: answered 429", reached=False)
    async with desk.running():
        alert = desk.fire("Down")
        await desk.pass_(4)
        [active] = desk.manager.active_alerts()
        assert active.told == ("ops",), "it may get the notification that is on its way"
        desk.stop(alert)
        await desk.pass_(20)
        assert statuses(desk) == []
        desk.phones["ops"].error = None
        await desk.pass_(90)
    assert statuses(desk) == ["firing", "resolved"]


@pytest.mark.parametrize(
    "first", [DeliveryError("ops: answered 503"), TimeoutError(), OSError("reset")], ids=repr
)
async def test_a_receiver_that_may_have_got_firing_gets_resolved(first: Exception, make: Make) -> None:
    """It took the notification and its answer was lost; the attempt after that was refused."""
    desk = make(ROUTE)
    phone = desk.phones["ops"]
    phone.error = first
    async with desk.running():
        alert = desk.fire("Down")
        await desk.pass_(2)
        await desk.tick(0)
        assert phone.attempts == 1
        phone.error = REFUSED
        await desk.pass_(5)
        desk.stop(alert)
        phone.error = None
        await desk.pass_(10)
    assert statuses(desk) == ["resolved"]


async def test_a_refused_resolved_is_sent_again_until_it_arrives(make: Make) -> None:
    desk = make(ROUTE)
    async with desk.running():
        alert = desk.fire("Down")
        await desk.pass_(4)
        desk.phones["ops"].error = REFUSED
        desk.stop(alert)
        await desk.pass_(20)
        assert desk.phones["ops"].attempts == 3
        desk.phones["ops"].error = None
        await desk.pass_(20)
        await desk.pass_(60)
    assert statuses(desk) == ["firing", "resolved"]
    ended = desk.phones["ops"].notifications[-1].alerts[0].ended
    assert ended - 1_700_000_000 == 4, "it says when the alert ended, not when it could be sent"


async def test_a_refused_resolved_is_dropped_a_day_after_the_end(make: Make) -> None:
    store = MemoryStore()
    desk = make(ROUTE, store=store)
    async with desk.running():
        alert = desk.fire("Down")
        await desk.pass_(4)
        desk.phones["ops"].error = REFUSED
        desk.stop(alert)
        await desk.pass_(100, 10)
        attempts = desk.phones["ops"].attempts
        assert attempts > 5
        await desk.pass_(100_000, 10_000)
        await desk.manager.flush(1)
    assert await store.load("alerting.groups") == {}


async def test_the_receiver_of_a_place_that_is_gone_is_not_asked_at_every_tick(make: Make) -> None:
    desk = make(ROUTE, "ops", "new")
    async with desk.running():
        alert = desk.fire("Down")
        await desk.pass_(4)
        inner = Route(to=("new",), matchers=Matchers(["alertname=Down"]))
        desk.manager.prepared(desk.phones, route=Route(to=("new",), routes=(inner,)))()
        desk.phones["ops"].error = REFUSED
        desk.stop(alert)
        await desk.pass_(290)
        assert desk.phones["ops"].attempts == 2
        desk.phones["ops"].error = None
        await desk.pass_(20)
    assert statuses(desk) == ["firing", "resolved"]


async def test_changes_while_a_channel_is_down_are_sent_once_as_they_are_when_it_works_again(
    make: Make,
) -> None:
    desk = make(ROUTE)
    desk.phones["ops"].error = DeliveryError("ops: answered 503")
    async with desk.running():
        first = desk.fire("Down", host="a")
        await desk.pass_(4)
        desk.fire("Down", host="b")
        brief = desk.fire("Down", host="c")
        await desk.pass_(30)
        desk.stop(first)
        desk.stop(brief)
        await desk.pass_(30)
        desk.phones["ops"].error = None
        await desk.pass_(90)
    shown = [[(a.labels["host"], a.status) for a in each.alerts] for each in desk.phones["ops"].notifications]
    assert shown == [[("a", "firing")], [("b", "firing"), ("a", "resolved")]]


@pytest.mark.parametrize("others", [True, False])
async def test_a_refusal_is_reported_by_another_channel_and_by_the_log(others: bool, make: Make) -> None:
    desk = make(ROUTE, *(("ops", "boss") if others else ("ops",)))
    desk.phones["ops"].error = REFUSED
    async with desk.running():
        desk.fire("Down")
        with capture_logs() as lines:
            await desk.pass_(30)
    failing = [each.alert.labels["alertname"] for each in desk.manager.active_alerts()]
    assert ("NotificationChannelFailing" in failing) is others
    assert bool(others and statuses(desk, "boss")) is others
    [event, *_] = [each for each in desk.manager.history() if each.kind == "undelivered"]
    assert event.detail == "ops: ops: answered 400"
    [line, *_] = [each for each in lines if each["event"] == "notification_given_up"]
    assert (line["log_level"], line["channel"], line["error"]) == ("error", "ops", "ops: answered 400")


class Ends:
    """Outcomes of deliveries, with the time of each."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.given_up: list[tuple[str, float]] = []

    async def may_send(self) -> bool:
        return True

    def delivered(self, notification: Notification) -> None:
        raise AssertionError(notification)

    def undelivered(self, notification: Notification, error: str, *, reached: bool) -> None:
        assert error == "ops: answered 503"
        self.given_up.append((notification.key, self.clock.monotonic()))

    def channel_failing(self, channel: str, error: str) -> None: ...
    def channel_recovered(self, channel: str) -> None: ...


@pytest.mark.parametrize(
    ("age", "earliest", "latest"), [(0, 50, 100), (40, 30, 60), (90, 0, 10), (200, 0, 1)], ids=str
)
async def test_a_notification_is_given_up_so_many_seconds_after_its_decision_and_not_after_its_restoration(
    make: Make, clock: ManualClock, age: float, earliest: float, latest: float
) -> None:
    phone = make(ROUTE).phones["ops"]
    phone.error = DeliveryError("ops: answered 503")
    ends = Ends(clock)
    dispatcher = Dispatcher({"ops": phone}, ends, clock, give_up_after=100.0)
    began = clock.monotonic()
    dispatcher.offer(Notification("key", "ops", "firing", {}, [], clock.time() - age, "group"))
    async with anyio.create_task_group() as background:
        background.start_soon(dispatcher.run)
        while not ends.given_up:
            await clock.advance(1)
            assert clock.monotonic() - began <= 200
        background.cancel_scope.cancel()
    [(key, at)] = ends.given_up
    assert (key, phone.attempts >= 1) == ("key", True)
    assert earliest <= at - began <= latest


# -- a kill at each phase of a notification ----------------------------------------------------------------------


class Held:
    """A channel that takes a notification and then holds its answer until the process is killed."""

    name = "ops"

    def __init__(self) -> None:
        self.notifications: list[Notification] = []
        self.holds = False
        self.error: Exception | None = None

    async def send(self, notification: Notification) -> None:
        if self.error is not None:
            raise self.error
        self.notifications.append(notification)
        if self.holds:
            await asyncio.Event().wait()


PHASES = {
    "decided, not sent": ["firing", "resolved"],
    "sent, not answered": ["firing", "firing", "resolved"],
    "sent, not stored": ["firing", "firing", "resolved"],
    "stored": ["firing", "resolved"],
    "refused": [],
    "refused, not stored": [],
    "sent, then refused after the restart": ["firing", "resolved"],
}


@pytest.mark.parametrize("phase", PHASES)
async def test_a_kill_at_each_phase_of_a_notification(phase: str, make: Make, clock: ManualClock) -> None:
    store = MemoryStore(clock=clock)
    channel = Held()
    desk = make(ROUTE, store=store)

    def start() -> None:
        desk.manager = AlertManager({"ops": channel}, store=store, route=ROUTE, clock=clock)

    async def tick(*, commit: bool = True) -> None:
        desk.manager.tick(clock.now(), list(desk.firing.values()))
        if commit:
            await desk.manager.commit()
        for _ in range(20):
            await asyncio.sleep(0)

    start()
    alert = desk.fire("Down", ago=5)
    async with anyio.create_task_group() as process:
        if phase != "decided, not sent":
            process.start_soon(desk.manager.run)
            await asyncio.sleep(0)
        channel.holds = phase in {"sent, not answered", "sent, then refused after the restart"}
        channel.error = REFUSED if phase in {"refused", "refused, not stored"} else None
        await tick()
        if phase in {"stored", "refused"}:
            await desk.manager.commit()
        process.cancel_scope.cancel()  # killed: what was not committed is gone
    channel.holds = False
    if phase == "sent, then refused after the restart":
        channel.error = REFUSED
    start()
    await desk.manager.restore()
    async with desk.running():
        await tick()
        assert await desk.manager.flush(1)
        desk.stop(alert)
        channel.error = None
        await clock.advance(30)
        await tick()
        assert await desk.manager.flush(1)
        process_left = await store.load("alerting.outbox"), await store.load("alerting.groups")
    assert process_left == ({}, {})
    expected = PHASES[phase]
    if phase == "refused, not stored":  # it cannot be known from one that was taken
        expected = ["resolved"]
    assert [each.status for each in channel.notifications] == expected
    repeated = [each.key for each in channel.notifications if each.status == "firing"]
    assert len(set(repeated)) <= 1, "a repeat has the key of the first"


# -- notifiers that raise anything --------------------------------------------------------------------------------


class Odd(BaseException):
    """No `Exception`."""


@pytest.mark.parametrize(
    "fault", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), Odd(), asyncio.CancelledError()], ids=repr
)
async def test_whatever_a_notifier_raises_delivery_goes_on(fault: BaseException, make: Make) -> None:
    desk = make(Route(to=("ops", "boss"), group_wait=0, group_interval=10), "ops", "boss")
    phone = desk.phones["ops"]
    working = phone.send

    async def broken(notification: Notification) -> None:
        raise fault

    phone.send = broken
    async with desk.running():
        desk.fire("Down")
        await desk.pass_(3)
        assert statuses(desk, "boss")[0] == "firing"
        phone.send = working
        await desk.pass_(30)
        desk.fire("Slow")
        await desk.pass_(3)
        phone.send = broken
        with pytest.raises(DeliveryError, match=type(fault).__name__):
            await desk.manager.test_channel("ops")
    assert [each.group["alertname"] for each in phone.notifications] == ["Down", "Slow"]
