"""A rate limiter that has tokens."""

from __future__ import annotations

from compare import Batch, Function, Group, decorated

from resilience.policies.rate_limiter import RateLimiter

group = Group(reference="aiolimiter")
RATE = 1e9  # calls a second, so that none is ever held back


@group.row("RateLimiter")
def product() -> Batch:
    return decorated(RateLimiter(RATE))


@group.row("RateLimiter, gcra")
def gcra() -> Batch:
    return decorated(RateLimiter(RATE, algorithm="gcra"))


@group.row("RateLimiter.execute")
def executed() -> Batch:
    execute = RateLimiter(RATE).execute

    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            await execute(function)

    return batch


@group.row("aiolimiter")
def aiolimiter() -> Batch:
    import aiolimiter as peer

    limiter = peer.AsyncLimiter(RATE, 1)

    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            async with limiter:
                await function()

    return batch


@group.row("hyx")
def hyx() -> Batch:
    from hyx.ratelimit import tokenbucket

    return decorated(tokenbucket(max_executions=RATE, per_time_secs=1, bucket_size=RATE))
