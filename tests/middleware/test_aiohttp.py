"""The guarded session against real aiohttp servers on loopback."""

from __future__ import annotations

import asyncio
import io
import math
import pathlib
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.window import CountWindow
from resilience.errors import CircuitOpen, ConfigError
from resilience.policies.backoff import Exponential
from resilience.policies.fallback import Fallback
from resilience.policies.hedge import Hedge
from resilience.policies.presets import API_CALLS, Layer, Preset
from resilience_middleware.aiohttp import ResilientMiddleware, ResilientSession, _keys
from tests.waiting import PATIENCE

FAST = API_CALLS.changed(
    retry={"backoff": Exponential(0.001)}, circuit_breaker={"window": CountWindow(10), "minimum_calls": 10}
)


class Rel:
    """The Reliability's side that the session uses."""

    def __init__(self) -> None:
        self.clock = SYSTEM_CLOCK
        self.sli = self
        self.seen = []
        self.pipelines = {}

    def client_series(self, client: Any, host: Any, method: Any, code: Any, verdict: Any) -> Any:
        def finish(seconds: Any) -> None:
            self.seen.append((client, method, int(code or 0), verdict.value))

        return SimpleNamespace(finish=finish, fastest=math.inf, values=[], columns=(0, 0))

    def pipeline(self, name: Any, preset: Any) -> Any:
        return self.pipelines.setdefault(name, preset.pipeline(name))


class Upstream:
    """Answers with the statuses it is told, one after the other, then with 200; keeps what it was sent."""

    def __init__(self) -> None:
        self.statuses = []
        self.bodies = []
        self.headers = {}
        self.seen = []
        self.content = b"content"
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{tail:.*}", self.answer)
        self.server = TestServer(app)

    async def answer(self, request: Any) -> Any:
        self.bodies.append(await request.read())
        self.seen.append(request.headers)
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, body=self.content, headers=self.headers)

    def url(self, path: Any = "/") -> Any:
        return self.server.make_url(path)


@pytest.fixture
async def upstream() -> Any:
    upstream = Upstream()
    await upstream.server.start_server()
    yield upstream
    await upstream.server.close()


@pytest.fixture
def real() -> Any:
    return Rel()


@pytest.fixture
async def session(real: Any) -> Any:
    async with ResilientSession(real, preset=FAST) as session:
        yield session


async def test_the_third_example_of_day_one(session: Any, upstream: Any, real: Any) -> None:
    async with session.get(upstream.url()) as response:
        assert await response.read() == b"content"
    assert real.seen == [("http", "GET", 200, "success")]


async def test_a_call_can_be_awaited_as_aiohttps_own(session: Any, upstream: Any) -> None:
    response = await session.get(upstream.url(), params={"a": "b"})
    assert response.url.query == {"a": "b"}
    assert await response.text() == "content"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_statuses_that_say_later_are_tried_again(
    session: Any, upstream: Any, real: Any, status: Any
) -> None:
    upstream.statuses = [status, status]
    async with session.get(upstream.url()) as response:
        assert response.status == 200
    assert [seen[2] for seen in real.seen] == [status, status, 200]


@pytest.mark.parametrize("status", [400, 404, 500, 501])
async def test_other_statuses_are_not(session: Any, upstream: Any, real: Any, status: Any) -> None:
    upstream.statuses = [status]
    async with session.get(upstream.url()) as response:
        assert response.status == status
    assert len(real.seen) == 1


async def test_the_last_answer_is_returned_and_can_be_read(session: Any, upstream: Any) -> None:
    upstream.statuses = [503] * 3
    async with session.get(upstream.url()) as response:
        assert (response.status, await response.read()) == (503, b"content")


async def test_a_post_is_not_repeated_but_with_a_key(session: Any, upstream: Any) -> None:
    upstream.statuses = [503]
    async with session.post(upstream.url(), data=b"x") as response:
        assert response.status == 503
    upstream.statuses = [503]
    async with session.post(upstream.url(), data=b"x", headers={"idempotency-key": "k"}) as response:
        assert response.status == 200
    assert upstream.bodies == [b"x", b"x", b"x"]


