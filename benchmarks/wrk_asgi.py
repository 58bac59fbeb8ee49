"""Server CPU per request behind uvicorn under wrk, against the bare application; steadier than requests per second.

    python benchmarks/wrk_asgi.py [rounds]

Needs wrk, uvicorn and fastapi. Rounds alternate between the servers; a ratio is the median of those within each round,
and between the quartiles of these lies what is shown after it.
"""

from __future__ import annotations

import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import psutil
import uvicorn
from bench_asgi import recording, starlette
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response

from resilience.policies.bulkhead import Bulkhead
from resilience.policies.load_shedder import LoadShedder
from resilience.policies.rate_limiter import RateLimiter

KINDS = ("bare", "recording", "recording and guards")


def fastapi(*middleware: Middleware) -> FastAPI:
    app = FastAPI(middleware=list(middleware))

    @app.get("/users/{number}")
    async def user(number: int) -> Response:
        return Response(b"ok")

    return app


FRAMEWORKS: dict[str, Callable[..., Starlette]] = {"starlette": starlette, "fastapi": fastapi}


def application(framework: str, kind: str) -> Starlette:
    make = FRAMEWORKS[framework]
    if kind == "bare":
        return make()
    if kind == "recording":
        return make(recording())
    guards = [LoadShedder(1_000), RateLimiter(1e9, burst=10**9), Bulkhead(1_000)]
    return make(recording(timeout=30.0, guards=guards))


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def wait_for(port: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(port)


def spent(process: psutil.Process, port: int) -> float:
    """Microseconds of CPU for one request."""
    before = sum(process.cpu_times()[:2])
    url = f"http://127.0.0.1:{port}/users/17"
    shown = subprocess.run(
        ["wrk", "-t1", "-c16", "-d1s", url], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"(\d+) requests in", shown)
    assert found is not None, shown
    return (sum(process.cpu_times()[:2]) - before) / int(found[1]) * 1e6


def race(framework: str, rounds: int) -> None:
    with ExitStack() as stack:
        servers: dict[str, tuple[psutil.Process, int]] = {}
        for kind in KINDS:
            port = free_port()
            server = subprocess.Popen([sys.executable, __file__, "serve", framework, kind, str(port)])
            stack.callback(server.wait)
            stack.callback(server.terminate)
            wait_for(port)
            servers[kind] = (psutil.Process(server.pid), port)
        figures: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for number in range(rounds):
            # Forwards and backwards in turn: whatever grows or shrinks from round to round weighs on all alike.
            for kind in KINDS if number % 2 else reversed(KINDS):
                figures[kind].append(spent(*servers[kind]))
    for kind, ours in figures.items():
        ratios = [one / bare for one, bare in zip(ours, figures["bare"], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4) if rounds > 1 else ratios * 3
        print(
            f"{framework:10s} {kind:22s} {statistics.median(ours):6.1f} us ({min(ours):.1f}..{max(ours):.1f})"
            f"  {statistics.median(ratios):.3f} ({low:.3f}..{high:.3f}) x bare",
            flush=True,
        )


def main(rounds: int = 9) -> None:
    for framework in FRAMEWORKS:
        race(framework, rounds)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        uvicorn.run(
            application(sys.argv[2], sys.argv[3]),
            port=int(sys.argv[4]),
            log_level="critical",
            access_log=False,
            loop="uvloop",
        )
    else:
        main(*map(int, sys.argv[1:]))
