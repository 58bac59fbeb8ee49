"""The ASGI middleware: guards and records every request, starts and stops the Reliability."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from resilience.core.ports import Guard
from resilience.core.validate import flag
from resilience.core.verdict import Verdict
from resilience.errors import LoadShed
from resilience.http.context import CRITICALITIES, criticality
from resilience.http.rules import METHODS, OTHER, code_label
from resilience.reliability import Reliability
from resilience_middleware.admission import Peers, RequestDeadline, RouteGuards, enter, leave
from resilience_middleware.details import DetailedExchange, RequestDetails
from resilience_middleware.exchange import Exchange
from resilience_middleware.lifespan import Lifespan
from resilience_middleware.problem import ProblemBody, problem_of, render, send_problem
from resilience_middleware.templates import RouteTemplates, path_of
from resilience_middleware.websocket import WebsocketSessions

__all__ = ["ResilienceMiddleware"]

_NORMAL = 2


class ResilienceMiddleware:
    """Pure ASGI middleware: `app.add_middleware(ResilienceMiddleware, reliability=rel)`, or round any ASGI application.

    Each request is recorded with its route template, its code, a verdict and the time to its last byte, each websocket
    session with its close code and how long it lasted. What a guard
    refuses is answered with 503 (a rate limit with 429) and `Retry-After`, a time that is up with 504, as
    long as nothing was sent; so is a refusal that the application let through. Messages, exceptions and context
    variables pass as they are.

    Args:
        app: the application.
        reliability: what records, and starts and stops along with the application.
        timeout: seconds for a request, to the last byte of its answer; None for no limit.
        guards: what each request has to pass, in this order; held until the last byte, and given back exactly once.
        routes: other guards by route template, instead of `timeout` and `guards`.
        trusted: addresses and networks that may say how long a request has (`X-Request-Deadline`, `grpc-timeout`)
            and how much it matters (`X-Request-Criticality`).
        exclude: paths (below the root path) that are passed on and nothing else; `/alerts/*` is all below one.
        patterns: route templates for applications without routes of their own, tried in order: `/users/{id}`.
        details: whether time to the first byte and sizes are recorded too.
        problem: makes content type and body of what a refused client is told.

    Raises:
        ConfigError: a policy that repeats is among the guards, or an option cannot be meant.
    """

    def __init__(
        self,
        app: ASGIApp,
        reliability: Reliability,
        *,
        timeout: float | None = None,
        guards: Sequence[Guard[Any]] = (),
        routes: Mapping[str, RouteGuards] | None = None,
        trusted: Collection[str] = (),
        exclude: Collection[str] = (),
        patterns: Sequence[str] = (),
        details: bool = False,
        problem: ProblemBody = render,
    ) -> None:
        self.app = app
        self.reliability = reliability
        sli = reliability.sli
        self._shed_one = sli.shed
        # Bound once: each look-up counts where all of this adds a microsecond or two.
        self._request, self._request_started, self._request_finished = (
            sli.request,
            sli.request_started,
            sli.request_finished,
        )
        self._monotonic = reliability.clock.monotonic
        self._guards = RouteGuards(timeout, guards)
        self._routes = dict(routes or {})
        self._peers = Peers(trusted)
        self._guarded = bool(self._guards or self._routes or trusted)
        self._exclude = frozenset(exclude)
        self._exclude_below = tuple(path.removesuffix("*") for path in exclude if path.endswith("/*"))
        self._patterns = patterns
        self._problem = problem
        self._lifespan = Lifespan(reliability)
        self._templates = RouteTemplates(app, patterns)
        self._details = RequestDetails(reliability) if flag("details", details) else None
        self._exchange = Exchange if self._details is None else DetailedExchange
        self._settled = False
        self._websockets = WebsocketSessions(reliability)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of any type."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        if not self._settled:
            await self._settle(scope)
        if self._exclude:
            path = path_of(scope)
            if path in self._exclude or path.startswith(self._exclude_below):
                await self.app(scope, receive, send)
                return
        exchange = self._exchange(scope, receive, send, self._monotonic, self._finished)
        self._request_started()
        try:
            if self._guarded:
                await self._admit(exchange)
            else:
                await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            problem = problem_of(error) if exchange.answerable else None
            if problem is None:
                exchange.end(error)
                raise
            await send_problem(problem, self._problem, scope, exchange.send)
        if not exchange.complete:
            exchange.end()

    async def _settle(self, scope: Scope) -> None:
        """Do what only a first request can: start where no lifespan was sent, and see the application."""
        if "app" in scope:
            # Behind further middleware of Starlette the application with the routes is found nowhere else.
            self._templates = RouteTemplates(scope["app"], self._patterns)
        if self._lifespan.pending:
            await self._lifespan.start()
        self._settled = True

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan.run(self.app, scope, receive, send)
        elif scope["type"] == "websocket":
            if not self._settled:
                await self._settle(scope)
            await self._websockets.run(self.app, self._templates, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _admit(self, exchange: Exchange) -> None:
        """Serve a request behind its guards; they are left, and its deadline lifted, with the last byte."""
        scope, peers = exchange.scope, self._peers
        chosen = (
            self._routes.get(self._templates.match(scope), self._guards) if self._routes else self._guards
        )
        seconds, level = chosen.timeout, None
        if peers.anybody:
            seconds = _nearer(seconds, peers.budget(scope))
            level = peers.criticality(scope)
        before = None if level is None else criticality.set(level)
        try:
            if seconds is None:
                await self._behind(chosen.guards, exchange, level)
            else:
                exchange.deadline = deadline = RequestDeadline(seconds, self.reliability.clock)
                async with deadline:
                    await self._behind(chosen.guards, exchange, level)
        except LoadShed as error:
            if error.inbound:
                self._shed(exchange, _NORMAL if level is None else level)
            raise
        finally:
            exchange.deadline = None  # it is over, and cannot be lifted any more
            if before is not None:
                criticality.reset(before)

    async def _behind(self, guards: Sequence[Guard[Any]], exchange: Exchange, level: int | None) -> None:
        exchange.held = held = await enter(guards, exchange.scope, level, self._monotonic)
        try:
            await self.app(exchange.scope, exchange.receive, exchange.send)
        except BaseException as error:
            leave(held, None, error, self._monotonic())
            raise

    def _shed(self, exchange: Exchange, level: int) -> None:
        self._shed_one(CRITICALITIES[level])
        if level == 0:
            # Shed on purpose, as it was allowed to be: no failure of the service.
            exchange.refused = Verdict.REJECTED

    def _finished(self, exchange: Exchange, code: int, verdict: Verdict, seconds: float) -> None:
        if exchange.deadline is not None:
            exchange.deadline.lift()
        if exchange.held:
            leave(exchange.held, exchange, exchange.error, self._monotonic())
        scope = exchange.scope
        method = scope["method"]
        if method not in METHODS:
            method = OTHER
        route = self._templates.of(scope)
        self._request(method, route, code_label(code), verdict, seconds)
        self._request_finished()
        if self._details is not None:
            self._details.record(exchange, route)


def _nearer(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else min(one, other)
