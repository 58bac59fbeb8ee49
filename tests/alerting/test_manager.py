"""The alert manager: what is told, to whom, when, and what survives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytest

from resilience.alerting import AlertManager, Inhibition, Matchers, RaisedAlert, Route
from resilience.core.clock import ManualClock
from resilience.core.ports import Put
from resilience.errors import ConfigError, DeliveryError, StoreError
from resilience.notifiers.log import LogNotifier
from resilience.stores.memory import MemoryStore

Make: TypeAlias = Callable[..., Any]

QUICK = Route(to=("ops",), group_wait=2, group_interval=4, repeat_interval=8)


async def test_repeats_are_exact_between_the_looks(make: Make) -> None:
    desk = make(QUICK)
    async with desk.running():
        desk.fire("Down")
        await desk.pass_(30)
    assert [at for at, _, _ in desk.phones["ops"].told] == [2, 10, 18, 26]


async def test_what_changes_is_told_at_the_next_look(make: Make) -> None:
    desk = make(QUICK)
    async with desk.running():
        desk.fire("Down", host="a")
        await desk.pass_(7)
        second = desk.fire("Down", host="b")
        await desk.pass_(5)
        desk.stop(second)
        await desk.pass_(4)
    assert desk.phones["ops"].told == [
        (2, "firing", ("Down",)),
        (10, "firing", ("Down", "Down")),
        (14, "firing", ("Down", "Down")),
    ]
    last = desk.phones["ops"].notifications[-1]
    assert [alert.status for alert in last.alerts] == ["firing", "resolved"]


async def test_alerts_are_grouped_by_rule_by_default(make: Make) -> None:
    desk = make(QUICK)
    async with desk.running():
        desk.fire("Down", host="a")
        desk.fire("Down", host="b")
        desk.fire("Slow")
        await desk.pass_(4)
    assert sorted(desk.phones["ops"].told) == [(2, "firing", ("Down", "Down")), (2, "firing", ("Slow",))]


async def test_an_alert_that_ends_within_the_wait_is_never_told(make: Make) -> None:
    desk = make(QUICK)
    async with desk.running():
        alert = desk.fire("Blip")
        await desk.tick()
        desk.stop(alert)
        await desk.pass_(10)
    assert desk.phones["ops"].told == []


async def test_resolved_goes_to_whoever_was_told_even_while_silenced(make: Make) -> None:
    desk = make(QUICK)
    async with desk.running():
        alert = desk.fire("Down")
        await desk.pass_(3)
        desk.manager.silence(["alertname=Down"], end=desk.clock.time() + 1000, author="me", comment="known")
        desk.stop(alert)
        await desk.pass_(5)
    assert [status for _, status, _ in desk.phones["ops"].told] == ["firing", "resolved"]


async def test_a_silenced_alert_is_not_told_until_the_silence_ends(make: Make) -> None:
    desk = make(QUICK)
    async with desk.running():
        silence = desk.manager.silence(
            ["alertname=~D.*"], end=desk.clock.time() + 1000, author="me", comment="known"
        )
        desk.fire("Down")
        await desk.pass_(9)
        assert desk.phones["ops"].told == []
        assert desk.manager.active_alerts()[0].silenced_by == silence.id
        desk.manager.unsilence(silence.id)
        await desk.pass_(4)
    assert [status for _, status, _ in desk.phones["ops"].told] == ["firing"]


async def test_an_inhibited_alert_is_told_once_its_cause_is_gone(make: Make) -> None:
    rule = Inhibition(Matchers(["severity=critical"]), Matchers(["severity=warning"]), equal=("host",))
    desk = make(QUICK, inhibitions=[rule])
    async with desk.running():
        cause = desk.fire("HostDown", severity="critical", host="a")
        desk.fire("Slow", severity="warning", host="a")
        desk.fire("Slow", severity="warning", host="b")
        await desk.pass_(4)
        shown = [alert.labels["host"] for each in desk.phones["ops"].notifications for alert in each.alerts]
        assert sorted(shown) == ["a", "b"]
        desk.stop(cause)
        await desk.pass_(4)
    last = [each for each in desk.phones["ops"].notifications if each.group == {"alertname": "Slow"}][-1]
    assert sorted(alert.labels["host"] for alert in last.alerts) == ["a", "b"]


async def test_a_dead_channel_does_not_delay_another_and_is_reported_through_it(make: Make) -> None:
    desk = make(Route(to=("dead", "ops"), group_wait=0, group_interval=4), "dead", "ops")
    desk.phones["dead"].error = DeliveryError("dead: answered 503")
    async with desk.running():
        desk.fire("Down")
        await desk.tick(0.5)
        assert [names for _, _, names in desk.phones["ops"].told] == [("Down",)]
        await desk.pass_(20)
        failing = [each for each in desk.phones["ops"].notifications if each.alerts[0].labels.get("channel")]
        assert [each.alerts[0].annotations["description"] for each in failing] == ["dead: answered 503"]
        desk.phones["dead"].error = None
        await desk.pass_(120)
    assert [names for _, _, names in desk.phones["dead"].told] == [("Down",)]
    told = [each for each in desk.phones["ops"].notifications if each.alerts[0].labels.get("channel")]
    assert [each.status for each in told] == ["firing", "resolved"]


async def test_what_can_never_arrive_is_given_up_and_recorded(make: Make) -> None:
    desk = make(QUICK)
    desk.phones["ops"].error = DeliveryError("ops: answered 400", retryable=False)
    async with desk.running():
        desk.fire("Down")
        await desk.pass_(4)
        assert await desk.manager.flush(1)
    [event] = [each for each in desk.manager.history() if each.kind == "undelivered"]
    assert event.detail == "ops: ops: answered 400"
    assert desk.phones["ops"].attempts == 1


async def test_the_same_key_is_sent_again_after_a_restart_and_nobody_hears_resolved(
    make: Make, clock: ManualClock
) -> None:
    store = MemoryStore(clock=clock)
    first = make(QUICK, store=store)
    first.phones["ops"].error = DeliveryError("ops: ConnectionError")
    async with first.running():
        alert = first.fire("Down")
        await first.pass_(4)
    second = make(QUICK, store=store)
    second.firing = first.firing
    await clock.advance(60)
    await second.manager.restore()
    async with second.running():
        await second.pass_(6)
        [again] = second.phones["ops"].notifications[:1]
        assert again.at - 1_700_000_000 == 2
        assert {each.status for each in second.phones["ops"].notifications} == {"firing"}
        second.stop(alert)
        await second.pass_(5)
    assert second.phones["ops"].told[-1][1] == "resolved"
    assert [each.kind for each in second.manager.history(alert_id=alert)] == ["resolved", "fired"]


async def test_an_alert_that_ended_during_the_downtime_is_resolved(make: Make, clock: ManualClock) -> None:
    store = MemoryStore(clock=clock)
    first = make(QUICK, store=store)
    async with first.running():
        first.fire("Down")
        await first.pass_(4)
        await first.manager.flush(1)
    second = make(QUICK, store=store)
    await clock.advance(60)
    await second.manager.restore()
    async with second.running():
        await second.pass_(6)
    assert [status for _, status, _ in second.phones["ops"].told] == ["resolved"]


async def test_a_re_routed_alert_is_still_resolved_where_it_was_told(make: Make, clock: ManualClock) -> None:
    store = MemoryStore(clock=clock)
    first = make(QUICK, "ops", "new", store=store)
    async with first.running():
        alert = first.fire("Down")
        await first.pass_(4)
        await first.manager.flush(1)
    moved = Route(
        to=("new",), routes=(Route(to=("new",), matchers=Matchers(["alertname=Down"]), group_wait=0),)
    )
    second = make(moved, "ops", "new", store=store)
    await second.manager.restore()
    async with second.running():
        second.firing = dict(first.firing)
        await second.pass_(3)
        assert second.phones["ops"].told == []
        second.stop(alert)
        await second.pass_(600)
    assert [status for _, status, _ in second.phones["ops"].told] == ["resolved"]
    assert [status for _, status, _ in second.phones["new"].told] == ["firing", "resolved"]


async def test_a_raised_alert_fires_until_it_is_resolved_and_survives_a_restart(
    make: Make, clock: ManualClock
) -> None:
    store = MemoryStore(clock=clock)
    first = make(QUICK, store=store)
    async with first.running():
        alert_id = first.manager.send_alert(RaisedAlert("DiskFull", labels={"service": "shop"}))
        await first.pass_(4)
        await first.manager.flush(1)
    second = make(QUICK, store=store)
    await second.manager.restore()
    async with second.running():
        await second.tick()
        [active] = second.manager.active_alerts(service="shop")
        assert active.alert.fingerprint == alert_id
        assert active.told == ("ops",)
        second.manager.resolve(alert_id)
        await second.pass_(6)
    assert second.phones["ops"].told[-1][1:] == ("resolved", ("DiskFull",))
    assert second.manager.active_alerts() == []


async def test_resolving_the_alert_of_a_rule_holds_until_its_condition_was_false(make: Make) -> None:
    desk = make(QUICK)
    async with desk.running():
        alert = desk.fire("Down")
        await desk.pass_(4)
        desk.manager.resolve(alert)
        await desk.pass_(20)
        assert [status for _, status, _ in desk.phones["ops"].told] == ["firing", "resolved"]
        desk.stop(alert)
        await desk.tick()
        desk.fire("Down")
        await desk.pass_(4)
    assert [status for _, status, _ in desk.phones["ops"].told] == ["firing", "resolved", "firing"]


async def test_a_flapping_alert_is_told_once_and_resolved_once(make: Make) -> None:
    desk = make(QUICK)
    async with desk.running():
        alert = desk.fire("Flaps")
        await desk.pass_(4)
        for _ in range(6):
            desk.stop(alert)
            await desk.pass_(5)
            desk.fire("Flaps")
            await desk.pass_(5)
        desk.stop(alert)
        await desk.pass_(10)
        assert desk.manager.active_alerts()[0].flapping
        await desk.pass_(1000)
    resolved = [each for each in desk.phones["ops"].notifications if each.status == "resolved"]
    assert len(resolved) <= 3
    assert desk.phones["ops"].told[-1][1] == "resolved"
    assert desk.manager.active_alerts() == []


async def test_a_store_that_fails_delays_no_notification_and_is_written_later(
    make: Make, clock: ManualClock
) -> None:
    class Full(MemoryStore):
        full = True

        async def write(self, batch: Sequence[Put]) -> None:
            if self.full:
                raise StoreError("disk full")
            await super().write(batch)

    store = Full(clock=clock)
    desk = make(QUICK, store=store)
    async with desk.running():
        desk.fire("Down")
        await desk.pass_(4)
        assert len(desk.phones["ops"].told) == 1
        store.full = False
        await desk.manager.commit([Put("rules", "a", b"1")])
    assert len(await store.load("alerting.groups")) == 1
    assert await store.load("rules") == {"a": b"1"}


async def test_services_in_one_store_do_not_meet(make: Make, clock: ManualClock) -> None:
    store = MemoryStore(clock=clock)
    shop = make(QUICK, store=store, service="shop")
    async with shop.running():
        shop.fire("Down")
        await shop.pass_(4)
        await shop.manager.flush(1)
    other = make(QUICK, store=store, service="pay")
    await other.manager.restore()
    async with other.running():
        await other.pass_(6)
    assert other.phones["ops"].told == []


async def test_a_channel_can_be_tested(make: Make) -> None:
    desk = make(QUICK)
    await desk.manager.test_channel("ops")
    [test] = desk.phones["ops"].notifications
    assert "nothing is wrong" in test.alerts[0].annotations["summary"]
    with pytest.raises(ConfigError, match="channel must be one of ops"):
        await desk.manager.test_channel("pager")


async def test_events_are_heard_as_they_happen(make: Make) -> None:
    desk = make(QUICK)
    heard = []
    desk.manager.events.subscribe(lambda event: heard.append(event.kind))
    async with desk.running():
        alert = desk.fire("Down")
        await desk.pass_(4)
        desk.manager.acknowledge(alert, by="ann")
        await desk.pass_(2)
    assert heard == ["fired", "notified", "acknowledged", "notified"]
    assert desk.phones["ops"].notifications[-1].status == "acknowledged"
    assert desk.phones["ops"].notifications[-1].alerts[0].acknowledged_by == "ann"


def test_nonsense_is_refused_by_name(clock: ManualClock) -> None:
    with pytest.raises(ConfigError, match="notifiers must hold"):
        AlertManager({}, store=MemoryStore())
    with pytest.raises(ConfigError, match="to must be one of the channels log, got 'ops'"):
        AlertManager({"log": LogNotifier()}, store=MemoryStore(), route=QUICK)
    manager = AlertManager({"ops": LogNotifier("ops")}, store=MemoryStore(), route=QUICK)
    with pytest.raises(ConfigError, match="alert_id"):
        manager.acknowledge("nobody", by="me")
    with pytest.raises(ConfigError, match="silence"):
        manager.unsilence("nothing")
    with pytest.raises(ConfigError, match="register_rules"):
        manager.register_rules([])


async def test_what_was_left_for_a_channel_that_is_gone_is_given_up(make: Make, clock: ManualClock) -> None:
    store = MemoryStore(clock=clock)
    first = make(Route(to=("old",), group_wait=0), "old", store=store)
    first.fire("Down")
    await first.tick()
    second = make(QUICK, store=store)
    await second.manager.restore()
    async with second.running():
        await second.tick()
        assert await second.manager.flush(1)
    [event] = [each for each in second.manager.history() if each.kind == "undelivered"]
    assert event.detail == "old: there is no such channel any more"
    assert await store.load("alerting.outbox") == {}


async def test_what_does_not_arrive_within_a_day_is_given_up(make: Make) -> None:
    desk = make(QUICK)
    desk.phones["ops"].error = OSError("T0KEN")
    async with desk.running():
        desk.fire("Down")
        await desk.pass_(4)
        await desk.clock.advance(90_000)
    [event] = [each for each in desk.manager.history() if each.kind == "undelivered"]
    assert event.detail == "ops: OSError", "what a library's error says may be secret"


async def test_flush_is_bounded_and_says_so(make: Make) -> None:
    store = MemoryStore()
    desk = make(QUICK, store=store)
    desk.phones["ops"].error = DeliveryError("ops: answered 503")
    async with desk.running():
        desk.fire("Down")
        await desk.pass_(4)
        assert not await desk.manager.flush(0.01)
    assert len(await store.load("alerting.outbox")) == 1


async def test_a_lone_channel_that_fails_has_nobody_to_tell(make: Make) -> None:
    desk = make(QUICK)
    desk.phones["ops"].error = DeliveryError("ops: answered 503")
    async with desk.running():
        desk.fire("Down")
        await desk.pass_(30)
    assert [each.alert.labels["alertname"] for each in desk.manager.active_alerts()] == ["Down"]


async def test_history_is_found_by_alert_service_and_time_and_bounded(make: Make) -> None:
    store = MemoryStore()
    desk = make(QUICK, history=4, store=store)
    async with desk.running():
        for number in range(6):
            desk.fire(f"A{number}", service="shop" if number % 2 else "pay")
            await desk.tick()
        start = desk.clock.time()
        last = desk.fire("Last", service="shop")
        await desk.tick()
    history = desk.manager.history
    assert len(history()) == 4
    assert [each.subject for each in history(alert_id=last)] == ["Last"]
    assert {each.labels["service"] for each in history(service="shop")} == {"shop"}
    assert all(each.at >= start for each in history(since=start))
    assert len(history(limit=1)) == 1
    assert len(await store.load("alerting.history")) == 4


async def test_a_repeat_is_left_out_while_the_last_one_has_not_arrived(make: Make) -> None:
    store = MemoryStore()
    desk = make(QUICK, store=store)
    desk.phones["ops"].error = DeliveryError("ops: answered 503")
    async with desk.running():
        desk.fire("Down")
        await desk.pass_(60)
        assert len(await store.load("alerting.outbox")) == 1


async def test_ticks_keep_the_heartbeat_alive_and_closing_closes_all(make: Make) -> None:
    seen = []

    class Beats:
        def tick(self) -> None:
            seen.append("tick")

        async def run(self) -> None:
            seen.append("run")

        async def close(self) -> None:
            seen.append("close")

    desk = make(QUICK, heartbeat=Beats())
    desk.manager.notifiers["ops"].close = Beats().close
    async with desk.running():
        await desk.tick()
    await desk.manager.close()
    assert seen == ["run", "tick", "close", "close"]


async def test_a_channel_that_wants_to_hear_often_does(make: Make, clock: ManualClock) -> None:
    desk = make(QUICK)
    desk.phones["ops"].repeat_interval = 3.0
    manager = AlertManager(desk.phones, store=MemoryStore(), route=QUICK, clock=clock)
    desk.manager = manager
    async with desk.running():
        desk.fire("Down")
        await desk.pass_(12)
    assert [at for at, _, _ in desk.phones["ops"].told] == [2, 5, 8, 11]
    assert [each.kind for each in manager.history()] == ["fired"], "what a machine is told is no history"


async def test_a_write_that_breaks_in_an_unknown_way_is_raised_and_kept(
    make: Make, clock: ManualClock
) -> None:
    class Broken(MemoryStore):
        broken = True

        async def write(self, batch: Sequence[Put]) -> None:
            if self.broken:
                raise RuntimeError("a bug")
            await super().write(batch)

    store = Broken(clock=clock)
    desk = make(QUICK, store=store)
    desk.fire("Down")
    with pytest.raises(RuntimeError, match="a bug"):
        await desk.tick()
    store.broken = False
    await desk.manager.commit()
    assert len(await store.load("alerting.firing")) == 1


async def test_rules_are_handed_to_the_evaluator(make: Make) -> None:
    taken: list[object] = []
    desk = make(QUICK, register_rules=taken.extend)
    desk.manager.register_rules(["a rule"])
    assert taken == ["a rule"]


async def test_the_others_hear_of_a_failing_channel_that_alone_has_routes(make: Make) -> None:
    desk = make(Route(to=("dead",), group_wait=0), "dead", "ops")
    desk.phones["dead"].error = DeliveryError("dead: answered 404", retryable=False)
    async with desk.running():
        for number in range(3):
            desk.fire(f"Down{number}")
            await desk.pass_(2)
        await desk.pass_(5)
    [told] = desk.phones["ops"].notifications
    assert told.alerts[0].labels == {
        "alertname": "NotificationChannelFailing",
        "channel": "dead",
        "severity": "critical",
    }
    assert told.alerts[0].annotations["description"] == "dead: answered 404"


async def test_history_names_notifications_by_the_names_and_labels_of_their_alerts(make: Make) -> None:
    desk = make(Route(to=("ops",), group_by=("host",), group_wait=0, group_interval=4))
    async with desk.running():
        for name in ("Down", "Full", "Hot", "Slow"):
            desk.fire(name, host="db1")
        await desk.pass_(3)
    [sent] = [each.subject for each in desk.manager.history() if each.kind == "notified"]
    assert sent == "firing Down, Full, Hot and 1 more host=db1"
