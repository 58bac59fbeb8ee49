"""The guarded httpx transport, over httpx's own mock and over a real server."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from resilience.core.window import CountWindow
from resilience.errors import CircuitOpen, MissingExtra
from resilience.policies.backoff import Exponential
from resilience.policies.presets import API_CALLS
from resilience.reliability import Reliability
from resilience_middleware.httpx import ResilientTransport

FAST = API_CALLS.changed(
    retry={"backoff": Exponential(0.001)}, circuit_breaker={"window": CountWindow(10), "minimum_calls": 10}
)


class Script(httpx.AsyncBaseTransport):
    """Answers with what it is told, then with 200."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.requests = []
        self.closed = []

    async def handle_async_request(self, request: Any) -> Any:
        self.requests.append(request)
        outcome = self.outcomes.pop(0) if self.outcomes else 200
        if isinstance(outcome, Exception):
            raise outcome
        script = self

        class Body(httpx.AsyncByteStream):
            async def __aiter__(self) -> Any:
                yield b"content"

            async def aclose(self) -> None:
                script.closed.append(outcome)

        return httpx.Response(outcome, stream=Body())


def client_of(script: Any) -> Any:
    return httpx.AsyncClient(transport=ResilientTransport(Reliability("tests"), script, preset=FAST))


async def test_statuses_that_say_later_are_tried_again_and_released() -> None:
    script = Script(503, 429)
    async with client_of(script) as client:
        response = await client.get("http://a.example/")
        assert (response.status_code, response.content) == (200, b"content")
    assert script.closed == [503, 429, 200]


async def test_connection_errors_are_tried_again_and_raised() -> None:
    script = Script(*[httpx.ConnectError("refused")] * 3)
    async with client_of(script) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://a.example/")
    assert len(script.requests) == 3


async def test_a_post_is_repeated_only_with_a_key() -> None:
    script = Script(503)
    async with client_of(script) as client:
        assert (await client.post("http://a.example/", content=b"x")).status_code == 503
        script.outcomes = [503]
        keyed = await client.post("http://a.example/", content=b"x", headers={"Idempotency-Key": "k"})
        assert keyed.status_code == 200


async def test_each_host_has_a_breaker_of_its_own() -> None:
    script = Script(*[500] * 10)
    async with client_of(script) as client:
        for _ in range(10):
            assert (await client.get("http://a.example/")).status_code == 500
        with pytest.raises(CircuitOpen):
            await client.get("http://a.example/")
        assert (await client.get("http://b.example/")).status_code == 200


async def test_what_is_left_is_sent_along() -> None:
    script = Script()
    async with client_of(script) as client:
        await client.get("http://a.example/")
    assert script.requests[0].headers["X-Request-Deadline"].endswith("m")


async def test_a_real_server() -> None:
    async def answer(request: Any) -> Any:
        return web.Response(status=503 if request.app[SEEN].pop() else 200, text="hello")

    SEEN = web.AppKey("seen", list)  # noqa: N806  a key is a constant
    app = web.Application()
    app[SEEN] = [False, True]
    app.router.add_get("/", answer)
    async with (
        TestServer(app) as server,
        httpx.AsyncClient(transport=ResilientTransport(Reliability("tests"), preset=FAST)) as client,
    ):
        response = await client.get(str(server.make_url("/")))
    assert (response.status_code, response.text) == (200, "hello")


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_missing_library_names_the_extra(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"resilience_middleware.{library}", raising=False)
    with pytest.raises(MissingExtra, match=rf"asyncio-resilience\[{library}\]"):
        importlib.import_module(f"resilience_middleware.{library}")
