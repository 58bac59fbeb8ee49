"""One HTTP exchange as it passes by: what was sent, when it ended, and whether the client stayed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Token
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from resilience.core.buckets import Entry
from resilience.core.verdict import Verdict
from resilience_middleware.ahead import Ahead, bodiless
from resilience_middleware.passing import Held, Passage

__all__ = ["CLIENT_CLOSED", "Exchange", "Overruled", "QuietExchange", "may_raise"]

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

    Whoever makes one sets all down to `whole`, and where the request is guarded the rest. An `__init__` would be a tenth of
    all that a request costs: CPython is quick to set attributes, and slow to call that.
    """

    __slots__ = (
        "ahead",
        "before",
        "code",
        "complete",
        "criticality",
        "deadline",
        "held",
        "monotonic",
        "passage",
        "plain",
        "scope",
        "seconds",
        "server_receives",
        "server_sends",
        "started",
        "verdict",
        "waiting",
        "whole",
    )

    scope: Scope
    """The request's."""
    server_receives: Receive
    """The server's side of `receive`."""
    server_sends: Send
    """The server's side of `send`."""
    passage: Passage
    """The way that it takes through its guards. Its `finish` is called once, when the last byte was sent: not after background
    tasks that may follow it."""
    monotonic: Callable[[], float]
    """Where time comes from."""
    started: float
    """When it came in, on that clock."""
    code: int
    """The status that was sent; 0 as long as there is none."""
    complete: bool
    """Whether its last byte was sent, or will never be."""
    verdict: Verdict | None
    """What it counts as where the status alone does not say; CANCELLED once the client left before its answer was whole."""
    plain: bool
    """Whether the answer has begun, and ends with the first body that does not say otherwise."""
    ahead: Ahead | None
    """Messages that are received before the application asks for them."""
    waiting: bool
    """Whether the application waits for the client."""
    whole: bool
    """True if the application has received the end of the request's body."""

    seconds: float | None
    """How much time it has, if there is a limit."""
    deadline: Entry | None
    """When its time is up, as long as it has not been answered."""
    criticality: int | None
    """How much it matters, where somebody who is believed said so."""
    before: Token[int | None] | None
    """What puts back how much mattered what came before it."""
    held: Held | None
    """What it has passed and not left."""

    @property
    def status(self) -> int:
        """The code that was sent; 500 as long as there is none."""
        return self.code or 500  # without any answer the server sends that, or closes the connection

    @property
    def left(self) -> bool:
        """Whether the client left before its answer was whole."""
        return self.verdict is Verdict.CANCELLED

    @property
    def answerable(self) -> bool:
        """Whether nothing has been sent and somebody is there to be told."""
        return not (self.code or self.left)

    @property
    def overruled(self) -> bool:
        """Whether somebody else answers, or has answered, in the application's place."""
        return self.server_sends is _refused

    def overrule(self, status: int) -> Send:
        """Take the answer away from the application: from now on an OSError is what it gets for sending anything.

        Args:
            status: what the client is told instead.

        Returns:
            what the answer is sent by.
        """
        send, self.server_sends = self.server_sends, _refused
        self.code, self.complete, self.plain = status, True, False
        return send

    async def receive(self) -> Message:
        """Hand the application the next message of the client."""
        self.waiting = True
        try:
            message = await (self.server_receives() if self.ahead is None else self.ahead.receive())
        finally:
            self.waiting = False
        if message["type"] == "http.disconnect":
            self.client_left()
        elif not message.get("more_body", False):
            self.whole = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Hand the server the next message of the application."""
        return self._watched(message)

    async def _watched(self, message: Message) -> None:
        if not (self.code or self.waiting):
            monotonic = self.monotonic
            if (elapsed := monotonic() - self.started) > _PATIENCE:
                await self._look_for_client(elapsed)
        send, verdict = self.server_sends, self.verdict
        try:
            await send(message)
        except OSError:
            self.client_left()  # how servers of ASGI's HTTP spec 2.4 say so
            raise
        if not self.code:
            if message["type"] == "http.response.start":
                self.code = message["status"]
                self.plain = not ("trailers" in message and message["trailers"])  # noqa: RUF019  half the price of `get`
        elif (
            not ("more_body" in message and message["more_body"])  # noqa: RUF019  as above
            if self.plain and message["type"] == "http.response.body"
            else not self.complete and _ends(message)
        ):
            self.complete, self.plain = True, False
            self.verdict = verdict  # some servers report a disconnect while they send the last message
            finish = self.passage.finish
            finish(self, None)

    def client_left(self) -> None:
        """Take note that the client left, if that was before its answer was whole."""
        if not self.complete:
            self.verdict = Verdict.CANCELLED

    def end(self, error: BaseException | None = None) -> None:
        """Take note that the application is done, by an exception or by itself; what it left unfinished is a failure."""
        if not self.complete:
            if isinstance(error, asyncio.CancelledError):
                self.client_left()
            elif self.verdict is None:
                self.verdict = Verdict.FAILURE
            self.complete = True
            self.passage.finish(self, error)

    async def _look_for_client(self, elapsed: float) -> None:
        """Find out whether the client has left, where the body of the request is known to be whole."""
        if self.ahead is None:
            if not (self.whole or bodiless(self.scope)):
                return
            self.ahead = Ahead(self.server_receives)
        if await self.ahead.client_left(elapsed):
            self.client_left()


def may_raise(scope: Scope) -> bool:
    """Whether the server of a request may raise an OSError from `send` where the client is gone: from ASGI's 2.4 on."""
    try:
        version = tuple(map(int, scope["asgi"]["spec_version"].split(".")))
    except (KeyError, ValueError):
        return "spec_version" in scope.get("asgi", {})  # what cannot be read may be anything
    return version >= (2, 4)


class QuietExchange(Exchange):
    """An exchange with a server that never raises to say that the client is gone, which is most: see `may_raise`.

    So only the last message needs a coroutine of its own, which is told when it was sent; a sixth of what watching costs.
    """

    __slots__ = ()

    def send(self, message: Message) -> Awaitable[None]:
        """Hand the server the next message of the application."""
        if not self.code:
            monotonic = self.monotonic
            if message["type"] == "http.response.start" and (
                monotonic() - self.started <= _PATIENCE or self.waiting
            ):
                self.code: int = message["status"]
                self.plain: bool = not ("trailers" in message and message["trailers"])  # noqa: RUF019  half the price of `get`
                send = self.server_sends
                return send(message)
        elif self.plain and message["type"] == "http.response.body":
            if "more_body" in message and message["more_body"]:  # noqa: RUF019  as above
                send = self.server_sends
                return send(message)
            return self._last(message)
        return self._watched(message)

    async def _last(self, message: Message) -> None:
        send, verdict = self.server_sends, self.verdict
        try:
            await send(message)
        except OSError:
            self.client_left()
            raise
        self.complete: bool = True
        self.plain = False
        self.verdict: Verdict | None = verdict  # as above
        finish = self.passage.finish
        finish(self, None)


def _ends(message: Message) -> bool:
    """Whether a message that is no plain body, or was announced not to be the last, ends an answer."""
    kind = message["type"]
    return kind == "http.response.pathsend" or (
        kind == "http.response.trailers" and not message.get("more_trailers")
    )
