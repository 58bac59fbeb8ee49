"""Changes of the leader: what people did is kept, what others still see is not resolved, an expired lease sends nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from resilience.alerting import RaisedAlert, Route
from resilience.alerting.leadership import Leadership
from resilience.alerting.stored import StoredAlerts
from resilience.core.clock import ManualClock
from resilience.core.ports import Store
from resilience.errors import ConfigError, DeliveryError, StoreError
from resilience.stores.memory import MemoryStore
from resilience.stores.sqlite import SQLiteStore
from tests.waiting import until

Worker = Any  # the conftest's Desk
QUICK = Route(to=("ops",), group_wait=2, group_interval=4, repeat_interval=3600)


@pytest.fixture(params=["memory", "sqlite"])
async def stores(
    request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path
) -> AsyncIterator[Callable[[], Store]]:
    """Return what makes the store of one more process."""
    shared, opened = MemoryStore(clock=clock), []

    def one_more() -> Store:
        if request.param == "memory":
            return shared
        opened.append(SQLiteStore(tmp_path / "state.db", clock=clock))
        return opened[-1]

    yield one_more
    for store in opened:
        await store.close()


@pytest.fixture
def hire(
    make: Callable[..., Worker], stores: Callable[[], Store], clock: ManualClock
) -> Callable[[], Worker]:
    def hire() -> Worker:
        store = stores()
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


def told(*workers: Worker) -> list[tuple[str, str]]:
    return [
        (status, name)
        for worker in workers
        for _, status, names in worker.phones["ops"].told
        for name in names
    ]


@pytest.mark.parametrize("resolver", [0, 1, 2])
@pytest.mark.parametrize("kind", ["raised", "rule"])
async def test_an_alert_can_be_resolved_in_any_of_them(
    hire: Callable[[], Worker], kind: str, resolver: int
) -> None:
    workers = one, two, three = hire(), hire(), hire()
    async with one.running(), two.running(), three.running():
        for each in workers:
            await each.manager.restore()
        alert_id = three.manager.send_alert(RaisedAlert("Down")) if kind == "raised" else three.fire("Down")
        await pass_(15, *workers)
        workers[resolver].manager.resolve(alert_id)
        await pass_(15, *workers)
        assert told(*workers) == [("firing", "Down"), ("resolved", "Down")]
        assert [each.manager.active_alerts() for each in workers] == [[], [], []]


@pytest.mark.parametrize("kind", ["raised", "rule"])
async def test_an_alert_resolved_after_a_kill_and_before_the_takeover_is_resolved(
    hire: Callable[[], Worker], kind: str
) -> None:
    killed, next_one = hire(), hire()
    async with killed.running():
        await killed.manager.restore()
        raised = kind == "raised"
        alert_id = killed.manager.send_alert(RaisedAlert("Down")) if raised else killed.fire("Down")
        await pass_(10, killed)
    async with next_one.running():
        await next_one.manager.restore()
        if not raised:
            next_one.fire("Down")
        await pass_(2, next_one)
        assert not next_one.manager.leads
        next_one.manager.resolve(alert_id)
        await pass_(30, next_one)
        assert next_one.manager.leads
        assert told(killed, next_one) == [("firing", "Down"), ("resolved", "Down")]
        assert next_one.manager.active_alerts() == []


async def test_an_alert_resolved_just_before_the_leader_is_killed_is_resolved(
    hire: Callable[[], Worker],
) -> None:
    one, two = hire(), hire()
    async with one.running(), two.running():
        await one.manager.restore()
        await two.manager.restore()
        alert_id = one.manager.send_alert(RaisedAlert("Down"))
        await pass_(10, one, two)
        one.manager.resolve(alert_id)
        await one.manager.commit()  # and nothing after that: killed before its next tick
        await pass_(40, two)
        assert told(one, two) == [("firing", "Down"), ("resolved", "Down")]


async def test_an_alert_that_is_raised_again_after_it_was_resolved_is_told_again(
    hire: Callable[[], Worker],
) -> None:
    one, two = hire(), hire()
    async with one.running(), two.running():
        await one.manager.restore()
        await two.manager.restore()
        alert_id = one.manager.send_alert(RaisedAlert("Down"))
        await pass_(10, one, two)
        two.manager.resolve(alert_id)
        await pass_(10, one, two)
        two.manager.send_alert(RaisedAlert("Down"))
        await pass_(10, one, two)
        assert told(one, two) == [("firing", "Down"), ("resolved", "Down"), ("firing", "Down")]
        two.manager.resolve(alert_id)
        two.manager.send_alert(RaisedAlert("Down"))  # within one tick: it goes on
        await pass_(10, one, two)
        assert len(one.manager.active_alerts()) == 1


async def test_what_people_do_while_the_state_is_read_is_kept(
    hire: Callable[[], Worker], monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    one, two = hire(), hire()
    async with one.running(), two.running():
        await one.manager.restore()
        await two.manager.restore()
        down, slow = one.manager.send_alert(RaisedAlert("Down")), one.fire("Slow")
        two.fire("Slow")
        await pass_(10, one, two)
        store = two.manager._keeper._storage._store
        load, todo = store.load, ["once"]

        async def reading(table: str) -> Mapping[str, bytes]:
            if table.endswith("history") and clock.monotonic() > 1015 and todo:
                todo.clear()
                two.manager.resolve(down)
                two.manager.acknowledge(slow, by="ann")
                two.manager.silence(['a="b"'], end=clock.time() + 60, author="ann", comment="known")
                two.manager.send_alert(RaisedAlert("Late"))
            return await load(table)

        monkeypatch.setattr(store, "load", reading)
        await pass_(40, two)
        assert not todo, "it took over, and people did something meanwhile"
        assert told(one, two) == [
            *[("firing", "Down"), ("firing", "Slow")],
            *[("resolved", "Down"), ("firing", "Late")],
        ]
        active = {each.alert.labels["alertname"]: each.alert for each in two.manager.active_alerts()}
        assert active.keys() == {"Slow", "Late"}
        assert active["Slow"].acknowledged_by == "ann"
        assert [each.author for each in two.manager.silences] == ["ann"]


async def test_a_silence_is_ended_in_any_of_them_before_a_takeover_too(hire: Callable[[], Worker]) -> None:
    one, two = hire(), hire()
    async with one.running(), two.running():
        await one.manager.restore()
        await two.manager.restore()
        made = one.manager.silence(
            ['alertname="Down"'], end=one.clock.time() + 900, author="ann", comment="known"
        )
        for each in (one, two):
            each.fire("Down")
        await pass_(10, one, two)
        two.manager.unsilence(made.id)
        await pass_(40, two)  # one is gone
        assert two.manager.leads
        assert told(two) == [("firing", "Down")]
        assert two.manager.silences[0].end < two.clock.time()


async def test_a_raised_alert_resolved_in_the_file_of_a_stopped_service_is_resolved(
    hire: Callable[[], Worker], stores: Callable[[], Store], clock: ManualClock
) -> None:
    killed, next_one = hire(), hire()
    async with killed.running():
        await killed.manager.restore()
        alert_id = killed.manager.send_alert(RaisedAlert("Down"))
        await pass_(10, killed)
    await StoredAlerts(stores(), "shop", clock=clock).resolve(alert_id)
    async with next_one.running():
        await next_one.manager.restore()
        await pass_(30, next_one)
        assert told(killed, next_one) == [("firing", "Down"), ("resolved", "Down")]
        with pytest.raises(ConfigError):
            next_one.manager.resolve(alert_id)


async def test_an_alert_that_another_still_sees_survives_a_new_leader(hire: Callable[[], Worker]) -> None:
    one, two, new = hire(), hire(), hire()
    async with one.running(), two.running(), new.running():
        await one.manager.restore()
        await two.manager.restore()
        two.fire("Down")
        await pass_(10, one, two)
        await one.manager.close()
        await new.manager.restore()
        assert new.manager.leads
        await pass_(30, new, two)
        assert told(one, two, new) == [("firing", "Down")]
        assert [each.kind for each in new.manager.history()] == ["notified", "fired"]


async def test_a_delivery_that_is_retried_under_a_lease_that_expired_sends_nothing(
    hire: Callable[[], Worker],
) -> None:
    one, two = hire(), hire()
    async with one.running(), two.running():
        await one.manager.restore()
        await two.manager.restore()
        for each in (one, two):
            each.fire("Down")
        one.phones["ops"].error = DeliveryError("ops: answered 503")
        await pass_(4, one, two)
        assert one.phones["ops"].attempts > 0
        for _ in range(14):  # one does not tick, as if it had been stopped; the clock moves in one go for it
            two.manager.tick(two.clock.now(), list(two.firing.values()))
            await two.manager.commit()
            two.clock.shift(1)
        attempts, one.phones["ops"].error = one.phones["ops"].attempts, None
        await pass_(60, two)
        assert two.manager.leads
        assert (told(one), told(two)) == ([], [("firing", "Down")])
        assert one.phones["ops"].attempts == attempts
        await pass_(60, one, two)
        assert (told(one), told(two)) == ([], [("firing", "Down")])


async def test_a_lease_that_expired_and_was_taken_by_nobody_goes_on(hire: Callable[[], Worker]) -> None:
    one = hire()
    async with one.running():
        await one.manager.restore()
        one.fire("Down")
        one.phones["ops"].error = DeliveryError("ops: answered 503")
        await pass_(4, one)
        one.clock.shift(40)
        one.phones["ops"].error = None
        await one.clock.advance(30)
        await until(lambda: told(one) == [("firing", "Down")])
        assert one.manager.leads


async def test_a_lease_that_cannot_be_renewed_as_the_store_fails_still_sends(
    hire: Callable[[], Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = hire()
    async with one.running():
        await one.manager.restore()
        one.fire("Down")

        async def broken(*_: object) -> Any:
            raise StoreError("state file 'shop.db': disk I/O error")

        store = one.manager._keeper._storage._store
        for name in ("write", "load", "lease"):
            monkeypatch.setattr(store, name, broken)
        one.phones["ops"].error = DeliveryError("ops: answered 503")
        await pass_(30, one)
        one.phones["ops"].error = None
        await pass_(120, one)
        assert told(one) == [("firing", "Down")]
