"""The second service: a real HTTP server whose health follows a script."""

from __future__ import annotations

import asyncio
import enum
import itertools
import socket
from types import TracebackType
from typing import Self

from aiohttp import web

__all__ = ["Health", "Payments"]


class Health(enum.StrEnum):
    """What the payments service does with a call."""

    HEALTHY = "healthy"
    SLOW = "slow"
    FAILING = "failing"
    DOWN = "down"
    RECOVERED = "recovered"


class Payments:
    """Answers `POST /charge` according to its `health`; while it is down nobody listens on its port.

    Args:
        delay: seconds a healthy answer takes.
        slow_delay: seconds an answer takes while it is slow.
    """

    def __init__(self, *, delay: float = 0.02, slow_delay: float = 0.15) -> None:
        self.delay = delay
        self.slow_delay = slow_delay
        self.health: Health = Health.HEALTHY
        self.port: int = 0
        self._turn = itertools.count()
        self._site: web.SockSite | None = None
        self._held: socket.socket | None = None
        app = web.Application()
        app.router.add_post("/charge", self._charge)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    @property
    def url(self) -> str:
        """Where a charge is posted."""
        return f"http://127.0.0.1:{self.port}/charge"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        # Held and never listened at, so that nobody else is given the port while payments is down.
        self._held = _bound(0)
        self.port = self._held.getsockname()[1]
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        if self._held is not None:
            self._held.close()

    async def become(self, health: Health) -> None:
        """Change how it is; going down closes the port, so that calls are refused by the kernel."""
        self.health = health
        if health is Health.DOWN:
            if self._site is not None:
                await self._site.stop()
                self._site = None
            server = self._runner.server
            if server is not None:  # connections kept alive would go on being served
                await server.shutdown(0.1)
        elif self._site is None:
            await self._listen()

    async def _listen(self) -> None:
        self._site = web.SockSite(self._runner, _bound(self.port))
        await self._site.start()

    async def _charge(self, _request: web.Request) -> web.Response:
        await asyncio.sleep(self.slow_delay if self.health is Health.SLOW else self.delay)
        if self.health is Health.FAILING and next(self._turn) % 2:
            return web.json_response({"error": "ledger unavailable"}, status=500)
        return web.json_response({"charged": True})


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_REUSEPORT", socket.SO_REUSEADDR), 1)
    made.bind(("127.0.0.1", port))
    return made
