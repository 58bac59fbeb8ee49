"""The rules of a guarded call, the same for the session, the middleware and the transport, against a real server."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from email.utils import format_datetime
from typing import Any, Protocol

import aiohttp
import httpx
import httpx2
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry import propagate
from opentelemetry.sdk.trace import TracerProvider

from resilience.core.clock import ManualClock
from resilience.core.deadline import timeout as deadline
from resilience.core.ports import Cancellable
from resilience.core.window import CountWindow
from resilience.errors import CircuitOpen, ConfigError, DeadlinePassed, TimeoutExceeded
from resilience.policies.backoff import Exponential
from resilience.policies.hedge import Hedge
from resilience.policies.nap import Nap
from resilience.policies.presets import API_CALLS, Layer, Preset
from resilience.policies.retry_switch import retries_without_waiting
from resilience.reliability import Reliability
from resilience_middleware import httpx as over_httpx
from resilience_middleware import httpx2 as over_httpx2
from resilience_middleware.aiohttp import ResilientMiddleware, ResilientSession
from tests.waiting import PATIENCE, until

PATIENT = API_CALLS.changed(
    timeout={"seconds": 10_000.0},
    attempt_timeout={"seconds": 10_000.0},
    retry={"backoff": Exponential(0.001)},
    circuit_breaker={"window": CountWindow(10), "minimum_calls": 10},
)


class Impatient(ManualClock):
    """A manual clock that moves to the end of each wait of a policy, and notes how long the wait was."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    def call_at(self, when: float, callback: Callable[[], object]) -> Cancellable:
        timer = super().call_at(when, callback)
        if isinstance(getattr(callback, "__self__", None), Nap):
            self.slept.append(round(when - self.monotonic(), 9))
            asyncio.get_running_loop().call_soon(self._move_to, when)
        return timer

    def _move_to(self, when: float) -> None:
        while self.monotonic() < when:  # a difference is rounded
            self.shift(max(when - self.monotonic(), 1e-9))


class Client(Protocol):
    """What the three have in common, for the tests."""

    async def send(self, method: str, url: Any, **options: Any) -> tuple[int, bytes]: ...
    def hold(self, url: Any) -> AbstractAsyncContextManager[None]: ...


class OfAiohttp:
    def __init__(self, session: Any) -> None:
        self.session = session

    async def send(self, method: str, url: Any, **options: Any) -> tuple[int, bytes]:
        async with self.session.request(method, url, **options) as response:
            return response.status, await response.read()

    @asynccontextmanager
    async def hold(self, url: Any) -> AsyncIterator[None]:
        async with self.session.get(url):
            yield


class OfHttpx:
    def __init__(self, client: Any) -> None:
        self.client = client

    async def send(self, method: str, url: Any, **options: Any) -> tuple[int, bytes]:
        if "data" in options:
            options["content"] = options.pop("data")
        response = await self.client.request(method, str(url), **options)
        return response.status_code, response.content

    @asynccontextmanager
    async def hold(self, url: Any) -> AsyncIterator[None]:
        async with self.client.stream("GET", str(url)):
            yield


@asynccontextmanager
async def session_of(
    rel: Reliability, preset: Preset, pool: int = 1, **options: Any
) -> AsyncIterator[Client]:
    async with ResilientSession(
        rel, preset=preset, connector=aiohttp.TCPConnector(limit=pool), **options
    ) as session:
        yield OfAiohttp(session)


@asynccontextmanager
async def middleware_of(
    rel: Reliability, preset: Preset, pool: int = 1, **options: Any
) -> AsyncIterator[Client]:
    connector = aiohttp.TCPConnector(limit=pool)
    middlewares = [ResilientMiddleware(rel, preset=preset, **options)]
    async with aiohttp.ClientSession(connector=connector, middlewares=middlewares) as session:
        yield OfAiohttp(session)


@asynccontextmanager
async def httpx_of(rel: Reliability, preset: Preset, pool: int = 1, **options: Any) -> AsyncIterator[Client]:
    inner = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=pool))
    transport = over_httpx.ResilientTransport(rel, inner, preset=preset, **options)
    async with httpx.AsyncClient(transport=transport, timeout=PATIENCE) as client:
        yield OfHttpx(client)


@asynccontextmanager
async def httpx2_of(rel: Reliability, preset: Preset, pool: int = 1, **options: Any) -> AsyncIterator[Client]:
    inner = httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=pool))
    transport = over_httpx2.ResilientTransport(rel, inner, preset=preset, **options)
    async with httpx2.AsyncClient(transport=transport, timeout=PATIENCE) as client:
        yield OfHttpx(client)


@pytest.fixture(params=[session_of, middleware_of, httpx_of, httpx2_of])
def client_of(request: pytest.FixtureRequest) -> Any:
    return request.param


