"""A rate limiter beside a bucket that drips exactly, whatever comes, waits, is cancelled or is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from resilience.core.clock import ManualClock
from resilience.errors import RateLimited
from resilience.policies.rate_limiter import RateLimiter

STEP = 0.125  # a binary fraction, so that the limiter's floats are as exact as the model


class RateLimiterMachine(RuleBasedStateMachine):
    """One call takes one token; those that wait go in their order, one for each token that drips in."""

    @initialize(rate=st.sampled_from([1, 2, 4]), burst=st.integers(1, 3), gcra=st.booleans())
    def start(self, rate: int, burst: int, gcra: bool) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.limiter = RateLimiter(
            rate,
            burst=burst,
            max_wait=None,
            algorithm="gcra" if gcra else "token_bucket",
            clock=self.clock,
        )
        self.rate, self.burst = rate, burst
        self.tokens = Fraction(burst)
        self.started = 0
        self.gone: list[int] = []  # the calls that were let go, in their order
        self.waiting: dict[int, asyncio.Task[None]] = {}
        self.expected: list[int] = []
        self.queue: list[int] = []

    def run(self, steps: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(steps)

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    @rule()
    def call(self) -> None:
        number, self.started = self.started, self.started + 1

        async def one() -> None:
            async with self.limiter.guard():
                self.gone.append(number)

        async def begin() -> None:
            self.waiting[number] = asyncio.ensure_future(one())
            await self.settle()

        self.run(begin())
        self.queue.append(number)
        self.let_go()

    @precondition(lambda self: self.queue)
    @rule(pick=st.integers(0, 9))
    def cancel(self, pick: int) -> None:
        number = self.queue.pop(pick % len(self.queue))

        async def end() -> None:
            self.waiting[number].cancel()
            await self.settle()

        self.run(end())

    @rule(steps=st.integers(1, 12))
    def pass_time(self, steps: int) -> None:
        for _ in range(steps):

            async def step() -> None:
                await self.clock.advance(STEP)
                await self.settle()

            self.run(step())
            self.tokens = min(Fraction(self.burst), self.tokens + Fraction(STEP) * self.rate)
            self.let_go()

    @rule()
    def ask_without_waiting(self) -> None:
        self.limiter.reconfigure(max_wait=0.0)
        now = self.clock.monotonic()
        if self.queue or self.tokens < 1:
            with pytest.raises(RateLimited) as refusal:
                self.limiter.enter(now, None)
            assert refusal.value.retry_after == (len(self.queue) + 1 - self.tokens) / self.rate
        else:
            self.limiter.enter(now, None)
            self.tokens -= 1
        self.limiter.reconfigure(max_wait=None)

    def let_go(self) -> None:
        while self.queue and self.tokens >= 1:
            self.tokens -= 1
            self.expected.append(self.queue.pop(0))

    @invariant()
    def it_lets_go_whom_the_bucket_lets_go(self) -> None:
        if hasattr(self, "limiter"):
            assert self.gone == self.expected
            assert self.limiter.statistics().waiting == len(self.queue)

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return

        async def end() -> None:
            for task in self.waiting.values():
                task.cancel()
            await asyncio.gather(*self.waiting.values(), return_exceptions=True)

        self.run(end())
        assert self.limiter.statistics().waiting == 0
        self.loop.close()


RateLimiterMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestRateLimiterMachine = RateLimiterMachine.TestCase
