"""What the console costs the serving process: CPU time with five open pages, with one, and with none, in turn.

A shop with traffic runs in a process of its own; its CPU time is read from the kernel over stretches of the same length,
with and without streams open, in alternation, so that whatever else the machine does strikes both alike.

Run: python -m benchmarks.bench_console [SECONDS]; the bar is 2% of a core for five pages.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import statistics
import sys

import aiohttp
import psutil

RATE = 40.0
ROUNDS = 4
BAR = 0.02


def serve(listening: socket.socket) -> None:
    import uvicorn
    from fastapi import FastAPI

    from resilience.reliability import Reliability
    from resilience.slo import SLO
    from resilience_middleware import install

    rel = Reliability("shop", slos=[SLO("availability", service="shop", target=0.999)])
    app = FastAPI()
    install(app, rel, console=True)
    pay = rel.pipeline("pay")

    @app.get("/orders/{number}")
    async def order(number: int) -> dict[str, int]:
        await pay.call(asyncio.sleep, 0)
        return {"order": number}

    config = uvicorn.Config(app, log_level="error", access_log=False)
    uvicorn.Server(config).run([listening])


async def traffic(session: aiohttp.ClientSession, url: str) -> None:
    while True:
        async with session.get(f"{url}/orders/1") as response:
            await response.read()
        await asyncio.sleep(1 / RATE)


async def page(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(f"{url}/reliability/stream") as response:
        async for _ in response.content.iter_any():
            pass


async def share(
    session: aiohttp.ClientSession, url: str, server: psutil.Process, pages: int, seconds: float
) -> float:
    """CPU time of the server as a share of the time that passes."""
    looking = [asyncio.create_task(page(session, url)) for _ in range(pages)]
    await asyncio.sleep(2)  # the first look is not the daily one
    before = server.cpu_times()
    await asyncio.sleep(seconds)
    after = server.cpu_times()
    for each in looking:
        each.cancel()
    await asyncio.gather(*looking, return_exceptions=True)
    await asyncio.sleep(1.5)
    return (after.user + after.system - before.user - before.system) / seconds


async def measure(url: str, server: psutil.Process, seconds: float) -> int:
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        for _ in range(100):
            try:
                async with session.get(f"{url}/livez"):
                    break
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
        load = asyncio.create_task(traffic(session, url))
        await asyncio.sleep(2)
        extra: dict[int, list[float]] = {1: [], 5: []}
        for _ in range(ROUNDS):
            for pages, found in extra.items():
                none = await share(session, url, server, 0, seconds)
                found.append(await share(session, url, server, pages, seconds) - none)
        load.cancel()
    for pages, found in extra.items():
        shown = " ".join(f"{each:.2%}" for each in found)
        print(f"{pages} pages: {statistics.median(found):.2%} of a core more than none (rounds: {shown})")
    return 0 if statistics.median(extra[5]) <= BAR else 1


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    process = multiprocessing.get_context("fork").Process(target=serve, args=(listening,), daemon=True)
    process.start()
    try:
        return asyncio.run(measure(url, psutil.Process(process.pid), seconds))
    finally:
        process.terminate()
        process.join()


if __name__ == "__main__":
    sys.exit(main())
