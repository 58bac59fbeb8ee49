"""Large batches: the event loop has its turn while they are made ready, and nothing is lost if that is interrupted."""

from __future__ import annotations

import asyncio

import pytest

from resilience.alerting.storage import Storage
from resilience.core import slices
from resilience.core.ports import Put
from resilience.stores.memory import MemoryStore

BATCH = [Put("alerting.history", str(number), b"row") for number in range(1000)]


class Ticking:
    """A clock of which each reading is a millisecond later: slices end after a few items."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 0.0001
        return self.now


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "time", Ticking())


async def test_others_have_their_turns_while_a_large_batch_is_made_ready() -> None:
    store = MemoryStore()
    writing = asyncio.ensure_future(Storage(store, "shop").write(BATCH, BATCH))
    turns = 0
    while not writing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100
    assert len(await store.load("shop/alerting.history")) == len(await store.load("alerting.history")) == 1000


async def test_a_batch_whose_writing_is_cancelled_is_written_with_the_next() -> None:
    for turns in (1, 50, 150):
        store = MemoryStore()
        storage = Storage(store, "shop")
        writing = asyncio.ensure_future(storage.write(BATCH, BATCH))
        for _ in range(turns):
            await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await storage.write([])
        assert (
            len(await store.load("shop/alerting.history"))
            == len(await store.load("alerting.history"))
            == 1000
        )
