"""What a middleware adds to one request of Starlette, in memory: figures are over the bare application.

With 100 routes the router itself takes ten times what is to be measured, and its noise is more than that. So the bytecode
instructions that a request executes are counted too: they are the same in every run.
"""

from __future__ import annotations

import asyncio
import sys
import time
from bisect import bisect_left
from collections.abc import Callable
from types import FrameType
from typing import Any

from compare import Batch, Function, Group, Measure
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience.policies.load_shedder import LoadShedder
from resilience.policies.rate_limiter import RateLimiter
from resilience.reliability import Reliability
from resilience_middleware.asgi import ResilienceMiddleware

SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/users/17",
    "raw_path": b"/users/17",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"bench"), (b"user-agent", b"bench"), (b"accept", b"*/*")],
    "client": ("192.0.2.1", 50000),
    "server": ("bench", 80),
}


async def user(request: Request) -> Response:
    return Response(b"ok")


def starlette(*middleware: Middleware, routes: int = 1) -> Starlette:
    others = [Route(f"/other{number}/{{id}}", user) for number in range(routes - 1)]
    return Starlette(routes=[*others, Route("/users/{id}", user)], middleware=list(middleware))


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Message) -> None:
    pass


def requests(app: ASGIApp) -> Batch:
    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            await app(dict(SCOPE), receive, send)

    return batch


class Floor:
    """The least that recording needs: a wrapped send, two clocks, a key of the route, a histogram's cell."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
        self.cells: dict[tuple[str, str, int], list[float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        status = 0

        async def wrapped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self.app(scope, receive, wrapped)
        seconds = time.monotonic() - started
        key = (scope["method"], scope["route"].path, status)
        try:
            cells = self.cells[key]
        except KeyError:
            cells = self.cells[key] = [0] * (len(self.bounds) + 2)
        cells[bisect_left(self.bounds, seconds)] += 1
        cells[-1] += seconds


class PlainTimeout:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.timeout(30):
            await self.app(scope, receive, send)


def recording(**options: Any) -> Middleware:
    rel = Reliability("bench")
    rel.start = _nothing  # type: ignore[method-assign]  # no tick in the measured time
    return Middleware(ResilienceMiddleware, reliability=rel, **options)


async def _nothing() -> None:
    pass


one = Group(reference="floor", loop="uvloop", suspending=False, batches=30)


@one.row("bare")
def bare() -> Batch:
    return requests(starlette())


@one.row("floor")
def floor() -> Batch:
    return requests(starlette(Middleware(Floor)))


@one.row("ResilienceMiddleware")
def middleware() -> Batch:
    return requests(starlette(recording()))


hundred = Group(reference="floor", scene="100 routes", loop="uvloop", suspending=False, batches=10)


@hundred.row("bare")
def hundred_bare() -> Batch:
    return requests(starlette(routes=100))


@hundred.row("floor")
def hundred_floor() -> Batch:
    return requests(starlette(Middleware(Floor), routes=100))


@hundred.row("ResilienceMiddleware")
def hundred_middleware() -> Batch:
    return requests(starlette(recording(), routes=100))


guarded = Group(
    reference="asyncio.timeout",
    scene="with timeout, shedder, limiter",
    loop="uvloop",
    suspending=False,
    batches=30,
)


@guarded.row("bare")
def guarded_bare() -> Batch:
    return requests(starlette())


@guarded.row("asyncio.timeout")
def plain_timeout() -> Batch:
    return requests(starlette(Middleware(PlainTimeout)))


def guards() -> dict[str, Any]:
    return {"timeout": 30.0, "guards": [LoadShedder(100), RateLimiter(1e9, burst=10**9)]}


@guarded.row("ResilienceMiddleware")
def guarded_middleware() -> Batch:
    return requests(starlette(recording(**guards())))


def instructions(batch: Batch) -> float:
    """Count the bytecode instructions of one request."""
    executed = 0

    def tracer(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal executed
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        executed += event == "opcode"
        return tracer

    async def main() -> None:
        nonlocal executed
        await batch(user, 50)
        sys.settrace(tracer)
        try:
            await batch(user, 10)
        finally:
            sys.settrace(None)

    asyncio.run(main())
    return executed / 10


def added(routes: int, middleware: Callable[[], Middleware]) -> Callable[[], float]:
    def measure() -> float:
        return instructions(requests(starlette(middleware(), routes=routes))) - instructions(
            requests(starlette(routes=routes))
        )

    return measure


executed = Measure(reference="floor", unit="instructions")
executed.row("floor")(added(1, lambda: Middleware(Floor)))
executed.row("ResilienceMiddleware")(added(1, recording))
executed.row("ResilienceMiddleware, 100 routes")(added(100, recording))
executed.row("ResilienceMiddleware, with timeout, shedder, limiter")(added(1, lambda: recording(**guards())))
executed.row("ResilienceMiddleware, with timeout, shedder, limiter, 100 routes")(
    added(100, lambda: recording(**guards()))
)
