"""Changes of the route tree while alerts fire: each receiver is notified once of a beginning and once of an end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from resilience.alerting import Escalation, Level, Matchers, Route
from resilience.core.clock import ManualClock
from resilience.core.ports import Put
from resilience.errors import DeliveryError
from resilience.stores.memory import MemoryStore

Make: TypeAlias = Callable[..., Any]

TIMES: dict[str, Any] = {"group_wait": 2, "group_interval": 4, "repeat_interval": 50}


def tree(*group_by: str, **options: Any) -> Route:
    return Route(**{"to": ("ops",), "group_by": group_by or ("alertname",), **TIMES, **options})


def sent(desk: Any, name: str = "ops") -> list[tuple[str, str, str]]:
    """(group, status of the alert, host) of each alert in each notification."""
    return [
        (each.group_key, alert.status, alert.labels["host"])
        for each in desk.phones[name].notifications
        for alert in each.alerts
    ]


CHANGES = {
    "finer": (tree("alertname"), tree("alertname", "host")),
    "coarser": (tree("alertname", "host"), tree("alertname")),
    "all labels": (tree("alertname"), tree("...")),
    "another place": (
        tree("alertname"),
        tree("alertname", routes=(Route(to=("ops",), matchers=Matchers(["host=~a|b"]), group_wait=0),)),
    ),
    "some to another place": (
        tree("alertname"),
        tree("alertname", routes=(Route(to=("ops",), matchers=Matchers(["host=a"]), group_wait=0),)),
    ),
    "a place gone": (
        tree("alertname", routes=(Route(to=("ops",), matchers=Matchers(["host=~a|b"]), group_wait=0),)),
        tree("alertname"),
    ),
    "a place gone, two instead": (
        tree("alertname", routes=(Route(to=("ops",), matchers=Matchers(["host=~a|b"]), group_wait=0),)),
        tree("alertname", routes=(Route(to=("ops",), matchers=Matchers(["host=a"]), group_wait=0),)),
    ),
    "into an escalation": (
        tree("alertname"),
        tree("alertname", to=None, escalation=Escalation("oncall", [Level(("ops",), wait=900)])),
    ),
}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("restarted", [False, True], ids=["reloaded", "restarted"])
async def test_another_tree_notifies_nobody_again(
    how: str, restarted: bool, make: Make, clock: ManualClock
) -> None:
    before, after = CHANGES[how]
    store = MemoryStore(clock=clock)
    desk = make(before, store=store)
    ids = {}
    async with desk.running():
        ids["a"], ids["b"] = desk.fire("Down", host="a"), desk.fire("Down", host="b")
        await desk.pass_(6)
        told = sent(desk)
        assert sorted(host for _, _, host in told) == ["a", "b"]
        if not restarted:
            desk.manager.prepared(desk.phones, route=after)()
        await desk.manager.flush(1)
    if restarted:
        firing, desk = desk.firing, make(after, store=store)
        desk.firing = firing
        await desk.manager.restore()
    else:
        desk.phones["ops"].notifications.clear()
    async with desk.running():
        await desk.pass_(20)
        assert sent(desk) == [], "both are known already"
        await desk.pass_(60)
        repeats = sent(desk)
        assert set(repeats) == set(told), "repeats go on, and under the key that the receiver knows"
        assert len(set(repeats)) == len(repeats)
        desk.phones["ops"].notifications.clear()
        desk.stop(ids["a"])
        await desk.pass_(6)
        ended = [each for each in sent(desk) if each[1] == "resolved"]
        desk.stop(ids["b"])
        await desk.pass_(6)
        ended = [each for each in sent(desk) if each[1] == "resolved"]
        assert sorted(ended) == sorted((key, "resolved", host) for key, _, host in told)
        await desk.manager.flush(1)
    assert await store.load("alerting.groups") == {}


async def test_a_new_alert_goes_to_the_group_of_the_new_tree(make: Make) -> None:
    desk = make(tree("alertname"))
    async with desk.running():
        desk.fire("Down", host="a")
        await desk.pass_(6)
        desk.manager.prepared(desk.phones, route=tree("alertname", "host"))()
        desk.fire("Down", host="b")
        await desk.pass_(6)
    assert [(dict(each.group), len(each.alerts)) for each in desk.phones["ops"].notifications] == [
        ({"alertname": "Down"}, 1),
        ({"alertname": "Down", "host": "b"}, 1),
    ]


async def test_a_receiver_that_is_new_is_notified_and_the_known_one_is_not(make: Make) -> None:
    desk = make(tree("alertname"), "ops", "new")
    moved = tree("alertname", to=("ops", "new"), routes=())
    inner = tree("alertname", routes=(Route(to=("ops", "new"), matchers=Matchers(["host=a"]), group_wait=0),))
    for route in (moved, inner):
        async with desk.running():
            alert = desk.fire("Down", host="a")
            await desk.pass_(6)
            desk.manager.prepared(desk.phones, route=route)()
            await desk.pass_(6)
            desk.stop(alert)
            await desk.pass_(6)
            assert [status for _, status, _ in sent(desk)] == ["firing", "resolved"]
            assert [status for _, status, _ in sent(desk, "new")] == ["firing", "resolved"]
            desk.manager.prepared(desk.phones, route=tree("alertname"))()
        for phone in desk.phones.values():
            phone.notifications.clear()


async def test_there_and_back_again_notifies_nobody(make: Make) -> None:
    desk = make(CHANGES["a place gone"][0])
    async with desk.running():
        alert = desk.fire("Down", host="a")
        await desk.pass_(6)
        for route in CHANGES["a place gone"][::-1]:
            desk.manager.prepared(desk.phones, route=route)()
            await desk.pass_(12)
        assert [status for _, status, _ in sent(desk)] == ["firing"]
        desk.stop(alert)
        await desk.pass_(6)
    assert [status for _, status, _ in sent(desk)] == ["firing", "resolved"]
    assert len({key for key, _, _ in sent(desk)}) == 1


async def test_an_alert_that_goes_on_two_ways_to_one_receiver_still_does(make: Make) -> None:
    def both(*group_by: str) -> Route:
        pair = (Route(to=("ops",), matchers=Matchers(["host=a"]), proceed=True),)
        return tree(*group_by, routes=(*pair, Route(to=("ops",), matchers=Matchers(["host=~a|b"]))))

    desk = make(both("alertname"))
    async with desk.running():
        alert = desk.fire("Down", host="a")
        await desk.pass_(6)
        first = sent(desk)
        assert len({key for key, _, _ in first}) == 2
        desk.manager.prepared(desk.phones, route=both("host"))()
        await desk.pass_(12)
        assert sent(desk) == first
        desk.stop(alert)
        await desk.pass_(6)
    assert sorted(sent(desk)) == sorted([*first, *((key, "resolved", host) for key, _, host in first)])


async def test_the_state_of_the_version_before_is_read(make: Make, clock: ManualClock) -> None:
    """Rows as version 0.7 wrote them: the group counts on what is still in the outbox."""
    store = MemoryStore(clock=clock)
    desk = make(tree("alertname"), store=store)
    alert_id = desk.fire("Down", host="a")
    alert = {
        "fingerprint": alert_id,
        "status": "firing",
        "labels": {"alertname": "Down", "host": "a"},
        "annotations": {"summary": "Down!"},
        "started": clock.time(),
        "ended": None,
        "value": 1.0,
        "acknowledged_by": None,
    }
    key = '{}:{alertname="Down"}'
    group = {
        "key": key,
        "route": "{}",
        "labels": {"alertname": "Down"},
        "next_look": clock.time() + 4,
        "incident": None,
        "ledgers": {"ops": {"last": clock.time(), "shown": [alert_id], "unresolved": [alert]}},
    }
    waiting = {
        "key": "k1",
        "receiver": "ops",
        "status": "firing",
        "group_key": key,
        "group": {"alertname": "Down"},
        "alerts": [alert],
        "at": clock.time(),
    }
    rows = {
        "alerting.firing": (alert_id, alert),
        "alerting.groups": (key, group),
        "alerting.outbox": ("k1", waiting),
    }
    await store.write([Put(table, name, json.dumps(row).encode()) for table, (name, row) in rows.items()])
    await desk.manager.restore()
    async with desk.running():
        await desk.pass_(10)
        assert [each.key for each in desk.phones["ops"].notifications] == ["k1"]
        desk.stop(alert_id)
        await desk.pass_(6)
        await desk.manager.flush(1)
    assert sent(desk) == [(key, "firing", "a"), (key, "resolved", "a")]
    assert await store.load("alerting.groups") == {}


@pytest.mark.parametrize("place", ["gone", "back"])
async def test_an_end_that_waits_in_a_group_without_a_place_is_sent_after_a_restart(
    place: str, make: Make, clock: ManualClock
) -> None:
    store = MemoryStore(clock=clock)
    narrow = tree(to=("boss",), routes=(Route(to=("ops",), matchers=Matchers(["host=a"]), group_wait=0),))
    wide = tree(to=("boss",))
    desk = make(narrow, "ops", "boss", store=store)
    async with desk.running():
        alert = desk.fire("Down", host="a")
        await desk.pass_(10)
        desk.phones["ops"].error = DeliveryError("ops: answered 503")
        desk.manager.prepared(desk.phones, route=wide)()
        desk.stop(alert)
        await desk.pass_(10)
    later = make(narrow if place == "back" else wide, "ops", "boss", store=store)
    await later.manager.restore()
    later.phones["ops"].error = DeliveryError("ops: answered 400", retryable=False)
    async with later.running():
        await later.pass_(30)
        later.phones["ops"].error = None
        await later.pass_(700, step=5.0)
    assert "resolved" in {status for _, status, _ in sent(later)}
