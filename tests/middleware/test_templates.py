"""Route templates as Starlette and FastAPI leave them behind."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles

from resilience_middleware.asgi import ResilienceMiddleware
from resilience_middleware.templates import RouteTemplates


async def endpoint(request: Any) -> Any:
    return PlainTextResponse("x")


async def other(request: Any) -> Any:
    return PlainTextResponse("y")


async def api() -> Any:
    return "x"


@pytest.fixture
def template_of(client_of: Any) -> Any:
    """Route one request and return (template found after the routing, template found before it, status)."""

    async def route(app: Any, path: Any, method: Any = "GET", **more: Any) -> Any:
        client = client_of(app)
        templates = RouteTemplates(app)
        before = templates.match(client.scope(path, method, **more))
        scope = client.scope(path, method, **more)
        await app(scope, client.receive, client.send)
        return templates.of(scope), before, client.status

    return route


@pytest.fixture
def starlette() -> Any:
    inner = [Route("/u/{uid:int}", endpoint), Mount("/w", routes=[Route("/z", endpoint)])]
    return Starlette(
        routes=[
            Route("/a/{x}", endpoint),
            Route("/same/{x}", other),
            Route("/same/{x}/again", other),
            Mount("/t/{tid}", routes=inner),
            Mount("/twice/1", routes=inner),
            Mount("/files", app=StaticFiles(directory="/", check_dir=False)),
        ]
    )


@pytest.mark.parametrize(
    ("path", "method", "template", "status"),
    [
        ("/a/1", "GET", "/a/{x}", 200),
        ("/a/1", "POST", "/a/{x}", 405),
        ("/same/1", "GET", "/same/{x}", 200),
        ("/same/1/again", "GET", "/same/{x}/again", 200),
        ("/t/1/u/2", "GET", "/t/{tid}/u/{uid}", 200),
        ("/t/1/u/2", "PUT", "/t/{tid}/u/{uid}", 405),
        ("/t/1/w/z", "GET", "/t/{tid}/w/z", 200),
        ("/twice/1/u/2", "GET", "/twice/1/u/{uid}", 200),
        ("/t/1/u/x", "GET", "_UNMATCHED", 404),
        ("/t/1/none", "GET", "_UNMATCHED", 404),
        ("/none", "GET", "_UNMATCHED", 404),
        ("/files/no/such/file", "GET", "/files/{path}", 404),
    ],
)
@pytest.mark.parametrize("root", ["", "/api"])
async def test_starlette(  # noqa: PLR0917  a column each
    starlette: Any, template_of: Any, path: Any, method: Any, template: Any, status: Any, root: Any
) -> None:
    assert await template_of(starlette, root + path, method, root_path=root) == (template, template, status)


@pytest.fixture
def fastapi() -> Any:
    app, router, deep, sub = FastAPI(), APIRouter(), APIRouter(prefix="/deep"), FastAPI()
    router.get("/i/{c}")(api)
    deep.include_router(router, prefix="/er")
    app.get("/orders/{id}")(api)
    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2/{tenant}")
    app.include_router(deep)
    sub.get("/s/{c}")(api)
    sub.include_router(router, prefix="/in")
    app.mount("/sub/{k}", sub)
    return app


@pytest.mark.parametrize(
    ("path", "method", "template", "status"),
    [
        ("/orders/1", "GET", "/orders/{id}", 200),
        ("/orders/1", "POST", "/orders/{id}", 405),
        ("/v1/i/1", "GET", "/v1/i/{c}", 200),
        ("/v2/9/i/1", "GET", "/v2/{tenant}/i/{c}", 200),
        ("/v2/9/i/1", "POST", "/v2/{tenant}/i/{c}", 405),
        ("/deep/er/i/1", "GET", "/deep/er/i/{c}", 200),
        ("/sub/9/s/1", "GET", "/sub/{k}/s/{c}", 200),
        ("/sub/9/in/i/1", "GET", "/sub/{k}/in/i/{c}", 200),
        ("/docs", "GET", "/docs", 200),
        ("/sub/9/none", "GET", "_UNMATCHED", 404),
        ("/none", "GET", "_UNMATCHED", 404),
    ],
)
async def test_fastapi(  # noqa: PLR0917  a column each
    fastapi: Any, template_of: Any, path: Any, method: Any, template: Any, status: Any
) -> None:
    assert await template_of(fastapi, path, method) == (template, template, status)


async def test_a_starlette_without_scope_route_is_told_by_its_endpoint(
    starlette: Any, client_of: Any
) -> None:
    scope = client_of(starlette).scope("/t/1/u/2")
    client = client_of(starlette)
    await starlette(scope, client.receive, client.send)
    scope.pop("route", None)
    assert RouteTemplates(starlette).of(scope) == "/t/{tid}/u/{uid}"


async def test_a_route_added_after_the_first_request_is_found(client_of: Any) -> None:
    app = Starlette(routes=[Route("/a", endpoint)])
    templates = RouteTemplates(app)
    for path in ("/a", "/b/{x}"):
        if path != "/a":
            app.router.routes.append(Route(path, other))
        client = client_of(app)
        scope = client.scope(path)
        await app(scope, client.receive, client.send)
        assert templates.of(scope) == path


async def test_hosts_and_websockets(client_of: Any) -> None:
    app = Router(
        [
            Host("api.example.com", app=Router([Route("/h/{x}", endpoint)])),
            WebSocketRoute("/ws/{room}", endpoint),
        ]
    )
    client = client_of(app)
    scope = client.scope("/h/1", headers={"Host": "api.example.com"})
    await app(scope, client.receive, client.send)
    assert RouteTemplates(app).of(scope) == "/h/{x}"
    assert (
        RouteTemplates(app).of({"type": "websocket", "path": "/ws/1", "route": app.routes[1]}) == "/ws/{room}"
    )


def test_an_application_that_is_wrapped_is_found(starlette: Any) -> None:
    class Wrapper:
        def __init__(self, app: Any) -> None:
            self.app = app

    templates = RouteTemplates(Wrapper(Wrapper(starlette)))
    assert templates.match({"path": "/t/1/u/2"}) == "/t/{tid}/u/{uid}"


def test_patterns_group_the_paths_of_an_application_without_routes() -> None:
    templates = RouteTemplates(object(), ["/users/me", "/users/{id:int}", "/files/{rest:path}"])
    found = {
        path: templates.of({"path": path}) for path in ("/users/me", "/users/7", "/users/x", "/files/a/b")
    }
    assert found == {
        "/users/me": "/users/me",
        "/users/7": "/users/{id}",
        "/users/x": "_UNMATCHED",
        "/files/a/b": "/files/{rest}",
    }


def test_routes_made_for_each_request_cost_no_memory_without_end(starlette: Any) -> None:
    templates = RouteTemplates(starlette)
    for _ in range(5_000):
        assert templates.of({"path": "/", "route": Route("/made/up", endpoint)}) == "_UNMATCHED"
    assert len(templates._single) < 2_000


def test_paths_looked_up_before_the_routing_cost_no_memory_without_end(starlette: Any) -> None:
    templates = RouteTemplates(starlette)
    for number in range(10_000):
        templates.match({"path": f"/a/{number}"})
    assert len(templates._paths) <= 4_096


async def test_a_router_that_is_included_twice_counts_apart_however_often_it_is_asked(
    rel: Any, client_of: Any
) -> None:
    router = APIRouter()
    router.add_api_route("/{id}", api)
    app = FastAPI()
    app.include_router(router, prefix="/users")
    app.include_router(router, prefix="/orders")
    app.add_middleware(ResilienceMiddleware, reliability=rel)
    for prefix in ("/users", "/orders", "/orders", "/users", "/orders"):
        await client_of(app).request(f"{prefix}/1")
        assert rel.last == ("GET", f"{prefix}/{{id}}", 200, "success")


def test_what_somebody_else_has_left_under_fastapis_name_breaks_nothing() -> None:
    templates = RouteTemplates(Starlette(routes=[Route("/", endpoint)]))
    assert templates.sole({"path": "/", "fastapi": None, "route": None}) is None
