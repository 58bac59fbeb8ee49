"""A client that calls more hosts than it remembers."""

from __future__ import annotations

import collections
import socket
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer

from resilience.errors import CircuitOpen
from resilience.policies.presets import API_CALLS
from resilience.reliability import Reliability
from resilience_middleware.aiohttp import ResilientSession

KNOWN = 500  # hosts whose pipelines the service knows by name
REMEMBERED = 1_000


class ToLoopback(AbstractResolver):
    """Finds every host here."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)
        ]

    async def close(self) -> None:
        """Close nothing."""


async def test_an_open_breaker_of_an_idle_host_outlasts_more_hosts_than_are_remembered() -> None:
    requests: collections.Counter[str] = collections.Counter()

    async def answer(request: web.Request) -> web.Response:
        host = request.host.partition(":")[0]
        requests[host] += 1
        return web.Response(status=500 if host == "broken.test" else 200)

    app = web.Application()
    app.router.add_get("/", answer)
    preset = API_CALLS.changed(
        retry=None, circuit_breaker={"consecutive_failures": 1, "open_duration": 86_400}
    )
    # Closed after each answer, because both ends of 2,000 connections are more files than a process may open.
    connector: Any = aiohttp.TCPConnector(resolver=ToLoopback(), force_close=True)
    async with (
        TestServer(app) as server,
        ResilientSession(Reliability("shop"), preset=preset, connector=connector) as session,
    ):

        async def status(host: str) -> int:
            async with session.get(f"http://{host}.test:{server.port}/") as response:
                return response.status

        for number in range(KNOWN):
            await status(f"known{number}")
        assert await status("broken") == 500
        for number in range(REMEMBERED + REMEMBERED // 5):
            assert await status(f"other{number}") == 200
        with pytest.raises(CircuitOpen):
            await status("broken")
    assert requests["broken.test"] == 1
    assert sum(requests.values()) == KNOWN + 1 + REMEMBERED + REMEMBERED // 5
