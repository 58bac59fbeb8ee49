"""State over restarts: little is written, nothing that counts is lost, and a bad row harms only itself."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from resilience.alerting import Route
from resilience.alerting.raised import RaisedAlert
from resilience.core.clock import ManualClock
from resilience.core.ports import Put
from resilience.core.verdict import Verdict
from resilience.reliability import Reliability
from resilience.rules import loads
from resilience.slo import SLO
from resilience.slo.plain import plain_slo
from resilience.stores.memory import MemoryStore
from resilience.stores.sqlite import SQLiteStore
from resilience.testing import RecordingNotifier

EARLY_RELEASE = Path(__file__).parent / "data" / "state_of_the_first_release.sql"
RULES = """
groups:
  - name: shop
    interval: 1s
    rules:
      - record: shop:errors:ratio
        expr: sum(rate(http_requests_total{verdict="failure"}[30s])) / sum(rate(http_requests_total[30s]))
      - alert: HighErrorRate
        expr: shop:errors:ratio > 0.2
        for: 10s
        annotations: {summary: "{{ $value | humanizePercentage }} fail"}
      - alert: SlowlyBad
        expr: shop:errors:ratio > 0.2
        for: 10m
"""


class CountingStore(MemoryStore):
    """Counts the bytes that are written."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.written: list[Put] = []

    async def write(self, batch: Sequence[Put]) -> None:
        self.written += batch
        await super().write(batch)


def make(clock: ManualClock, store: Any, **options: Any) -> Reliability:
    given: dict[str, Any] = {
        "rules": loads(RULES),
        "slos": [SLO("availability", service="shop", target="0.99")],
        "notifiers": [RecordingNotifier("pager")],
        "route": Route(to=("pager",), group_wait=1.0, group_interval=5.0),
    }
    return Reliability("shop", store=store, clock=clock, **{**given, **options})


async def tick(
    rel: Reliability, clock: ManualClock, seconds: int, *, requests: int = 10, bad: int = 0
) -> None:
    for _ in range(seconds):
        for number in range(requests):
            failed = number < bad
            verdict = Verdict.FAILURE if failed else Verdict.SUCCESS
            rel.sli.request("GET", "/orders", "500" if failed else "200", verdict, 0.01)
        clock.shift(1.0)
        await rel.tick()


async def begin(rel: Reliability) -> None:
    """Restore as a start does, without the tasks that run along."""
    await rel._restore()
    await rel.tick()


async def copied(store: MemoryStore, clock: ManualClock) -> CountingStore:
    copy = CountingStore(clock)
    copy._tables = {table: dict(rows) for table, rows in store._tables.items()}
    copy._leases = dict(store._leases)
    return copy


async def test_nothing_is_stored_while_nothing_changes(clock: ManualClock) -> None:
    store = CountingStore(clock)
    rel = make(clock, store)
    await begin(rel)
    await tick(rel, clock, 60)
    await tick(rel, clock, 40, bad=5)  # firing and pending
    rel.alerts.send_alert(RaisedAlert("DiskFull"))
    await tick(rel, clock, 90, requests=0)  # resolved: their windows are empty
    states = {alert.rule: alert.state.value for alert in (*rel.rules.alerts(), *rel.rules.resolved())}
    assert states["HighErrorRate"] == "resolved"
    assert states["ErrorBudgetBurn"] == "firing"
    store.written.clear()
    await tick(rel, clock, 60, requests=0)
    assert store.written == []


async def test_a_kill_loses_at_most_one_tick_of_a_budget(clock: ManualClock) -> None:
    store = CountingStore(clock)
    rel = make(clock, store)
    await begin(rel)
    await tick(rel, clock, 7, bad=1)
    for _ in range(10):
        total = rel.slos.error_budget("availability").total
        rel.sli.request("GET", "/orders", "200", Verdict.SUCCESS, 0.01)  # no tick has seen it
        clock.shift(20)
        rel = make(clock, store := await copied(store, clock))
        await begin(rel)
        assert rel.slos.error_budget("availability").total == total
        await tick(rel, clock, 5, bad=1)


@pytest.fixture
async def file_store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Callable[[], SQLiteStore]]:
    """Makes stores on one file that are closed in the end, whatever becomes of the test."""
    stores: list[SQLiteStore] = []

    def make_store() -> SQLiteStore:
        stores.append(SQLiteStore(tmp_path / "state.db", clock=clock))
        return stores[-1]

    yield make_store
    for store in stores:
        await store.close()


