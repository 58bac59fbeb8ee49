"""Use of the public API whose types mypy and pyright check, both in strict mode; nothing here runs."""

# pyright: strict

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from resilience import API_CALLS, SLO, Bulkhead, CircuitBreaker, Keyed, Pipeline, Reliability, Retry, Timeout
from resilience.policies.breaker_events import BreakerState

pipeline = Pipeline(Timeout(5), Bulkhead(3), Retry(3), CircuitBreaker(failures=5), name="pay")


async def plain(key: str, *, times: int = 1) -> bytes:
    return key.encode() * times


@pipeline
async def by_pipeline(key: str, *, times: int = 1) -> bytes:
    return key.encode() * times


@CircuitBreaker()
async def by_guard(key: str, *, times: int = 1) -> bytes:
    return key.encode() * times


@Timeout(5)
async def by_timeout(key: str, *, times: int = 1) -> bytes:
    return key.encode() * times


@Retry(3)
async def by_retry(key: str, *, times: int = 1) -> bytes:
    return key.encode() * times


def key_of(key: str, **_options: object) -> str:
    return key


@Keyed(lambda _: Bulkhead(3), key=key_of)
async def by_key(key: str, *, times: int = 1) -> bytes:
    return key.encode() * times


async def decorated_functions_stay_coroutine_functions() -> None:
    for function in (by_pipeline, by_guard, by_timeout, by_retry, by_key):
        assert_type(await asyncio.create_task(function("a", times=2)), bytes)
        async with asyncio.TaskGroup() as group:
            group.create_task(function("b"))
    whole: Callable[..., Coroutine[Any, Any, bytes]] = by_pipeline
    assert_type(await whole("a"), bytes)
    assert_type(await pipeline.call(plain, "a", times=2), bytes)
    assert_type(await Timeout(1).call(plain, "a"), bytes)


def policies_are_found_by_class(reliability: Reliability) -> None:
    breaker = reliability.pipeline("pay", API_CALLS).get(CircuitBreaker)
    assert_type(breaker, CircuitBreaker)
    assert_type(breaker.state, BreakerState)
    assert_type(pipeline.get(Timeout, "attempt_timeout"), Timeout)
    pipeline.get(CircuitBreaker).open()


def main() -> None:
    assert_type(asyncio.run(by_pipeline("a")), bytes)
    asyncio.run(by_guard("a", times=1))


def objectives_take_texts_as_files_have_them() -> None:
    slo = SLO("paid", service="shop", target="0.999", tier="tier-0", window="30d")
    assert_type(slo.window, float)
    assert_type(slo.tier, int | None)
    SLO("paid", service="shop", target=0.999, tier=0, window=3600)
