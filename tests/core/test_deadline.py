"""Deadlines one by one: the cases of CPython's own timeout tests, and what ours do beyond them."""

# ruff: noqa: PT012, PT017  a block that is cut short must itself stand in the block that expects it
from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Awaitable, Callable

import anyio
import pytest

from resilience.core import deadline
from resilience.core.buckets import NEXT, PREVIOUS, WIDTH, Deadlines, deadlines_on
from resilience.core.clock import ManualClock
from resilience.core.deadline import current_deadline, reason, remaining, timeout, timeout_at
from resilience.errors import TimeoutExceeded
from resilience.policies.pipeline import Pipeline
from resilience.policies.timeout import Timeout as Policy


@pytest.fixture(autouse=True)
async def nothing_is_left() -> None:
    yield
    assert deadlines_on(asyncio.get_running_loop()).waiting() == 0


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


class TestAsAsyncioTimeout:
    async def test_a_block_that_takes_too_long_is_cut_short(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(TimeoutError):
            async with timeout(0.01) as limit:
                await for_ever()
        assert limit.expired()
        assert loop.time() - started >= 0.009

    async def test_timeout_at_takes_a_moment(self) -> None:
        with pytest.raises(TimeoutError):
            async with timeout_at(asyncio.get_running_loop().time() + 0.01):
                await for_ever()

    @pytest.mark.parametrize("delay", [0, -1])
    async def test_a_deadline_in_the_past_lets_a_block_run_that_never_suspends(self, delay: float) -> None:
        async with timeout(delay) as limit:
            done = True
        assert done
        assert not limit.expired()

    @pytest.mark.parametrize("delay", [0, -1])
    async def test_a_deadline_in_the_past_cancels_at_the_first_suspension(self, delay: float) -> None:
        with pytest.raises(TimeoutError):
            async with timeout(delay):
                await for_ever()

    async def test_none_sets_no_limit(self) -> None:
        async with timeout(None) as limit:
            await asyncio.sleep(0)
        assert limit.when() is None
        assert not limit.expired()

    async def test_infinity_never_comes(self) -> None:
        async with timeout(float("inf")) as limit:
            await asyncio.sleep(0)
        assert limit.when() == float("inf")
        assert not limit.expired()

    async def test_cancellation_from_outside_wins(self) -> None:
        async def block() -> None:
            async with timeout(10):
                await for_ever()

        task = asyncio.create_task(block())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_cancellation_from_outside_wins_over_a_deadline_that_fired_as_well(self) -> None:
        async def block() -> None:
            async with timeout(0.01):
                try:
                    await for_ever()
                finally:
                    started.set()
                    await asyncio.sleep(0.01)

        started = asyncio.Event()
        task = asyncio.create_task(block())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_the_blocks_own_timeout_error_keeps_its_identity(self) -> None:
        own = TimeoutError("its own")
        with pytest.raises(TimeoutError) as caught:
            async with timeout(10) as limit:
                raise own
        assert caught.value is own
        assert not limit.expired()

    async def test_an_error_raised_on_cancellation_is_passed_on(self) -> None:
        with pytest.raises(KeyError):
            async with timeout(0.01) as limit:
                try:
                    await for_ever()
                except asyncio.CancelledError:
                    raise KeyError from None
        assert limit.expired()
        assert asyncio.current_task().cancelling() == 0

    async def test_a_swallowed_cancellation_leaves_no_trace(self) -> None:
        async with timeout(0.01) as limit:
            with contextlib.suppress(asyncio.CancelledError):
                await for_ever()
        assert limit.expired()
        assert asyncio.current_task().cancelling() == 0

    async def test_the_outer_of_two_fires_through_the_inner(self) -> None:
        with pytest.raises(TimeoutError):
            async with timeout(0.01) as outer, timeout(10) as inner:
                await for_ever()
        assert outer.expired()
        assert not inner.expired()

    async def test_the_inner_of_two_leaves_the_outer_alone(self) -> None:
        async with timeout(10) as outer:
            with pytest.raises(TimeoutError):
                async with timeout(0.01) as inner:
                    await for_ever()
        assert inner.expired()
        assert not outer.expired()

    async def test_it_can_be_moved_and_lifted(self) -> None:
        loop = asyncio.get_running_loop()
        async with timeout(0.01) as limit:
            limit.reschedule(loop.time() + 100)
            await asyncio.sleep(0.02)
            limit.reschedule(None)
            assert limit.when() is None
            limit.reschedule(loop.time() + 100)
        with pytest.raises(TimeoutError):
            async with timeout(None) as limit:
                limit.reschedule(loop.time() + 0.01)
                await for_ever()

    async def test_it_can_be_moved_from_inside_another(self, clock: ManualClock) -> None:
        async with timeout(5, clock=clock) as outer, timeout(2, clock=clock):
            for later in (60, 0.05, 0.06, 9):
                outer.reschedule(clock.monotonic() + later)
                assert remaining() == pytest.approx(min(2, later))

    async def test_it_can_be_moved_in_its_last_moments(self, clock: ManualClock) -> None:
        with pytest.raises(TimeoutError):
            async with timeout(1, clock=clock) as limit:
                for _ in range(50):
                    clock.shift(0.99)
                    limit.reschedule(clock.monotonic() + 1)
                    await asyncio.sleep(0)
                clock.shift(0.99)
                await asyncio.sleep(0)
                clock.shift(0.01)
                await for_ever()

    async def test_it_can_be_moved_to_where_it_is(self, clock: ManualClock) -> None:
        with pytest.raises(TimeoutError):
            async with timeout(1.0625, clock=clock) as limit:
                clock.shift(1.03125)
                limit.reschedule(limit.when())
                clock.shift(0.03125)
                await for_ever()

    async def test_it_cannot_be_moved_before_and_after_its_block(self) -> None:
        limit = timeout(10)
        with pytest.raises(RuntimeError, match="not been entered"):
            limit.reschedule(2)
        async with limit:
            pass
        with pytest.raises(RuntimeError, match="finished"):
            limit.reschedule(2)
        limit = timeout(0)
        with pytest.raises(TimeoutError):
            async with limit:
                try:
                    await for_ever()
                finally:
                    with pytest.raises(RuntimeError, match="expiring"):
                        limit.reschedule(2)
        with pytest.raises(RuntimeError, match="expired"):
            limit.reschedule(2)

    async def test_it_serves_one_block(self) -> None:
        async with timeout(10) as limit:
            with pytest.raises(RuntimeError, match="already been entered"):
                async with limit:
                    pass
        with pytest.raises(RuntimeError, match="already been entered"):
            async with limit:
                pass

    def test_it_needs_a_loop_and_a_task(self) -> None:
        with pytest.raises(RuntimeError):
            timeout(1)
        entering = timeout_at(1).__aenter__()
        with pytest.raises(RuntimeError):
            entering.send(None)

    async def test_it_says_what_it_is(self) -> None:
        limit = timeout(10)
        assert repr(limit) == "<Timeout [created]>"
        async with limit:
            assert repr(limit).startswith("<Timeout [active] when=")
        assert repr(limit) == "<Timeout [finished]>"
        limit = timeout(0)
        with pytest.raises(TimeoutError):
            async with limit:
                try:
                    await for_ever()
                finally:
                    assert repr(limit).startswith("<Timeout [expiring]")
        assert repr(limit) == "<Timeout [expired]>"


class TestFlowingDown:
    async def test_there_is_none_outside(self) -> None:
        assert current_deadline() is None
        assert remaining() is None

    async def test_the_nearest_one_counts(self, clock: ManualClock) -> None:
        async with timeout(5, clock=clock):
            assert remaining() == 5
            async with timeout(2, clock=clock):
                assert remaining() == 2
                assert current_deadline() == clock.monotonic() + 2
            async with timeout(9, clock=clock):
                assert remaining() == 5
            clock.shift(1)
            assert remaining() == 4
        assert remaining() is None

    async def test_what_has_passed_leaves_nothing_not_less(self, clock: ManualClock) -> None:
        with pytest.raises(TimeoutError):
            async with timeout(1, clock=clock):
                clock.shift(3)
                assert remaining() == 0
                await asyncio.sleep(0)

    async def test_child_tasks_inherit_the_deadline_of_their_birth(self, clock: ManualClock) -> None:
        async def child() -> float | None:
            return remaining()

        async with timeout(5, clock=clock):
            task = asyncio.create_task(child())
            async with timeout(1, clock=clock):
                assert await task == 5

    async def test_a_task_that_outlives_the_block_is_free(self, clock: ManualClock) -> None:
        async def child() -> float | None:
            await gate.wait()
            return remaining()

        gate = asyncio.Event()
        async with timeout(5, clock=clock):
            task = asyncio.create_task(child())
            await asyncio.sleep(0)
        gate.set()
        assert await task is None

    async def test_a_timeout_in_a_child_never_outlives_the_parents(self, clock: ManualClock) -> None:
        async def child() -> None:
            async with timeout(60, clock=clock):
                await for_ever()

        async with timeout(5, clock=clock) as limit:
            task = asyncio.create_task(child())
            await clock.advance(4.9)
            assert not task.done()
            limit.reschedule(None)
        # The parent's deadline was lifted, the child has had it since it began.
        await clock.advance(0.2)
        with pytest.raises(TimeoutError):
            await task

    async def test_threads_see_it(self, clock: ManualClock) -> None:
        async with timeout(5, clock=clock):
            assert await asyncio.to_thread(remaining) == 5

    async def test_a_chain_of_tasks_retains_no_deadline_of_those_before(self, clock: ManualClock) -> None:
        depths: list[int] = []

        async def link(left: int) -> None:
            async with timeout(5, clock=clock):
                after = asyncio.create_task(link(left - 1)) if left else None
                await asyncio.sleep(0)
            if after is not None:
                await after
            else:
                depth, entry = 0, deadline.innermost.get()
                while entry is not None:
                    depth, entry = depth + 1, entry[deadline.OUTER]
                depths.append(depth)

        await link(20)
        assert depths[0] <= 2


class TestReason:
    async def test_a_deadline_around_the_call_is_held_against_it(self) -> None:
        with pytest.raises(TimeoutError):
            async with timeout(0):
                try:
                    await for_ever()
                except asyncio.CancelledError as error:
                    assert isinstance(reason(error), TimeoutExceeded)
                    assert reason(error).__cause__ is error
                    raise

    async def test_so_is_the_deadline_of_the_parent_task(self) -> None:
        reasons: list[BaseException] = []

        async def child() -> None:
            try:
                await for_ever()
            except asyncio.CancelledError as error:
                reasons.append(reason(error))
                raise

        with pytest.raises(TimeoutError):
            async with timeout(0.01), asyncio.TaskGroup() as group:
                group.create_task(child())
        assert isinstance(reasons[0], TimeoutExceeded)

    async def test_a_cancellation_from_outside_is_not(self) -> None:
        reasons: list[BaseException] = []

        async def block() -> None:
            async with timeout(10):
                try:
                    await for_ever()
                except asyncio.CancelledError as error:
                    reasons.append(reason(error))
                    raise

        task = asyncio.create_task(block())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert isinstance(reasons[0], asyncio.CancelledError)

    async def test_nor_where_both_have_happened(self) -> None:
        reasons: list[BaseException] = []

        async def block() -> None:
            async with timeout(0):
                try:
                    await for_ever()
                except asyncio.CancelledError as error:
                    asyncio.current_task().cancel()
                    reasons.append(reason(error))
                    raise

        task = asyncio.create_task(block())
        await asyncio.wait([task])
        assert task.cancelled()
        assert isinstance(reasons[0], asyncio.CancelledError)

    async def test_other_errors_are_their_own_reason(self) -> None:
        error = KeyError()
        assert reason(error) is error


class TestBesideAnyio:
    """Cancel scopes and task groups of anyio, in both orders of nesting."""

    async def test_a_scope_inside_a_deadline(self) -> None:
        with pytest.raises(TimeoutError):
            async with timeout(0.01):
                with anyio.move_on_after(10):
                    await anyio.sleep(5)
        assert asyncio.current_task().cancelling() == 0

    async def test_a_scope_inside_a_deadline_that_ends_first(self) -> None:
        async with timeout(10) as limit:
            with anyio.move_on_after(0.01) as scope:
                await anyio.sleep(5)
        assert scope.cancelled_caught
        assert not limit.expired()

    async def test_a_deadline_inside_a_scope(self) -> None:
        with anyio.move_on_after(10) as scope:
            with pytest.raises(TimeoutError):
                async with timeout(0.01):
                    await anyio.sleep(5)
        assert not scope.cancelled_caught

    async def test_a_deadline_inside_a_scope_that_ends_first(self) -> None:
        with anyio.move_on_after(0.01) as scope:
            async with timeout(10):
                await anyio.sleep(5)
        assert scope.cancelled_caught

    async def test_a_task_group_inside_a_deadline(self) -> None:
        with pytest.raises(TimeoutError):
            async with timeout(0.01), anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, 5)
                group.start_soon(anyio.sleep, 5)

    async def test_deadlines_inside_a_task_group(self) -> None:
        ended: list[str] = []

        async def limited(name: str) -> None:
            try:
                async with timeout(0.01):
                    await anyio.sleep(5)
            except TimeoutError:
                ended.append(name)

        async with anyio.create_task_group() as group:
            group.start_soon(limited, "a")
            group.start_soon(limited, "b")
        assert sorted(ended) == ["a", "b"]