class Upstream:
    """Answers with the statuses it is told, one after the other, then with 200; keeps what it was sent."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}
        self.content = b"content"
        self.bodies: list[bytes] = []
        self.seen: list[Any] = []
        self.gate = asyncio.Event()
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/", self.answer)
        app.router.add_get("/half", self.half)
        app.router.add_route("*", "/never", self.never)
        self.server = TestServer(app)

    @property
    def url(self) -> Any:
        return self.server.make_url("/")

    async def answer(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.seen.append(request.headers)
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, body=self.content, headers=self.headers if status != 200 else {})

    async def half(self, request: web.Request) -> web.StreamResponse:
        """Send the headers, and the body not before the gate is open."""
        response = web.StreamResponse()
        await response.prepare(request)
        await self.gate.wait()
        return response

    async def never(self, request: web.Request) -> web.Response:
        """Answer a first request not before the gate is open."""
        self.seen.append(request.headers)
        if len(self.seen) == 1:
            await self.gate.wait()
        return web.Response(body=b"second")


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    await upstream.server.start_server()
    yield upstream
    upstream.gate.set()
    await upstream.server.close()


def counted(rel: Reliability) -> dict[tuple[str, ...], float]:
    instrument: Any = rel.signals.find("client_requests_total")
    return {key: series.current for key, series in instrument.items()}


async def test_a_pool_of_one_gets_past_failed_answers_of_8_mib(client_of: Any, upstream: Upstream) -> None:
    upstream.statuses, upstream.content = [503, 503], bytes(8 << 20)
    async with asyncio.timeout(PATIENCE), client_of(Reliability("tests"), PATIENT) as client:
        with retries_without_waiting():
            status, body = await client.send("GET", upstream.url)
    assert (status, len(body)) == (200, 8 << 20)


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_retry_waits_as_long_as_the_answer_asks(
    client_of: Any, upstream: Upstream, form: str
) -> None:
    clock = Impatient()
    later = dt.datetime.fromtimestamp(clock.time() + 50, dt.UTC)
    upstream.statuses = [503]
    upstream.headers = {"Retry-After": "7" if form == "seconds" else format_datetime(later, usegmt=True)}
    async with client_of(Reliability("tests", clock=clock), PATIENT) as client:
        assert (await client.send("GET", upstream.url))[0] == 200
    assert clock.slept == [7.0 if form == "seconds" else 50.0]
    assert len(upstream.seen) == 2


async def test_waiting_for_a_connection_of_the_pool_counts_as_time(
    client_of: Any, upstream: Upstream
) -> None:
    preset = PATIENT.changed(attempt_timeout={"seconds": 0.1}, retry={"attempts": 1})
    slow = PATIENT.changed(retry={"attempts": 1})
    rel = Reliability("tests")
    async with client_of(rel, slow) as client, client.hold(upstream.server.make_url("/half")):
        rel.registry.apply(
            {"attempt_timeout": {"seconds": preset.layers["attempt_timeout"].options["seconds"]}}
        )
        with pytest.raises(TimeoutExceeded):
            await client.send("GET", upstream.url)
        upstream.gate.set()
    assert upstream.seen == []


async def test_nothing_is_sent_when_no_time_is_left_and_nobody_is_blamed(
    client_of: Any, upstream: Upstream, clock: ManualClock
) -> None:
    rel = Reliability("tests")
    async with client_of(rel, PATIENT) as client:

        async def late() -> None:
            async with deadline(2.0, clock=clock):
                clock.shift(2.0)
                for _ in range(20):
                    with pytest.raises(DeadlinePassed, match="not sent"):
                        await client.send("GET", upstream.url)
                await asyncio.sleep(0)  # where the deadline ends the block

        with pytest.raises(TimeoutError):
            await late()
        assert upstream.seen == []
        assert {key[3] for key in counted(rel)} == {"rejected"}
        assert (await client.send("GET", upstream.url))[0] == 200


@pytest.mark.parametrize(("method", "sent"), [("GET", 2), ("POST", 1)])
async def test_a_slow_get_is_hedged_and_a_post_is_not(
    client_of: Any, upstream: Upstream, method: str, sent: int
) -> None:
    preset = Preset({"hedge": Layer(Hedge, {"delay": 0.01})})

    async def open_late() -> None:
        await until(lambda: len(upstream.seen) == sent)
        await asyncio.sleep(0.1)  # time for a hedge that is sent, wrongly
        upstream.gate.set()

    async with client_of(Reliability("tests"), preset, pool=2) as client:
        opened = asyncio.create_task(open_late())
        assert await client.send(method, upstream.server.make_url("/never")) == (200, b"second")
        await opened
    assert len(upstream.seen) == sent


async def test_a_generator_is_sent_once(client_of: Any, upstream: Upstream) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"once"

    upstream.statuses = [503]
    async with client_of(Reliability("tests"), PATIENT) as client:
        assert (await client.send("PUT", upstream.url, data=body()))[0] == 503
        upstream.statuses = [503]
        assert (await client.send("PUT", upstream.url, data=b"again"))[0] == 200
    assert upstream.bodies == [b"once", b"again", b"again"]


async def test_attempts_count_under_their_host_method_and_code(client_of: Any, upstream: Upstream) -> None:
    rel = Reliability("tests")
    upstream.statuses = [503]
    async with client_of(rel, PATIENT) as client:
        with retries_without_waiting():
            await client.send("GET", upstream.url)
        await client.send("PROPFIND", upstream.url)
    host = f"http://127.0.0.1:{upstream.server.port}"
    assert counted(rel) == {
        ("http", host, "GET", "503"): 1.0,
        ("http", host, "GET", "200"): 1.0,
        ("http", host, "_OTHER", "200"): 1.0,
    }


async def test_the_trace_of_the_application_goes_on_and_a_header_of_its_own_stays(
    client_of: Any, upstream: Upstream
) -> None:
    assert propagate is not None  # loaded: the application traces
    tracer = TracerProvider().get_tracer("tests")
    async with client_of(Reliability("tests"), PATIENT) as client:
        with tracer.start_as_current_span("order") as span:
            await client.send("GET", upstream.url)
        own = f"00-{'4b' * 16}-{'01' * 8}-01"
        await client.send("GET", upstream.url, headers={"traceparent": own})
    first, second = upstream.seen
    assert format(span.get_span_context().trace_id, "032x") in first["traceparent"]
    assert second["traceparent"] == own


async def test_a_cancelled_call_is_neither_repeated_nor_held_against_the_host(
    client_of: Any, upstream: Upstream
) -> None:
    rel = Reliability("tests")
    async with client_of(rel, PATIENT) as client:
        task = asyncio.create_task(client.send("GET", upstream.server.make_url("/never")))
        await until(lambda: len(upstream.seen) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [key[3] for key in counted(rel)] == ["cancelled"]
    assert len(upstream.seen) == 1


async def test_five_hundreds_open_the_breaker_and_four_hundreds_do_not(
    client_of: Any, upstream: Upstream
) -> None:
    async with client_of(Reliability("tests"), PATIENT) as client:
        upstream.statuses = [404] * 20 + [500] * 5
        for _ in range(25):
            await client.send("GET", upstream.url)
        with pytest.raises(CircuitOpen):
            await client.send("GET", upstream.url)
    assert len(upstream.seen) == 25


@pytest.mark.parametrize(
    ("options", "failed", "sent"),
    [
        ({}, 429, 1),
        ({"retry_unprocessed": True}, 429, 2),
        ({"retry_unprocessed": True}, 503, 2),
        ({"retry_unprocessed": True}, 502, 1),
        ({"retry_methods": ["post"]}, 502, 2),
    ],
)
async def test_a_post_is_repeated_as_far_as_the_options_allow(
    client_of: Any, upstream: Upstream, options: dict[str, Any], failed: int, sent: int
) -> None:
    upstream.statuses, upstream.headers = [failed], {"Retry-After": "0"}
    async with client_of(Reliability("tests"), PATIENT, **options) as client:
        status, _ = await client.send("POST", upstream.url, data=b"once")
    assert status == (200 if sent == 2 else failed)
    assert upstream.bodies == [b"once"] * sent


async def test_an_unavailable_host_that_names_no_time_may_have_processed_the_post(
    client_of: Any, upstream: Upstream
) -> None:
    upstream.statuses = [503]
    async with client_of(Reliability("tests"), PATIENT, retry_unprocessed=True) as client:
        assert (await client.send("POST", upstream.url, data=b"once"))[0] == 503


async def test_an_unprocessed_post_whose_body_is_spent_is_not_repeated(
    client_of: Any, upstream: Upstream
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"once"

    upstream.statuses = [429]
    async with client_of(Reliability("tests"), PATIENT, retry_unprocessed=True) as client:
        assert (await client.send("POST", upstream.url, data=body()))[0] == 429
    assert upstream.bodies == [b"once"]


async def test_methods_left_out_are_not_repeated(client_of: Any, upstream: Upstream) -> None:
    upstream.statuses = [503]
    async with client_of(Reliability("tests"), PATIENT, retry_methods=["GET"]) as client:
        assert (await client.send("PUT", upstream.url, data=b"once"))[0] == 503


@pytest.mark.parametrize("given", ["GET", 5, [5]])
async def test_methods_that_are_no_collection_of_names_are_refused(client_of: Any, given: Any) -> None:
    with pytest.raises(ConfigError, match="retry_methods"):
        async with client_of(Reliability("tests"), PATIENT, retry_methods=given):
            pass
