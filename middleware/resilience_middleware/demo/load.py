"""The customers: a load generator that talks real HTTP to the shop."""

from __future__ import annotations

import asyncio
import itertools

import aiohttp

__all__ = ["Load"]


class Load:
    """Asks the shop for orders at a steady rate, whether or not earlier answers have come.

    Args:
        url: the shop's address, without a path.
        rate: requests per second.
    """

    def __init__(self, url: str, *, rate: float = 40.0) -> None:
        self.url = url
        self.rate = rate
        self.sent: int = 0
        self.failed: int = 0

    async def run(self) -> None:
        """Go on until cancelled; requests under way are then cancelled and awaited."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        timeout = aiohttp.ClientTimeout(total=5.0)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as customers:
            for number in itertools.count(1):
                customers.create_task(self._order(session, number))
                # From the start, not from the last request: a late wake-up must not lower the rate.
                await asyncio.sleep(start + number / self.rate - loop.time())

    async def _order(self, session: aiohttp.ClientSession, number: int) -> None:
        self.sent += 1
        try:
            async with session.get(f"{self.url}/orders/{number}") as response:
                await response.read()
                self.failed += response.status >= 500  # noqa: PLR2004  server errors
        except (aiohttp.ClientError, TimeoutError):
            self.failed += 1
