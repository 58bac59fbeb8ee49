"""Each probe: what it finds well, what it finds wrong, what it measures."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import namedtuple
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestServer

from resilience.core.clock import ManualClock
from resilience.core.ports import CheckResult, Status
from resilience.errors import ConfigError
from resilience.probes import FunctionProbe, disk, memory
from resilience.probes._levels import Ceiling, Floor
from resilience.probes._thread import InThread
from resilience.probes.disk import DiskProbe
from resilience.probes.dns import DnsProbe
from resilience.probes.http import HttpProbe
from resilience.probes.loop_lag import LoopLagProbe
from resilience.probes.memory import MemoryProbe
from resilience.probes.redis import RedisProbe
from resilience.probes.service import ServiceProbe
from resilience.probes.sql import AsyncSqlProbe, SqlProbe
from resilience.probes.tcp import TcpProbe
from resilience.probes.tls import TlsProbe
from tests.waiting import PATIENCE, until

H, D, U, X = Status.HEALTHY, Status.DEGRADED, Status.UNHEALTHY, Status.UNKNOWN


class SteppingClock(ManualClock):
    """A clock on which everything takes a second."""

    def monotonic(self) -> float:
        self.shift(0.5)
        return super().monotonic()


# -- functions and threads --------------------------------------------------------------------------------------


async def test_functions_of_every_kind_are_called() -> None:
    async def answers() -> bool:
        return False

    class Called:
        async def __call__(self) -> Status:
            return D

    assert (await FunctionProbe(answers).check()).status is U
    assert (await FunctionProbe(Called()).check()).status is D
    assert (await FunctionProbe(lambda: answers()).check()).status is U  # noqa: PLW0108  a plain function that returns a coroutine
    assert (await FunctionProbe(lambda: CheckResult(X, "?")).check()) == CheckResult(X, "?")
    with pytest.raises(TypeError, match="got str"):
        await FunctionProbe(lambda: "fine").check()  # type: ignore[arg-type, return-value]  # on purpose
    with pytest.raises(ConfigError, match="check must be a function"):
        FunctionProbe("fine")  # type: ignore[arg-type]  # on purpose


async def test_a_plain_function_does_not_block_the_loop() -> None:
    names = []
    await FunctionProbe(lambda: names.append(threading.current_thread())).check()
    assert names[0] is not threading.main_thread()
    assert names[0].daemon


async def test_what_a_thread_raises_is_raised() -> None:
    def fail() -> None:
        raise ValueError("no")

    thread = InThread()
    with pytest.raises(ValueError, match="no"):
        await thread.run(fail)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await thread.run(lambda: next(iter(())))
    assert await thread.run(lambda: 7) == 7


async def test_a_thread_that_hangs_is_left_behind_and_no_other_is_started() -> None:
    thread, release, runs = InThread(), threading.Event(), []

    def hang() -> None:
        runs.append(1)
        release.wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await thread.run(hang)
    with pytest.raises(TimeoutError, match="an earlier look has not ended yet"):
        await thread.run(hang)
    release.set()
    await until(lambda: not thread._busy)
    assert await thread.run(lambda: 7) == 7
    assert runs == [1]


def test_a_thread_that_outlives_its_loop_is_no_error() -> None:
    thread, release = InThread(), threading.Event()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await thread.run(release.wait)

    asyncio.run(give_up())
    release.set()
    for each in threading.enumerate():
        if each.name == "resilience probe":
            each.join(PATIENCE)
    assert not thread._busy


# -- the machine ------------------------------------------------------------------------------------------------

Usage = namedtuple("Usage", "total used free")  # noqa: PYI024  as shutil has it


@pytest.mark.parametrize(("used", "status"), [(50, H), (85, H), (86, D), (96, U)])
async def test_a_disk_is_judged_by_what_is_used_of_what_may_be(
    used: int, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: Usage(105, used, 100 - used))
    found = await DiskProbe("/data").check()
    assert (found.status, found.detail, found.observed["used_ratio"]) == (status, f"{used}% used", used / 100)


async def test_a_path_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await DiskProbe("/no/such/path").check()


@pytest.mark.parametrize(("limit", "status"), [(None, H), (1, U), (10**18, H)])
async def test_memory_is_judged_by_the_tighter_limit(
    limit: int | None, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "memory_limit", lambda: limit)
    found = await MemoryProbe(degraded_above=1, unhealthy_above=1).check()
    assert found.status is status
    assert ("control group" in found.detail) == (limit == 1)


async def test_a_loop_that_is_late_is_found() -> None:
    clock = ManualClock()
    clock.sleep = late(clock, 0.01)  # type: ignore[method-assign]  # a loop that is as late as it is told
    assert (await LoopLagProbe(clock=clock).check()).status is H
    clock.sleep = late(clock, 0.31)  # type: ignore[method-assign]  # as above
    found = await LoopLagProbe(clock=clock).check()
    assert (found.status, found.detail) == (D, "300 ms late")
    clock.sleep = late(clock, 2)  # type: ignore[method-assign]  # as above
    assert (await LoopLagProbe(clock=clock).check()).status is U


def late(clock: ManualClock, seconds: float) -> Any:
    async def sleep(_: float) -> None:
        clock.shift(seconds)

    return sleep


@pytest.mark.parametrize(("made", "says"), [
    (lambda: Ceiling(0.9, 0.8), "degraded_above must be at most unhealthy_above"),
    (lambda: Ceiling(-1, 0.8), "degraded_above"),
    (lambda: Floor(1, 2), "degraded_below must be at least unhealthy_below"),
    (lambda: Floor(1, -2), "unhealthy_below"),
    (lambda: TcpProbe("", 80), "host"),
    (lambda: TcpProbe("h", 0), "port"),
    (lambda: TcpProbe("h", 80, degraded_above=0), "degraded_above"),
    (lambda: DnsProbe("" ), "name"),
    (lambda: DnsProbe("h", expected=[""]), "expected"),
    (lambda: TlsProbe("h", 70_000), "port"),
    (lambda: TlsProbe("h", server_name=""), "server_name"),
    (lambda: DiskProbe(""), "path"),
    (lambda: HttpProbe("ftp://h"), "url"),
    (lambda: HttpProbe("http://h", method="get"), "method"),
    (lambda: HttpProbe("http://h", contains=""), "contains"),
    (lambda: HttpProbe("http://h", max_body=-1), "max_body"),
    (lambda: SqlProbe("db"), "connect"),  # type: ignore[arg-type]  # on purpose
    (lambda: SqlProbe(dict, ""), "query"),
])  # fmt: skip
def test_options_that_cannot_be_meant_are_refused(made: Callable[[], object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        made()


def test_floors_and_ceilings_hold_at_their_edges() -> None:
    floor = Floor(10, 5)
    assert [floor.status(figure) for figure in (10, 9.9, 5, 4.9)] == [H, D, D, U]


# -- the network ------------------------------------------------------------------------------------------------


async def test_a_name_is_resolved_and_compared() -> None:
    found = await DnsProbe("127.0.0.1", expected=["127.0.0.1"]).check()
    assert (found.status, found.observed["addresses"]) == (H, 1.0)
    wrong = await DnsProbe("127.0.0.1", expected=["192.0.2.1"]).check()
    assert (wrong.status, wrong.detail) == (U, "127.0.0.1 does not resolve to 192.0.2.1")
    assert (await DnsProbe("127.0.0.1", degraded_above=0.1, clock=SteppingClock()).check()).status is D


@asynccontextmanager
async def served(answer: Callable[[web.Request], web.StreamResponse]) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return answer(request)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handle)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


async def test_a_url_is_judged_by_status_and_content_and_timed_by_phase() -> None:
    def answer(request: web.Request) -> web.Response:
        if request.path == "/moved":
            raise web.HTTPFound("/")
        return web.Response(
            text=f"{request.method} cart: {request.headers.get('X-Key')}",
            status=int(request.query.get("s", 200)),
        )

    async with served(answer) as url:
        found = await HttpProbe(url, contains="cart: 7", headers={"X-Key": "7"}).check()
        assert (found.status, found.detail) == (H, "answered 200")
        assert found.observed.keys() >= {
            "connect_seconds",
            "processing_seconds",
            "transfer_seconds",
            "total_seconds",
        }
        assert sum(v for k, v in found.observed.items() if k != "total_seconds") == pytest.approx(
            found.observed["total_seconds"]
        )
        assert (
            await HttpProbe(url, contains="nothing").check()
        ).detail == "the body does not hold what it should"
        assert (await HttpProbe(f"{url}?s=503").check()).status is U
        assert (await HttpProbe(f"{url}?s=404", statuses=[404]).check()).status is H
        assert (await HttpProbe(f"{url}moved").check()).detail == "answered 302"
        assert (await HttpProbe(f"{url}moved", redirects=True).check()).status is H
        assert (await HttpProbe(url, method="POST", data=b"x", contains="POST").check()).status is H
        assert (await HttpProbe(url, contains="cart", max_body=3).check()).status is U
        assert (await HttpProbe(url, degraded_above=0.1, clock=SteppingClock()).check()).status is D
    with pytest.raises(ClientError):
        await HttpProbe(url).check()


def test_a_url_is_not_shown() -> None:
    probe = HttpProbe("https://u:S3CRET@h/S3CRET")
    assert "S3CRET" not in repr(vars(probe)) + repr(probe)


@pytest.mark.parametrize(("body", "code", "status"), [
    ('{"status": "pass"}', 200, H),
    ('{"status": "UP"}', 200, H),
    ('{"status": "warn"}', 200, D),
    ('{"status": "fail"}', 503, U),
    ('{"status": "OUT_OF_SERVICE"}', 503, U),
    ('{"overall": "degraded"}', 200, D),
    ('{"overall": "unknown"}', 503, X),
    ('{"status": "pass"}', 503, U),
    ("Healthy", 200, H),
    ("Unhealthy", 503, U),
    ("<html>", 200, H),
    ("<html>", 500, U),
    ("[]", 200, H),
    ('{"status": 7}', 200, H),
])  # fmt: skip
async def test_another_service_is_believed(body: str, code: int, status: Status) -> None:
    async with served(lambda request: web.Response(text=body, status=code)) as url:
        assert (await ServiceProbe(url).check()).status is status


async def test_a_port_is_open_or_not() -> None:
    async with served(lambda request: web.Response()) as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        found = await TcpProbe("127.0.0.1", port).check()
        assert (found.status, list(found.observed)) == (H, ["connect_seconds"])
        assert (
            await TcpProbe("127.0.0.1", port, degraded_above=0.1, clock=SteppingClock()).check()
        ).status is D
    with pytest.raises(OSError, match="onnect"):
        await TcpProbe("127.0.0.1", port).check()


# -- stores -----------------------------------------------------------------------------------------------------


async def test_redis_is_pinged() -> None:
    class Client:
        def __init__(self, answer: bool) -> None:
            self.answer = answer

        async def ping(self) -> bool:
            return self.answer

    assert (await RedisProbe(Client(True)).check()).status is H
    assert (await RedisProbe(Client(True), degraded_above=0.1, clock=SteppingClock()).check()).status is D
    assert (await RedisProbe(Client(False)).check()).detail == "PING was answered False"


async def test_a_database_is_asked_on_a_connection_that_is_closed_again() -> None:
    made: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        made.append(sqlite3.connect(":memory:", check_same_thread=False))
        return made[-1]

    assert (await SqlProbe(connect).check()).status is H
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await SqlProbe(connect, "SELECT * FROM orders").check()
    for each in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            each.cursor()


async def test_an_engine_is_asked_through_its_pool() -> None:
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415  only here
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415  only here

    engine = create_async_engine("sqlite+aiosqlite://")
    try:
        assert (await AsyncSqlProbe(engine).check()).status is H
        assert (await AsyncSqlProbe(engine, degraded_above=0.1, clock=SteppingClock()).check()).status is D
        with pytest.raises(OperationalError):
            await AsyncSqlProbe(engine, "SELECT * FROM orders").check()
    finally:
        await engine.dispose()
