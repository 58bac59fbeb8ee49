"""Websocket sessions: how many, how long, and how they ended."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience.http.rules import OTHER
from resilience.reliability import Reliability
from resilience_middleware.templates import RouteTemplates

__all__ = ["WebsocketSessions"]

# RFC 6455, section 7.4.1; a client may send any of two thousand more.
_CLOSE_CODES: Final = frozenset(range(1000, 1016))
_ABNORMAL: Final = 1006
_ERROR: Final = 1011
_DENIED: Final = 403
_HOURS: Final = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0)


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
        self, app: ASGIApp, templates: RouteTemplates, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one session."""
        code: int | None = None
        accepted = False

        async def received() -> Message:
            nonlocal code
            message = await receive()
            if message["type"] == "websocket.disconnect" and code is None:
                code = message.get("code", 1005)
                code = code if code in _CLOSE_CODES else 0
            return message

        async def sent(message: Message) -> None:
            nonlocal code, accepted
            await send(message)
            kind = message["type"]
            if kind == "websocket.accept":
                accepted = True
            elif kind == "websocket.close" and code is None:
                code = message.get("code", 1000) if accepted else _DENIED
            elif kind == "websocket.http.response.start":
                code = message["status"]

        started = self._monotonic()
        self._open.inc()
        try:
            await app(scope, received, sent)
        except Exception:
            code = _ERROR if code is None else code
            raise
        finally:
            self._open.dec()
            route = templates.of(scope)
            label = str(_ABNORMAL if code is None else code or OTHER)
            self._sessions[self._service, route, label].inc()
            self._durations[self._service, route].observe(self._monotonic() - started)