async def test_a_state_file_of_the_first_release_is_read(
    file_store: Callable[[], SQLiteStore], clock: ManualClock
) -> None:
    store = file_store()
    with closing(sqlite3.connect(store.path)) as db:
        db.executescript(EARLY_RELEASE.read_text())
    clock.step_wall(1_700_000_120 - clock.time())
    rel = make(clock, store)
    await begin(rel)
    budget = rel.slos.error_budget("availability")
    assert (budget.bad, budget.total) == (150, 900)
    states = {(alert.rule, alert.state.value) for alert in rel.rules.alerts()}
    assert {("HighErrorRate", "firing"), ("SlowlyBad", "pending"), ("ErrorBudgetBurn", "firing")} <= states
    [slowly] = [alert for alert in rel.rules.alerts() if alert.rule == "SlowlyBad"]
    # It was pending for 10 seconds, which 30 seconds of downtime do not add to.
    assert clock.monotonic() - slowly.active_at.monotonic == pytest.approx(17, abs=3)
    names = {each.alert.labels["alertname"] for each in rel.alerts.active_alerts()}
    assert names == {"DiskFull", "ErrorBudgetBurn", "HighErrorRate"}
    [silence] = rel.alerts.silences
    assert silence.author == "ann"
    assert "resolved" not in {event.kind for event in rel.alerts.history()}
    await tick(rel, clock, 3, bad=1)
    await rel.alerts.close()
    again = make(clock, file_store())
    await begin(again)
    assert again.slos.error_budget("availability").total == 930


async def test_a_takeover_replaces_what_the_former_leader_left(clock: ManualClock) -> None:
    store = CountingStore(clock)
    first, second = make(clock, store), make(clock, store)
    await begin(first)
    await begin(second)
    assert (first.alerts.term, second.alerts.term) == (1, None)
    await tick(first, clock, 60, bad=5)
    assert await store.load("shop/rules")
    for _ in range(20):  # the first one is gone
        await tick(second, clock, 1, requests=1)
    assert second.alerts.leads
    assert await store.load("shop/rules") == {}
    third = make(clock, store)
    await begin(third)
    assert third.slos.error_budget("availability").total == second.slos.error_budget("availability").total


async def test_burn_rates_go_on_after_a_kill(clock: ManualClock) -> None:
    store = CountingStore(clock)
    rel = make(clock, store)
    await begin(rel)
    await tick(rel, clock, 1200)
    await tick(rel, clock, 90, bad=5)
    before = rel.slos.error_budget("availability").burn_rates
    clock.shift(10)
    again = make(clock, store)
    await begin(again)
    for window, rate in again.slos.error_budget("availability").burn_rates.items():
        assert float(rate or 0) == pytest.approx(float(before[window] or 0), rel=0.1), window
    await tick(again, clock, 60)
    shown = plain_slo(again.slos, again.slos.slos["availability"])
    assert 2 < shown["budget"]["burn_rates"]["30m"] < 5
    assert {
        name
        for each in shown["firing"]
        for name in each["annotations"].get("burn_rates", "").split(", ")
        if name
    } <= {each["name"] for each in shown["burn_rate_alerts"] if each["firing"]}


async def test_a_burn_rate_that_cannot_be_restored_is_null_with_a_reason(clock: ManualClock) -> None:
    store = CountingStore(clock)
    rel = make(clock, store)
    await begin(rel)
    await tick(rel, clock, 60, bad=5)
    store._tables["shop/windows.rows"].clear()
    clock.shift(10)
    again = make(clock, store)
    await begin(again)
    await tick(again, clock, 60)
    shown = plain_slo(again.slos, again.slos.slos["availability"])
    assert shown["firing"]
    assert {
        name
        for each in shown["firing"]
        for name in each["annotations"].get("burn_rates", "").split(", ")
        if name
    } <= {each["name"] for each in shown["burn_rate_alerts"] if each["firing"]}
    assert set(shown["budget"]["burn_rates"].values()) == {None}
    reasons = shown["budget"]["burn_rates_unknown"]
    assert reasons.keys() == shown["budget"]["burn_rates"].keys()
    assert "could not be restored" in reasons["5m"]
    await tick(again, clock, 300)
    shown = plain_slo(again.slos, again.slos.slos["availability"])
    assert shown["budget"]["burn_rates"]["5m"] == 0
    assert "5m" not in shown["budget"]["burn_rates_unknown"]


async def test_the_first_start_knows_all_there_is(clock: ManualClock) -> None:
    rel = make(clock, CountingStore(clock))
    await begin(rel)
    await tick(rel, clock, 30, bad=5)
    assert None not in rel.slos.error_budget("availability").burn_rates.values()