class TestTheTimer:
    async def test_a_deadline_is_exact_across_buckets(self, clock: ManualClock) -> None:
        for delay in (0.001, WIDTH / 2, WIDTH, WIDTH + 0.001, 1.0, 3600.0):
            with pytest.raises(TimeoutError):
                async with timeout(delay, clock=clock):
                    clock.shift(delay - 0.0005)
                    await asyncio.sleep(0)
                    clock.shift(0.0005)
                    await for_ever()

    async def test_a_thousand_deadlines_share_one_timer(self, clock: ManualClock) -> None:
        timers: list[float] = []

        def call_at(when: float, callback: Callable[[], object]) -> object:
            timers.append(when)
            return clock.call_at(when, callback)

        shared = Deadlines(asyncio.get_running_loop(), clock.monotonic, call_at)
        for _ in range(1000):
            async with deadline.Timeout(clock.monotonic() + 30, shared):
                clock.shift(WIDTH / 100)
        assert len(timers) <= 2

    @pytest.mark.parametrize("first", [2.0, 9.9, 10.4, 60.0])
    async def test_a_bucket_is_used_again_only_within_its_bounds(
        self, first: float, clock: ManualClock
    ) -> None:
        shared = Deadlines.on_clock(clock)
        async with deadline.Timeout(clock.monotonic() + first, shared):
            pass
        with pytest.raises(TimeoutError):
            async with deadline.Timeout(clock.monotonic() + 10, shared) as limit:
                await clock.advance(10 - 2**-10)
                assert not limit.expired()
                clock.shift(2**-10)
                await for_ever()

    async def test_what_is_over_knows_no_neighbours(self) -> None:
        for policy in (Policy(30), Pipeline(Policy(30))):
            async with timeout(30):
                await policy.call(asyncio.sleep, 0)
                entry = deadline.innermost.get()
                assert entry[PREVIOUS] is entry[NEXT] is None
        async with timeout(30):
            pass
        entry = deadline.innermost.get()
        assert entry[PREVIOUS] is entry[NEXT] is None

    async def test_empty_buckets_do_not_pile_up(self, clock: ManualClock) -> None:
        shared = Deadlines.on_clock(clock)
        for seconds in range(1, 20_000):
            async with deadline.Timeout(clock.monotonic() + seconds, shared):
                pass
        assert len(shared._buckets) <= 400
        clock.shift(20_000)
        assert not shared._buckets

    async def test_deadlines_of_one_bucket_expire_in_their_order(self, clock: ManualClock) -> None:
        ended: list[float] = []
        shared = Deadlines.on_clock(clock)

        async def limited(delay: float) -> None:
            try:
                async with deadline.Timeout(clock.monotonic() + delay, shared):
                    await for_ever()
            except TimeoutError:
                ended.append(delay)

        async with asyncio.TaskGroup() as group:
            for delay in (1.09, 1.01, 1.05, 1.05):
                group.create_task(limited(delay))
            await clock.advance(2)
        assert ended == [1.01, 1.05, 1.05, 1.09]

    def test_loops_of_their_own_in_threads_of_their_own(self) -> None:
        results: list[str] = []

        async def limited() -> None:
            with pytest.raises(TimeoutError):
                async with timeout(0.02):
                    await for_ever()
            results.append(threading.current_thread().name)

        def work() -> None:
            asyncio.run(limited())
            asyncio.run(limited())

        threads = [threading.Thread(target=contextvars.copy_context().run, args=(work,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 6

    def test_it_works_on_uvloop(self) -> None:
        uvloop = pytest.importorskip("uvloop")

        async def main() -> float:
            loop = asyncio.get_running_loop()
            started = loop.time()
            with pytest.raises(TimeoutError):
                async with timeout(0.15):
                    await for_ever()
            return loop.time() - started

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert runner.run(main()) >= 0.149


def suspensions(count: int) -> Callable[[], Awaitable[None]]:
    async def body() -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    return body


@pytest.mark.parametrize("at", range(6))
async def test_cancelled_at_any_suspension_it_leaves_nothing(at: int) -> None:
    async def block() -> None:
        async with timeout(10):
            await suspensions(2)()
            async with timeout(5):
                await suspensions(3)()

    task = asyncio.create_task(block())
    for _ in range(at + 1):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() or at == 5
