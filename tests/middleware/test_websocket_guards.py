"""Guards of websocket sessions: taken at the handshake, held to the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from resilience.errors import BulkheadFull
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.rate_limiter import RateLimiter
from resilience_middleware.admission import RouteGuards, per_client
from resilience_middleware.asgi import ResilienceMiddleware

ACCEPT = {"type": "websocket.accept"}
REFUSED = {"type": "websocket.close", "code": 1013, "reason": ""}
CODES = ("1000", "1013", "403")


class Handshake:
    """One client: its session runs until it leaves."""

    def __init__(self, middleware: Any, path: str = "/ws") -> None:
        self.sent: list[Any] = []
        self._messages: asyncio.Queue[Any] = asyncio.Queue()
        self._messages.put_nowait({"type": "websocket.connect"})
        scope = {"type": "websocket", "path": path, "headers": [], "client": ("192.0.2.1", 1)}
        self.task = asyncio.create_task(middleware(scope, self._messages.get, self._send))

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    async def leave(self) -> None:
        self._messages.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self.task


async def talk(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send(ACCEPT)
    while (await receive())["type"] != "websocket.disconnect":
        pass


def codes(rel: Any) -> dict[str, float]:
    counter = rel.signals.counter(
        "websocket_sessions_total", "Websocket sessions that ended.", labels=("service", "route", "code")
    )
    routes = ("_UNMATCHED", "/ws")
    found = {code: sum(counter["tests", route, code].current for route in routes) for code in CODES}
    return {code: count for code, count in found.items() if count}


@pytest.fixture
def shut() -> Any:
    full = Bulkhead(1)
    full.enter(0.0, None)
    return full


async def test_a_permit_is_held_as_long_as_its_session(rel: Any) -> None:
    middleware = ResilienceMiddleware(talk, rel, guards=[Bulkhead(1)])
    first = Handshake(middleware)
    await rel.clock.advance()
    second = Handshake(middleware)
    await second.task
    assert (first.sent, second.sent) == ([ACCEPT], [REFUSED])
    await first.leave()
    third = Handshake(middleware)
    await rel.clock.advance()
    assert third.sent == [ACCEPT]
    await third.leave()


async def test_a_refusal_before_the_session_is_accepted_is_403(rel: Any, shut: Any) -> None:
    await Handshake(ResilienceMiddleware(talk, rel, guards=[shut])).task
    assert codes(rel) == {"403": 1}


@pytest.mark.parametrize(
    "options", [{}, {"trusted": ["192.0.2.0/24"]}, {"routes": {"/ws": RouteGuards(0.3)}}]
)
async def test_a_timeout_covers_the_handshake_and_never_ends_a_session(rel: Any, options: Any) -> None:
    app = Starlette(routes=[WebSocketRoute("/ws", talk_in_starlette)])
    session = Handshake(ResilienceMiddleware(app, rel, timeout=0.3, guards=[Bulkhead(1)], **options))
    await rel.clock.advance(0.2)
    assert [message["type"] for message in session.sent] == ["websocket.accept"]
    await rel.clock.advance(60)
    assert not session.task.done()
    await session.leave()
    assert codes(rel) == {"1000": 1}


async def talk_in_starlette(socket: Any) -> None:
    await socket.accept()
    await socket.receive()


async def test_a_handshake_that_takes_too_long_is_refused(rel: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    session = Handshake(ResilienceMiddleware(app, rel, timeout=0.3))
    await rel.clock.advance()
    await rel.clock.advance(0.5)
    await session.task
    assert (session.sent, codes(rel)) == ([REFUSED], {"403": 1})


async def test_a_session_that_waits_for_a_permit_is_refused_when_its_time_is_up(rel: Any) -> None:
    bulkhead = Bulkhead(1, queue=1, clock=rel.clock)
    bulkhead.enter(0.0, None)
    session = Handshake(ResilienceMiddleware(talk, rel, timeout=0.3, guards=[bulkhead]))
    await rel.clock.advance()
    await rel.clock.advance(0.5)
    await session.task
    assert session.sent == [REFUSED]
    assert bulkhead.statistics().waiting == 0


async def test_a_route_has_its_own_guards(rel: Any, shut: Any) -> None:
    app = Starlette(routes=[WebSocketRoute(path, talk_in_starlette) for path in ("/ws", "/other/{x}")])
    middleware = ResilienceMiddleware(app, rel, routes={"/other/{x}": RouteGuards(guards=[shut])})
    free, refused = Handshake(middleware), Handshake(middleware, "/other/1")
    await refused.task
    assert refused.sent == [REFUSED]
    await free.leave()
    assert codes(rel)["1000"] == 1


async def test_a_rate_limit_counts_handshakes(rel: Any) -> None:
    limit = per_client(lambda client: RateLimiter(1, per=60, clock=rel.clock))
    middleware = ResilienceMiddleware(talk, rel, guards=[limit])
    first = Handshake(middleware)
    await first.leave()
    second = Handshake(middleware)
    await second.task
    assert (first.sent, second.sent) == ([ACCEPT], [REFUSED])


@pytest.mark.parametrize(("before", "code"), [([], "403"), ([ACCEPT], "1013")])
async def test_a_refusal_that_the_application_lets_through_ends_the_session(
    rel: Any, before: Any, code: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in before:
            await send(message)
        raise BulkheadFull("reports")

    session = Handshake(ResilienceMiddleware(app, rel))
    await session.task
    assert (session.sent, codes(rel)) == ([*before, REFUSED], {code: 1})


async def test_a_session_that_is_cancelled_gives_its_permit_back(rel: Any) -> None:
    bulkhead = Bulkhead(1)
    session = Handshake(ResilienceMiddleware(talk, rel, guards=[bulkhead]))
    await rel.clock.advance()
    session.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session.task
    assert bulkhead.statistics().in_flight == 0
