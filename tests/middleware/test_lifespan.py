"""The Reliability lives as long as the application does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resilience_middleware.asgi import ResilienceMiddleware


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


class Application:
    """Takes part in the lifespan and writes down what it saw."""

    def __init__(self, rel: Any, *, fails: Any = None) -> None:
        self.rel = rel
        self.fails = fails
        self.got = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await answer(scope, receive, send)
            return
        for phase in ("startup", "shutdown"):
            message = await receive()
            self.got.append((message, self.rel.running))
            if self.fails == phase:
                await send({"type": f"lifespan.{phase}.failed", "message": "no"})
                return
            await send({"type": f"lifespan.{phase}.complete"})


async def lifespan(app: Any) -> Any:
    incoming = [{"type": "lifespan.startup", "extra": 1}, {"type": "lifespan.shutdown"}]
    sent = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "lifespan"}, receive, send)
    return sent


async def test_it_runs_from_before_the_startup_until_after_the_shutdown(rel: Any) -> None:
    app = Application(rel)
    sent = await lifespan(ResilienceMiddleware(app, rel))
    assert app.got == [
        ({"type": "lifespan.startup", "extra": 1}, True),
        ({"type": "lifespan.shutdown"}, True),
    ]
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert rel.calls == ["start", "stop"]


async def test_a_failed_startup_stops_it(rel: Any) -> None:
    sent = await lifespan(ResilienceMiddleware(Application(rel, fails="startup"), rel))
    assert sent == [{"type": "lifespan.startup.failed", "message": "no"}]
    assert rel.calls == ["start", "stop"]


async def test_one_that_runs_already_is_left_alone(rel: Any) -> None:
    await rel.start()
    await lifespan(ResilienceMiddleware(Application(rel), rel))
    assert rel.running
    assert rel.calls == ["start"]


async def test_without_a_lifespan_the_first_request_starts_it_once(rel: Any, client_of: Any) -> None:
    app = ResilienceMiddleware(Application(rel), rel)
    await asyncio.gather(*(client_of(app).request() for _ in range(10)))
    assert rel.calls == ["start"]
    assert len(rel.sli.requests) == 10


async def test_an_application_that_refuses_the_lifespan_is_started_by_its_first_request(
    rel: Any, client_of: Any
) -> None:
    async def refuses(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            raise AssertionError
        await answer(scope, receive, send)

    app = ResilienceMiddleware(refuses, rel)
    with pytest.raises(AssertionError):
        await lifespan(app)
    assert not rel.running
    await client_of(app).request()
    assert rel.running


async def test_after_the_shutdown_a_late_request_does_not_start_it_again(rel: Any, client_of: Any) -> None:
    app = ResilienceMiddleware(Application(rel), rel)
    await lifespan(app)
    await client_of(app).request()
    assert not rel.running


async def test_a_failing_start_is_logged_and_requests_are_served(rel: Any, client_of: Any) -> None:
    async def fails() -> None:
        raise OSError("no disk")

    rel.start = fails
    client = await client_of(ResilienceMiddleware(Application(rel), rel)).request()
    assert client.status == 200
