"""Bodies that other servers send, within a limit."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from resilience.http.bodies import read_body
from resilience.http.client import GuardedClient
from resilience.probes.http import HttpProbe

BODIES = {
    "plain": (b"hello", ""),
    "gzip": (gzip.compress(b"hello"), "gzip"),
    "deflate": (zlib.compress(b"hello"), "deflate"),
    "bomb": (gzip.compress(bytes(50_000_000)), "gzip"),
    "cut": (gzip.compress(b"hello" * 1000)[:-20], "gzip"),
    "lie": (b"hello", "gzip"),
    "nothing": (b"", "gzip"),
}


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    async def answer(request: web.Request) -> web.StreamResponse:
        body, encoding = BODIES[request.path.strip("/")]
        response = web.StreamResponse(headers={"Content-Encoding": encoding} if encoding else {})
        await response.prepare(request)
        await response.write(body)
        return response

    app = web.Application()
    app.router.add_get("/{name}", answer)
    async with TestServer(app) as running:
        yield running


async def read(server: TestServer, name: str, limit: int) -> tuple[bytes, bool]:
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(server.make_url(name)) as response,
    ):
        return await read_body(response, limit)


@pytest.mark.parametrize("name", ["plain", "gzip", "deflate"])
async def test_a_body_is_decoded_and_cut_at_the_limit(server: TestServer, name: str) -> None:
    assert await read(server, name, 5) == (b"hello", False)
    assert await read(server, name, 4) == (b"hell", True)


async def test_a_compressed_body_without_content_is_empty(server: TestServer) -> None:
    assert await read(server, "nothing", 5) == (b"", False)


@pytest.mark.parametrize("name", ["cut", "lie"])
async def test_a_body_that_is_not_what_its_header_says_is_a_broken_connection(
    server: TestServer, name: str
) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await read(server, name, 100_000)


@pytest.mark.parametrize("client", ["guarded client", "probe"])
async def test_a_small_body_that_decodes_to_a_large_one_takes_little_memory(
    server: TestServer, client: str
) -> None:
    url = str(server.make_url("bomb"))
    tracemalloc.start()
    try:
        if client == "probe":
            assert len((await HttpProbe(url, max_body=65_536).ask()).body) == 65_536
        else:
            async with GuardedClient(max_body=65_536) as guarded:
                response = await guarded.get(url)
            assert (len(response.body), response.truncated) == (65_536, True)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