async def test_a_service_that_was_idle_knows_that_there_was_nothing(clock: ManualClock) -> None:
    store = CountingStore(clock)
    rel = make(clock, store)
    await begin(rel)
    await tick(rel, clock, 30, requests=0)
    clock.shift(10)
    again = make(clock, store)
    await begin(again)
    await tick(again, clock, 30, bad=5)
    assert None not in again.slos.error_budget("availability").burn_rates.values()


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_state_file_that_is_deleted_is_written_anew(
    file_store: Callable[[], SQLiteStore], clock: ManualClock, workers: int
) -> None:
    rels = [make(clock, file_store()) for _ in range(workers)]
    file = file_store().path
    for rel in rels:
        await begin(rel)
    rels[0].alerts.silence(["team=x"], end=clock.time() + 9e5, author="ann", comment="later")
    rels[0].alerts.send_alert(RaisedAlert("DiskFull"))
    await tick(rels[0], clock, 60, bad=5)
    for end in ("", "-wal", "-shm"):
        file.with_name(file.name + end).unlink()
    for _ in range(20):
        for rel in reversed(rels):
            await rel.tick()
        clock.shift(1)
    assert [rel.alerts.leads for rel in rels] == [True, False][:workers]
    for rel in rels:
        await rel.alerts.close()
    again = make(clock, file_store())
    await begin(again)
    assert again.slos.error_budget("availability").total == 600
    assert [silence.author for silence in again.alerts.silences] == ["ann"]
    names = {each.alert.labels["alertname"] for each in again.alerts.active_alerts()}
    assert {"DiskFull", "ErrorBudgetBurn"} <= names
    kinds = [event.kind for event in again.alerts.history() if event.subject == "DiskFull"]
    assert kinds == ["fired"]
    assert None not in again.slos.error_budget("availability").burn_rates.values()


@pytest.mark.parametrize("table", ["rules", "budgets", "latency", "windows.columns", "windows.rows"])
async def test_rows_of_a_newer_release_are_kept_and_nobody_hears_of_it(
    clock: ManualClock, table: str
) -> None:
    store = CountingStore(clock)
    rel = make(clock, store)
    await begin(rel)
    await tick(rel, clock, 70, bad=5)
    rows = store._tables[f"shop/{table}"]
    for key, row in rows.items():
        if row[:1] == b"{":
            rows[key] = row.replace(b'"version":1', b'"version":2')
        else:
            rows[key] = b"\x02" + row[1:]
    newer = dict(rows)
    clock.shift(20)
    older = make(clock, store)
    await begin(older)
    assert older.alerts.leads
    await tick(older, clock, 120, bad=5)
    assert newer.items() <= store._tables[f"shop/{table}"].items()
    assert "resolved" not in {event.kind for event in older.alerts.history()}


def flipped(row: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(row))
    return row[:place] + bytes([chance.randrange(256)]) + row[place + 1 :]


def retyped(row: bytes, chance: random.Random) -> bytes:
    """Replace one value by one of another kind."""
    try:
        found = json.loads(row)
    except ValueError:
        return b"\x00"
    places: list[tuple[Any, Any]] = []

    def visit(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            places.append((value, key))
            visit(value[key])

    visit(found)
    if not places:
        return b"[]"
    holder, key = chance.choice(places)
    holder[key] = chance.choice([None, 0, -1, 1e300, True, "", "\ud800", [], {}, [[]], {"a": 1}])
    return json.dumps(found).encode()


@pytest.mark.parametrize("damage", [flipped, retyped, lambda *_: b"[" * 100_000, lambda *_: b""])
@pytest.mark.parametrize("seed", range(5))
async def test_a_damaged_row_of_any_table_never_stops_a_start(
    clock: ManualClock, damage: Callable[[bytes, random.Random], bytes], seed: int
) -> None:
    store = CountingStore(clock)
    rel = make(clock, store)
    await begin(rel)
    rel.alerts.silence(["team=x"], end=clock.time() + 9e5, author="ann", comment="later")
    rel.alerts.send_alert(RaisedAlert("DiskFull", labels={"host": "a"}))
    await tick(rel, clock, 70, bad=5)
    rel.alerts.acknowledge(rel.alerts.active_alerts()[0].alert.fingerprint, "bob")
    await tick(rel, clock, 5, bad=5)
    chance = random.Random(seed)
    tables = {table: rows for table, rows in store._tables.items() if rows}
    assert len(tables) >= 9
    for rows in tables.values():
        for key in rows:
            rows[key] = damage(rows[key], chance)
    clock.shift(20)
    again = make(clock, store)
    await begin(again)
    await tick(again, clock, 30, bad=5)
    assert "HighErrorRate" in {each.alert.labels["alertname"] for each in again.alerts.active_alerts()}
    assert again.slos.error_budget("availability").total >= 300
    again.alerts.history()
    assert again.alerts.silences is not None
    await asyncio.sleep(0)
