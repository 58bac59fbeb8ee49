"""Limits on sending: a client that stops reading is disconnected, so that it holds nothing back for ever."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

from starlette.types import Message, Receive, Send

from resilience.core.deadline import timeout
from resilience.core.ports import Clock

__all__ = ["SEND_TIMEOUT", "BoundedSend", "disconnect", "unbuffered"]

SEND_TIMEOUT: Final = 10.0
"""Seconds for which a client may leave the data that is sent to it unread."""

_CHUNK: Final = 65_536


class BoundedSend:
    """A server's `send`, limited in time: each 64 KiB of an answer must be read within 10 s.

    Args:
        send: the server's.
        receive: the server's, of the same request; its connection is closed when the time is up.
        clock: where time comes from.
    """

    def __init__(self, send: Send, receive: Receive, clock: Clock) -> None:
        self._send = send
        self._receive = receive
        self._clock = clock

    async def __call__(self, message: Message) -> None:
        """Send one message.

        Raises:
            TimeoutError: the client does not read.
        """
        for part in _parts(message):
            try:
                async with timeout(SEND_TIMEOUT, clock=self._clock):
                    await self._send(part)
            except TimeoutError:
                disconnect(self._receive)
                raise


def _parts(message: Message) -> Iterator[Message]:
    """Split a body, because servers wait for a slow client before a message and never within one.

    The last message is empty: a server that waits before it has passed on everything else.
    """
    body = message.get("body", b"")
    if message["type"] == "http.response.body" and body:
        for start in range(0, len(body), _CHUNK):
            yield {"type": "http.response.body", "body": body[start : start + _CHUNK], "more_body": True}
        if not message.get("more_body", False):
            yield {"type": "http.response.body", "body": b"", "more_body": False}
    else:
        yield message


@contextlib.contextmanager
def unbuffered(receive: Receive) -> Iterator[None]:
    """Have a server wait before each message until the operating system has taken all earlier ones.

    Without this, up to 64 KiB stay in the process after the last message, and a server that shuts down waits until the
    client reads them. ASGI has no word for it; without effect where the server hides its transport.

    Args:
        receive: the server's.
    """
    transport = _transport(receive)
    if transport is None or transport.is_closing():
        yield
        return
    low, high = transport.get_write_buffer_limits()
    transport.set_write_buffer_limits(high=0)
    try:
        yield
    finally:
        if (
            not transport.is_closing()
        ):  # a client that left has taken the limits with it, and uvloop refuses new ones
            transport.set_write_buffer_limits(high=high, low=low)


def disconnect(receive: Receive) -> None:
    """Close the connection of a request, and drop the data that its client has not read.

    Args:
        receive: the server's. Without effect where the server hides its transport.
    """
    transport = _transport(receive)
    if transport is not None:
        transport.abort()


def _transport(receive: Receive) -> Any:
    """Return the transport that a server keeps on the object whose method `receive` is; uvicorn does."""
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    return transport if hasattr(transport, "abort") else None
