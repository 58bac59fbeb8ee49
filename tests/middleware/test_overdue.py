"""Requests whose time is up while something still works for them: answered at once, and counted until it ends."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anyio.to_thread
import pytest
from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from resilience.policies.bulkhead import Bulkhead
from resilience_middleware.asgi import ResilienceMiddleware
from tests.waiting import PATIENCE, until

TIMED_OUT = ("GET", "/", 504, "failure")


class Work:
    """A plain function that blocks until it is told to go on."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()
        self.error: Exception | None = None

    def depend(self) -> None:
        self.begun.set()
        assert self.go.wait(PATIENCE)
        if self.error is not None:
            raise self.error

    def endpoint(self, request: Any) -> Any:
        self.depend()
        return PlainTextResponse("late")


@pytest.fixture
def work() -> Any:
    made = Work()
    yield made
    made.go.set()


@pytest.fixture
def late(rel: Any, client_of: Any) -> Any:
    """Make a function that sends a request and lets its time pass while it is at work."""

    async def run(app: Any, begun: threading.Event) -> Any:
        client = client_of(app)
        task = asyncio.create_task(client.request())
        await until(begun.is_set)
        await rel.clock.advance(1.5)
        await until(lambda: client.sent and client.sent[-1]["type"] == "http.response.body")
        return client, task

    return run


async def test_the_client_is_answered_at_once_and_the_thread_counts_until_it_ends(
    rel: Any, work: Work, late: Any
) -> None:
    bulkhead = Bulkhead(1)
    app = ResilienceMiddleware(
        Starlette(routes=[Route("/", work.endpoint)]), rel, timeout=1.0, guards=[bulkhead]
    )
    client, task = await late(app, work.begun)
    assert (client.status, rel.last, rel.seconds) == (504, TIMED_OUT, 1.0)
    assert client.headers["content-type"] == "application/problem+json"
    assert not task.done()
    assert bulkhead.statistics().in_flight == 1
    assert current_default_thread_limiter().borrowed_tokens == 1
    work.go.set()
    await asyncio.wait_for(task, PATIENCE)
    assert bulkhead.statistics().in_flight == 0
    assert current_default_thread_limiter().borrowed_tokens == 0
    assert len(client.sent) == 2  # what the thread made of it reaches nobody
    assert len(rel.sli.requests) == 1
    assert rel.sli.in_flight == 0


@pytest.mark.parametrize("framework", [True, False])
async def test_what_the_thread_raises_then_is_told_and_changes_nothing_that_was_sent(
    rel: Any, work: Work, late: Any, framework: bool, caplog: Any
) -> None:
    async def raw(scope: Any, receive: Any, send: Any) -> None:
        await anyio.to_thread.run_sync(work.depend)

    bulkhead = Bulkhead(1)
    inner = Starlette(routes=[Route("/", work.endpoint)]) if framework else raw
    client, task = await late(ResilienceMiddleware(inner, rel, timeout=1.0, guards=[bulkhead]), work.begun)
    work.error = RuntimeError("too late")
    work.go.set()
    await asyncio.wait([task])
    if framework:  # Starlette answers 500, is told that it is too late, and loses what it wanted to raise
        assert "RuntimeError('too late')" in caplog.text
    else:
        assert repr(task.exception()) == "RuntimeError('too late')"
    assert (client.status, len(client.sent), len(rel.sli.requests)) == (504, 2, 1)
    assert bulkhead.statistics().in_flight == 0


async def test_what_would_follow_the_thread_is_cancelled(rel: Any, work: Work, late: Any) -> None:
    app, ended = FastAPI(), []

    @app.get("/", dependencies=[Depends(work.depend)])
    async def follow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    bulkhead = Bulkhead(1)
    client, task = await late(ResilienceMiddleware(app, rel, timeout=1.0, guards=[bulkhead]), work.begun)
    work.go.set()
    await asyncio.wait_for(task, PATIENCE)
    assert (client.status, len(client.sent), bulkhead.statistics().in_flight) == (504, 2, 0)
    assert ended in ([], ["cancelled"])  # it may not even have begun


async def test_a_middleware_with_a_task_of_its_own_does_not_hold_up_the_answer(
    rel: Any, work: Work, late: Any
) -> None:
    async def passing(request: Any, following: Any) -> Any:
        return await following(request)

    bulkhead = Bulkhead(1)
    inner = Starlette(
        routes=[Route("/", work.endpoint)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=passing)]
    )
    client, task = await late(ResilienceMiddleware(inner, rel, timeout=1.0, guards=[bulkhead]), work.begun)
    assert client.status == 504
    assert bulkhead.statistics().in_flight == 1
    work.go.set()
    await asyncio.wait_for(task, PATIENCE)
    assert (len(client.sent), bulkhead.statistics().in_flight, len(rel.sli.requests)) == (2, 0, 1)


