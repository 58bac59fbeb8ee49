"""The deadlines of a pipeline, case by case: what chance would seldom find, in the generated form and the nested one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from resilience.core.buckets import deadlines_on
from resilience.core.clock import ManualClock
from resilience.core.deadline import remaining
from resilience.core.ports import CallContext
from resilience.errors import TimeoutExceeded
from resilience.policies.backoff import Constant
from resilience.policies.pipeline import Pipeline
from resilience.policies.retry import Retry
from resilience.policies.timeout import Timeout

forms = pytest.mark.parametrize("form", ["execute", "nested"])


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


class StubbornDoor:
    """A guard whose wait is not to be cut short, and which lets in whoever has been cancelled."""

    name = "door"
    holds = False

    def enter(self, now: float, context: CallContext | None) -> None:
        return None

    async def wait(self, context: CallContext | None) -> object:
        with contextlib.suppress(asyncio.CancelledError):
            await for_ever()
        return self

    def leave(
        self, token: object, result: object, error: BaseException | None, started: float, now: float
    ) -> None:
        raise AssertionError


class Rising:
    """A backoff that goes by the wait before, as decorrelated jitter does."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, float]] = []

    def delay(self, attempt: int, previous: float) -> float:
        self.asked.append((attempt, previous))
        return 2 * previous + 1


@forms
async def test_a_deadline_fires_once(form: str, clock: ManualClock) -> None:
    async def call() -> str:
        await clock.sleep(5)
        return "in peace"

    pipeline = Pipeline(Timeout(2, clock=clock), StubbornDoor(), clock=clock)
    task = asyncio.ensure_future(getattr(pipeline, form)(call))
    await clock.advance(2)
    await clock.advance(5)
    assert await task == "in peace"
    assert task.cancelling() == 0


@forms
async def test_the_total_deadline_remembers_who_was_cancelled_before_the_attempt(
    form: str, clock: ManualClock
) -> None:
    attempts = 0

    async def call() -> None:
        nonlocal attempts
        attempts += 1
        try:
            await for_ever()
        except asyncio.CancelledError:
            if attempts == 1:
                raise ConnectionError from None
            raise

    pipeline = Pipeline(
        Timeout(2, clock=clock),
        Retry(2, backoff=Constant(0.1, jitter="none"), clock=clock),
        Timeout(1.8, name="attempt", clock=clock),
        clock=clock,
    )
    task = asyncio.ensure_future(getattr(pipeline, form)(call))
    await clock.advance(0.5)
    task.cancel()
    await clock.advance(0.2)
    assert attempts == 2
    await clock.advance(2)
    assert task.cancelled()


@forms
async def test_an_attempt_is_judged_by_the_cancellations_of_its_own(form: str, clock: ManualClock) -> None:
    attempts = 0

    async def call() -> str:
        nonlocal attempts
        attempts += 1
        try:
            await for_ever()
        except asyncio.CancelledError:
            if attempts == 1:
                raise ConnectionError from None
            raise
        return ""

    pipeline = Pipeline(
        Timeout(20, clock=clock),
        Retry(2, backoff=Constant(0.1, jitter="none"), clock=clock),
        Timeout(1, name="attempt", clock=clock),
        clock=clock,
    )
    task = asyncio.ensure_future(getattr(pipeline, form)(call))
    await clock.advance(0.5)
    task.cancel()
    await clock.advance(3)
    with pytest.raises(TimeoutExceeded, match="attempt"):
        await task


@forms
async def test_a_backoff_is_told_the_wait_before(form: str, clock: ManualClock) -> None:
    async def call() -> None:
        raise ConnectionError

    backoff = Rising()
    pipeline = Pipeline(Timeout(60, clock=clock), Retry(4, backoff=backoff, clock=clock), clock=clock)
    task = asyncio.ensure_future(getattr(pipeline, form)(call))
    await clock.advance(60)
    with pytest.raises(ConnectionError):
        await task
    assert backoff.asked[:3] == [(1, 0), (2, 1), (3, 3)]


@forms
async def test_so_is_one_that_goes_by_results(form: str, clock: ManualClock) -> None:
    async def call() -> str:
        return "bad"

    backoff = Rising()
    retry = Retry(3, backoff=backoff, on_result=lambda result: result == "bad", clock=clock)
    pipeline = Pipeline(Timeout(60, clock=clock), retry, clock=clock)
    task = asyncio.ensure_future(getattr(pipeline, form)(call))
    await clock.advance(60)
    assert await task == "bad"
    assert backoff.asked[:2] == [(1, 0), (2, 1)]


@forms
@pytest.mark.parametrize("attempt", [1.0, 2.0])
async def test_of_two_deadlines_the_nearest_is_reported_and_the_outer_one_of_a_tie(
    form: str, attempt: float, clock: ManualClock
) -> None:
    left: list[float | None] = []

    async def call() -> None:
        left.append(remaining())
        await for_ever()

    pipeline = Pipeline(
        Timeout(2, name="total", clock=clock),
        Retry(1, clock=clock),
        Timeout(attempt, name="attempt", clock=clock),
        clock=clock,
    )
    task = asyncio.ensure_future(getattr(pipeline, form)(call))
    await clock.advance(2)
    with pytest.raises(TimeoutExceeded, match="attempt" if attempt < 2 else "total"):
        await task
    assert left == [attempt]


@forms
async def test_what_was_armed_is_withdrawn_at_every_end(form: str) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ConnectionError

    waiting: Callable[[], int] = deadlines_on(asyncio.get_running_loop()).waiting
    pipeline = Pipeline(
        Timeout(30), Retry(2, backoff=Constant(1e-9, jitter="none")), Timeout(10, name="attempt")
    )
    with pytest.raises(ConnectionError):
        await getattr(pipeline, form)(fail)
    assert waiting() == 0
    await getattr(pipeline, form)(lambda: asyncio.sleep(0))
    assert waiting() == 0


@forms
@pytest.mark.parametrize("swallows", [False, True])
async def test_a_deadline_that_has_fired_is_over_after_the_call(
    form: str, swallows: bool, clock: ManualClock
) -> None:
    async def call() -> None:
        clock.shift(2)
        with contextlib.suppress(*[asyncio.CancelledError] * swallows):
            await for_ever()

    pipeline = Pipeline(Timeout(2, clock=clock), clock=clock)
    with contextlib.nullcontext() if swallows else pytest.raises(TimeoutExceeded):
        await getattr(pipeline, form)(call)
    assert remaining() is None
