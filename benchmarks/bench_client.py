"""What guarding adds to an aiohttp request: 16 at once, by CPU time, in pairs with a bare session.

Once over loopback, against the cheapest of servers in this process, and once without any network: there the connector's
transport answers by itself in the next turn of the loop, so that what is left is the client alone. The reference is a
middleware that does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from compare import Batch, Function, Group

from resilience.policies import CircuitBreaker
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


class Answering(asyncio.Transport):
    """A transport without a network: whatever is written is answered."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._closing = False

    def is_closing(self) -> bool:
        return self._closing

    def write(self, data: object) -> None:
        self._loop.call_soon(self._protocol.data_received, ANSWER)

    def writelines(self, parts: object) -> None:
        self.write(parts)

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Unconnected(aiohttp.BaseConnector):
    """Connections that are kept alive as any other, to nowhere."""

    async def _create_connection(self, *request: Any) -> ResponseHandler:
        protocol = ResponseHandler(self._loop)
        protocol.connection_made(Answering(self._loop, protocol))
        return protocol


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
        left = iter(range(calls))

        async def some() -> None:
            for _ in left:
                async with session.get(URL[0]) as response:
                    await response.read()

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))

    return batch


async def noop(request: Any, handler: Any) -> Any:
    return await handler(request)


def race(scene: str, connector: Callable[[], aiohttp.BaseConnector]) -> Group:  # noqa: C901  a row is a function
    """The same rows over one kind of connection."""
    group = Group(
        reference="no-op middleware",
        scene=scene,
        loop="uvloop",
        around=serving,
        ground="bare session",
        cpu=True,
        batches=10,
        suspending=False,
    )

    def guarded(*middlewares: Any) -> Batch:
        return requests(aiohttp.ClientSession(connector=connector(), middlewares=middlewares))

    @group.row("bare session")
    async def bare() -> Batch:
        return guarded()

    @group.row("no-op middleware")
    async def nothing() -> Batch:
        return guarded(noop)

    @group.row("CircuitBreaker alone")
    async def breaker() -> Batch:
        circuit_breaker = CircuitBreaker(failed_result=lambda response: response.status >= 500)

        async def middleware(request: Any, handler: Any) -> Any:
            return await circuit_breaker.call(handler, request)

        return guarded(middleware)

    @group.row("TraceConfig that does nothing")
    async def trace() -> Batch:
        config = aiohttp.TraceConfig()
        for signal in (config.on_request_start, config.on_request_end, config.on_request_exception):
            signal.append(ignored)
        session = aiohttp.ClientSession(connector=connector(), trace_configs=[config])
        return requests(session)

    @group.row("aiohttp-retry")
    async def retrying() -> Batch:
        from aiohttp_retry import ExponentialRetry, RetryClient

        session = aiohttp.ClientSession(connector=connector())
        return requests(RetryClient(client_session=session, retry_options=ExponentialRetry(attempts=3)))

    @group.row("ResilientMiddleware")
    async def middleware() -> Batch:
        return guarded(ResilientMiddleware(Reliability("bench")))

    @group.row("ResilientSession")
    async def session() -> Batch:
        return requests(ResilientSession(Reliability("bench"), connector=connector()))

    return group


async def ignored(session: Any, context: Any, params: Any) -> None:
    pass


loopback = race("loopback", aiohttp.TCPConnector)
no_network = race("no network", Unconnected)
