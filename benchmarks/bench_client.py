"""What guarding adds to an aiohttp request: 16 at once, against a server in this process, by CPU time.

The network is loopback and the server is the cheapest there is, so the figures are of the client; the reference is a
middleware that does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from compare import Batch, Function, Group

from resilience.reliability import Reliability
from resilience_middleware.aiohttp import ResilientMiddleware, ResilientSession

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
AT_ONCE = 16


class Server(asyncio.Protocol):
    """Answers whatever ends with an empty line."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))  # type: ignore[attr-defined]


URL: list[str] = []
OPEN: list[Any] = []


@asynccontextmanager
async def serving() -> AsyncIterator[None]:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    URL[:] = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"]
    try:
        yield
    finally:
        for session in OPEN:
            await session.close()
        OPEN.clear()
        server.close()


def requests(session: Any) -> Batch:
    OPEN.append(session)

    async def batch(function: Function, calls: int) -> None:
        async def some() -> None:
            for _ in range(calls // AT_ONCE + 1):
                async with session.get(URL[0]) as response:
                    await response.read()

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))

    return batch


group = Group(reference="no-op middleware", loop="uvloop", around=serving, batches=5, suspending=False)


@group.row("bare")
async def bare() -> Batch:
    return requests(aiohttp.ClientSession())


@group.row("no-op middleware")
async def nothing() -> Batch:
    async def middleware(request: Any, handler: Any) -> Any:
        return await handler(request)

    return requests(aiohttp.ClientSession(middlewares=[middleware]))


@group.row("ResilientSession")
async def session() -> Batch:
    return requests(ResilientSession(Reliability("bench")))


@group.row("ResilientMiddleware")
async def middleware() -> Batch:
    return requests(aiohttp.ClientSession(middlewares=[ResilientMiddleware(Reliability("bench"))]))
