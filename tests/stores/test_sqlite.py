"""SQLite: what a write returned for stays."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from resilience.core.clock import ManualClock
from resilience.core.ports import Put
from resilience.errors import MissingExtra, StoreError
from resilience.stores.sqlite import SQLiteStore


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    first = SQLiteStore(tmp_path / "state.db")
    await first.write([Put("a", "x", b"1")])
    await first.close()
    second = SQLiteStore(tmp_path / "state.db")
    assert dict(await second.load("a")) == {"x": b"1"}
    await second.close()


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "state.db")
    await store.write([Put("a", "x", b"1")])
    await store.close()
    assert stat.S_IMODE((tmp_path / "state.db").stat().st_mode) == 0o600


async def test_it_writes_ahead(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "state.db")
    await store.write([Put("a", "x", b"1")])
    assert (tmp_path / "state.db-wal").exists()
    await store.close()


async def test_a_batch_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "state.db")
    await store.write([Put("a", "x", b"1")])
    with pytest.raises(StoreError, match="state file"):
        await store.write([Put("a", "x", b"2"), Put("a", "y", object())])
    assert dict(await store.load("a")) == {"x": b"1"}
    await store.write([Put("a", "x", b"3")])
    assert dict(await store.load("a")) == {"x": b"3"}
    await store.close()


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "nowhere" / "state.db")
    with pytest.raises(StoreError, match="nowhere"):
        await store.load("a")
    await store.close()


async def test_a_file_that_cannot_be_opened_leaves_no_thread_that_reports_to_a_closed_loop(
    tmp_path: Path,
) -> None:
    store = SQLiteStore(tmp_path)
    for _ in range(20):
        with pytest.raises(StoreError, match="unable to open"):
            await store.load("a")
        assert not [thread for thread in threading.enumerate() if "_connection_worker" in thread.name]


async def test_writers_at_once_do_not_mix_their_batches(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "state.db")
    await asyncio.gather(*(store.write([Put("a", key, str(n).encode()) for key in "xy"]) for n in range(20)))
    rows = await store.load("a")
    assert rows["x"] == rows["y"]
    await store.close()


async def test_a_cancelled_writer_leaves_the_store_usable(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "state.db")
    await store.load("a")
    writer = asyncio.create_task(store.write([Put("a", str(n), b"x" * 100) for n in range(1000)]))
    await asyncio.sleep(0)
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer
    await store.write([Put("a", "last", b"1")])
    assert len(await store.load("a")) in {1, 1001}
    await store.close()


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("not a database, and long enough to be read as one" * 100)
    store = SQLiteStore(tmp_path / "state.db")
    with pytest.raises(StoreError, match=r"state\.db.*not a database"):
        await store.load("a")
    await store.close()


def halve(file: Path) -> bytes:
    half = file.read_bytes()[: file.stat().st_size // 2]
    file.write_bytes(half)
    return half


async def test_a_file_that_is_half_gone_is_named_with_what_to_do_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    store = SQLiteStore(file)
    await store.write([Put("a", str(n), b"x" * 500) for n in range(500)])
    await store.close()
    half = halve(file)
    with pytest.raises(StoreError, match=r"state\.db.*malformed.*move it"):
        await store.load("a")
    await store.close()
    assert await asyncio.to_thread(file.read_bytes) == half


async def test_without_aiosqlite_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiosqlite", None)
    store = SQLiteStore(tmp_path / "state.db")
    with pytest.raises(MissingExtra, match=r"asyncio-resilience\[sqlite\]"):
        await store.load("a")


async def test_a_clock_that_is_set_back_leaves_no_lease_with_the_dead(tmp_path: Path) -> None:
    clock = ManualClock()
    store = SQLiteStore(tmp_path / "state.db", clock=clock)
    assert await store.lease("shop", "killed", 15.0) == 1
    clock.step_wall(-3600)
    assert await store.lease("shop", "next", 15.0) == 2
    assert await store.lease("shop", "killed", 15.0) is None
    await store.close()


async def test_nothing_to_write_opens_nothing(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "state.db")
    await store.write([])
    assert not (tmp_path / "state.db").exists()


Opened = Callable[..., SQLiteStore]


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Makes stores that are closed in the end, whatever becomes of the test."""
    stores: list[SQLiteStore] = []

    def make(*arguments: Any, **options: Any) -> SQLiteStore:
        stores.append(SQLiteStore(*arguments, **options))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


async def test_a_file_of_a_newer_release_is_left_as_it_is(tmp_path: Path, opened: Opened) -> None:
    file = tmp_path / "state.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version = 9")
    before = file.read_bytes()
    store = opened(file)
    with pytest.raises(StoreError, match=r"newer release \(version 9, this one knows 1\); left as it is"):
        await store.load("a")
    await store.close()
    assert file.read_bytes() == before


async def test_a_file_has_the_version_of_its_release(tmp_path: Path, opened: Opened) -> None:
    file = tmp_path / "state.db"
    store = opened(file)
    await store.write([Put("a", "x", b"1")])
    await store.close()
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA user_version").fetchall() == [(1,)]


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
async def test_a_file_that_is_gone_is_noticed_with_the_next_lease_and_its_holder_goes_first(
    tmp_path: Path, opened: Opened, replaced: bool
) -> None:
    file, clock = tmp_path / "state.db", ManualClock()
    holder, other = opened(file, clock=clock), opened(file, clock=clock)
    first = await holder.lease("tick", "me", 15)
    assert await other.lease("tick", "you", 15) is None
    await holder.write([Put("a", "x", b"1")])
    file.unlink()
    if replaced:
        with closing(sqlite3.connect(file)) as db:
            db.execute("CREATE TABLE t (x)")
    clock.shift(5)
    assert await other.lease("tick", "you", 15) is None
    assert (other.generation, holder.generation) == (1, 0)
    again = await holder.lease("tick", "me", 15)
    assert holder.generation == 1
    assert first is not None
    assert again is not None
    assert again > first
    assert dict(await holder.load("a")) == {}
    await holder.write([Put("a", "x", b"2")])
    assert dict(await other.load("a")) == {"x": b"2"}
    clock.shift(15)
    assert await other.lease("tick", "you", 15) == again + 1


async def test_a_file_that_is_there_is_not_taken_for_another(tmp_path: Path, opened: Opened) -> None:
    store = opened(tmp_path / "state.db", clock=ManualClock())
    for _ in range(3):
        await store.lease("tick", "me", 15)
        await store.write([Put("a", "x", b"1")])
    await store.close()
    await store.lease("tick", "me", 15)
    assert store.generation == 0
