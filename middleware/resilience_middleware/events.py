"""The endpoint of events: changes as they happen, as server-sent events."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from resilience.core.ports import Clock
from resilience.core.validate import integer, number
from resilience.reliability import Reliability
from resilience_middleware.admission import client_address
from resilience_middleware.endpoint import Endpoint, refuse
from resilience_middleware.endpoints.event_stream import EventStream, Stream, event
from resilience_middleware.plain import plain
from resilience_middleware.security import Access

__all__ = ["EventStreams"]

_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_RECONNECT: Final = b"retry: 3000\n\n"


class EventStreams:
    """Streams of events: of policies, health, alerts and reloads.

    Args:
        streams: streams at once, of all clients.
        per_client: streams at once of one address.
        backlog: events that are kept for a client that reads slowly; the oldest are dropped, and it is told how many.
        max_bytes: bytes that these events may have together; 1 MiB by default.
        heartbeat: seconds after which a comment shows both sides that the other is there; 15 by default, as the HTML
            standard advises.

    Raises:
        ConfigError: an option is out of its range.
    """

    def __init__(
        self,
        *,
        streams: int = 100,
        per_client: int = 10,
        backlog: int = 1000,
        max_bytes: int = 1_048_576,
        heartbeat: float = 15.0,
    ) -> None:
        self._streams = integer("streams", streams)
        self._per_client = integer("per_client", per_client)
        self._backlog = integer("backlog", backlog)
        self._max_bytes = integer("max_bytes", max_bytes)
        self._heartbeat = number("heartbeat", heartbeat, above=0)
        self._open: Counter[object] = Counter()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoint."""
        return (Endpoint("/events", Access.READ, self.events),)

    async def events(self, rel: Reliability, request: Request) -> Response:
        """Stream what happens as server-sent events, until the client leaves or the service stops."""
        client = client_address(request.scope)
        if self._open[client] >= self._per_client:
            return refuse(429, f"One client may have {self._per_client} streams of events.")
        if self._open.total() >= self._streams:
            return refuse(503, f"There are {self._streams} streams of events already.")
        backlog = _Backlog(self._backlog, max_bytes=self._max_bytes, clock=rel.clock)
        return _Subscription(backlog, rel, self._open, client, self._heartbeat)


class _Backlog(Stream):
    """Events of one reader; the oldest are dropped, and counted, where there is no room for a new one."""

    def __init__(self, limit: int, *, max_bytes: int, clock: Clock) -> None:
        super().__init__(limit, max_bytes=max_bytes, clock=clock)
        self._numbers = itertools.count(1)
        self._dropped = 0

    def take(self, happened: object) -> None:
        """Add what happened."""
        kind = _WORD.sub("_", type(happened).__name__).lower()
        self.offer(event(kind, json.dumps(plain(happened)), next(self._numbers)))

    def _has_room(self, frame: bytes) -> bool:
        while self._waiting and (
            len(self._waiting) >= self._limit or self._size + len(frame) > self._max_bytes
        ):
            self._size -= len(self._waiting.popleft())
            self._dropped += 1
        if len(frame) > self._max_bytes:
            self._dropped += 1
            self._news.set()
            return False
        return True

    def _take(self) -> bytes:
        frames = super()._take()
        if self._dropped:
            frames = event("dropped", json.dumps({"count": self._dropped})) + frames
            self._dropped = 0
        return frames


class _Subscription(EventStream):
    """One client's stream; it takes no events before it is sent, and gives everything back when it ends."""

    def __init__(
        self, backlog: _Backlog, rel: Reliability, opened: Counter[object], client: object, heartbeat: float
    ) -> None:
        super().__init__(backlog, rel, first=_RECONNECT, heartbeat=heartbeat)
        self._sources = (rel.registry, rel.health.events, rel.alerts.events, rel.reloader.events)
        self._backlog = backlog
        self._opened = opened
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._opened[self._client] += 1
        unsubscribe = [source.subscribe(self._backlog.take) for source in self._sources]
        try:
            await super().__call__(scope, receive, send)
        finally:
            for stop in unsubscribe:
                stop()
            self._opened[self._client] -= 1
            self._opened += Counter()  # forgets who has none