def form() -> Any:
    data = aiohttp.FormData()
    data.add_field("file", io.BytesIO(b"in the form"), filename="a.txt")
    return data


@pytest.mark.parametrize("body", [b"bytes", "text", {"a": "b"}, io.BytesIO(b"file"), form])
async def test_bodies_that_can_be_sent_again_are_sent_whole(session: Any, upstream: Any, body: Any) -> None:
    upstream.statuses = [503]
    async with session.put(upstream.url(), data=body() if callable(body) else body) as response:
        assert response.status == 200
    first, second = upstream.bodies
    assert first == second != b""


async def test_a_file_is_sent_from_where_it_stood(
    session: Any, upstream: Any, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    upstream.statuses = [503]
    with path.open("rb") as file:
        file.seek(5)
        async with session.put(upstream.url(), data=file):
            pass
    assert upstream.bodies == [b"56789", b"56789"]


async def test_json_is_sent_again(session: Any, upstream: Any) -> None:
    upstream.statuses = [503]
    async with session.put(upstream.url(), json={"a": 1}):
        pass
    assert upstream.bodies == [b'{"a": 1}'] * 2


async def test_a_refused_connection_is_tried_again_and_raised(
    session: Any, real: Any, refusing_port: Any
) -> None:
    with pytest.raises(aiohttp.ClientConnectorError):
        await session.get(f"http://127.0.0.1:{refusing_port}/")
    assert real.seen == [("http", "GET", 0, "failure")] * 3


async def test_each_host_has_a_breaker_of_its_own(session: Any, real: Any, upstream: Any, other: Any) -> None:
    upstream.statuses = [500] * 10
    for _ in range(10):
        async with session.get(upstream.url()):
            pass
    with pytest.raises(CircuitOpen):
        await session.get(upstream.url())
    async with session.get(other.url()) as response:
        assert response.status == 200
    assert len(real.pipelines) == 2


async def test_raise_for_status_sessions_raise_after_the_last_attempt(real: Any, upstream: Any) -> None:
    async with ResilientSession(real, preset=FAST, raise_for_status=True) as session:
        upstream.statuses = [503]
        assert (await session.get(upstream.url())).status == 200
        upstream.statuses = [503] * 3
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await session.get(upstream.url())
        assert caught.value.status == 503
        upstream.statuses = [404]
        assert (await session.get(upstream.url(), raise_for_status=False)).status == 404


async def test_raise_for_status_can_be_a_function(real: Any, upstream: Any) -> None:
    async def check(response: Any) -> None:
        raise LookupError(response.status)

    async with ResilientSession(real, preset=FAST, raise_for_status=check) as session:
        with pytest.raises(LookupError):
            await session.get(upstream.url())


async def test_a_session_that_was_given_stays_open(real: Any, upstream: Any) -> None:
    async with aiohttp.ClientSession(base_url=upstream.url()) as inner:
        async with ResilientSession(real, inner) as session, session.get("/x") as response:
            assert response.status == 200
        assert not inner.closed
    assert list(real.pipelines) == [f"http http://127.0.0.1:{upstream.server.port}"]


async def test_a_session_and_options_for_one_is_refused(real: Any) -> None:
    async with aiohttp.ClientSession() as inner:
        with pytest.raises(ConfigError, match="headers"):
            ResilientSession(real, inner, headers={})


async def test_a_head_request_follows_no_redirect(session: Any, upstream: Any) -> None:
    upstream.statuses, upstream.headers = [302], {"Location": "/"}
    async with session.head(upstream.url()) as response:
        assert response.status == 302


@pytest.fixture
async def other() -> Any:
    other = Upstream()
    await other.server.start_server()
    yield other
    await other.server.close()


async def test_each_hop_of_a_redirect_is_judged_by_its_own_hosts_breaker(
    session: Any, upstream: Any, other: Any
) -> None:
    upstream.headers = {"Location": str(other.url())}
    upstream.statuses, other.statuses = [302] * 50, [500] * 50
    for _ in range(10):
        async with session.get(upstream.url()) as response:
            assert response.status == 500
            assert [hop.status for hop in response.history] == [302]
    with pytest.raises(CircuitOpen):
        await session.get(upstream.url())
    assert len(other.bodies) == 10
    assert len(upstream.bodies) == 11
    upstream.statuses = []
    async with session.get(upstream.url()) as response:
        assert response.status == 200


async def test_a_hop_that_cannot_be_reached_is_not_the_first_hosts_fault(
    session: Any, upstream: Any, refusing_port: Any
) -> None:
    upstream.headers = {"Location": f"http://127.0.0.1:{refusing_port}/"}
    upstream.statuses = [302] * 100
    for _ in range(5):
        with pytest.raises((aiohttp.ClientConnectorError, CircuitOpen)):
            await session.post(upstream.url())
    upstream.statuses = []
    async with session.get(upstream.url()) as response:
        assert response.status == 200


async def test_a_redirect_is_one_logical_call(session: Any, upstream: Any, real: Any) -> None:
    upstream.headers = {"Location": "/there"}
    upstream.statuses = [302, 503, 302]
    async with session.get(upstream.url()) as response:
        assert response.status == 200
    assert [seen[2] for seen in real.seen] == [503, 200]


async def test_what_is_left_is_sent_along(session: Any, upstream: Any) -> None:
    async with session.get(upstream.url()):
        pass
    assert 0 < int(upstream.seen[0]["X-Request-Deadline"].removesuffix("m")) <= 3_000


async def test_own_middlewares_of_a_session_stay(real: Any, upstream: Any) -> None:
    seen = []

    async def own(request: Any, handler: Any) -> Any:
        seen.append(request.method)
        return await handler(request)

    async with ResilientSession(real, preset=FAST, middlewares=[own]) as session:
        async with session.get(upstream.url()):
            pass
        async with session.get(upstream.url(), middlewares=()):
            pass
    assert seen == ["GET"]


async def test_the_same_as_a_middleware_of_a_session(real: Any, upstream: Any) -> None:
    middleware = ResilientMiddleware(real, preset=FAST)
    async with aiohttp.ClientSession(middlewares=[middleware]) as session:
        upstream.statuses = [503, 503]
        async with session.get(upstream.url()) as response:
            assert response.status == 200
        upstream.statuses = [503]
        async with session.put(upstream.url(), data=b"again") as response:
            assert response.status == 200
        upstream.statuses = [503]
        async with session.post(upstream.url(), data=b"x") as response:
            assert response.status == 503
    assert upstream.bodies[-3:] == [b"again", b"again", b"x"]


async def test_a_slow_get_is_hedged_and_the_losers_connection_given_back(real: Any, upstream: Any) -> None:
    first = asyncio.Event()

    async def answer(request: Any) -> Any:
        upstream.seen.append(request.headers)
        if len(upstream.seen) == 1:
            await first.wait()
        return web.Response(body=b"content")

    app = web.Application()
    app.router.add_get("/", answer)
    async with (
        TestServer(app) as server,
        ResilientSession(real, preset=Preset({"hedge": Layer(Hedge, {"delay": 0.01})})) as session,
    ):
        async with session.get(server.make_url("/")) as response:
            assert await response.read() == b"content"
        assert len(upstream.seen) == 2
        assert sorted(seen[3] for seen in real.seen) == ["cancelled", "success"]
        first.set()


async def test_only_the_hosts_that_are_named_are_told_of_the_deadline(
    real: Any, upstream: Any, other: Any
) -> None:
    told = ResilientSession(real, preset=FAST, name="a", deadlines_to=["127.0.0.*"])
    untold = ResilientSession(real, preset=FAST, name="b", deadlines_to=["*.internal"])
    async with told, untold:
        async with told.get(upstream.url()):
            assert "X-Request-Deadline" in upstream.seen[-1]
        async with untold.get(other.url()):
            assert "X-Request-Deadline" not in other.seen[-1]


async def test_the_middleware_in_a_session_that_raises_for_status(real: Any, upstream: Any) -> None:
    middleware = ResilientMiddleware(real, preset=FAST)
    async with aiohttp.ClientSession(middlewares=[middleware], raise_for_status=True) as session:
        upstream.statuses = [503]
        assert (await session.get(upstream.url())).status == 200
        upstream.statuses = [404]
        with pytest.raises(aiohttp.ClientResponseError):
            await session.get(upstream.url())


async def test_a_task_can_be_made_of_a_call_as_of_aiohttps_own(session: Any, upstream: Any) -> None:
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(session.get(upstream.url())) for _ in range(3)]
    for call in calls:
        assert await call.result().read() == b"content"
    never = session.get(upstream.url())
    never.close()
    assert len(upstream.bodies) == 3


