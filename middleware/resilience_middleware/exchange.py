"""One HTTP exchange as it passes by: what was sent, when it ended, and whether the client stayed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from resilience.core.buckets import Entry
from resilience.core.verdict import Verdict
from resilience_middleware.admission import Passed

__all__ = ["CLIENT_CLOSED", "Exchange", "Overruled"]

CLIENT_CLOSED: Final = 499
"""The code of a client that left before its answer was whole; nginx' number, there is no official one."""

# A client that leaves within this time cannot be told from one that left just after; later it is asked for.
_PATIENCE: Final = 0.1


class Overruled(OSError):
    """The application sends what nobody waits for: its time was up, and the client has been answered.

    An `OSError`, as a server raises one for a client that is gone: applications and frameworks know what that means.
    """


async def _refused(message: Message) -> None:  # noqa: ARG001  a Send
    raise Overruled("the time of the request was up, and its client has been answered")


class Exchange:
    """Watches the messages of one request and changes none of them.

    Args:
        scope: the request's.
        receive: the server's.
        send: the server's.
        monotonic: where time comes from.
        finished: told what ended the request, where something did, and whether its answer is whole; called once, when the
            last byte was sent: not after background tasks that may follow it.
    """

    __slots__ = (
        "_ahead",
        "_finished",
        "_receive",
        "_send",
        "_trailers",
        "_waiting",
        "code",
        "complete",
        "criticality",
        "deadline",
        "held",
        "left",
        "monotonic",
        "refused",
        "scope",
        "seconds",
        "started",
    )

    scope: Scope
    monotonic: Callable[[], float]
    code: int
    """The status that was sent; 0 as long as there is none."""
    complete: bool
    """Whether its last byte was sent, or will never be."""
    left: bool
    """Whether the client left before its answer was whole."""
    refused: Verdict | None
    """What it counts as where the status alone does not say."""
    held: list[Passed]
    """The guards that it has passed and not left; this and what follows is set where requests are guarded."""
    criticality: int | None
    """How much it matters, where somebody who is believed said so."""
    deadline: Entry | None
    """When its time is up, as long as it has not been answered."""
    seconds: float
    """How much time it had, where it has a deadline."""
    started: float
    """When it came in, on the monotonic clock."""
    _ahead: list[Message] | None  # what was received before the application asked

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        monotonic: Callable[[], float],
        finished: Callable[[Exchange, BaseException | None, bool], None],
    ) -> None:
        self.complete = self.left = self._trailers = self._waiting = False
        self.refused = self._ahead = None
        self.code = 0
        self.scope = scope
        self._receive = receive
        self._send = send
        self.monotonic = monotonic
        self._finished = finished
        self.started = monotonic()

    @property
    def status(self) -> int:
        """The code that was sent; 500 as long as there is none."""
        return self.code or 500  # without any answer the server sends that, or closes the connection

    @property
    def answerable(self) -> bool:
        """Whether nothing has been sent and somebody is there to be told."""
        return not (self.code or self.left)

    @property
    def overruled(self) -> bool:
        """Whether somebody else answers, or has answered, in the application's place."""
        return self._send is _refused

    def overrule(self, status: int) -> Send:
        """Take the answer away from the application: from now on an OSError is what it gets for sending anything.

        Args:
            status: what the client is told instead.

        Returns:
            what the answer is sent by.
        """
        send, self._send = self._send, _refused
        self.code, self.complete = status, True
        return send

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
            self.left = True
        return message

    async def send(self, message: Message) -> None:
        """Hand the server the next message of the application."""
        kind = message["type"]
        begins = kind == "http.response.start"
        if begins and not self._waiting and self.monotonic() - self.started > _PATIENCE:
            await self._look_for_client()
        try:
            await self._send(message)
        except OSError:
            self.left = self.left or not self.complete  # how servers of ASGI's HTTP spec 2.4 say so
            raise
        if begins:
            self.code = self.code or message["status"]
            if "trailers" in message:
                self._trailers = message["trailers"]
        elif (
            not (self._trailers or message.get("more_body"))
            if kind == "http.response.body"
            else kind == "http.response.pathsend"
            or (kind == "http.response.trailers" and not message.get("more_trailers"))
        ) and (self.code and not self.complete):
            self.complete = True
            self._finished(self, None, True)  # noqa: FBT003  the hottest call of all, and keywords cost

    def end(self, error: BaseException | None = None) -> None:
        """Take note that the application is done, by an exception or by itself; what it left unfinished is a failure."""
        if not self.complete:
            self.complete = True
            self.left = self.left or isinstance(error, asyncio.CancelledError)
            self._finished(self, error, False)  # noqa: FBT003  as above

    async def _look_for_client(self) -> None:
        """Ask whether the client is still there: servers say so only to who receives."""
        ahead = self._ahead = self._ahead or []
        whole = 0
        # What comes after the whole body can only be that the client left; whoever says anything else is asked no more.
        while whole < 2 and not (ahead and ahead[-1].get("more_body", False)):  # noqa: PLR2004  the body, and what follows
            waiting = asyncio.ensure_future(self._receive())
            try:
                await asyncio.sleep(0)  # one turn is enough for what has come in already
            finally:
                waiting.cancel()
            await asyncio.wait((waiting,))
            if waiting.cancelled() or waiting.exception() is not None:
                return
            ahead.append(waiting.result())
            whole += 1
            if ahead[-1]["type"] == "http.disconnect":
                self.left = True
                return
