"""The library's own client against real servers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from resilience.errors import CircuitOpen, ConfigError, TimeoutExceeded
from resilience.http.client import GuardedClient
from resilience.policies.retry_switch import retries_without_waiting

SEEN: web.AppKey[list[tuple[str, bytes, dict[str, str]]]] = web.AppKey("seen")


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    statuses: list[int] = []
    app = web.Application()
    app[SEEN] = []

    async def answer(request: web.Request) -> web.Response:
        request.app[SEEN].append((request.method, await request.read(), dict(request.headers)))
        status = statuses.pop(0) if statuses else 200
        return web.json_response({"status": status}, status=status)

    async def program(request: web.Request) -> web.Response:
        statuses[:] = await request.json()
        return web.Response()

    async def hang(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def big(request: web.Request) -> web.Response:
        return web.Response(body=bytes(5_000))

    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound("/answer")

    app.router.add_route("*", "/answer", answer)
    app.router.add_post("/program", program)
    app.router.add_get("/hang", hang)
    app.router.add_get("/big", big)
    app.router.add_get("/away", away)
    server = TestServer(app)
    await server.start_server()
    with retries_without_waiting():
        yield server
    await server.close()


@pytest.fixture
async def client() -> AsyncIterator[GuardedClient]:
    async with GuardedClient(headers={"User-Agent": "tests"}) as client:
        yield client


async def test_an_answer_is_read_whole(client: GuardedClient, server: TestServer) -> None:
    response = await client.post(str(server.make_url("/answer")), json={"a": 1}, headers={"X-A": "b"})
    assert (response.status, response.ok, response.json(), response.truncated) == (
        200,
        True,
        {"status": 200},
        False,
    )
    method, body, headers = server.app[SEEN][0]
    assert (method, body, headers["X-A"], headers["User-Agent"]) == ("POST", b'{"a": 1}', "b", "tests")


async def test_what_says_later_is_tried_again(client: GuardedClient, server: TestServer) -> None:
    await client.post(str(server.make_url("/program")), json=[503, 429])
    assert (await client.get(str(server.make_url("/answer")))).status == 200
    assert len(server.app[SEEN]) == 3


async def test_the_last_answer_is_returned_whatever_it_is(client: GuardedClient, server: TestServer) -> None:
    await client.post(str(server.make_url("/program")), json=[503] * 9)
    assert (await client.get(str(server.make_url("/answer")))).status == 503
    assert len(server.app[SEEN]) == 3


async def test_a_post_is_repeated_only_where_that_is_said(client: GuardedClient, server: TestServer) -> None:
    await client.post(str(server.make_url("/program")), json=[503] * 9)
    await client.post(str(server.make_url("/answer")), data=b"x")
    assert len(server.app[SEEN]) == 1
    await client.post(str(server.make_url("/answer")), data=b"x", idempotent=True)
    assert len(server.app[SEEN]) == 4


async def test_an_attempt_has_its_time(client: GuardedClient, server: TestServer) -> None:
    with pytest.raises(TimeoutExceeded, match=r"127.0.0.1: no answer within 0.01 s"):
        await client.get(str(server.make_url("/hang")), timeout=0.01, idempotent=False)


async def test_a_body_is_cut(server: TestServer) -> None:
    async with GuardedClient(max_body=1_000) as client:
        response = await client.get(str(server.make_url("/big")))
    assert (len(response.body), response.truncated) == (1_000, True)


async def test_redirects_are_followed_only_when_asked(client: GuardedClient, server: TestServer) -> None:
    assert (await client.get(str(server.make_url("/away")))).status == 302
    followed = await client.get(str(server.make_url("/away")), redirects=True)
    assert (followed.status, followed.url) == (200, str(server.make_url("/answer")))


async def test_a_host_that_fails_is_left_alone(client: GuardedClient, refusing_port: int) -> None:
    for _ in range(20):
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get(f"http://127.0.0.1:{refusing_port}/", idempotent=False)
    with pytest.raises(CircuitOpen):
        await client.get(f"http://127.0.0.1:{refusing_port}/")


async def test_it_can_be_used_again_after_close(client: GuardedClient, server: TestServer) -> None:
    await client.close()
    assert (await client.get(str(server.make_url("/answer")))).ok


@pytest.mark.parametrize("options", [{"timeout": 0}, {"attempts": 0}, {"max_body": -1}, {"max_body": True}])
def test_nonsense_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        GuardedClient(**options)  # type: ignore[arg-type]  # that is the test
