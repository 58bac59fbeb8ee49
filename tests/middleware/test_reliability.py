"""The adapters with a real Reliability, all together."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from fastapi import FastAPI

from resilience.reliability import Reliability
from resilience_middleware import guarded, install
from resilience_middleware.aiohttp import ResilientSession
from tests.waiting import PATIENCE


async def test_requests_and_calls_are_counted_and_shown(client_of: Any) -> None:
    upstream = web.Application()

    async def hello(request: Any) -> Any:
        return web.Response(text="hello")

    upstream.router.add_get("/", hello)
    app, rel = FastAPI(), Reliability("shop")
    install(app, rel)
    async with TestServer(upstream) as server, ResilientSession(rel, name="payments") as session:

        @app.get("/orders/{number}")
        @guarded(timeout=5.0)
        async def order(number: int) -> str:
            async with session.get(server.make_url("/")) as response:
                return await response.text()

        client = await client_of(app).request("/orders/17")
        assert client.body == b'"hello"'
        assert rel.ready
        scrape = (await client_of(app).request("/metrics")).body.decode()
        await asyncio.wait_for(rel.stop(), PATIENCE)
    assert 'route="/orders/{number}"' in scrape
    assert 'verdict="success"' in scrape
    assert 'client="payments"' in scrape
    assert (await client_of(app).request("/readyz")).status == 503
    assert (await client_of(app).request("/livez")).status == 200
