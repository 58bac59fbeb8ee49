"""What `details=True` records besides."""

from __future__ import annotations

from typing import Any

import pytest

from resilience.errors import ConfigError
from resilience_middleware.asgi import ResilienceMiddleware


async def test_time_to_the_first_byte_and_sizes(rel: Any, client_of: Any) -> None:
    recorded: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        rel.clock.shift(0.25)
        await send({"type": "http.response.start", "status": 200})
        rel.clock.shift(1.0)
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.body", "body": b"de"})

    middleware = ResilienceMiddleware(app, rel, details=True)
    record = middleware._details.record  # type: ignore[union-attr]  # details=True

    def noted(exchange: Any, route: str) -> None:
        recorded.append((exchange.first_byte, exchange.received, exchange.sent, route))
        record(exchange, route)

    middleware._details.record = noted  # type: ignore[union-attr,method-assign]  # same
    client = client_of(middleware)
    client.incoming = [{"type": "http.request", "body": b"1234"}]
    await client.request()
    assert recorded == [(0.25, 4, 5, "_UNMATCHED")]
    assert rel.seconds == 1.25


async def test_without_them_none_of_it_is_declared(rel: Any, client_of: Any) -> None:
    assert ResilienceMiddleware(client_of, rel)._details is None


def test_nonsense_is_refused(rel: Any) -> None:
    with pytest.raises(ConfigError, match="details"):
        ResilienceMiddleware(object(), rel, details="yes")  # type: ignore[arg-type]  # that is the test
