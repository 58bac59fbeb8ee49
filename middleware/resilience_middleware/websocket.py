"""Websocket sessions: their guards, and how many, how long, and how they ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Token
from typing import Final, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience.core.buckets import FIRED, Entry
from resilience.core.verdict import Verdict
from resilience.http.rules import OTHER
from resilience.reliability import Reliability
from resilience_middleware.deadline import cut_short
from resilience_middleware.passing import Held, Passage
from resilience_middleware.problem import problem_of
from resilience_middleware.templates import RouteTemplates

__all__ = ["Session", "SessionGuards", "WebsocketSessions"]

# RFC 6455, section 7.4.1; a client may send any of two thousand more.
_CLOSE_CODES: Final = frozenset(range(1000, 1016))
_ABNORMAL: Final = 1006
_ERROR: Final = 1011
_DENIED: Final = 403
_TRY_AGAIN_LATER: Final = 1013
_SWITCHING_PROTOCOLS: Final = 101
_HOURS: Final = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0)


class Session:
    """One websocket session: watches its messages and changes none of them.

    A deadline covers the handshake alone: it is withdrawn when the application accepts or refuses. Permits are held to the end.

    Args:
        scope: of the handshake.
        receive: the server's.
        send: the server's.
        passage: the guards that it takes unless its route has others.
        monotonic: the clock.
    """

    __slots__ = (
        "accepted",
        "before",
        "closed",
        "code",
        "criticality",
        "deadline",
        "held",
        "monotonic",
        "passage",
        "scope",
        "seconds",
        "server_receives",
        "server_sends",
        "started",
        "verdict",
    )

    answerable: Final = False  # by the timer of its deadline: the task that is cancelled refuses by itself
    left: Final = False

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, passage: Passage, monotonic: Callable[[], float]
    ) -> None:
        self.scope: Scope = scope
        self.server_receives: Receive = receive
        self.server_sends: Send = send
        self.passage: Passage = passage
        self.monotonic: Callable[[], float] = monotonic
        self.started: float = monotonic()
        self.code: int | None = None
        self.accepted: bool = False
        self.closed: bool = False
        self.seconds: float | None = None
        self.deadline: Entry | None = None
        self.criticality: int | None = None
        self.before: Token[int | None] | None = None
        self.held: Held | None = None
        self.verdict: Verdict | None = None

    @property
    def status(self) -> int:
        """The status of the handshake, as a circuit breaker judges it; 500 after a session that failed."""
        if self.code == _ERROR:
            return 500
        return _SWITCHING_PROTOCOLS if self.accepted else _DENIED

    async def receive(self) -> Message:
        """Return the next message of the client."""
        message = await self.server_receives()
        if message["type"] == "websocket.disconnect":
            self.closed = True
            if self.code is None:
                code = message.get("code", 1005)
                self.code = code if code in _CLOSE_CODES else 0
        return message

    async def send(self, message: Message) -> None:
        """Send a message of the application."""
        if self.deadline is not None and not self.deadline[FIRED]:
            cut_short(self.deadline, None)
            self.deadline = None
        await self.server_sends(message)
        kind = message["type"]
        if kind == "websocket.accept":
            self.accepted = True
        elif kind == "websocket.close":
            self.closed = True
            if self.code is None:
                self.code = message.get("code", 1000) if self.accepted else _DENIED
        elif kind == "websocket.http.response.start":
            self.closed, self.code = True, message["status"]

    async def refuse(self) -> None:
        """Close the session unless it is closed: the client gets 403, or 1013 (try again later) where it was accepted."""
        if not self.closed:
            with suppress(OSError):
                await self.send({"type": "websocket.close", "code": _TRY_AGAIN_LATER, "reason": ""})


class SessionGuards(Protocol):
    """The guards of sessions."""

    def enter_session(self, session: Session) -> Awaitable[None] | None:
        """Enter the guards; return what to await where one wants the session to wait.

        Raises:
            Rejected: a guard refuses the session.
        """

    def leave_session(self, session: Session, error: BaseException | None) -> BaseException | None:
        """Leave the guards, and return what the session ended by."""


class WebsocketSessions:
    """Records the websocket sessions of one service, and changes none of their messages.

    Signals: `websocket_sessions_total{service,route,code}`, where the code is the one it was closed with, 403 (or what the
    application sent) where it was never accepted, 1011 after an exception; `websocket_session_duration_seconds`;
    `websocket_sessions_open`.

    Args:
        reliability: where to.
    """

    def __init__(self, reliability: Reliability) -> None:
        signals, self._service = reliability.signals, reliability.sli.service
        self._monotonic = reliability.clock.monotonic
        self._sessions = signals.counter(
            "websocket_sessions_total", "Websocket sessions that ended.", labels=("service", "route", "code")
        )
        self._durations = signals.histogram(
            "websocket_session_duration_seconds",
            "How long websocket sessions lasted.",
            labels=("service", "route"),
            buckets=_HOURS,
        )
        self._open = signals.gauge(
            "websocket_sessions_open", "Websocket sessions that are open.", labels=("service",)
        ).bind(self._service)

    async def run(
        self, app: ASGIApp, templates: RouteTemplates, guards: SessionGuards, session: Session
    ) -> None:
        """Serve one session."""
        self._open.inc()
        failure: BaseException | None = None
        try:
            if (waiting := guards.enter_session(session)) is not None:
                await waiting
            await app(session.scope, session.receive, session.send)
        except BaseException as error:
            if isinstance(error, Exception) and session.code is None and problem_of(error) is None:
                session.code = _ERROR
            failure = guards.leave_session(session, error)
            if failure is None or problem_of(failure) is None:
                raise
            await session.refuse()
        else:
            guards.leave_session(session, None)
        finally:
            self._open.dec()
            route = templates.of(session.scope)
            label = str(_ABNORMAL if session.code is None else session.code or OTHER)
            self._sessions[self._service, route, label].inc()
            self._durations[self._service, route].observe(self._monotonic() - session.started)
