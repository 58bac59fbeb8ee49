from __future__ import annotations

import asyncio

import pytest

from resilience.core.clock import SYSTEM_CLOCK, ManualClock
from resilience.errors import ConfigError
from tests.waiting import PATIENCE


async def test_a_manual_clock_stands_still_until_it_is_moved(clock: ManualClock) -> None:
    before = clock.now()
    await asyncio.sleep(0)
    assert clock.now() == before
    await clock.advance(2.5)
    assert clock.now().monotonic == before.monotonic + 2.5
    assert clock.now().wall == before.wall + 2.5


async def test_callbacks_are_called_in_order_at_their_own_time(clock: ManualClock) -> None:
    start = clock.monotonic()
    calls: list[tuple[str, float]] = []
    for name, delay in (("late", 2.0), ("early", 1.0), ("same", 1.0)):
        clock.call_at(start + delay, lambda name=name: calls.append((name, clock.monotonic() - start)))
    clock.shift(5)
    assert calls == [("early", 1.0), ("same", 1.0), ("late", 2.0)]


async def test_a_cancelled_callback_is_not_called(clock: ManualClock) -> None:
    calls: list[str] = []
    timer = clock.call_at(clock.monotonic() + 1, lambda: calls.append("called"))
    timer.cancel()
    await clock.advance(2)
    assert calls == []


async def test_a_task_that_sleeps_again_and_again_is_woken_at_each_time(clock: ManualClock) -> None:
    woken: list[float] = []
    start = clock.monotonic()

    async def nap() -> None:
        for _ in range(3):
            await clock.sleep(10)
            woken.append(clock.monotonic() - start)

    task = asyncio.create_task(nap())
    await clock.advance(100)
    assert woken == [10, 20, 30]
    assert task.done()


async def test_a_cancelled_sleep_leaves_no_timer(clock: ManualClock) -> None:
    task = asyncio.create_task(clock.sleep(10))
    await clock.advance(1)
    task.cancel()
    await clock.advance(1)
    assert task.cancelled()
    assert all(timer.callback is None for timer in clock._timers)


async def test_sleeping_zero_or_less_yields_once(clock: ManualClock) -> None:
    await clock.sleep(0)
    await clock.sleep(-1)
    assert clock.monotonic() == 1_000.0


def test_a_manual_clock_never_goes_back(clock: ManualClock) -> None:
    with pytest.raises(ConfigError, match="seconds must be a number of at least 0, got -1"):
        clock.shift(-1)


def test_a_step_of_the_wall_clock_leaves_the_monotonic_one_alone(clock: ManualClock) -> None:
    before = clock.now()
    clock.step_wall(-3600)
    assert clock.monotonic() == before.monotonic
    assert clock.time() == before.wall - 3600


async def test_the_system_clock_calls_back_when_the_time_has_come() -> None:
    called = asyncio.Event()
    when = SYSTEM_CLOCK.monotonic() + 0.01
    SYSTEM_CLOCK.call_at(when, called.set)
    async with asyncio.timeout(PATIENCE):
        await called.wait()
    assert SYSTEM_CLOCK.monotonic() >= when - 0.002  # a loop's timers may round by a millisecond
