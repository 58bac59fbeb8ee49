"""Rows that a newer release wrote, and rows that are damaged: the others count, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from resilience.alerting import Route
from resilience.alerting.raised import RaisedAlert
from resilience.alerting.stored import StoredAlerts
from resilience.core.clock import ManualClock
from resilience.core.ports import Put
from resilience.stores.memory import MemoryStore

QUICK = Route(to=("ops",), group_wait=1.0, group_interval=2.0)
Make = Callable[..., Any]


async def busy(make: Make, clock: ManualClock) -> tuple[MemoryStore, str]:
    """A store with a row in every table of alerting, and the id of an alert that was raised by hand."""
    store = MemoryStore(clock=clock)
    desk = make(QUICK, store=store, service="shop")
    async with desk.running():
        alert_id: str = desk.manager.send_alert(RaisedAlert("DiskFull", labels={"service": "shop"}))
        desk.manager.silence(["team=x"], end=clock.time() + 9e5, author="ann", comment="later")
        await desk.pass_(4)
        desk.manager.acknowledge(alert_id, "ann")
        await desk.pass_(4)
        await desk.manager.flush(1)
    return store, alert_id


async def rewrite(store: MemoryStore, table: str, change: Callable[[bytes], bytes]) -> dict[str, bytes]:
    rows = {key: change(row) for key, row in (await store.load(table)).items()}
    assert rows
    await store.write([Put(table, key, row) for key, row in rows.items()])
    return rows


def newer(row: bytes) -> bytes:
    return json.dumps({**json.loads(row), "version": 2, "labels": 7}).encode()


@pytest.mark.parametrize("tables", [("raised",), ("raised", "firing"), ("firing",)])
async def test_an_alert_of_a_newer_release_goes_on_firing_and_its_row_is_kept(
    make: Make, clock: ManualClock, tables: tuple[str, ...]
) -> None:
    store, alert_id = await busy(make, clock)
    rows = {table: await rewrite(store, f"shop/alerting.{table}", newer) for table in tables}
    older = make(QUICK, store=store, service="shop")
    await older.manager.restore()
    async with older.running():
        await older.pass_(30)
        assert [each.alert.fingerprint for each in older.manager.active_alerts()] == [alert_id]
        assert older.phones["ops"].told == []
        older.manager.send_alert(RaisedAlert("DiskFull", labels={"service": "shop"}))
        await older.pass_(4)
    for table, kept in rows.items():
        assert await store.load(f"shop/alerting.{table}") == kept


async def test_an_alert_of_a_newer_release_can_be_resolved(make: Make, clock: ManualClock) -> None:
    store, alert_id = await busy(make, clock)
    await rewrite(store, "shop/alerting.raised", newer)
    older = make(QUICK, store=store, service="shop")
    await older.manager.restore()
    async with older.running():
        await older.tick()
        older.manager.resolve(alert_id)
        await older.pass_(5)
    assert [status for _, status, _ in older.phones["ops"].told] == ["resolved"]
    assert await store.load("shop/alerting.raised") == {}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"[" * 100_000, id="deep"),
        pytest.param(lambda _: b"\xff\x00", id="no text"),
        pytest.param(lambda _: b"{}", id="empty"),
        pytest.param(lambda _: b"7", id="a number"),
        pytest.param(lambda row: row[:-9], id="cut"),
        pytest.param(lambda row: row.replace(b'"at":1', b'"at":1' + b"0" * 400), id="huge"),
        pytest.param(lambda row: row.replace(b'"alertname"', b'"alertnome"'), id="another name"),
        pytest.param(lambda row: row.replace(b"{", b'{"labels":[7],"at":"x",', 1), id="other kinds"),
    ],
)
@pytest.mark.parametrize(
    "table", ["acknowledgements", "firing", "groups", "history", "outbox", "peers", "raised", "silences"]
)
async def test_damaged_rows_are_set_aside_and_alerting_goes_on(
    make: Make, clock: ManualClock, table: str, damage: Callable[[bytes], bytes]
) -> None:
    store, _ = await busy(make, clock)
    name = f"shop/alerting.{table}"
    if not await store.load(name):
        await store.write([Put(name, "k", b'{"at":1,"alertname":"x"}')])
    rows = await rewrite(store, name, damage)
    shown = StoredAlerts(store, "shop", clock=clock)
    await shown.active_alerts()
    await shown.history()
    await shown.silences()
    desk = make(QUICK, store=store, service="shop")
    await desk.manager.restore()
    async with desk.running():
        desk.manager.send_alert(RaisedAlert("Another"))
        await desk.pass_(6)
        assert "Another" in [each.alert.labels["alertname"] for each in desk.manager.active_alerts()]
        desk.manager.history()
    aside = await store.load(f"{name} (damaged)")
    assert aside.items() <= rows.items()
