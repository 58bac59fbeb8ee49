"""The endpoints: liveness, readiness, metrics, alerts; as routes to add, or as one application to mount."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from resilience.errors import ConfigError
from resilience.reliability import Reliability
from resilience_middleware import alerts
from resilience_middleware.endpoint import Endpoint, refuse
from resilience_middleware.security import Access, may

__all__ = ["ENDPOINTS", "Endpoint", "reliability_app", "routes"]


async def livez(rel: Reliability, request: Request) -> Response:  # noqa: ARG001  a Handler
    """Answer whether the process serves at all: it does, or nobody would answer."""
    return _health(passed=True)


async def readyz(rel: Reliability, request: Request) -> Response:  # noqa: ARG001  a Handler
    """Answer whether to send traffic here: not before the start, and not once the shutdown has begun."""
    return _health(passed=rel.ready)


async def metrics(rel: Reliability, request: Request) -> Response:
    """Answer a Prometheus scrape, in the format that it accepts."""
    body, content_type = rel.metrics(request.headers.get("accept", ""))
    return Response(body, headers={"content-type": content_type})


ENDPOINTS: Final = (
    Endpoint("/livez", Access.OPEN, livez),
    Endpoint("/readyz", Access.OPEN, readyz),
    Endpoint("/metrics", Access.OPEN, metrics),
    *alerts.ENDPOINTS,
)
"""All endpoints, with who may use them."""


def routes(rel: Reliability, *, prefix: str = "", open_metrics: bool = True) -> list[Route]:
    """Return the endpoints as Starlette routes.

    Args:
        rel: what they tell about.
        prefix: put before each path: `/ops`.
        open_metrics: whether `/metrics` needs no token.
    """
    return [
        Route(
            prefix + endpoint.path,
            _guard(rel, endpoint, _access(endpoint, open_metrics=open_metrics)),
            methods=endpoint.methods,
            include_in_schema=False,
        )
        for endpoint in ENDPOINTS
    ]


def reliability_app(rel: Reliability, *, open_metrics: bool = True) -> Router:
    """Return the endpoints as one ASGI application, to be mounted in any other.

    Args:
        rel: what they tell about.
        open_metrics: whether `/metrics` needs no token.
    """
    return Router(list(routes(rel, open_metrics=open_metrics)))


def _access(endpoint: Endpoint, *, open_metrics: bool) -> Access:
    if endpoint.handle is metrics and not open_metrics:
        return Access.READ
    return endpoint.access


def _guard(rel: Reliability, endpoint: Endpoint, access: Access) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        if may(access, request.scope, rel.token):
            try:
                return await endpoint.handle(rel, request)
            except ConfigError as error:
                return refuse(400, error.message)
        return Response(
            "This needs `Authorization: Bearer` and the token that the service was started with.\n",
            status_code=401,
            headers={"www-authenticate": "Bearer", "cache-control": "no-store"},
            media_type="text/plain",
        )

    return answer


def _health(*, passed: bool) -> Response:
    # The words of draft-inadarei-api-health-check-06.
    return Response(
        json.dumps({"status": "pass" if passed else "fail"}),
        status_code=200 if passed else 503,
        headers={"cache-control": "no-store"},
        media_type="application/health+json",
    )
