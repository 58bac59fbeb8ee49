"""The middleware among others: middleware that copies the scope, applications in applications, other frameworks."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from litestar import Litestar, get
from litestar.params import FromPath
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from resilience.core.clock import ManualClock
from resilience.policies.bulkhead import Bulkhead
from resilience_middleware.admission import RouteGuards
from resilience_middleware.asgi import ResilienceMiddleware
from resilience_middleware.setup import install
from tests.middleware.conftest import NotedReliability


async def endpoint(request: Any) -> Any:
    return PlainTextResponse("ok")


class Copying:
    """Changes the scope of a request, and therefore copies it."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app({**scope, "tenant": "a"}, receive, send)


@pytest.mark.parametrize("kind", [Starlette, FastAPI])
async def test_behind_middleware_that_copies_the_scope_requests_count_by_their_route(
    rel: Any, client_of: Any, kind: Any
) -> None:
    app = kind()
    app.add_middleware(Copying)
    install(app, rel)
    app.add_route("/orders/{id:int}", endpoint)
    app.mount("/t/{tenant}", Starlette(routes=[Route("/u/{uid}", endpoint)]))
    for path in ("/orders/7", "/t/1/u/2", "/none"):
        await client_of(app).request(path)
    assert [request[1] for request in rel.sli.requests] == [
        "/orders/{id}",
        "/t/{tenant}/u/{uid}",
        "_UNMATCHED",
    ]


@pytest.mark.parametrize("under", ["/sub", "/t/{tenant}"])
@pytest.mark.parametrize("kind", [Starlette, FastAPI])
@pytest.mark.parametrize("copies", [False, True])
async def test_a_mounted_application_has_its_own_routes_guards_and_endpoints(
    rel: Any, client_of: Any, kind: Any, under: str, copies: bool
) -> None:
    inner = kind()
    full = Bulkhead(1)
    full.enter(0.0, None)
    if copies:
        inner.add_middleware(Copying)
    install(inner, rel, routes={"/orders/{id}": RouteGuards(guards=[full])})
    inner.add_route("/orders/{id:int}", endpoint)
    inner.add_route("/free", endpoint)
    inner.mount("/deep", Starlette(routes=[Route("/{x}", endpoint)]))
    outer = Starlette(routes=[Mount(under, app=inner)])
    prefix = under.replace("{tenant}", "7")
    statuses = []
    for path in ("/livez", "/orders/7", "/free", "/deep/1"):
        statuses.append((await client_of(outer).request(prefix + path, root_path="")).status)
    assert statuses == [200, 503, 200, 200]
    assert [request[1] for request in rel.sli.requests] == ["/orders/{id}", "/free", "/deep/{x}"]


async def test_an_application_and_one_mounted_in_it_each_see_their_own_templates(client_of: Any) -> None:
    outside, inside = NotedReliability(ManualClock()), NotedReliability(ManualClock())
    inner = Starlette(routes=[Route("/x/{id}", endpoint)])
    inner.add_middleware(Copying)
    install(inner, inside)  # type: ignore[arg-type]
    outer = Starlette(routes=[Mount("/sub", app=inner)])
    install(outer, outside)  # type: ignore[arg-type]
    await client_of(outer).request("/sub/x/1")
    assert (outside.last[1], inside.last[1]) == ("/sub/x/{id}", "/x/{id}")


async def test_litestar_requests_count_by_its_templates(rel: Any, client_of: Any) -> None:
    @get("/orders/{id:int}")
    async def order(id: FromPath[int]) -> str:  # noqa: A002  a path parameter is called so
        return str(id)

    client = client_of(ResilienceMiddleware(Litestar([order]), rel))
    for path in ("/orders/7", "/none"):
        await client.request(path, raw_path=path.encode())
    assert [request[1:3] for request in rel.sli.requests] == [("/orders/{id}", 200), ("_UNMATCHED", 404)]


async def test_paths_of_strangers_take_no_memory_to_speak_of(rel: Any, client_of: Any) -> None:
    middleware = ResilienceMiddleware(
        Starlette(routes=[Route("/{x:path}", endpoint)]), rel, routes={"/{x}": RouteGuards(1.0)}
    )
    templates = middleware._templates
    for number in range(50):
        path = f"/{number}{'x' * 60_000}"
        assert templates.match({"path": path}) == "/{x}"
    assert sum(map(len, templates._paths)) < 100_000