async def test_traces_see_every_attempt_as_without_us(real: Any, upstream: Any) -> None:
    seen: list[str] = []
    trace = aiohttp.TraceConfig()
    for signal in (trace.on_request_start, trace.on_request_end, trace.on_request_redirect):

        async def note(session: Any, context: Any, params: Any) -> None:
            seen.append(type(params).__name__)

        signal.append(note)
    upstream.statuses, upstream.headers = [503, 302], {"Location": "/there"}
    async with ResilientSession(real, preset=FAST, trace_configs=[trace]) as session:
        assert (await session.get(upstream.url())).status == 200
    attempt = ["TraceRequestStartParams", "TraceRequestEndParams"]
    assert seen == [*attempt, attempt[0], "TraceRequestRedirectParams", attempt[1]]


@pytest.mark.parametrize("url", ["nonsense", "http://", "ftp://example.org/"])
async def test_a_url_that_cannot_be_meant_is_not_tried_again_nor_held_against_a_host(
    session: Any, real: Any, url: str
) -> None:
    for _ in range(20):
        with pytest.raises((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)):
            await session.get(url)
    assert len(real.seen) == 20


async def test_a_response_that_a_fallback_replaces_is_released(real: Any, upstream: Any) -> None:
    stale = object()
    preset = Preset(
        {"fallback": Layer(Fallback, {"value": stale, "on_result": lambda answer: answer.status == 503})}
    )
    upstream.statuses = [503]
    connector = aiohttp.TCPConnector(limit=1)
    async with (
        asyncio.timeout(PATIENCE),
        ResilientSession(real, preset=preset, connector=connector) as session,
    ):
        assert await session.get(upstream.url()) is stale
        assert (await session.get(upstream.url())).status == 200


