"""Several processes of one service on one store: one notifies, and nothing that any of them sees is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from resilience.alerting import RaisedAlert, Route
from resilience.alerting.leadership import Leadership
from resilience.alerting.stored import StoredAlerts
from resilience.core.clock import ManualClock
from resilience.core.ports import Put
from resilience.errors import StoreError
from resilience.stores.memory import MemoryStore

Worker = Any  # the conftest's Desk
QUICK = Route(to=("ops",), group_wait=2, group_interval=4, repeat_interval=3600)


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


@pytest.fixture
def hire(make: Callable[..., Worker], store: MemoryStore, clock: ManualClock) -> Callable[[], Worker]:
    def hire() -> Worker:
        leadership = Leadership(store, "shop/alerting", clock=clock)
        return make(QUICK, store=store, leadership=leadership, service="shop")

    return hire


async def pass_(seconds: int, *workers: Worker) -> None:
    """Let all workers tick side by side."""
    for _ in range(seconds):
        for worker in workers:
            worker.manager.tick(worker.clock.now(), list(worker.firing.values()))
            await worker.manager.commit()
        await workers[0].clock.advance(1)


def told(*workers: Worker) -> list[str]:
    return [status for worker in workers for _, status, _ in worker.phones["ops"].told]


async def test_what_all_of_them_see_is_told_once(hire: Callable[[], Worker]) -> None:
    one, two, three = hire(), hire(), hire()
    async with one.running(), two.running(), three.running():
        for worker in (one, two, three):
            await worker.manager.restore()
            alert_id = worker.fire("Down")
        await pass_(20, one, two, three)
        assert told(one, two, three) == ["firing"]
        assert [each.manager.leads for each in (one, two, three)] == [True, False, False]
        for worker in (one, two, three):
            worker.stop(alert_id)
        await pass_(20, one, two, three)
        assert told(one, two, three) == ["firing", "resolved"]


async def test_what_one_of_them_sees_is_told_by_the_one_that_leads(hire: Callable[[], Worker]) -> None:
    one, two = hire(), hire()
    async with one.running(), two.running():
        await one.manager.restore()
        await two.manager.restore()
        alert_id = two.fire("Down", worker="two")
        await pass_(20, one, two)
        assert (told(one), told(two)) == (["firing"], [])
        two.stop(alert_id)
        await pass_(20, one, two)
        assert (told(one), told(two)) == (["firing", "resolved"], [])


async def test_an_alert_ends_when_the_last_of_them_no_longer_sees_it(hire: Callable[[], Worker]) -> None:
    one, two = hire(), hire()
    async with one.running(), two.running():
        await one.manager.restore()
        await two.manager.restore()
        alert_id = one.fire("Down")
        two.fire("Down")
        await pass_(20, one, two)
        one.stop(alert_id)
        await pass_(20, one, two)
        assert told(one, two) == ["firing"]
        two.stop(alert_id)
        await pass_(20, one, two)
        assert told(one, two) == ["firing", "resolved"]


async def test_another_takes_over_from_one_that_is_gone_and_nobody_is_told_twice(
    hire: Callable[[], Worker],
) -> None:
    one, two = hire(), hire()
    async with one.running(), two.running():
        for worker in (one, two):
            await worker.manager.restore()
            alert_id = worker.fire("Down")
        await pass_(10, one, two)
        assert told(one, two) == ["firing"]
        await pass_(30, two)  # one hangs, or was killed
        assert two.manager.leads
        assert told(one, two) == ["firing"]
        two.stop(alert_id)
        await pass_(20, two)
        assert told(one, two) == ["firing", "resolved"]


async def test_one_that_comes_back_from_a_long_sleep_stands_by(hire: Callable[[], Worker]) -> None:
    one, two = hire(), hire()
    async with one.running(), two.running():
        await one.manager.restore()
        await two.manager.restore()
        alert_id = one.fire("Down")
        await pass_(10, one, two)
        await pass_(30, two)
        one.stop(alert_id)
        await pass_(30, one, two)
        assert (one.manager.leads, two.manager.leads) == (False, True)
        assert told(one, two) == ["firing"], "one's report holds for five minutes"
        await pass_(300, one, two)
        assert told(one, two) == ["firing", "resolved"]


async def test_a_stop_hands_over_at_once(hire: Callable[[], Worker]) -> None:
    one, two = hire(), hire()
    async with one.running(), two.running():
        await one.manager.restore()
        await two.manager.restore()
        await pass_(3, one, two)
        await one.manager.close()
        await pass_(6, two)
        assert two.manager.leads


async def test_what_was_decided_by_one_that_died_is_sent_by_the_next(hire: Callable[[], Worker]) -> None:
    one, two = hire(), hire()
    await one.manager.restore()
    await two.manager.restore()
    one.fire("Down")
    two.fire("Down")
    async with two.running():  # one decides and stores, and never gets to send
        await pass_(5, one, two)
        assert told(one, two) == []
        await pass_(30, two)
        assert told(two) == ["firing"]


async def test_people_can_turn_to_any_of_them(hire: Callable[[], Worker]) -> None:
    one, two = hire(), hire()
    async with one.running(), two.running():
        await one.manager.restore()
        await two.manager.restore()
        down, slow = one.fire("Down"), one.fire("Slow")
        await pass_(10, one, two)
        [*seen] = two.manager.active_alerts()
        assert {each.alert.labels["alertname"] for each in seen} == {"Down", "Slow"}
        assert {each.told for each in seen} == {("ops",)}
        two.manager.acknowledge(down, by="ann")
        two.manager.silence(['alertname="Slow"'], end=two.clock.time() + 600, author="ann", comment="known")
        await pass_(15, one, two)
        active = {each.alert.fingerprint: each for each in one.manager.active_alerts()}
        assert active[down].alert.acknowledged_by == "ann"
        assert active[slow].silenced_by is not None
        assert told(one).count("acknowledged") == 1
        [silence] = one.manager.silences
        two.manager.resolve(down)
        two.manager.unsilence(silence.id)
        await pass_(15, one, two)
        assert [each.alert.labels["alertname"] for each in one.manager.active_alerts()] == ["Slow"]
        assert one.manager.active_alerts()[0].silenced_by is None
        kinds = [event.kind for event in one.manager.history()]
        assert kinds == [event.kind for event in two.manager.history()]
        assert kinds.count("acknowledged") == 1


async def test_an_alert_raised_by_one_that_stands_by_is_told_and_resolved(hire: Callable[[], Worker]) -> None:
    one, two = hire(), hire()
    async with one.running(), two.running():
        await one.manager.restore()
        await two.manager.restore()
        await pass_(3, one, two)
        alert_id = two.manager.send_alert(RaisedAlert("DiskFull", severity="critical"))
        await pass_(15, one, two)
        assert told(one, two) == ["firing"]
        one.manager.resolve(alert_id)
        await pass_(15, one, two)
        assert told(one, two) == ["firing", "resolved"]
        assert two.manager.active_alerts() == []


async def test_what_is_written_into_the_state_of_a_running_service_is_taken_up(
    hire: Callable[[], Worker], store: MemoryStore
) -> None:
    one = hire()
    async with one.running():
        await one.manager.restore()
        alert_id = one.fire("Down")
        await pass_(10, one)
        await StoredAlerts(store, "shop", clock=one.clock).acknowledge(alert_id, "ann")
        await pass_(10, one)
        assert one.manager.active_alerts()[0].alert.acknowledged_by == "ann"
        assert told(one) == ["firing", "acknowledged"]


async def test_other_routes_in_one_that_stands_by_count_when_it_leads(
    hire: Callable[[], Worker], store: MemoryStore
) -> None:
    one, two = hire(), hire()
    async with one.running(), two.running():
        for worker in (one, two):
            await worker.manager.restore()
            worker.fire("Down")
        await pass_(10, one, two)
        before = await store.load("shop/alerting.groups")
        slow = Route(to=("ops",), group_wait=2, group_interval=4, repeat_interval=60)
        two.manager.prepared(dict(two.phones), route=slow)()
        await pass_(2, one, two)
        assert await store.load("shop/alerting.groups") == before, "the groups are the leader's"
        await pass_(120, two)
        assert told(one) == ["firing"]
        assert told(two).count("firing") >= 1, "it repeats as its own routes say"


async def test_while_the_store_fails_who_leads_goes_on(
    hire: Callable[[], Worker], store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = hire(), hire()
    async with one.running(), two.running():
        await one.manager.restore()
        await two.manager.restore()
        await pass_(3, one, two)

        async def broken(*_: object) -> Any:
            raise StoreError("state file 'shop.db': disk I/O error")

        with monkeypatch.context() as failing:
            for name in ("write", "load", "lease"):
                failing.setattr(store, name, broken)
            one.fire("Down")
            await pass_(60, one, two)
            assert told(one, two) == ["firing"]
        await pass_(30, one, two)
        assert told(one, two) == ["firing"]
        assert len(await store.load("shop/alerting.firing")) == 1, "what could not be written is written now"


async def test_a_damaged_report_of_another_is_named_and_harms_nothing(
    hire: Callable[[], Worker], store: MemoryStore
) -> None:
    one = hire()
    with capture_logs() as lines:
        async with one.running():
            await one.manager.restore()
            await store.write([Put("shop/alerting.peers", "other", b"{")])
            one.fire("Down")
            await pass_(10, one)
            assert told(one) == ["firing"]
    assert "stored_row_unreadable" in [line["event"] for line in lines]


async def test_two_that_are_one_after_the_other_wait_for_the_lease(
    hire: Callable[[], Worker], store: MemoryStore
) -> None:
    killed, next_one = hire(), hire()
    await killed.manager.restore()
    killed.fire("Down")
    await pass_(4, killed)
    async with next_one.running():
        await next_one.manager.restore()
        next_one.fire("Down")
        assert not next_one.manager.leads
        await pass_(25, next_one)
        assert told(next_one) == ["firing"], "what the killed one had decided and not sent, once"


async def test_the_lease_name_keeps_services_apart(store: MemoryStore, clock: ManualClock) -> None:
    one, other = Leadership(store, "a/alerting", clock=clock), Leadership(store, "b/alerting", clock=clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.renew)
        tasks.start_soon(other.renew)
    assert (one.leads, other.leads) == (True, True)
