"""Seven layers round one call: total timeout, rate limiter, bulkhead, retry, breaker, attempt timeout, SLI record."""

from __future__ import annotations

import asyncio

from compare import Batch, Function, Group, decorated

from resilience.core.ports import Policy, Recorder
from resilience.core.window import TimeWindow
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.pipeline import Pipeline
from resilience.policies.rate_limiter import RateLimiter
from resilience.policies.retry import Retry
from resilience.policies.timeout import Timeout
from resilience.signals import InstrumentRegistry, SliRecorder

group = Group(reference="asyncio.timeout")


@group.row("asyncio.timeout")
def reference() -> Batch:
    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            async with asyncio.timeout(30.0):
                await function()

    return batch


def recorder() -> Recorder:
    return SliRecorder(InstrumentRegistry(), "benchmark").calls("seven", "pipeline")


def layers() -> list[Policy]:
    return [
        Timeout(30.0),
        RateLimiter(1e9, burst=10**9),
        Bulkhead(100),
        Retry(3),
        CircuitBreaker(window=TimeWindow(60.0)),
        Timeout(10.0, name="attempt"),
    ]


@group.row("Pipeline")
def product() -> Batch:
    pipeline = Pipeline(*layers(), recorder=recorder())

    async def batch(function: Function, calls: int) -> None:
        execute = pipeline.execute
        for _ in range(calls):
            await execute(function)

    return batch


@group.row("Pipeline, decorator")
def decorator() -> Batch:
    return decorated(Pipeline(*layers(), recorder=recorder()))


@group.row("Pipeline, nested definition")
def nested() -> Batch:
    pipeline = Pipeline(*layers(), recorder=recorder())

    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            await pipeline.nested(function)

    return batch


@group.row("nopanic, six policies")
def nopanic() -> Batch:
    import nopanic

    return decorated(
        nopanic.compose(
            nopanic.timeout(30.0),
            nopanic.rate_limit(1e9, burst=1e9),
            nopanic.bulkhead(100),
            nopanic.retry(3),
            nopanic.circuit_breaker(),
            nopanic.timeout(10.0),
        )
    )
