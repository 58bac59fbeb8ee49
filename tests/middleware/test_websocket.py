"""Websocket sessions, message by message."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from resilience_middleware.asgi import ResilienceMiddleware

ACCEPT = {"type": "websocket.accept"}


@pytest.fixture
def session(rel: Any) -> Any:
    """Run one session of an application, and return what it sent."""

    async def run(app: Any, *incoming: Any, path: str = "/ws") -> list[Any]:
        sent: list[Any] = []
        messages = [{"type": "websocket.connect"}, *incoming]

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": path, "root_path": "", "headers": []}
        await ResilienceMiddleware(app, rel)(scope, receive, send)
        return sent

    return run


def ended(rel: Any) -> dict[tuple[str, ...], float]:
    counter = rel.signals.counter(
        "websocket_sessions_total", "Websocket sessions that ended.", labels=("service", "route", "code")
    )
    codes = ("1000", "1001", "1006", "1011", "403", "418", "4000", "_OTHER")
    found = {
        (route, code): counter["tests", route, code].current
        for route in ("_UNMATCHED", "/ws/{room}")
        for code in codes
    }
    return {key: count for key, count in found.items() if count}


def speaking(*outgoing: Any, receives: int = 1) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(receives):
            await receive()
        for message in outgoing:
            await send(message)

    return app


@pytest.mark.parametrize(
    ("app", "incoming", "code"),
    [
        (speaking(ACCEPT, {"type": "websocket.close", "code": 1001}), (), "1001"),
        (speaking(ACCEPT, {"type": "websocket.close"}), (), "1000"),
        (speaking(ACCEPT, {"type": "websocket.close", "code": 4000}), (), "4000"),
        (speaking({"type": "websocket.close"}), (), "403"),
        (speaking({"type": "websocket.http.response.start", "status": 418}), (), "418"),
        (speaking(ACCEPT, receives=2), ({"type": "websocket.disconnect", "code": 1001},), "1001"),
        (speaking(ACCEPT, receives=2), ({"type": "websocket.disconnect", "code": 3999},), "_OTHER"),
        (speaking(ACCEPT), (), "1006"),
    ],
)
async def test_a_session_is_counted_by_how_it_ended(
    rel: Any, session: Any, app: Any, incoming: Any, code: str
) -> None:
    await session(app, *incoming)
    assert ended(rel) == {("_UNMATCHED", code): 1}
    assert rel.sli.requests == []


async def test_an_exception_goes_on_and_is_1011(rel: Any, session: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        raise KeyError

    with pytest.raises(KeyError):
        await session(app)
    assert ended(rel) == {("_UNMATCHED", "1011"): 1}


async def test_messages_pass_as_they_are_and_the_route_is_its_template(rel: Any, session: Any) -> None:
    async def talk(socket: Any) -> None:
        await socket.accept()
        rel.clock.shift(60)
        await socket.send_text(await socket.receive_text())
        await socket.close()

    app = Starlette(routes=[WebSocketRoute("/ws/{room}", talk)])
    sent = await session(app, {"type": "websocket.receive", "text": "hello"}, path="/ws/7")
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert ended(rel) == {("/ws/{room}", "1000"): 1}
