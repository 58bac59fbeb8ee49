from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from resilience.core.clock import Instant
from resilience.testing import ManualClock
from resilience.ticker import Ticker


class LateClock(ManualClock):
    """Wakes sleepers late, as a busy loop does."""

    late = 0.0

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds + self.late)


class Book:
    def __init__(self, clock: ManualClock, interval: float = 1.0) -> None:
        self.start = clock.monotonic()
        self.ticks: list[float] = []
        self.lags: list[float] = []
        self.failures = 0
        self.error: Exception | None = None
        self.ticker = Ticker(
            self.tick, interval=interval, late=self.lags.append, failed=self.fail, clock=clock
        )

    async def tick(self, now: Instant) -> None:
        self.ticks.append(round(now.monotonic - self.start, 6))
        if self.error is not None:
            raise self.error

    def fail(self, error: BaseException) -> None:
        assert error is self.error
        self.failures += 1


async def ran(book: Book, clock: ManualClock, seconds: float) -> None:
    task = asyncio.create_task(book.ticker.run())
    await clock.advance(seconds)
    task.cancel()
    await asyncio.wait([task])


async def test_a_tick_that_is_a_little_late_carries_its_planned_time() -> None:
    clock = LateClock()
    clock.late = 0.05
    book = Book(clock)
    await ran(book, clock, 3.5)
    assert book.ticks == [1.0, 2.0, 3.0]
    assert [round(lag, 6) for lag in book.lags] == [0.05, 0.05, 0.05]


async def test_a_tick_that_is_much_too_late_says_so() -> None:
    clock = LateClock()
    clock.late = 0.4
    book = Book(clock)
    await ran(book, clock, 2.5)
    assert book.ticks == [1.4, 2.4]


async def test_what_was_missed_is_not_caught_up_with() -> None:
    clock = LateClock()
    book = Book(clock)
    clock.late = 10.0
    task = asyncio.create_task(book.ticker.run())
    await clock.advance(5.0)
    clock.late = 0.0
    await clock.advance(9.0)
    task.cancel()
    await asyncio.wait([task])
    assert book.ticks == [11.0, 12.0, 13.0, 14.0]


async def test_a_fault_is_logged_and_ends_nothing() -> None:
    clock = ManualClock()
    book = Book(clock)
    book.error = RuntimeError("out of luck")
    with capture_logs() as logs:
        await ran(book, clock, 2.0)
    assert book.ticks == [1.0, 2.0]
    assert book.failures == 2
    assert [entry["event"] for entry in logs] == ["tick_failed", "tick_failed"]
