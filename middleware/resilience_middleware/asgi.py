"""The ASGI middleware: records every request, answers what a guard refused, starts and stops the Reliability."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from resilience.core.verdict import Verdict
from resilience.http.rules import code_label, known_method
from resilience.reliability import Reliability
from resilience_middleware.exchange import Exchange
from resilience_middleware.lifespan import Lifespan
from resilience_middleware.problem import ProblemBody, problem_of, render, send_problem
from resilience_middleware.templates import RouteTemplates, path_of

__all__ = ["ResilienceMiddleware"]


class ResilienceMiddleware:
    """Pure ASGI middleware: `app.add_middleware(ResilienceMiddleware, reliability=rel)`, or round any ASGI application.

    Each request is recorded with its route template, its code, a verdict and the time to its last byte. A guard's
    refusal that the application let through is answered with 503 and `Retry-After`, its timeout with 504, as
    long as nothing was sent. Messages, exceptions and context variables pass as they are.

    Args:
        app: the application.
        reliability: what records, and starts and stops along with the application.
        exclude: paths (below the root path) that are passed on and nothing else.
        patterns: route templates for applications without routes of their own, tried in order: `/users/{id}`.
        problem: makes content type and body of what a refused client is told.

    Raises:
        ConfigError: a pattern is not text.
    """

    def __init__(
        self,
        app: ASGIApp,
        reliability: Reliability,
        *,
        exclude: Collection[str] = (),
        patterns: Sequence[str] = (),
        problem: ProblemBody = render,
    ) -> None:
        self.app = app
        self.reliability = reliability
        self._sli = reliability.sli
        self._monotonic = reliability.clock.monotonic
        self._exclude = frozenset(exclude)
        self._patterns = patterns
        self._problem = problem
        self._lifespan = Lifespan(reliability)
        self._templates = RouteTemplates(app, patterns)
        self._routed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of any type."""
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan.run(self.app, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._lifespan.pending:
            await self._lifespan.start()
        if self._exclude and path_of(scope) in self._exclude:
            await self.app(scope, receive, send)
            return
        if not self._routed and "app" in scope:
            # Behind further middleware of Starlette the application with the routes is found nowhere else.
            self._templates = RouteTemplates(scope["app"], self._patterns)
            self._routed = True
        exchange = Exchange(scope, receive, send, self._monotonic, self._finished)
        self._sli.request_started()
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            problem = problem_of(error) if exchange.answerable else None
            if problem is None:
                exchange.end(error)
                raise
            await send_problem(problem, self._problem, scope, exchange.send)
        exchange.end()

    def _finished(self, scope: Scope, code: int, verdict: Verdict, seconds: float) -> None:
        route = self._templates.of(scope)
        self._sli.request(known_method(scope["method"]), route, code_label(code), verdict, seconds)
        self._sli.request_finished()
