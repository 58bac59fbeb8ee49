"""Mistakes in the use of `install` and `guarded`: each message says what to write."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from resilience.errors import ConfigError
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.reliability import Reliability
from resilience_middleware.admission import RouteGuards
from resilience_middleware.asgi import ResilienceMiddleware
from resilience_middleware.guarded import guarded
from resilience_middleware.setup import install


async def order() -> str:
    return "ok"


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (order, r"the function order: write @guarded\(timeout=1.0\)"),
        (1.0, r"write guarded\(timeout=1.0\)"),
        (2, r"write guarded\(timeout=2\)"),
        (CircuitBreaker, r"write guarded\(CircuitBreaker\(\)\)"),
        ("1s", r"write guarded\(timeout=1.0\)"),
    ],
)
def test_what_is_no_policy(given: Any, advice: str) -> None:
    with pytest.raises(ConfigError, match=advice):
        guarded(given)


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (CircuitBreaker(), r"write guards=\[CircuitBreaker\("),
        (CircuitBreaker, r"write guards=\[CircuitBreaker\("),
        ([CircuitBreaker], r"write guards=\[CircuitBreaker\("),
        (1.0, r"write guards=\[Bulkhead\("),
        ("bulkhead", r"write guards=\[Bulkhead\("),
    ],
)
def test_what_is_no_list_of_guards(rel: Any, given: Any, advice: str) -> None:
    for use in (
        lambda: install(Starlette(), rel, guards=given),
        lambda: ResilienceMiddleware(Starlette(), rel, guards=given),
        lambda: RouteGuards(guards=given),
    ):
        with pytest.raises(ConfigError, match=advice):
            use()


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (
            {"/pay": {"timeout": 1.0}},
            r"got \{'timeout': 1.0\} for '/pay': write routes=\{'/pay': RouteGuards\(",
        ),
        ({"/pay": CircuitBreaker()}, r"write routes=\{'/pay': RouteGuards\("),
        ({7: RouteGuards()}, "for 7: write routes="),
        (["/pay"], r"must be a mapping by template, got \['/pay'\]: write routes="),
    ],
)
def test_what_are_no_guards_of_routes(rel: Any, given: Any, advice: str) -> None:
    for use in (
        lambda: install(Starlette(), rel, routes=given),
        lambda: ResilienceMiddleware(Starlette(), rel, routes=given),
    ):
        with pytest.raises(ConfigError, match=advice):
            use()


def test_what_is_no_reliability() -> None:
    with pytest.raises(ConfigError, match=r"write install\(app, Reliability\("):
        install(Starlette(), "shop")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"write Reliability\("):
        ResilienceMiddleware(Starlette(), "shop")  # type: ignore[arg-type]


def test_guarded_above_the_route_is_said_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()

    @guarded(timeout=1.0)
    @app.get("/above/{x}")
    async def above(x: str) -> str:
        return x

    @app.get("/below")
    @guarded(timeout=1.0)
    @guarded(Bulkhead(3))
    async def below() -> str:
        return "ok"

    @guarded(timeout=1.0)
    @app.get("/stream")
    async def stream() -> Any:
        yield 1

    for path in ("/one", "/two"):
        app.get(path)(guarded(timeout=1.0)(order))
    install(app, Reliability("shop", watch=0))
    with caplog.at_level(logging.WARNING), TestClient(app):
        pass
    said = [record.getMessage() for record in caplog.records if "guard_without_effect" in record.getMessage()]
    assert len(said) == 2
    assert "/above/{x}" in said[0]
    assert "/stream" in said[1]


def test_a_starlette_route_to_the_function_itself_is_said_too(caplog: pytest.LogCaptureFixture) -> None:
    async def plain(request: Any) -> Any:
        return PlainTextResponse("ok")

    guarded(timeout=1.0)(plain)
    app = Starlette(routes=[Route("/plain", plain)])
    install(app, Reliability("shop", watch=0))
    with caplog.at_level(logging.WARNING), TestClient(app):
        pass
    assert "/plain" in caplog.text
