"""The endpoints, with who may use them; as routes to add, or as one application to mount."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import TYPE_CHECKING, Final, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router

from resilience.core.validate import flag
from resilience.errors import ConfigError, MissingExtra
from resilience.reliability import Reliability
from resilience_middleware import alerts, health, openapi, policies, slos
from resilience_middleware.endpoint import Endpoint, refuse
from resilience_middleware.errors import Beacon
from resilience_middleware.events import EventStreams
from resilience_middleware.security import Access, may
from resilience_middleware.templates import OwnRoute

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

__all__ = ["Endpoint", "endpoints", "reliability_app", "routes"]

T = TypeVar("T")

# What servers let through differs; a request to these endpoints has use for a tenth of it.
_MAX_HEADERS: Final = 100
_MAX_HEADER_BYTES: Final = 32_768


def endpoints(
    *,
    open_metrics: bool = True,
    beside: Iterable[Collector] = (),
    origins: Collection[str] = (),
    beacon: Beacon | None = None,
    events: EventStreams | None = None,
) -> tuple[Endpoint, ...]:
    """Return all endpoints, with who may use them.

    Args:
        open_metrics: whether `/metrics` needs no token.
        beside: registries of the application's own metrics, which `/metrics` shows, too.
        origins: where pages may post errors from besides this service's own host.
        beacon: takes these errors within other limits, `Beacon(rate=5)`; it has the origins then.
        events: streams events within other limits: `EventStreams(streams=500)`.

    Raises:
        ConfigError: an option cannot be meant.
    """
    registries = tuple(beside)
    if beacon is not None and origins:
        raise ConfigError("origins must be given to the beacon where there is one: Beacon(origins=...)")

    async def metrics(rel: Reliability, request: Request) -> Response:
        """Answer a Prometheus scrape, in the format that it accepts."""
        body, content_type = rel.metrics(request.headers.get("accept", ""), beside=registries)
        return Response(body, headers={"content-type": content_type})

    found = (
        *health.ENDPOINTS,
        Endpoint("/metrics", Access.OPEN if flag("open_metrics", open_metrics) else Access.READ, metrics),
        *slos.ENDPOINTS,
        *alerts.ENDPOINTS,
        *policies.ENDPOINTS,
        *(EventStreams() if events is None else _made(events, EventStreams, "events")).endpoints,
        *(Beacon(origins) if beacon is None else _made(beacon, Beacon, "beacon")).endpoints,
    )
    return (*found, openapi.endpoint(found))


def routes(
    rel: Reliability,
    *,
    prefix: str = "",
    open_metrics: bool = True,
    beside: Iterable[Collector] = (),
    origins: Collection[str] = (),
    beacon: Beacon | None = None,
    events: EventStreams | None = None,
    console: bool = False,
) -> list[Route]:
    """Return the endpoints as Starlette routes.

    Args:
        rel: what they tell about.
        prefix: put before each path: `/ops`.
        open_metrics: whether `/metrics` needs no token.
        beside: registries of the application's own metrics, which `/metrics` shows, too.
        origins: where pages may post errors from besides this service's own host.
        beacon: takes these errors within other limits, `Beacon(rate=5)`; it has the origins then.
        events: streams events within other limits: `EventStreams(streams=500)`.
        console: whether the live page is there, under `/reliability/`.

    Raises:
        MissingExtra: the console is wanted, and jinja2 is not installed.
        ConfigError: an option cannot be meant.
    """
    found: list[Route] = [
        OwnRoute(
            prefix + endpoint.path, _guard(rel, endpoint), methods=endpoint.methods, include_in_schema=False
        )
        for endpoint in endpoints(
            open_metrics=open_metrics, beside=beside, origins=origins, beacon=beacon, events=events
        )
    ]
    if flag("console", console):
        from resilience_middleware.console.app import Console  # noqa: PLC0415  only for who wants it

        found += Console(rel).routes(prefix)
    return found


def reliability_app(
    rel: Reliability,
    *,
    open_metrics: bool = True,
    beside: Iterable[Collector] = (),
    origins: Collection[str] = (),
    beacon: Beacon | None = None,
    events: EventStreams | None = None,
    console: bool = False,
) -> Router:
    """Return the endpoints as one ASGI application, to be mounted in any other.

    Args:
        rel: what they tell about.
        open_metrics: whether `/metrics` needs no token.
        beside: registries of the application's own metrics, which `/metrics` shows, too.
        origins: where pages may post errors from besides this service's own host.
        beacon: takes these errors within other limits, `Beacon(rate=5)`; it has the origins then.
        events: streams events within other limits: `EventStreams(streams=500)`.
        console: whether the live page is there, under `/reliability/`.

    Raises:
        MissingExtra: the console is wanted, and jinja2 is not installed.
        ConfigError: an option cannot be meant.
    """
    return Router(
        routes(
            rel,
            open_metrics=open_metrics,
            beside=beside,
            origins=origins,
            beacon=beacon,
            events=events,
            console=console,
        )
    )


def _made(value: T, kind: type[T], option: str) -> T:
    if not isinstance(value, kind):
        raise ConfigError(f"{option} must be a {kind.__name__}, got {value!r}")
    return value


def _guard(rel: Reliability, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        headers = request.scope["headers"]
        if len(headers) > _MAX_HEADERS or sum(map(_size, headers)) > _MAX_HEADER_BYTES:
            return refuse(431, f"at most {_MAX_HEADERS} headers of {_MAX_HEADER_BYTES} bytes together")
        if may(endpoint.access, request.scope, rel.token):
            return await _handled(rel, endpoint, request)
        refused = refuse(
            401, "This needs `Authorization: Bearer` and the token that the service was started with."
        )
        refused.headers["www-authenticate"] = "Bearer"
        return refused

    return answer


async def _handled(rel: Reliability, endpoint: Endpoint, request: Request) -> Response:
    try:
        return await endpoint.handle(rel, request)
    except ConfigError as error:
        return refuse(400, error.message)
    except HTTPException as error:
        return refuse(error.status_code, error.detail)
    except MissingExtra as error:
        return refuse(501, str(error))
    except ClientDisconnect:
        return refuse(400, "the body ended early")  # nobody is there to read it


def _size(header: tuple[bytes, bytes]) -> int:
    name, value = header
    return len(name) + len(value)
