"""`install(app, rel)`: the middleware and the endpoints in one call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.types import Scope

from resilience.core.log import log
from resilience.core.options import named_options
from resilience.core.ports import Guard
from resilience.core.validate import flag, shown
from resilience.errors import ConfigError
from resilience.reliability import Reliability
from resilience_middleware.admission import Peers, RouteGuards, route_guards
from resilience_middleware.asgi import ResilienceMiddleware
from resilience_middleware.errors import Beacon
from resilience_middleware.events import EventStreams
from resilience_middleware.problem import ProblemBody, render
from resilience_middleware.request_log import RequestLog
from resilience_middleware.routes import routes as endpoint_routes
from resilience_middleware.templates import below

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

__all__ = ["install"]


@named_options
def install(
    app: Starlette,
    rel: Reliability,
    *,
    prefix: str = "",
    open_metrics: bool = True,
    beside: Iterable[Collector] = (),
    origins: Collection[str] = (),
    beacon: Beacon | None = None,
    events: EventStreams | None = None,
    timeout: float | None = None,
    guards: Sequence[Guard[Any]] = (),
    routes: Mapping[str, RouteGuards] | None = None,
    trusted: Collection[str] = (),
    criticality: Callable[[Scope], str | None] | None = None,
    exclude: Collection[str] = (),
    details: bool = False,
    request_log: RequestLog | None = None,
    console: bool = False,
    problem: ProblemBody = render,
) -> None:
    """Add the middleware and the endpoints to a FastAPI or Starlette application.

    The endpoints (`/livez`, `/readyz`, `/startupz`, `/health`, `/metrics`, `/slo`, `/alerts`, `/policies`, `/events`, `/errors`)
    come before the application's other routes and are neither recorded nor guarded; a path that the application has
    already stays the application's.

    Args:
        app: not yet started.
        rel: starts and stops along with the application.
        prefix: put before each endpoint's path: `/ops`.
        open_metrics: whether `/metrics` needs no token.
        beside: registries of the application's own metrics, which `/metrics` shows, too.
        origins: where pages may post errors from besides this service's own host.
        beacon: takes these errors within other limits, `Beacon(rate=5)`; it has the origins then.
        events: streams events within other limits: `EventStreams(streams=500)`.
        timeout: seconds for a request, to the last byte of its answer; None for no limit.
        guards: what each request has to pass, in this order.
        routes: other guards by route template, instead of `timeout` and `guards`.
        trusted: addresses and networks whose deadline and criticality headers are believed.
        criticality: says how much a request matters where no trusted peer does, by name, or None.
        exclude: further paths that are neither recorded nor guarded.
        details: whether time to the first byte and sizes are recorded too.
        request_log: which slow and failed requests are written to the log; None for none.
        console: whether the live page is served under `/reliability/`.
        problem: makes content type and body of what a refused client is told.

    Raises:
        MissingExtra: the console is wanted, and jinja2 is not installed.
        ConfigError: it is no FastAPI or Starlette application, it has been installed there before, or an option cannot
            be meant.
    """
    if not isinstance(app, Starlette):
        message = (
            f"install() takes a FastAPI or Starlette application, got {type(app).__name__}: wrap any other one,"
            " app = ResilienceMiddleware(app, reliability=rel), and mount reliability_app(rel) in it"
        )
        raise ConfigError(message)
    if not hasattr(rel, "sli"):
        raise ConfigError(
            f"install() takes a Reliability, got {shown(rel)}: write install(app, Reliability(service='shop'))"
        )
    if ResilienceMiddleware in [getattr(middleware, "cls", None) for middleware in app.user_middleware]:
        raise ConfigError("install() was called for this application before")
    if not isinstance(prefix, str) or (prefix and (not prefix.startswith("/") or prefix.endswith("/"))):
        raise ConfigError(f"prefix must be empty or a path such as /ops, got {shown(prefix)}")
    # Starlette makes the middleware at the first request: nonsense is refused now.
    RouteGuards(timeout, guards)
    route_guards(routes)
    Peers(trusted)
    flag("details", details)
    taken = {getattr(route, "path", None) for route in app.router.routes}
    found = endpoint_routes(
        rel,
        prefix=prefix,
        open_metrics=open_metrics,
        beside=beside,
        origins=origins,
        beacon=beacon,
        events=events,
        console=console,
    )
    endpoints = []
    for route in found:
        if route.path in taken:
            log(__name__).warning("endpoint_taken", path=route.path)
        else:
            endpoints.append(route)
    app.add_middleware(
        ResilienceMiddleware,
        reliability=rel,
        timeout=timeout,
        guards=guards,
        routes=routes,
        trusted=trusted,
        criticality=criticality,
        exclude={*exclude, *(below(endpoint.path) for endpoint in endpoints)},
        details=details,
        request_log=request_log,
        problem=problem,
    )
    app.router.routes[:0] = endpoints
