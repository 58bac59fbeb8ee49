"""Server-sent events: what one reader has yet to get, and the response that sends it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from resilience.core.log import log
from resilience_middleware.shutdown import dismissed

__all__ = ["EventStream", "Stream", "event"]

_HEARTBEAT: Final = 15.0  # seconds; proxies cut what is silent for longer, often after 30
_PATIENCE: Final = 10.0  # seconds that one write may take
_LASTS: Final = 3600.0  # seconds; who opens it again is asked again who they are


def event(name: str, data: str, serial: int) -> bytes:
    r"""Return one event as the HTML standard has it.

    Example:
        >>> event("panels", "{}", 7)
        b'id: 7\nevent: panels\ndata: {}\n\n'
    """
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"id: {serial}\nevent: {name}\n{lines}\n".encode()


class Stream:
    """What waits for one reader; one that falls behind is dropped, so that nobody waits for it.

    Args:
        limit: events that may wait; 8 by default.
    """

    def __init__(self, limit: int = 8) -> None:
        self.closed: bool = False
        self._limit = limit
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()

    def offer(self, frame: bytes) -> None:
        """Add an event, or close the stream where too many wait."""
        if self.closed:
            return
        if len(self._waiting) >= self._limit:
            log(__name__).info("console_stream_dropped", waiting=len(self._waiting))
            self._waiting.clear()
            self.close()
            return
        self._waiting.append(frame)
        self._news.set()

    def close(self) -> None:
        """End it once what waits was sent."""
        self.closed = True
        self._news.set()

    async def next(self, heartbeat: float = _HEARTBEAT) -> bytes | None:
        """Return what is to be sent next: all that waits, a heartbeat after a while, or None at the end."""
        if not self._waiting and not self.closed:
            try:
                async with asyncio.timeout(heartbeat):
                    await self._news.wait()
            except TimeoutError:
                return b": still here\n\n"
        self._news.clear()
        if self._waiting:
            frames = b"".join(self._waiting)
            self._waiting.clear()
            return frames
        return None


class EventStream(Response):
    """Sends a stream until it ends, or its reader leaves or stops reading.

    Args:
        stream: what is sent.
        lasts: seconds after which it ends, and browsers open it anew; 3600 by default.
    """

    def __init__(self, stream: Stream, lasts: float = _LASTS) -> None:
        super().__init__(
            headers={"cache-control": "no-store", "x-accel-buffering": "no"}, media_type="text/event-stream"
        )
        del self.headers["content-length"]
        self.stream = stream
        self._lasts = lasts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's signature
        """Send it."""
        leaving = asyncio.create_task(self._watch(receive))
        try:
            await self._send(receive, send)
        except TimeoutError:
            log(__name__).info("console_stream_dropped", reason="a write took too long")
        finally:
            self.stream.close()
            leaving.cancel()

    async def _send(self, receive: Receive, send: Send) -> None:
        now = asyncio.get_running_loop().time
        end = now() + self._lasts
        short = dismissed(receive)  # such a connection was to end with this answer anyway
        async with asyncio.timeout(_PATIENCE):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        while now() < end and (short or not dismissed(receive)):
            frame = await self.stream.next()
            if frame is None:
                break
            async with asyncio.timeout(_PATIENCE):
                await send({"type": "http.response.body", "body": frame, "more_body": True})
        async with asyncio.timeout(_PATIENCE):
            await send({"type": "http.response.body", "body": b""})

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.stream.close()
