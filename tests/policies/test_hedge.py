"""Hedge: who is asked when, who wins, and that nobody runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, cast

import pytest

from resilience.core.clock import ManualClock
from resilience.core.ports import CallContext
from resilience.errors import CircuitOpen, ConfigError
from resilience.policies.budget import RatioBudget, TokenBudget
from resilience.policies.hedge import Hedge, HedgeSent
from resilience.policies.quantile import LiveQuantile, Quantile


class Servers:
    """Each call takes the next (seconds, answer); what happens to each is written down."""

    def __init__(self, clock: ManualClock, *plans: tuple[float, object], cleanup: float = 0.0) -> None:
        self.clock = clock
        self.plans = plans
        self.cleanup = cleanup
        self.begun: list[float] = []
        self.cancelled: list[int] = []
        self.ended = 0

    async def __call__(self) -> Any:
        index = len(self.begun)
        self.begun.append(self.clock.monotonic())
        seconds, answer = self.plans[index]
        try:
            await self.clock.sleep(seconds)
            if isinstance(answer, BaseException):
                raise answer
            return answer
        except asyncio.CancelledError:
            self.cancelled.append(index)
            await self.clock.sleep(self.cleanup)
            raise
        finally:
            self.ended += 1


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(monotonic=0.0)


async def run(clock: ManualClock, awaitable: Awaitable[Any], seconds: float = 1000.0) -> Any:
    task = asyncio.ensure_future(awaitable)
    await clock.advance(seconds)
    assert task.done()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return task.result()


async def test_a_call_that_is_in_time_is_made_once(clock: ManualClock) -> None:
    servers = Servers(clock, (0.5, "ok"))
    assert await run(clock, Hedge(1.0, clock=clock).execute(servers)) == "ok"
    assert servers.begun == [0.0]


async def test_a_late_call_is_made_again_and_the_loser_has_ended_before_it_returns(
    clock: ManualClock,
) -> None:
    servers = Servers(clock, (60, "slow"), (0.5, "fast"), cleanup=3.0)
    hedge = Hedge(1.0, clock=clock)
    call = asyncio.ensure_future(hedge.execute(servers))
    await clock.advance(4.4)
    assert (call.done(), servers.begun, servers.cancelled) == (False, [0.0, 1.0], [0])
    await clock.advance(0.2)
    assert (call.result(), servers.ended) == ("fast", 2)
    assert (hedge.statistics().hedges, hedge.statistics().wins) == (1, 1)


async def test_the_first_may_still_win(clock: ManualClock) -> None:
    servers = Servers(clock, (1.5, "first"), (60, "second"))
    hedge = Hedge(1.0, clock=clock)
    assert await run(clock, hedge.execute(servers)) == "first"
    assert (servers.cancelled, hedge.statistics().wins) == ([1], 0)


async def test_of_two_answers_at_one_moment_the_earlier_attempts_counts(clock: ManualClock) -> None:
    servers = Servers(clock, (2, "first"), (1, "second"))
    assert await run(clock, Hedge(1.0, clock=clock).execute(servers)) == "first"


async def test_no_more_than_max_hedges_are_sent(clock: ManualClock) -> None:
    servers = Servers(clock, *[(10, index) for index in range(9)])
    assert await run(clock, Hedge(1.0, max_hedges=3, clock=clock).execute(servers)) == 0
    assert servers.begun == [0, 1, 2, 3]


async def test_a_failure_sends_the_next_at_once(clock: ManualClock) -> None:
    servers = Servers(clock, (0.2, OSError()), (0.2, OSError()), (0.2, "ok"))
    hedge = Hedge(5.0, max_hedges=2, clock=clock)
    heard: list[Any] = []
    hedge.events.subscribe(heard.append)
    assert await run(clock, hedge.execute(servers)) == "ok"
    assert servers.begun == pytest.approx([0, 0.2, 0.4])
    assert [(event.attempt, type(event.error)) for event in heard] == [(2, OSError), (3, OSError)]


async def test_when_all_fail_the_last_failure_is_raised_itself(clock: ManualClock) -> None:
    last = OSError("last")
    servers = Servers(clock, (0.1, OSError("first")), (0.1, last))
    with pytest.raises(OSError, match="last") as caught:
        await run(clock, Hedge(5.0, clock=clock).execute(servers))
    assert caught.value is last


async def test_a_failure_while_another_runs_waits_for_that_one(clock: ManualClock) -> None:
    servers = Servers(clock, (5, "ok"), (0.1, OSError()))
    assert await run(clock, Hedge(1.0, clock=clock).execute(servers)) == "ok"


async def test_a_failure_that_is_not_meant_ends_the_call(clock: ManualClock) -> None:
    servers = Servers(clock, (60, "slow"), (0.1, ValueError()))
    with pytest.raises(ValueError):
        await run(clock, Hedge(1.0, on=OSError, clock=clock).execute(servers))
    assert servers.cancelled == [0]


async def test_a_refusal_by_a_policy_inside_sends_nothing(clock: ManualClock) -> None:
    servers = Servers(clock, (0.0, CircuitOpen("open")), (0.0, "never"))
    with pytest.raises(CircuitOpen):
        await run(clock, Hedge(1.0, clock=clock).execute(servers))
    assert len(servers.begun) == 1


async def test_results_that_count_as_failed_make_room_and_are_let_go(clock: ManualClock) -> None:
    released: list[object] = []

    async def release(response: object) -> None:
        await asyncio.sleep(0)
        released.append(response)

    hedge = Hedge(1.0, on_result=lambda status: status >= 500, discard=release, clock=clock)
    assert await run(clock, hedge.execute(Servers(clock, (0.1, 503), (0.1, 200)))) == 200
    assert released == [503]
    assert await run(clock, hedge.execute(Servers(clock, (0.1, 503), (0.1, 504)))) == 504
    assert released == [503, 503]


async def test_a_raising_discard_does_not_break_the_call(clock: ManualClock) -> None:
    hedge = Hedge(1.0, on_result=lambda status: status >= 500, discard=lambda _: 1 / 0, clock=clock)
    assert await run(clock, hedge.execute(Servers(clock, (0.1, 503), (0.1, 200)))) == 200


async def test_what_is_not_idempotent_is_made_once(clock: ManualClock) -> None:
    servers = Servers(clock, (60, "ok"))
    call = Hedge(1.0, clock=clock).execute(servers, CallContext(idempotent=False))
    assert await run(clock, call) == "ok"
    assert len(servers.begun) == 1


async def test_the_callers_context_variables_are_there(clock: ManualClock) -> None:
    tenant: ContextVar[str] = ContextVar("tenant")
    tenant.set("acme")

    async def read() -> str:
        return tenant.get()

    assert await run(clock, Hedge(clock=clock).execute(read)) == "acme"


async def test_a_budget_that_is_spent_lets_the_call_go_on_alone(clock: ManualClock) -> None:
    budget = TokenBudget(5, cost=5)
    hedge = Hedge(1.0, budget=budget, clock=clock)
    assert await run(clock, hedge.execute(Servers(clock, (9, "slow"), (0.5, "fast")))) == "fast"
    assert await run(clock, hedge.execute(Servers(clock, (9, "slow")))) == "slow"
    assert hedge.statistics().refused == 1


async def test_observing_reports_what_was_late_and_sends_nothing(clock: ManualClock) -> None:
    hedge = Hedge(1.0, mode="observe", clock=clock)
    heard: list[Any] = []
    hedge.events.subscribe(heard.append)
    assert await run(clock, hedge.execute(Servers(clock, (0.5, "ok")))) == "ok"
    assert await run(clock, hedge.execute(Servers(clock, (3, "ok")))) == "ok"
    assert heard == [HedgeSent("hedge", 2, 3.0, None, observed=True)]
    assert hedge.statistics().hedges == 1


async def test_cancelled_at_every_suspension_it_leaves_no_task_and_no_budget_behind() -> None:
    budget = RatioBudget(0.0, ttl=None, floor=3)

    async def attempt() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        raise OSError

    for turns in range(20):
        clock = ManualClock()
        hedge = Hedge(0.0, max_hedges=2, budget=budget, clock=clock, discard=lambda _: asyncio.sleep(0))
        task = asyncio.ensure_future(hedge.execute(attempt))
        for _ in range(turns):
            await asyncio.sleep(0)
            clock.shift(0)
        task.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}, turns
        assert (budget.balance, budget._calls) == (3, 0), turns


async def test_cancelled_while_it_ends_the_losers_it_lets_go_of_the_answer_too(clock: ManualClock) -> None:
    released: list[object] = []
    servers = Servers(clock, (60, "slow"), (0.5, "fast"), cleanup=3.0)
    call = asyncio.ensure_future(Hedge(1.0, discard=released.append, clock=clock).execute(servers))
    await clock.advance(2)
    call.cancel()
    await clock.advance(10)
    assert call.cancelled()
    assert released == ["fast"]


async def test_cancelled_while_a_result_is_let_go_it_waits_for_that_too(clock: ManualClock) -> None:
    released: list[object] = []

    async def release(response: object) -> None:
        try:
            await clock.sleep(3)
        finally:
            released.append(response)

    hedge = Hedge(1.0, on_result=lambda status: status >= 500, discard=release, clock=clock)
    call = asyncio.ensure_future(hedge.execute(Servers(clock, (0.1, 503), (0.1, 200))))
    await clock.advance(1)
    call.cancel()
    await clock.advance(5)
    assert call.cancelled()
    assert released == [503]


async def test_cancelling_again_reaches_a_loser_that_did_not_listen_the_first_time(
    clock: ManualClock,
) -> None:
    async def deaf() -> str:
        try:
            await clock.sleep(60)
        except asyncio.CancelledError:
            await clock.sleep(1000)
        return "late"

    call = asyncio.ensure_future(Hedge(1.0, clock=clock).execute(deaf))
    await clock.advance(0.5)
    call.cancel()
    await clock.advance(1)
    assert not call.done()
    call.cancel()
    await clock.advance(0)
    assert call.cancelled()


async def test_no_timer_is_left_behind(clock: ManualClock) -> None:
    call = asyncio.ensure_future(Hedge(500.0, clock=clock).execute(Servers(clock, (0.1, "ok"))))
    await clock.advance(1)
    assert call.done()
    assert not any(timer.callback for timer in clock._timers)


# -- the quantile -----------------------------------------------------------------------------------------------


async def test_the_delay_follows_the_latencies_of_first_attempts(clock: ManualClock) -> None:
    hedge = Hedge(Quantile(0.9, window=10, minimum=10, initial=7.0), clock=clock)
    for tenths in range(1, 11):
        assert hedge.delay == 7.0
        await run(clock, hedge.execute(Servers(clock, (tenths / 10, "ok"))))
    assert hedge.delay == pytest.approx(0.9)


async def test_a_hedges_win_does_not_make_the_quantile_shrink(clock: ManualClock) -> None:
    hedge = Hedge(Quantile(0.5, window=4, minimum=4, initial=1.0), clock=clock)
    for _ in range(8):
        await run(clock, hedge.execute(Servers(clock, (60, "slow"), (0.1, "fast"))))
    assert hedge.delay >= 1.1


async def test_a_failed_first_attempt_says_nothing_of_latency(clock: ManualClock) -> None:
    hedge = Hedge(Quantile(0.5, window=1, minimum=1, initial=1.0), clock=clock)
    await run(clock, hedge.execute(Servers(clock, (0.01, OSError()), (0.01, "ok"))))
    assert hedge.delay == 1.0


async def test_a_changed_quantile_starts_anew_and_one_that_stays_keeps_its_memory(clock: ManualClock) -> None:
    hedge = Hedge(Quantile(0.5, window=1, minimum=1), clock=clock)
    await run(clock, hedge.execute(Servers(clock, (0.5, "ok"))))
    hedge.reconfigure(max_hedges=2)
    assert hedge.delay == 0.5
    hedge.reconfigure(delay=Quantile(0.9, initial=3.0))
    assert hedge.delay == 3.0
    hedge.reconfigure(delay=4)
    assert hedge.delay == 4


def test_a_rank_that_is_a_whole_number_is_not_rounded_up_by_binary_fractions() -> None:
    live = LiveQuantile(Quantile(0.55, window=100, minimum=1))
    for rank in range(1, 101):
        live.record(rank)
    assert live.value() == 55


def test_the_window_forgets_the_oldest() -> None:
    live = LiveQuantile(Quantile(1.0, window=3, minimum=1))
    for seconds in (9, 1, 2, 3):
        live.record(seconds)
    assert live.value() == 3


@pytest.mark.parametrize(
    "options",
    [
        {"delay": -1},
        {"delay": True},
        {"max_hedges": 0},
        {"on": 3},
        {"on_result": 3},
        {"discard": 3},
        {"budget": 3},
        {"mode": "dry"},
    ],
)
def test_nonsense_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Hedge(**options)


@pytest.mark.parametrize(
    "options", [{"q": 0}, {"q": 1.1}, {"q": 0.5, "window": 0}, {"q": 0.5, "minimum": 501}]
)
def test_a_quantile_that_cannot_be_meant_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Quantile(**options)


def test_the_budget_of_calls_under_way_cannot_be_exchanged() -> None:
    with pytest.raises(ConfigError, match="budget"):
        Hedge().reconfigure(budget=TokenBudget())


async def test_a_budget_that_grants_everything_sends_no_more_than_what_is_wanted(clock: ManualClock) -> None:
    class Generous:
        def spend(self, error: BaseException | None, *, wanted: bool = True) -> int:
            return 1

    calls = 0

    async def fail() -> None:
        nonlocal calls
        calls += 1
        raise OSError("its own")

    hedge = Hedge(1, max_hedges=2, budget=cast("Any", Generous()), clock=clock)
    with pytest.raises(OSError, match="its own"):
        await hedge.call(fail)
    assert calls == 3
