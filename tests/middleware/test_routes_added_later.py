"""Routes that an application gets after the middleware, or while it serves: counted where they are, ours left alone."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, Router

from resilience.http.context import criticality
from resilience_middleware.admission import RouteGuards
from resilience_middleware.asgi import ResilienceMiddleware
from resilience_middleware.routes import reliability_app, routes


async def hello(request: Any) -> Any:
    return PlainTextResponse("hello")


def tick(rel: Any) -> None:
    rel.signals.tick(rel.clock.now())


async def test_our_endpoints_need_no_exclusion_wherever_they_are_mounted(rel: Any, client_of: Any) -> None:
    rel.running = rel.ready = True
    app = Starlette(
        routes=[Mount("/ops", reliability_app(rel)), *routes(rel, prefix="/own"), Route("/", hello)]
    )
    served = ResilienceMiddleware(app, rel)
    for path in ("/ops/livez", "/own/readyz", "/ops/alerts/17", "/own/policies/a/b/reset", "/ops/metrics"):
        await client_of(served).request(path)
    assert rel.sli.requests == []
    await client_of(served).request("/")
    assert [request[1] for request in rel.sli.requests] == ["/"]


async def test_those_that_are_added_while_it_serves_are_left_alone_from_the_next_tick_on(
    rel: Any, client_of: Any
) -> None:
    rel.running = rel.ready = True
    app = Starlette(routes=[Route("/", hello)])
    served = ResilienceMiddleware(app, rel)
    await client_of(served).request("/")
    app.router.routes += routes(rel)
    tick(rel)
    await client_of(served).request("/livez")
    assert [request[1] for request in rel.sli.requests] == ["/"]


async def test_a_router_that_is_mounted_once_more_counts_in_both_places(rel: Any, client_of: Any) -> None:
    shared = Router([Route("/x", hello)])
    app = Starlette(routes=[Mount("/a", shared)])
    served = ResilienceMiddleware(app, rel)
    for _ in range(2):
        await client_of(served).request("/a/x")
    app.mount("/b", shared)
    tick(rel)
    for path in ("/b/x", "/a/x"):
        await client_of(served).request(path)
    assert [request[1] for request in rel.sli.requests] == ["/a/x", "/a/x", "/b/x", "/a/x"]


async def test_a_router_that_is_included_once_more_counts_in_both_places(rel: Any, client_of: Any) -> None:
    router, app = APIRouter(), FastAPI()
    router.add_api_route("/x", lambda: "x")
    app.include_router(router, prefix="/a")
    served = ResilienceMiddleware(app, rel)
    await client_of(served).request("/a/x")
    app.include_router(router, prefix="/b")
    tick(rel)
    await client_of(served).request("/b/x")
    await client_of(served).request("/a/x")
    assert [request[1] for request in rel.sli.requests] == ["/a/x", "/b/x", "/a/x"]


async def test_a_route_that_moves_counts_where_it_is(rel: Any, client_of: Any) -> None:
    shared = Router([Route("/x", hello)])
    app = Starlette(routes=[Mount("/old", shared)])
    served = ResilienceMiddleware(app, rel)
    await client_of(served).request("/old/x")
    app.router.routes[:] = [Mount("/new", shared)]
    tick(rel)
    await client_of(served).request("/new/x")
    await client_of(served).request("/old/x")
    assert [request[1] for request in rel.sli.requests] == ["/old/x", "/new/x", "_UNMATCHED"]


async def test_guards_hold_for_a_route_that_comes_later(rel: Any, client_of: Any) -> None:
    app = Starlette()
    served = ResilienceMiddleware(app, rel, routes={"/later": RouteGuards(criticality="critical")})
    await client_of(served).request("/later")
    seen: list[Any] = []

    async def later(request: Any) -> Any:
        seen.append(criticality.get())
        return PlainTextResponse("now")

    app.add_route("/later", later)
    tick(rel)
    await client_of(served).request("/later")
    assert seen == [3]
