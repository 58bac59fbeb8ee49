"""Health checks against real servers: Redis, TLS with certificates of every age, and servers that are slow, flap or hang."""

from __future__ import annotations

import asyncio
import datetime as dt
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import trustme
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import create_async_engine

from resilience.core.ports import Status
from resilience.health import HealthRegistry
from resilience.probes.http import HttpProbe
from resilience.probes.redis import RedisProbe
from resilience.probes.service import ServiceProbe
from resilience.probes.sql import AsyncSqlProbe
from resilience.probes.tcp import TcpProbe
from resilience.probes.tls import TlsProbe
from tests import servers
from tests.waiting import PATIENCE

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
DAY = dt.timedelta(days=1)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
FAILED = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


@asynccontextmanager
async def serving(handle: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handle(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the prober hung up, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


@pytest.mark.server("redis-server")
async def test_a_redis_server_is_well_stops_answering_and_goes(tmp_path: Path) -> None:
    health, hasty = HealthRegistry(cache=0), HealthRegistry(cache=0)
    async with servers.redis(tmp_path) as (process, url), Redis.from_url(url) as client:
        health.add_check("redis", RedisProbe(client), timeout=PATIENCE)
        health.add_check("anew", RedisProbe.from_url(url), timeout=PATIENCE)
        hasty.add_check("redis", RedisProbe(client), timeout=0.3)
        report = await health.check_all()
        assert report.overall is Status.HEALTHY
        assert report.checks["redis"].observed["ping_seconds"] > 0
        process.send_signal(signal.SIGSTOP)
        hanging = (await hasty.check_all()).checks["redis"]
        assert (hanging.status, hanging.detail) == (Status.UNHEALTHY, "no answer within 0.3 s")
        process.send_signal(signal.SIGCONT)
        assert (await health.check_all()).overall is Status.HEALTHY
        process.kill()
        await process.wait()
        gone = (await health.check_all()).checks["redis"]
        assert gone.status is Status.UNHEALTHY
        assert gone.last_success is not None


async def test_a_database_in_a_file_is_well_until_its_table_is_missing(tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
    health = HealthRegistry()
    health.add_check("alive", AsyncSqlProbe(engine))
    health.add_check("orders", AsyncSqlProbe(engine, "SELECT 1 FROM orders"), critical=False)
    try:
        report = await health.check_all()
    finally:
        await engine.dispose()
    assert report.overall is Status.DEGRADED
    assert "no such table" in report.checks["orders"].detail


@pytest.mark.parametrize(
    ("left", "status"),
    [
        (90 * DAY, Status.HEALTHY),
        (20 * DAY, Status.DEGRADED),
        (2 * DAY, Status.UNHEALTHY),
        (-DAY, Status.UNHEALTHY),
    ],
)
async def test_a_certificate_is_judged_by_what_is_left_of_it(left: dt.timedelta, status: Status) -> None:
    authority = trustme.CA()
    now = dt.datetime.now(dt.UTC)
    issued = authority.issue_cert("shop.example", not_before=now - 60 * DAY, not_after=now + left)
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    issued.configure_cert(server)
    authority.configure_trust(client)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    health = HealthRegistry()
    async with serving(silent, server) as port:
        for name, context in (("shop.example", client), ("other.example", client), ("shop.example", None)):
            label = f"{name} {context is None}"
            health.add_check(label, TlsProbe("127.0.0.1", port, server_name=name, context=context))
        found = (await health.check_all()).checks
    assert found["shop.example False"].status is status
    if left > dt.timedelta():
        days = found["shop.example False"].observed["certificate_left_seconds"] / DAY.total_seconds()
        assert days == pytest.approx(left / DAY, abs=0.01)
        assert "valid for" in found["shop.example False"].detail
        assert "not valid for" in found["other.example False"].detail
    else:
        assert "expired" in found["shop.example False"].detail
    assert {found["other.example False"].status, found["shop.example True"].status} == {Status.UNHEALTHY}


async def test_slow_and_hanging_servers_are_told_apart() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.1)
        writer.write(OK)

    async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    health = HealthRegistry(cache=0)
    async with serving(slow) as slow_port, serving(hanging) as hanging_port:
        health.add_check("slow", HttpProbe(f"http://127.0.0.1:{slow_port}/", degraded_above=0.05))
        health.add_check("repeated", ServiceProbe(f"http://127.0.0.1:{slow_port}/"), retries=3)
        health.add_check("hanging", HttpProbe(f"http://127.0.0.1:{hanging_port}/"), timeout=0.2)
        health.add_check("accepts", TcpProbe("127.0.0.1", hanging_port))
        reports = [(await health.check_all()).checks for _ in range(6)]
    assert {report["slow"].status for report in reports} == {Status.DEGRADED}
    assert {report["hanging"].status for report in reports} == {Status.UNHEALTHY}
    assert {report["hanging"].detail for report in reports} == {"no answer within 0.2 s"}
    assert {report["accepts"].status for report in reports} == {Status.HEALTHY}
    assert {report["slow"].observed["processing_seconds"] > 0.09 for report in reports} == {True}


async def test_a_server_that_flaps_stays_well_with_hysteresis_and_flaps_without() -> None:
    turns = 0

    async def flapping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turns
        turns += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK if turns % 2 else FAILED)

    async with serving(flapping) as port:
        statuses = []
        for options in ({}, {"failure_threshold": 2}):
            health = HealthRegistry(cache=0)
            health.add_check("server", HttpProbe(f"http://127.0.0.1:{port}/"), **options)
            statuses.append([(await health.check_all()).overall for _ in range(6)])
    assert statuses == [[Status.HEALTHY, Status.UNHEALTHY] * 3, [Status.HEALTHY] * 6]


SERVICE = """
import sys
import uvicorn
from fastapi import FastAPI
from resilience import Reliability
from resilience_middleware import install

app = FastAPI()
install(app, Reliability("shop", shutdown_delay=600))
uvicorn.run(app, fd=int(sys.argv[1]), log_level="critical")
"""


async def test_a_server_that_is_told_to_end_is_not_ready_first_and_ends_its_streams() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVICE, str(listening.fileno()), pass_fds=[listening.fileno()],
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(2 * PATIENCE), aiohttp.ClientSession() as session:
            async with session.get(f"{url}/readyz") as ready:
                assert ready.status == 200
            async with session.get(f"{url}/events") as stream:
                assert await stream.content.readuntil(b"\n\n") == b"retry: 3000\n\n"
                process.terminate()
                assert await stream.content.read() == b""
                async with session.get(f"{url}/readyz") as ready, session.get(f"{url}/livez") as live:
                    assert (ready.status, live.status) == (503, 200)
            process.terminate()  # a second time: at once
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
