"""A circuit breaker that is open, and refuses."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable

from compare import Batch, Function, Group

from resilience.errors import CircuitOpen
from resilience.policies.circuit_breaker import CircuitBreaker

group = Group(reference="circuitbreaker", suspending=False)


def refused(guarded: Function, refusal: type[Exception]) -> Batch:
    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            try:
                await guarded()
            except refusal:
                continue
            raise AssertionError("it was to be refused")

    return batch


async def tripped(decorator: Callable[[Function], Function]) -> Function:
    """Guard a function that fails, and let it fail."""

    @decorator
    async def failing() -> None:
        raise ConnectionError

    with contextlib.suppress(ConnectionError):
        await failing()
    return failing


@group.row("CircuitBreaker")
async def product() -> Batch:
    return refused(await tripped(CircuitBreaker(minimum_calls=1, open_duration=1e6)), CircuitOpen)


@group.row("CircuitBreaker.execute")
async def executed() -> Batch:
    breaker = CircuitBreaker(minimum_calls=1, open_duration=1e6)
    failing = await tripped(breaker)
    return refused(functools.partial(breaker.execute, failing), CircuitOpen)


@group.row("circuitbreaker")
async def circuitbreaker() -> Batch:
    import circuitbreaker as peer

    breaker = peer.CircuitBreaker(failure_threshold=1, recovery_timeout=1_000_000, name="bench")
    return refused(await tripped(breaker), peer.CircuitBreakerError)


@group.row("nopanic")
async def nopanic() -> Batch:
    import logging

    import nopanic as peer

    logging.getLogger("nopanic").setLevel(logging.ERROR)
    return refused(await tripped(peer.CircuitBreaker(min_calls=1, reset_timeout=1e6)), peer.CircuitOpen)
