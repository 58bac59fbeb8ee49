"""The second service: a real HTTP server whose health follows a script."""

from __future__ import annotations

import asyncio
import enum
import itertools
from types import TracebackType
from typing import Self

from aiohttp import web

__all__ = ["Health", "Payments"]


class Health(enum.Enum):
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
        self._site: web.TCPSite | None = None
        app = web.Application()
        app.router.add_post("/charge", self._charge)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    @property
    def url(self) -> str:
        """Where a charge is posted."""
        return f"http://127.0.0.1:{self.port}/charge"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

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
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def _charge(self, _request: web.Request) -> web.Response:
        await asyncio.sleep(self.slow_delay if self.health is Health.SLOW else self.delay)
        if self.health is Health.FAILING and next(self._turn) % 2:
            return web.json_response({"error": "ledger unavailable"}, status=500)
        return web.json_response({"charged": True})
