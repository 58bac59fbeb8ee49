"""Stores that cannot be opened, or that another process locks: the service starts, and notifies."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from resilience.alerting import RaisedAlert, Route
from resilience.core.clock import ManualClock
from resilience.core.ports import Put, Status
from resilience.errors import ConfigError, MissingExtra, StoreError
from resilience.reliability import Reliability
from resilience.rules import loads
from resilience.stores.memory import MemoryStore
from resilience.stores.sqlite import SQLiteStore
from resilience.testing import RecordingNotifier

RULES = "groups: [{name: a, interval: 1s, rules: [{alert: Down, expr: vector(1)}]}]"


class Faulty(MemoryStore):
    """A store that fails as it is told."""

    error: Exception | None = None
    fails_at = ""

    async def _fail(self, table: str = "") -> None:
        if self.error is not None and self.fails_at in table:
            raise self.error

    async def load(self, table: str) -> Mapping[str, bytes]:
        await self._fail(table)
        return await super().load(table)

    async def write(self, batch: Sequence[Put]) -> None:
        await self._fail()
        await super().write(batch)

    async def lease(self, name: str, holder: str, ttl: float) -> int | None:
        await self._fail()
        return await super().lease(name, holder, ttl)


LOCKED = StoreError("state file 'shop.db': database is locked", locked=True)


class WriteLocked(Faulty):
    """A store that another process writes to: it can be read, as with SQLite's WAL."""

    async def load(self, table: str) -> Mapping[str, bytes]:
        return await MemoryStore.load(self, table)


STORES = pytest.mark.parametrize("kind", [Faulty, WriteLocked])


class Worker:
    def __init__(self, store: Any, clock: ManualClock) -> None:
        self.pager = RecordingNotifier("pager")
        route = Route(to=("pager",), group_wait=0, group_interval=1.0)
        self.rel = Reliability(
            "shop", rules=loads(RULES), notifiers=[self.pager], route=route, store=store, watch=0, clock=clock
        )

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(each.status, each.group["alertname"]) for each in self.pager.notifications]


async def pass_(clock: ManualClock, seconds: int) -> None:
    """Let time pass, and threads that read rows end."""
    for _ in range(2 * seconds):
        await clock.advance(0.5)
        await asyncio.sleep(0.002)


async def stop(clock: ManualClock, *workers: Worker) -> None:
    stopping = asyncio.gather(*(worker.rel.stop() for worker in workers))
    while not stopping.done():
        await clock.advance(1.0)
    await stopping


async def test_a_store_that_cannot_be_opened_is_set_aside_and_that_is_said_once(clock: ManualClock) -> None:
    store = Faulty(clock=clock)
    store.error = StoreError("state file 'shop.db': file is not a database")
    worker = Worker(store, clock)
    with capture_logs() as logs:
        await worker.rel.start()
        assert worker.rel.ready
        await pass_(clock, 60)
    assert [entry["event"] for entry in logs if entry["log_level"] != "info"] == ["state_store_set_aside"]
    assert set(worker.told) == {("firing", "Down"), ("firing", "ReliabilityStateNotKept")}
    check = (await worker.rel.health.check_all()).checks["self_monitoring"]
    assert check.status is Status.DEGRADED
    assert "not a database" in check.detail
    await stop(clock, worker)
    store.error = None
    assert not store._tables
    await worker.rel.start()  # opened again
    await pass_(clock, 5)
    assert store._tables
    await stop(clock, worker)


async def test_damage_that_is_found_while_it_is_restored_sets_it_aside_too(clock: ManualClock) -> None:
    store = Faulty(clock=clock)
    store.error, store.fails_at = StoreError("state file 'shop.db': malformed"), "history"
    worker = Worker(store, clock)
    await worker.rel.start()
    await pass_(clock, 10)
    assert ("firing", "Down") in worker.told
    await stop(clock, worker)


@STORES
async def test_a_lock_shorter_than_a_lease_changes_nothing(kind: type[Faulty], clock: ManualClock) -> None:
    store = kind(clock=clock)
    before = Worker(store, clock)
    await before.rel.start()
    await pass_(clock, 5)
    assert before.told == [("firing", "Down")]
    await stop(clock, before)
    store.error = LOCKED
    workers = [Worker(store, clock) for _ in range(3)]
    with capture_logs() as logs:
        for worker in workers:
            await worker.rel.start()
            assert worker.rel.ready
        await pass_(clock, 12)
        store.error = None
        await pass_(clock, 60)
    assert [worker.told for worker in workers] == [[], [], []], "it was told before the restart"
    assert [entry["event"] for entry in logs if entry["log_level"] in {"error", "warning"}] == []
    assert sum(worker.rel.alerts.leads for worker in workers) == 1
    await stop(clock, *workers)


