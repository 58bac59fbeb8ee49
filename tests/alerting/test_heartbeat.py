"""The dead-man's switch: called while ticks go on, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from resilience.alerting import Heartbeat
from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.http.client import Response
from tests.waiting import PATIENCE


class Pings:
    """A client that counts, in place of the network."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.answer: Any = Response(200, {}, b"")

    async def get(self, url: str) -> Response:
        self.urls.append(url)
        if isinstance(self.answer, Exception):
            raise self.answer
        found: Response = self.answer
        return found


async def beat(heartbeat: Heartbeat, clock: ManualClock, ticks: list[bool]) -> Pings:
    pings = Pings()
    heartbeat._client = pings  # type: ignore[assignment]  # a stand-in
    running = asyncio.create_task(heartbeat.run())
    for alive in ticks:
        if alive:
            heartbeat.tick()
        await clock.advance(60)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return pings


async def test_it_is_called_once_an_interval_while_ticks_go_on(clock: ManualClock) -> None:
    heartbeat = Heartbeat("https://hc.example/S3CRET", clock=clock)
    pings = await beat(heartbeat, clock, [True, True, False, False, True])
    assert pings.urls == ["https://hc.example/S3CRET"] * 3


@pytest.mark.parametrize("answer", [Response(503, {}, b""), OSError("S3CRET")])
async def test_a_call_that_fails_is_logged_without_the_url_and_tried_again(
    clock: ManualClock, answer: Any
) -> None:
    heartbeat = Heartbeat("https://hc.example/S3CRET", clock=clock)
    pings = Pings()
    pings.answer = answer
    heartbeat._client = pings  # type: ignore[assignment]  # a stand-in
    running = asyncio.create_task(heartbeat.run())
    with capture_logs() as lines:
        for _ in range(2):
            heartbeat.tick()
            await clock.advance(60)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [line["event"] for line in lines] == ["heartbeat_failed"] * 2
    assert "S3CRET" not in repr(lines) + repr(heartbeat)


@pytest.fixture
async def server() -> AsyncIterator[tuple[TestServer, asyncio.Queue[str]]]:
    paths: asyncio.Queue[str] = asyncio.Queue()

    async def handle(request: web.Request) -> web.Response:
        paths.put_nowait(f"{request.method} {request.path}")
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    found = TestServer(app)
    await found.start_server()
    yield found, paths
    await found.close()


async def test_it_is_a_get_on_the_wire(server: tuple[TestServer, asyncio.Queue[str]]) -> None:
    heartbeat = Heartbeat(str(server[0].make_url("/ping/1")), interval=0.01)
    heartbeat.tick()
    running = asyncio.create_task(heartbeat.run())
    async with asyncio.timeout(PATIENCE):
        assert await server[1].get() == "GET /ping/1"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await heartbeat.close()


@pytest.mark.parametrize("options", [{"interval": 0}, {"timeout": -1}])
def test_nonsense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Heartbeat("https://hc.example/", **options)
