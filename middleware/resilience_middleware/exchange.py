"""One HTTP exchange as it passes by: what was sent, when it ended, and whether the client stayed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from resilience.core.verdict import Verdict
from resilience.http.rules import verdict_of_status
from resilience_middleware.admission import Held, RequestDeadline

__all__ = ["CLIENT_CLOSED", "Exchange"]

CLIENT_CLOSED: Final = 499
"""The code of a client that left before its answer was whole; nginx' number, there is no official one."""

# A client that leaves within this time cannot be told from one that left just after; later it is asked for.
_PATIENCE: Final = 0.1


class Exchange:
    """Watches the messages of one request and changes none of them.

    Args:
        scope: the request's.
        receive: the server's.
        send: the server's.
        monotonic: where time comes from.
        finished: told the code, the verdict and the seconds; called once, when the last byte was sent: not after background tasks that
            may follow it.
    """

    __slots__ = (
        "_ahead",
        "_code",
        "_finished",
        "_left",
        "_monotonic",
        "_receive",
        "_send",
        "_trailers",
        "_waiting",
        "complete",
        "deadline",
        "error",
        "held",
        "refused",
        "scope",
        "started",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        monotonic: Callable[[], float],
        finished: Callable[[Exchange, int, Verdict, float], None],
    ) -> None:
        self.scope = scope
        self.error: BaseException | None = None  # what ended the request before its answer was whole
        self.refused: Verdict | None = None  # what it counts as where the status alone does not say
        self.held: Held | None = None  # the guards that it has passed and not left
        self.deadline: RequestDeadline | None = None
        self._receive = receive
        self._send = send
        self._monotonic = monotonic
        self._finished = finished
        self._ahead: list[Message] | None = None  # what was received before the application asked
        self._code = 0
        self.complete = self._left = self._trailers = self._waiting = False
        self.started = monotonic()

    @property
    def status(self) -> int:
        """The code that was sent; 500 as long as there is none."""
        return self._code or 500

    @property
    def answerable(self) -> bool:
        """Whether nothing has been sent and somebody is there to be told."""
        return not (self._code or self._left)

    async def receive(self) -> Message:
        """Hand the application the next message of the client."""
        if self._ahead:
            message = self._ahead.pop(0)
        else:
            self._waiting = True
            try:
                message = await self._receive()
            finally:
                self._waiting = False
        if message["type"] == "http.disconnect" and not self.complete:
            self._left = True
        return message

    async def send(self, message: Message) -> None:
        """Hand the server the next message of the application."""
        kind = message["type"]
        begins = kind == "http.response.start"
        if begins and not self._waiting and self._monotonic() - self.started > _PATIENCE:
            await self._look_for_client()
        try:
            await self._send(message)
        except OSError:
            self._left = self._left or not self.complete  # how servers of ASGI's HTTP spec 2.4 say so
            raise
        if begins:
            self._code = self._code or message["status"]
            if "trailers" in message:
                self._trailers = message["trailers"]
        elif self._code and not self.complete and self._is_last(kind, message):
            self._finish(verdict_of_status(self._code))

    def end(self, error: BaseException | None = None) -> None:
        """Take note that the application is done, by an exception or by itself; what it left unfinished is a failure."""
        if not self.complete:
            self._left = self._left or isinstance(error, asyncio.CancelledError)
            self.error = error
            self._finish(Verdict.FAILURE)

    def _is_last(self, kind: str, message: Message) -> bool:
        if kind == "http.response.body":
            return not (self._trailers or message.get("more_body", False))
        if kind == "http.response.trailers":
            return not message.get("more_trailers", False)
        return kind == "http.response.pathsend"

    def _finish(self, verdict: Verdict) -> None:
        self.complete = True
        seconds = self._monotonic() - self.started
        if self._left:
            self._finished(self, CLIENT_CLOSED, Verdict.CANCELLED, seconds)
        else:
            # Without any answer the server sends a 500, or closes the connection.
            self._finished(self, self._code or 500, self.refused or verdict, seconds)

    async def _look_for_client(self) -> None:
        """Ask whether the client is still there: servers say so only to who receives."""
        ahead = self._ahead = self._ahead or []
        while not ahead or not ahead[-1].get("more_body", False):
            waiting = asyncio.ensure_future(self._receive())
            try:
                await asyncio.sleep(0)  # one turn is enough for what has come in already
            finally:
                waiting.cancel()
            await asyncio.wait((waiting,))
            if waiting.cancelled() or waiting.exception() is not None:
                return
            ahead.append(waiting.result())
            if ahead[-1]["type"] == "http.disconnect":
                self._left = True
                return