@pytest.mark.parametrize("method", ["get", "options", "head", "post", "put", "patch", "delete"])
async def test_each_method_of_aiohttps_session_is_there(session: Any, upstream: Any, method: str) -> None:
    async with getattr(session, method)(upstream.url()) as response:
        assert (response.method, response.status) == (method.upper(), 200)


async def test_a_hop_to_another_host_without_a_breaker_is_just_made(
    real: Any, upstream: Any, other: Any
) -> None:
    upstream.statuses, upstream.headers = [302], {"Location": str(other.url())}
    async with ResilientSession(real, preset=FAST.changed(circuit_breaker=None)) as session:
        assert (await session.get(upstream.url())).status == 200
    assert session.closed
    assert len(other.bodies) == 1


async def test_a_cancelled_task_of_a_call_ends(session: Any, upstream: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        task = asyncio.create_task(session.get(upstream.url()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_a_call_may_be_made_before_a_loop_runs_and_its_session_belongs_to_that_loop(real: Any) -> None:
    session = ResilientSession(real, preset=FAST)
    call = session.get("http://127.0.0.1:1/")

    async def main() -> None:
        with pytest.raises(aiohttp.ClientConnectorError):
            await call
        await session.close()

    asyncio.run(main())


async def test_what_is_no_url_is_refused_when_the_call_is_awaited_as_aiohttp_does(real: Any) -> None:
    async with ResilientSession(real, session=aiohttp.ClientSession(), preset=FAST) as session:
        for wrong in ("http://[", "", "relative/path"):
            call = session.get(wrong)
            with pytest.raises(aiohttp.InvalidURL):
                await call
        await session.session.close()


async def test_ten_thousand_authorities_are_not_all_remembered() -> None:
    for number in range(10_000):
        assert _keys["http", f"{number}.example:80"] == f"http://{number}.example:80"
    assert len(_keys) <= 1_000
    assert _keys["https", "User:pw@[::1]"] == "https://[::1]:443"
