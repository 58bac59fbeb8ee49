"""Every store of the folder keeps the promises of `core.ports.Store`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import resilience.stores
from resilience.core.clock import ManualClock
from resilience.core.ports import Put, Store
from resilience.stores.memory import MemoryStore
from resilience.stores.sqlite import SQLiteStore

MAKERS: dict[str, Callable[[Path, ManualClock], Store]] = {
    "memory": lambda folder, clock: MemoryStore(clock=clock),
    "sqlite": lambda folder, clock: SQLiteStore(folder / "state.db", clock=clock),
}
KINDS = sorted(
    module.name for module in pkgutil.iter_modules(resilience.stores.__path__) if module.name[0] != "_"
)


def test_there_are_stores_and_each_is_swept() -> None:
    assert KINDS
    assert set(KINDS) - {"redis"} == set(MAKERS)


@pytest.fixture(params=[kind for kind in KINDS if kind in MAKERS])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    assert importlib.import_module(f"resilience.stores.{request.param}").__doc__
    clock = ManualClock()
    made: Any = MAKERS[request.param](tmp_path, clock)
    made.clock_of_test = clock
    yield made
    await made.close()


async def test_what_was_written_is_loaded(store: Any) -> None:
    await store.write([Put("a", "x", b"1"), Put("b", "x", b"2"), Put("a", "y", b"\x00\xff")])
    assert dict(await store.load("a")) == {"x": b"1", "y": b"\x00\xff"}
    assert dict(await store.load("nothing")) == {}


async def test_the_last_write_of_a_key_counts(store: Any) -> None:
    await store.write([Put("a", "x", b"1"), Put("a", "x", None), Put("a", "x", b"3"), Put("a", "y", b"1")])
    await store.write([Put("a", "y", b"2"), Put("a", "y", None)])
    assert dict(await store.load("a")) == {"x": b"3"}


async def test_what_is_loaded_is_a_copy(store: Any) -> None:
    await store.write([Put("a", "x", b"1")])
    dict(await store.load("a")).clear()
    assert dict(await store.load("a")) == {"x": b"1"}


async def test_a_lease_has_one_holder_and_a_token_that_only_grows(store: Any) -> None:
    clock = store.clock_of_test
    first = await store.lease("tick", "me", 10)
    assert await store.lease("tick", "you", 10) is None
    clock.shift(9)
    assert await store.lease("tick", "me", 10) == first
    clock.shift(9)
    assert await store.lease("tick", "you", 10) is None
    clock.shift(1)
    second = await store.lease("tick", "you", 10)
    clock.shift(10)
    third = await store.lease("tick", "you", 10)
    assert first < second < third


async def test_it_can_be_closed_twice(store: Any) -> None:
    await store.write([Put("a", "x", b"1")])
    for _ in range(2):
        assert await store.close() is None
