"""Coalesce: who shares a call, and what one caller's cancellation does to the others."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from resilience.core.clock import ManualClock
from resilience.core.deadline import remaining, timeout
from resilience.core.ports import CallContext
from resilience.errors import ConfigError
from resilience.policies.coalesce import CallJoined, Coalesce


class Source:
    """Answers after `seconds` of the manual clock, with the number of the call."""

    def __init__(self, clock: ManualClock, seconds: float = 1.0) -> None:
        self.clock = clock
        self.seconds = seconds
        self.calls = 0
        self.cancelled = 0
        self.error: Exception | None = None

    async def load(self, item: object = None) -> tuple[object, int]:
        self.calls += 1
        number = self.calls
        try:
            await self.clock.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            await self.clock.sleep(self.seconds)
            raise
        if self.error is not None:
            raise self.error
        return item, number


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def source(clock: ManualClock) -> Source:
    return Source(clock)


def start(coalesce: Coalesce, source: Source, count: int = 1, item: object = None) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(coalesce.call(source.load, item)) for _ in range(count)]


async def test_callers_of_the_same_share_one_call(clock: ManualClock, source: Source) -> None:
    coalesce = Coalesce(clock=clock)
    tasks = start(coalesce, source, 5, "a") + start(coalesce, source, 1, "b")
    await clock.advance(1)
    assert [task.result() for task in tasks] == [("a", 1)] * 5 + [("b", 2)]
    assert (coalesce.statistics().calls, coalesce.statistics().joined) == (2, 4)
    assert coalesce.statistics().in_flight == 0


async def test_nothing_is_kept_once_a_call_has_ended(clock: ManualClock, source: Source) -> None:
    coalesce = Coalesce(clock=clock)
    for number in (1, 2):
        (task,) = start(coalesce, source)
        await clock.advance(1)
        assert task.result() == (None, number)


async def test_all_get_the_same_error(clock: ManualClock, source: Source) -> None:
    source.error = OSError("down")
    tasks = start(Coalesce(clock=clock), source, 3)
    await clock.advance(1)
    assert [task.exception() for task in tasks] == [source.error] * 3


async def test_the_first_callers_cancellation_does_not_reach_the_others(
    clock: ManualClock, source: Source
) -> None:
    first, second = start(Coalesce(clock=clock), source, 2)
    await clock.advance(0.5)
    first.cancel()
    await clock.advance(0.5)
    assert first.cancelled()
    assert second.result() == (None, 1)


async def test_the_last_to_be_cancelled_ends_the_call_before_its_cancellation_goes_on(
    clock: ManualClock, source: Source
) -> None:
    tasks = start(Coalesce(clock=clock), source, 3)
    await clock.advance(0.5)
    for task in tasks:
        task.cancel()
    await clock.advance(0.5)
    assert source.cancelled == 1
    assert [task.done() for task in tasks] == [True, True, False]
    await clock.advance(0.5)
    assert all(task.cancelled() for task in tasks)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_who_comes_while_a_call_is_given_up_begins_a_new_one(
    clock: ManualClock, source: Source
) -> None:
    coalesce = Coalesce(clock=clock)
    (first,) = start(coalesce, source)
    await clock.advance(0.5)
    first.cancel()
    await clock.advance(0)
    await clock.advance(0.5)
    (second,) = start(coalesce, source)
    await clock.advance(0.6)
    assert first.cancelled()
    (third,) = start(coalesce, source)
    await clock.advance(0.4)
    assert second.result() == third.result() == (None, 2)


@pytest.mark.parametrize("turns", range(8))
async def test_cancelled_at_any_suspension_nothing_stays(turns: int) -> None:
    coalesce = Coalesce()

    async def load() -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    tasks = [asyncio.ensure_future(coalesce.call(load)) for _ in range(2)]
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert coalesce.statistics().in_flight == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_first_callers_deadline_does_not_bind_the_others(clock: ManualClock) -> None:
    async def left() -> float | None:
        await clock.sleep(1)
        return remaining()

    coalesce = Coalesce(clock=clock)

    async def hurried() -> object:
        async with timeout(60):
            return await coalesce.call(left)

    task = asyncio.ensure_future(hurried())
    other = asyncio.ensure_future(coalesce.call(left))
    await clock.advance(1)
    assert await other is None
    await task


async def test_a_key_says_which_calls_are_the_same(clock: ManualClock, source: Source) -> None:
    coalesce = Coalesce(key=lambda item: item["id"], clock=clock)
    tasks = start(coalesce, source, 1, {"id": 1, "n": 1}) + start(coalesce, source, 1, {"id": 1, "n": 2})
    await clock.advance(1)
    assert source.calls == 1
    assert tasks[0].result() == tasks[1].result()


async def test_a_context_can_say_it(clock: ManualClock, source: Source) -> None:
    coalesce = Coalesce(clock=clock)
    context = CallContext(identity=("GET", "/a"))
    tasks = [asyncio.ensure_future(coalesce.execute(source.load, context)) for _ in range(2)]
    await clock.advance(1)
    assert (source.calls, len(tasks)) == (1, 2)


async def test_two_functions_with_the_same_arguments_are_two_calls(clock: ManualClock) -> None:
    coalesce, one, other = Coalesce(clock=clock), Source(clock), Source(clock)
    start(coalesce, one)
    start(coalesce, other)
    await clock.advance(1)
    assert (one.calls, other.calls) == (1, 1)


async def test_a_call_that_nothing_tells_apart_is_refused(source: Source) -> None:
    with pytest.raises(ConfigError, match="which calls are the same"):
        await Coalesce().execute(source.load)
    with pytest.raises(ConfigError, match="key="):
        await Coalesce().call(source.load, {"id": 1})


async def test_observing_counts_who_would_join_and_makes_every_call(
    clock: ManualClock, source: Source
) -> None:
    coalesce = Coalesce(mode="observe", clock=clock)
    heard: list[Any] = []
    coalesce.events.subscribe(heard.append)
    start(coalesce, source, 2)
    await clock.advance(1)
    assert source.calls == 2
    assert [(event.waiters, event.observed) for event in heard if isinstance(event, CallJoined)] == [
        (2, True)
    ]
    assert coalesce.statistics().in_flight == 0


def test_loops_do_not_wait_for_each_other() -> None:
    coalesce = Coalesce()
    loops: list[object] = []

    async def load() -> None:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)

    first = asyncio.new_event_loop()
    waiting = first.create_task(coalesce.call(load))
    first.run_until_complete(asyncio.sleep(0))
    asyncio.run(coalesce.call(load))
    first.run_until_complete(waiting)
    first.close()
    assert len(set(loops)) == len(loops) == 2


async def test_the_order_of_keyword_arguments_does_not_matter(clock: ManualClock) -> None:
    calls = []

    async def load(**options: int) -> None:
        calls.append(options)
        await clock.sleep(1)

    coalesce = Coalesce(clock=clock)
    pair = asyncio.gather(coalesce.call(load, a=1, b=2), coalesce.call(load, b=2, a=1))
    await clock.advance(1)
    await pair
    assert len(calls) == 1


# -- calls inside a flight ---------------------------------------------------------------------------------------


class Refreshing:
    """A request that repeats itself with the same key after its first answer, as after a 401."""

    def __init__(self, coalesce: Coalesce) -> None:
        self.coalesce = coalesce
        self.calls = 0

    async def fetch(self, key: str) -> str:
        self.calls += 1
        await asyncio.sleep(0)
        if self.calls == 1:
            return await self.coalesce.call(self.fetch, key)
        return f"{key} {self.calls}"


@pytest.mark.parametrize("mode", ["normal", "observe"])
async def test_a_call_made_inside_its_own_flight_runs_without_joining(mode: Any) -> None:
    coalesce = Coalesce(mode=mode)
    heard: list[object] = []
    coalesce.events.subscribe(heard.append)
    assert await coalesce.call(Refreshing(coalesce).fetch, "token") == "token 2"
    statistics = coalesce.statistics()
    assert (statistics.calls, statistics.joined, statistics.in_flight, heard) == (2, 0, 0, [])


async def test_others_join_the_flight_that_calls_itself() -> None:
    coalesce = Coalesce()
    source = Refreshing(coalesce)
    assert await asyncio.gather(*(coalesce.call(source.fetch, "a") for _ in range(3))) == ["a 2"] * 3


async def test_a_child_task_of_a_running_flight_runs_without_joining() -> None:
    coalesce = Coalesce()
    calls = 0

    async def load() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return await asyncio.create_task(coalesce.call(load)) if calls == 1 else calls

    assert await coalesce.call(load) == 2


async def test_a_task_that_outlives_the_flight_that_started_it_joins_as_any_other(
    clock: ManualClock, source: Source
) -> None:
    coalesce = Coalesce(clock=clock)
    background: list[asyncio.Task[Any]] = []

    async def later() -> object:
        await clock.sleep(5)
        return await coalesce.call(load)

    async def load() -> object:
        if not background:
            background.append(asyncio.create_task(later()))
        return await source.load()

    first = asyncio.ensure_future(coalesce.call(load))
    await clock.advance(4.5)
    assert first.result() == (None, 1)
    second = asyncio.ensure_future(coalesce.call(load))
    await clock.advance(2)
    assert second.result() == background[0].result() == (None, 2)


async def test_two_flights_that_need_each_other_do_not_wait_for_ever() -> None:
    coalesce, other = Coalesce(), Coalesce(name="other")
    calls: list[str] = []

    async def a() -> str:
        calls.append("a")
        await asyncio.sleep(0)
        return "a" + (await other.call(b) if len(calls) < 4 else "")

    async def b() -> str:
        calls.append("b")
        await asyncio.sleep(0)
        return "b" + (await coalesce.call(a) if len(calls) < 4 else "")

    results = await asyncio.gather(coalesce.call(a), other.call(b))
    assert all(set(result) == {"a", "b"} for result in results)
    assert coalesce.statistics().in_flight == other.statistics().in_flight == 0


async def test_many_calls_inside_one_flight_share_the_calls_of_others(clock: ManualClock) -> None:
    coalesce, source = Coalesce(clock=clock), Source(clock)

    async def page() -> list[Any]:
        return await asyncio.gather(*(coalesce.call(source.load, item) for item in "aabbb"))

    task = asyncio.ensure_future(coalesce.call(page))
    await clock.advance(2)
    assert task.result() == [("a", 1)] * 2 + [("b", 2)] * 3


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_a_cancelled_flight_that_calls_itself_ends_and_its_key_stays_usable(how: str) -> None:
    coalesce = Coalesce()
    hang = True

    async def load(depth: int = 0) -> str:
        if not hang:
            return "fresh"
        if depth < 2:
            return await coalesce.execute(lambda: load(depth + 1), same)
        await asyncio.Event().wait()
        raise AssertionError

    same = CallContext(identity="key")

    async def main() -> str:
        nonlocal hang
        task = asyncio.ensure_future(coalesce.execute(load, same))
        for _ in range(5):
            await asyncio.sleep(0)
        if how == "cancel":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(task, 0.001)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        hang = False
        return await coalesce.execute(load, same)

    assert asyncio.run(main()) == "fresh"


async def test_a_flight_leaves_no_reference_cycle() -> None:
    coalesce = Coalesce()

    class Answer:
        pass

    async def load() -> Answer:
        await asyncio.sleep(0)
        return Answer()

    await coalesce.call(load)
    gc.collect()
    gc.disable()
    try:
        answer = await coalesce.call(load)
        gone = weakref.ref(answer)
        del answer
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("options", [{"key": 3}, {"mode": "dry"}])
def test_nonsense_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Coalesce(**options)
    with pytest.raises(ConfigError, match=next(iter(options))):
        Coalesce().reconfigure(**options)