async def test_who_cleans_up_slowly_does_so_without_its_client(rel: Any, late: Any) -> None:
    begun, cleaned, bulkhead = threading.Event(), asyncio.Event(), Bulkhead(1)

    async def endpoint(request: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await cleaned.wait()

    app = ResilienceMiddleware(Starlette(routes=[Route("/", endpoint)]), rel, timeout=1.0, guards=[bulkhead])
    client, task = await late(app, begun)
    assert client.status == 504
    assert bulkhead.statistics().in_flight == 1
    cleaned.set()
    await asyncio.wait_for(task, PATIENCE)
    assert (len(client.sent), bulkhead.statistics().in_flight, len(rel.sli.requests)) == (2, 0, 1)
    assert task.cancelling() == 0


async def test_who_swallows_the_cancellation_and_answers_reaches_nobody(rel: Any, late: Any) -> None:
    begun, go, told = threading.Event(), asyncio.Event(), []

    async def endpoint(request: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await go.wait()

        async def stream() -> Any:
            try:
                while True:
                    yield b"more"
            finally:
                told.append("it is over")

        return StreamingResponse(stream())

    app = ResilienceMiddleware(Starlette(routes=[Route("/", endpoint)]), rel, timeout=1.0)
    client, task = await late(app, begun)
    go.set()
    await asyncio.wait_for(task, PATIENCE)
    assert (client.status, len(client.sent), len(rel.sli.requests)) == (504, 2, 1)


async def test_who_answers_in_a_task_group_reaches_nobody(rel: Any, late: Any) -> None:
    begun, go = threading.Event(), asyncio.Event()

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await go.wait()
        async with asyncio.TaskGroup() as outer, asyncio.TaskGroup() as inner:
            for group in (outer, inner):
                group.create_task(send({"type": "http.response.start", "status": 200, "headers": []}))

    client, task = await late(ResilienceMiddleware(answering, rel, timeout=1.0), begun)
    go.set()
    await asyncio.wait_for(task, PATIENCE)
    assert (client.status, len(client.sent), len(rel.sli.requests)) == (504, 2, 1)


async def test_what_fails_beside_an_answer_that_comes_too_late_is_raised(rel: Any, late: Any) -> None:
    begun, go = threading.Event(), asyncio.Event()

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await go.wait()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        except OSError as error:
            raise ExceptionGroup("both", [error, KeyError("lost")]) from None

    _, task = await late(ResilienceMiddleware(failing, rel, timeout=1.0), begun)
    go.set()
    with pytest.raises(ExceptionGroup, match="both"):
        await asyncio.wait_for(task, PATIENCE)


async def test_a_cancellation_from_outside_stays_one(rel: Any, work: Work, late: Any) -> None:
    bulkhead = Bulkhead(1)
    app = ResilienceMiddleware(
        Starlette(routes=[Route("/", work.endpoint)]), rel, timeout=1.0, guards=[bulkhead]
    )
    _, task = await late(app, work.begun)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bulkhead.statistics().in_flight == 0


async def test_a_client_that_left_meanwhile_is_no_error(rel: Any, client_of: Any, work: Work) -> None:
    app = ResilienceMiddleware(Starlette(routes=[Route("/", work.endpoint)]), rel, timeout=1.0)
    client = client_of(app)

    async def gone(message: Any) -> None:
        raise OSError

    client.on_send = gone
    task = asyncio.create_task(client.request())
    await until(work.begun.is_set)
    await rel.clock.advance(1.5)
    await until(lambda: rel.sli.requests)
    work.go.set()
    await asyncio.wait_for(task, PATIENCE)
    assert rel.last == ("GET", "/", 499, "cancelled")


async def test_an_answer_that_comes_just_in_time_is_left_alone(rel: Any, client_of: Any, work: Work) -> None:
    app = ResilienceMiddleware(Starlette(routes=[Route("/", work.endpoint)]), rel, timeout=1.0)
    client = client_of(app)
    task = asyncio.create_task(client.request())
    await until(work.begun.is_set)
    work.go.set()
    await asyncio.wait_for(task, PATIENCE)
    await rel.clock.advance(1.5)
    assert (client.status, client.body, rel.last) == (200, b"late", ("GET", "/", 200, "success"))
