"""Lifespan: every message passes as it is, and the Reliability starts before the application and stops after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience.core.interrupts import INTERRUPTS
from resilience.core.log import log
from resilience.errors import ConfigError, MissingExtra
from resilience.reliability import Reliability
from resilience_middleware.shutdown import ShutdownNotice

__all__ = ["Lifespan"]

_REFUSING = (ConfigError, MissingExtra)
"""Errors that a restart does not mend: the server is told, and exits."""

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
        self._refused: ConfigError | MissingExtra | None = None  # why the server was told not to start

    async def start(self) -> None:
        """Start it for the first request; a failure is logged, and requests are served all the same."""
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start_late())
        await asyncio.shield(self._starting)

    async def _start_late(self) -> None:
        try:
            await self._start()
        except _REFUSING as error:  # too late to refuse to start
            log(__name__).error("start_failed", error=error, exc_info=error)
        finally:
            self._starting = None

    async def _start(self) -> None:
        """Start it; of its failures, raise those that a server is told of, and log the others."""
        try:
            await self._reliability.start()
        except (*INTERRUPTS, *_REFUSING):
            raise
        except BaseException as error:  # noqa: BLE001  a service without its indicators beats no service
            log(__name__).error("start_failed", error=error, exc_info=error)
            self._reliability.ready = (
                True  # a broken monitor takes no working service out of the load balancer
            )
        finally:
            self.pending = False

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the lifespan of `app` through."""
        mine = False

        async def received() -> Message:
            nonlocal mine
            if self._refused is not None:
                return {"type": "lifespan.shutdown"}
            message = await receive()
            if message["type"] == "lifespan.startup" and not self._reliability.running:
                await self._begin(send)
                mine = True
            return message

        async def sent(message: Message) -> None:
            nonlocal mine
            if self._refused is not None:
                return  # the server was told already
            if message["type"] == "lifespan.startup.complete" and (wrong := self._wrong(scope)) is not None:
                self._refused = wrong
                message = {"type": "lifespan.startup.failed", "message": str(wrong)}
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
        if self._refused is not None:
            raise self._refused

    async def _begin(self, send: Send) -> None:
        """Start it before the application.

        Raises:
            ConfigError: the configuration is not valid; the server was told.
            MissingExtra: a package is not installed; the server was told.
        """
        try:
            await self._start()
        except _REFUSING as error:
            self._refused = error
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        self._notice.install()

    async def _stop(self) -> None:
        self._notice.remove()
        await self._reliability.stop()
