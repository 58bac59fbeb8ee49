"""The middleware behind a real server: clients that leave, streams, lifespan."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, StreamingResponse

from resilience.core.clock import SYSTEM_CLOCK
from resilience_middleware import install
from tests.waiting import until

LONGER_THAN_ITS_PATIENCE = 0.15  # seconds after which the middleware asks whether the client is still there


class Server(uvicorn.Server):
    @property
    def port(self) -> int:
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port

    async def left_alone(self) -> None:
        """Wait until the server has seen that its clients are gone."""
        await until(lambda: not self.server_state.connections)


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[Server]:
    server = Server(
        uvicorn.Config(
            app, port=0, log_level="critical", lifespan="on", ws="none", timeout_graceful_shutdown=60
        )
    )
    task = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    try:
        yield server
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def connected(server: Server, path: str) -> Any:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.fixture
def shop(rel: Any) -> Any:
    rel.clock = SYSTEM_CLOCK
    app = FastAPI()
    app.state.release = asyncio.Event()
    app.state.entered = asyncio.Event()
    install(app, rel)

    @app.get("/slow/{id}")
    async def slow(id: str):  # noqa: A002  a path parameter is called so
        app.state.entered.set()
        await app.state.release.wait()
        return id

    @app.get("/stream")
    async def stream() -> Any:
        async def items() -> Any:
            app.state.entered.set()
            yield b"first"
            await app.state.release.wait()
            yield b"last"

        return StreamingResponse(items())

    @app.get("/background")
    async def background() -> Any:
        async def later() -> None:
            await app.state.release.wait()

        return PlainTextResponse("ok", background=BackgroundTask(later))

    return app


async def recorded(rel: Any, count: Any = 1) -> Any:
    await until(lambda: len(rel.sli.requests) >= count)
    return rel.last


async def test_a_client_that_leaves_a_slow_endpoint_is_499(shop: Any, rel: Any) -> None:
    async with serving(shop) as server:
        async with connected(server, "/slow/7"):
            await shop.state.entered.wait()
            await asyncio.sleep(LONGER_THAN_ITS_PATIENCE)
        await server.left_alone()
        shop.state.release.set()
        assert await recorded(rel) == ("GET", "/slow/{id}", 499, "cancelled")
    assert rel.sli.in_flight == 0


async def test_a_client_that_stays_is_a_success(shop: Any, rel: Any) -> None:
    async with serving(shop) as server, connected(server, "/slow/7") as (reader, _):
        await shop.state.entered.wait()
        await asyncio.sleep(LONGER_THAN_ITS_PATIENCE)
        shop.state.release.set()
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert await recorded(rel) == ("GET", "/slow/{id}", 200, "success")


async def test_a_client_that_leaves_a_stream_is_499(shop: Any, rel: Any) -> None:
    async with serving(shop) as server:
        async with connected(server, "/stream") as (reader, _):
            await reader.readuntil(b"first")
            assert rel.sli.requests == []
        assert await recorded(rel) == ("GET", "/stream", 499, "cancelled")


async def test_a_stream_ends_when_its_body_ends(shop: Any, rel: Any) -> None:
    async with serving(shop) as server, connected(server, "/stream") as (reader, _):
        await reader.readuntil(b"first")
        assert rel.sli.in_flight == 1
        shop.state.release.set()
        await reader.readuntil(b"last")
        assert await recorded(rel) == ("GET", "/stream", 200, "success")


async def test_a_background_task_is_no_part_of_the_request(shop: Any, rel: Any) -> None:
    async with serving(shop) as server, connected(server, "/background") as (reader, _):
        await reader.readuntil(b"ok")
        assert await recorded(rel) == ("GET", "/background", 200, "success")
        assert rel.sli.in_flight == 0
        shop.state.release.set()


async def test_it_lives_as_long_as_the_server(shop: Any, rel: Any) -> None:
    async with serving(shop):
        assert rel.calls == ["start"]
    assert rel.calls == ["start", "stop"]
