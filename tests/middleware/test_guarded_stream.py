"""`@guarded` on endpoints and dependencies that yield: guarded from the call to the last item."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.sse import EventSourceResponse
from starlette.responses import StreamingResponse

from resilience.core.clock import ManualClock
from resilience.errors import ConfigError, TimeoutExceeded
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.fallback import Fallback
from resilience.policies.timeout import Timeout
from resilience_middleware import guarded, install
from tests.waiting import PATIENCE

KINDS = ["async", "plain"]


def in_flight(bulkhead: Bulkhead) -> int:
    return bulkhead.statistics().in_flight


def endpoint(kind: str, bulkhead: Bulkhead, seen: list[int], **options: Any) -> Any:
    """Yield two items, and note how many calls are inside the bulkhead at each."""
    if kind == "async":

        @guarded(bulkhead, **options)
        async def items(last: int = 2) -> AsyncIterator[str]:
            for number in range(last):
                seen.append(in_flight(bulkhead))
                yield f"{number}\n"

        return items

    @guarded(bulkhead, **options)
    def plain_items(last: int = 2) -> Iterator[str]:
        for number in range(last):
            seen.append(in_flight(bulkhead))
            yield f"{number}\n"

    return plain_items


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("response_class", "body"),
    [
        (None, b'"0\\n"\n"1\\n"\n'),
        (StreamingResponse, b"0\n1\n"),
        (EventSourceResponse, b'data: "0\\n"\n\ndata: "1\\n"\n\n'),
    ],
)
async def test_an_endpoint_that_yields_is_streamed_and_holds_its_permit_to_the_end(
    rel: Any, client_of: Any, kind: str, response_class: Any, body: bytes
) -> None:
    app, bulkhead, seen = FastAPI(), Bulkhead(1), list[int]()
    install(app, rel)
    options = {} if response_class is None else {"response_class": response_class}
    app.get("/items", **options)(endpoint(kind, bulkhead, seen, timeout=PATIENCE))
    client = await client_of(app).request("/items")
    assert (client.status, client.body, seen) == (200, body, [1, 1])
    assert in_flight(bulkhead) == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_refusal_is_answered_before_anything_is_sent(rel: Any, client_of: Any, kind: str) -> None:
    app, bulkhead, seen = FastAPI(), Bulkhead(1), list[int]()
    install(app, rel)
    guard = endpoint(kind, bulkhead, seen)
    app.get("/items", response_class=StreamingResponse)(guard)
    taken = guard()
    assert (await client_of(app).request("/items")).status == 503
    await taken.aclose()
    assert (await client_of(app).request("/items")).status == 200


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_that_is_left_early_or_never_begun_gives_its_permit_back(kind: str) -> None:
    bulkhead, seen = Bulkhead(1), list[int]()
    guard = endpoint(kind, bulkhead, seen)
    stream = guard()
    assert await anext(stream) == "0\n"
    assert in_flight(bulkhead) == 1
    await stream.aclose()
    assert in_flight(bulkhead) == 0
    stream = guard()
    assert in_flight(bulkhead) == 1
    del stream
    assert in_flight(bulkhead) == 0


async def test_the_timeout_covers_all_items_and_the_time_between_them(clock: ManualClock) -> None:
    closed = []

    @guarded(Timeout(10, clock=clock))
    async def slow(step: float) -> AsyncIterator[int]:
        try:
            for number in range(9):
                await clock.sleep(step)
                yield number
        finally:
            closed.append(step)

    async def read(step: float, pause: float) -> list[int]:
        found = []
        async for item in slow(step):
            found.append(item)
            await clock.sleep(pause)
        return found

    for step, pause in ((4.0, 0.0), (0.0, 4.0), (100.0, 0.0)):
        reading = asyncio.create_task(read(step, pause))
        await clock.advance(30)
        with pytest.raises(TimeoutExceeded):
            await asyncio.wait_for(reading, PATIENCE)
    assert closed == [4.0, 0.0, 100.0]
    ended = asyncio.create_task(read(1.0, 0.0))
    await clock.advance(9)
    assert await ended == list(range(9))


async def test_an_error_in_a_stream_counts_and_a_reader_that_leaves_does_not(clock: ManualClock) -> None:
    breaker = CircuitBreaker(clock=clock)

    @guarded(breaker)
    async def failing(after: int) -> AsyncIterator[int]:
        for number in range(after):
            yield number
        raise OSError

    stream: Any = failing(3)
    await anext(stream)
    await stream.aclose()
    assert breaker.statistics().failures == 0
    with pytest.raises(OSError):
        [each async for each in failing(1)]  # type: ignore[attr-defined]
    assert breaker.statistics().failures == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_dependency_that_yields_is_held_until_the_request_has_ended(
    rel: Any, client_of: Any, kind: str
) -> None:
    app, bulkhead, seen, ended = FastAPI(), Bulkhead(1), list[int](), list[str]()
    install(app, rel)
    if kind == "async":

        @guarded(bulkhead)
        async def session() -> AsyncIterator[str]:
            try:
                yield "session"
            except ValueError:
                ended.append("failed")
                raise
            else:
                ended.append("well")

    else:

        @guarded(bulkhead)
        def session() -> Iterator[str]:
            try:
                yield "session"
            except ValueError:
                ended.append("failed")
                raise
            else:
                ended.append("well")

    @app.get("/orders")
    async def orders(given: str = Depends(session), fail: bool = False) -> str:  # noqa: FAST002  `session` is local
        seen.append(in_flight(bulkhead))
        if fail:
            raise ValueError
        return given

    assert (await client_of(app).request("/orders")).body == b'"session"'
    with pytest.raises(ValueError):
        await client_of(app).request("/orders", query_string=b"fail=1")
    assert (seen, ended, in_flight(bulkhead)) == ([1, 1], ["well", "failed"], 0)


def test_it_stays_a_generator_function_with_its_signature() -> None:
    found = endpoint("plain", Bulkhead(1), [])
    assert inspect.isasyncgenfunction(found)
    assert list(inspect.signature(found).parameters) == ["last"]
    assert found.__name__ == "plain_items"


def test_what_guards_no_stream_is_refused() -> None:
    with pytest.raises(ConfigError, match="guards and timeouts"):
        endpoint("async", Fallback(lambda: None), [])  # type: ignore[arg-type]
