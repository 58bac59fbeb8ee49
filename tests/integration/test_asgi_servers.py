"""The middleware behind the servers of the field: uploads arrive whole, and clients that leave are noticed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from resilience.reliability import Reliability
from resilience_middleware.asgi import ResilienceMiddleware
from tests.servers import Served, asgi_server
from tests.waiting import until

CHUNK = b"x" * 10_000
CHUNKS = 300
LATE = 0.2  # seconds after which the middleware wants to know whether the client is still there

APP = '''
import asyncio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from resilience.reliability import Reliability
from resilience_middleware import install

rel = Reliability("shop")


class Early:
    """Begins its answer before it reads."""

    def __init__(self, app):
        pass

    async def __call__(self, scope, receive, send):
        await asyncio.sleep(0.2)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": str(size).encode()})


async def refused(request):
    await asyncio.sleep(0.2)
    return Response(status_code=401)


async def slow(request):
    await asyncio.sleep(0.2)
    entered.set()
    await leave.wait()
    return PlainTextResponse("ok")


entered, leave = asyncio.Event(), asyncio.Event()


async def wait(request):
    await entered.wait()
    return PlainTextResponse("entered")


async def release(request):
    leave.set()
    return PlainTextResponse("released")


app = Starlette(
    routes=[
        Route("/early", Early(None), methods=["POST"]),
        Route("/refused", refused, methods=["POST"]),
        Route("/slow", slow),
        Route("/wait", wait),
        Route("/release", release),
    ]
)
install(app, rel)
'''

SERVERS = ("uvicorn", "hypercorn", "granian")
OF_HTTP2 = ("hypercorn", "granian")
CONTINUING_ON_READ = ("uvicorn", "granian")  # hypercorn sends `100 Continue` for every request by itself


@pytest.fixture(scope="module", params=SERVERS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "service.py").write_text(APP)
    with asgi_server(request.param, "service:app", folder) as started:
        yield started


async def slowly(chunks: int = CHUNKS) -> AsyncIterator[bytes]:
    for number in range(chunks):
        if number % 30 == 0:
            await asyncio.sleep(LATE / 5)  # the answer begins in the middle of the body
        yield CHUNK


async def counted(client: httpx.AsyncClient, route: str) -> set[str]:
    """The codes that requests of a route were counted with."""
    metrics = (await client.get("/metrics")).text
    lines = [line for line in metrics.splitlines() if line.startswith("http_requests_total{")]
    return {
        match[1]
        for line in lines
        if f'route="{route}"' in line and (match := re.search(r'code="(\d+)"', line)) is not None
    }


@pytest.mark.parametrize(
    "head", [{}, {"content-length": str(len(CHUNK) * CHUNKS)}], ids=["chunked", "length"]
)
async def test_an_answer_that_begins_late_loses_nothing_of_an_upload(
    served: Served, head: dict[str, str]
) -> None:
    async with httpx.AsyncClient(base_url=served.url, timeout=60) as client:
        answer = await client.post("/early", content=slowly(), headers=head)
    assert answer.text == str(len(CHUNK) * CHUNKS)


@pytest.mark.parametrize("served", OF_HTTP2, indirect=True)
async def test_over_http2_nothing_of_an_upload_is_lost_either(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.url, timeout=60, http1=False, http2=True) as client:
        answer = await client.post("/early", content=slowly())
    assert (answer.http_version, answer.text) == ("HTTP/2", str(len(CHUNK) * CHUNKS))


@pytest.mark.parametrize("served", CONTINUING_ON_READ, indirect=True)
async def test_no_100_continue_is_sent_for_an_endpoint_that_answers_401_without_reading(
    served: Served,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"POST /refused HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
    assert b" 401 " in await reader.readline()
    writer.close()


async def test_a_client_that_leaves_a_slow_handler_is_499(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.url, timeout=60) as client:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: t\r\n\r\n")
        await client.get("/wait")
        writer.close()
        await asyncio.sleep(LATE)  # no server says when it has noticed
        await client.get("/release")

        async def codes() -> Any:
            return await counted(client, "/slow")

        assert await until(codes) == {"499"}


async def test_httpx_transport_hands_a_generator_s_body_over_whole() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(LATE)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": str(size).encode()})

    rel = Reliability("shop")
    transport = httpx.ASGITransport(ResilienceMiddleware(app, rel))
    async with rel, httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        answer = await client.post("/", content=slowly(3))
    assert answer.text == str(3 * len(CHUNK))
