"""Messages of a client that are received before the application asks for them."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import Message, Receive, Scope

__all__ = ["Ahead", "bodiless"]

_FRACTION: Final = 0.02  # of the time that a request has taken; a look delays it by no more
_MOST: Final = 2  # messages to expect: the end of the body, and that the client has left


class Ahead:
    """Receiver that runs before the application's, because servers report a disconnected client only to a receiver.

    No call of the server's `receive` is cancelled, because some servers lose the message that it would have returned. A call
    that is pending when the application receives is the application's from then on.

    Args:
        receive: the server's; called only after the body of the request is known to be whole.
    """

    __slots__ = ("_calls", "_receive")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._calls: list[asyncio.Future[Message]] = []

    async def client_left(self, elapsed: float) -> bool:
        """Return True if the server knows that the client has left.

        Args:
            elapsed: seconds that the request has taken.
        """
        call = self._calls[-1] if self._calls else self._call()
        while True:
            if isinstance(call, asyncio.Task):
                await asyncio.sleep(0)  # one turn is enough for what a server in Python knows already
            else:
                # A server in another language answers from a thread of its own.
                await asyncio.wait((call,), timeout=elapsed * _FRACTION)
            if not call.done() or call.cancelled() or call.exception() is not None:
                return False
            message = call.result()
            if message["type"] == "http.disconnect":
                return True
            if message.get("more_body", False) or len(self._calls) == _MOST:
                return False  # a body after all, which is the application's
            call = self._call()

    def _call(self) -> asyncio.Future[Message]:
        call = asyncio.ensure_future(self._receive())
        call.add_done_callback(_retrieved)
        self._calls.append(call)
        return call

    async def receive(self) -> Message:
        """Return the next message; cancellation leaves it to the next call."""
        if not self._calls:
            return await self._receive()
        call = self._calls[0]
        message = await asyncio.shield(call)
        if self._calls and self._calls[0] is call:
            del self._calls[0]
        return message


def bodiless(scope: Scope) -> bool:
    """Return True if the head of a request shows that it has no body. HTTP/2 and later have no such sign."""
    if not scope.get("http_version", "1.1").startswith("1"):
        return False
    return not any(name in {b"content-length", b"transfer-encoding"} for name, _ in scope["headers"])


def _retrieved(call: asyncio.Future[Message]) -> None:
    """Keep asyncio from reporting an exception for which no application waits."""
    if not call.cancelled():
        call.exception()
