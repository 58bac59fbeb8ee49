"""Lifespan: every message passes as it is, and the Reliability starts before the application and stops after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience.core.interrupts import INTERRUPTS
from resilience.core.log import log
from resilience.errors import ConfigError
from resilience.reliability import Reliability
from resilience_middleware.shutdown import ShutdownNotice

__all__ = ["Lifespan"]

_ENDED = frozenset({"lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed"})


class Lifespan:
    """Starts and stops one Reliability along with one application.

    Where a server sends no lifespan (or the application refuses it), it is started by the first request. One
    that runs already is left to who started it.

    Args:
        reliability: what is started and stopped.
        wrong: asked once the application has started, with the lifespan's scope; what it returns ends the start with its
            message, the application shut down in order.
    """

    def __init__(
        self, reliability: Reliability, wrong: Callable[[Scope], ConfigError | None] = lambda _: None
    ) -> None:
        self._reliability = reliability
        self._wrong = wrong
        self._notice = ShutdownNotice(reliability)
        self.pending: bool = True  # whether the first request has to start it
        self._starting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it for the first request; a failure is logged, and requests are served all the same."""
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        try:
            await self._reliability.start()
        except INTERRUPTS:
            raise
        except BaseException as error:  # noqa: BLE001  a service without its indicators beats no service
            log(__name__).error("start_failed", error=error, exc_info=error)
        finally:
            self.pending = False
            self._starting = None

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the lifespan of `app` through."""
        reliability = self._reliability
        mine = False
        refused: ConfigError | None = None

        async def received() -> Message:
            nonlocal mine
            if refused is not None:
                return {"type": "lifespan.shutdown"}
            message = await receive()
            if message["type"] == "lifespan.startup" and not reliability.running:
                await reliability.start()
                self._notice.install()
                mine = True
                self.pending = False
            return message

        async def sent(message: Message) -> None:
            nonlocal mine, refused
            if refused is not None:
                return  # the server was told already
            if message["type"] == "lifespan.startup.complete" and (refused := self._wrong(scope)) is not None:
                message = {"type": "lifespan.startup.failed", "message": str(refused)}
            if message["type"] in _ENDED and mine:
                mine = False
                await self._stop()
            await send(message)

        served = False
        try:
            await app(scope, received, sent)
            served = True
        finally:
            if mine:
                await self._stop()
                self.pending = not served
        if refused is not None:
            raise refused

    async def _stop(self) -> None:
        self._notice.remove()
        await self._reliability.stop()
