from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience.core.clock import ManualClock
from resilience.errors import BulkheadFull, ConfigError
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.events import CallRejected


class Workers:
    """Calls that stay inside until they are told to end."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self.bulkhead = bulkhead
        self.inside: list[int] = []
        self.gates: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def start(self, number: int) -> asyncio.Task[None]:
        async def work() -> None:
            self.inside.append(number)
            try:
                await self.gates[number].wait()
            finally:
                self.inside.remove(number)

        self.gates[number] = asyncio.Event()
        self.tasks[number] = asyncio.create_task(self.bulkhead.call(work))
        return self.tasks[number]

    async def end(self, number: int) -> None:
        self.gates[number].set()
        await turns()

    async def cancel(self, number: int) -> None:
        self.tasks[number].cancel()
        await turns()

    async def close(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def turns() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


def figures(bulkhead: Bulkhead) -> tuple[int, int]:
    statistics = bulkhead.statistics()
    return statistics.in_flight, statistics.waiting


async def test_what_exceeds_limit_and_queue_is_refused() -> None:
    bulkhead = Bulkhead(2, queue=1, name="db")
    workers = Workers(bulkhead)
    events: list[object] = []
    bulkhead.events.subscribe(events.append)
    for number in range(4):
        workers.start(number)
    await turns()
    assert workers.inside == [0, 1]
    assert figures(bulkhead) == (2, 1)
    with pytest.raises(BulkheadFull, match="'db' is full") as caught:
        await workers.tasks[3]
    assert caught.value.policy == "db"
    assert [(event.kind, event.reason) for event in events if isinstance(event, CallRejected)] == [
        ("bulkhead", "full")
    ]
    await workers.end(0)
    assert workers.inside == [1, 2]
    await workers.close()
    assert figures(bulkhead) == (0, 0)


@pytest.mark.parametrize(("order", "next_inside"), [("fifo", 1), ("lifo", 3)])
async def test_the_queue_has_an_order(order: Any, next_inside: int) -> None:
    workers = Workers(Bulkhead(1, queue=3, order=order))
    for number in range(4):
        workers.start(number)
    await turns()
    await workers.end(0)
    assert workers.inside == [next_inside]
    await workers.close()


async def test_a_newcomer_does_not_overtake_who_was_handed_a_permit() -> None:
    workers = Workers(Bulkhead(1, queue=5))
    workers.start(0)
    workers.start(1)
    await turns()
    workers.gates[0].set()
    for number in range(2, 5):  # they come before the permit's new owner has run
        workers.start(number)
    await turns()
    assert workers.inside == [1]
    await workers.close()


async def test_a_wait_has_its_limit() -> None:
    clock = ManualClock()
    bulkhead = Bulkhead(1, queue=1, max_wait=5.0, clock=clock)
    workers = Workers(bulkhead)
    workers.start(0)
    workers.start(1)
    await clock.advance(4.9)
    assert figures(bulkhead) == (1, 1)
    await clock.advance(0.2)
    with pytest.raises(BulkheadFull):
        await workers.tasks[1]
    assert figures(bulkhead) == (1, 0)
    await workers.close()


async def test_a_waiter_that_is_cancelled_as_its_permit_comes_passes_it_on() -> None:
    bulkhead = Bulkhead(1, queue=2)
    token = bulkhead.enter(0.0, None)
    assert token is not None
    workers = Workers(bulkhead)
    workers.start(1)
    workers.start(2)
    await turns()
    bulkhead.leave(token, None, None, 0.0, 0.0)  # 1 is handed the permit, and has not run yet
    await workers.cancel(1)
    assert workers.inside == [2]
    assert figures(bulkhead) == (1, 0)
    await workers.close()
    assert figures(bulkhead) == (0, 0)


async def test_a_wait_that_ends_as_its_waiter_is_cancelled_is_a_cancellation() -> None:
    clock = ManualClock()
    bulkhead = Bulkhead(1, queue=1, max_wait=5.0, clock=clock)
    workers = Workers(bulkhead)
    workers.start(0)
    workers.start(1)
    await turns()
    workers.tasks[1].cancel()
    clock.shift(5.0)
    await turns()
    assert workers.tasks[1].cancelled()
    assert figures(bulkhead) == (1, 0)
    await workers.close()


def test_it_works_on_a_second_loop_though_the_first_ended_with_waiters() -> None:
    bulkhead = Bulkhead(1, queue=2)
    first = asyncio.new_event_loop()

    async def hold() -> None:
        await asyncio.sleep(3600)

    holder = first.create_task(bulkhead.call(hold))
    waiter = first.create_task(bulkhead.call(hold))
    first.run_until_complete(turns())
    assert figures(bulkhead) == (1, 1)
    holder.cancel()
    waiter._log_destroy_pending = False  # type: ignore[attr-defined]  # it is left behind on purpose
    first.run_until_complete(asyncio.gather(holder, return_exceptions=True))
    assert figures(bulkhead) == (1, 0)  # the waiter has it now
    waiter.cancel()
    first.run_until_complete(asyncio.gather(waiter, return_exceptions=True))

    stuck = first.create_task(bulkhead.call(hold))
    left = first.create_task(bulkhead.call(hold))
    first.run_until_complete(turns())
    for task in (stuck, left):
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # same
    first.close()

    async def second() -> str:
        bulkhead.leave(1, None, None, 0.0, 0.0)  # for `stuck`, whose loop is gone; `left` can not be woken
        return await bulkhead.call(answer)

    async def answer() -> str:
        return "second"

    assert asyncio.run(second()) == "second"
    assert figures(bulkhead) == (0, 0)
    for task in (stuck, left):
        task.get_coro().close()  # type: ignore[union-attr]  # the loop that would is closed


class Model:
    """A bulkhead as one would explain it."""

    def __init__(self, limit: int, queue: int, *, lifo: bool) -> None:
        self.limit, self.queue, self.lifo = limit, queue, lifo
        self.inside: list[int] = []
        self.waiting: list[int] = []

    def start(self, number: int) -> None:
        if len(self.inside) < self.limit:
            self.inside.append(number)
        elif len(self.waiting) < self.queue:
            self.waiting.append(number)

    def remove(self, number: int) -> None:
        if number in self.waiting:
            self.waiting.remove(number)
        elif number in self.inside:
            self.inside.remove(number)
        self.settle()

    def settle(self) -> None:
        while self.waiting and len(self.inside) < self.limit:
            self.inside.append(self.waiting.pop(-1 if self.lifo else 0))


STEPS = st.lists(
    st.tuples(st.sampled_from(["start", "start", "end", "cancel", "resize"]), st.integers(0, 9)), max_size=40
)


@settings(max_examples=100, deadline=None)
@given(limit=st.integers(1, 3), queue=st.integers(0, 4), order=st.sampled_from(["fifo", "lifo"]), steps=STEPS)
def test_it_agrees_with_its_model(limit: int, queue: int, order: Any, steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        bulkhead = Bulkhead(limit, queue=queue, order=order if queue else "fifo")
        workers = Workers(bulkhead)
        model = Model(limit, queue, lifo=order == "lifo")
        for step, pick in steps:
            alive = sorted([*model.inside, *model.waiting])
            if step == "start":
                number = len(workers.tasks)
                model.start(number)
                workers.start(number)
                await turns()
            elif step == "resize":
                model.limit = pick % 4 + 1
                model.settle()
                bulkhead.reconfigure(limit=model.limit)
                await turns()
            elif alive and (step == "cancel" or model.inside):
                number = (
                    alive[pick % len(alive)] if step == "cancel" else model.inside[pick % len(model.inside)]
                )
                model.remove(number)
                await (workers.cancel(number) if step == "cancel" else workers.end(number))
            assert sorted(workers.inside) == sorted(model.inside)
            assert figures(bulkhead) == (len(model.inside), len(model.waiting))
        await workers.close()
        assert figures(bulkhead) == (0, 0)

    asyncio.run(run())


async def test_observing_nobody_waits_or_is_refused() -> None:
    bulkhead = Bulkhead(1, queue=1, mode="observe")
    workers = Workers(bulkhead)
    events: list[object] = []
    bulkhead.events.subscribe(events.append)
    for number in range(3):
        workers.start(number)
    await turns()
    assert workers.inside == [0, 1, 2]
    assert bulkhead.statistics().rejected == 2
    assert [event.observed for event in events if isinstance(event, CallRejected)] == [True, True]
    await workers.close()
    assert figures(bulkhead) == (0, 0)


async def test_those_that_wait_go_on_once_it_only_observes() -> None:
    bulkhead = Bulkhead(1, queue=2)
    workers = Workers(bulkhead)
    for number in range(3):
        workers.start(number)
    await turns()
    bulkhead.reconfigure(mode="observe")
    await turns()
    assert workers.inside == [0, 1, 2]
    await workers.close()


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 0},
        {"limit": True},
        {"queue": -1},
        {"max_wait": 0},
        {"max_wait": math.nan},
        {"order": "random"},
        {"mode": "off"},
    ],
)
def test_nonsense_is_refused_and_changes_nothing(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Bulkhead(**options)
    bulkhead = Bulkhead(3)
    with pytest.raises(ConfigError):
        bulkhead.reconfigure(**{"limit": 5, **options})
    assert bulkhead.statistics().limit == 3
