"""The pager: a real HTTP server that keeps what the webhook channel posts to it."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from aiohttp import web

__all__ = ["Receiver"]


class Receiver:
    """Collects the notifications posted to `url`, as (status, names of the alerts)."""

    def __init__(self) -> None:
        self.received: list[tuple[str, tuple[str, ...]]] = []
        self.port: int = 0
        app = web.Application()
        app.router.add_post("/page", self._page)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    @property
    def url(self) -> str:
        """Where a notification is posted."""
        return f"http://127.0.0.1:{self.port}/page"

    def statuses(self) -> set[str]:
        """The statuses received so far: `firing`, `resolved`."""
        return {status for status, _ in self.received}

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _page(self, request: web.Request) -> web.Response:
        payload = await request.json()
        names = tuple(alert["labels"]["alertname"] for alert in payload["alerts"])
        self.received.append((payload["status"], names))
        return web.Response(status=204)
