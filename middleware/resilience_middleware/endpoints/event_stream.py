"""Server-sent events: the backlog of one reader, bounded in number and bytes, and the response that sends it."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.deadline import timeout
from resilience.core.log import log
from resilience.core.ports import Clock
from resilience.reliability import Reliability
from resilience_middleware.endpoints.sending import disconnect
from resilience_middleware.shutdown import dismissed

__all__ = ["EventStream", "Stream", "event"]

_HEARTBEAT: Final = 15.0  # seconds; proxies cut what is silent for longer, often after 30
_GRACE: Final = 1.0  # seconds for which a service that stops waits for a reader
_MAX_BYTES: Final = 4_194_304


def event(name: str, data: str, serial: int | None = None) -> bytes:
    r"""Return one event in the format of the HTML standard.

    Args:
        name: its type.
        data: its text.
        serial: its id; None for none.

    Example:
        >>> event("panels", "{}", 7)
        b'id: 7\nevent: panels\ndata: {}\n\n'
    """
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    identifier = "" if serial is None else f"id: {serial}\n"
    return f"{identifier}event: {name}\n{lines}\n".encode()


class Stream:
    """Backlog of one reader; a reader that falls behind is dropped, so that nobody waits for it.

    Args:
        limit: events that may wait; 8 by default.
        max_bytes: bytes that may wait; 4 MiB by default.
        clock: where time comes from.
    """

    def __init__(self, limit: int = 8, *, max_bytes: int = _MAX_BYTES, clock: Clock = SYSTEM_CLOCK) -> None:
        self.closed: bool = False
        self._limit = limit
        self._max_bytes = max_bytes
        self._clock = clock
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._news = asyncio.Event()

    def offer(self, frame: bytes) -> None:
        """Add an event, unless the stream is closed or has no room for it."""
        if self.closed or not self._has_room(frame):
            return
        self._waiting.append(frame)
        self._size += len(frame)
        self._news.set()

    def _has_room(self, frame: bytes) -> bool:
        """Return whether an event fits; close the stream if it does not."""
        if len(self._waiting) < self._limit and self._size + len(frame) <= self._max_bytes:
            return True
        log(__name__).info("event_stream_dropped", waiting=len(self._waiting), bytes=self._size)
        self._take()
        self.close()
        return False

    def close(self) -> None:
        """End the stream once the events that wait have been sent."""
        self.closed = True
        self._news.set()

    async def next(self, heartbeat: float = _HEARTBEAT) -> bytes | None:
        """Return all events that wait, a comment if there are none for a while, or None at the end.

        Args:
            heartbeat: seconds until the comment; 15 by default.
        """
        if not self._waiting and not self.closed:
            try:
                async with timeout(heartbeat, clock=self._clock):
                    await self._news.wait()
            except TimeoutError:
                return b": still here\n\n"
        self._news.clear()
        return self._take() or None

    def _take(self) -> bytes:
        frames = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        return frames


class EventStream(Response):
    """Response that sends a stream until it ends, its reader leaves, or the service stops.

    Args:
        stream: the events.
        rel: the service. When it stops, a reader that does not read within a second is disconnected.
        first: sent immediately, before any event: a proxy keeps headers until something follows them.
        heartbeat: seconds without an event after which a comment is sent; 15 by default.
        lasts: seconds after which it ends, and browsers open it anew; without limit by default.
    """

    def __init__(
        self,
        stream: Stream,
        rel: Reliability,
        *,
        first: bytes = b"",
        heartbeat: float = _HEARTBEAT,
        lasts: float = math.inf,
    ) -> None:
        # nginx would keep the events until its buffer is full.
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(headers=headers, media_type="text/event-stream")
        del self.headers["content-length"]
        self.stream = stream
        self._rel = rel
        self._first = first
        self._heartbeat = heartbeat
        self._lasts = lasts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        if scope.get("method") == "HEAD":  # it has no body to wait for
            self.stream.close()
        watchers = [
            asyncio.create_task(self._watch_reader(receive)),
            asyncio.create_task(self._watch_end(receive)),
        ]
        try:
            await self._send(receive, send)
        except OSError as error:
            log(__name__).info("event_stream_dropped", reason=repr(error))
        finally:
            self.stream.close()
            for watcher in watchers:
                watcher.cancel()

    async def _send(self, receive: Receive, send: Send) -> None:
        monotonic = self._rel.clock.monotonic
        end = monotonic() + self._lasts
        short = dismissed(receive)  # such a connection was to end with this answer anyway
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if self._first:
            await send({"type": "http.response.body", "body": self._first, "more_body": True})
        while monotonic() < end and (short or not dismissed(receive)):
            frames = await self.stream.next(self._heartbeat)
            if frames is None:
                break
            await send({"type": "http.response.body", "body": frames, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch_reader(self, receive: Receive) -> None:
        """Close the stream when its reader leaves."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.stream.close()

    async def _watch_end(self, receive: Receive) -> None:
        """Close the stream when the service stops; disconnect the reader if it does not read what is left."""
        await self._rel.stopping.wait()
        self.stream.close()
        await self._rel.clock.sleep(_GRACE)
        disconnect(receive)
