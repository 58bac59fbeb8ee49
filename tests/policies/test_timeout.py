"""The Timeout policy, in each of its forms."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from resilience.core.buckets import END, START, deadlines_on
from resilience.core.clock import ManualClock
from resilience.core.deadline import remaining
from resilience.errors import ConfigError, TimeoutExceeded
from resilience.policies.backoff import Constant
from resilience.policies.pipeline import Pipeline
from resilience.policies.retry import Retry
from resilience.policies.timeout import TimedOut, Timeout, TimeoutStatistics

Call = Callable[[], Awaitable[object]]
Form = Callable[[Timeout, Call], Awaitable[object]]


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def decorated(policy: Timeout, call: Call) -> object:
    async def function() -> object:
        return await call()

    return await policy(function)()


async def called(policy: Timeout, call: Call) -> object:
    return await policy.call(call)


async def guarded(policy: Timeout, call: Call) -> object:
    async with policy.guard():
        return await call()


forms = pytest.mark.parametrize("form", [decorated, called, guarded])


@forms
async def test_a_call_that_takes_too_long_is_cancelled(form: Form, clock: ManualClock) -> None:
    heard: list[object] = []
    policy = Timeout(2, name="slow", clock=clock)
    policy.events.subscribe(heard.append)
    task = asyncio.ensure_future(form(policy, for_ever))
    await clock.advance(1.9)
    assert not task.done()
    await clock.advance(0.1)
    with pytest.raises(TimeoutExceeded, match="'slow': no answer within 2 s") as caught:
        await task
    assert (caught.value.policy, caught.value.seconds) == ("slow", 2.0)
    assert isinstance(caught.value, TimeoutError)
    assert heard == [TimedOut("slow", 2.0)]


@forms
async def test_a_call_in_time_returns_what_it_returns(form: Form) -> None:
    async def call() -> float | None:
        await asyncio.sleep(0)
        return remaining()

    assert 4 < await form(Timeout(5), call) <= 5
    assert deadlines_on(asyncio.get_running_loop()).waiting() == 0


@forms
async def test_the_functions_own_timeout_error_keeps_its_identity(form: Form) -> None:
    own = TimeoutError("its own")

    async def call() -> None:
        raise own

    with pytest.raises(TimeoutError) as caught:
        await form(Timeout(5), call)
    assert caught.value is own


@forms
async def test_cancellation_from_outside_wins(form: Form, clock: ManualClock) -> None:
    async def call() -> None:
        try:
            await for_ever()
        finally:
            await clock.sleep(1)

    task = asyncio.ensure_future(form(Timeout(2, clock=clock), call))
    await clock.advance(2)
    task.cancel()
    await clock.advance(2)
    assert task.cancelled()


@forms
async def test_cancelled_at_any_suspension_it_leaves_nothing(form: Form) -> None:
    async def call() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    for at in range(6):
        task = asyncio.ensure_future(form(Timeout(5), call))
        for _ in range(at):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert deadlines_on(asyncio.get_running_loop()).waiting() == 0


@forms
async def test_observing_it_reports_and_cancels_nothing(form: Form, clock: ManualClock) -> None:
    heard: list[object] = []
    policy = Timeout(2, clock=clock, mode="observe")
    policy.events.subscribe(heard.append)
    task = asyncio.ensure_future(form(policy, lambda: clock.sleep(3)))
    await clock.advance(2)
    assert heard == [TimedOut("timeout", 2.0, observed=True)]
    await clock.advance(1)
    await task
    await form(policy, lambda: asyncio.sleep(0))
    await clock.advance(5)
    assert len(heard) == 1


@forms
async def test_its_mode_changes_while_it_works(form: Form, clock: ManualClock) -> None:
    heard: list[object] = []
    policy = Timeout(2, clock=clock)
    policy.events.subscribe(heard.append)

    async def outcome() -> object:
        task = asyncio.ensure_future(form(policy, lambda: clock.sleep(3)))
        await clock.advance(2)
        await clock.advance(1)
        await asyncio.wait([task])
        return task.exception()

    assert isinstance(await outcome(), TimeoutExceeded)
    policy.reconfigure(mode="observe")
    assert await outcome() is None
    policy.reconfigure(mode="normal", seconds=1)
    assert isinstance(await outcome(), TimeoutExceeded)
    assert heard == [TimedOut("timeout", 2), TimedOut("timeout", 2, observed=True), TimedOut("timeout", 1)]
    assert policy.statistics() == TimeoutStatistics("timeout", 1, timed_out=3)


async def test_in_a_pipeline_that_is_made_already_its_mode_changes_too(clock: ManualClock) -> None:
    total, attempt = Timeout(5, clock=clock), Timeout(1, name="attempt", clock=clock)
    calls: list[float] = []

    @Pipeline(total, Retry(2, backoff=Constant(0), clock=clock), attempt)
    async def work() -> str:
        calls.append(clock.monotonic())
        await clock.sleep(2)
        return "done"

    async def outcome() -> object:
        calls.clear()
        task = asyncio.ensure_future(work())
        for _ in range(8):
            await clock.advance(1)
        await asyncio.wait([task])
        return task.exception() or task.result()

    assert isinstance(await outcome(), TimeoutExceeded)
    assert len(calls) == 2
    attempt.reconfigure(mode="observe")
    assert (await outcome(), len(calls)) == ("done", 1)
    total.reconfigure(seconds=1.5)
    assert isinstance(await outcome(), TimeoutExceeded)
    total.reconfigure(mode="observe")
    assert await outcome() == "done"
    assert (total.statistics().timed_out, attempt.statistics().timed_out) == (2, 5)


async def test_an_inherited_deadline_does_not_cut_what_only_observes(clock: ManualClock) -> None:
    """As the nested form: the parent's deadline is the parent's to enforce."""
    policy = Timeout(5, clock=clock, mode="observe")

    async def parent() -> object:
        child = asyncio.ensure_future(policy(clock.sleep)(3))
        await asyncio.wait([child])
        return child.exception()

    guarded = asyncio.ensure_future(Timeout(10, clock=clock).call(parent))
    for _ in range(3):
        await clock.advance(1)
    assert await guarded is None


def test_options_that_cannot_be_meant_change_nothing() -> None:
    policy = Timeout(2)
    for options in ({"seconds": 0}, {"mode": "off"}, {"seconds": 3, "mode": "off"}, {"limit": 1}):
        with pytest.raises(ConfigError):
            policy.reconfigure(**options)
    assert (policy.seconds, policy.observing) == (2, False)


async def test_a_swallowed_cancellation_is_forgotten(clock: ManualClock) -> None:
    async def stubborn() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await for_ever()
        return "late"

    task = asyncio.ensure_future(Timeout(2, clock=clock).call(stubborn))
    await clock.advance(2)
    assert await task == "late"
    assert task.cancelling() == 0


async def test_a_policy_in_a_child_task_never_outlives_the_parents(clock: ManualClock) -> None:
    outer, inner = Timeout(2, clock=clock), Timeout(60, clock=clock)
    children: list[asyncio.Task[None]] = []

    async def parent() -> None:
        children.append(asyncio.create_task(inner.call(for_ever)))
        await for_ever()

    task = asyncio.ensure_future(outer.call(parent))
    await clock.advance(2)
    with pytest.raises(TimeoutExceeded):
        await task
    await clock.advance(0)
    with pytest.raises(TimeoutExceeded):
        await children[0]


@forms
@pytest.mark.parametrize("seconds", [0.0625, 1, 59, 59.875, 61, 500])
async def test_the_limit_can_be_changed(form: Form, seconds: float, clock: ManualClock) -> None:
    policy = Timeout(60, clock=clock)
    await form(policy, lambda: asyncio.sleep(0))
    policy.reconfigure(seconds=seconds)
    task = asyncio.ensure_future(form(policy, for_ever))
    await clock.advance(seconds - 2**-10)
    assert not task.done()
    await clock.advance(2**-10)
    with pytest.raises(TimeoutExceeded):
        await task


async def test_a_limit_changed_to_a_moment_whose_bucket_has_gone(clock: ManualClock) -> None:
    policy = Timeout(60, clock=clock)
    await policy.call(asyncio.sleep, 0)
    start, end = policy.bucket[START], policy.bucket[END]
    await clock.advance(start - clock.monotonic() + 0.1)
    policy.reconfigure(seconds=0.5)
    assert clock.monotonic() + 0.5 < end
    task = asyncio.ensure_future(policy.call(for_ever))
    await clock.advance(0.5)
    with pytest.raises(TimeoutExceeded):
        await task


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, "2", None])
def test_nonsense_is_refused(seconds: object) -> None:
    with pytest.raises(ConfigError, match="seconds must be a number above 0"):
        Timeout(seconds)
    with pytest.raises(ConfigError, match="seconds"):
        Timeout(1).reconfigure(seconds=seconds)
    with pytest.raises(ConfigError, match="mode"):
        Timeout(1, mode="dry-run")


def test_each_loop_has_its_own_deadlines() -> None:
    policy = Timeout(0.01)
    for _ in range(2):
        with pytest.raises(TimeoutExceeded):
            asyncio.run(policy.call(for_ever))
