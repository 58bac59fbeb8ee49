"""What a real Reliability has counted after requests through the middleware."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from resilience.core.clock import ManualClock
from resilience.reliability import Reliability
from resilience_middleware.asgi import ResilienceMiddleware
from tests.signals.test_recording import shown
from tests.waiting import PATIENCE


async def test_requests_are_counted_one_by_one_even_after_their_series_was_dropped(client_of: Any) -> None:
    clock = ManualClock()
    rel = Reliability("shop", clock=clock)
    took = iter([0.001, 0.02, 70.0, 0.02])

    async def user(request: Request) -> Response:
        clock.shift(next(took))
        return Response(b"ok")

    app = ResilienceMiddleware(Starlette(routes=[Route("/users/{id}", user)]), rel)
    for number in range(3):
        await client_of(app).request(f"/users/{number}")
    key = ("/users/{id}", "shop")
    buckets = shown(rel.signals, "http_request_duration_seconds_bucket")
    assert [buckets[le, "GET", *key] for le in ("0.005", "0.025", "10.0", "+Inf")] == [1.0, 2.0, 2.0, 3.0]
    assert round(shown(rel.signals, "http_request_duration_seconds_sum")["GET", *key], 6) == 70.021
    assert shown(rel.signals, "http_requests_total") == {("200", "GET", *key, "success"): 3.0}

    instrument = rel.signals.find("http_requests_total")
    assert instrument is not None
    instrument.remove("shop", "GET", "/users/{id}", "200", "success")
    other = rel.signals.counter("other_total").bind()  # takes the column that came free
    await client_of(app).request("/users/4")
    assert shown(rel.signals, "http_requests_total") == {("200", "GET", *key, "success"): 1.0}
    assert shown(rel.signals, "http_request_duration_seconds_count")["GET", *key] == 4.0
    assert (other.current, rel.sli.in_flight) == (0.0, 0)
    await asyncio.wait_for(rel.stop(), PATIENCE)
