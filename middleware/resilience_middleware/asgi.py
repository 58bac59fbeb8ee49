"""The ASGI middleware: guards and records every request, starts and stops the Reliability."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from resilience.core.buckets import Deadlines
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.log import log
from resilience.core.options import named_options
from resilience.core.ports import Guard
from resilience.core.validate import flag, shown
from resilience.core.verdict import Verdict
from resilience.errors import ConfigError, LoadShed, TimeoutExceeded
from resilience.http.context import CRITICALITIES, criticality
from resilience.http.rules import OTHER, code_label, known_method, verdict_of_status
from resilience.reliability import Reliability
from resilience.signals.sli import RequestSeries
from resilience_middleware.admission import GUARDED_BY, ROUTE, Levels, Peers, RouteGuards
from resilience_middleware.configured import Door, Doorway
from resilience_middleware.deadline import cut_short
from resilience_middleware.details import DetailedExchange, RequestDetails
from resilience_middleware.exchange import CLIENT_CLOSED, Exchange, Overruled, QuietExchange, may_raise
from resilience_middleware.lifespan import Lifespan
from resilience_middleware.overdue import Overdue
from resilience_middleware.passing import NORMAL, Passage
from resilience_middleware.problem import ProblemBody, problem_of, render, send_problem
from resilience_middleware.request_log import RequestLog
from resilience_middleware.templates import RouteTemplates
from resilience_middleware.websocket import Session, WebsocketSessions

__all__ = ["ResilienceMiddleware"]

_DEEPEST = 20  # causes of an error that are looked at


@named_options
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
        timeout: seconds for a request, to the last byte of its answer, and for the handshake of a websocket session; where there is none, the Reliability's configuration
            says it, as it does for the next three; else there is no limit.
        guards: what each request and each websocket session has to pass, in this order; held until the last byte, or the end of
            the session, and given back exactly once.
        routes: other guards by route template, instead of `timeout` and `guards`; the application does not start where it
            has no such route.
        trusted: addresses and networks that may say how long a request has (`X-Request-Deadline`, `grpc-timeout`)
            and how much it matters (`X-Request-Criticality`).
        criticality: says how much a request matters where no trusted peer does: `sheddable`, `degradable`, `normal` or
            `critical`, or None; where it says nothing either, its route's setting counts.
        exclude: paths (below the root path) that are passed on and nothing else; `/alerts/*` is all below one. This library's own
            endpoints need not be named where they are routes of a Starlette or FastAPI application, mounted or not.
        patterns: route templates for applications without routes of their own, tried in order: `/users/{id}`.
        details: whether time to the first byte and sizes are recorded too.
        request_log: which slow and failed requests are written to the log; None for none.
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
        criticality: Callable[[Scope], str | None] | None = None,
        exclude: Collection[str] = (),
        patterns: Sequence[str] = (),
        details: bool = False,
        request_log: RequestLog | None = None,
        problem: ProblemBody = render,
    ) -> None:
        if not hasattr(reliability, "sli"):
            raise ConfigError(
                f"reliability must be a Reliability, got {shown(reliability)}: write Reliability(service='shop')"
            )
        self.app = app
        self.reliability = reliability
        sli = reliability.sli
        self._sli = sli
        self._in_flight = sli.requests_in_flight
        self._answered: dict[
            tuple[str, int, int], RequestSeries
        ] = {}  # by method, id of the route (or what says it), and code
        self._monotonic = reliability.clock.monotonic
        self._deadlines = None if reliability.clock is SYSTEM_CLOCK else Deadlines.on_clock(reliability.clock)
        self._doorway = Doorway(reliability, timeout, guards, routes, trusted)
        self._criticality = criticality
        self._given = frozenset(exclude)
        self._settled = False
        self._looks_first = True
        self._mounted = False
        self._patterns = patterns
        self._problem = problem
        self._lifespan = Lifespan(reliability, self._wrong)
        self._templates = RouteTemplates(app, patterns)
        self._look_at_routes()
        reliability.signals.on_tick(lambda _: self._look_at_routes())
        self._details = RequestDetails(reliability) if flag("details", details) else None
        self._exchange: type[Exchange] = Exchange if self._details is None else DetailedExchange
        self._log = request_log
        self._overdue = Overdue(self._answer_late)
        self._watch = self._tell if details or request_log else None
        self._pass(self._doorway.door)
        reliability.doors.follow(self._change_guards)
        self._websockets = WebsocketSessions(reliability)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of any type."""
        if (scope["type"] != "http" or (self._looks_first and self._apart(scope))) and await self._served(
            scope, receive, send
        ):
            return
        # What is called is taken out of its attribute first: CPython is quick with either, and slow with both in one.
        make, monotonic, app = self._exchange, self._monotonic, self.app
        exchange = make()
        exchange.scope = scope
        exchange.server_receives = receive
        exchange.server_sends = send
        guarded, enter = self._guarded, self._enter
        exchange.passage = self._passage
        exchange.monotonic = monotonic
        exchange.started = monotonic()
        exchange.complete = exchange.plain = exchange.waiting = exchange.whole = False
        exchange.verdict = exchange.ahead = None
        exchange.code = 0
        in_flight = self._in_flight
        try:
            in_flight.values[in_flight.column] += 1.0
        except IndexError:  # dropped since it was used last
            in_flight.inc()
        try:
            if guarded and (waiting := enter(exchange)) is not None:
                await waiting
            await app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            ended = await self._failed(exchange, error)
            if ended is error:
                raise
            if ended is not None:
                raise ended from error
        else:
            if guarded and (exchange.deadline is not None or exchange.passage.told):
                self._ended_well(exchange)
        if not exchange.complete:
            exchange.end()

    async def _failed(self, exchange: Exchange, error: BaseException) -> BaseException | None:
        """Answer a request that ended by an exception, or return what is to be raised."""
        if exchange.passage.told:
            _put_back(exchange)
        ended = self._ended(exchange, error)
        problem = problem_of(ended) if exchange.answerable else None
        if problem is not None:
            await send_problem(problem, self._problem, exchange.scope, exchange.send)
            return None
        exchange.end(ended)
        return None if exchange.overruled and _over(ended) else ended

    def _apart(self, scope: Scope) -> bool:
        """Whether a request is the first, or is to be passed on and nothing else."""
        path = self._templates.arrived(scope)
        return not self._settled or path in self._exclude or path.startswith(self._exclude_below)

    def _look_at_routes(self) -> None:
        """Take note of routes that came or went: what is excluded, and what is remembered of where requests count."""
        if self._templates.refresh():
            self._answered.clear()
            self._exclude = self._given | frozenset(self._templates.own)
            self._exclude_below = tuple(
                path.removesuffix("*") for path in self._exclude if path.endswith("/*")
            )
            self._looks_first = not self._settled or self._mounted or bool(self._exclude)

    async def _settle(self, scope: Scope) -> None:
        """Do what only a first request can: start where no lifespan was sent, and see the application."""
        if "app" in scope:
            # Behind further middleware of Starlette the application with the routes is found nowhere else.
            self._templates = RouteTemplates(scope["app"], self._patterns)
            self._look_at_routes()
        if self._lifespan.pending:
            await self._lifespan.start()
            if (wrong := self._wrong(scope)) is not None:  # too late to refuse to start
                log(__name__).error("guards_without_route", error=str(wrong))
        self._settled = True
        self._mounted = "app_root_path" in scope
        self._looks_first = self._mounted or bool(self._exclude)
        if self._details is None and not may_raise(scope):
            self._exchange = QuietExchange

    def _wrong(self, scope: Scope) -> ConfigError | None:
        templates = RouteTemplates(scope.get("app", self.app), self._patterns)
        for template in templates.bearing(GUARDED_BY):
            # The route was made before the guards were put around its function.
            log(__name__).warning(
                "guard_without_effect",
                route=template,
                write="@guarded(...) below @app.get(...), next to the function",
            )
        return self._doorway.door.unknown(templates.known())

    async def _served(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Serve what is no request, or is excluded; say whether it was either."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan.run(self.app, scope, receive, send)
            return True
        if not self._settled and kind in {"http", "websocket"}:
            await self._settle(scope)
        if kind == "websocket" and not self._apart(scope):
            session = Session(scope, receive, send, self._passage, self._monotonic)
            await self._websockets.run(self.app, self._templates, self, session)
        elif kind != "http" or self._apart(scope):
            await self.app(scope, receive, send)
        else:
            return False
        return True

    def enter_session(self, session: Session) -> Awaitable[None] | None:
        """Enter the guards of a websocket session."""
        return self._enter(session) if self._guarded else None

    def leave_session(self, session: Session, error: BaseException | None) -> BaseException | None:
        """Leave the guards of a websocket session, and return what it ended by."""
        if error is None:
            self._ended_well(session)
            session.passage.leave(session, session, None)
            return None
        if session.passage.told:
            _put_back(session)
        return self._ended(session, error)

    def _template(self, scope: Scope) -> str:
        return self._templates.match(scope)

    def _pass(self, door: Door) -> None:
        """Have requests from now on pass a door."""
        self._guards, self._routes = door.default, door.routes
        self._peers = Peers(door.trusted)
        self._levels = (
            Levels(self._peers, self._criticality, self._routes, self._template, door.default.criticality)
            or None
        )
        self._guarded = bool(self._guards or self._routes or self._levels)
        self._told = bool(door.routes or self._levels or self._peers.anybody or door.default.by_route)
        self._passage = self._way(door.default)
        self._passages = {template: self._way(guards) for template, guards in door.routes.items()}
        self._enter = self._choose if self._told else self._passage.enter

    def _change_guards(self) -> Callable[[], None]:
        """Go by the configuration that the Reliability has now; requests in flight leave by the way they came."""
        known = self._templates.known()
        undo = self._doorway.change(known if known or self._settled else None)
        self._pass(self._doorway.door)

        def put_back() -> None:
            undo()
            self._pass(self._doorway.door)

        return put_back

    def _way(self, guards: RouteGuards) -> Passage:
        return Passage(
            guards.guards,
            seconds=guards.timeout,
            guarded=self._guarded,
            told=self._told,
            monotonic=self._monotonic,
            deadlines=self._deadlines,
            answered=self._answered,
            find=self._series,
            late=self._overdue,
            watch=self._watch,
        )

    def _choose(self, exchange: Exchange | Session) -> Awaitable[None] | None:
        """Let a request in by the way that its route has; called where not all are alike."""
        exchange.criticality = exchange.before = exchange.held = exchange.deadline = None
        if self._levels is not None and (level := self._levels.of(exchange.scope)) is not None:
            exchange.criticality, exchange.before = level, criticality.set(level)
        chosen, passage = self._guards, self._passage
        if self._routes:
            template = self._templates.match(exchange.scope)
            chosen, passage = self._routes.get(template, chosen), self._passages.get(template, passage)
        exchange.passage, exchange.seconds = passage, chosen.timeout
        if self._peers.anybody:
            exchange.seconds = _nearer(chosen.timeout, self._peers.budget(exchange.scope))
            if exchange.seconds == 0:
                message = "the deadline of the request had passed when it arrived"
                raise TimeoutExceeded(message, policy="request", seconds=0.0)
        if chosen.by_route:
            exchange.scope[ROUTE] = self._templates.match(exchange.scope)
        return passage.enter(exchange)

    def _ended(self, exchange: Exchange | Session, error: BaseException) -> BaseException:
        """Leave a request's guards and deadline after an error, and say what the error comes to."""
        if isinstance(error, LoadShed) and error.inbound:
            level = exchange.criticality if exchange.passage.told else None
            self._sli.shed(CRITICALITIES[NORMAL if level is None else level])
            if level == 0 and not exchange.left:
                # Shed on purpose, as it was allowed to be: no failure of the service.
                exchange.verdict = Verdict.REJECTED
        if not exchange.passage.guarded:
            return error
        exchange.passage.leave(exchange, None, error)
        deadline, exchange.deadline = exchange.deadline, None
        if deadline is None or not cut_short(deadline, error):
            return error
        return _took_longer(exchange)

    def _ended_well(self, exchange: Exchange | Session) -> None:
        """Leave what is left to be after an application that has ended without an error, in time or late."""
        if exchange.passage.told:
            _put_back(exchange)
        if exchange.deadline is not None:
            cut_short(exchange.deadline, None)
            exchange.deadline = None
            exchange.passage.leave(exchange, None, _took_longer(exchange))

    async def _answer_late(self, exchange: Exchange) -> None:
        """Answer in the place of an application that goes on though its time is up; it keeps its guards until it ends."""
        problem = problem_of(_took_longer(exchange))
        assert problem is not None  # noqa: S101  that is what it makes of a TimeoutExceeded
        send = exchange.overrule(problem.status)
        try:
            await send_problem(problem, self._problem, exchange.scope, send)
        except OSError:
            exchange.verdict = Verdict.CANCELLED
        held, exchange.held = exchange.held, None
        deadline, exchange.deadline = exchange.deadline, None
        exchange.passage.finish(exchange, None)
        exchange.held, exchange.deadline = held, deadline

    def _tell(self, exchange: Exchange) -> None:
        """Tell those who want to know more of a request than its series."""
        if self._details is not None:
            self._details.record(exchange, self._templates.of(exchange.scope))
        if self._log is not None:
            self._log.look(exchange, self._templates.of(exchange.scope), self._monotonic())

    def _series(self, exchange: Exchange) -> RequestSeries:
        """Find where a request is counted; remembered where an object of the router and the code say all, as they mostly do."""
        scope, verdict = exchange.scope, exchange.verdict
        sole = self._templates.sole(scope) if verdict is None else None
        if (
            sole is not None
            and (known := self._answered.get((scope["method"], sole, exchange.code))) is not None
        ):
            return known
        code = CLIENT_CLOSED if exchange.left else exchange.status
        method, label = known_method(scope["method"]), code_label(code)
        verdict = verdict or verdict_of_status(code)
        series = self._sli.request_series(method, self._templates.of(scope), label, verdict)
        if sole is not None and OTHER not in {method, label}:
            self._answered[method, sole, code] = series
        return series


def _put_back(exchange: Exchange | Session) -> None:
    """Let what comes after a request matter as much as it did before."""
    if exchange.before is not None:
        criticality.reset(exchange.before)


def _took_longer(exchange: Exchange | Session) -> TimeoutExceeded:
    seconds = exchange.passage.limit(exchange)
    message = f"the request took longer than {seconds:g} s"
    return TimeoutExceeded(message, policy="request", seconds=seconds)


def _over(error: BaseException | None) -> bool:
    """Whether an error only says that the time of the request was up; what failed after that is logged."""
    seen = 0
    while error is not None and seen < _DEEPEST:
        if isinstance(error, BaseExceptionGroup):
            return all(map(_over, error.exceptions))
        if isinstance(error, Overruled):
            if isinstance(failure := error.__context__, Exception):
                log(__name__).warning("overdue_request_failed", error=failure, exc_info=failure)
            return True
        if isinstance(error, TimeoutExceeded) and error.policy == "request":
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def _nearer(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else min(one, other)
