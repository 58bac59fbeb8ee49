"""What strangers send at random costs at most one series each, and no memory."""

from __future__ import annotations

import gc
import random
import string
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from resilience import Reliability
from resilience.core.clock import ManualClock
from resilience.policies.rate_limiter import RateLimiter
from resilience_middleware.admission import RouteGuards, per_client
from resilience_middleware.asgi import ResilienceMiddleware

_SOME = random.Random(7)


def word() -> str:
    return "".join(_SOME.choices(string.ascii_letters, k=12))


def wild() -> dict[str, Any]:
    """A request of which everything is made up."""
    return {
        "path": f"/{word()}/{word()}",
        "method": word().upper(),
        "client": (f"203.0.{_SOME.randrange(256)}.{_SOME.randrange(256)}", 1),
        "headers": {
            "host": f"{word()}.example",
            "x-request-deadline": word(),
            "x-request-criticality": word(),
            "traceparent": word(),
        },
    }


async def ok(request: Any) -> Any:
    return PlainTextResponse("ok")


@pytest.fixture
def app() -> Any:
    return Starlette(routes=[Route("/users/{id}", ok), Mount("/t/{tid}", routes=[Route("/u/{uid}", ok)])])


@pytest.mark.parametrize(
    ("given", "series"),
    [
        (lambda: {"path": f"/{word()}"}, 1),
        (lambda: {"path": "/users/1", "method": word().upper()}, 1),
        (lambda: {"path": "/users/1", "headers": {"host": f"{word()}.example"}}, 1),
        (lambda: {"path": f"/users/{word()}"}, 1),
        (lambda: {"path": f"/t/{word()}/u/{word()}"}, 1),
        (wild, 1),
    ],
    ids=["paths", "methods", "hosts", "parameters", "nested parameters", "everything"],
)
async def test_ten_thousand_of_a_kind_add_one_series(
    app: Any, client_of: Any, clock: ManualClock, given: Any, series: int
) -> None:
    rel = Reliability("shop", clock=clock)
    served = ResilienceMiddleware(app, rel, details=True, trusted=["203.0.0.0/17"], timeout=30.0)
    for _ in range(10_000):
        client = client_of(served)
        await client.request(**given())
    counter = rel.signals.find("http_requests_total")
    assert counter is not None
    assert len(list(counter.items())) == series


async def test_they_leave_no_memory_behind(app: Any, client_of: Any, clock: ManualClock) -> None:
    rel = Reliability("shop", clock=clock)
    served = ResilienceMiddleware(
        app,
        rel,
        trusted=["203.0.0.0/17"],
        timeout=30.0,
        guards=[per_client(lambda client: RateLimiter(10, clock=clock), max_keys=100)],
        routes={"/users/{id}": RouteGuards(timeout=1.0)},
    )

    async def left(requests: int) -> int:
        for _ in range(requests):
            await client_of(served).request(**wild())
        gc.collect()
        return len(gc.get_objects())

    before = await left(6_000)  # what is bounded has reached its bounds
    assert await left(6_000) - before < 500
