"""Faults that are the caller's, a certificate's or another host's: neither retried nor held against the called host."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict

from resilience.core.window import CountWindow
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.reliability import Reliability
from resilience_middleware.aiohttp import ResilientSession
from tests.middleware.test_client_rules import (
    PATIENT,
    Impatient,
    Upstream,
    httpx2_of,
    httpx_of,
    middleware_of,
    session_of,
)

ERRORS = (aiohttp.ClientError, httpx.TransportError, httpx2.TransportError)


@pytest.fixture(params=[session_of, middleware_of, httpx_of, httpx2_of])
def client_of(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    async with upstream.server:
        yield upstream


@asynccontextmanager
async def hanging_up() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Serve a host that answers a first request, and closes the connection after every other."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                requests.append(head)
                if len(requests) > 1:
                    break
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", requests


def breakers(rel: Reliability) -> list[CircuitBreaker]:
    found: list[Any] = [rel.registry[name]["circuit_breaker"] for name in rel.registry]
    return found


async def test_three_attempts_on_a_stale_connection_are_three_requests(client_of: Any) -> None:
    async with (
        hanging_up() as (url, requests),
        client_of(Reliability("tests", clock=Impatient()), PATIENT) as client,
    ):
        assert (await client.send("GET", url))[0] == 200
        with pytest.raises(ERRORS):
            await client.send("GET", url)
    assert len(requests) == 1 + 3


async def test_three_attempts_of_a_first_call_are_three_requests(client_of: Any) -> None:
    async with hanging_up() as (url, requests):
        requests.append(b"answered")
        async with client_of(Reliability("tests", clock=Impatient()), PATIENT) as client:
            for _ in range(2):
                with pytest.raises(ERRORS):
                    await client.send("GET", url)
    assert len(requests) == 1 + 3 + 3


async def test_a_session_of_ones_own_makes_three_requests_too() -> None:
    async with hanging_up() as (url, requests), aiohttp.ClientSession() as own:
        client = ResilientSession(Reliability("tests", clock=Impatient()), own, preset=PATIENT)
        async with client.get(url):
            pass
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.get(url)
    assert len(requests) == 1 + 3


async def test_an_invalid_header_is_neither_retried_nor_held_against_the_host(
    client_of: Any, upstream: Upstream
) -> None:
    clock = Impatient()
    rel = Reliability("tests", clock=clock)
    async with client_of(rel, PATIENT) as client:
        for value in ("a\nb", 5):
            for _ in range(20):
                with pytest.raises((AttributeError, TypeError, ValueError, *ERRORS)):
                    await client.send("PUT", upstream.url, headers={"X-Order": value})
        assert upstream.seen == []
        assert (await client.send("GET", upstream.url))[0] == 200
    assert clock.slept == []
    assert [breaker.statistics().failures for breaker in breakers(rel)] == [0]


@pytest.mark.parametrize("url", ["http://", "ftp://127.0.0.1/", "http://127.0.0.1:99999/"])
async def test_an_invalid_url_is_neither_retried_nor_held_against_a_host(client_of: Any, url: str) -> None:
    clock = Impatient()
    rel = Reliability("tests", clock=clock)
    async with client_of(rel, PATIENT) as client:
        for _ in range(20):
            with pytest.raises(
                (
                    TypeError,
                    ValueError,
                    OverflowError,
                    ExceptionGroup,
                    httpx.InvalidURL,
                    httpx2.InvalidURL,
                    *ERRORS,
                )
            ):
                await client.send("GET", url)
    assert clock.slept == []
    assert not any(breaker.statistics().failures for breaker in breakers(rel))


async def test_an_endless_redirect_on_another_host_is_not_held_against_the_first(client_of: Any) -> None:
    async def elsewhere(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": str(second.make_url("/"))})

    async def here(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/"})

    first_app, second_app = web.Application(), web.Application()
    first_app.router.add_get("/", elsewhere)
    second_app.router.add_get("/", here)
    rel = Reliability("tests")
    async with (
        TestServer(first_app) as first,
        TestServer(second_app) as second,
        client_of(
            rel, PATIENT.changed(circuit_breaker={"window": CountWindow(10), "minimum_calls": 5})
        ) as client,
    ):
        if hasattr(client, "client"):
            client.client.follow_redirects = True
        for _ in range(10):
            with pytest.raises((aiohttp.TooManyRedirects, httpx.TooManyRedirects, httpx2.TooManyRedirects)):
                await client.send("GET", first.make_url("/"))
    assert [breaker.state for breaker in breakers(rel)] == ["closed", "closed"]


async def test_an_untrusted_certificate_is_not_tried_again(client_of: Any) -> None:
    clock = Impatient()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    rel = Reliability("tests", clock=clock)
    server = TestServer(web.Application(), scheme="https")
    await server.start_server(ssl=context)
    try:
        async with client_of(rel, PATIENT) as client:
            with pytest.raises(ERRORS):
                await client.send("GET", server.make_url("/"))
    finally:
        await server.close()
    assert clock.slept == []
    assert [breaker.statistics().failures for breaker in breakers(rel)] == [1]


async def test_of_two_retry_after_fields_the_longest_counts(client_of: Any, upstream: Upstream) -> None:
    clock = Impatient()
    upstream.statuses = [503]
    upstream.headers = CIMultiDict([("Retry-After", "3"), ("Retry-After", "7"), ("Retry-After", "soon")])
    async with client_of(Reliability("tests", clock=clock), PATIENT) as client:
        assert (await client.send("GET", upstream.url))[0] == 200
    assert clock.slept == [7.0]


def form_of(client: Any, file: Any) -> dict[str, Any]:
    if hasattr(client, "session"):
        form = aiohttp.FormData({"name": "a"})
        form.add_field("file", file, filename="a.bin")
        return {"data": form}
    return {"files": {"file": ("a.bin", file), "name": (None, "a")}}


@pytest.mark.parametrize("make", [lambda: b"content", lambda: io.BytesIO(b"content")], ids=["bytes", "file"])
async def test_a_multipart_form_is_sent_again_whole(client_of: Any, upstream: Upstream, make: Any) -> None:
    upstream.statuses = [503]
    async with client_of(Reliability("tests", clock=Impatient()), PATIENT) as client:
        assert (await client.send("PUT", upstream.url, **form_of(client, make())))[0] == 200
    first, second = upstream.bodies
    assert first == second
    assert b"content" in first


class Spent(io.BytesIO):
    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize("library", [httpx_of, httpx2_of])
async def test_a_form_whose_file_cannot_be_rewound_is_sent_once(library: Any, upstream: Upstream) -> None:
    upstream.statuses = [503]
    async with library(Reliability("tests", clock=Impatient()), PATIENT) as client:
        assert (await client.send("PUT", upstream.url, **form_of(client, Spent(b"content"))))[0] == 503
    assert len(upstream.bodies) == 1
