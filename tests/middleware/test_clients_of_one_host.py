"""Clients of different libraries share a host's pipeline: either one made it, both are retried and judged."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from resilience.core.window import CountWindow
from resilience.errors import CircuitOpen
from resilience.policies.backoff import Exponential
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.presets import API_CALLS
from resilience.reliability import Reliability
from resilience_middleware import httpx as over_httpx
from resilience_middleware import httpx2 as over_httpx2
from resilience_middleware.aiohttp import ResilientMiddleware, ResilientSession

PRESET = API_CALLS.changed(
    retry={"backoff": Exponential(0.001), "attempts": 3},
    circuit_breaker={"window": CountWindow(100), "minimum_calls": 100},
)


class Upstream:
    """Answers with the statuses it is given, then with 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.requests = 0
        app = web.Application()
        app.router.add_get("/", self.answer)
        self.server = TestServer(app)

    async def answer(self, _request: web.Request) -> web.Response:
        self.requests += 1
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    async with upstream.server:
        yield upstream


async def by_session(rel: Reliability, url: str) -> int:
    async with ResilientSession(rel, preset=PRESET) as session, session.get(url) as response:
        return response.status


async def by_middleware(rel: Reliability, url: str) -> int:
    middlewares = [ResilientMiddleware(rel, preset=PRESET)]
    async with aiohttp.ClientSession(middlewares=middlewares) as session, session.get(url) as response:
        return response.status


async def by_httpx(rel: Reliability, url: str) -> int:
    async with httpx.AsyncClient(transport=over_httpx.ResilientTransport(rel, preset=PRESET)) as client:
        return (await client.get(url)).status_code


async def by_httpx2(rel: Reliability, url: str) -> int:
    async with httpx2.AsyncClient(transport=over_httpx2.ResilientTransport(rel, preset=PRESET)) as client:
        return (await client.get(url)).status_code


CLIENTS = [by_session, by_middleware, by_httpx, by_httpx2]
both_orders = pytest.mark.parametrize(
    ("first", "second"), list(itertools.permutations(CLIENTS, 2)), ids=lambda client: client.__name__
)


def breaker_of(rel: Reliability) -> CircuitBreaker:
    (name,) = (name for name in rel.registry if name.startswith("http http://"))
    breaker: Any = rel.registry[name]["circuit_breaker"]
    return breaker


@both_orders
async def test_a_retried_status_is_retried_whichever_client_made_the_pipeline(
    first: Any, second: Any, upstream: Upstream
) -> None:
    rel, url = Reliability("shop"), str(upstream.server.make_url("/"))
    assert await first(rel, url) == 200
    for client in (second, first):
        upstream.requests, upstream.statuses = 0, [503, 502]
        assert await client(rel, url) == 200
        assert upstream.requests == 3


@both_orders
async def test_a_5xx_counts_in_the_one_breaker_of_the_host(
    first: Any, second: Any, upstream: Upstream
) -> None:
    rel, url = Reliability("shop"), str(upstream.server.make_url("/"))
    assert await first(rel, url) == 200
    for client in (second, first):
        upstream.statuses = [500]
        assert await client(rel, url) == 500
    assert (breaker_of(rel).statistics().calls, breaker_of(rel).statistics().failures) == (3, 2)
    breaker_of(rel).open()
    for client in (second, first):
        with pytest.raises(CircuitOpen):
            await client(rel, url)


@both_orders
async def test_a_connection_error_is_retried_whichever_client_made_the_pipeline(
    first: Any, second: Any, refusing_port: int
) -> None:
    rel, url = Reliability("shop"), f"http://127.0.0.1:{refusing_port}/"
    for expected, client in ((3, first), (6, second)):
        with pytest.raises((aiohttp.ClientConnectionError, httpx.ConnectError, httpx2.ConnectError)):
            await client(rel, url)
        assert breaker_of(rel).statistics().failures == expected
