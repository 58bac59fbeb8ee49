"""The endpoint of events: what happens, as it happens, as server-sent events."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections import Counter, deque
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from resilience.core.deadline import timeout
from resilience.core.validate import integer, number
from resilience.reliability import Reliability
from resilience_middleware.admission import client_address
from resilience_middleware.endpoint import Endpoint, refuse
from resilience_middleware.plain import plain
from resilience_middleware.security import Access
from resilience_middleware.shutdown import dismissed

__all__ = ["EventStreams"]

_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would keep the events until its buffer is full
]
_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class EventStreams:
    """Streams of events: of policies, health, alerts and reloads.

    Args:
        streams: streams at once, of all clients.
        per_client: streams at once of one address.
        backlog: events that are kept for a client that reads slowly; the oldest are dropped, and it is told how many.
        heartbeat: seconds after which a comment shows both sides that the other is there; 15 by default, as the HTML
            standard advises.

    Raises:
        ConfigError: an option is out of its range.
    """

    def __init__(
        self, *, streams: int = 100, per_client: int = 10, backlog: int = 1000, heartbeat: float = 15.0
    ) -> None:
        self._streams = integer("streams", streams)
        self._per_client = integer("per_client", per_client)
        self._backlog = integer("backlog", backlog)
        self._heartbeat = number("heartbeat", heartbeat, above=0)
        self._open: Counter[object] = Counter()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoint."""
        return (Endpoint("/events", Access.READ, self.events),)

    async def events(self, rel: Reliability, request: Request) -> Response:
        """Stream what happens as server-sent events, until the client leaves or the service stops."""
        if request.method == "HEAD":  # Starlette lets it through with GET; it has no body to wait for
            return Response(headers={"cache-control": "no-store"}, media_type="text/event-stream")
        client = client_address(request.scope)
        if self._open[client] >= self._per_client:
            return refuse(429, f"One client may have {self._per_client} streams of events.")
        if self._open.total() >= self._streams:
            return refuse(503, f"There are {self._streams} streams of events already.")
        return _Stream(rel, self._open, client, self._backlog, self._heartbeat)


class _Stream(Response):
    """One client's stream; it takes no events before it is sent, and gives everything back when it ends."""

    def __init__(
        self, rel: Reliability, opened: Counter[object], client: object, backlog: int, heartbeat: float
    ) -> None:
        super().__init__()
        self._rel = rel
        self._opened = opened
        self._client = client
        self._heartbeat = heartbeat
        self._events: deque[bytes] = deque(maxlen=backlog)
        self._numbers = itertools.count(1)
        self._dropped = 0
        self._news = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's
        rel = self._rel
        self._opened[self._client] += 1
        sources = (rel.registry, rel.health.events, rel.alerts.events, rel.reloader.events)
        unsubscribe = [source.subscribe(self._take) for source in sources]
        ends = [asyncio.ensure_future(_left(receive)), asyncio.ensure_future(rel.stopping.wait())]
        for end in ends:
            end.add_done_callback(lambda _: self._news.set())
        short = dismissed(receive)  # such a connection was to end with this answer anyway
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": _HEADERS})
            # At once, or the headers would lie in some proxy until the first event.
            await send({"type": "http.response.body", "body": b"retry: 3000\n\n", "more_body": True})
            while not any(end.done() for end in ends) and (short or not dismissed(receive)):
                content = await self._next()
                await send({"type": "http.response.body", "body": content, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except OSError:
            pass  # the client left, which servers of ASGI's HTTP spec 2.4 say so
        finally:
            for stop in unsubscribe:
                stop()
            for end in ends:
                end.cancel()
            self._opened[self._client] -= 1
            self._opened += Counter()  # forgets who has none

    def _take(self, event: object) -> None:
        if len(self._events) == self._events.maxlen:
            self._dropped += 1
        kind = _WORD.sub("_", type(event).__name__).lower()
        self._events.append(_event(kind, plain(event), next(self._numbers)))
        self._news.set()

    async def _next(self) -> bytes:
        """Wait for what is to be sent next; a comment when nothing happens for a while."""
        try:
            async with timeout(self._heartbeat, clock=self._rel.clock):
                await self._news.wait()
        except TimeoutError:
            return b": nothing new\n\n"
        self._news.clear()
        content = b"".join(self._events)
        self._events.clear()
        if self._dropped:
            content = _event("dropped", {"count": self._dropped}) + content
            self._dropped = 0
        return content


def _event(kind: str, data: Any, number: int | None = None) -> bytes:
    identifier = "" if number is None else f"id: {number}\n"
    return f"{identifier}event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


async def _left(receive: Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
