"""What the console costs the serving process: CPU time with five pages open, with one, and with none, in turn.

Two shops with the same traffic run in processes of their own, one of them without a console. Their CPU time is read
from the kernel over stretches of the same length, with and without pages open, in alternation, so that whatever else
the machine does strikes all alike. `--browsers` opens real ones instead of streams.

Run: python -m benchmarks.bench_console [SECONDS] [--browsers]; the bar is 2% of a core for five pages.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import socket
import statistics
import sys
from collections.abc import AsyncIterator

import aiohttp
import psutil

RATE = 40.0
ROUNDS = 5
BAR = 0.02
CHROMIUM = "/usr/bin/chromium"


class Shop:
    """A shop in a process of its own."""

    def __init__(self, *, console: bool) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        context = multiprocessing.get_context("fork")
        self.process = context.Process(
            target=serve, args=(listening,), kwargs={"console": console}, daemon=True
        )
        self.process.start()

    @property
    def spent(self) -> float:
        """CPU seconds so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def stop(self) -> None:
        self.process.terminate()
        self.process.join()


def serve(listening: socket.socket, *, console: bool) -> None:
    import uvicorn
    from fastapi import FastAPI

    from resilience.reliability import Reliability
    from resilience.slo import SLO
    from resilience_middleware import install

    rel = Reliability("shop", slos=[SLO("availability", service="shop", target=0.999)])
    app = FastAPI()
    install(app, rel, console=console)
    pay = rel.pipeline("pay")

    @app.get("/orders/{number}")
    async def order(number: int) -> dict[str, int]:
        await pay.call(asyncio.sleep, 0)
        return {"order": number}

    config = uvicorn.Config(app, log_level="error", access_log=False)
    uvicorn.Server(config).run([listening])


async def traffic(session: aiohttp.ClientSession, url: str) -> None:
    while True:
        with contextlib.suppress(aiohttp.ClientError):  # it may not listen yet
            async with session.get(f"{url}/orders/1") as response:
                await response.read()
        await asyncio.sleep(1 / RATE)


async def stream(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(f"{url}/reliability/stream") as response:
        async for _ in response.content.iter_any():
            pass


@contextlib.asynccontextmanager
async def streams(session: aiohttp.ClientSession, url: str, count: int) -> AsyncIterator[None]:
    looking = [asyncio.create_task(stream(session, url)) for _ in range(count)]
    try:
        yield
    finally:
        for each in looking:
            each.cancel()
        await asyncio.gather(*looking, return_exceptions=True)


@contextlib.asynccontextmanager
async def browsers(_session: aiohttp.ClientSession, url: str, count: int) -> AsyncIterator[None]:
    from playwright.async_api import async_playwright

    async with async_playwright() as api:
        opened = [
            await api.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            for _ in range(count)
        ]
        for each in opened:
            page = await each.new_page()
            await page.goto(f"{url}/reliability/")
            await page.wait_for_selector("#live[data-state=live]", timeout=120_000)
        yield
        for each in opened:
            await each.close()


async def stretch(with_console: Shop, without: Shop, seconds: float) -> float:
    """What one shop spent more than the other at the same time, as a share of that time."""
    await asyncio.sleep(2)  # the first look is not the daily one
    before = with_console.spent - without.spent
    await asyncio.sleep(seconds)
    return (with_console.spent - without.spent - before) / seconds


async def measure(with_console: Shop, without: Shop, seconds: float, *, real: bool) -> int:
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    opened = browsers if real else streams
    more: dict[int, list[float]] = {0: [], 1: [], 5: []}
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        load = [asyncio.create_task(traffic(session, shop.url)) for shop in (with_console, without)]
        await asyncio.sleep(5)
        for _ in range(ROUNDS):
            for pages, found in more.items():
                async with opened(session, with_console.url, pages):
                    found.append(await stretch(with_console, without, seconds))
        for each in load:
            each.cancel()
    what = "browsers" if real else "pages"
    nobody = statistics.median(more[0])
    print(f"nobody looks: {nobody:.2%} of a core more than without a console ({_shown(more[0])})")
    for pages in (1, 5):
        extra = [looked - alone for looked, alone in zip(more[pages], more[0], strict=True)]
        print(f"{pages} {what}: {statistics.median(extra):.2%} of a core more than nobody ({_shown(extra)})")
    return 0 if statistics.median(extra) <= BAR else 1


def _shown(shares: list[float]) -> str:
    return " ".join(f"{each:.2%}" for each in shares)


def main() -> int:
    numbers = [float(each) for each in sys.argv[1:] if each[0] != "-"]
    shops = Shop(console=True), Shop(console=False)
    try:
        return asyncio.run(measure(*shops, numbers[0] if numbers else 10.0, real="--browsers" in sys.argv))
    finally:
        for shop in shops:
            shop.stop()


if __name__ == "__main__":
    sys.exit(main())
