"""The endpoints, with who may use them; as routes to add, or as one application to mount."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from resilience.core.validate import flag, shown
from resilience.errors import ConfigError
from resilience.reliability import Reliability
from resilience_middleware import alerts, health, openapi, policies, slos
from resilience_middleware.endpoint import Endpoint
from resilience_middleware.endpoints.door import Door
from resilience_middleware.errors import Beacon
from resilience_middleware.events import EventStreams
from resilience_middleware.security import Access

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

__all__ = ["Endpoint", "endpoints", "reliability_app", "routes"]

T = TypeVar("T")


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
    served = endpoints(
        open_metrics=open_metrics, beside=beside, origins=origins, beacon=beacon, events=events
    )
    door = Door(rel)
    found: list[Route] = [door.route(endpoint, prefix) for endpoint in served]
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
        raise ConfigError(f"{option} must be a {kind.__name__}, got {shown(value)}")
    return value