@STORES
async def test_after_one_lease_each_notifies_with_the_same_keys_and_one_leads_when_the_lock_ends(
    kind: type[Faulty], clock: ManualClock
) -> None:
    store = kind(clock=clock)
    store.error = LOCKED
    workers = [Worker(store, clock) for _ in range(3)]
    with capture_logs() as logs:
        for worker in workers:
            await worker.rel.start()
        await pass_(clock, 14)
        assert [worker.told for worker in workers] == [[], [], []]
        await pass_(clock, 20)
    assert [worker.told for worker in workers] == [[("firing", "Down")]] * 3
    sent = [worker.pager.notifications[0] for worker in workers]
    assert len({each.group_key for each in sent}) == 1
    assert len({each.alerts[0].fingerprint for each in sent}) == 1
    loud = [entry["event"] for entry in logs if entry["log_level"] in {"error", "warning"}]
    assert loud == ["state_store_locked"] * 3
    store.error = None
    await pass_(clock, 120)
    assert sum(worker.rel.alerts.leads for worker in workers) == 1
    assert sum(len(worker.told) for worker in workers) <= 6, "each at most once more"
    assert await store.load("shop/alerting.groups")
    await stop(clock, *workers)


async def test_what_was_stored_is_there_again_when_the_lock_ends(clock: ManualClock) -> None:
    store = Faulty(clock=clock)
    before = Worker(store, clock)
    await before.rel.start()
    before.rel.alerts.silence(["alertname=Quiet"], end=clock.time() + 3600, author="ann", comment="move")
    await pass_(clock, 5)
    await stop(clock, before)
    store.error = LOCKED
    after = Worker(store, clock)
    await after.rel.start()
    await pass_(clock, 30)
    assert after.rel.alerts.silences == []
    store.error = None
    await pass_(clock, 10)
    assert [each.author for each in after.rel.alerts.silences] == ["ann"]
    await stop(clock, after)


@pytest.mark.parametrize("error", [ConfigError("no"), MissingExtra("aiosqlite", "sqlite")])
async def test_what_a_restart_does_not_mend_ends_the_start(error: Exception, clock: ManualClock) -> None:
    store = Faulty(clock=clock)
    store.error = error
    rel = Worker(store, clock).rel
    with pytest.raises(type(error)):
        await rel.start()
    assert not rel.running
    store.error = None
    await rel.start()
    await rel.stop()


@pytest.mark.parametrize("broken", ["a folder", "another format", "no folder", "a file of another kind"])
async def test_files_that_sqlite_cannot_open_are_set_aside_untouched(
    broken: str, tmp_path: Path, clock: ManualClock
) -> None:
    file = tmp_path / "shop.db"
    match broken:
        case "a folder":
            file.mkdir()
        case "another format":
            file.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
        case "no folder":
            file = tmp_path / "none" / "shop.db"
        case _:
            file.write_text("ten lines of text\n" * 100)
    found = file.read_bytes() if file.is_file() else b""
    rel = Reliability("shop", store=SQLiteStore(file), watch=0)
    with capture_logs() as logs:
        async with rel:
            assert rel.ready
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["state_store_set_aside"]
    assert (file.read_bytes() if file.is_file() else b"") == found


async def test_a_worker_that_runs_takes_over_without_the_lease_when_the_lock_outlasts_one(
    clock: ManualClock,
) -> None:
    store = WriteLocked(clock=clock)
    gone, left = Worker(store, clock), Worker(store, clock)
    for worker in (gone, left):
        await worker.rel.start()
    await pass_(clock, 10)
    assert (gone.told, left.told) == ([("firing", "Down")], [])
    store.error = LOCKED
    running = gone.rel._running
    assert running is not None
    running.cancel()  # as by a kill: nothing is given up
    left.rel.alerts.send_alert(RaisedAlert("Full"))
    for _ in range(100):
        await pass_(clock, 1)
    assert left.told == [("firing", "Full")], "what was told before the lock is known"
    store.error = None
    await pass_(clock, 60)
    assert left.rel.alerts.leads
    assert set(left.told) == {("firing", "Full")}
    await stop(clock, left)


async def test_a_state_that_cannot_be_restored_is_left_as_it_is(clock: ManualClock) -> None:
    store = Faulty(clock=clock)
    await store.write([Put("shop/alerting.history", "a", b"unforeseen")])
    store.error, store.fails_at = KeyError("unforeseen"), "history"
    worker = Worker(store, clock)
    await worker.rel.start()
    await pass_(clock, 10)
    assert set(worker.told) == {("firing", "Down"), ("firing", "ReliabilityStateNotKept")}
    await stop(clock, worker)
    assert store._tables == {"shop/alerting.history": {"a": b"unforeseen"}}
