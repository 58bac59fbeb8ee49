"""A call that failed leaves nothing in memory for the garbage collector, whichever policy was round it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from resilience.policies.backoff import Constant
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.coalesce import Coalesce
from resilience.policies.fallback import Fallback
from resilience.policies.hedge import Hedge
from resilience.policies.pipeline import Pipeline
from resilience.policies.presets import API_CALLS
from resilience.policies.rate_limiter import RateLimiter
from resilience.policies.retry import Retry
from resilience.policies.timeout import Timeout


def again() -> Retry:
    return Retry(2, backoff=Constant(0))


POLICIES: dict[str, Callable[[], Any]] = {
    "breaker": CircuitBreaker,
    "bulkhead": Bulkhead,
    "coalesce": Coalesce,
    "fallback": lambda: Fallback(lambda: 1, on=KeyError),
    "hedge": lambda: Hedge(60.0),
    "hedge, sent": lambda: Hedge(0.0),
    "rate limiter": lambda: RateLimiter(100),
    "retry": again,
    "timeout": lambda: Timeout(60.0),
    "preset": lambda: API_CALLS.changed(retry={"backoff": Constant(0)}).pipeline("pay"),
    "coalesce and timeout": lambda: Pipeline(Coalesce(), Timeout(60.0)),
    "hedge and timeout": lambda: Pipeline(Hedge(60.0), again(), Timeout(60.0)),
    "all": lambda: Pipeline(
        Coalesce(), Timeout(60.0), Hedge(60.0), again(), CircuitBreaker(), Timeout(60.0, name="attempt")
    ),
}


class Local:
    """What a call has in a variable."""


@pytest.fixture
def kept() -> Iterator[list[weakref.ref[Local]]]:
    gc.collect()
    gc.disable()
    yield []
    gc.enable()


def failing(kept: list[weakref.ref[Local]]) -> Callable[[], Awaitable[None]]:
    async def fail() -> None:
        local = Local()
        kept.append(weakref.ref(local))
        await asyncio.sleep(0)
        raise ValueError("no")

    return fail


async def swallow(call: Callable[[], Awaitable[object]]) -> None:
    with suppress(ValueError):
        await call()


@pytest.mark.parametrize("form", ["called", "decorated", "with others"])
@pytest.mark.parametrize("name", POLICIES)
async def test_what_a_failed_call_held_is_free_as_soon_as_its_error_is(
    kept: list[weakref.ref[Local]], name: str, form: str
) -> None:
    policy = POLICIES[name]()
    fail = failing(kept)
    match form:
        case "called":
            await swallow(lambda: policy.call(fail))
        case "decorated":
            await swallow(policy(fail))
        case _:
            calls = [asyncio.create_task(swallow(lambda: policy.call(fail))) for _ in range(3)]
            await asyncio.gather(*calls)
    for _ in range(5):
        await asyncio.sleep(0)
    assert kept
    assert [reference() for reference in kept] == [None] * len(kept)


async def test_what_a_call_held_that_was_too_late_is_free_as_soon_as_its_error_is(
    kept: list[weakref.ref[Local]],
) -> None:
    async def hang() -> None:
        local = Local()
        kept.append(weakref.ref(local))
        await asyncio.sleep(3600)

    policy = Pipeline(Coalesce(), Timeout(0.001))
    with suppress(TimeoutError):
        await policy.call(hang)
    for _ in range(5):
        await asyncio.sleep(0)
    assert [reference() for reference in kept] == [None]
